//! The daemon is killed at random moments under load and started again, many times: nothing is lost, nothing is made up,
//! repeats are the same bytes under the same id, and order per item holds. And these checks would notice: a build whose
//! transaction is split in two does not pass them.

mod check;
mod world;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use self::check::{Items, Told, violations};
use self::world::{SOURCES, World};
use crate::support::Daemon;
use crate::support::wait::poll_for;

/// The longest a process lives: well beyond what it takes to start, poll and ring.
const LIFE_MAX: Duration = Duration::from_millis(500);
/// How long everything that is left may take at the end.
const DRAIN_MAX: Duration = Duration::from_mins(1);
/// How long another build may take.
const BUILD_MAX: Duration = Duration::from_mins(15);
/// Violations shown.
const SHOWN_MAX: usize = 20;

/// A daemon in its world.
struct Trial {
    daemon: Daemon,
    world: World,
    baselines: BTreeMap<&'static str, Items>,
    random: fastrand::Rng,
}

/// What a trial came to, if it came to something.
#[derive(Debug)]
struct Outcome {
    events: usize,
    /// Requests beyond one for each event.
    repeats: usize,
    violations: Vec<String>,
}

impl Trial {
    /// The baselines are taken, and from now on everything changes.
    fn begin(program: &str) -> Self {
        let seed = 0x0d00_7be1;
        let mut world = World::new(seed);
        let mut daemon = Daemon::new(&world.sources_yaml());
        daemon.set_program(&[program]);
        daemon.start();
        for source in SOURCES {
            daemon.wait_until_polled(source);
        }
        let shown = world.scenery();
        let baselines = shown.sources.iter().map(|(name, it)| (*name, it.items.clone())).collect();
        drop(shown);
        world.stir();
        Self { daemon, world, baselines, random: fastrand::Rng::with_seed(seed) }
    }

    /// Kills the daemon so many times, each at some moment of its life. At times it is only asked to end.
    fn kill(&mut self, times: usize) {
        for _ in 0..times {
            let life = LIFE_MAX.mul_f64(self.random.f64());
            thread::park_timeout(life);
            if self.random.u8(..8) == 0 {
                let status = self.daemon.term();
                // Before it listens to signals, the signal ends it.
                assert!(status.success() || status.signal() == Some(15), "{status}");
            } else {
                self.daemon.kill9();
            }
            self.daemon.start_with(&[]);
        }
    }

    /// Lets everything come to rest and looks at it.
    fn end(mut self) -> Outcome {
        self.world.calm();
        self.daemon.kill9();
        self.daemon.start();
        for source in SOURCES {
            // Two complete listings for the deletions, and one that may have begun before it was calm.
            self.daemon.wait_for_good_polls(source, 4);
        }
        // What does not drain is told by the checks.
        poll_for(DRAIN_MAX, || (pending(&self.daemon) == 0).then_some(()));
        let told = told(&self.daemon);
        assert!(self.daemon.term().success());
        let scenery = self.world.scenery();
        let mut violations = violations(&scenery, &self.baselines, &told);
        violations.extend(unsound(&self.daemon.state_path().join("doorbell.db")));
        let requests: usize = scenery.ledgers.values().map(Vec::len).sum();
        let events = told.events.len();
        Outcome { events, repeats: requests - events * scenery.ledgers.len(), violations }
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

/// What the daemon says of itself.
fn told(daemon: &Daemon) -> Told {
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
    let exhausted = daemon.control_json("/v1/deliveries?status=exhausted");
    Told {
        events,
        snapshots: SOURCES.iter().map(snapshot).collect(),
        exhausted: exhausted.as_array().map_or(0, Vec::len),
    }
}

/// What `SQLite` complains about.
fn unsound(database: &Path) -> Option<String> {
    let database = rusqlite::Connection::open(database).unwrap();
    let check = database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
    check.ok().filter(|it| it != "ok")
}

/// Kills so many times and looks at the end.
fn killed(program: &str, times: usize) -> Outcome {
    let mut trial = Trial::begin(program);
    trial.kill(times);
    trial.end()
}

#[track_caller]
fn survives(times: usize) {
    let outcome = killed(env!("CARGO_BIN_EXE_doorbell"), times);
    let Outcome { events, repeats, violations } = &outcome;
    println!("{times} kills: {events} events, {repeats} repeats, {} violations", violations.len());
    let shown: Vec<_> = violations.iter().take(SHOWN_MAX).collect();
    assert!(violations.is_empty(), "{} violations: {shown:#?}", violations.len());
    assert!(*events >= times, "only {events} events: the trial tries nothing");
}

#[test]
fn forty_kills() {
    survives(40);
}

#[test]
#[ignore = "long: minutes of kills"]
fn three_hundred_kills() {
    survives(300);
}

/// The checks are worth something only if they find what they look for.
#[test]
#[ignore = "long: builds doorbell once more, with a planted bug"]
fn a_split_transaction_is_noticed() {
    let planted = build_with_planted_bugs();
    let planted = planted.to_str().unwrap();
    let noticed = (0..5).any(|_| {
        let outcome = killed(planted, 20);
        let shown: Vec<_> = outcome.violations.iter().take(3).collect();
        println!("{} events, {} violations: {shown:#?}", outcome.events, outcome.violations.len());
        !outcome.violations.is_empty()
    });
    assert!(noticed, "the transaction is split in two, and the checks saw nothing");
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
