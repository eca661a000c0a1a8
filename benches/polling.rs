//! What an unchanged poll costs: CPU time of the daemon per poll, over that of a bare `reqwest` GET loop with as many
//! connections to the same server, which does the counting.
//!
//! `cargo bench --bench polling`; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use kit::daemon::Daemon;
use kit::figures::{Rounds, at_most, goal, number, print_load, print_versions};
use kit::server::{Answers, answer, serve};
use kit::{floor, is_quick, wait_until};

/// As in the daemon, so that the floor has no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sources, and connections of the floor.
const SOURCES: usize = 256;
/// Servers that they are spread over: to one, the daemon keeps no more than 64 connections.
const ORIGINS: usize = 4;
/// Items of the list that is served; with their padding, 10 KB.
const ITEMS: usize = 40;
const ETAG: &str = "\"the-same\"";
/// The most that a poll may cost, in GETs.
const AIM: f64 = 1.5;

/// More often than the machine can: every poll is overdue when the one before it ends.
const FLAT_OUT: Duration = Duration::from_millis(1);

/// How the list says that nothing has changed.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    path: &'static str,
    /// How often each source is polled.
    every: Duration,
}

/// The first two keep the machine busy without a pause; the others leave it idle between polls, as real sources do.
const CASES: [Case; 4] = [
    Case { name: "304, flat out", path: "/tagged", every: FLAT_OUT },
    Case { name: "200 of 10 KB, flat out", path: "/plain", every: FLAT_OUT },
    Case { name: "304, 2,560/s", path: "/tagged", every: Duration::from_millis(100) },
    Case { name: "200 of 10 KB, 2,560/s", path: "/plain", every: Duration::from_millis(100) },
];

/// Servers with an unchanging list, and how often they were asked for it.
struct Api {
    origins: [SocketAddr; ORIGINS],
    asked: Arc<AtomicU64>,
}

