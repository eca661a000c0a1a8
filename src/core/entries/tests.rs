//! When entries begin and end, and what they are called.

use std::time::Duration;

use proptest::prelude::*;

use super::{entry_of, feeds, spread_over_interval, vanished};
use crate::core::ids::{EntryKey, ItemKey, SourceName, UnitName};
use crate::core::snapshot::{Fingerprint, IndexEntry, RawHash, Snapshot, Standing};
use crate::core::source::{Brake, Deletes};
use crate::core::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn an_item_of_a_feeding_source_is_an_entry_by_its_key() {
    for (feeding, key, expected) in [
        ("", "7", Some("7")),
        ("", "a/b", Some("a/b")),
        ("", "", None),
        ("north", "7", Some("north/7")),
        ("north", "", Some("north")),
    ] {
        let entry = entry_of(&EntryKey::new(feeding), &ItemKey::new(key));
        assert_eq!(entry, expected.map(EntryKey::new), "{feeding:?} {key:?}");
    }
}

#[test]
fn what_is_there_or_held_feeds() {
    for (standing, expected) in [
        (Standing::Present { missing: 0 }, true),
        (Standing::Present { missing: 1 }, true),
        (Standing::Held { since: at(0) }, true),
        (Standing::HeldNew { since: at(0) }, true),
        (Standing::Lost { since: None }, false),
        (Standing::Deleted, false),
    ] {
        assert_eq!(feeds(standing), expected, "{standing:?}");
    }
}

#[test]
fn nothing_at_its_url_is_the_proof() {
    let entry = |standing| IndexEntry {
        fingerprint: Fingerprint::NONE,
        raw: RawHash(1),
        changes: 1,
        standing,
    };
    let brake = Brake { count: 0, percent: 0 };
    let after = Deletes::After { listings: 2, brake };
    for (standing, deletes, holds, expected) in [
        (Standing::Present { missing: 0 }, after, false, Ok(true)),
        (Standing::Present { missing: 0 }, after, true, Err(Standing::Held { since: at(9) })),
        (
            Standing::Present { missing: 0 },
            Deletes::Off,
            true,
            Err(Standing::Lost { since: Some(at(9)) }),
        ),
        (Standing::Deleted, after, false, Ok(false)),
        (Standing::Held { since: at(1) }, after, false, Ok(false)),
        (Standing::Lost { since: Some(at(1)) }, after, false, Ok(false)),
    ] {
        let mut snapshot = Snapshot::default();
        snapshot.set("", entry(standing));
        let absent = vanished(&snapshot, deletes, at(9), |_| holds);
        let marks: Vec<_> = absent.marks.iter().map(|(_, standing)| *standing).collect();
        assert_eq!(marks, Vec::from_iter(expected.err()), "{standing:?} {deletes:?}");
        assert_eq!(absent.deleted.len(), usize::from(expected == Ok(true)), "{standing:?}");
    }
}

#[test]
fn a_unit_is_named_by_source_and_entry() {
    let source = SourceName::new("parcels");
    for (entry, expected) in [("", "parcels"), ("7", "parcels/7"), ("a/b", "parcels/a/b")] {
        let unit = UnitName::of(&source, &EntryKey::new(entry));
        assert_eq!(unit.as_str(), expected);
        assert_eq!((unit.source(), unit.entry()), (source.clone(), EntryKey::new(entry)));
    }
}

proptest! {
    #[test]
    fn second_polls_are_spread_over_the_interval(seconds in 1_u64..9_000, chance in 0.0..1.0_f64) {
        let interval = Duration::from_secs(seconds);
        let due = spread_over_interval(interval, at(7), chance);
        prop_assert!(due >= at(7) && due <= at(7).after(interval));
    }
}
