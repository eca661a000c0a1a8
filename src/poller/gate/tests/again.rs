//! What goes on after a restart, after the machine slept, and when the clock is set.

use super::*;
use crate::core::budget::{Holder, Kept};
use crate::core::limits::OVERDUE_SPREAD_MIN;

/// One process after the other over the same state, each for so long; every other one is killed. When requests came, since
/// the beginning of the first.
async fn restarted(
    text: &str,
    times: usize,
    each: Duration,
    rule: fn() -> Rule,
) -> BTreeMap<String, Vec<Duration>> {
    let (store, began) = (StoreHandle::inline(Box::new(MemoryStore::default())), Instant::now());
    let mut asked = BTreeMap::<String, Vec<Duration>>::new();
    for time in 0..times {
        let world = World::over((store.clone(), began), text, rule());
        let offset = began.elapsed();
        sleep(each).await;
        for (path, at) in world.counts().asked {
            asked.entry(path).or_default().extend(at.iter().map(|at| offset + *at));
        }
        if time % 2 == 0 {
            // Killed: nothing is written any more.
            drop(world);
        } else {
            world.end().await;
        }
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn restarts_cross_no_slow_window() {
    let text = "sources:\n  \
        rare: { url: 'https://a.example/rare', key: .id, every: 1m, limit: 6/h }\n  \
        often: { url: 'https://a.example/often', key: .id, every: 1s, limit: [30/m, 900/h] }\n";
    let each = Duration::from_secs(290);
    let asked = restarted(text, 60, each, || Box::new(|_, _, _| Ok(listing()))).await;
    let most = |path: &str, window: Duration| {
        let times = &asked[path];
        let within = |from: &Duration| {
            times.iter().filter(|at| **at >= *from && **at < *from + window).count()
        };
        times.iter().map(within).max().unwrap()
    };
    assert!(most("/rare", Duration::from_hours(1)) <= 6);
    assert!(most("/often", Duration::from_mins(1)) <= 30);
    assert!(most("/often", Duration::from_hours(1)) <= 900);
    // Nearly five hours, 4.8 in each.
    assert!((18..=24).contains(&asked["/rare"].len()), "{}", asked["/rare"].len());
    assert!(asked["/often"].len() > 2_500, "{}", asked["/often"].len());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asked_for_holds_after_a_restart() {
    let text = "sources:\n  \
        polled: { url: 'https://a.example/polled', key: .id, every: 60s }\n  \
        aged: { url: 'https://a.example/aged', key: .id, every: 5s..10m }\n";
    let rule = || -> Rule {
        Box::new(|_, request, _| {
            let header = match request.url.path() {
                "/polled" => ("x-poll-interval", "3600"),
                _ => ("cache-control", "max-age=1800"),
            };
            Ok(answer(200, &[(header.0, String::from(header.1))], r#"[{"id":1}]"#))
        })
    };
    let asked = restarted(text, 19, Duration::from_mins(3), rule).await;
    assert_eq!(asked["/polled"].len(), 1, "{:?}", asked["/polled"]);
    for pair in asked["/aged"].windows(2) {
        assert!(pair[1] >= pair[0] + Duration::from_secs(599), "{pair:?}");
    }
    assert!(asked["/aged"].len() >= 5, "{:?}", asked["/aged"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_overdue_after_a_sleep_runs_once_and_spread() {
    let text = sharing("auth: { bearer: t }", 100, "every: 10m");
    let world = World::new(&text, Box::new(|_, _, _| Ok(listing())));
    sleep(Duration::from_mins(5)).await;
    let before = world.server.began.elapsed();
    world.clock.slept.fetch_add(7_200_000, Ordering::Relaxed);
    sleep(Duration::from_mins(4)).await;
    let counts = world.counts();
    let mut woken = Vec::new();
    for (path, times) in &counts.asked {
        let since: Vec<_> = times.iter().filter(|at| **at > before).collect();
        assert_eq!(since.len(), 1, "{path}: {since:?}");
        woken.push(since[0].saturating_sub(before));
    }
    woken.sort_unstable();
    // The loop looks around every second, requests take half of one, and those of one host are not made all at once.
    assert!(woken[99] < OVERDUE_SPREAD_MIN + Duration::from_secs(3), "{:?}", woken[99]);
    assert!(woken[89] > woken[9] + OVERDUE_SPREAD_MIN / 2, "{:?} to {:?}", woken[9], woken[89]);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_moves_calendars_alone() {
    let text = "sources:\n  \
        hourly: { url: 'https://a.example/hourly', key: .id, cron: '30 * * * *' }\n  \
        plain: { url: 'https://a.example/plain', key: .id, every: 10m }\n";
    let world = World::new(text, Box::new(|_, _, _| Ok(listing())));
    let asked = || (world.counts().of("/hourly"), world.counts().of("/plain"));
    // The simulation begins at eight.
    sleep(Duration::from_mins(45)).await;
    assert_eq!(asked(), (1, 5));
    // Half past nine was skipped: it runs now, once.
    world.clock.set_ahead.store(50 * 60_000, Ordering::Relaxed);
    sleep(Duration::from_mins(3)).await;
    assert_eq!(asked(), (2, 5));
    sleep(Duration::from_mins(15)).await;
    assert_eq!(asked(), (2, 7));
    // Back: what is done is not done again before its time comes.
    world.clock.set_ahead.store(-3_600_000, Ordering::Relaxed);
    sleep(Duration::from_mins(20)).await;
    assert_eq!(asked(), (2, 9));
    world.end().await;
}

/// What a server says to one source with a credential holds for the others with it, also in the next process, and for
/// nobody else.
#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_credential_holds_after_a_restart() {
    let first = "sources:\n  \
        a: { url: 'https://a.example/a', key: .id, every: 5s, auth: { bearer: one } }\n";
    let more = "  b: { url: 'https://a.example/b', key: .id, every: 5s, auth: { bearer: one } }\n  \
        c: { url: 'https://a.example/c', key: .id, every: 5s, auth: { bearer: two } }\n  \
        d: { url: 'https://d.example/d', key: .id, every: 5s, auth: { bearer: one } }\n";
    let all = format!("{first}{more}");
    let left = |name, value: &str| (name, value.to_owned());
    let used_up = || {
        vec![
            left("ratelimit-limit", "100"),
            left("ratelimit-remaining", "0"),
            left("ratelimit-reset", "60"),
        ]
    };
    let asked = || vec![left("retry-after", "60")];
    for (status, headers, holds_all) in [
        (429, asked(), false),
        (403, asked(), false),
        (503, asked(), true),
        (200, used_up(), false),
        (429, used_up(), false),
    ] {
        let (store, began) =
            (StoreHandle::inline(Box::new(MemoryStore::default())), Instant::now());
        let said = answer(status, &headers, r#"[{"id":1}]"#);
        let world =
            World::over((store.clone(), began), first, Box::new(move |_, _, _| Ok(said.clone())));
        sleep(Duration::from_secs(8)).await;
        assert_eq!(world.counts().of("/a"), 1, "{status} {headers:?}");
        // Killed.
        drop(world);
        let world = World::over((store.clone(), began), &all, Box::new(|_, _, _| Ok(listing())));
        sleep(Duration::from_secs(40)).await;
        let counts = world.counts();
        let case = format!("{status} {headers:?}: {:?}", counts.asked);
        assert_eq!((counts.of("/a"), counts.of("/b")), (0, 0), "{case}");
        assert_eq!(counts.of("/c") == 0, holds_all, "{case}");
        assert!(counts.of("/d") > 5, "{case}");
        sleep(Duration::from_mins(1)).await;
        let counts = world.counts();
        assert!(
            ["/a", "/b", "/c"].into_iter().all(|path| counts.of(path) > 5),
            "{:?}",
            counts.asked
        );
        world.end().await;
        // What is past is forgotten.
        let kept = store.read(|store| store.budgets()).await.unwrap();
        let is_short =
            |(_, kept): &(Holder, Kept)| !matches!(kept, Kept::Holds(holds) if !holds.is_empty());
        assert!(kept.iter().all(is_short), "{kept:?}");
    }
}

/// A source that gets another name goes on with what is left of its own limit, in this process and in the next, and in the
/// one after that, which does not hear of the former name any more.
#[tokio::test(start_paused = true)]
async fn a_renamed_source_goes_on_with_its_own_limit() {
    let named = |name: &str, keys: &str| {
        format!(
            "sources: {{ {name}: {{ url: 'https://a.example/rare', key: .id, every: 1m, limit: 6/h{keys} }} }}"
        )
    };
    let (old, new, later) = (named("old", ""), named("new", ", was: old"), named("new", ""));
    for is_restarted in [false, true] {
        let (store, began) =
            (StoreHandle::inline(Box::new(MemoryStore::default())), Instant::now());
        let start = |text: &str| {
            World::over((store.clone(), began), text, Box::new(|_, _, _| Ok(listing())))
        };
        let mut asked = Vec::new();
        let mut note = |world: &World| {
            let offset = world.server.began.saturating_duration_since(began);
            asked.extend(world.counts().asked.values().flatten().map(|at| offset + *at));
        };
        let mut world = start(&old);
        sleep(Duration::from_mins(20)).await;
        if is_restarted {
            note(&world);
            drop(world);
            world = start(&new);
        } else {
            world.declare(&new);
        }
        // Nothing is asked for before it ends.
        sleep(Duration::from_mins(2)).await;
        note(&world);
        world.end().await;
        let world = start(&later);
        sleep(Duration::from_hours(2)).await;
        note(&world);
        world.end().await;
        // Four fifths of six an hour are twelve and a half minutes apart.
        assert!(asked.len() > 9, "{asked:?}");
        for pair in asked.windows(2) {
            let apart = pair[1].saturating_sub(pair[0]);
            assert!(apart > Duration::from_secs(749), "{is_restarted}: {asked:?}");
        }
    }
}
