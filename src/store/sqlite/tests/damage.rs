//! Rows that do not say what they said: quarantined, left out, named; never sent.

use std::collections::BTreeSet;
use std::fs;

use crate::core::sink::content::{Content, Made};
use crate::core::snapshot::Standing;
use crate::store::samples::{
    ALL, at, delivered, done, endpoint, event, item, key, news_with, page, poll, present, unit,
};
use crate::store::sqlite::SqliteReader;
use crate::store::{Due, EventFilter, PollCommit, Read, StoreError};

use super::{directory, open, vandalise, write_events};

#[test]
fn a_damaged_item_is_quarantined_and_never_given_out() {
    let harms = [
        "UPDATE items SET fingerprint = zeroblob(32) WHERE key = 'b'",
        "UPDATE items SET fingerprint = x'00' WHERE key = 'b'",
        "UPDATE items SET raw = raw + 1 WHERE key = 'b'",
        "UPDATE items SET changes = changes + 1024 WHERE key = 'b'",
        "UPDATE items SET standing = 'lost', missing = NULL WHERE key = 'b'",
        "UPDATE items SET standing = 'qresent' WHERE key = 'b'",
        "UPDATE items SET missing = missing + 1 WHERE key = 'b'",
        "UPDATE items SET held_since = 0 WHERE key = 'b'",
        "UPDATE items SET content_hash = ~content_hash WHERE key = 'b'",
        "UPDATE items SET row_hash = row_hash + 1 WHERE key = 'b'",
    ];
    for harm in harms {
        let dir = directory();
        let mut store = open(dir.path());
        let upserts = ["a", "b", "c"].map(|name| present(name, 1)).to_vec();
        done(&mut store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
        vandalise(dir.path(), harm);
        // A mark must not whitewash it.
        let marks = vec![(key("b"), Standing::Present { missing: 2 })];
        done(&mut store, poll(PollCommit { marks, ..page("tickets", 0, vec![]) }));
        let snapshot = store.snapshot(&unit("tickets")).expect("it reads");
        let standing = |name| snapshot.get(&key(name)).map(|entry| entry.standing);
        assert_eq!(standing("b"), Some(Standing::Quarantined), "{harm}");
        assert_eq!(standing("a"), Some(Standing::Present { missing: 0 }), "{harm}");
        let found = store.items(&unit("tickets"), &["a", "b", "c"].map(key)).expect("it reads");
        assert_eq!(found, vec![present("a", 1), present("c", 1)], "{harm}");
        assert!(matches!(store.verify(), Err(StoreError::Damaged { .. })), "{harm}");
        // Adopting the item anew heals it.
        let upserts = vec![present("b", 2)];
        done(&mut store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
        store.verify().expect("all is whole");
    }
}

#[test]
fn damaged_content_is_never_given_out() {
    for harm in [
        "UPDATE contents SET content = replace(content, '1', '3') WHERE key = 'b'",
        "DELETE FROM contents WHERE key = 'b'",
        "UPDATE contents SET content = CAST(x'ff' || content AS TEXT) WHERE key = 'b'",
    ] {
        let dir = directory();
        let mut store = open(dir.path());
        let held = item("b", 1, Standing::Held { since: at(5) });
        let upserts = vec![present("a", 1), held];
        done(&mut store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
        vandalise(dir.path(), harm);
        let found = store.items(&unit("tickets"), &["a", "b"].map(key)).expect("it reads");
        assert_eq!(found, vec![present("a", 1)], "{harm}");
        assert_eq!(store.held(&unit("tickets")).expect("it reads"), vec![], "{harm}");
        assert!(
            matches!(store.verify(), Err(StoreError::Damaged { table: "items", .. })),
            "{harm}"
        );
    }
}

#[test]
fn a_damaged_event_is_named_and_never_sent() {
    let harms = [
        "UPDATE events SET id = 'evt_tickets_9' WHERE no = 2",
        "UPDATE events SET source = 'tickett' WHERE no = 2",
        "UPDATE events SET type = 'tickets.created' WHERE no = 2",
        "UPDATE events SET key = 'b' WHERE no = 2",
        "UPDATE events SET seq = 3 WHERE no = 2",
        "UPDATE events SET at = at + 1 WHERE no = 2",
        "UPDATE events SET row_hash = 0 WHERE no = 2",
        "UPDATE bodies SET body = replace(body, 'seq', 'sep') WHERE event = 2",
        "UPDATE bodies SET body = CAST(x'ff' AS TEXT) WHERE event = 2",
        "DELETE FROM bodies WHERE event = 2",
    ];
    for harm in harms {
        let dir = directory();
        let mut store = open(dir.path());
        write_events(&mut store, 3);
        vandalise(dir.path(), harm);
        let due = || store.due(&endpoint("agent"), at(100), 3, &BTreeSet::new()).expect("it reads");
        let found: Vec<(u64, bool)> = due()
            .iter()
            .map(|due| match due {
                Due::Whole(due) => (due.delivery.id.0, true),
                Due::Damaged(delivery) => (delivery.id.0, false),
            })
            .collect();
        assert_eq!(found, vec![(1, true), (2, false), (3, true)], "{harm}");
        assert_eq!(
            store.events(&EventFilter::default(), ALL).expect("it reads").len(),
            2,
            "{harm}"
        );
        assert!(
            matches!(store.verify(), Err(StoreError::Damaged { table: "events", .. })),
            "{harm}"
        );
        // Settled, it is out of the way.
        done(&mut store, delivered(2, 1, 110));
        let due = store.due(&endpoint("agent"), at(100), 3, &BTreeSet::new()).expect("it reads");
        assert!(due.iter().all(|due| matches!(due, Due::Whole(_))), "{harm}");
    }
}

#[test]
fn damaged_content_of_a_delivery_is_never_sent() {
    let harms = [
        "UPDATE made SET body = replace(body, '1', '2') WHERE event = 1",
        "UPDATE made SET is_binary = 1 WHERE event = 1",
        "UPDATE made SET media_type = 'text/html' WHERE event = 1",
        "UPDATE made SET body = NULL, media_type = NULL WHERE event = 1",
        "UPDATE made SET event = 7 WHERE event = 1",
        "UPDATE made SET row_hash = row_hash + 1 WHERE event = 1",
        "DELETE FROM made WHERE event = 1",
    ];
    for harm in harms {
        let dir = directory();
        let mut store = open(dir.path());
        let (media_type, body) = ("application/json".into(), "{\"n\":1}".into());
        let made = Made { media_type, body, is_binary: false };
        let events = (1..=2).map(|seq| {
            let content = Content::Made(made.clone());
            news_with(event("t", "k", seq, 1), &[("agent", content)])
        });
        done(&mut store, poll(page("t", 0, events.collect())));
        store.verify().expect("all is whole");
        vandalise(dir.path(), harm);
        let due = store.due(&endpoint("agent"), at(100), 3, &BTreeSet::new()).expect("it reads");
        let [Due::Damaged(first), Due::Whole(second)] = &due[..] else { panic!("{harm}: {due:?}") };
        assert_eq!((first.id.0, second.delivery.id.0), (1, 2), "{harm}");
        assert!(store.content(first.id).is_err(), "{harm}");
        let found = store.verify();
        assert!(matches!(found, Err(StoreError::Damaged { table: "made", .. })), "{harm}");
    }
}

#[test]
fn counts_that_are_wrong_are_found() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 2);
    store.verify().expect("all is whole");
    vandalise(dir.path(), "UPDATE endpoints SET pending = 1");
    assert!(matches!(store.verify(), Err(StoreError::Damaged { table: "endpoints", .. })));
}

/// Every byte of a small database flipped in turn: nothing changed is ever taken for true, and nothing panics.
#[test]
fn flipped_bits_are_never_sent() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 12);
    let truth: Vec<String> = store
        .events(&EventFilter::default(), ALL)
        .expect("it reads")
        .iter()
        .map(|record| format!("{record:?}"))
        .collect();
    drop(store);
    let whole = fs::read(dir.path().join("doorbell.db")).expect("it reads");
    let (mut seen, mut position) = (0, 4096);
    while let Some(byte) = whole.get(position) {
        let mut flipped = whole.clone();
        flipped[position] = byte ^ (1 << (position % 8));
        fs::write(dir.path().join("doorbell.db"), flipped).expect("it writes");
        if let Ok(reader) = SqliteReader::open(dir.path())
            && let Ok(due) = reader.due(&endpoint("agent"), at(100), 100, &BTreeSet::new())
        {
            let found = reader.events(&EventFilter::default(), ALL).unwrap_or_default();
            for record in found {
                assert!(truth.contains(&format!("{record:?}")), "byte {position}");
            }
            for due in due.into_iter().filter_map(Due::whole) {
                let event = format!("{:?}", due.event);
                assert!(truth.iter().any(|line| line.contains(&event)), "byte {position}");
            }
            seen += 1;
        }
        position += 61;
    }
    assert!(seen > 100, "{seen}");
}
