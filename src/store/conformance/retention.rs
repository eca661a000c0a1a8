//! What need not be kept: what is found of it, and what is left when it is gone.

use std::time::Duration;

use crate::core::delivery::{DeliveryState, Verdict};
use crate::core::ids::{DeliveryId, EventId, EventNo};
use crate::core::sink::content::Content;
use crate::core::source::SourceState;
use crate::store::samples::{
    ALL, at, delivered, done, endpoint, event, news, page, poll, present, settle, source, state,
    tried, unit,
};
use crate::store::{
    DeliveryFilter, EventFilter, Expired, Expiry, Lapse, PollCommit, Refusal, Store, Write, Written,
};

use super::{counted, delivery_ids, delivery_state, due_ids, event_nos, refused};

/// Events of one item, detected at 100, 200 and so on: in one lane of `a`, and to `b` without one.
fn story(store: &mut dyn Store, count: u64) {
    let to = [("a", Some(1)), ("b", None)];
    let of = |seq: u64| news(event("t", "k", seq, 100 * i64::try_from(seq).expect("few")), &to);
    done(store, poll(page("t", 0, (1..=count).map(of).collect())));
}

fn expired(store: &dyn Store, before: i64, after: u64, rows_max: usize) -> Expired {
    let expiry = Expiry { before: at(before), whole_only: false };
    store.expired(expiry, EventNo(after), rows_max).expect("it reads")
}

fn numbers(events: &[u64]) -> Vec<EventNo> {
    events.iter().copied().map(EventNo).collect()
}

fn lapse(deliveries: &[u64], empties: bool) -> Write {
    Write::Lapse(Box::new(Lapse {
        deliveries: deliveries.iter().copied().map(DeliveryId).collect(),
        reason: String::from("too old"),
        empties,
        own: None,
        at: at(900),
    }))
}

fn overdue(store: &dyn Store, before: i64, rows_max: usize) -> Vec<u64> {
    let found = store.overdue(at(before), rows_max).expect("it reads");
    found.into_iter().map(|delivery| delivery.id.0).collect()
}

pub(super) fn forgotten(store: &mut dyn Store) {
    story(store, 3);
    for (id, time) in [(1, 300), (2, 300), (3, 400), (6, 300)] {
        done(store, delivered(id, 1, time));
    }
    // The first is settled at 300; the second still waits for `b`, the third for `a`.
    for (before, found) in [(100, &[][..]), (300, &[]), (301, &[1]), (901, &[1])] {
        assert_eq!(expired(store, before, 0, 10).events, numbers(found), "{before}");
    }
    assert_eq!(done(store, Write::Forget { events: numbers(&[1, 2, 7]) }), Written::Count(1));
    assert_eq!(done(store, Write::Forget { events: numbers(&[1]) }), Written::Count(0));
    assert_eq!(event_nos(store, &EventFilter::default(), ALL), [2, 3]);
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), [3, 4, 5, 6]);
    assert_eq!(store.event(&EventId::new("evt_t_1")).expect("it reads"), None);
    assert_eq!(store.attempts(DeliveryId(1)).expect("it reads"), []);
    let counts =
        [("a", "pending", 1), ("a", "delivered", 1), ("b", "pending", 1), ("b", "delivered", 1)];
    assert_eq!(
        counted(store),
        counts.map(|(name, status, count)| (name.to_owned(), status, count))
    );
    // Numbers are given out once.
    done(store, poll(page("t", 3, vec![news(event("t", "k", 4, 950), &[("b", None)])])));
    assert_eq!(event_nos(store, &EventFilter::default(), ALL), [2, 3, 4]);
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), [3, 4, 5, 6, 7]);
}

pub(super) fn looks(store: &mut dyn Store) {
    let of = |seq: u64| news(event("t", "k", seq, 100 * i64::try_from(seq).expect("few")), &[]);
    done(store, poll(page("t", 0, (1..=5).map(of).collect())));
    for (before, after, rows_max, events, last) in [
        (1000, 0, 2, &[1, 2][..], Some(2)),
        (1000, 2, 2, &[3, 4], Some(4)),
        (1000, 4, 2, &[5], None),
        (1000, 5, 2, &[], None),
        // Too young from here on.
        (200, 0, 2, &[1], Some(2)),
        (200, 2, 2, &[], None),
        (100, 0, 2, &[], None),
    ] {
        let expected = Expired { events: numbers(events), last: last.map(EventNo) };
        assert_eq!(expired(store, before, after, rows_max), expected, "{before} {after}");
    }
}

