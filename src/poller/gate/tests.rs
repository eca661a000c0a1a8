//! Budgets as a server sees them: a day in virtual time, with the real loop over a client that counts.

mod again;
mod costs;
mod fair;

mod receivers;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Gate;
use crate::clock::{Clock, Entropy, Random};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::poller::{Poller, Ports};
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

const EPOCH: i64 = 1_800_000_000_000;

/// A clock that follows the runtime's, which is virtual.
struct Virtual {
    began: Instant,
    /// How long the machine slept, and by how much the wall clock was set ahead, in milliseconds.
    slept: AtomicU64,
    set_ahead: AtomicI64,
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let slept = Duration::from_millis(self.slept.load(Ordering::Relaxed));
        Timestamp::from_millis(EPOCH).after(self.began.elapsed() + slept)
    }

    fn wall(&self) -> Timestamp {
        let ahead = self.set_ahead.load(Ordering::Relaxed);
        Timestamp::from_millis(self.now().as_millis() + ahead)
    }
}

/// What a server does with a request that arrives `since` the beginning.
type Rule = Box<dyn Fn(&mut Counts, &Request, Duration) -> Result<Response, TransportFault> + Send>;

#[derive(Clone, Default)]
struct Counts {
    /// When requests came in the last minute, by host.
    lately: BTreeMap<String, VecDeque<Duration>>,
    refused: usize,
    asked: BTreeMap<String, Vec<Duration>>,
    in_flight: usize,
    most_in_flight: usize,
}

impl Counts {
    /// How many came in the minute that ends now, with this one.
    fn in_a_minute(&mut self, host: &str, since: Duration) -> usize {
        let lately = self.lately.entry(host.to_owned()).or_default();
        while lately.front().is_some_and(|at| since.saturating_sub(*at) >= Duration::from_mins(1)) {
            lately.pop_front();
        }
        lately.push_back(since);
        lately.len()
    }

    fn all(&self) -> usize {
        self.asked.values().map(Vec::len).sum()
    }

    fn of(&self, path: &str) -> usize {
        self.asked.get(path).map_or(0, Vec::len)
    }
}

/// A server, and how long its answers take.
struct Server {
    began: Instant,
    counts: Mutex<Counts>,
    dice: Mutex<fastrand::Rng>,
    rule: Mutex<Rule>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpClient for Server {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let (there, back) = {
            let mut dice = locked(&self.dice);
            (dice.u64(5..250), dice.u64(5..250))
        };
        Box::pin(async move {
            locked(&self.counts).in_flight += 1;
            sleep(Duration::from_millis(there)).await;
            let answer = {
                let mut counts = locked(&self.counts);
                counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
                let since = self.began.elapsed();
                counts.asked.entry(request.url.path().to_owned()).or_default().push(since);
                locked(&self.rule)(&mut counts, &request, since)
            };
            if request.url.host_str() == Some("hung.example") {
                sleep(request.deadline).await;
            }
            sleep(Duration::from_millis(back)).await;
            locked(&self.counts).in_flight -= 1;
            answer
        })
    }
}

