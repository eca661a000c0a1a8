use std::collections::HashMap;

use proptest::prelude::*;

use super::{ByBytes, Fingerprint, IndexEntry, RawHash, Snapshot, Standing, StoredItem};
use crate::core::ids::ItemKey;
use crate::core::json::JsonText;

fn entry(raw: u64, standing: Standing) -> IndexEntry {
    IndexEntry { fingerprint: Fingerprint([7; 32]), raw: RawHash(raw), changes: raw, standing }
}

#[derive(Debug, Clone)]
enum Act {
    Set(String, u64),
    Mark(String, u32),
    Meet(String),
}

fn act() -> impl Strategy<Value = Act> {
    let key = || "[a-cä]{0,3}";
    prop_oneof![
        (key(), 0..5_u64).prop_map(|(key, raw)| Act::Set(key, raw)),
        (key(), 0..2_u32).prop_map(|(key, missing)| Act::Mark(key, missing)),
        key().prop_map(Act::Meet),
    ]
}

proptest! {
    /// It knows what a map would, whatever comes in whatever order, and places stay.
    #[test]
    fn knows_what_a_map_knows(acts in prop::collection::vec(act(), 0..60)) {
        let (mut snapshot, mut map) = (Snapshot::default(), HashMap::new());
        let mut places = HashMap::new();
        for act in acts {
            match act {
                Act::Set(key, raw) => {
                    let entry = entry(raw, Standing::Present { missing: 0 });
                    snapshot.set(&key, entry);
                    map.insert(key, entry);
                }
                Act::Mark(key, missing) => {
                    let standing = Standing::Present { missing };
                    snapshot.mark(&key, standing);
                    map.entry(key).and_modify(|entry| entry.standing = standing);
                }
                Act::Meet(key) => {
                    let place = snapshot.place(&key);
                    prop_assert_eq!(snapshot.key(place), key.as_str());
                    prop_assert_eq!(*places.entry(key).or_insert(place), place);
                }
            }
        }
        let found: HashMap<_, _> =
            snapshot.iter().map(|(_, key, entry)| (key.to_owned(), *entry)).collect();
        prop_assert_eq!(&found, &map);
        prop_assert_eq!(snapshot.len(), map.len());
        for (key, entry) in &map {
            prop_assert_eq!(snapshot.get(&ItemKey::new(key.clone())), Some(entry));
        }
        let again: Snapshot = map.into_iter().map(|(key, it)| (ItemKey::new(key), it)).collect();
        prop_assert_eq!(snapshot, again);
    }
}

#[test]
fn two_that_know_otherwise_differ() {
    let present = Standing::Present { missing: 0 };
    let of = |items: &[(&str, u64)]| -> Snapshot {
        items.iter().map(|(key, raw)| (ItemKey::new(*key), entry(*raw, present))).collect()
    };
    for (other, same) in [
        (of(&[("b", 2), ("a", 1)]), true),
        (of(&[("a", 1)]), false),
        (of(&[("a", 1), ("b", 3)]), false),
        (of(&[("a", 1), ("c", 2)]), false),
    ] {
        assert_eq!(of(&[("a", 1), ("b", 2)]) == other, same, "{other:?}");
    }
}

#[test]
fn only_what_was_listed_is_known_by_its_bytes() {
    let mut snapshot = Snapshot::default();
    snapshot.place("met before it is known");
    for (raw, standing) in [
        (1, Standing::Present { missing: 0 }),
        (2, Standing::Present { missing: 1 }),
        (3, Standing::Lost { since: None }),
        (4, Standing::Deleted),
        (5, Standing::Quarantined),
    ] {
        snapshot.set(&format!("item {raw}"), entry(raw, standing));
    }
    let by_bytes = ByBytes::of(&snapshot);
    for raw in 0..7 {
        let found = by_bytes.find(&snapshot, RawHash(raw)).map(|place| snapshot.key(place));
        assert_eq!(found, (raw == 1).then_some("item 1"), "{raw}");
    }
}

#[test]
fn a_renewed_item_is_known_as_it_was_written() {
    let mut snapshot = Snapshot::default();
    let written = entry(9, Standing::Lost { since: None });
    let key = ItemKey::new("a");
    snapshot.renew(&[StoredItem {
        key: key.clone(),
        entry: written,
        data: JsonText::trusted("1"),
    }]);
    assert_eq!(snapshot.get(&key), Some(&written));
    snapshot.mark("never met", Standing::Deleted);
    assert_eq!(snapshot.len(), 1);
}
