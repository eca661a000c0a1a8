//! What doorbell adds between an answer that shows a change and the webhook that tells of it: from the last byte of the
//! poll's answer to the first bytes of the request, over one commit of the same kind with `synchronous=FULL` on the same
//! file system.
//!
//! `cargo bench --bench latency`; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::time::Instant;

use kit::daemon::Daemon;
use kit::figures::{Rounds, at_most, goal, print_load, print_versions};
use kit::{is_quick, wait_until};

/// Items of the list; one of them changes at each poll.
const ITEMS: u64 = 20;
/// How far apart polls are, and the commits of the floor.
const EVERY: Duration = Duration::from_millis(50);
/// Bytes of an item, about.
const ITEM_BYTES: usize = 700;
/// Bytes of an event that the floor stores; the daemon's are about as long.
const EVENT_BYTES: usize = 1024;
/// The most that is added, in commits: at the median, and at the 99th of a hundred.
const MEDIAN_AIM: f64 = 1.5;
const TAIL_AIM: f64 = 3.0;

/// An API whose list changes by one item at each poll, and a receiver; it notes when which change went out and came in.
#[derive(Default)]
struct World {
    polls: AtomicU64,
    /// When the last byte of the answer was written, by the number of the change in it.
    told: Mutex<HashMap<u64, Instant>>,
    /// When the first bytes of the request came that tells of it.
    heard: Mutex<HashMap<u64, Instant>>,
}

impl World {
    fn start() -> (Arc<Self>, SocketAddr) {
        let world = Arc::<Self>::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let world = Arc::clone(&served);
                // How a connection ends is the client's business.
                thread::spawn(move || drop(world.converse(stream)));
            }
        });
        (world, address)
    }

    /// A thread for each connection, so that none waits for another.
    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut buffer, mut request) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let length = stream.read(&mut buffer)?;
            let came = Instant::now();
            if length == 0 {
                return Ok(());
            }
            request.clear();
            request.extend_from_slice(buffer.get(..length).unwrap_or_default());
            while !is_whole(&request) {
                let length = stream.read(&mut buffer)?;
                request.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
            let text = String::from_utf8_lossy(&request);
            if text.starts_with("POST") {
                self.heard.lock().unwrap().extend(change_of(&text).map(|change| (change, came)));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            } else {
                let change = self.polls.fetch_add(1, Ordering::Relaxed);
                stream.write_all(list(change).as_bytes())?;
                let written = Instant::now();
                self.told.lock().unwrap().insert(change, written);
            }
        }
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// How long each change took from one to the other; from here on, a new book.
    fn take(&self) -> Vec<Duration> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let took = heard
            .iter()
            .filter_map(|(change, at)| Some(at.saturating_duration_since(*told.get(change)?)));
        took.collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(request.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

/// The number of the change that a webhook tells of.
fn change_of(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("\"change\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The answer to a poll: each item as its last change left it. Changes are counted from so many on that each had one.
fn list(change: u64) -> String {
    let item = |id: u64| {
        let last = change - (change + ITEMS - id) % ITEMS;
        let note = "The quick brown fox. ".repeat(ITEM_BYTES / 21);
        format!(r#"{{"id":{id},"change":{last},"status":"open","note":"{note}"}}"#)
    };
    let items: Vec<String> = (0..ITEMS).map(item).collect();
    let body = format!("[{}]", items.join(","));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the daemon adds to so many changes.
fn daemon_latencies(events: usize) -> Vec<Duration> {
    let (world, address) = World::start();
    // The first polls have nothing to compare with, and later ones warm up.
    world.polls.store(2 * ITEMS, Ordering::Relaxed);
    let every = EVERY.as_millis();
    let daemon = Daemon::start(&format!(
        "server: {{ listen: \"off\" }}\n\
         sources:\n  tickets: {{ url: \"http://{address}/list\", every: {every}ms, key: .id }}\n\
         endpoints:\n  agent: {{ url: \"http://{address}/hook\", secret: whsec_{}, sign: standard }}\n",
        "a2V5IG9mIHRoaXJ0eS10d28gYnl0ZXMsIG9yIHNvLi4u"
    ));
    wait_until("the first webhooks", || world.heard() >= events / 10);
    drop(world.take());
    wait_until("the webhooks", || world.heard() >= events);
    drop(daemon);
    world.take()
}

/// How long so many commits take, as far apart: what a poll with a change writes, in as many tables.
fn commit_latencies(events: usize) -> Vec<Duration> {
    let home = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut conn = Connection::open(home.path().join("floor.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; \
         CREATE TABLE source (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, due INTEGER NOT NULL); \
         INSERT INTO source VALUES (1, 0, 0); \
         CREATE TABLE items (id INTEGER PRIMARY KEY, content TEXT NOT NULL); \
         CREATE TABLE events (no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL); \
         CREATE TABLE deliveries (id INTEGER PRIMARY KEY, due INTEGER); \
         CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;",
    )
    .unwrap();
    let (item, event) = ("i".repeat(ITEM_BYTES), "e".repeat(EVENT_BYTES));
    let mut took = Vec::new();
    let warming = events as u64 / 10;
    for number in 0..warming + events as u64 {
        thread::park_timeout(EVERY);
        let (row, began) = (number.cast_signed(), Instant::now());
        let commit = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            commit.prepare_cached(sql).unwrap().execute(values).unwrap()
        };
        run("UPDATE source SET seq = ?1, due = ?1", params![row]);
        run("INSERT OR REPLACE INTO items VALUES (?1, ?2)", params![row % 20, item]);
        run(
            "INSERT INTO events VALUES (?1, ?2, ?3)",
            params![row, format!("evt_{row:032x}"), event],
        );
        run("INSERT INTO deliveries VALUES (?1, ?1)", params![row]);
        commit.commit().unwrap();
        if number >= warming {
            took.push(began.elapsed());
        }
    }
    took
}

/// Of so many, the one that so large a share of them is not above, in microseconds.
fn quantile(latencies: &mut [Duration], percent: usize) -> f64 {
    latencies.sort_unstable();
    let place = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
    latencies.get(place).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

/// Median and 99th of a hundred, round by round.
#[derive(Default)]
struct Found {
    median: Rounds,
    tail: Rounds,
}

impl Found {
    fn push(&mut self, mut latencies: Vec<Duration>) {
        self.median.push(quantile(&mut latencies, 50));
        self.tail.push(quantile(&mut latencies, 99));
    }
}

fn main() {
    let (rounds, events) = if is_quick() { (1, 40) } else { (5, 300) };
    print_versions();
    print_load("before");
    let rate = 1.0 / EVERY.as_secs_f64();
    println!(
        "\none of {ITEMS} items changes at each poll, {rate:.0} polls a second; {rounds} rounds of {events}: \
         median (min–max)"
    );
    let (mut commits, mut ours) = (Found::default(), Found::default());
    for _ in 0..rounds {
        commits.push(commit_latencies(events));
        ours.push(daemon_latencies(events));
    }
    println!("{:<26}{:>28}{:>28}", "", "median, µs", "99 %, µs");
    println!("  {:<24}{:.0}{:.0}", "a commit", commits.median, commits.tail);
    println!("  {:<24}{:.0}{:.0}\n", "doorbell", ours.median, ours.tail);
    let (median, tail) = (ours.median.over(&commits.median), ours.tail.over(&commits.tail));
    goal("answer to webhook ÷ a commit, median", &median, MEDIAN_AIM, at_most);
    goal("answer to webhook ÷ a commit, 99 %", &tail, TAIL_AIM, at_most);
    print_load("after");
}
