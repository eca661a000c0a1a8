//! The daemon is killed at every system call of a kind, one run for each, and started again: nothing is lost, nothing
//! is sent that is not stored, repeats are the same bytes, and order per item holds.
//!
//! `strace` kills it on entering the n-th call of some thread, for every n until no thread comes that far.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long any one run may take.
const RUN_MAX: Duration = Duration::from_mins(1);
/// Runs at a time: a run mostly waits for the disk.
const RUNS_AT_ONCE: usize = 4;
/// A killed process cannot have sent anything more often than once before and once after.
const REPEATS_MAX: usize = 2;

/// What the source lists, one listing after the other; the next is shown when the receiver has heard of the last.
fn listings() -> Vec<Value> {
    vec![
        json!([{"id": 1, "v": "a"}, {"id": 2, "v": "a"}]),
        json!([{"id": 1, "v": "b"}, {"id": 2, "v": "a"}, {"id": 3, "v": "é"}]),
        json!([{"id": 3, "v": "é"}, {"v": "c", "id": 1}]),
        json!([{"id": 1, "v": "b"}, {"id": 3, "v": "é"}]),
    ]
}

/// What has to have been heard of each item when all is over, in this order.
const HISTORY: &[(&str, &[&str])] = &[
    ("1", &["items.updated", "items.updated", "items.updated"]),
    ("2", &["items.deleted"]),
    ("3", &["items.created"]),
];

/// How many different events there are once a listing has been heard of.
const HEARD_AFTER: &[usize] = &[0, 2, 4, 5];

/// A webhook as it came in.
#[derive(Debug, Clone)]
struct Rung {
    id: String,
    body: Bytes,
}

impl Rung {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn seq(&self) -> u64 {
        self.event()["seq"].as_u64().unwrap()
    }

    fn text(&self, field: &str) -> String {
        self.event()[field].as_str().unwrap().to_owned()
    }
}

/// What source and receiver have seen and show.
#[derive(Debug, Default)]
struct Seen {
    /// The listing shown now.
    shown: usize,
    /// How often it was asked for since it was shown or the daemon was started.
    polls: u32,
    ledger: Vec<Rung>,
}

impl Seen {
    fn different(&self) -> usize {
        self.ledger.iter().map(|rung| &rung.id).collect::<BTreeSet<_>>().len()
    }

    /// Whether all is heard that the shown listing has to tell. The second poll of a process begins when the first is
    /// stored, so that two polls and no event mean that there is none to come.
    fn is_heard(&self) -> bool {
        self.polls >= 2
            && HEARD_AFTER.get(self.shown).is_none_or(|heard| self.different() >= *heard)
    }

    /// Shows the next listing when the time has come. True when there is none.
    fn advance(&mut self) -> bool {
        let is_last = self.shown + 1 == HEARD_AFTER.len();
        if self.is_heard() && !is_last {
            self.shown += 1;
            self.polls = 0;
        }
        is_last && self.is_heard()
    }
}

/// A source and a receiver on a port of their own, a state directory, and the daemon between them.
struct World {
    home: TempDir,
    seen: Arc<Mutex<Seen>>,
    /// Serves both; ends with the value.
    _server: JoinSet<()>,
    /// What is being tried, for messages.
    point: String,
}

