//! Listings, replays and counts: what each filter finds.

use std::time::Duration;

use crate::core::delivery::{DeliveryState, Trigger, Verdict};
use crate::core::ids::{DeliveryId, EventId, EventNo};
use crate::store::samples::{
    ALL, at, delivered, done, endpoint, event, key, news, page, poll, settle, source,
};
use crate::store::{DeliveryFilter, EventFilter, Slice, Store, Write, Written};

use super::{counted, delivery_ids, delivery_state, event_nos};

pub(super) fn event_filters(store: &mut dyn Store) {
    let typed = |source_name: &str, name: &str, seq, millis, event_type: &str| {
        let mut event = event(source_name, name, seq, millis);
        event.event_type = String::from(event_type);
        news(event, &[])
    };
    let tickets = vec![
        typed("tickets", "1", 1, 100, "ticket.created"),
        typed("tickets", "2", 2, 200, "ticket.closed"),
        typed("tickets", "1", 3, 300, "ticket.a?b[c]*"),
    ];
    done(store, poll(page("tickets", 0, tickets)));
    done(store, poll(page("orders", 0, vec![typed("orders", "1", 1, 250, "order.created")])));
    let all = EventFilter::default;
    let glob = |text: &str| EventFilter { event_type: Some(String::from(text)), ..all() };
    let cases = [
        (all(), vec![1, 2, 3, 4]),
        (EventFilter { after: Some(EventNo(2)), ..all() }, vec![3, 4]),
        (glob("ticket.*"), vec![1, 2, 3]),
        (glob("*.created"), vec![1, 4]),
        (glob("ticket.a?b[c]*"), vec![3]),
        (glob("ticket.?losed"), vec![]),
        (glob("ticket.[c]losed"), vec![]),
        (glob("TICKET.*"), vec![]),
        (glob(""), vec![]),
        (EventFilter { source: Some(source("tickets")), ..all() }, vec![1, 2, 3]),
        (EventFilter { source: Some(source("nobody")), ..all() }, vec![]),
        (EventFilter { key: Some(key("1")), ..all() }, vec![1, 3, 4]),
        (EventFilter { since: Some(at(200)), until: Some(at(300)), ..all() }, vec![2, 4]),
    ];
    for (filter, expected) in cases {
        assert_eq!(event_nos(store, &filter, ALL), expected, "{filter:?}");
        let newest = Slice { newest_first: true, rows_max: 1 };
        let last: Vec<u64> = expected.last().copied().into_iter().collect();
        assert_eq!(event_nos(store, &filter, newest), last, "{filter:?}");
    }
}

pub(super) fn delivery_filters(store: &mut dyn Store) {
    let to = [("a", Some(1)), ("b", None)];
    let events = (1..=3).map(|seq| news(event("t", &format!("k{seq}"), seq, 100), &to)).collect();
    done(store, poll(page("t", 0, events)));
    let reason = String::from("no");
    done(store, settle(2, None, Verdict::Exhausted { reason }, 110));
    done(store, delivered(4, 1, 110));
    let all = DeliveryFilter::default;
    let status = |word: &str| DeliveryFilter { status: Some(String::from(word)), ..all() };
    let later =
        EventFilter { after: Some(EventNo(99)), key: Some(key("k2")), ..EventFilter::default() };
    let cases = [
        (all(), vec![1, 2, 3, 4, 5, 6]),
        (DeliveryFilter { endpoint: Some(endpoint("b")), ..all() }, vec![2, 4, 6]),
        (DeliveryFilter { endpoint: Some(endpoint("nobody")), ..all() }, vec![]),
        (status("waiting"), vec![3, 5]),
        (status("pending"), vec![1, 6]),
        (status("delivered"), vec![4]),
        (status("exhausted"), vec![2]),
        (status("discarded"), vec![]),
        (status("lost"), vec![]),
        (DeliveryFilter { event: Some(EventId::new("evt_t_2")), ..all() }, vec![3, 4]),
        (DeliveryFilter { events: later, ..all() }, vec![3, 4]),
        (DeliveryFilter { endpoint: Some(endpoint("a")), ..status("pending") }, vec![1]),
    ];
    for (filter, expected) in cases {
        assert_eq!(delivery_ids(store, &filter, ALL), expected, "{filter:?}");
        let newest = Slice { newest_first: true, rows_max: 2 };
        let last: Vec<u64> = expected.iter().rev().take(2).copied().collect();
        assert_eq!(delivery_ids(store, &filter, newest), last, "{filter:?}");
    }
}

