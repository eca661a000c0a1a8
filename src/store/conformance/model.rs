//! Random histories in both stores: equal answers, equal reads, also after the real one was closed and opened again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::core::delivery::{Breaker, DeliveryState, EndpointHealth, Started, Verdict};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventNo, UnitName};
use crate::core::own::OWN_SOURCE;
use crate::core::plan::Holding;
use crate::core::sink::content::{Content, Made};
use crate::core::snapshot::{Settling, Snapshot, Standing, StoredItem};
use crate::core::time::Timestamp;
use crate::store::memory::MemoryStore;
use crate::store::samples::{
    ALL, at, endpoint, event, item, key, news, page, poll, settles, source, state, tried, unit,
};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{
    Attempt, AttemptCommit, DeliveryFilter, DeliveryRecord, Due, EventFilter, EventRecord,
    PollCommit, Read, SourceState, Store, Tally, Write,
};

const SOURCES: [&str; 2] = ["orders", "tickets"];
/// Sources, and entries of one of them.
const UNITS: [&str; 4] = ["orders", "tickets", "tickets/7", "tickets/a/b"];
const ENDPOINTS: [&str; 3] = ["agent", "audit", "sink"];
const KEYS: [&str; 4] = ["", "a", "b/ü", "c"];

/// A step of a history. Numbers are brought into range when it is taken.
#[derive(Debug, Clone)]
enum Step {
    Group(Vec<Deed>),
    Reopen,
    Checkpoint,
}

/// An endpoint and a lane.
type Destination = (usize, Option<i64>);

#[derive(Debug, Clone)]
enum Deed {
    Poll {
        unit: usize,
        /// Away from the true sequence number.
        stale: u64,
        upserts: Vec<(usize, u64, Standing)>,
        marks: Vec<(usize, Standing)>,
        /// Key, and polls; none takes it away.
        settling: Vec<(usize, Option<u32>)>,
        /// Key, and endpoint with lane.
        events: Vec<(usize, Vec<Destination>)>,
    },
    Attempt {
        delivery: u64,
        number: u32,
        is_counted: bool,
        verdict: Verdict,
        health: Option<EndpointHealth>,
        /// What is said of it, and how far from the true number.
        own: Option<u64>,
    },
    Endpoint(usize),
    Health(usize, EndpointHealth),
    Replay(DeliveryFilter),
    /// The number of an event, and an endpoint.
    Made(u64, usize),
    /// From, to.
    Rename(usize, usize),
    /// From, to: endpoints.
    RenameEndpoint(usize, usize),
    State {
        unit: usize,
        stale: u64,
    },
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => (0_u32..3).prop_map(|missing| Standing::Present { missing }),
        1 => (0_i64..9).prop_map(|since| Standing::Held { since: at(since) }),
        1 => (0_i64..9).prop_map(|since| Standing::HeldNew { since: at(since) }),
        1 => proptest::option::of((0_i64..9).prop_map(at)).prop_map(|since| Standing::Lost { since }),
        1 => Just(Standing::Deleted),
        1 => Just(Standing::Quarantined),
    ]
}

fn health() -> impl Strategy<Value = EndpointHealth> {
    let breaker = prop_oneof![
        Just(Breaker::Closed),
        (0_i64..9, 0_u32..3).prop_map(|(since, probes)| Breaker::Open {
            since: at(since),
            probe_at: at(since + 60),
            probes
        }),
        (0_i64..9).prop_map(|since| Breaker::Disabled { since: at(since) }),
    ];
    let lane = proptest::option::of(any::<i64>());
    (breaker, any::<u32>(), lane, 0_u64..1_000_000_000, any::<bool>()).prop_map(
        |(breaker, failures, failing_lane, nanos, has_fault)| EndpointHealth {
            breaker,
            failures,
            failing_since: has_fault.then(|| at(11)),
            failing_lane,
            last_success: at(17),
            suspended_before: Duration::from_nanos(nanos),
            suspended_from: has_fault.then(|| at(12)),
            paused_by_hand: has_fault.then(|| at(13)),
            paused_in_file: failing_lane.map(|_| at(14)),
            held_until: has_fault.then(|| at(15)),
            told: failing_lane.map(|_| at(16)),
            fault: has_fault.then(|| Fault::endpoint("refused", "it answered 500").final_()),
        },
    )
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Delivered),
        2 => (0_i64..3000).prop_map(|due| Verdict::RetryAt(at(due))),
        1 => Just(Verdict::Exhausted { reason: String::from("it never worked") }),
        1 => (0_i64..3000).prop_map(|due| Verdict::NotCounted { due: at(due) }),
    ]
}

