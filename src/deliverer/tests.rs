//! Endpoints beside each other, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::desk::Tray;
use super::{Deliverer, Ports};
use crate::clock::{Random, Virtual};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::{Request, Response};
use crate::core::ids::{DeliveryId, EndpointName};
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::lines::Lines;
use crate::store::Write;
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::store::samples::{done, event, events, news, page, poll};
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

/// How long a receiver takes to answer.
const ANSWERS_AFTER: Duration = Duration::from_millis(10);

/// Receivers that accept everything, and what reached each of them: the ids and when.
#[derive(Default)]
struct Receivers(Mutex<BTreeMap<String, Vec<(String, Instant)>>>);

impl Receivers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vec<(String, Instant)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, host: &str) -> usize {
        self.all().get(host).map_or(0, Vec::len)
    }

    /// When an event arrived.
    fn arrival(&self, host: &str, id: &str) -> Option<Instant> {
        let all = self.all();
        let mut of_host = all.get(host)?.iter();
        of_host.find(|(known, _)| known == id).map(|(_, at)| *at)
    }
}

impl HttpClient for Receivers {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let host = request.url.host_str().expect("a host").to_owned();
        let id = request.headers.get("webhook-id").expect("an id").to_str().expect("text");
        self.all().entry(host).or_default().push((id.to_owned(), Instant::now()));
        Box::pin(async {
            sleep(ANSWERS_AFTER).await;
            Ok(Response { status: 204, headers: HeaderMap::new(), body: Bytes::new() })
        })
    }
}

/// A deliverer at work before `a` and `b`.
struct Post {
    deliverer: Arc<Deliverer>,
    receivers: Arc<Receivers>,
    store: StoreHandle,
    wake: Wake,
    tasks: JoinSet<()>,
    _roster: watch::Sender<Arc<Roster>>,
}

impl Post {
    /// Nothing runs yet.
    fn new(keys: &str) -> Self {
        let text = format!(
            "sources:\n  t: {{ url: 'http://t/', every: 1m, key: .id }}\nendpoints:\n  \
             a: {{ url: 'http://a/', sign: none, {keys} }}\n  b: {{ url: 'http://b/', sign: none }}\n"
        );
        let config = config::load_text(&text, &Surroundings).unwrap_or_else(|it| panic!("{it}"));
        let roster = Arc::new(Roster::new(config.sources, config.endpoints));
        let (sender, declared) = watch::channel(roster);
        let receivers = Arc::new(Receivers::default());
        let (store, wake) = (StoreHandle::inline(Box::new(MemoryStore::new(7))), Wake::default());
        let ports = Ports {
            store: store.clone(),
            http: Arc::clone(&receivers) as Arc<dyn HttpClient>,
            lines: Arc::new(Lines::default()),
            clock: Arc::new(Virtual::new()),
            entropy: Arc::new(Random::seeded(7)),
            telemetry: Arc::new(Telemetry::new()),
            redactor: Redactor::default(),
        };
        let deliverer = Deliverer::new(ports, declared, wake.clone(), Duration::from_secs(1));
        let tasks = JoinSet::new();
        Self { deliverer, receivers, store, wake, tasks, _roster: sender }
    }

    fn start(&mut self) {
        self.tasks.spawn(Arc::clone(&self.deliverer).run(CancellationToken::new()));
    }

    /// Commits so many events of a source for an endpoint, those after `before`, as a poll does. Nothing waits for
    /// anything else.
    async fn commit(&self, source: &str, before: u64, count: u64, endpoint: &str) {
        self.commit_unheard(source, before, count, endpoint).await;
        self.wake.ring();
    }

    /// The same, but nobody is told to look.
    async fn commit_unheard(&self, source: &str, before: u64, count: u64, endpoint: &str) {
        let now = self.deliverer.ports.clock.now();
        let of = |seq| {
            let event = event(source, &format!("k{seq}"), seq, now.as_millis());
            news(event, &[(endpoint, None)])
        };
        let events = (before + 1..=before + count).map(of).collect();
        let written = self.store.write(poll(page(source, before, events))).await;
        written.expect("the store works").expect("nobody else writes");
    }

