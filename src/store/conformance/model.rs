//! Random histories in both stores: equal answers, equal reads, also after the real one was closed and opened again.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::core::delivery::{Breaker, DeliveryState, EndpointHealth, Started, Verdict};
use crate::core::fault::Fault;
use crate::core::ids::DeliveryId;
use crate::core::plan::Holding;
use crate::core::snapshot::{Snapshot, Standing, StoredItem};
use crate::core::time::Timestamp;
use crate::store::memory::MemoryStore;
use crate::store::samples::{
    ALL, at, endpoint, event, item, key, news, page, poll, source, state, tried,
};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{
    Attempt, AttemptCommit, DeliveryFilter, DeliveryRecord, Due, EventFilter, EventRecord,
    PollCommit, Read, SourceState, Store, Tally, Write,
};

const SOURCES: [&str; 2] = ["orders", "tickets"];
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
        source: usize,
        /// Away from the true sequence number.
        stale: u64,
        upserts: Vec<(usize, u64, Standing)>,
        marks: Vec<(usize, Standing)>,
        /// Key, and endpoint with lane.
        events: Vec<(usize, Vec<Destination>)>,
    },
    Attempt {
        delivery: u64,
        number: u32,
        is_counted: bool,
        verdict: Verdict,
        health: Option<EndpointHealth>,
    },
    Endpoint(usize),
    Health(usize, EndpointHealth),
    Replay(DeliveryFilter),
    /// From, to.
    Rename(usize, usize),
    State {
        source: usize,
        stale: u64,
    },
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => (0_u32..3).prop_map(|missing| Standing::Present { missing }),
        1 => (0_i64..9).prop_map(|since| Standing::Held { since: at(since) }),
        1 => Just(Standing::Lost),
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
            failing_lane,
            last_success: at(17),
            suspended_before: Duration::from_nanos(nanos),
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
        proptest::option::weighted(0.3, 0..KEYS.len()),
        proptest::option::weighted(0.2, 0_i64..900),
        proptest::option::weighted(0.2, 0_i64..900),
    )
        .prop_map(|(after, glob, name, item, since, until)| EventFilter {
            after: after.map(crate::core::ids::EventNo),
            event_type: glob.map(String::from),
            source: name.map(|name| source(SOURCES[name])),
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
    let poll = (0..SOURCES.len(), stale(), upserts, marks, events).prop_map(
        |(source, stale, upserts, marks, events)| Deed::Poll {
            source,
            stale,
            upserts,
            marks,
            events,
        },
    );
    let attempt = (
        1_u64..30,
        prop_oneof![6 => Just(0_u32), 1 => 1_u32..3],
        proptest::bool::weighted(0.8),
        verdict(),
        proptest::option::weighted(0.3, health()),
    )
        .prop_map(|(delivery, number, is_counted, verdict, health)| Deed::Attempt {
            delivery,
            number,
            is_counted,
            verdict,
            health,
        });
    prop_oneof![
        4 => poll,
        8 => attempt,
        1 => (0..ENDPOINTS.len()).prop_map(Deed::Endpoint),
        1 => (0..ENDPOINTS.len(), health()).prop_map(|(name, health)| Deed::Health(name, health)),
        1 => delivery_filter().prop_map(Deed::Replay),
        1 => (0..SOURCES.len(), 0..SOURCES.len()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => (0..SOURCES.len(), stale()).prop_map(|(source, stale)| Deed::State { source, stale }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => proptest::collection::vec(deed(), 1..6).prop_map(Step::Group),
        1 => Just(Step::Reopen),
        1 => Just(Step::Checkpoint),
    ]
}

/// Makes a write of a deed, looking up in the model what a caller would have read.
fn write_of(deed: &Deed, model: &MemoryStore, seqs: &mut [u64; 2], now: i64) -> Write {
    match deed {
        Deed::Poll { source: index, stale, upserts, marks, events } => {
            let name = SOURCES[*index];
            let expected_seq = seqs[*index] + stale;
            let events = (expected_seq + 1..)
                .zip(events)
                .map(|(seq, (item, to))| {
                    let to: Vec<_> =
                        to.iter().map(|(name, lane)| (ENDPOINTS[*name], *lane)).collect();
                    news(event(name, KEYS[*item], seq, now), &to)
                })
                .collect();
            let commit = PollCommit {
                upserts: upserts
                    .iter()
                    .map(|(name, changes, standing)| item(KEYS[*name], *changes, *standing))
                    .collect(),
                marks: marks.iter().map(|(name, standing)| (key(KEYS[*name]), *standing)).collect(),
                ..page(name, expected_seq, events)
            };
            if *stale == 0 {
                seqs[*index] = commit.state.last_seq;
            }
            poll(commit)
        }
        Deed::Attempt { delivery, number, is_counted, verdict, health } => {
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
                at: at(now),
            }))
        }
        Deed::Endpoint(name) => Write::Endpoint { name: endpoint(ENDPOINTS[*name]), now: at(now) },
        Deed::Health(name, health) => {
            Write::Health { name: endpoint(ENDPOINTS[*name]), health: health.clone() }
        }
        Deed::Replay(filter) => Write::Replay { filter: filter.clone(), now: at(now) },
        Deed::Rename(from, to) => {
            let (from, to) = (*from, *to);
            let has_state = |index: usize| {
                model.source(&source(SOURCES[index])).expect("the model reads").is_some()
            };
            // As it stood before the group: what others of the group do is not counted on.
            if has_state(from) && !has_state(to) && seqs[to] == 0 {
                seqs.swap(from, to);
            }
            Write::Rename { from: source(SOURCES[from]), to: source(SOURCES[to]) }
        }
        Deed::State { source: index, stale } => {
            let mut learned = state(seqs[*index] + stale);
            learned.last_poll = Some(at(now));
            Write::State { source: source(SOURCES[*index]), state: Box::new(learned) }
        }
    }
}