impl World {
    async fn new(point: String) -> Self {
        let home = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = format!("http://{}", listener.local_addr().unwrap());
        let (polled, rung) = (Arc::clone(&seen), Arc::clone(&seen));
        let list = async move || {
            let mut seen = polled.lock().unwrap();
            seen.polls += 1;
            let listing = listings().swap_remove(seen.shown);
            ([("content-type", "application/json")], listing.to_string())
        };
        let ring = async move |headers: HeaderMap, body: Bytes| {
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            rung.lock().unwrap().ledger.push(Rung { id, body });
        };
        let routes = Router::new().route("/items", get(list)).route("/ring", post(ring));
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, routes).await.unwrap() });
        let sources = format!(
            "\
server: {{ listen: off }}
sources:
  items: {{ url: '{site}/items', every: 50ms, key: .id }}
endpoints:
  ledger: {{ url: '{site}/ring', secret: s3cret, sign: github, retry: {{ first: 100ms, max: 1s }} }}
"
        );
        std::fs::write(home.path().join("sources.yaml"), sources).unwrap();
        Self { home, seen, _server: server, point }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Everything that tells what went wrong.
    fn story(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        format!("{}: {:#?}\n{log}", self.point, self.seen.lock().unwrap())
    }

    /// The daemon's command line after a prefix, which runs it.
    fn command(&self, prefix: &[String], command: &[&str]) -> Command {
        let mut words: Vec<_> = prefix.iter().map(Into::into).collect();
        words.push(env!("CARGO_BIN_EXE_doorbell").into());
        words.extend(["--config".into(), self.path("sources.yaml").into_os_string()]);
        words.extend(["--state".into(), self.path("state").into_os_string()]);
        words.extend(command.iter().map(Into::into));
        let mut ready = Command::new(words.remove(0));
        ready.args(words).stdin(Stdio::null()).kill_on_drop(true);
        ready
    }

    fn start(&self, prefix: &[String]) -> Child {
        self.seen.lock().unwrap().polls = 0;
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(prefix, &["--log", "json", "run"]);
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Lets the script run to its end, then stops the daemon. Its exit status, which may come earlier.
    async fn run(&self, mut daemon: Child) -> ExitStatus {
        let deadline = Instant::now() + RUN_MAX;
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status;
            }
            if self.seen.lock().unwrap().advance() {
                break;
            }
            assert!(Instant::now() < deadline, "it does not come to an end\n{}", self.story());
            sleep(Duration::from_millis(10)).await;
        }
        let Some(pid) = daemon.id() else { return daemon.wait().await.unwrap() };
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.unwrap();
        let ended = timeout(RUN_MAX, daemon.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not stop\n{}", self.story())).unwrap()
    }

    /// Starts it, lets the script run to its end and stops it; anything but exit code 0 is a failure.
    async fn run_well(&self) {
        let status = self.run(self.start(&[])).await;
        assert!(status.success(), "{status}\n{}", self.story());
    }

    fn ledger(&self) -> Vec<Rung> {
        self.seen.lock().unwrap().ledger.clone()
    }

    /// The ids that the state lists as events.
    async fn stored(&self) -> BTreeSet<String> {
        let output = self.command(&[], &["--json", "events"]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.story());
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        let rows = values.flat_map(|value| match value.unwrap() {
            Value::Array(rows) => rows,
            row => vec![row],
        });
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything that has to hold at the end, whatever happened before.
    async fn check(&self) {
        let ledger = self.ledger();
        let distinct = repeats_are_the_same(&ledger);
        in_order_per_item(&ledger);
        let of_item = |key: &str| -> Vec<String> {
            let rungs = distinct.iter().filter(|rung| rung.text("key") == key);
            rungs.map(|rung| rung.text("type")).collect()
        };
        for (key, kinds) in HISTORY {
            assert_eq!(of_item(key), *kinds, "item {key}\n{}", self.story());
        }
        let seqs: Vec<_> =
            distinct.iter().map(Rung::seq).collect::<BTreeSet<_>>().into_iter().collect();
        let gapless: Vec<_> = (1..).take(distinct.len()).collect();
        assert_eq!(seqs, gapless, "seq rises without gaps\n{}", self.story());
        assert_eq!(folded(&distinct), as_items(listings().last().unwrap()), "{}", self.story());
        let sent: BTreeSet<_> = distinct.iter().map(|rung| rung.id.clone()).collect();
        assert_eq!(self.stored().await, sent, "stored (left) and sent (right)\n{}", self.story());
        databases_are_sound(&self.path("state"));
    }
}

/// The first ringing of each event, by `seq`. Every other one of the same id has to have the same bytes.
fn repeats_are_the_same(ledger: &[Rung]) -> Vec<Rung> {
    let mut first = BTreeMap::<&str, (&Rung, usize)>::new();
    for rung in ledger {
        let (known, count) = first.entry(&rung.id).or_insert((rung, 0));
        *count += 1;
        assert_eq!(known.body, rung.body, "{} has two bodies", rung.id);
        assert!(*count <= REPEATS_MAX, "{} was sent {count} times", rung.id);
    }
    let mut distinct: Vec<_> = first.into_values().map(|(rung, _)| rung.clone()).collect();
    distinct.sort_by_key(Rung::seq);
    distinct
}

