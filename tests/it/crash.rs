//! The daemon is killed at random moments under load and started again, many times, while receivers refuse, hang, break off
//! and are gone for a while, and people pause, resume, replay and reload: nothing is lost, nothing is made up, every event
//! keeps its bytes and id everywhere, order per item and per endpoint holds, and every failing endpoint is told once. And
//! these checks would notice: builds with planted bugs do not pass them.

mod check;
mod hands;
mod world;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use self::check::{Delivery, Items, Told, violations};
use self::hands::{Done, Hands};
use self::world::{FRAIL, HANDLED, OWN, SOURCES, World};
use crate::support::Daemon;
use crate::support::wait::poll_for;

/// The longest a process lives: well beyond what it takes to start, poll and ring.
const LIFE_MAX: Duration = Duration::from_millis(500);
/// How long everything that is left may take at the end.
const DRAIN_MAX: Duration = Duration::from_mins(2);
/// How long another build may take.
const BUILD_MAX: Duration = Duration::from_mins(15);
/// Violations shown.
const SHOWN_MAX: usize = 20;

/// A daemon in its world.
struct Trial {
    daemon: Daemon,
    world: World,
    hands: Hands,
    baselines: BTreeMap<&'static str, Items>,
    random: fastrand::Rng,
}

/// What a trial came to, if it came to something.
struct Outcome {
    events: usize,
    /// Of the requests, those that were refused in one way or another.
    refused: usize,
    /// Requests beyond one for each delivery, refused or not.
    repeats: usize,
    /// Deliveries because somebody wanted them again.
    replays: usize,
    /// How often an endpoint was told to fail, and to be gone.
    failing: usize,
    disabled: usize,
    done: Done,
    violations: Vec<String>,
}

impl Trial {
    /// The baselines are taken, and from now on everything changes. `bug` is for builds that have one planted.
    fn begin(program: &str, bug: &str) -> Self {
        let seed = 0x0d00_7be1;
        let mut world = World::new(seed);
        let mut daemon = Daemon::new(&world.sources_yaml(false));
        daemon.set_program(&[program]);
        daemon.set_env("PLANTED_BUG", bug);
        daemon.start();
        for source in SOURCES {
            daemon.wait_until_polled(source);
        }
        let shown = world.scenery();
        let baselines = shown.sources.iter().map(|(name, it)| (*name, it.items.clone())).collect();
        drop(shown);
        world.stir();
        let (hands, random) = (Hands::new(seed), fastrand::Rng::with_seed(seed));
        Self { daemon, world, hands, baselines, random }
    }

    /// Kills the daemon so many times, each at some moment of its life. At times it is only asked to end.
    fn kill(&mut self, times: usize) {
        for _ in 0..times {
            let life = LIFE_MAX.mul_f64(self.random.f64());
            let early = life.mul_f64(self.random.f64());
            thread::park_timeout(early);
            let hand = self.hands.in_a_life(&self.daemon, &self.world);
            thread::park_timeout(life.saturating_sub(early));
            if self.random.u8(..8) == 0 {
                let status = self.daemon.term();
                // Before it listens to signals, the signal ends it; that of a reload, too.
                let is_signal = matches!(status.signal(), Some(1 | 15));
                assert!(status.success() || is_signal, "{status}");
            } else {
                self.daemon.kill9();
            }
            if let Some(count) = hand.and_then(|hand| hand.join().unwrap()) {
                self.hands.done.replayed += count;
            }
            self.hands.between_lives(&self.daemon, &self.world);
            self.daemon.start_with(&[]);
        }
    }

    /// Lets everything come to rest and looks at it.
    fn end(mut self) -> Outcome {
        self.world.calm();
        self.daemon.kill9();
        self.daemon.start();
        self.world.scenery().is_paused = false;
        for endpoint in [FRAIL, HANDLED] {
            let path = format!("/v1/endpoints/{endpoint}/resume");
            let answer = self.daemon.control("POST", &path, Some(&json!({}))).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        for source in SOURCES {
            // Two complete listings for the deletions, and one that may have begun before it was calm.
            self.daemon.wait_for_good_polls(source, 4);
        }
        // What does not drain is told by the checks.
        if poll_for(DRAIN_MAX, || (pending(&self.daemon) == 0).then_some(())).is_none() {
            println!("it does not drain: {:#}", self.daemon.control_json("/v1/endpoints"));
        }
        let (events, snapshots) = told(&self.daemon);
        assert!(self.daemon.term().success());
        let database = self.daemon.state_path().join("doorbell.db");
        let told = Told { events, snapshots, deliveries: deliveries(&database) };
        let scenery = self.world.scenery();
        let mut violations = violations(&scenery, &self.baselines, &told);
        violations.extend(unsound(&database));
        let replays = told.deliveries.iter().filter(|it| it.is_replay).count();
        if (replays as u64) < self.hands.done.replayed {
            let said = self.hands.done.replayed;
            violations.push(format!("{replays} replays are stored, and {said} were said to be"));
        }
        let rungs = || scenery.ledgers.values().flatten();
        let news = |word: &str| {
            let word = format!("doorbell.endpoint.{word}");
            told.events.iter().filter(|it| it["type"] == word.as_str()).count()
        };
        Outcome {
            events: told.events.iter().filter(|it| it["source"] != OWN).count(),
            refused: rungs().filter(|rung| !rung.is_accepted).count(),
            repeats: rungs().count().saturating_sub(told.deliveries.len()),
            replays,
            failing: news("failing"),
            disabled: news("disabled"),
            done: self.hands.done,
            violations,
        }
    }
}

/// Deliveries not settled yet.
fn pending(daemon: &Daemon) -> usize {
    let status = |word| {
        let rows = daemon.control_json(&format!("/v1/deliveries?status={word}&limit=1"));
        rows.as_array().unwrap().len()
    };
    status("pending") + status("waiting")
}

/// What the daemon says of itself: its events, and what it knows of each source.
fn told(daemon: &Daemon) -> (Vec<Value>, BTreeMap<String, Items>) {
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        let page = daemon.control_json(&format!("/v1/events?after={after}&limit=1000"));
        let rows = page["events"].as_array().unwrap();
        events.extend(rows.iter().map(|row| row["event"].clone()));
        match page["cursor"].as_u64() {
            Some(cursor) => after = cursor,
            None => break,
        }
    }
    let snapshot = |source: &&str| {
        let rows = daemon.control_json(&format!("/v1/sources/{source}/items"));
        let present = rows.as_array().unwrap().iter().filter(|row| row["standing"] == "present");
        let items =
            present.map(|row| (row["key"].as_str().unwrap().to_owned(), row["item"].clone()));
        ((*source).to_owned(), items.collect())
    };
    (events, SOURCES.iter().map(snapshot).collect())
}

