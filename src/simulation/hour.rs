//! One simulated hour of the process's lives, and the quiet after it in which everything must come to rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::bugs::Bug;
use super::process::Process;
use super::stage::{Death, Stage, StageClock, World};
use crate::clock::Clock as _;
use crate::core::ids::UnitName;
use crate::core::report::Mode;
use crate::core::time::Timestamp;
use crate::poller::hold::Decision;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{Opening, SqliteStore};

/// How long the hour is.
const HOUR_MS: u64 = 3_600_000;
/// How long everything may take to come to rest.
const REST_MAX_MS: u64 = 3 * HOUR_MS;
const DAY_MS: i64 = 86_400_000;

/// What came of a seed.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) seed: u64,
    pub(super) trace: String,
    pub(super) rare: BTreeMap<&'static str, u64>,
    pub(super) broken: Option<String>,
    /// The end of the trace.
    pub(super) tail: String,
}

/// Plays one seed. The same seed and bug give the same trace.
pub(super) fn play(seed: u64, bug: Option<Bug>) -> Played {
    play_staged(seed, bug, |_| {}, |_| {})
}

/// Plays one seed with something arranged before; `look` has a look at how it ended.
pub(super) fn play_staged(
    seed: u64,
    bug: Option<Bug>,
    arrange: impl FnOnce(&mut Hour),
    look: impl FnOnce(&World),
) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut hour = Hour::begin(seed, bug);
        arrange(&mut hour);
        hour.pass().await;
        let mut world = hour.stage.world();
        look(&world);
        let notes = std::mem::take(&mut world.notes);
        Played {
            seed,
            tail: notes.tail(60),
            trace: notes.trace,
            rare: notes.rare,
            broken: notes.broken,
        }
    })
}

/// Where the store's files are, when it has any.
struct Files {
    home: TempDir,
    lives: u32,
}

impl Files {
    fn dir(&self) -> PathBuf {
        self.home.path().join(self.lives.to_string())
    }

    fn open(&self) -> Box<dyn Store> {
        let began = Instant::now();
        let opening = Opening { accept: false, steady: Box::new(move || began.elapsed()) };
        Box::new(SqliteStore::open(&self.dir(), opening).unwrap())
    }