pub(super) fn lapsed(store: &mut dyn Store) {
    story(store, 3);
    let made = store.delivery(DeliveryId(1)).expect("it reads").expect("it exists").created_at;
    assert_eq!(overdue(store, made.as_millis(), 10), Vec::<u64>::new());
    let later = made.as_millis() + 1;
    assert_eq!(overdue(store, later, 3), [1, 2, 3]);
    done(store, delivered(2, 1, later));
    assert_eq!(overdue(store, later, 3), [1, 3, 4]);
    // One that was settled, and one that there is not.
    assert_eq!(done(store, lapse(&[1, 2, 99], false)), Written::Count(1));
    let given_up = DeliveryState::Exhausted { at: at(900), reason: String::from("too old") };
    assert_eq!(delivery_state(store, 1), given_up);
    assert_eq!(delivery_state(store, 3), DeliveryState::Pending { due: at(900) });
    // A lane at once, whether its turn had come or not.
    assert_eq!(done(store, lapse(&[3, 5], false)), Written::Count(2));
    assert_eq!((delivery_state(store, 3), delivery_state(store, 5)), (given_up.clone(), given_up));
    assert_eq!(due_ids(store, "a", 10_000), Vec::<u64>::new());
    let counts = [("a", "exhausted", 3), ("b", "pending", 2), ("b", "delivered", 1)];
    assert_eq!(
        counted(store),
        counts.map(|(name, status, count)| (name.to_owned(), status, count))
    );
    // What lapsed keeps its bytes, and can be sent again.
    assert_eq!(store.replay_count(&DeliveryFilter::default()).expect("it reads"), 4);
}

pub(super) fn told(store: &mut dyn Store) {
    story(store, 2);
    let own = |before: u64| {
        let said = event("doorbell", "a", before + 1, 900);
        Box::new(PollCommit::own(before, vec![news(said, &[("ops", None)])], at(900)))
    };
    let lapse = |own| {
        let deliveries = vec![DeliveryId(1)];
        let (reason, empties) = (String::from("too old"), false);
        Write::Lapse(Box::new(Lapse { deliveries, reason, empties, own, at: at(900) }))
    };
    // Somebody else took its number.
    assert_eq!(refused(store, lapse(Some(own(7)))), Refusal::Conflict { unit: unit("doorbell") });
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), [1, 2, 3, 4]);
    assert!(matches!(delivery_state(store, 1), DeliveryState::Pending { .. }));
    assert_eq!(done(store, lapse(Some(own(0)))), Written::Count(1));
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), [1, 2, 3, 4, 5]);
    assert_eq!(due_ids(store, "ops", 900), [5]);
    assert!(matches!(delivery_state(store, 1), DeliveryState::Exhausted { .. }));
    assert_eq!(store.last_seq(&source("doorbell")).expect("it reads"), 1);
}

pub(super) fn hastened(store: &mut dyn Store) {
    let to = [("a", Some(1)), ("b", None)];
    let of = |seq: u64, millis| news(event("t", "k", seq, millis), &to);
    done(store, poll(page("t", 0, vec![of(1, 9_000)])));
    done(store, poll(page("t", 1, vec![of(2, 9_000)])));
    done(store, settle(2, Some(tried(1, 100)), Verdict::RetryAt(at(5_000)), 100));
    let hasten = |beyond| Write::Hasten { endpoint: endpoint("a"), beyond: at(beyond), now: at(7) };
    assert_eq!(done(store, hasten(9_000)), Written::Count(0));
    assert_eq!(done(store, hasten(8_999)), Written::Count(1));
    assert_eq!(due_ids(store, "a", 7), [1]);
    assert_eq!(due_ids(store, "b", 8_999), [2]);
    // Whoever comes next is due then, not when it was made.
    done(store, delivered(1, 1, 10));
    assert_eq!(due_ids(store, "a", 10), [3]);
    done(store, delivered(3, 1, 10));
    // A replay in no hurry is no mistake.
    let filter = DeliveryFilter { endpoint: Some(endpoint("a")), ..DeliveryFilter::default() };
    let spacing = Duration::from_hours(24 * 366);
    done(store, Write::Replay { filter, now: at(9_000), spacing });
    assert_eq!(done(store, hasten(100)), Written::Count(0));
}

