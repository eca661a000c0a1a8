//! How a start with very many sources is spread, and how little room each takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{Found, turns};
use crate::clock::{Clock, Entropy, Random};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::{Request, TransportFault};
use crate::core::ids::SourceName;
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::core::schedule::{Every, Schedule};
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::poller::gate::Gate;
use crate::poller::{Memory, Poller, Ports};
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

const SLICE_MS: usize = 100;

/// The most polls in a tenth of a second over the mean, of those that begin after these milliseconds. The slices at both
/// ends may be cut off.
fn peak(begun: impl IntoIterator<Item = i64>) -> f64 {
    let mut slices = Vec::new();
    for at in begun {
        let slice = usize::try_from(at).expect("after the start") / SLICE_MS;
        slices.resize(slices.len().max(slice + 1), 0_u32);
        slices[slice] += 1;
    }
    let before = slices.iter().position(|polls| *polls > 0).expect("some");
    let inner = &slices[before + 1..slices.len() - 1];
    let most = slices.iter().copied().max().expect("some");
    f64::from(most) * f64::from(u32::try_from(inner.len()).expect("few"))
        / f64::from(inner.iter().sum::<u32>())
}

#[test]
fn turns_are_even_for_all_and_for_those_that_follow_each_other() {
    let check = |seconds: u64, count: usize, first: f64| {
        let every = Every::Fixed(Duration::from_secs(seconds));
        let now = Timestamp::from_millis(0);
        let due = |turn| Schedule::first(every, count, now, turn).due.as_millis();
        let all = peak(turns(first).take(count).map(due));
        assert!(all <= 1.5, "{count} sources every {seconds} s: {all}");
        // Those of one API follow each other by name.
        let some = peak(turns(first).skip(count / 3).take(count / 4).map(due));
        assert!(some <= 2.0, "some of {count} sources every {seconds} s: {some}");
    };
    for first in [0.0, 0.25, 0.999] {
        check(60, 100_000, first);
        check(60, 20_000, first);
        check(300, 1_000_000, first);
        check(3_600, 50_000, first);
    }
}

/// A clock that goes on by so many microseconds whenever it is looked at.
struct Busy {
    micros: AtomicI64,
    each: i64,
}

impl Clock for Busy {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.micros.fetch_add(self.each, Ordering::Relaxed) / 1_000)
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

struct Nobody;

impl HttpClient for Nobody {
    fn exchange(&self, _: Request) -> Exchange<'_> {
        Box::pin(async { Err(TransportFault::Connect { detail: String::from("nobody") }) })
    }
}

/// A poller that takes so many microseconds to look at its clock.
fn poller(each: i64, roster: Arc<Roster>) -> Arc<Poller> {
    let clock: Arc<dyn Clock> = Arc::new(Busy { micros: AtomicI64::new(START * 1_000), each });
    let (http, telemetry) = (Arc::new(Nobody), Arc::new(Telemetry::new()));
    let entropy: Arc<dyn Entropy> = Arc::new(Random::seeded(7));
    let gate = Gate::new(
        Arc::clone(&http) as Arc<dyn HttpClient>,
        Arc::clone(&clock),
        Arc::clone(&entropy),
        Arc::clone(&telemetry),
        Wake::default(),
    );
    let ports = Ports {
        store: StoreHandle::inline(Box::new(MemoryStore::default())),
        http,
        clock,
        entropy,
        telemetry,
        redactor: Redactor::default(),
        deliver: Wake::default(),
        gate: Arc::new(gate),
        retained: watch::channel(NOTHING_FORGOTTEN).1,
    };
    Poller::new(ports, watch::channel(roster).1, Wake::default())
}

const START: i64 = 1_800_000_000_000;
const SOURCES: u32 = 30_000;

/// Very many sources that are declared alike.
fn sources(every: &str) -> Vec<Arc<Source>> {
    let text = format!("sources: {{ s: {{ url: 'http://api/list', key: .id, every: {every} }} }}");
    let config = config::load_text(&text, &Surroundings).expect("it is valid");
    let source = config.sources.first().expect("one is declared");
    let named = |number: u32| SourceName::new(format!("source-{number:06}"));
    let of = |name| Arc::new(Source::new(name, source.url.clone(), Arc::clone(&source.common)));
    (0..SOURCES).map(|number| of(named(number))).collect()
}

/// When the first polls begin, in milliseconds after the start, of sources that were stopped `away` ago if they were
/// polled before. To look at a clock takes `each` microseconds.
fn first_polls(every: &str, away: Option<Duration>, each: i64) -> Vec<i64> {
    let (sources, start) = (sources(every), Timestamp::from_millis(START));
    let poller = poller(each, Arc::default());
    poller.beginning.store(sources.len(), Ordering::Relaxed);
    let mut own = poller.begin_loop();
    let intervals = turns(0.3).map(|turn| {
        move |every: Every| every.min() + every.max().saturating_sub(every.min()).mul_f64(turn)
    });
    let known = sources.iter().zip(intervals).zip(turns(0.7).map(|turn| (turn * 7.0).fract()));
    let known = known.map(|((source, interval), turn)| {
        let (interval, away) = (interval(source.every), away?);
        let due = start.before(away).after(interval.mul_f64(turn));
        let plan = Schedule { interval, due, failures: 0 };
        Some(Arc::new(SourceState::new(source, plan)))
    });
    let found = sources.iter().zip(known).map(|(source, known)| Found { source, known });
    let planned = poller.plan_found(&mut own, found.collect());
    assert_eq!(planned.len(), sources.len());
    let now = poller.ports.clock.now();
    let late = own.agenda.next_due().expect("they are planned") < now;
    assert!(!late, "some are due before they can be polled");
    let mut begun = Vec::new();
    for milli in (now.as_millis()..).step_by(5) {
        while own.agenda.take_due(Timestamp::from_millis(milli)).is_some() {
            begun.push(milli - START);
        }
        if own.agenda.next_due().is_none() {
            break;
        }
    }
    begun
}

#[test]
fn a_start_is_flat() {
    let check = |every: &str, away_s: Option<u64>, each: i64| {
        let begun = first_polls(every, away_s.map(Duration::from_secs), each);
        assert_eq!(begun.len(), SOURCES as usize);
        let found = peak(begun);
        let what = format!("every {every}, away {away_s:?} s, {each} µs at each look");
        assert!(found <= 1.5, "{what}: {found}");
    };
    for each in [0, 30] {
        check("60s", None, each);
        check("30s..2m", None, each);
        check("60s", Some(0), each);
        check("60s", Some(15), each);
        check("60s", Some(45), each);
        check("60s", Some(3_600), each);
        check("30s..2m", Some(60), each);
        check("30s..2m", Some(3_600), each);
    }
}

#[test]
fn what_is_remembered_of_a_source_is_small() {
    for (what, bytes, bytes_max) in [
        ("the declaration", size_of::<Source>(), 56),
        ("the state", size_of::<SourceState>(), 240),
        ("the place in memory", size_of::<Memory>(), 40),
    ] {
        assert!(bytes <= bytes_max, "{what}: {bytes} bytes");
    }
}