/// All deliveries: more than a listing shows.
fn deliveries(database: &Path) -> Vec<Delivery> {
    let database = rusqlite::Connection::open(database).unwrap();
    let sql = "SELECT e.id, p.name, d.trigger = 'replay', d.status = 'delivered' FROM deliveries d \
        JOIN events e ON e.no = d.event JOIN endpoints p ON p.id = d.endpoint";
    let mut rows = database.prepare(sql).unwrap();
    let rows = rows.query_map((), |row| {
        Ok(Delivery {
            event: row.get(0)?,
            endpoint: row.get(1)?,
            is_replay: row.get(2)?,
            is_delivered: row.get(3)?,
        })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// What `SQLite` complains about.
fn unsound(database: &Path) -> Option<String> {
    let database = rusqlite::Connection::open(database).unwrap();
    let check = database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
    check.ok().filter(|it| it != "ok")
}

/// Kills so many times and looks at the end.
fn killed(program: &str, bug: &str, times: usize) -> Outcome {
    let mut trial = Trial::begin(program, bug);
    trial.kill(times);
    trial.end()
}

/// What it is all about did happen: each rare thing so often at least.
#[track_caller]
fn survives(times: usize, least: usize) {
    let outcome = killed(env!("CARGO_BIN_EXE_doorbell"), "", times);
    let Outcome { events, refused, repeats, replays, failing, disabled, done, violations } =
        &outcome;
    println!(
        "{times} kills: {events} events, {repeats} repeats, {refused} refusals, {replays} sent again by wish, \
         {failing} times failing, {disabled} times gone, {done:?}, {} violations",
        violations.len()
    );
    let shown: Vec<_> = violations.iter().take(SHOWN_MAX).collect();
    assert!(violations.is_empty(), "{} violations: {shown:#?}", violations.len());
    assert!(*events >= times, "only {events} events: the trial tries nothing");
    let done = [done.pauses, done.reloads, done.replays].map(|it| usize::try_from(it).unwrap());
    let rare = [*failing, *refused, *repeats, *replays];
    assert!(done.into_iter().chain(rare).all(|it| it >= least), "too little happened");
}

#[test]
fn forty_kills() {
    survives(40, 1);
}

#[test]
#[ignore = "long: minutes of kills"]
fn a_thousand_kills() {
    survives(1000, 20);
}

/// The checks are worth something only if they find what they look for.
#[test]
#[ignore = "long: builds doorbell once more, with planted bugs"]
fn planted_bugs_are_noticed() {
    let planted = build_with_planted_bugs();
    let planted = planted.to_str().unwrap();
    for bug in ["split-poll", "split-attempt", "no-lanes"] {
        let noticed = (0..8).any(|_| {
            let outcome = killed(planted, bug, 20);
            let (count, shown) = (outcome.violations.len(), outcome.violations.first());
            println!("{bug}: {} events, {count} violations: {shown:#?}", outcome.events);
            count > 0
        });
        assert!(noticed, "{bug} is planted, and the checks saw nothing");
    }
}

/// Builds the executable with the feature `planted-bugs`, beside all other builds.
fn build_with_planted_bugs() -> PathBuf {
    let here = Path::new(env!("CARGO_BIN_EXE_doorbell"));
    let target = here.ancestors().nth(2).unwrap().join("planted-bugs");
    let mut build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--bin", "doorbell", "--features", "planted-bugs"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let Some(status) = poll_for(BUILD_MAX, || build.try_wait().unwrap()) else {
        build.kill().unwrap();
        build.wait().unwrap();
        panic!("the build took longer than {BUILD_MAX:?}");
    };
    assert!(status.success(), "the build failed");
    target.join("debug/doorbell")
}
