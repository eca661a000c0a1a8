//! What every store must do, sentence by sentence of the traits' documentation; and, in [`model`], whatever the two
//! stores do differently.

mod contents;
mod entries;
mod listings;
mod model;
mod names;
mod retention;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Hold, Holder, Kept, KeptWindow, Rate, Spent};
use crate::core::delivery::{Breaker, DeliveryState, EndpointHealth, Started, Trigger, Verdict};
use crate::core::extract::Shape;
use crate::core::fault::Fault;
use crate::core::ids::{DeliveryId, EventId, EventNo, SourceName};
use crate::core::schedule::rate::Found;
use crate::core::snapshot::{BodyHash, Standing};
use crate::core::source::{Baseline, SourceState, Validator};
use crate::store::memory::MemoryStore;
use crate::store::samples::{
    ALL, at, delivered, done, endpoint, event, events, item, key, news, page, poll, present,
    settle, source, state, tried, unit,
};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{
    AttemptCommit, DeliveryFilter, Due, DueDelivery, EventFilter, PollCommit, Refusal, Slice,
    Store, Write, Written,
};

/// A case, on a new store.
type Case = fn(&mut dyn Store);

/// What each case proves, and the case.
const CASES: [(&str, Case); 41] = [
    ("a new state is empty", empty),
    ("a poll's page changes everything together", page_changes_everything),
    ("a source's state comes back whole", state_comes_back),
    ("a page from an older state is refused without a trace", stale_page),
    ("a refused write leaves its group alone", refusal_in_group),
    ("event numbers go on over sources", event_numbers),
    ("a mark changes the standing alone", marks),
    ("whole items come in the order asked", items_in_order),
    ("held items come by key", held_items),
    ("state without events is kept unless events came", state_alone),
    ("a delivery makes its endpoint known", endpoint_from_delivery),
    ("an endpoint's health is kept when it is made known again", endpoint_known),
    ("a person's word replaces health", health_by_person),
    ("a lane goes out one after the other", lanes),
    ("lanes of other endpoints and no lane wait for nothing", lanes_apart),
    ("an attempt is recorded with its outcome", attempts),
    ("only the next attempt of a pending delivery counts", stale_attempts),
    ("what is due comes longest due first", due_order),
    ("a refresh token is kept under its settings and its first one", tokens),
    ("what was spent of a limit is kept until it is another", budgets),
    ("events are found by every filter", listings::event_filters),
    ("deliveries are found by every filter", listings::delivery_filters),
    ("a replay sends each pair once, in the events' order", listings::replay),
    ("a replay leaves out what is under way", listings::replay_under_way),
    ("a replay in no hurry is spaced", listings::replay_spaced),
    ("deliveries are counted where they stand", listings::tally),
    ("a source goes on under another name", names::renamed),
    ("a name with a state is left alone", names::not_renamed),
    ("entries go along under another name", names::entries_renamed),
    ("entries are apart, their numbers are not", entries::apart),
    ("entries that left hold nothing", entries::held_ones),
    ("what an endpoint is sent is fixed with its event", contents::fixed),
    ("what could not be made is made once", contents::made_late),
    ("what was settled long ago is found and forgotten", retention::forgotten),
    ("looks at events go on where they ended", retention::looks),
    ("what lapses frees its lane", retention::lapsed),
    ("what lapses is told with it or not at all", retention::told),
    ("what was emptied remains as an entry", retention::emptied),
    ("how late it was is kept", retention::seen),
    ("what would wait for too long is due now", retention::hastened),
    ("entries that left are unlearned, their source's numbers are not", retention::departed),
];

/// Runs every case on a store of its own.
fn suite(open: impl Fn() -> Box<dyn Store>) {
    for (what, case) in CASES {
        println!("{what}");
        case(open().as_mut());
    }
}

#[test]
fn memory_conforms() {
    suite(|| Box::new(MemoryStore::new(7)));
}

#[test]
fn sqlite_conforms() {
    let dirs = RefCell::new(Vec::new());
    suite(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let opening = Opening { accept: false, steady: Box::new(|| Duration::ZERO) };
        let store = SqliteStore::open(dir.path(), opening).expect("it opens");
        dirs.borrow_mut().push(dir);
        Box::new(store)
    });
}