fn delivery_filter() -> impl Strategy<Value = DeliveryFilter> {
    let status = proptest::option::of(0..DeliveryState::WORDS.len() + 1);
    let name = proptest::option::of(0..ENDPOINTS.len());
    (status, name, event_filter(), proptest::option::weighted(0.2, 1_u64..6)).prop_map(
        |(status, name, events, seq)| DeliveryFilter {
            endpoint: name.map(|name| endpoint(ENDPOINTS[name])),
            status: status.map(|word| {
                String::from(DeliveryState::WORDS.get(word).copied().unwrap_or("nonsense"))
            }),
            event: seq.map(|seq| event("tickets", "", seq, 0).id),
            events,
        },
    )
}

fn event_filter() -> impl Strategy<Value = EventFilter> {
    let glob = prop_oneof![Just("*"), Just("tickets.*"), Just("*[u]pdated"), Just("nothing")];
    (
        proptest::option::weighted(0.2, 0_u64..9),
        proptest::option::weighted(0.3, glob),
        proptest::option::weighted(0.3, 0..SOURCES.len()),
        proptest::option::weighted(0.2, prop_oneof![Just(""), Just("7")]),
        proptest::option::weighted(0.3, 0..KEYS.len()),
        proptest::option::weighted(0.2, 0_i64..900),
        proptest::option::weighted(0.2, 0_i64..900),
    )
        .prop_map(|(after, glob, name, entry, item, since, until)| EventFilter {
            after: after.map(crate::core::ids::EventNo),
            event_type: glob.map(String::from),
            source: name.map(|name| source(SOURCES[name])),
            entry: entry.map(EntryKey::new),
            key: item.map(|item| key(KEYS[item])),
            since: since.map(at),
            until: until.map(at),
        })
}