    /// Waits for so many arrivals, for no longer than a minute.
    async fn wait_for(&self, host: &str, count: usize) {
        for _ in 0..60_000 {
            if self.receivers.count(host) >= count {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("{} of {count} reached {host}", self.receivers.count(host));
    }
}

/// Ten thousand events wait for `a`, which is back: what is new for `b` arrives within 50 ms all the same, five times what
/// its receiver takes. What waited comes oldest first, by no more places too soon than requests are under way.
#[tokio::test(start_paused = true)]
async fn what_waited_for_one_endpoint_delays_no_other_and_comes_oldest_first() {
    const WAITING: u64 = 10_000;
    const CONCURRENCY: u64 = 8;
    let mut post = Post::new("");
    let a = EndpointName::new("a");
    post.start();
    post.commit("fresh", 0, 1, "b").await;
    post.wait_for("b", 1).await;
    post.deliverer.pause(&a).await.expect("the store works").expect("it is known");
    for before in (0..WAITING).step_by(100) {
        post.commit("old", before, 100, "a").await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(post.receivers.count("a"), 0, "it is paused");
    post.deliverer.resume(&a).await.expect("the store works").expect("it is known");
    let mut worst = Duration::ZERO;
    for seq in 2..=50 {
        sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        post.commit("fresh", seq - 1, 1, "b").await;
        let expected = usize::try_from(seq).expect("few");
        post.wait_for("b", expected).await;
        let arrived = post.receivers.arrival("b", &format!("evt_fresh_{seq}")).expect("it arrived");
        worst = worst.max(arrived - began);
    }
    let meanwhile = post.receivers.count("a") as u64;
    assert!((1_000..WAITING).contains(&meanwhile), "{meanwhile} came meanwhile");
    assert!(worst <= Duration::from_millis(50), "one arrived after {worst:?}");
    post.wait_for("a", 10_000).await;
    let all = post.receivers.all();
    // Gently at first.
    let gap = all["a"][1].1 - all["a"][0].1;
    assert!(
        gap >= ANSWERS_AFTER,
        "the second came {gap:?} after the first, which was not answered"
    );
    for (place, (id, _)) in (1..).zip(&all["a"]) {
        let seq: u64 = id.trim_start_matches("evt_old_").parse().expect("a number");
        assert!(seq.abs_diff(place) <= CONCURRENCY, "{id} came as number {place}");
    }
}

/// A paused endpoint is sent nothing after what is under way, however often anybody looks. What waited when it was paused, and
/// what came later, is all there when it goes on.
#[tokio::test(start_paused = true)]
async fn a_pause_holds_everything_and_drops_nothing() {
    let mut post = Post::new("retry: { first: 1s, max: 1s, for: 1m }");
    let a = EndpointName::new("a");
    post.start();
    post.commit("t", 0, 300, "a").await;
    post.wait_for("a", 20).await;
    post.deliverer.pause(&a).await.expect("the store works").expect("it is known");
    let sent = post.receivers.count("a");
    assert!(sent < 200, "{sent} were sent before the pause");
    post.commit("t", 300, 200, "a").await;
    // A hundred times as long as anything is tried.
    sleep(Duration::from_hours(2)).await;
    assert_eq!(post.receivers.count("a"), sent);
    post.deliverer.resume(&a).await.expect("the store works").expect("it is known");
    post.wait_for("a", 500).await;
    let ids: BTreeSet<_> = post.receivers.all()["a"].iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), 500, "each came once");
}

/// What was planned by a clock that was years ahead goes out when doorbell is started with a right one.
#[tokio::test(start_paused = true)]
async fn what_a_clock_that_was_ahead_planned_is_sent() {
    let mut post = Post::new("");
    let years = Duration::from_hours(70 * 365 * 24);
    let late = post.deliverer.ports.clock.now().after(years).as_millis();
    let event = event("t", "k", 1, late);
    let write = poll(page("t", 0, vec![news(event, &[("a", Some(1)), ("b", None)])]));
    assert!(matches!(write, Write::Poll(_)));
    post.store.write(write).await.expect("the store works").expect("nobody else writes");
    post.start();
    post.wait_for("a", 1).await;
    post.wait_for("b", 1).await;
}

/// What a commit makes is sent without anybody being told to look, as soon as it is durable.
#[tokio::test(start_paused = true)]
async fn what_was_just_made_is_not_looked_for() {
    let mut post = Post::new("");
    post.start();
    post.commit("t", 0, 1, "a").await;
    post.wait_for("a", 1).await;
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    post.commit_unheard("t", 1, 1, "a").await;
    post.wait_for("a", 2).await;
    let took = post.receivers.arrival("a", "evt_t_2").expect("it arrived") - began;
    assert!(took <= Duration::from_millis(1), "it left after {took:?}");
}

/// Handed over and found, before, while and after a desk looks and its receiver is busy: each comes once, and more than
/// is handed over comes too.
#[tokio::test(start_paused = true)]
async fn what_is_handed_over_comes_once() {
    let mut post = Post::new("concurrency: 3");
    let mut random = fastrand::Rng::with_seed(7);
    post.start();
    let mut before = 0;
    for _ in 0..300 {
        let most = if random.u8(..) < 20 { 100 } else { 3 };
        let count = random.u64(1..=most);
        if random.bool() {
            post.commit("t", before, count, "a").await;
        } else {
            post.commit_unheard("t", before, count, "a").await;
        }
        before += count;
        sleep(Duration::from_millis(random.u64(0..30))).await;
    }
    let all = usize::try_from(before).expect("few");
    post.wait_for("a", all).await;
    sleep(Duration::from_mins(1)).await;
    let ids: BTreeSet<_> = post.receivers.all()["a"].iter().map(|(id, _)| id.clone()).collect();
    assert_eq!((ids.len(), post.receivers.count("a")), (all, all), "each came once");
}

/// Handed over are the deliveries 1 to 3, of which 2 was found in the store.
#[test]
fn only_a_desk_that_has_all_the_rest_takes_what_is_handed_over() {
    let check = |has_looked: bool, is_looking: bool, expected: &[u64]| {
        let of = |seq| news(event("t", &format!("k{seq}"), seq, 0), &[("a", None)]);
        let commit = page("t", 0, (1..=3).map(of).collect());
        let (_, due) = events(done(&mut MemoryStore::new(7), poll(commit)));
        let [first, second, third] = due.try_into().expect("three are due");
        let (_sender, fresh) = mpsc::channel(1);
        let mut tray = Tray::new(fresh);
        tray.claim(second.clone());
        tray.claimed.clear();
        tray.ready.clear();
        tray.look_at = has_looked.then_some(Timestamp::from_millis(1));
        if is_looking {
            tray.looking = Some(Box::pin(std::future::pending()));
        }
        for due in [first, second, third] {
            tray.claim_fresh(due);
        }
        let ready: Vec<_> = tray.ready.iter().map(|due| due.delivery.id.0).collect();
        assert_eq!(ready, expected, "{has_looked} {is_looking}");
        assert!(ready.iter().all(|id| tray.claimed.contains(&DeliveryId(*id))));
    };
    check(false, false, &[]);
    check(true, true, &[]);
    check(true, false, &[3]);
}