fn refused(store: &mut dyn Store, write: Write) -> Refusal {
    let answers = store.apply(&[write]).expect("the store works");
    let [answer]: [_; 1] = answers.try_into().expect("one answer for one write");
    answer.expect_err("the write is refused")
}

fn delivery_state(store: &dyn Store, id: u64) -> DeliveryState {
    store.delivery(DeliveryId(id)).expect("it reads").expect("it exists").state
}

fn due_ids(store: &dyn Store, name: &str, now: i64) -> Vec<u64> {
    let due = store.due(&endpoint(name), at(now), 100, &BTreeSet::new()).expect("it reads");
    due.into_iter().filter_map(Due::whole).map(|due| due.delivery.id.0).collect()
}

fn event_nos(store: &dyn Store, filter: &EventFilter, slice: Slice) -> Vec<u64> {
    let events = store.events(filter, slice).expect("it reads");
    events.into_iter().map(|record| record.no.0).collect()
}

fn delivery_ids(store: &dyn Store, filter: &DeliveryFilter, slice: Slice) -> Vec<u64> {
    let deliveries = store.deliveries(filter, slice).expect("it reads");
    deliveries.into_iter().map(|record| record.id.0).collect()
}

fn counted(store: &dyn Store) -> Vec<(String, &'static str, u64)> {
    let tallies = store.tally().expect("it reads");
    tallies
        .into_iter()
        .map(|tally| (tally.endpoint.to_string(), tally.status, tally.count))
        .collect()
}

fn empty(store: &mut dyn Store) {
    assert_eq!(store.apply(&[]).expect("it works"), vec![]);
    assert_eq!(store.sources().expect("it reads"), vec![]);
    assert_eq!(store.source(&unit("tickets")).expect("it reads"), None);
    assert!(store.snapshot(&unit("tickets")).expect("it reads").len() == 0);
    assert_eq!(event_nos(store, &EventFilter::default(), ALL), Vec::<u64>::new());
    assert_eq!(store.event(&EventId::new("evt_1")).expect("it reads"), None);
    assert_eq!(store.delivery(DeliveryId(1)).expect("it reads"), None);
    assert_eq!(store.attempts(DeliveryId(1)).expect("it reads"), vec![]);
    assert_eq!(due_ids(store, "agent", i64::MAX), Vec::<u64>::new());
    assert_eq!(store.next_due(&endpoint("agent"), at(0)).expect("it reads"), None);
    assert_eq!(counted(store), vec![]);
    store.checkpoint().expect("it works");
}

fn tokens(store: &mut dyn Store) {
    let key =
        |settings, configured| TokenKey { settings: [settings; 16], configured: [configured; 16] };
    let keep = |key, sealed: &[u8]| Write::Token { key, sealed: sealed.to_vec(), at: at(5) };
    for (settings, configured, sealed) in
        [(1, 1, &b"a"[..]), (1, 2, b"b"), (2, 1, b""), (1, 1, b"c\0\xff")]
    {
        assert_eq!(done(store, keep(key(settings, configured), sealed)), Written::Done);
    }
    let kept = |key| store.token(&key).expect("it reads");
    assert_eq!(kept(key(1, 1)), Some(b"c\0\xff".to_vec()));
    assert_eq!(kept(key(1, 2)), Some(b"b".to_vec()));
    assert_eq!(kept(key(2, 1)), Some(Vec::new()));
    assert_eq!(kept(key(2, 2)), None);
}

