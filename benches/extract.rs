//! What it costs to compare a long list: CPU time of the comparison alone, over that of validating the JSON (`serde_json`
//! into nothing), with the index in memory and with the index read from SQLite. And of the whole daemon per poll, with
//! events made and committed; for an unchanged list, over a `reqwest` GET and one hash. And the most memory.
//!
//! `cargo bench --bench extract`; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use doorbell::gauge::Comparison;
use kit::daemon::Daemon;
use kit::figures::{Rounds, at_most, goal, print_load, print_versions};
use kit::server::{answer, serve};
use kit::{floor, is_quick, process};

/// As in the daemon, so that the floor has no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// How long a poll of the longest list may take, the first one included.
const PATIENCE: Duration = Duration::from_mins(15);

/// A list to poll.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    items: usize,
    /// Polls of one kind in a round.
    polls: usize,
    rounds: usize,
}

/// What a round took, per poll.
#[derive(Debug, Default)]
struct Found {
    compare: Rounds,
    read_index: Rounds,
    unchanged: Rounds,
    changed: Rounds,
    fetch_and_hash: Rounds,
    validate: Rounds,
    /// Of the daemon, in MiB.
    peak: f64,
    /// Of the daemon's first poll, in seconds.
    first: f64,
}

/// 456 bytes an item. In version 1 every hundredth is another than in version 0.
fn list(items: usize, version: usize) -> String {
    let mut text = String::with_capacity(items * 460);
    let padding = "lorem ipsum dolor sit amet ".repeat(9);
    for id in 0..items {
        let status = if id.is_multiple_of(100) { version } else { 0 };
        let before = if id == 0 { '[' } else { ',' };
        write!(
            text,
            "{before}{{\"id\":{id},\"status\":\"s{status}\",\"price\":{}.{:02},\"tags\":[\"a{}\",\"b\"],\
             \"owner\":{{\"name\":\"user {}\",\"mail\":\"user{}@example.org\"}},\"text\":\"{padding}\"}}",
            id % 977,
            id % 100,
            id % 7,
            id % 313,
            id % 313,
        )
        .unwrap();
    }
    text.push(']');
    text
}

/// Serves a list by the number of the request, and notes at each how much CPU time the daemon has used.
struct Api {
    url: String,
    stamps: Arc<Mutex<Vec<Duration>>>,
    pid: Arc<AtomicU32>,
}

impl Api {
    /// `version` says what a request is answered with.
    fn start(items: usize, version: impl Fn(usize) -> usize + Send + Sync + 'static) -> Self {
        let header = "Content-Type: application/json\r\n";
        let versions: [Bytes; 2] =
            [0, 1].map(|version| answer("200 OK", header, &list(items, version)));
        let stamps = Arc::new(Mutex::new(Vec::<Duration>::new()));
        let pid = Arc::new(AtomicU32::new(0));
        let (noted, of) = (Arc::clone(&stamps), Arc::clone(&pid));
        let [address] = serve(Arc::new(move |_| {
            let mut stamps = noted.lock().unwrap();
            let cpu = match of.load(Ordering::SeqCst) {
                0 => Duration::ZERO,
                pid => process::cpu(pid),
            };
            let number = stamps.len();
            stamps.push(cpu);
            versions.get(version(number)).cloned().unwrap_or_default()
        }));
        Self { url: format!("http://{address}/"), stamps, pid }
    }