fn answer(status: u16, headers: &[(&'static str, String)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    map.insert("content-type", "application/json".parse().unwrap());
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Response { status, headers: map, body: Bytes::from(body.to_owned()) }
}

fn listing() -> Response {
    answer(200, &[], r#"[{"id":1}]"#)
}

/// The loop over a server.
struct World {
    server: Arc<Server>,
    gate: Arc<Gate>,
    clock: Arc<Virtual>,
    telemetry: Arc<Telemetry>,
    roster: watch::Sender<Arc<Roster>>,
    wake: Wake,
    stop: CancellationToken,
    task: JoinSet<()>,
}

fn roster(text: &str) -> Arc<Roster> {
    let config = config::load_text(text, &Surroundings).unwrap_or_else(|it| panic!("{it}\n{text}"));
    Arc::new(Roster::new(config.sources, config.endpoints))
}

impl World {
    fn new(text: &str, rule: Rule) -> Self {
        let store = StoreHandle::inline(Box::new(MemoryStore::default()));
        Self::over((store, Instant::now()), text, rule)
    }

    /// A process that starts over what another one left, which began to be simulated then.
    fn over((store, began): (StoreHandle, Instant), text: &str, rule: Rule) -> Self {
        let (slept, set_ahead) = (AtomicU64::default(), AtomicI64::default());
        let clock = Arc::new(Virtual { began, slept, set_ahead });
        let entropy = Arc::new(Random::seeded(11));
        let server = Arc::new(Server {
            began: Instant::now(),
            counts: Mutex::default(),
            dice: Mutex::new(fastrand::Rng::with_seed(5)),
            rule: Mutex::new(rule),
        });
        let (telemetry, wake) = (Arc::new(Telemetry::new()), Wake::default());
        let gate = Gate::new(
            Arc::clone(&server) as Arc<dyn HttpClient>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&entropy) as Arc<dyn Entropy>,
            Arc::clone(&telemetry),
            wake.clone(),
        );
        let gate = Arc::new(gate.remembering(store.clone()));
        let ports = Ports {
            store,
            http: Arc::clone(&gate) as Arc<dyn HttpClient>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy,
            telemetry: Arc::clone(&telemetry),
            redactor: Redactor::default(),
            deliver: Wake::default(),
            gate: Arc::clone(&gate),
            retained: watch::channel(NOTHING_FORGOTTEN).1,
        };
        let (sender, declared) = watch::channel(roster(text));
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(Poller::new(ports, declared, wake.clone()).run(stop.clone()));
        Self { server, gate, clock, telemetry, roster: sender, wake, stop, task }
    }

    fn counts(&self) -> Counts {
        locked(&self.server.counts).clone()
    }

    fn declare(&self, text: &str) {
        self.roster.send_replace(roster(text));
        self.wake.ring();
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.task.join_next().await.is_some() {}
    }
}

/// A server with a hard limit in any minute.
fn limited(most: usize) -> Rule {
    Box::new(move |counts, request, since| {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        if counts.in_a_minute(&host, since) > most {
            counts.refused += 1;
            return Ok(answer(429, &[], ""));
        }
        Ok(listing())
    })
}

fn sharing(keys: &str, sources: usize, each: &str) -> String {
    let mut text = format!("apis:\n  shop: {{ {keys} }}\nsources:\n");
    for number in 0..sources {
        writeln!(
            text,
            "  s{number}: {{ api: shop, url: 'https://shop.example/{number}', key: .id, {each} }}"
        )
        .unwrap();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn forty_sources_share_sixty_requests_a_minute_for_a_day_without_a_429() {
    let text = sharing("limit: 60/m", 40, "every: 20s");
    let world = World::new(&text, limited(60));
    sleep(Duration::from_hours(24)).await;
    let counts = world.counts();
    assert_eq!(counts.refused, 0);
    // 48 a minute are planned with.
    let planned = 48.0 * 60.0 * 24.0;
    #[expect(clippy::cast_precision_loss, reason = "a day of polls")]
    let ratio = counts.all() as f64 / planned;
    assert!((0.95..1.02).contains(&ratio), "{ratio}");
    let each: Vec<_> = counts.asked.values().map(Vec::len).collect();
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    assert!(each.len() == 40 && *most < least + least / 20, "{least}..{most}");
    let text = world.telemetry.text();
    let line = text.lines().find(|line| line.starts_with("doorbell_budget_used_ratio{"));
    let used: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((0.6..=0.9).contains(&used), "{line:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_noisy_source_gives_way_and_a_quiet_one_is_not_starved() {
    let mut text = sharing("limit: 60/m", 10, "every: 20s");
    text.push_str(
        "  noisy: { api: shop, url: 'https://shop.example/noisy', key: .id, every: 200ms }\n",
    );
    let world = World::new(&text, limited(60));
    sleep(Duration::from_hours(2)).await;
    let counts = world.counts();
    assert_eq!(counts.refused, 0);
    let quiet: Vec<_> = (0..10).map(|number| counts.of(&format!("/{number}"))).collect();
    // They ask for thirty a minute, and have it; the noisy one takes what is left.
    assert!(quiet.iter().all(|count| *count > 300), "{quiet:?}");
    assert!(counts.of("/noisy") > 1800, "{}", counts.of("/noisy"));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn nested_budgets_and_concurrency_all_hold() {
    let text = "apis:\n  all: { limit: 60/m, concurrency: 2 }\n  shop: { api: all, limit: 30/m }\n\
        sources:\n  \
        a: { api: shop, url: 'https://shop.example/a', key: .id, every: 1s }\n  \
        b: { api: shop, url: 'https://shop.example/b', key: .id, every: 1s }\n  \
        c: { api: all, url: 'https://other.example/c', key: .id, every: 1s }\n  \
        d: { api: all, limit: 6/m, url: 'https://other.example/d', key: .id, every: 1s }\n";
    let world = World::new(
        text,
        Box::new(|counts, request, since| {
            let host = request.url.host_str().unwrap_or_default().to_owned();
            let most = if host == "shop.example" { 30 } else { 60 };
            counts.refused += usize::from(counts.in_a_minute(&host, since) > most);
            counts.refused += usize::from(counts.in_a_minute("all", since) > 60);
            let path = request.url.path();
            counts.refused += usize::from(path == "/d" && counts.in_a_minute("d", since) > 6);
            Ok(listing())
        }),
    );
    sleep(Duration::from_hours(1)).await;
    let counts = world.counts();
    assert_eq!((counts.refused, counts.most_in_flight), (0, 2));
    assert!(counts.all() > 2500, "{}", counts.all());
    assert!(counts.of("/d") > 200, "{}", counts.of("/d"));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_adapts_shares_a_limit_by_its_price_and_bounds_hold() {
    let mut text = sharing("limit: 60/m", 10, "every: 1s..1h");
    for (name, every) in [("noisy", "1s..1h"), ("bounded", "10s..40s"), ("fixed", "20s")] {
        let url = format!("https://shop.example/{name}");
        writeln!(text, "  {name}: {{ api: shop, url: '{url}', key: .id, every: {every} }}")
            .unwrap();
    }
    let world = World::new(
        &text,
        Box::new(|counts, request, since| {
            let most = counts.in_a_minute("shop.example", since);
            counts.refused += usize::from(most > 60);
            if request.url.path() == "/noisy" {
                let body = format!(r#"[{{"id":1,"at":{}}}]"#, since.as_millis());
                return Ok(answer(200, &[], &body));
            }
            Ok(listing())
        }),
    );
    sleep(Duration::from_hours(6)).await;
    let counts = world.counts();
    assert_eq!(counts.refused, 0);
    let planned = 48 * 60 * 6;
    assert!((planned * 3 / 4..=planned).contains(&counts.all()), "{} of {planned}", counts.all());
    let noisy = counts.of("/noisy");
    // A fifth of what is planned, and not much less: it is worth more than the others.
    assert!((planned / 10..=planned / 5 + 10).contains(&noisy), "{noisy} of {planned}");
    let gaps = |path: &str| {
        let times = &counts.asked[path];
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect::<Vec<_>>()
    };
    for gap in gaps("/bounded") {
        // Whoever is due may wait for its turn.
        assert!((Duration::from_millis(9_900)..Duration::from_secs(46)).contains(&gap), "{gap:?}");
    }
    assert!(counts.of("/fixed") >= 6 * 180 - 5, "{}", counts.of("/fixed"));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_flash_sale_is_waited_out_and_nobody_hammers() {
    // From the second to the fourth minute, the server refuses everything and says for how long.
    let text = sharing("auth: { bearer: t }", 20, "every: 5s");
    let sale = Duration::from_mins(2)..Duration::from_mins(4);
    let during = sale.clone();
    let world = World::new(
        &text,
        Box::new(move |counts, _, since| {
            if during.contains(&since) {
                counts.refused += 1;
                return Ok(answer(429, &[("retry-after", String::from("30"))], ""));
            }
            Ok(listing())
        }),
    );
    sleep(Duration::from_mins(4) + Duration::from_secs(45)).await;
    let counts = world.counts();
    // Those under way when it began, and few after each half minute.
    assert!(counts.refused < 12, "{}", counts.refused);
    for (path, times) in &counts.asked {
        assert!(times.iter().any(|at| *at > sale.end), "{path} has caught up");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_is_left_is_kept_to_without_a_written_limit() {
    let text = sharing("auth: { bearer: t }", 40, "every: 10s");
    let world = World::new(
        &text,
        Box::new(|counts, _, since| {
            // Thirty in each whole minute, told with every answer.
            let minute = format!("{}", since.as_secs() / 60);
            let lately = counts.lately.entry(minute).or_default();
            lately.push_back(since);
            let (count, left) = (lately.len(), 60 - since.as_secs() % 60);
            if count > 30 {
                counts.refused += 1;
                return Ok(answer(429, &[], ""));
            }
            let told = [
                ("x-ratelimit-remaining", (30 - count).to_string()),
                ("x-ratelimit-reset", left.to_string()),
            ];
            Ok(answer(200, &told, r#"[{"id":1}]"#))
        }),
    );
    sleep(Duration::from_mins(30)).await;
    let counts = world.counts();
    // Before the first answer nothing was known.
    assert!(counts.refused <= 12, "{}", counts.refused);
    let late = counts.asked.values().flatten().filter(|at| **at > Duration::from_mins(2)).count();
    assert!(late <= 30 * 29 && late > 20 * 28, "{late}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_origin_delays_no_other_and_a_failing_one_is_probed() {
    let mut text =
        String::from("defaults: { timeout: 30s, backoff: { first: 1s, max: 1m } }\nsources:\n");
    for number in 0..2000 {
        let host = if number < 1000 { "hung" } else { "down" };
        writeln!(
            text,
            "  s{number}: {{ url: 'https://{host}.example/{number}', key: .id, every: 10s }}"
        )
        .unwrap();
    }
    text.push_str("  fine: { url: 'https://fine.example/fine', key: .id, every: 1s }\n");
    let world = World::new(
        &text,
        Box::new(|_, request, _| match request.url.host_str() {
            Some("fine.example") => Ok(listing()),
            Some("down.example") => Ok(answer(500, &[], "")),
            _ => Err(TransportFault::Timeout {
                phase: "waiting for the answer",
                after: Duration::from_secs(30),
            }),
        }),
    );
    sleep(Duration::from_mins(10)).await;
    let counts = world.counts();
    assert!(counts.of("/fine") > 550, "{}", counts.of("/fine"));
    let failing = |from: usize| {
        (from..from + 1000).map(|number| counts.of(&format!("/{number}"))).sum::<usize>()
    };
    // A probe at a time, at most a minute apart.
    assert!((10..300).contains(&failing(1000)), "{}", failing(1000));
    *locked(&world.server.rule) = Box::new(|_, _, _| Ok(listing()));
    sleep(Duration::from_mins(3)).await;
    let counts = world.counts();
    let since = Duration::from_mins(10);
    let is_back = |number: &usize| {
        let times = counts.asked.get(&format!("/{number}"));
        times.is_some_and(|times| times.iter().any(|at| *at > since))
    };
    assert_eq!((1000..2000).filter(is_back).count(), 1000);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn our_own_outage_is_not_put_down_to_the_sources() {
    let mut text = String::from("sources:\n");
    for host in ["a", "b", "c"] {
        writeln!(
            text,
            "  {host}: {{ url: 'https://{host}.example/{host}', key: .id, every: 10s }}"
        )
        .unwrap();
    }
    let world = World::new(&text, Box::new(|_, _, _| Ok(listing())));
    sleep(Duration::from_mins(2)).await;
    *locked(&world.server.rule) = Box::new(|_, request, _| {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        Err(TransportFault::Resolve { host, detail: String::new() })
    });
    sleep(Duration::from_hours(1)).await;
    let back = Instant::now() - world.server.began;
    *locked(&world.server.rule) = Box::new(|_, _, _| Ok(listing()));
    sleep(Duration::from_secs(50)).await;
    let counts = world.counts();
    for (path, times) in &counts.asked {
        // Their backoff would have grown to a quarter of an hour.
        assert!(times.iter().filter(|at| **at > back).count() >= 2, "{path}: {times:?}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_fixed_interval_is_slowed_by_no_default_and_an_adaptive_one_holds_its_longest() {
    let mut text = String::from("sources:\n");
    for number in 0..300 {
        let every = if number < 200 { "2s" } else { "1s..30s" };
        writeln!(
            text,
            "  s{number}: {{ url: 'https://busy.example/{number}', key: .id, every: {every} }}"
        )
        .unwrap();
    }
    let world = World::new(&text, Box::new(|_, _, _| Ok(listing())));
    sleep(Duration::from_mins(5)).await;
    let counts = world.counts();
    for number in 0..200 {
        assert!(counts.of(&format!("/{number}")) >= 148, "{}", counts.of(&format!("/{number}")));
    }
    for number in 200..300 {
        let times = &counts.asked[&format!("/{number}")];
        let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap();
        assert!(longest < Duration::from_secs(31), "{longest:?}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn x_poll_interval_holds_for_a_fixed_interval_and_max_age_does_not() {
    let text = "sources:\n  \
        polled: { url: 'https://a.example/polled', key: .id, every: 5s }\n  \
        aged: { url: 'https://a.example/aged', key: .id, every: 5s }\n  \
        adaptive: { url: 'https://a.example/adaptive', key: .id, every: 5s..10m }\n  \
        capped: { url: 'https://a.example/capped', key: .id, every: 5s..30s }\n";
    let world = World::new(
        text,
        Box::new(|_, request, _| {
            let header = match request.url.path() {
                "/polled" => ("x-poll-interval", "60"),
                _ => ("cache-control", "max-age=60"),
            };
            Ok(answer(200, &[(header.0, String::from(header.1))], r#"[{"id":1}]"#))
        }),
    );
    sleep(Duration::from_mins(10)).await;
    let counts = world.counts();
    let check = |path: &str, from: usize, to: usize| {
        assert!((from..=to).contains(&counts.of(path)), "{path}: {}", counts.of(path));
    };
    check("/polled", 9, 11);
    check("/aged", 115, 125);
    check("/adaptive", 4, 11);
    check("/capped", 18, 21);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_calendar_is_kept_and_another_limit_takes_effect() {
    let by_calendar = |limit: &str| {
        format!(
            "sources:\n  \
             nightly: {{ url: 'https://a.example/nightly', key: .id, cron: '30 2 * * * Europe/Berlin' }}\n  \
             often: {{ url: 'https://a.example/often', key: .id, cron: '*/10 * * * *' }}\n  \
             busy: {{ url: 'https://a.example/busy', key: .id, every: 1s, {limit} }}\n"
        )
    };
    let world = World::new(&by_calendar("limit: 10/m"), Box::new(|_, _, _| Ok(listing())));
    sleep(Duration::from_hours(3)).await;
    let busy = world.counts().of("/busy");
    assert!((1380..=1460).contains(&busy), "{busy}");
    world.declare(&by_calendar("limit: 30/m"));
    sleep(Duration::from_hours(45)).await;
    let counts = world.counts();
    assert_eq!(counts.of("/nightly"), 2);
    assert_eq!(counts.of("/often"), 48 * 6 - 1);
    let later = counts.of("/busy") - busy;
    assert!((64_000..=65_000).contains(&later), "{later}");
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    for at in &counts.asked["/nightly"] {
        let at = Timestamp::from_millis(EPOCH).after(*at).as_millis();
        let at = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
        assert_eq!((at.hour(), at.minute()), (2, 30));
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_of_the_calendar_that_was_missed_runs_at_the_start() {
    let text = "sources:\n  \
        nightly: { url: 'https://a.example/nightly', key: .id, cron: '0 2 * * *' }\n";
    let (store, began) = (StoreHandle::inline(Box::new(MemoryStore::default())), Instant::now());
    let begin = || World::over((store.clone(), began), text, Box::new(|_, _, _| Ok(listing())));
    // The simulation begins at eight in the morning.
    let world = begin();
    sleep(Duration::from_hours(19)).await;
    assert_eq!(world.counts().of("/nightly"), 1);
    world.end().await;
    sleep(Duration::from_hours(2)).await;
    let world = begin();
    sleep(Duration::from_hours(1)).await;
    assert_eq!(world.counts().of("/nightly"), 0, "nothing was missed");
    world.end().await;
    sleep(Duration::from_hours(50)).await;
    let world = begin();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(world.counts().of("/nightly"), 1, "two were missed: it runs once");
    world.end().await;
}
