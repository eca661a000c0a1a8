//! What very many sources cost: how the daemon starts with them, how evenly it begins to ask, what it takes to keep
//! them when nothing changes, and in how much memory.
//!
//! The floor of keeping them is a heap of as many timers; that of asking, bare `reqwest` GETs at the same rate; that of
//! starting, the events of the YAML and as many rows of SQLite.
//!
//! "Idle" is measured in two parts, because 100,000 polls a minute cost what 1,667 exchanges a second cost: the daemon when
//! no source is due within the minute, with all that it does at times; and the poller's agenda alone, whose timers go off
//! once a minute each, as the floor's do.
//!
//! `cargo bench --bench scale`, some ten minutes; `BENCH_QUICK=1` for a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

mod kit;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorbell::gauge::Timers;
use serde_saphyr::granit_parser::{Options, Parser};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use kit::daemon::Daemon;
use kit::figures::{Rounds, at_most, goal, number, print_load, print_versions};
use kit::server::{Answers, answer, serve};
use kit::{floor, is_quick};

/// As in the daemon, so that the floors have no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Servers that the sources are spread over: so many that the courtesy of adaptive intervals is not what is measured.
const ORIGINS: usize = 256;
/// How often each source is polled, and how often each timer of the floor goes off.
const EVERY: Duration = Duration::from_mins(1);
const ETAG: &str = "\"the-same\"";
/// Requests are counted by this much time.
const SLICE: Duration = Duration::from_millis(100);
/// Slices that are counted: 20 minutes.
const SLICES: usize = 12_000;
/// How long the first round may take.
const ROUND_MAX: Duration = Duration::from_mins(4);
/// An interval at which nothing is due while it is looked.
const FAR: &str = "24h";

/// How often sources are asked.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    every: &'static str,
    /// Whether it is also watched when nothing is due.
    is_followed: bool,
}

/// In a smoke test they come round sooner.
fn cases() -> [Case; 2] {
    let (fixed, range) = if is_quick() { ("6s", "3s..1m") } else { ("60s", "30s..2m") };
    let case = |name, every, is_followed| Case { name, every, is_followed };
    [case("fixed", fixed, true), case("adaptive", range, false)]
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    sources: usize,
    /// How long the daemon is watched when all have their baseline; a minute has everything in it that is done at times.
    idle: Duration,
    /// How long a floor runs.
    floor: Duration,
}

impl Extent {
    fn new() -> Self {
        if is_quick() {
            Self { sources: 5_000, idle: Duration::from_secs(5), floor: Duration::from_secs(2) }
        } else {
            Self { sources: 100_000, idle: EVERY, floor: Duration::from_secs(20) }
        }
    }
}

/// Servers with an unchanging list, and how often they were asked for it.
struct Api {
    origins: [SocketAddr; ORIGINS],
    counts: Arc<Counts>,
}

/// Requests, by whether they are a source's first.
struct Counts {
    began: Instant,
    firsts: Vec<AtomicU64>,
    all: AtomicU64,
}