    fn wait_for(&self, requests: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.stamps.lock().unwrap().len() < requests {
            assert!(Instant::now() < deadline, "waited in vain for {requests} requests");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// CPU seconds between two requests, for each of those between.
    fn seconds(&self, from: usize, to: usize) -> f64 {
        let stamps = self.stamps.lock().unwrap();
        let at = |number: usize| stamps.get(number).copied().unwrap_or_default();
        let polls = u32::try_from(to - from).unwrap();
        at(to).saturating_sub(at(from)).as_secs_f64() / f64::from(polls)
    }
}

fn measure(case: Case) -> Found {
    let Case { items, polls, rounds, .. } = case;
    // The first is the baseline. Then, in turns, a run of the same and a run of changes.
    let api = Api::start(items, move |number| {
        let (round, place) =
            (number.saturating_sub(1) / (2 * polls), number.saturating_sub(1) % (2 * polls));
        let at_its_end = round * polls + (place + 1).saturating_sub(polls);
        at_its_end % 2
    });
    let source =
        format!("{{ url: '{}', every: 1ms, timeout: 10m, max_body: 4GiB, key: .id }}", api.url);
    let daemon =
        Daemon::start(&format!("server: {{ listen: off }}\nsources: {{ list: {source} }}\n"));
    api.pid.store(daemon.pid(), Ordering::SeqCst);
    let mut found = Found::default();
    api.wait_for(2);
    found.first = api.seconds(0, 1);
    for round in 0..rounds {
        let start = 1 + round * 2 * polls;
        api.wait_for(start + 2 * polls + 1);
        found.unchanged.push(api.seconds(start, start + polls));
        found.changed.push(api.seconds(start + polls, start + 2 * polls));
    }
    found.peak = daemon.peak_mib();
    api.pid.store(0, Ordering::SeqCst);
    drop(daemon);
    measure_comparison(case, &mut found);
    for _ in 0..rounds {
        let count = f64::from(u32::try_from(polls).unwrap());
        for (what, into) in
            [("validate", &mut found.validate), ("fetch", &mut found.fetch_and_hash)]
        {
            let arguments = [what, &items.to_string(), &polls.to_string(), &api.url];
            let report = floor::run(&arguments.map(str::to_owned));
            into.push(report.cpu.as_secs_f64() / count);
        }
    }
    found
}

/// The comparison by itself, in a process of its own.
fn measure_comparison(Case { items, polls, rounds, .. }: Case, found: &mut Found) {
    for _ in 0..rounds {
        for (what, into) in [("compare", &mut found.compare), ("index", &mut found.read_index)] {
            let arguments = [what, &items.to_string(), &polls.to_string(), ""];
            let report = floor::run(&arguments.map(str::to_owned));
            into.push(report.cpu.as_secs_f64() / f64::from(u32::try_from(polls).unwrap()));
        }
    }
}

/// In a process of its own.
fn compare(what: &str, items: usize, polls: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut comparison = Comparison::of(directory.path(), list(items, 0).into_bytes());
    comparison.read_index();
    if what == "index" {
        return floor::report(|| (0..polls).for_each(|_| comparison.read_index()));
    }
    let changed = Bytes::from(list(items, 1));
    floor::report(|| {
        for _ in 0..polls {
            assert_eq!(comparison.compare(changed.clone()), items.div_ceil(100));
        }
    });
}

/// In a floor's process.
fn be_floor(arguments: &[String]) {
    let [what, items, polls, url] = arguments else { panic!("{arguments:?}") };
    let (items, polls): (usize, usize) = (items.parse().unwrap(), polls.parse().unwrap());
    if what == "compare" || what == "index" {
        return compare(what, items, polls);
    }
    if what == "validate" {
        let text = list(items, 0);
        floor::report(|| {
            for _ in 0..polls {
                serde_json::from_str::<IgnoredAny>(std::hint::black_box(&text)).unwrap();
            }
        });
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    floor::report(|| {
        runtime.block_on(async {
            for _ in 0..polls {
                let body = client.get(url).send().await.unwrap().bytes().await.unwrap();
                std::hint::black_box(xxh3_128(&body));
            }
        });
    });
}

fn main() {
    if let Some(arguments) = floor::arguments() {
        return be_floor(&arguments);
    }
    print_versions();
    print_load("before");
    let quick = is_quick();
    let rounds = if quick { 1 } else { ROUNDS };
    let cases = [
        Case {
            name: "10,000 items, 4 MB",
            items: 10_000,
            polls: if quick { 4 } else { 100 },
            rounds,
        },
        Case {
            name: if quick { "100,000 items, 40 MB" } else { "1,000,000 items, 400 MB" },
            items: if quick { 100_000 } else { 1_000_000 },
            polls: 3,
            rounds: rounds.min(2),
        },
    ];
    for case in cases {
        let found = measure(case);
        println!("\n{} (CPU ms per poll)", case.name);
        for (what, rounds) in [
            ("unchanged", &found.unchanged),
            ("1 % changed, compared", &found.compare),
            ("the index read from SQLite", &found.read_index),
            ("1 % changed, the whole daemon", &found.changed),
            ("floor: GET and hash", &found.fetch_and_hash),
            ("floor: validate", &found.validate),
        ] {
            println!("  {what:<34} {:.2}", rounds.scaled(1000.0));
        }
        println!(
            "  first poll {:.2} s; the daemon's peak memory {:.0} MiB",
            found.first, found.peak
        );
        let long = case.items > 10_000;
        goal(
            "unchanged / GET and hash",
            &found.unchanged.over(&found.fetch_and_hash),
            1.5,
            at_most,
        );
        goal(
            "1 % changed, compared / validate",
            &found.compare.over(&found.validate),
            if long { 4.0 } else { 2.5 },
            at_most,
        );
        if long {
            let mut peak = Rounds::default();
            peak.push(found.peak);
            goal("peak memory, MiB", &peak, 200.0, at_most);
        }
    }
    print_load("after");
}