/// No ringing of an item comes after a later one of the same item.
fn in_order_per_item(ledger: &[Rung]) {
    let mut last = BTreeMap::new();
    for rung in ledger {
        let before = last.insert(rung.text("key"), rung.seq()).unwrap_or(0);
        assert!(before <= rung.seq(), "{} came after {before}: {ledger:#?}", rung.seq());
    }
}

/// A listing by key.
fn as_items(listing: &Value) -> BTreeMap<String, Value> {
    let rows = listing.as_array().unwrap();
    rows.iter().map(|item| (item["id"].to_string(), item.clone())).collect()
}

/// The baseline with all events applied, each of which has to fit what is there.
fn folded(events: &[Rung]) -> BTreeMap<String, Value> {
    let mut items = as_items(listings().first().unwrap());
    for rung in events {
        let (event, key) = (rung.event(), rung.text("key"));
        let there = items.remove(&key);
        match rung.text("type").as_str() {
            "items.created" => assert_eq!(there, None, "{event}"),
            "items.updated" => assert_eq!(there.as_ref(), Some(&event["previous"]), "{event}"),
            "items.deleted" => {
                assert_eq!(there.as_ref(), Some(&event["data"]), "{event}");
                continue;
            }
            other => panic!("{other}: {event}"),
        }
        items.insert(key, event["data"].clone());
    }
    items
}

/// `SQLite` has no complaint about any database in there.
fn databases_are_sound(state: &Path) {
    let mut count = 0;
    for entry in std::fs::read_dir(state).unwrap() {
        let path = entry.unwrap().path();
        let is_database =
            std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
        if is_database {
            let database = rusqlite::Connection::open(&path).unwrap();
            let check =
                database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
            assert_eq!(check.as_deref(), Ok("ok"), "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "no database in {}", state.display());
}

/// One run, killed at the n-th call. False when no thread came that far: then it ran to its end undisturbed.
async fn survives(calls: &'static str, nth: u32) -> bool {
    let world = World::new(format!("killed at {calls} number {nth}")).await;
    let inject = format!("inject={calls}:signal=SIGKILL:when={nth}");
    let trace = format!("trace={calls}");
    // With -D the tracer is the child, and what we start and wait for is the daemon itself.
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let status = world.run(world.start(&strace.map(str::to_owned))).await;
    let was_killed = status.signal() == Some(9);
    assert!(was_killed || status.success(), "{status}\n{}", world.story());
    if was_killed {
        world.run_well().await;
    }
    // Once more: what was stored is what the source lists, so there is nothing new to tell.
    let heard = world.ledger().len();
    world.run_well().await;
    assert_eq!(world.ledger().len(), heard, "it rings again after a clean stop\n{}", world.story());
    world.check().await;
    was_killed
}

/// Kills at every n until n is not reached, at most to a bound; at least so many points have to be there.
async fn survives_each(calls: &'static str, points: RangeInclusive<u32>) {
    let mut killed = 0;
    let bound = *points.end();
    for first in (1..=bound).step_by(RUNS_AT_ONCE) {
        let mut runs = JoinSet::new();
        for nth in (first..=bound).take(RUNS_AT_ONCE) {
            runs.spawn(survives(calls, nth));
        }
        let outcomes = runs.join_all().await;
        killed += outcomes.iter().filter(|was_killed| **was_killed).count();
        if outcomes.contains(&false) {
            break;
        }
    }
    println!("{calls}: killed at {killed} points");
    let enough = usize::try_from(*points.start()).unwrap();
    assert!(killed >= enough, "only {killed} points for {calls}: the trial tries nothing");
}

macro_rules! crash_points {
    ($($name:ident: $calls:literal, $points:expr;)*) => {$(
        #[tokio::test]
        #[ignore = "long: needs strace"]
        async fn $name() {
            survives_each($calls, $points).await;
        }
    )*};
}

// What SQLite and the mark outside of it write with; then the network, where each poll and each attempt is a point.
crash_points! {
    killed_before_every_write_at_a_place: "pwrite64", 10..=400;
    // Which of the two SQLite uses is decided when it is built.
    killed_before_every_sync: "fsync,fdatasync", 3..=300;
    killed_before_every_truncation: "ftruncate", 0..=100;
    killed_before_every_rename: "?rename,renameat,renameat2", 0..=100;
    killed_before_every_removal: "?unlink,unlinkat", 0..=100;
    killed_before_sending: "sendto,writev", 3..=60;
    killed_before_receiving: "recvfrom,?recvmsg", 3..=60;
}