impl Api {
    fn start() -> Self {
        let items: Vec<String> = (0..ITEMS).map(item).collect();
        let list = format!("[{}]", items.join(","));
        let json = "Content-Type: application/json\r\n";
        let tagged = answer("200 OK", &format!("{json}ETag: {ETAG}\r\n"), &list);
        let plain = answer("200 OK", json, &list);
        let same = answer("304 Not Modified", &format!("ETag: {ETAG}\r\n"), "");
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        let answers: Answers = Arc::new(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            let knows = request.header("if-none-match") == Some(ETAG);
            match (request.path().starts_with("/tagged"), knows) {
                (true, true) => same.clone(),
                (true, false) => tagged.clone(),
                (false, _) => plain.clone(),
            }
        });
        Self { origins: serve(answers), asked }
    }

    /// Where a source, or a connection of the floor, asks.
    fn url(origins: &[SocketAddr], number: usize, path: &str) -> String {
        let origin = origins.iter().cycle().nth(number).unwrap();
        format!("http://{origin}{path}?n={number}")
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn item(id: usize) -> String {
    let note = "Somebody should look at this, please. ".repeat(4);
    format!(
        r#"{{"id":{id},"title":"The printer is on fire","status":"open","priority":{},"note":"{note}"}}"#,
        id % 4
    )
}

/// CPU microseconds per poll, and polls per second.
type Cost = (f64, f64);

fn cost(cpu: Duration, polls: u64, wall: Duration) -> Cost {
    (cpu.as_secs_f64() * 1e6 / number(polls), number(polls) / wall.as_secs_f64())
}

/// The daemon's cost, once its sources have their baseline.
fn daemon_cost(api: &Api, case: Case, window: Duration) -> Cost {
    let mut config = String::from("server: { listen: \"off\" }\nsources:\n");
    for number in 0..SOURCES {
        let (url, every) = (Api::url(&api.origins, number, case.path), case.every.as_millis());
        writeln!(config, "  source-{number}: {{ url: \"{url}\", every: {every}ms, key: .id }}")
            .unwrap();
    }
    let before = api.asked();
    let daemon = Daemon::start(&config);
    // Three times round is past every baseline.
    wait_until("the first polls", || api.asked() > before + 3 * SOURCES as u64);
    std::thread::park_timeout(window / 8);
    let (asked, cpu, started) = (api.asked(), daemon.cpu(), Instant::now());
    std::thread::park_timeout(window);
    let (asked, cpu, wall) =
        (api.asked() - asked, daemon.cpu().saturating_sub(cpu), started.elapsed());
    cost(cpu, asked, wall)
}

/// The floor's cost.
fn loop_cost(api: &Api, case: Case, window: Duration) -> Cost {
    let before = api.asked();
    let report = floor::run(&[
        api.origins.map(|origin| origin.to_string()).join(","),
        String::from(case.path),
        String::from(if case.path == "/tagged" { ETAG } else { "" }),
        case.every.as_millis().to_string(),
        window.as_millis().to_string(),
    ]);
    let warming = SOURCES as u64;
    cost(report.cpu, api.asked() - before - warming, report.wall)
}

/// In the floor's process: GETs over as many connections as there are sources, for so long.
fn be_floor(arguments: &[String]) {
    let [origins, path, etag, every, window] = arguments else { panic!("not this floor") };
    let origins: Vec<SocketAddr> =
        origins.split(',').map(|origin| origin.parse().unwrap()).collect();
    let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
    let (every, window) = (millis(every), millis(window));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(SOURCES);
    let client = client.build().unwrap();
    let round = |until: Instant| {
        let mut loops = JoinSet::new();
        for number in 0..SOURCES {
            // Spread like the sources of a daemon: requests that come all at once are cheaper together.
            let first = Instant::now() + every.mul_f64(share(number));
            let pace = tokio::time::interval_at(first, every);
            let url = Api::url(&origins, number, path);
            loops.spawn(get_until(client.clone(), url, etag.clone(), pace, until));
        }
        runtime.block_on(async { while loops.join_next().await.is_some() {} });
    };
    let _entered = runtime.enter();
    round(Instant::now());
    floor::report(|| round(Instant::now() + window));
}

/// A source's place among all of them, from 0 to 1.
fn share(number_of_source: usize) -> f64 {
    number(number_of_source as u64) / number(SOURCES as u64)
}

/// Makes at least one request.
async fn get_until(
    client: reqwest::Client,
    url: String,
    etag: String,
    mut pace: Interval,
    until: Instant,
) {
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let is_paced = pace.period() > FLAT_OUT;
    loop {
        if is_paced {
            pace.tick().await;
        }
        let mut request = client.get(&url);
        if !etag.is_empty() {
            request = request.header("if-none-match", &etag);
        }
        let response = request.send().await.unwrap();
        drop(response.bytes().await.unwrap());
        if Instant::now() >= until {
            return;
        }
    }
}

fn main() {
    if let Some(arguments) = floor::arguments() {
        return be_floor(&arguments);
    }
    let (rounds, window) = if is_quick() { (1, 300) } else { (5, 2500) };
    let window = Duration::from_millis(window);
    print_versions();
    print_load("before");
    println!(
        "\n{SOURCES} sources on {ORIGINS} servers; {rounds} rounds of {window:?}: median (min–max)"
    );
    println!("{:<26}{:>28}{:>28}", "", "CPU µs per poll", "polls per second");
    let api = Api::start();
    let mut results = CASES.map(|case| (case, [(); 4].map(|()| Rounds::default())));
    for _ in 0..rounds {
        for (case, [floor_cpu, floor_rate, cpu, rate]) in &mut results {
            let (floor, daemon) =
                (loop_cost(&api, *case, window), daemon_cost(&api, *case, window));
            floor_cpu.push(floor.0);
            floor_rate.push(floor.1);
            cpu.push(daemon.0);
            rate.push(daemon.1);
        }
    }
    for (case, [floor_cpu, floor_rate, cpu, rate]) in &results {
        println!("{}", case.name);
        println!("  {:<24}{floor_cpu}{floor_rate:.0}", "bare GET loop");
        println!("  {:<24}{cpu}{rate:.0}", "doorbell");
    }
    println!();
    for (case, [floor_cpu, _, cpu, _]) in &results {
        let what = format!("CPU of a poll ÷ CPU of a bare GET, {}", case.name);
        goal(&what, &cpu.over(floor_cpu), AIM, at_most);
    }
    print_load("after");
}