impl Counts {
    fn note(&self, is_first: bool) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let slice = self.began.elapsed().as_millis() / SLICE.as_millis();
        let slice = usize::try_from(slice).ok().and_then(|slice| self.firsts.get(slice));
        if let Some(slice) = slice.filter(|_| is_first) {
            slice.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// First requests, slice by slice, from the first slice that has some to the last. Then it begins anew.
    fn take_firsts(&self) -> Vec<u64> {
        let slices = self.firsts.iter().map(|slice| slice.swap(0, Ordering::Relaxed));
        let mut slices: Vec<u64> = slices.skip_while(|count| *count == 0).collect();
        slices.truncate(slices.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        slices
    }

    fn firsts(&self) -> u64 {
        self.firsts.iter().map(|slice| slice.load(Ordering::Relaxed)).sum()
    }
}

impl Api {
    fn start() -> Self {
        let item = r#"{"id":1,"title":"The printer is on fire","status":"open"}"#;
        let json = format!("Content-Type: application/json\r\nETag: {ETAG}\r\n");
        let list = answer("200 OK", &json, &format!("[{item}]"));
        let same = answer("304 Not Modified", &format!("ETag: {ETAG}\r\n"), "");
        let firsts = (0..SLICES).map(|_| AtomicU64::new(0)).collect();
        let counts = Arc::new(Counts { began: Instant::now(), firsts, all: AtomicU64::new(0) });
        let counter = Arc::clone(&counts);
        let answers: Answers = Arc::new(move |request| {
            let knows = request.header("if-none-match") == Some(ETAG);
            counter.note(!knows);
            if knows { same.clone() } else { list.clone() }
        });
        Self { origins: serve(answers), counts }
    }

    fn url(origins: &[SocketAddr], number: usize) -> String {
        let origin = origins.iter().cycle().nth(number % ORIGINS).unwrap();
        format!("http://{origin}/list?n={number}")
    }

    fn config(&self, case: Case, sources: usize) -> String {
        let mut config = String::from("server: { listen: \"off\" }\nsources:\n");
        for number in 0..sources {
            let (url, every) = (Self::url(&self.origins, number), case.every);
            writeln!(config, "  source-{number}: {{ url: \"{url}\", every: {every}, key: .id }}")
                .unwrap();
        }
        config
    }
}

/// What a case came to.
#[derive(Default)]
struct Figures {
    /// From the start of the process until it says that it is ready.
    start: [Effort; 2],
    /// From then until every source was asked for the first time.
    round: Effort,
    /// The most first polls in a slice, over the mean.
    peak: f64,
    /// Of a core, when all have their baseline.
    idle: f64,
    /// Requests a second meanwhile.
    rate: f64,
    /// KiB, beyond a daemon with one source.
    after_round: f64,
    after_idle: f64,
    /// The most that was in use, in MiB: cold, and warm.
    peaks: [f64; 2],
    /// When nothing is due for hours: the part of a core, and MiB.
    still: Option<(f64, f64)>,
}

#[derive(Default, Clone, Copy)]
struct Effort {
    cpu: f64,
    wall: f64,
}

/// What a process did in the course of something.
fn effort(daemon: &Daemon, work: impl FnOnce()) -> Effort {
    let (cpu, started) = (daemon.cpu(), Instant::now());
    work();
    let (cpu, wall) = (daemon.cpu().saturating_sub(cpu), started.elapsed());
    Effort { cpu: cpu.as_secs_f64(), wall: wall.as_secs_f64() }
}

fn starting(start: impl FnOnce() -> Daemon) -> (Daemon, Effort) {
    let started = Instant::now();
    let daemon = start();
    daemon.wait_until_ready();
    let effort = Effort { cpu: daemon.cpu().as_secs_f64(), wall: started.elapsed().as_secs_f64() };
    (daemon, effort)
}

/// Memory of a daemon with one source, in MiB.
fn alone_mib(api: &Api, case: Case) -> f64 {
    api.counts.take_firsts();
    let (daemon, _) = starting(|| Daemon::start(&api.config(case, 1)));
    wait_for_firsts(api, 1);
    daemon.mib()
}

fn wait_for_firsts(api: &Api, sources: usize) {
    let deadline = Instant::now() + ROUND_MAX;
    while api.counts.firsts() < sources as u64 && Instant::now() < deadline {
        std::thread::park_timeout(SLICE / 2);
    }
}

fn measure(api: &Api, case: Case, extent: Extent, alone_mib: f64) -> Figures {
    let mut figures = Figures::default();
    let sources = extent.sources;
    let kib_each = |daemon: &Daemon| (daemon.mib() - alone_mib) * 1024.0 / number(sources as u64);
    api.counts.take_firsts();
    let config = api.config(case, sources);
    let (daemon, start) = starting(|| Daemon::start(&config));
    figures.round = effort(&daemon, || wait_for_firsts(api, sources));
    let slices = api.counts.take_firsts();
    let firsts: u64 = slices.iter().sum();
    println!("{}: first polls in slices of {SLICE:?}:\n  {}", case.name, sketch(&slices));
    if firsts < sources as u64 {
        println!("  only {firsts} of {sources} within {ROUND_MAX:?}");
    }
    figures.peak = peak(&slices);
    figures.after_round = kib_each(&daemon);
    std::thread::park_timeout(extent.idle / 5);
    let asked = api.counts.all();
    let idle = effort(&daemon, || std::thread::park_timeout(extent.idle));
    figures.rate = number(api.counts.all() - asked) / idle.wall;
    figures.idle = idle.cpu / idle.wall;
    figures.after_idle = kib_each(&daemon);
    let cold_peak = daemon.peak_mib();
    let (daemon, again) = starting(|| daemon.again());
    figures.start = [start, again];
    figures.peaks = [cold_peak, daemon.peak_mib()];
    if case.is_followed {
        figures.still = Some(stand_still(api, (case, sources), extent.idle, daemon));
    }
    figures
}

/// The daemon when nothing is due for hours: what part of a core it takes, and its memory in MiB.
fn stand_still(
    api: &Api,
    (case, sources): (Case, usize),
    window: Duration,
    daemon: Daemon,
) -> (f64, f64) {
    let asked = api.counts.all();
    let daemon = daemon.again_with(&api.config(Case { every: FAR, ..case }, sources));
    daemon.wait_until_ready();
    // What was planned under the shorter interval still comes at its time.
    let deadline = Instant::now() + ROUND_MAX;
    while api.counts.all() < asked + sources as u64 && Instant::now() < deadline {
        std::thread::park_timeout(SLICE);
    }
    // Until what is done at times is done, and connections are hung up.
    std::thread::park_timeout(window.mul_f64(1.2));
    let asked = api.counts.all();
    let still = effort(&daemon, || std::thread::park_timeout(window));
    if api.counts.all() > asked {
        println!("  {} polls while nothing was to be due", api.counts.all() - asked);
    }
    (still.cpu / still.wall, daemon.mib())
}

/// The most in a slice over the mean of all but the first and the last, which are cut off.
fn peak(slices: &[u64]) -> f64 {
    let inner = slices.get(1..slices.len().saturating_sub(1)).unwrap_or_default();
    let sum: u64 = inner.iter().sum();
    let most = slices.iter().max().copied().unwrap_or_default();
    number(most) / (number(sum) / number(inner.len() as u64))
}

/// Slices, so many together that they fit on a line.
fn sketch(slices: &[u64]) -> String {
    let together = slices.len().div_ceil(20).max(1);
    let sums: Vec<String> =
        slices.chunks(together).map(|chunk| chunk.iter().sum::<u64>().to_string()).collect();
    format!("{} (each {together} slices)", sums.join(" "))
}

/// In a floor's process.
fn be_floor(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
    match words.as_slice() {
        ["heap", sources, window] => keep_timers(sources.parse().unwrap(), millis(window)),
        ["agenda", sources, window] => keep_agenda(sources.parse().unwrap(), millis(window)),
        ["get", origins, rate, window] => {
            let origins = origins.split(',').map(|origin| origin.parse().unwrap());
            get(&origins.collect::<Vec<_>>(), rate.parse().unwrap(), millis(window));
        }
        ["read", config, database] => read(config, database),
        _ => panic!("not a floor"),
    }
}

/// What a timer of the floor goes off for: the least that a source could be.
#[expect(dead_code, reason = "it is what takes room")]
struct Plain {
    url: Box<str>,
    etag: [u8; 32],
    hash: u64,
    interval: Duration,
}

/// A heap of timers, each popped when it goes off and pushed again.
fn keep_timers(sources: u32, window: Duration) {
    let mut kept = None;
    floor::report(|| {
        let plain = |number: u32| Plain {
            url: format!("http://127.0.0.1:12345/list?n={number}").into(),
            etag: [0; 32],
            hash: u64::from(number),
            interval: EVERY,
        };
        let all: Vec<Plain> = (0..sources).map(plain).collect();
        let (origin, end) = (Instant::now(), Instant::now() + window);
        let mut heap: BinaryHeap<_> = (0..sources)
            .map(|number| Reverse((EVERY.mul_f64(f64::from(number) / f64::from(sources)), number)))
            .collect();
        while Instant::now() < end {
            let now = origin.elapsed();
            while let Some(Reverse((due, number))) = heap.peek().copied()
                && due <= now
            {
                heap.pop();
                let plain = usize::try_from(number).ok().and_then(|place| all.get(place));
                heap.push(Reverse((due + plain.map_or(EVERY, |plain| plain.interval), number)));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        kept = Some((heap, all));
    });
    drop(kept);
}

/// The poller's own timers, as the floor's.
fn keep_agenda(sources: u32, window: Duration) {
    let mut kept = None;
    floor::report(|| {
        let mut timers = Timers::new(sources, EVERY);
        let (origin, end) = (Instant::now(), Instant::now() + window);
        while Instant::now() < end {
            let (_, next) = timers.go_off(origin.elapsed());
            let wait = next.saturating_sub(origin.elapsed()).max(Duration::from_millis(1));
            std::thread::park_timeout(wait.min(window));
        }
        kept = Some(timers);
    });
    drop(kept);
}

/// Bare GETs, so many a second, over a connection to each server.
fn get(origins: &[SocketAddr], rate: f64, window: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let every = Duration::from_secs_f64(number(origins.len() as u64) / rate);
    let round = |until: Instant, is_paced: bool| {
        let mut loops = JoinSet::new();
        for place in 0..origins.len() {
            let first =
                Instant::now() + every.mul_f64(number(place as u64) / number(origins.len() as u64));
            let (client, url) = (client.clone(), Api::url(origins, place));
            loops.spawn(async move {
                let mut pace = tokio::time::interval_at(first, every);
                pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    if is_paced {
                        pace.tick().await;
                    }
                    let request = client.get(&url).header("if-none-match", ETAG);
                    drop(request.send().await.unwrap().bytes().await.unwrap());
                    if Instant::now() >= until {
                        return;
                    }
                }
            });
        }
        runtime.block_on(async { while loops.join_next().await.is_some() {} });
    };
    let _entered = runtime.enter();
    // Connections first.
    round(Instant::now(), false);
    floor::report(|| round(Instant::now() + window, true));
}

/// The least that a start has to read: the events of the YAML, and a row for each source.
fn read(config: &str, database: &str) {
    floor::report(|| {
        let text = std::fs::read_to_string(config).unwrap();
        let parser = Parser::new_from_str_with_options(&text, Options::default());
        let events = parser.filter(|event| event.as_ref().is_ok()).count();
        let connection = rusqlite::Connection::open(database).unwrap();
        let mut rows = connection.prepare("SELECT name, etag, due FROM sources").unwrap();
        let rows: Vec<(String, String, i64)> = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(events > rows.len(), "every source has some");
    });
}

/// CPU seconds of [`read`].
fn reading(api: &Api, case: Case, sources: usize) -> f64 {
    let home = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("sources.yaml"), api.config(case, sources)).unwrap();
    let mut connection = rusqlite::Connection::open(path("rows.db")).unwrap();
    connection.execute_batch("CREATE TABLE sources (name TEXT, etag TEXT, due INTEGER)").unwrap();
    let rows = connection.transaction().unwrap();
    for number in 0..sources {
        let row = (format!("source-{number}"), ETAG, i64::try_from(number).unwrap());
        rows.prepare_cached("INSERT INTO sources VALUES (?, ?, ?)").unwrap().execute(row).unwrap();
    }
    rows.commit().unwrap();
    drop(connection);
    let report = floor::run(&["read".into(), path("sources.yaml"), path("rows.db")]);
    report.cpu.as_secs_f64()
}

/// What the floors came to.
struct Floors {
    /// Of a core.
    heap: f64,
    heap_kib: f64,
    /// A daemon with one source.
    alone_mib: f64,
    /// How many there are.
    sources: f64,
    /// What the poller's own timers come to, and their memory.
    agenda: f64,
    agenda_kib: f64,
    /// CPU seconds of one GET, at the rate of each case.
    gets: [f64; 2],
    /// CPU seconds.
    read: f64,
}

fn floors(api: &Api, extent: Extent, rates: [f64; 2], alone_mib: f64) -> Floors {
    let window = extent.floor.as_millis().to_string();
    // What it takes to set them up is not what it takes to keep them.
    let keeping = |what: &str| {
        let run = |window: &str| {
            floor::run(&[what.to_owned(), extent.sources.to_string(), window.to_owned()])
        };
        let (begun, kept) = (run("0"), run(&window));
        let share = kept.cpu.saturating_sub(begun.cpu).as_secs_f64() / kept.wall.as_secs_f64();
        (share, kept.mib * 1024.0 / number(extent.sources as u64))
    };
    let ((heap, heap_kib), (agenda, agenda_kib)) = (keeping("heap"), keeping("agenda"));
    let origins = api.origins.map(|origin| origin.to_string()).join(",");
    let gets = rates.map(|rate| {
        let before = api.counts.all();
        let report = floor::run(&["get".into(), origins.clone(), rate.to_string(), window.clone()]);
        let warming = ORIGINS as u64;
        report.cpu.as_secs_f64() / number(api.counts.all() - before - warming)
    });
    Floors {
        heap,
        heap_kib,
        alone_mib,
        sources: number(extent.sources as u64),
        agenda,
        agenda_kib,
        gets,
        read: reading(api, cases()[0], extent.sources),
    }
}

fn row(what: &str, figure: f64, unit: &str) {
    println!("  {what:<52}{figure:>12.3} {unit}");
}

fn one(figure: f64) -> Rounds {
    let mut rounds = Rounds::default();
    rounds.push(figure);
    rounds
}

fn print(case: Case, figures: &Figures, get: f64) {
    println!("\n{}: every {}", case.name, case.every);
    let [cold, warm] = figures.start;
    row("cold start until ready, CPU", cold.cpu, "s");
    row("cold start until ready", cold.wall, "s");
    row("warm start until ready, CPU", warm.cpu, "s");
    row("warm start until ready", warm.wall, "s");
    row("first polls of all, CPU", figures.round.cpu, "s");
    row("first polls of all", figures.round.wall, "s");
    row("first polls, most in 100 ms over the mean", figures.peak, "×");
    row("memory of a source after its first poll", figures.after_round, "KiB");
    row("memory of a source, later", figures.after_idle, "KiB");
    let [cold, warm] = figures.peaks;
    row("most memory in use, cold", cold, "MiB");
    row("most memory in use, warm", warm, "MiB");
    if let Some((cpu, mib)) = figures.still {
        row("nothing due: CPU", cpu * 100.0, "% of a core");
        row("nothing due: memory, of all", mib, "MiB");
    }
    row("unchanged: requests", figures.rate, "/s");
    row("unchanged: CPU", figures.idle * 100.0, "% of a core");
    row("  of that, as many bare GETs", get * figures.rate * 100.0, "%");
    row("  and the rest", (figures.idle - get * figures.rate) * 100.0, "%");
}

fn print_goals(case: Case, figures: &Figures, floors: &Floors, get: f64) {
    let [cold, warm] = figures.start;
    let rest = figures.idle - get * figures.rate;
    let still = figures.still.map(|(cpu, mib)| {
        let kib = (mib - floors.alone_mib) * 1024.0 / floors.sources;
        [("nothing due, % of a core", cpu * 100.0, 1.0), ("nothing due, KiB a source", kib, 1.0)]
    });
    let goals = [
        ("peak of first polls in 100 ms ÷ mean", figures.peak, 1.5),
        ("CPU of a cold start ÷ reading YAML and rows", cold.cpu / floors.read, 2.0),
        ("CPU of a warm start ÷ reading YAML and rows", warm.cpu / floors.read, 0.25),
        ("unchanged, CPU ÷ as many bare GETs", figures.idle / (get * figures.rate), 1.5),
        ("agenda, each going off once a minute, % of a core", floors.agenda * 100.0, 1.0),
        ("agenda ÷ heap of timers, CPU", floors.agenda / floors.heap, 2.0),
        ("unchanged, CPU beyond bare GETs ÷ the GETs", rest / (get * figures.rate), 0.5),
        ("KiB of memory a source", figures.after_idle, 1.0),
        ("memory ÷ plain structs in a heap", figures.after_idle / floors.heap_kib, 5.0),
    ];
    println!("\n{}: every {}", case.name, case.every);
    for (what, found, aim) in goals.into_iter().chain(still.into_iter().flatten()) {
        goal(what, &one(found), aim, at_most);
    }
}

fn main() {
    if let Some(arguments) = floor::arguments() {
        return be_floor(&arguments);
    }
    let extent = Extent::new();
    print_versions();
    print_load("before");
    println!("\n{} sources on {ORIGINS} servers", extent.sources);
    let api = Api::start();
    let cases = cases();
    let alone_mib = alone_mib(&api, cases[0]);
    let found = cases.map(|case| measure(&api, case, extent, alone_mib));
    let rates = found.each_ref().map(|figures| figures.rate.max(1.0));
    let floors = floors(&api, extent, rates, alone_mib);
    println!("\nfloors");
    row("a daemon with one source, memory", alone_mib, "MiB");
    row("heap of timers, memory of each", floors.heap_kib, "KiB");
    row("heap of timers, CPU", floors.heap * 100.0, "% of a core");
    row("the poller's agenda, memory of each", floors.agenda_kib, "KiB");
    row("the poller's agenda, CPU", floors.agenda * 100.0, "% of a core");
    row("reading YAML and rows, CPU", floors.read, "s");
    let all = || cases.iter().zip(&found).zip(floors.gets);
    for ((case, figures), get) in all() {
        print(*case, figures, get);
    }
    for ((case, figures), get) in all() {
        print_goals(*case, figures, &floors, get);
    }
    print_load("after");
}
