//! How fast changes become durable events and accepted webhooks: events per second and CPU time per event, over two
//! floors measured in the same run – a signed POST loop to the same receiver, and SQLite alone.
//!
//! `cargo bench --bench delivery`; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::{Connection, TransactionBehavior, params};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio::time::Instant;

use kit::daemon::Daemon;
use kit::figures::{Rounds, at_least, at_most, goal, number, print_load, print_versions};
use kit::server::{Answers, Asked, answer, serve};
use kit::{floor, is_quick, wait_until};

/// As in the daemon, so that the floors have no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in flight, of the daemon's endpoint and of the floor.
const CONCURRENCY: usize = 64;
/// Bytes of a body that a floor sends or stores; an event is about as long.
const BODY_BYTES: usize = 1024;
/// Rows per transaction of the SQLite floor.
const BATCH: i64 = 100;
const KEY: &[u8] = b"a key of thirty-two bytes, or so";
/// The least rate, as a share of the slower floor's.
const RATE_AIM: f64 = 0.6;
/// The most CPU time, as a multiple of both floors' together.
const CPU_AIM: f64 = 2.0;

/// A list to poll and a receiver, in one server.
struct World {
    address: SocketAddr,
    listed: Arc<AtomicU64>,
    ledger: Arc<Mutex<Ledger>>,
}

/// What the receiver accepted.
#[derive(Default)]
struct Ledger {
    ids: HashSet<Box<str>>,
    repeated: u64,
    unsigned: u64,
    body_bytes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Ledger {
    fn note(&mut self, request: Asked<'_>) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.body_bytes += request.body_bytes as u64;
        let id = request.header("webhook-id").unwrap_or_default();
        self.repeated += u64::from(!self.ids.insert(id.into()));
        self.unsigned += u64::from(request.header("webhook-signature").is_none());
    }

    /// From the first to the last.
    fn span(&self) -> Duration {
        self.first.zip(self.last).map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

impl World {
    fn start(events: usize) -> Self {
        let items: Vec<String> = (0..events).map(item).collect();
        let json = "Content-Type: application/json\r\nETag: \"1\"\r\n";
        let list = answer("200 OK", json, &format!("[{}]", items.join(",")));
        let same = answer("304 Not Modified", "", "");
        let accepted = answer("200 OK", "", "");
        let (listed, ledger) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Ledger>>::default());
        let (lists, book) = (Arc::clone(&listed), Arc::clone(&ledger));
        let answers: Answers = Arc::new(move |request| {
            if request.path() == "/hook" {
                book.lock().unwrap().note(request);
                return accepted.clone();
            }
            lists.fetch_add(1, Ordering::Relaxed);
            if request.header("if-none-match").is_some() { same.clone() } else { list.clone() }
        });
        let [address] = serve(answers);
        Self { address, listed, ledger }
    }

    fn accepted(&self) -> usize {
        self.ledger.lock().unwrap().ids.len()
    }

    /// What was accepted so far; from here on, a new ledger.
    fn take(&self) -> Ledger {
        std::mem::take(&mut self.ledger.lock().unwrap())
    }
}

/// About 700 bytes, so that its event has 1 KB.
fn item(id: usize) -> String {
    let note = "The quick brown fox jumps over the lazy dog. ".repeat(15);
    format!(
        r#"{{"id":{id},"title":"Ticket number {id}","status":"open","priority":{},"assignee":{{"name":"Ada","team":{}}},"note":"{note}"}}"#,
        id % 5,
        id % 7
    )
}

/// Events per second, and CPU microseconds per event.
type Cost = (f64, f64);

fn cost(events: usize, wall: Duration, cpu: Duration) -> Cost {
    let events = number(events as u64);
    (events / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / events)
}

/// What a round of the daemon told beside its cost.
#[derive(Default)]
struct Extras {
    since_listed: Rounds,
    body_bytes: Rounds,
    peak_mib: Rounds,
    repeated: u64,
}

fn daemon_cost(world: &World, events: usize, extras: &mut Extras) -> Cost {
    let address = world.address;
    let config = format!(
        "server: {{ listen: \"off\" }}\n\
         sources:\n  tickets: {{ url: \"http://{address}/list\", every: 200ms..1h, key: .id, \
         first_poll: emit, flood: {events} }}\n\
         endpoints:\n  agent: {{ url: \"http://{address}/hook\", secret: whsec_{}, sign: standard, \
         concurrency: {CONCURRENCY} }}\n",
        BASE64_STANDARD.encode(KEY)
    );
    let lists = world.listed.load(Ordering::Relaxed);
    let daemon = Daemon::start(&config);
    wait_until("the first poll", || world.listed.load(Ordering::Relaxed) > lists);
    let (cpu, started) = (daemon.cpu(), Instant::now());
    wait_until("the last event", || world.accepted() >= events);
    let cpu = daemon.cpu().saturating_sub(cpu);
    let ledger = world.take();
    assert_eq!((ledger.ids.len(), ledger.unsigned), (events, 0));
    let since_listed = ledger.last.map_or(Duration::ZERO, |last| last - started);
    extras.since_listed.push(cost(events, since_listed, cpu).0);
    extras.body_bytes.push(number(ledger.body_bytes / (events as u64 + ledger.repeated)));
    extras.peak_mib.push(daemon.peak_mib());
    extras.repeated += ledger.repeated;
    cost(events, ledger.span(), cpu)
}

fn post_cost(world: &World, events: usize) -> Cost {
    let url = format!("http://{}/hook", world.address);
    let report = floor::run(&[String::from("post"), url, events.to_string()]);
    let ledger = world.take();
    assert_eq!((ledger.ids.len(), ledger.unsigned), (events, 0));
    cost(events, ledger.span(), report.cpu)
}

fn sqlite_cost(events: usize) -> Cost {
    let home = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = home.path().join("floor.db").to_string_lossy().into_owned();
    let report = floor::run(&[String::from("sqlite"), path, events.to_string()]);
    cost(events, report.wall, report.cpu)
}

/// In the floor's process: signs and posts so many bodies.
fn be_post_loop(url: &str, events: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(CONCURRENCY);
    let client = client.build().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    floor::report(|| {
        runtime.block_on(async {
            let mut loops = JoinSet::new();
            for _ in 0..CONCURRENCY {
                loops.spawn(post_all(client.clone(), url.to_owned(), Arc::clone(&next), events));
            }
            while let Some(ended) = loops.join_next().await {
                ended.unwrap();
            }
        });
    });
}

async fn post_all(client: reqwest::Client, url: String, next: Arc<AtomicU64>, events: usize) {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= events as u64 {
            return;
        }
        let id = format!("evt_{number:032x}");
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        mac.update(format!("{id}.1790000000.").as_bytes());
        mac.update(&body);
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", "1790000000")
            .header("webhook-signature", signature)
            .body(body.clone());
        let response = request.send().await.unwrap();
        assert!(response.status().is_success());
        drop(response.bytes().await.unwrap());
    }
}

/// In the floor's process: each transaction stores a batch of bodies and marks the one before as done.
fn be_sqlite(path: &Path, events: i64) {
    let mut conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE outbox (id INTEGER PRIMARY KEY, source TEXT NOT NULL, due INTEGER, body BLOB NOT NULL); \
         CREATE INDEX outbox_due ON outbox (due) WHERE due IS NOT NULL;",
    )
    .unwrap();
    let body = vec![b'x'; BODY_BYTES];
    floor::report(|| {
        let (mut stored, mut marked) = (0, 0);
        while marked < events {
            let batch = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            let before = stored;
            let mut mark =
                batch.prepare_cached("UPDATE outbox SET due = NULL WHERE id = ?1").unwrap();
            while marked < before {
                marked += 1;
                mark.execute([marked]).unwrap();
            }
            let sql = "INSERT INTO outbox (source, due, body) VALUES ('tickets', ?1, ?2)";
            let mut insert = batch.prepare_cached(sql).unwrap();
            while stored < events.min(before + BATCH) {
                stored += 1;
                insert.execute(params![stored, body]).unwrap();
            }
            drop((mark, insert));
            batch.commit().unwrap();
        }
    });
}