fn budgets(store: &mut dyn Store) {
    let kept = |millis: i64, left: u32| {
        let (count, period) = (NonZeroU32::MIN, Duration::from_mins(1));
        let rate = Rate { count, period, burst: NonZeroU32::new(left) };
        let windows = vec![KeptWindow { rate, taken: (at(millis), left) }; 2];
        Kept::Spent(Spent { at: at(millis), overdraft_s: -0.5, windows })
    };
    let (api, source) =
        (Holder::Api(String::from("a b")), Holder::Source(SourceName::new("tickets")));
    assert_eq!(store.budgets().expect("it reads"), vec![]);
    let write = Write::Budgets(vec![(source.clone(), kept(1, 0)), (api.clone(), kept(2, 3))]);
    assert_eq!(done(store, write), Written::Done);
    assert_eq!(done(store, Write::Budgets(vec![(source.clone(), kept(7, 1))])), Written::Done);
    let hold = Hold { origin: String::from("https://a"), credential: Some(7), until: at(9) };
    for holds in [vec![hold.clone(), hold.clone()], vec![hold.clone()]] {
        done(store, Write::Budgets(vec![(Holder::Servers, Kept::Holds(holds))]));
    }
    let holds = Kept::Holds(vec![hold]);
    let expected = vec![(api, kept(2, 3)), (Holder::Servers, holds), (source, kept(7, 1))];
    assert_eq!(store.budgets().expect("it reads"), expected);
}

fn page_changes_everything(store: &mut dyn Store) {
    let commit = PollCommit {
        upserts: vec![present("a", 1), item("b", 2, Standing::Deleted)],
        ..page("tickets", 0, vec![news(event("tickets", "a", 1, 500), &[("agent", Some(9))])])
    };
    let (numbers, handed_over) = events(done(store, poll(commit.clone())));
    assert_eq!(numbers, (1, 1));
    assert_eq!(store.source(&unit("tickets")).expect("it reads"), Some(commit.state));
    let snapshot = store.snapshot(&unit("tickets")).expect("it reads");
    assert_eq!(snapshot.len(), 2);
    for item in &commit.upserts {
        assert_eq!(snapshot.get(&item.key), Some(&item.entry));
    }
    let id = EventId::new("evt_tickets_1");
    let record = store.event(&id).expect("it reads").expect("it exists");
    assert_eq!((record.no, &record.event), (EventNo(1), &commit.events[0].event));
    let due = store.due(&endpoint("agent"), at(500), 10, &BTreeSet::new()).expect("it reads");
    let [Due::Whole(due)] = due.as_slice() else { panic!("one whole delivery, not {due:?}") };
    assert_eq!(handed_over, [DueDelivery::clone(due)]);
    assert_eq!(due.event, record.event);
    let delivery = &due.delivery;
    assert_eq!(delivery.state, DeliveryState::Pending { due: at(500) });
    assert_eq!((delivery.lane, delivery.trigger), (Some(9), Trigger::Change));
    assert_eq!((delivery.created_at, delivery.attempts), (at(500), 0));
    assert_eq!((delivery.event_no, &delivery.event_id), (EventNo(1), &id));
    assert_eq!((delivery.event_type.as_str(), delivery.seq), ("tickets.updated", 1));
    assert_eq!((&delivery.source, &delivery.key), (&source("tickets"), &key("a")));
    assert_eq!(store.delivery(delivery.id).expect("it reads").as_ref(), Some(delivery));
}

fn state_comes_back(store: &mut dyn Store) {
    let full = SourceState {
        shape: Some(Shape::List),
        baseline: Baseline::Taken { at: at(1) },
        validator: Some(Validator::ETag("W/\"x\"".into())),
        body_hash: Some(BodyHash([251; 16])),
        has_missing: true,
        last_poll: Some(at(2)),
        last_success: Some(at(3)),
        last_change: Some(at(-4)),
        not_before: Some(at(90_001)),
        fault: Some(Box::new((Fault::source("timeout", "no answer in time").final_(), at(5)))),
        ..state(0)
    };
    let date = String::from("Sat, 21 Nov 2026 03:00:00 GMT");
    let mut object = SourceState {
        shape: Some(Shape::Object),
        baseline: Baseline::Due { silent: false },
        validator: Some(Validator::LastModified(date.into())),
        ..state(0)
    };
    object.schedule.interval = Duration::new(7, 123_456_789);
    object.schedule.failures = u32::MAX;
    object.rate.observe(at(1), at(90_000), Found::ChangesAt(&[at(60_000), at(61_000), at(90_000)]));
    object.rate.observe(at(90_000), at(4_000_000), Found::Changes);
    for (name, kept) in [("b", &full), ("a", &object), ("c", &state(0))] {
        let commit = PollCommit { state: kept.clone(), ..page(name, 0, vec![]) };
        assert_eq!(events(done(store, poll(commit))), ((1, 0), vec![]));
    }
    let expected = vec![(source("a"), object), (source("b"), full), (source("c"), state(0))];
    assert_eq!(store.sources().expect("it reads"), expected);
}