/// All that can be read.
#[derive(Debug, PartialEq)]
struct Picture {
    sources: Vec<(crate::core::ids::SourceName, SourceState)>,
    snapshots: Vec<Snapshot>,
    items: Vec<Vec<StoredItem>>,
    held: Vec<Vec<StoredItem>>,
    holdings: Vec<Holding>,
    events: Vec<EventRecord>,
    deliveries: Vec<DeliveryRecord>,
    attempts: Vec<Vec<Attempt>>,
    due: Vec<Vec<Due>>,
    next_due: Vec<Option<Timestamp>>,
    endpoints: Vec<(crate::core::ids::EndpointName, EndpointHealth)>,
    tally: Vec<Tally>,
    replays: u64,
}

fn picture(store: &dyn Read, now: i64) -> Picture {
    let keys = KEYS.map(key);
    let names = SOURCES.map(source);
    let deliveries = store.deliveries(&DeliveryFilter::default(), ALL).expect("it reads");
    Picture {
        sources: store.sources().expect("it reads"),
        snapshots: names.iter().map(|name| store.snapshot(name).expect("it reads")).collect(),
        items: names.iter().map(|name| store.items(name, &keys).expect("it reads")).collect(),
        held: names.iter().map(|name| store.held(name).expect("it reads")).collect(),
        holdings: names.iter().map(|name| store.holding(name).expect("it reads")).collect(),
        events: store.events(&EventFilter::default(), ALL).expect("it reads"),
        attempts: deliveries
            .iter()
            .map(|delivery| store.attempts(delivery.id).expect("it reads"))
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
    let mut seqs = [0, 0];
    for (now, step) in (1_i64..).map(|step| step * 100).zip(steps) {
        match step {
            Step::Group(deeds) => {
                let writes: Vec<Write> =
                    deeds.iter().map(|deed| write_of(deed, &model, &mut seqs, now)).collect();
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