fn main() {
    if let Some(arguments) = floor::arguments() {
        let [what, at, events] = arguments.as_slice() else { panic!("not this bench's floor") };
        return match what.as_str() {
            "post" => be_post_loop(at, events.parse().unwrap()),
            _ => be_sqlite(Path::new(at), events.parse().unwrap()),
        };
    }
    let (rounds, events) = if is_quick() { (1, 2000) } else { (7, 20_000) };
    print_versions();
    print_load("before");
    println!(
        "\n{events} events, {CONCURRENCY} at a time, synchronous=FULL; {rounds} rounds: median (min–max)"
    );
    let world = World::start(events);
    let [mut posts, mut rows, mut ours] = [(); 3].map(|()| (Rounds::default(), Rounds::default()));
    let mut extras = Extras::default();
    for _ in 0..rounds {
        for (found, into) in [
            (post_cost(&world, events), &mut posts),
            (sqlite_cost(events), &mut rows),
            (daemon_cost(&world, events, &mut extras), &mut ours),
        ] {
            into.0.push(found.0);
            into.1.push(found.1);
        }
    }
    println!("{:<26}{:>28}{:>28}", "", "events per second", "CPU µs per event");
    println!("  {:<24}{:.0}{}", "signed POST loop", posts.0, posts.1);
    println!("  {:<24}{:.0}{}", "SQLite insert and mark", rows.0, rows.1);
    println!("  {:<24}{:.0}{}", "doorbell", ours.0, ours.1);
    println!("  {:<24}{:.0}", "  from the list's answer", extras.since_listed);
    println!("  {:<24}{:.0} bytes an event", "", extras.body_bytes);
    println!(
        "  {:<24}{:.0} MiB at most, {} events repeated\n",
        "", extras.peak_mib, extras.repeated
    );
    let slower = posts.0.least(&rows.0);
    goal("rate ÷ the slower floor's", &ours.0.over(&slower), RATE_AIM, at_least);
    goal(
        "CPU per event ÷ both floors' together",
        &ours.1.over(&posts.1.plus(&rows.1)),
        CPU_AIM,
        at_most,
    );
    print_load("after");
}