    /// What is on the disk at this moment goes to another place, as a crash would leave it.
    fn crash(&mut self) {
        let from = self.dir();
        self.lives += 1;
        copy_files(&from, &self.dir());
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A directory in memory, where there is one: nothing here has to survive this machine.
fn directory() -> TempDir {
    let shared = Path::new("/dev/shm");
    let near = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    near.unwrap()
}

/// What can happen to the process, in times per hour.
#[derive(Debug)]
struct Rates {
    crash: u64,
    drain: u64,
    reload: u64,
    wall: u64,
    full: u64,
    by_hand: u64,
    /// Of a whole endpoint, by hand.
    pause: u64,
}

/// One seed under way.
pub(super) struct Hour {
    pub(super) stage: Arc<Stage>,
    pub(super) process: Option<Process>,
    files: Option<Files>,
    dice: Rng,
    rates: Rates,
    pub(super) next_audit: u64,
    pub(super) audits: u64,
    /// How long it is, in truth.
    pub(super) length_ms: u64,
}

impl Hour {
    fn begin(seed: u64, bug: Option<Bug>) -> Self {
        // Dice of its own, so that what is drawn here does not shift what the world draws.
        let mut dice = Rng::with_seed(seed ^ 0x5eed);
        let files = (seed.is_multiple_of(8) && bug.is_none())
            .then(|| Files { home: directory(), lives: 1 });
        let disk: Box<dyn Store> = match &files {
            Some(files) => files.open(),
            None => Box::new(MemoryStore::new(seed)),
        };
        let mut rate = |rates: [u64; 4]| rates[dice.usize(..4)];
        let rates = Rates {
            crash: rate([0, 4, 10, 25]),
            drain: rate([0, 1, 3, 6]),
            reload: rate([0, 2, 6, 12]),
            wall: rate([0, 0, 2, 5]),
            full: rate([0, 0, 2, 6]),
            by_hand: rate([0, 5, 10, 30]),
            pause: rate([0, 0, 2, 6]),
        };
        let stage = Stage::draw(seed, bug, disk);
        Self {
            stage,
            process: None,
            files,
            dice,
            rates,
            next_audit: 0,
            audits: 0,
            length_ms: HOUR_MS,
        }
    }

    /// Nothing happens by chance, and it lasts so long: only what is staged goes wrong.
    pub(super) fn quieten(&mut self, length_ms: u64) {
        let Rates { crash, drain, reload, wall, full, by_hand, pause } = &mut self.rates;
        for rate in [crash, drain, reload, wall, full, by_hand, pause] {
            *rate = 0;
        }
        self.length_ms = length_ms;
        let world = &mut *self.stage.world();
        world.conflict_rate = 0;
        world.receivers.quieten();
    }

    /// What the planning clock shows.
    pub(super) fn planned(&self) -> Timestamp {
        StageClock(Arc::clone(&self.stage)).now()
    }

    fn is_broken(&self) -> bool {
        self.stage.world().notes.broken.is_some()
    }

    async fn pass(&mut self) {
        self.start();
        while self.stage.world().notes.now < self.length_ms && !self.is_broken() {
            let before = self.stage.world().notes.now;
            self.tick().await;
            let tick = self.stage.world().notes.now - before;
            self.happen(tick).await;
            self.audit();
        }
        self.come_to_rest().await;
        if let Some(process) = self.process.take() {
            process.drain().await;
        }
    }

    /// Waits a moment in which the world goes on; the process may die in it.
    async fn tick(&mut self) {
        let tick = Duration::from_millis(self.dice.u64(20..400));
        let stage = Arc::clone(&self.stage);
        tokio::select! {
            biased;
            () = stage.died.notified() => self.crash().await,
            () = sleep(tick) => {}
        }
        let world = &mut *stage.world();
        if !world.notes.is_calm {
            world.api.pass(tick, &mut world.notes);
        }
        world.receivers.pass(tick, &mut world.notes);
    }

    fn start(&mut self) {
        let moved = self.stage.start_clock();
        {
            let disk = self.stage.disk();
            let world = &mut *self.stage.world();
            world.books.restart(&**disk);
            world.is_dead = false;
            world.death = None;
            world.api.restart();
            world.receivers.restart(moved, &world.books);
            world.notes.line("start");
            world.notes.sometimes("start");
            if moved {
                world.notes.sometimes("start: with another clock");
            }
        }
        self.process = Some(Process::start(&self.stage, self.dice.u64(..)));
    }

    async fn crash(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
        {
            let world = &mut *self.stage.world();
            world.is_dead = true;
            world.notes.line("crash");
            world.notes.sometimes("crash");
        }
        // Whatever was rung before this moment was meant for the process that is gone.
        let stale = tokio::time::timeout(Duration::ZERO, self.stage.died.notified()).await;
        drop(stale);
        if let Some(files) = &mut self.files {
            files.crash();
            *self.stage.disk() = files.open();
            self.stage.world().notes.sometimes("crash: files reopened");
        }
        self.pause().await;
        self.start();
    }

    async fn drain(&mut self) {
        if let Some(process) = self.process.take() {
            process.drain().await;
        }
        {
            let world = &mut *self.stage.world();
            if world.is_dead {
                world.notes.sometimes("crash: while stopping");
            }
            world.is_dead = true;
            world.notes.line("stopped");
            world.notes.sometimes("stopped in order");
        }
        if let Some(files) = &self.files {
            *self.stage.disk() = Box::new(MemoryStore::new(0));
            *self.stage.disk() = files.open();
        }
        self.pause().await;
        self.start();
    }

    /// The process is not running for a while.
    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.dice.u64(10..20_000))).await;
    }

    /// Draws what happens in a tick beside what the world does.
    async fn happen(&mut self, tick: u64) {
        let mut occurs = |per_hour: u64| self.dice.u64(..HOUR_MS) < per_hour * tick;
        let Rates { crash, drain, reload, wall, full, by_hand, pause } = &self.rates;
        let (crash, drain, reload) = (occurs(*crash), occurs(*drain), occurs(*reload));
        let (wall, full, by_hand) = (occurs(*wall), occurs(*full), occurs(*by_hand));
        let (decide, replay, resume) = (occurs(12), occurs(6), occurs(3));
        let pause = occurs(*pause);
        if crash {
            let left = self.dice.u32(..6);
            let death = match self.dice.u32(..10) {
                0..4 => return self.crash().await,
                4..7 => Death::BeforeCommit(left),
                _ => Death::AfterCommit(left),
            };
            self.stage.world().death = Some(death);
        } else if drain {
            return self.drain().await;
        }
        if reload {
            self.reload();
        }
        if wall {
            let step = [-DAY_MS, 0, 0, DAY_MS, 3_600_000][self.dice.usize(..5)];
            self.stage.set_wall(step);
            let world = &mut *self.stage.world();
            world.notes.line(&format!("wall clock set off by {step}"));
            world.notes.sometimes("wall clock set");
        }
        if full {
            let world = &mut *self.stage.world();
            world.full_until = world.notes.now + self.dice.u64(5_000..60_000);
            world.notes.line("disk full");
        }
        if by_hand {
            self.poll_by_hand();
        }
        if decide {
            self.decide();
        }
        if replay && let Some(process) = &self.process {
            process.replay().await;
        }
        if pause && let Some(process) = &self.process {
            let names: Vec<_> = self.stage.world().plan.endpoints.keys().copied().collect();
            process.pause(names[self.dice.usize(..names.len())]).await;
        }
        if resume && let Some(process) = &self.process {
            process.resume().await;
        }
    }

    fn reload(&mut self) {
        {
            let world = &mut *self.stage.world();
            let what = world.plan.reload(&mut self.dice);
            world.api.disturb();
            world.notes.line(what);
            world.notes.sometimes(what);
        }
        self.take_on();
    }

    fn take_on(&self) {
        if let Some(process) = &self.process {
            process.reload();
        }
    }

    fn poll_by_hand(&mut self) {
        let names: Vec<_> = self.stage.world().plan.sources.keys().copied().collect();
        let name = names[self.dice.usize(..names.len())];
        let mode = if self.dice.u32(..3) == 0 { Mode::DryRun } else { Mode::Commit };
        if let Some(process) = &mut self.process {
            self.stage.world().notes.sometimes("polled by hand");
            process.poll_by_hand(name, mode);
        }
    }

    /// Somebody looks at what is held, and at the API, and decides.
    fn decide(&mut self) {
        let name = "braked";
        let held = self.stage.disk().held(&UnitName::new(name)).unwrap();
        let Some(process) = &mut self.process else { return };
        let world = &mut *self.stage.world();
        let Some(desk) = world.api.desks.get(name).filter(|_| !held.is_empty()) else { return };
        if !world.plan.sources[name].is_declared {
            return;
        }
        let really = held.iter().all(|item| {
            let key = item.key.as_str();
            desk.watch.absences(key) >= 2 && !desk.truth.items.contains_key(key)
        });
        let decision = match (really, self.dice.u32(..3)) {
            (true, 0..2) => Decision::Release,
            (_, 2) => Decision::Discard,
            _ => return,
        };
        world.notes.line(&format!("held: {decision:?}"));
        world.notes.sometimes(match decision {
            Decision::Release => "held: released",
            Decision::Discard => "held: discarded",
        });
        process.decide(name, decision);
    }

    /// Nothing goes wrong any more: everything must come to rest.
    async fn come_to_rest(&mut self) {
        {
            let world = &mut *self.stage.world();
            world.notes.line("calm");
            world.notes.is_calm = true;
            world.full_until = 0;
            world.conflict_rate = 0;
            world.death = None;
            world.plan.restore();
            world.api.desks.values_mut().for_each(|desk| desk.watch.clean_polls = 0);
            world.api.disturb();
        }
        self.take_on();
        let until = self.stage.world().notes.now + REST_MAX_MS;
        let mut next_look = 0;
        while !self.is_broken() {
            self.tick().await;
            self.audit();
            let now = self.stage.world().notes.now;
            if now < next_look {
                continue;
            }
            next_look = now + 10_000;
            if let Some(process) = &self.process {
                process.resume().await;
            }
            let disk = self.stage.disk();
            let mut world = self.stage.world();
            if world.is_at_rest(&**disk) {
                world.audit_snapshots(&**disk);
                world.audit_deliveries(&**disk);
                world.audit_rest(&**disk);
                let rest = now + REST_MAX_MS - until;
                world.notes.line(&format!("at rest after {rest} ms"));
                return;
            }
            if now > until {
                let how = format!("{:?}", disk.tally());
                world.notes.broken("everything comes to rest", &how);
            }
        }
    }
}
