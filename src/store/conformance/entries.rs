//! Entries of sources: rows of their own, numbers shared.

use crate::core::ids::ItemKey;
use crate::core::snapshot::Standing;
use crate::core::source::SourceState;
use crate::store::samples::{
    at, done, event, item, news, page, poll, present, source, state, unit,
};
use crate::store::{PollCommit, Refusal, Store, Write};

fn keys(store: &dyn Store, name: &str) -> Vec<String> {
    let entries = store.entries(&source(name)).expect("it reads");
    entries.iter().map(|(entry, _)| entry.to_string()).collect()
}

/// The items of entries are apart; the event numbers are one row, whoever takes the next.
pub(super) fn apart(store: &mut dyn Store) {
    for (name, seq) in [("parcels/a", 0), ("parcels/b/c", 1), ("parcels/a", 2)] {
        let rung = news(event("parcels", "1", seq + 1, 1), &[]);
        let upserts = vec![present("1", seq + 1)];
        done(store, poll(PollCommit { upserts, ..page(name, seq, vec![rung]) }));
    }
    done(store, poll(PollCommit { upserts: vec![present("1", 9)], ..page("parcel", 0, vec![]) }));
    assert_eq!(store.last_seq(&source("parcels")).expect("it reads"), 3);
    assert_eq!(keys(store, "parcels"), ["a", "b/c"]);
    assert_eq!(store.sources_with_entries().expect("it reads"), [source("parcels")]);
    assert_eq!(store.sources().expect("it reads"), [(source("parcel"), state(0))]);
    for (name, changes) in [("parcels/a", 3), ("parcels/b/c", 2), ("parcel", 9)] {
        let items = store.items(&unit(name), &[ItemKey::new("1")]).expect("it reads");
        assert_eq!(items, [present("1", changes)]);
        assert_eq!(store.snapshot(&unit(name)).expect("it reads").len(), 1);
    }
    // With events, the number is the source's; without, the entry's own.
    let stale = page("parcels/b/c", 2, vec![news(event("parcels", "1", 3, 1), &[])]);
    let answers = store.apply(&[poll(stale)]).expect("it works");
    assert_eq!(answers, [Err(Refusal::Conflict { unit: unit("parcels/b/c") })]);
    done(store, poll(page("parcels/b/c", 2, vec![])));
}

pub(super) fn held_ones(store: &mut dyn Store) {
    let held = |name| item(name, 1, Standing::Held { since: at(10) });
    for (name, upserts) in [
        ("parcels/a", vec![held("1")]),
        ("parcels/b", vec![present("1", 1)]),
        ("parcels/c", vec![held("1"), held("2")]),
        ("others/d", vec![held("1")]),
        ("whole", vec![held("1")]),
    ] {
        done(store, poll(PollCommit { upserts, ..page(name, 0, vec![]) }));
    }
    let found = |store: &dyn Store| store.held_units().expect("it reads");
    let counted = |counts: &[(&str, u64)]| -> Vec<_> {
        counts.iter().map(|(name, count)| (unit(name), *count)).collect()
    };
    let all = [("others/d", 1), ("parcels/a", 1), ("parcels/c", 2), ("whole", 1)];
    assert_eq!(found(store), counted(&all));
    // One that left holds nothing up, until it comes back.
    let without = [all[0], all[2], all[3]];
    for (left, expected) in [(Some(at(5)), &without[..]), (None, &all)] {
        let state = Box::new(SourceState { left, ..state(0) });
        done(store, Write::State { unit: unit("parcels/a"), state });
        assert_eq!(found(store), counted(expected));
    }
}