fn stale_page(store: &mut dyn Store) {
    let first = || vec![news(event("tickets", "a", 1, 500), &[("agent", None)])];
    done(store, poll(page("tickets", 0, first())));
    let stale = PollCommit { upserts: vec![present("z", 1)], ..page("tickets", 0, first()) };
    let ahead = page("orders", 1, vec![]);
    for (commit, name) in [(stale, "tickets"), (ahead, "orders")] {
        let refusal = refused(store, poll(commit));
        assert_eq!(refusal, Refusal::Conflict { unit: unit(name) });
    }
    assert_eq!(event_nos(store, &EventFilter::default(), ALL), vec![1]);
    assert!(store.snapshot(&unit("tickets")).expect("it reads").len() == 0);
    assert_eq!(store.source(&unit("orders")).expect("it reads"), None);
    assert_eq!(counted(store), vec![(String::from("agent"), "pending", 1)]);
}

fn refusal_in_group(store: &mut dyn Store) {
    let one = |name: &str| {
        poll(page(name, 0, vec![news(event(name, "a", 1, 500), &[("agent", Some(1))])]))
    };
    let answers = store.apply(&[one("a"), one("a"), delivered(7, 1, 600), one("b")]);
    let told = answers.expect("it works").into_iter().map(|answer| {
        let (numbers, due) = events(answer?);
        Ok((numbers, due.iter().map(|due| due.delivery.id.0).collect()))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        vec![
            Ok(((1, 1), vec![1])),
            Err(Refusal::Conflict { unit: unit("a") }),
            Err(Refusal::NotUnderWay(DeliveryId(7))),
            // It waits behind the other.
            Ok(((2, 1), vec![])),
        ]
    );
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), vec![1, 2]);
    assert_eq!(delivery_state(store, 2), DeliveryState::Waiting);
}

fn event_numbers(store: &mut dyn Store) {
    let two = |name: &str, seq: u64| {
        let events = [seq + 1, seq + 2].map(|seq| news(event(name, "a", seq, 1), &[]));
        poll(page(name, seq, events.to_vec()))
    };
    assert_eq!(events(done(store, two("a", 0))).0, (1, 2));
    assert_eq!(events(done(store, two("b", 0))).0, (3, 2));
    assert_eq!(events(done(store, two("a", 2))).0, (5, 2));
    let newest = Slice { newest_first: true, rows_max: 3 };
    assert_eq!(event_nos(store, &EventFilter::default(), newest), vec![6, 5, 4]);
    // The same change found again has the same id; the newest is meant.
    let mut again = event("c", "a", 1, 9);
    again.id = EventId::new("evt_a_1");
    done(store, poll(page("c", 0, vec![news(again.clone(), &[("agent", None)])])));
    let found = store.event(&again.id).expect("it reads").expect("it exists");
    assert_eq!((found.no, found.event), (EventNo(7), again.clone()));
    let by_id = DeliveryFilter { event: Some(again.id), ..DeliveryFilter::default() };
    assert_eq!(delivery_ids(store, &by_id, ALL), vec![1]);
}