pub(super) fn replay(store: &mut dyn Store) {
    let to = [("a", Some(1)), ("b", None)];
    let events = (1..=2).map(|seq| news(event("t", "k", seq, 100), &to)).collect();
    done(store, poll(page("t", 0, events)));
    for id in [1, 2, 3, 4] {
        done(store, delivered(id, 1, 110));
    }
    let to_a = DeliveryFilter { endpoint: Some(endpoint("a")), ..DeliveryFilter::default() };
    assert_eq!(store.replay_count(&to_a).expect("it reads"), 2);
    let write = || Write::Replay { filter: to_a.clone(), now: at(200), spacing: Duration::ZERO };
    assert_eq!(done(store, write()), Written::Count(2));
    let record = |id| store.delivery(DeliveryId(id)).expect("it reads").expect("it exists");
    let (fifth, sixth) = (record(5), record(6));
    assert_eq!((fifth.event_no, sixth.event_no), (EventNo(1), EventNo(2)));
    assert_eq!((fifth.trigger, fifth.lane, fifth.created_at), (Trigger::Replay, Some(1), at(200)));
    assert_eq!(fifth.state, DeliveryState::Pending { due: at(200) });
    assert_eq!(sixth.state, DeliveryState::Waiting);
    assert_eq!(fifth.event_id, EventId::new("evt_t_1"));
    // Its last delivery stands for a pair: once delivered, it is exhausted no more.
    let reason = String::from("no");
    done(store, settle(5, None, Verdict::Exhausted { reason }, 210));
    done(store, delivered(6, 1, 220));
    let exhausted =
        DeliveryFilter { status: Some(String::from("exhausted")), ..DeliveryFilter::default() };
    let again =
        || Write::Replay { filter: exhausted.clone(), now: at(300), spacing: Duration::ZERO };
    assert_eq!(done(store, again()), Written::Count(1));
    done(store, delivered(7, 1, 310));
    assert_eq!(store.replay_count(&exhausted).expect("it reads"), 0);
    assert_eq!(done(store, again()), Written::Count(0));
}

pub(super) fn replay_under_way(store: &mut dyn Store) {
    let events = (1..=2).map(|seq| news(event("t", "k", seq, 100), &[("a", Some(1))])).collect();
    done(store, poll(page("t", 0, events)));
    let everything = DeliveryFilter::default;
    let write = || Write::Replay { filter: everything(), now: at(200), spacing: Duration::ZERO };
    assert_eq!(done(store, write()), Written::Count(0));
    done(store, delivered(1, 1, 110));
    assert_eq!(done(store, write()), Written::Count(1));
    assert_eq!(done(store, write()), Written::Count(0));
    assert_eq!(store.replay_count(&everything()).expect("it reads"), 0);
    assert_eq!(delivery_state(store, 3), DeliveryState::Waiting);
}

pub(super) fn replay_spaced(store: &mut dyn Store) {
    let to = [("a", Some(1)), ("b", None)];
    let events = (1..=3).map(|seq| news(event("t", "k", seq, 100), &to)).collect();
    done(store, poll(page("t", 0, events)));
    for id in [1, 2, 3, 4, 5, 6] {
        done(store, delivered(id, 1, 110));
    }
    let spacing = Duration::from_millis(50);
    let filter = DeliveryFilter::default();
    done(store, Write::Replay { filter, now: at(200), spacing });
    let due = |millis| DeliveryState::Pending { due: at(millis) };
    for (id, state) in [(7, due(200)), (8, due(250)), (10, due(350)), (12, due(450))] {
        assert_eq!(delivery_state(store, id), state, "{id}");
    }
    // Its turn comes early; it does not.
    done(store, delivered(7, 1, 210));
    assert_eq!(delivery_state(store, 9), due(300));
    done(store, delivered(9, 1, 600));
    assert_eq!(delivery_state(store, 11), due(600));
}

pub(super) fn tally(store: &mut dyn Store) {
    let to = [("a", Some(1)), ("b", None)];
    let events = (1..=3).map(|seq| news(event("t", "k", seq, 100), &to)).collect();
    done(store, poll(page("t", 0, events)));
    done(store, Write::Endpoint { name: endpoint("c"), now: at(1) });
    done(store, delivered(1, 1, 110));
    let reason = String::from("no");
    done(store, settle(2, None, Verdict::Exhausted { reason }, 110));
    let expected = [
        ("a", "waiting", 1),
        ("a", "pending", 1),
        ("a", "delivered", 1),
        ("b", "pending", 2),
        ("b", "exhausted", 1),
    ];
    let expected = expected.map(|(name, status, count)| (String::from(name), status, count));
    assert_eq!(counted(store), expected.to_vec());
}
