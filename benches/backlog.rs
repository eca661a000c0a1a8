//! What a dead receiver costs: memory while more and more waits for it, and how fast all of that goes out when it is back,
//! beside the rate at which the same daemon sends when nothing waits.
//!
//! `cargo bench --bench backlog`; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use kit::daemon::Daemon;
use kit::figures::{Rounds, at_least, at_most, goal, number, print_load, print_versions};
use kit::is_quick;
use kit::server::{Answers, answer, serve};

/// Items of the list; all of them change from one version of it to the next.
const ITEMS: u64 = 5_000;
/// How much more memory may be taken while the backlog grows.
const GROWTH_MIB_MAX: f64 = 32.0;
/// The least rate of draining, as a share of the live one.
const DRAIN_AIM: f64 = 0.7;
/// Without any progress for so long, the bench ends.
const PATIENCE: Duration = Duration::from_mins(2);

/// A list that changes when told, and a receiver that is there or not.
struct World {
    address: SocketAddr,
    version: Arc<AtomicU64>,
    listed: Arc<AtomicU64>,
    is_well: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

impl World {
    fn start() -> Self {
        let (version, listed) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let (is_well, accepted) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let shared = (version.clone(), listed.clone(), is_well.clone(), accepted.clone());
        let (ok, refused) = (answer("200 OK", "", ""), answer("503 Service Unavailable", "", ""));
        let answers: Answers = Arc::new(move |request| {
            let (version, listed, is_well, accepted) = &shared;
            if request.path() != "/hook" {
                let version = version.load(Ordering::SeqCst);
                listed.store(version, Ordering::SeqCst);
                return answer("200 OK", "Content-Type: application/json\r\n", &list(version));
            }
            if !is_well.load(Ordering::Relaxed) {
                return refused.clone();
            }
            accepted.fetch_add(1, Ordering::Relaxed);
            ok.clone()
        });
        let [address] = serve(answers);
        Self { address, version, listed, is_well, accepted }
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// So many versions of the list, each read by a poll.
    fn change(&self, versions: u64) {
        for _ in 0..versions {
            let next = self.version.fetch_add(1, Ordering::SeqCst) + 1;
            wait_while_moving("the list being read", || {
                (self.listed.load(Ordering::SeqCst) >= next).then_some(()).ok_or(0)
            });
        }
    }

    /// Events a second until so many more were accepted.
    fn rate(&self, events: u64) -> f64 {
        let (began, before) = (Instant::now(), self.accepted());
        wait_while_moving("the events", || {
            let count = self.accepted() - before;
            (count >= events).then_some(()).ok_or(count)
        });
        number(events) / began.elapsed().as_secs_f64()
    }
}

/// Waits for something that goes on; `condition` says how far it is.
fn wait_while_moving(what: &str, condition: impl Fn() -> Result<(), u64>) {
    let (mut last, mut since) = (u64::MAX, Instant::now());
    while let Err(now) = condition() {
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}: {now}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn list(version: u64) -> String {
    let note = "The quick brown fox jumps over the lazy dog. ".repeat(4);
    let item = |id: u64| format!(r#"{{"id":{id},"version":{version},"note":"{note}"}}"#);
    let items: Vec<_> = (0..ITEMS).map(item).collect();
    format!("[{}]", items.join(","))
}

fn main() {
    let (versions, live) = if is_quick() { (6, 2) } else { (120, 6) };
    print_versions();
    print_load("before");
    let world = World::start();
    let address = world.address;
    let daemon = Daemon::start(&format!(
        "server: {{ listen: \"off\" }}\n\
         sources:\n  tickets: {{ url: \"http://{address}/list\", every: 100ms, key: .id, flood: 1000000 }}\n\
         endpoints:\n  agent: {{ url: \"http://{address}/hook\", sign: none, concurrency: 64, \
         retry: {{ first: 1s, max: 2s, for: 3d }}, breaker: {{ failures: 10, for: 1s }} }}\n"
    ));
    world.change(1);
    let events = live * ITEMS;
    let started = Instant::now();
    let before = world.accepted();
    world.change(live);
    wait_while_moving("the live events", || {
        let count = world.accepted() - before;
        (count + ITEMS >= events).then_some(()).ok_or(count)
    });
    let live_rate = number(events) / started.elapsed().as_secs_f64();
    world.is_well.store(false, Ordering::Relaxed);
    let (mut early, mut late) = (0.0_f64, 0.0_f64);
    for part in 0..6 {
        world.change(versions / 6);
        let resident = daemon.resident_mib();
        println!("  {:>7} events wait: {resident:.0} MiB", (part + 1) * versions / 6 * ITEMS);
        if part == 0 {
            early = resident;
        }
        late = resident;
    }
    world.is_well.store(true, Ordering::Relaxed);
    wait_while_moving("a probe", || (world.accepted() > before + events).then_some(()).ok_or(0));
    let drain_rate = world.rate(versions * ITEMS * 9 / 10);
    println!("  {live_rate:.0} events a second live, {drain_rate:.0} while the backlog drains");
    let (mut growth, mut ratio) = (Rounds::default(), Rounds::default());
    growth.push(late - early);
    ratio.push(drain_rate / live_rate);
    goal("MiB more with six times as many waiting", &growth, GROWTH_MIB_MAX, at_most);
    goal("rate of draining ÷ the live rate", &ratio, DRAIN_AIM, at_least);
    print_load("after");
}