fn marks(store: &mut dyn Store) {
    let upserts = ["a", "b", "c", "d", "e", "f"].map(|name| present(name, 3)).to_vec();
    done(store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
    let marks = vec![
        (key("a"), Standing::Present { missing: 1 }),
        (key("b"), Standing::Held { since: at(-7) }),
        (key("unknown"), Standing::Lost { since: None }),
        (key("c"), Standing::Lost { since: Some(at(-8)) }),
        (key("c"), Standing::Quarantined),
        (key("d"), Standing::Lost { since: Some(at(-9)) }),
        (key("e"), Standing::Lost { since: Some(at(-9)) }),
        (key("e"), Standing::Lost { since: None }),
        (key("f"), Standing::Lost { since: Some(at(-9)) }),
        (key("f"), Standing::Present { missing: 0 }),
    ];
    done(store, poll(PollCommit { marks, ..page("tickets", 0, vec![]) }));
    let expected = [
        ("a", Standing::Present { missing: 1 }),
        ("b", Standing::Held { since: at(-7) }),
        ("c", Standing::Quarantined),
        ("d", Standing::Lost { since: Some(at(-9)) }),
        ("e", Standing::Lost { since: None }),
        ("f", Standing::Present { missing: 0 }),
    ];
    let snapshot = store.snapshot(&unit("tickets")).expect("it reads");
    assert_eq!(snapshot.len(), expected.len());
    for (name, standing) in expected {
        let found = store.items(&unit("tickets"), &[key(name)]).expect("it reads");
        let mut item = present(name, 3);
        item.entry.standing = standing;
        assert_eq!(snapshot.get(&key(name)), Some(&item.entry));
        assert_eq!(found, vec![item]);
    }
}

fn items_in_order(store: &mut dyn Store) {
    let upserts = vec![present("a", 1), item("b", 2, Standing::Deleted), present("c", 1)];
    done(store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
    let upserts = vec![present("c", 2), item("a", 5, Standing::Lost { since: Some(at(4)) })];
    done(store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
    let keys = ["c", "unknown", "b", "a", "c"].map(key);
    let expected = vec![
        present("c", 2),
        item("b", 2, Standing::Deleted),
        item("a", 5, Standing::Lost { since: Some(at(4)) }),
        present("c", 2),
    ];
    assert_eq!(store.items(&unit("tickets"), &keys).expect("it reads"), expected);
    assert_eq!(store.items(&unit("orders"), &keys).expect("it reads"), vec![]);
}

fn held_items(store: &mut dyn Store) {
    let held = |name| item(name, 1, Standing::Held { since: at(10) });
    let upserts = vec![held("z"), present("m", 1), held("a")];
    done(store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
    done(store, poll(PollCommit { upserts: vec![held("o")], ..page("orders", 0, vec![]) }));
    let found = store.held(&unit("tickets")).expect("it reads");
    assert_eq!(found, vec![held("a"), held("z")]);
    let new = item("m", 1, Standing::HeldNew { since: at(11) });
    let marks = vec![(key("m"), Standing::HeldNew { since: at(11) })];
    done(store, poll(PollCommit { marks, ..page("tickets", 0, vec![]) }));
    let found = store.held(&unit("tickets")).expect("it reads");
    assert_eq!(found, vec![held("a"), new, held("z")]);
}

fn state_alone(store: &mut dyn Store) {
    let learned = |last_seq, millis| SourceState { last_poll: Some(at(millis)), ..state(last_seq) };
    let keep = |state: SourceState| Write::State { unit: unit("tickets"), state: Box::new(state) };
    let kept = |store: &dyn Store| store.source(&unit("tickets")).expect("it reads");
    assert_eq!(done(store, keep(learned(1, 5))), Written::Done);
    assert_eq!(kept(store), None);
    done(store, keep(learned(0, 6)));
    assert_eq!(kept(store), Some(learned(0, 6)));
    done(store, poll(page("tickets", 0, vec![news(event("tickets", "a", 1, 1), &[])])));
    done(store, keep(learned(0, 7)));
    assert_eq!(kept(store), Some(state(1)));
    done(store, keep(learned(1, 8)));
    assert_eq!(kept(store), Some(learned(1, 8)));
}

fn endpoint_from_delivery(store: &mut dyn Store) {
    let new = news(event("tickets", "a", 1, 700), &[("agent", None)]);
    done(store, poll(page("tickets", 0, vec![new])));
    let expected = vec![(endpoint("agent"), EndpointHealth::new(at(700)))];
    assert_eq!(store.endpoints().expect("it reads"), expected);
}

fn endpoint_known(store: &mut dyn Store) {
    for millis in [5, 6] {
        done(store, Write::Endpoint { name: endpoint("b"), now: at(millis) });
    }
    done(store, Write::Endpoint { name: endpoint("a"), now: at(7) });
    let expected = vec![
        (endpoint("a"), EndpointHealth::new(at(7))),
        (endpoint("b"), EndpointHealth::new(at(5))),
    ];
    assert_eq!(store.endpoints().expect("it reads"), expected);
}

fn health_by_person(store: &mut dyn Store) {
    let breakers = [
        Breaker::Open { since: at(1), probe_at: at(2), probes: 3 },
        Breaker::Disabled { since: at(4) },
        Breaker::Closed,
    ];
    let name = endpoint("agent");
    for breaker in breakers {
        let health = EndpointHealth {
            breaker,
            failures: 11,
            failing_lane: Some(i64::MIN),
            suspended_before: Duration::from_nanos(12_345),
            failing_since: Some(at(11)),
            suspended_from: Some(at(12)),
            paused_by_hand: Some(at(13)),
            paused_in_file: Some(at(14)),
            held_until: Some(at(15)),
            told: Some(at(16)),
            fault: Some(Fault::endpoint("refused", "the receiver answered 500")),
            ..EndpointHealth::new(at(9))
        };
        let write = || Write::Health { name: name.clone(), health: health.clone() };
        if breaker == (Breaker::Open { since: at(1), probe_at: at(2), probes: 3 }) {
            assert_eq!(refused(store, write()), Refusal::NoEndpoint(name.clone()));
            done(store, Write::Endpoint { name: name.clone(), now: at(0) });
        }
        assert_eq!(done(store, write()), Written::Done);
        assert_eq!(store.endpoints().expect("it reads"), vec![(name.clone(), health)]);
    }
}

fn lanes(store: &mut dyn Store) {
    let events =
        (1..=3).map(|seq| news(event("t", "a", seq, 100), &[("agent", Some(5))])).collect();
    done(store, poll(page("t", 0, events)));
    let waiting = DeliveryState::Waiting;
    let pending = |millis| DeliveryState::Pending { due: at(millis) };
    let states = |store: &dyn Store| [1, 2, 3].map(|id| delivery_state(store, id));
    assert_eq!(states(store), [pending(100), waiting.clone(), waiting.clone()]);
    done(store, settle(1, Some(tried(1, 150)), Verdict::RetryAt(at(300)), 150));
    assert_eq!(states(store), [pending(300), waiting.clone(), waiting.clone()]);
    assert_eq!(due_ids(store, "agent", 299), Vec::<u64>::new());
    let reason = String::from("it never worked");
    let exhausted = Verdict::Exhausted { reason: reason.clone() };
    done(store, settle(1, Some(tried(2, 300)), exhausted, 310));
    let given_up = DeliveryState::Exhausted { at: at(310), reason };
    assert_eq!(states(store), [given_up.clone(), pending(310), waiting]);
    done(store, delivered(2, 1, 320));
    let second = DeliveryState::Delivered { at: at(320) };
    assert_eq!(states(store), [given_up, second, pending(320)]);
    done(store, delivered(3, 1, 330));
    let next = news(event("t", "a", 4, 400), &[("agent", Some(5))]);
    done(store, poll(page("t", 3, vec![next])));
    assert_eq!(delivery_state(store, 4), pending(400));
}

fn lanes_apart(store: &mut dyn Store) {
    let to = [("a", Some(5)), ("b", Some(5)), ("a", Some(6)), ("a", None), ("a", None)];
    let events =
        vec![news(event("t", "x", 1, 100), &to), news(event("t", "x", 2, 100), &[("a", Some(5))])];
    done(store, poll(page("t", 0, events)));
    assert_eq!(due_ids(store, "a", 100), vec![1, 3, 4, 5]);
    assert_eq!(due_ids(store, "b", 100), vec![2]);
    done(store, delivered(4, 1, 110));
    done(store, delivered(3, 1, 110));
    assert_eq!(due_ids(store, "a", 110), vec![1, 5]);
    done(store, delivered(1, 1, 120));
    assert_eq!(due_ids(store, "a", 120), vec![5, 6]);
}

fn attempts(store: &mut dyn Store) {
    done(store, poll(page("t", 0, vec![news(event("t", "a", 1, 100), &[("agent", Some(5))])])));
    let failed = crate::store::Attempt {
        status: None,
        fault: Some(Fault::endpoint("timeout", "no answer in 15s")),
        answer: String::new(),
        ..tried(1, 110)
    };
    let started = Started { at: at(110), suspended: Duration::from_nanos(7) };
    let health = EndpointHealth { failures: 1, ..EndpointHealth::new(at(3)) };
    let commit = AttemptCommit {
        delivery: DeliveryId(1),
        attempt: Some(failed.clone()),
        verdict: Verdict::RetryAt(at(200)),
        started: Some(started),
        health: Some(health.clone()),
        own: None,
        at: at(111),
    };
    done(store, Write::Attempt(Box::new(commit.clone())));
    // One that is not counted leaves no record; what began stays begun.
    let interrupted = AttemptCommit {
        attempt: None,
        verdict: Verdict::NotCounted { due: at(205) },
        started: Some(Started { at: at(999), suspended: Duration::ZERO }),
        health: None,
        at: at(201),
        ..commit
    };
    done(store, Write::Attempt(Box::new(interrupted)));
    let delivery = store.delivery(DeliveryId(1)).expect("it reads").expect("it exists");
    assert_eq!(delivery.state, DeliveryState::Pending { due: at(205) });
    assert_eq!((delivery.attempts, delivery.started), (1, Some(started)));
    assert_eq!(store.endpoints().expect("it reads"), vec![(endpoint("agent"), health)]);
    done(store, delivered(1, 2, 210));
    assert_eq!(store.attempts(DeliveryId(1)).expect("it reads"), vec![failed, tried(2, 210)]);
    let delivery = store.delivery(DeliveryId(1)).expect("it reads").expect("it exists");
    assert_eq!(delivery.state, DeliveryState::Delivered { at: at(210) });
    assert_eq!((delivery.attempts, delivery.started), (2, Some(started)));
}

fn stale_attempts(store: &mut dyn Store) {
    let events =
        (1..=2).map(|seq| news(event("t", "a", seq, 100), &[("agent", Some(5))])).collect();
    done(store, poll(page("t", 0, events)));
    done(store, settle(1, Some(tried(1, 110)), Verdict::RetryAt(at(120)), 110));
    let not_under_way = [
        // Counted already; not the next one; waiting; unknown.
        delivered(1, 1, 130),
        delivered(1, 3, 130),
        delivered(2, 1, 130),
        delivered(9, 1, 130),
        settle(2, None, Verdict::NotCounted { due: at(131) }, 130),
    ];
    for write in not_under_way {
        let Write::Attempt(commit) = &write else { panic!("these are attempts") };
        let id = commit.delivery;
        assert_eq!(refused(store, write), Refusal::NotUnderWay(id));
    }
    done(store, delivered(1, 2, 140));
    assert_eq!(refused(store, delivered(1, 3, 150)), Refusal::NotUnderWay(DeliveryId(1)));
    assert_eq!(store.attempts(DeliveryId(1)).expect("it reads").len(), 2);
    assert_eq!(store.attempts(DeliveryId(2)).expect("it reads").len(), 0);
}

fn due_order(store: &mut dyn Store) {
    for (millis, seq) in [300, 100, 200, 100].into_iter().zip(1..) {
        let new = news(event("t", "a", seq, millis), &[("agent", None)]);
        done(store, poll(page("t", seq - 1, vec![new])));
    }
    assert_eq!(due_ids(store, "agent", 250), vec![2, 4, 3]);
    assert_eq!(due_ids(store, "agent", 99), Vec::<u64>::new());
    assert_eq!(due_ids(store, "nobody", 999), Vec::<u64>::new());
    let name = endpoint("agent");
    let found = |rows_max, claimed: &[u64]| {
        let claimed = claimed.iter().copied().map(DeliveryId).collect();
        let due = store.due(&name, at(999), rows_max, &claimed).expect("it reads");
        due.into_iter().filter_map(Due::whole).map(|due| due.delivery.id.0).collect::<Vec<_>>()
    };
    assert_eq!(found(2, &[]), vec![2, 4]);
    assert!(found(0, &[]).is_empty());
    assert_eq!(found(2, &[2]), vec![4, 3]);
    assert_eq!(found(9, &[2, 3]).first(), Some(&4));
    for (now, next) in [(0, Some(100)), (100, Some(200)), (250, Some(300)), (300, None)] {
        assert_eq!(store.next_due(&name, at(now)).expect("it reads"), next.map(at), "{now}");
    }
}