pub(super) fn seen(store: &mut dyn Store) {
    assert_eq!(store.seen().expect("it reads"), None);
    for millis in [500, 300] {
        assert_eq!(done(store, Write::Seen { at: at(millis) }), Written::Done);
        assert_eq!(store.seen().expect("it reads"), Some(at(millis)));
    }
}

pub(super) fn emptied(store: &mut dyn Store) {
    story(store, 2);
    for number in [1, 2] {
        done(store, settle(2, Some(tried(number, 250)), Verdict::RetryAt(at(300)), 250));
    }
    // `b` still needs the bytes of the first.
    done(store, lapse(&[1], true));
    assert!(store.event(&EventId::new("evt_t_1")).expect("it reads").is_some());
    done(store, lapse(&[2], true));
    assert_eq!(store.event(&EventId::new("evt_t_1")).expect("it reads"), None);
    assert_eq!(event_nos(store, &EventFilter::default(), ALL), [2]);
    assert_eq!(delivery_ids(store, &DeliveryFilter::default(), ALL), [1, 2, 3, 4]);
    assert_eq!(store.content(DeliveryId(2)).expect("it reads"), Content::Envelope);
    let attempts = store.attempts(DeliveryId(2)).expect("it reads");
    let [last] = attempts.as_slice() else { panic!("{attempts:?}") };
    assert!(last.answer.is_empty() && last.number == 2, "{last:?}");
    assert_eq!(store.replay_count(&DeliveryFilter::default()).expect("it reads"), 0);
    // Still an entry, until it is too old.
    let whole_only = Expiry { before: at(950), whole_only: true };
    let look = |expiry| store.expired(expiry, EventNo(0), 10).expect("it reads").events;
    assert_eq!(look(whole_only), []);
    assert_eq!(look(Expiry { whole_only: false, ..whole_only }), numbers(&[1]));
}

pub(super) fn departed(store: &mut dyn Store) {
    let left = |millis| Some(at(millis));
    for (name, last_seq, left) in
        [("t/a", 1, left(100)), ("t/b", 2, left(200)), ("t/c", 3, left(100)), ("t/d", 2, None)]
    {
        let page = page(name, 0, Vec::new());
        let state = SourceState { last_seq, left, ..state(last_seq) };
        done(
            store,
            Write::Poll(Box::new(PollCommit { state, upserts: vec![present("k", 1)], ..page })),
        );
    }
    let departed = |store: &dyn Store, before: i64, after: &str| -> Vec<String> {
        let found = store.departed(at(before), &unit(after), 10).expect("it reads");
        found.into_iter().map(|unit| unit.as_str().to_owned()).collect()
    };
    // The last has the number that the next event goes on from.
    assert_eq!(departed(store, 101, ""), ["t/a"]);
    assert_eq!(departed(store, 201, ""), ["t/a", "t/b"]);
    assert_eq!(departed(store, 201, "t/a"), ["t/b"]);
    assert_eq!(done(store, Write::Return { unit: unit("t/b") }), Written::Count(1));
    assert_eq!(done(store, Write::Return { unit: unit("t/z") }), Written::Count(0));
    let units = ["t/a", "t/b", "t/c", "t/d", "t/z"].map(unit).to_vec();
    assert_eq!(done(store, Write::Unlearn { units, left_before: at(201) }), Written::Count(1));
    let known = |store: &dyn Store, name: &str| {
        let state = store.source(&unit(name)).expect("it reads").map(|state| state.left);
        (state, store.snapshot(&unit(name)).expect("it reads").iter().count())
    };
    assert_eq!(known(store, "t/a"), (None, 0));
    assert_eq!(known(store, "t/b"), (Some(None), 1));
    assert_eq!(known(store, "t/c"), (Some(left(100)), 1));
    assert_eq!(store.last_seq(&source("t")).expect("it reads"), 3);
}