fn deed() -> impl Strategy<Value = Deed> {
    let delivery = (0..ENDPOINTS.len(), proptest::option::weighted(0.8, 0_i64..3));
    let events =
        proptest::collection::vec((0..KEYS.len(), proptest::collection::vec(delivery, 0..3)), 0..4);
    let upserts = proptest::collection::vec((0..KEYS.len(), 0_u64..9, standing()), 0..4);
    let marks = proptest::collection::vec((0..KEYS.len(), standing()), 0..3);
    let stale = || prop_oneof![5 => Just(0_u64), 1 => 1_u64..3];
    let settling = (0..KEYS.len(), proptest::option::weighted(0.7, 0_u32..9));
    let settling = proptest::collection::vec(settling, 0..3);
    let poll = (0..UNITS.len(), stale(), upserts, marks, settling, events).prop_map(
        |(unit, stale, upserts, marks, settling, events)| Deed::Poll {
            unit,
            stale,
            upserts,
            marks,
            settling,
            events,
        },
    );
    let attempt =
        (
            1_u64..30,
            prop_oneof![6 => Just(0_u32), 1 => 1_u32..3],
            proptest::bool::weighted(0.8),
            verdict(),
            proptest::option::weighted(0.3, health()),
            proptest::option::weighted(0.2, stale()),
        )
            .prop_map(|(delivery, number, is_counted, verdict, health, own)| {
                Deed::Attempt { delivery, number, is_counted, verdict, health, own }
            });
    prop_oneof![
        4 => poll,
        8 => attempt,
        1 => (0..ENDPOINTS.len()).prop_map(Deed::Endpoint),
        1 => (0..ENDPOINTS.len(), health()).prop_map(|(name, health)| Deed::Health(name, health)),
        1 => delivery_filter().prop_map(Deed::Replay),
        1 => (1_u64..20, 0..ENDPOINTS.len()).prop_map(|(event, name)| Deed::Made(event, name)),
        1 => (0..SOURCES.len(), 0..SOURCES.len()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => (0..ENDPOINTS.len(), 0..ENDPOINTS.len())
            .prop_map(|(from, to)| Deed::RenameEndpoint(from, to)),
        1 => (0..UNITS.len(), stale()).prop_map(|(unit, stale)| Deed::State { unit, stale }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => proptest::collection::vec(deed(), 1..6).prop_map(Step::Group),
        1 => Just(Step::Reopen),
        1 => Just(Step::Checkpoint),
    ]
}

/// The number that a commit goes on from.
fn last_seq(model: &MemoryStore, unit: &UnitName, has_events: bool) -> u64 {
    if has_events || unit.entry().is_none() {
        return model.last_seq(&unit.source()).expect("the model reads");
    }
    model.source(unit).expect("the model reads").map_or(0, |state| state.last_seq)
}

/// What an endpoint is sent of an event: one of them everything as it is.
fn content(name: &EndpointName, seq: u64) -> Content {
    match (name.as_str(), seq % 3) {
        ("agent", _) | (_, 0) => Content::Envelope,
        ("audit", 1) => Content::Unmade,
        (name, _) => Content::Made(made(&format!("{name} {seq}"))),
    }
}

fn made(body: &str) -> Made {
    Made {
        media_type: "application/json".into(),
        body: body.into(),
        is_binary: body.len().is_multiple_of(2),
    }
}

/// What doorbell says of an attempt.
fn said(model: &MemoryStore, stale: u64, now: i64) -> Box<PollCommit> {
    let before = last_seq(model, &unit(OWN_SOURCE), true) + stale;
    let told = news(event(OWN_SOURCE, "agent", before + 1, now), &[("agent", Some(7))]);
    Box::new(PollCommit::own(before, vec![told], at(now)))
}

fn replay(filter: &DeliveryFilter, now: i64) -> Write {
    Write::Replay { filter: filter.clone(), now: at(now), spacing: Duration::ZERO }
}

/// Makes a write of a deed, looking up in the model what a caller would have read.
fn write_of(deed: &Deed, model: &MemoryStore, now: i64) -> Write {
    let named = |index: &usize| endpoint(ENDPOINTS[*index]);
    match deed {
        Deed::Poll { unit: index, stale, upserts, marks, settling, events } => {
            let unit = unit(UNITS[*index]);
            let (source, entry) = (unit.source(), unit.entry());
            let expected_seq = last_seq(model, &unit, !events.is_empty()) + stale;
            let events = (expected_seq + 1..)
                .zip(events)
                .map(|(seq, (item, to))| {
                    let to: Vec<_> =
                        to.iter().map(|(name, lane)| (ENDPOINTS[*name], *lane)).collect();
                    let event = event(source.as_str(), KEYS[*item], seq, now);
                    let mut new = news(Event { entry: entry.clone(), ..event }, &to);
                    for delivery in &mut new.deliveries {
                        delivery.content = content(&delivery.endpoint, seq);
                    }
                    new
                })
                .collect();
            let commit = PollCommit {
                upserts: upserts
                    .iter()
                    .map(|(name, changes, standing)| item(KEYS[*name], *changes, *standing))
                    .collect(),
                marks: marks.iter().map(|(name, standing)| (key(KEYS[*name]), *standing)).collect(),
                settling: settling
                    .iter()
                    .map(|(name, polls)| (key(KEYS[*name]), polls.map(settles)))
                    .collect(),
                ..page(unit.as_str(), expected_seq, events)
            };
            poll(commit)
        }
        Deed::Attempt { delivery, number, is_counted, verdict, health, own } => {
            let delivery = DeliveryId(*delivery);
            let known = model.delivery(delivery).expect("the model reads");
            let next = known.map_or(1, |delivery| delivery.attempts + 1);
            Write::Attempt(Box::new(AttemptCommit {
                delivery,
                attempt: is_counted.then(|| tried(next + number, now)),
                verdict: verdict.clone(),
                started: is_counted
                    .then(|| Started { at: at(now), suspended: Duration::from_nanos(5) }),
                health: health.clone(),
                own: own.map(|stale| said(model, stale, now)),
                at: at(now),
            }))
        }
        Deed::Endpoint(name) => Write::Endpoint { name: endpoint(ENDPOINTS[*name]), now: at(now) },
        Deed::Health(name, health) => Write::Health { name: named(name), health: health.clone() },
        Deed::Replay(filter) => replay(filter, now),
        Deed::Made(event, name) => Write::Made {
            event: EventNo(*event),
            endpoint: endpoint(ENDPOINTS[*name]),
            made: made(&format!("late {now}")),
        },
        Deed::Rename(from, to) => {
            Write::Rename { from: source(SOURCES[*from]), to: source(SOURCES[*to]) }
        }
        Deed::RenameEndpoint(from, to) => {
            Write::RenameEndpoint { from: named(from), to: named(to) }
        }
        Deed::State { unit: index, stale } => {
            let unit = unit(UNITS[*index]);
            let mut learned = state(last_seq(model, &unit, false) + stale);
            (learned.last_poll, learned.ended) = (Some(at(now)), Some(at(now + 1)));
            learned.left = (now % 200 == 0).then(|| at(now + 2));
            Write::State { unit, state: Box::new(learned) }
        }
    }
}

/// All that can be read.
#[derive(Debug, PartialEq)]
struct Picture {
    states: Vec<Option<SourceState>>,
    entries: Vec<Vec<(EntryKey, SourceState)>>,
    last_seqs: Vec<u64>,
    held_units: Vec<(UnitName, u64)>,
    sources: Vec<(crate::core::ids::SourceName, SourceState)>,
    snapshots: Vec<Snapshot>,
    items: Vec<Vec<StoredItem>>,
    held: Vec<Vec<StoredItem>>,
    settling: Vec<HashMap<crate::core::ids::ItemKey, Settling>>,
    holdings: Vec<Holding>,
    events: Vec<EventRecord>,
    deliveries: Vec<DeliveryRecord>,
    contents: Vec<Content>,
    attempts: Vec<Vec<Attempt>>,
    due: Vec<Vec<Due>>,
    next_due: Vec<Option<Timestamp>>,
    endpoints: Vec<(crate::core::ids::EndpointName, EndpointHealth)>,
    tally: Vec<Tally>,
    replays: u64,
}

fn picture(store: &dyn Read, now: i64) -> Picture {
    let keys = KEYS.map(key);
    let (names, sources) = (UNITS.map(unit), SOURCES.map(source));
    let deliveries = store.deliveries(&DeliveryFilter::default(), ALL).expect("it reads");
    Picture {
        states: names.iter().map(|unit| store.source(unit).expect("it reads")).collect(),
        entries: sources.iter().map(|name| store.entries(name).expect("it reads")).collect(),
        last_seqs: sources.iter().map(|name| store.last_seq(name).expect("it reads")).collect(),
        held_units: store.held_units().expect("it reads"),
        sources: store.sources().expect("it reads"),
        snapshots: names.iter().map(|name| store.snapshot(name).expect("it reads")).collect(),
        items: names.iter().map(|name| store.items(name, &keys).expect("it reads")).collect(),
        held: names.iter().map(|name| store.held(name).expect("it reads")).collect(),
        settling: names.iter().map(|name| store.settling(name).expect("it reads")).collect(),
        holdings: sources.iter().map(|name| store.holding(name).expect("it reads")).collect(),
        events: store.events(&EventFilter::default(), ALL).expect("it reads"),
        attempts: deliveries
            .iter()
            .map(|delivery| store.attempts(delivery.id).expect("it reads"))
            .collect(),
        contents: deliveries
            .iter()
            .map(|delivery| store.content(delivery.id).expect("it reads"))
            .collect(),
        deliveries,
        due: ENDPOINTS
            .iter()
            .map(|name| {
                store
                    .due(&endpoint(name), at(now), 5, &BTreeSet::from([DeliveryId(2)]))
                    .expect("it reads")
            })
            .collect(),
        next_due: ENDPOINTS
            .iter()
            .map(|name| store.next_due(&endpoint(name), at(now)).expect("it reads"))
            .collect(),
        endpoints: store.endpoints().expect("it reads"),
        tally: store.tally().expect("it reads"),
        replays: store.replay_count(&DeliveryFilter::default()).expect("it reads"),
    }
}

fn open(dir: &TempDir) -> SqliteStore {
    let opening = Opening { accept: false, steady: Box::new(|| Duration::ZERO) };
    SqliteStore::open(dir.path(), opening).expect("it opens")
}

/// Of all unfinished deliveries of one endpoint and lane, exactly the first is pending.
fn assert_lanes(deliveries: &[DeliveryRecord]) {
    let mut heads = std::collections::HashSet::new();
    for delivery in deliveries {
        let is_head = match (&delivery.state, delivery.lane) {
            (DeliveryState::Waiting, Some(lane)) => {
                assert!(!heads.insert((&delivery.endpoint, lane)), "{} has no head", delivery.id);
                continue;
            }
            (DeliveryState::Pending { .. }, Some(lane)) => heads.insert((&delivery.endpoint, lane)),
            _ => continue,
        };
        assert!(is_head, "{} overtook another", delivery.id);
    }
}

fn check(steps: &[Step], filters: &[DeliveryFilter]) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut real = open(&dir);
    let mut model = MemoryStore::new(real.seed());
    for (now, step) in (1_i64..).map(|step| step * 100).zip(steps) {
        match step {
            Step::Group(deeds) => {
                // Each goes on from what those before it in the group will have done.
                let mut ahead = model.clone();
                let mut writes: Vec<Write> = Vec::new();
                for deed in deeds {
                    let write = write_of(deed, &ahead, now);
                    ahead.apply(std::slice::from_ref(&write)).expect("the model works");
                    writes.push(write);
                }
                let answers = real.apply(&writes).expect("the store works");
                assert_eq!(answers, model.apply(&writes).expect("the model works"), "{writes:?}");
            }
            Step::Reopen => {
                drop(real);
                real = open(&dir);
            }
            Step::Checkpoint => real.checkpoint().expect("the store works"),
        }
        let (seen, expected) = (picture(&real, now), picture(&model, now));
        assert_eq!(seen, expected);
        assert_lanes(&seen.deliveries);
    }
    for filter in filters {
        let found = |store: &dyn Read| {
            (
                store.deliveries(filter, ALL).expect("it reads"),
                store.events(&filter.events, ALL).expect("it reads"),
                store.replay_count(filter).expect("it reads"),
            )
        };
        assert_eq!(found(&real), found(&model), "{filter:?}");
    }
    real.verify().expect("everything is whole");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_the_same(
        steps in proptest::collection::vec(step(), 1..25),
        filters in proptest::collection::vec(delivery_filter(), 1..8),
    ) {
        check(&steps, &filters);
    }
}
