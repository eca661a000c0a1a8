//! Sources under other names.

use crate::core::delivery::{DeliveryState, lane};
use crate::core::endpoint::Order;
use crate::core::ids::EntryKey;
use crate::core::plan::Holding;
use crate::core::snapshot::Standing;
use crate::store::samples::{
    ALL, at, delivered, done, event, item, key, news, page, poll, present, source, state, unit,
};
use crate::store::{DeliveryFilter, EventFilter, PollCommit, Store, Write, Written};

fn rename(store: &mut dyn Store, from: &str, to: &str) -> u64 {
    match done(store, Write::Rename { from: source(from), to: source(to) }) {
        Written::Count(count) => count,
        other => panic!("{other:?}"),
    }
}

fn lane_of(name: &str, item: &str) -> Option<i64> {
    lane(Order::Item, &source(name), &EntryKey::none(), &key(item))
}

pub(super) fn renamed(store: &mut dyn Store) {
    let upserts = vec![present("a", 1), item("b", 1, Standing::Deleted), present("c", 1)];
    let events = [("a", 1), ("a", 2), ("c", 3), ("c", 4)].map(|(item, seq)| {
        let to = [("agent", lane_of("old", item)), ("audit", Some(0)), ("sink", None)];
        news(event("old", item, seq, 1), &to)
    });
    done(store, poll(PollCommit { upserts, ..page("old", 0, events.into()) }));
    let before = store.events(&EventFilter::default(), ALL).expect("it reads");
    let kept = Holding { items: 2, waiting: 12 };
    assert_eq!(store.holding(&source("old")).expect("it reads"), kept);

    assert_eq!(rename(store, "old", "new"), 1);
    assert_eq!(store.sources().expect("it reads"), vec![(source("new"), state(4))]);
    assert!(store.snapshot(&unit("old")).expect("it reads").len() == 0);
    let items = store.items(&unit("new"), &["a", "b", "c"].map(key)).expect("it reads");
    let expected = vec![present("a", 1), item("b", 1, Standing::Deleted), present("c", 1)];
    assert_eq!(items, expected);
    // What was frozen stays as it was; what waits is still counted under the name that made it.
    assert_eq!(store.events(&EventFilter::default(), ALL).expect("it reads"), before);
    let holding = |store: &dyn Store, name: &str| store.holding(&source(name)).expect("it reads");
    assert_eq!(holding(store, "old"), Holding { items: 0, ..kept });
    assert_eq!(holding(store, "new"), Holding { waiting: 0, ..kept });

    // The next event of an item stands behind those of the old name, and nothing else changed its place.
    let next = news(event("new", "a", 5, 2), &[("agent", lane_of("new", "a"))]);
    done(store, poll(page("new", 4, vec![next])));
    let deliveries = store.deliveries(&DeliveryFilter::default(), ALL).expect("it reads");
    let last = deliveries.last().expect("there are some");
    assert_eq!(last.state, DeliveryState::Waiting);
    let in_lane = |lane| deliveries.iter().filter(|it| it.lane == lane).count();
    let counts =
        ["a", "c"].map(|item| (in_lane(lane_of("old", item)), in_lane(lane_of("new", item))));
    assert_eq!(counts, [(0, 3), (0, 2)]);
    assert_eq!((in_lane(Some(0)), in_lane(None)), (4, 4));
    for delivery in deliveries.iter().filter(|it| it.lane == last.lane).take(2) {
        done(store, delivered(delivery.id.0, 1, 10));
    }
    let last = store.delivery(last.id).expect("it reads").expect("it is there");
    assert_eq!(last.state, DeliveryState::Pending { due: at(10) });

    assert_eq!(rename(store, "old", "new"), 0);
}

pub(super) fn not_renamed(store: &mut dyn Store) {
    assert_eq!(rename(store, "old", "new"), 0);
    for name in ["old", "new"] {
        done(store, poll(PollCommit { upserts: vec![present(name, 1)], ..page(name, 0, vec![]) }));
    }
    assert_eq!(rename(store, "old", "new"), 0);
    assert_eq!(rename(store, "old", "old"), 0);
    for name in ["old", "new"] {
        let items = store.items(&unit(name), &[key(name)]).expect("it reads");
        assert_eq!(items, vec![present(name, 1)]);
    }
}

pub(super) fn entries_renamed(store: &mut dyn Store) {
    for (name, seq) in [("old/a", 0), ("old/b/c", 1)] {
        let rung = news(event("old", "1", seq + 1, 1), &[("agent", None)]);
        let upserts = vec![present(name, 1)];
        done(store, poll(PollCommit { upserts, ..page(name, seq, vec![rung]) }));
    }
    done(store, poll(PollCommit { upserts: vec![present("x", 1)], ..page("older", 0, vec![]) }));
    assert_eq!(store.holding(&source("old")).expect("it reads").items, 2);
    assert_eq!(rename(store, "old", "new"), 1);
    let entries = store.entries(&source("new")).expect("it reads");
    assert_eq!(entries, [("a", state(1)), ("b/c", state(2))].map(|(k, s)| (EntryKey::new(k), s)));
    assert_eq!(store.entries(&source("old")).expect("it reads"), vec![]);
    assert_eq!(store.last_seq(&source("new")).expect("it reads"), 2);
    for (name, item) in [("new/a", "old/a"), ("new/b/c", "old/b/c"), ("older", "x")] {
        let items = store.items(&unit(name), &[key(item)]).expect("it reads");
        assert_eq!(items, vec![present(item, 1)]);
    }
    // A name with entries of its own takes nothing over.
    done(store, poll(PollCommit { upserts: vec![present("x", 1)], ..page("old", 0, vec![]) }));
    assert_eq!(rename(store, "old", "new"), 0);
}
