//! The comparison: (snapshot, items, coverage) → changes.
//!
//! In steps, because only what differs is ever parsed or read from the store. [`find`] tells whether a listed item
//! differs from the snapshot. The shell reads the stored selves of those that do. [`step`] puts old and new side by
//! side. [`absent`] decides what a complete listing says about the items that are not in it.

use sha2::{Digest as _, Sha256};

use crate::core::ids::ItemKey;
use crate::core::jq::{self, Expression};
use crate::core::json::{self, JsonFault, JsonText, Value};
use crate::core::snapshot::{Fingerprint, IndexEntry, RawHash, Snapshot, Standing, StoredItem};
use crate::core::source::Deletes;
use crate::core::time::Timestamp;

/// What happened to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

impl ChangeKind {
    /// The word in event types, rules and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One state of an item: parsed, printed and fingerprinted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Side {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) text: JsonText,
    pub(crate) value: Value,
}

impl Side {
    /// Reads an item as it came. `ignore` is left out of the fingerprint only.
    pub(crate) fn read(raw: &str, ignore: &[Expression]) -> Result<Self, JsonFault> {
        let value = json::read(raw)?;
        let compared = jq::without(&value, ignore)?;
        let fingerprint = Fingerprint(Sha256::digest(json::canonical(&compared)).into());
        Ok(Self { fingerprint, text: json::compact(&value)?, value })
    }
}

/// A difference between an item's two states that rings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) key: ItemKey,
    /// The how-many-th change of this item it is.
    pub(crate) count: u64,
    /// Absent for a creation.
    pub(crate) before: Option<Side>,
    /// Absent for a deletion. Never are both absent.
    pub(crate) after: Option<Side>,
    /// For an update: `[{path, old, new}]`, as JSON; else an empty list.
    differences: Value,
}

impl Change {
    /// An item that was not known.
    pub(crate) fn created(key: ItemKey, count: u64, after: Side) -> Self {
        Self { key, count, before: None, after: Some(after), differences: json::array(Vec::new()) }
    }

    /// An item that is no more.
    pub(crate) fn deleted(key: ItemKey, count: u64, before: Side) -> Self {
        Self { key, count, before: Some(before), after: None, differences: json::array(Vec::new()) }
    }

    /// An item whose compared part is another than before.
    pub(crate) fn updated(
        key: ItemKey,
        count: u64,
        before: Side,
        after: Side,
        ignore: &[Expression],
    ) -> Result<Self, JsonFault> {
        let mut found = Vec::new();
        let (old, new) = (jq::without(&before.value, ignore)?, jq::without(&after.value, ignore)?);
        differences(&mut String::new(), &old, &new, &mut found);
        Ok(Self {
            key,
            count,
            before: Some(before),
            after: Some(after),
            differences: json::array(found),
        })
    }

    /// Which kind of change it is.
    pub(crate) fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Updated,
            (Some(_), None) => ChangeKind::Deleted,
        }
    }

    /// The item as the event shows it: as it is now, or as it last was.
    pub(crate) fn subject(&self) -> &Side {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has at least one side")
    }

    /// The envelope's `changes`.
    pub(crate) fn differences_text(&self) -> Result<JsonText, JsonFault> {
        json::compact(&self.differences)
    }

    /// What event rules see: `{before, after, changes, key, entry}`.
    pub(crate) fn context(&self) -> Value {
        let side =
            |side: &Option<Side>| side.as_ref().map_or_else(json::null, |side| side.value.clone());
        json::object(vec![
            ("before", side(&self.before)),
            ("after", side(&self.after)),
            ("changes", self.differences.clone()),
            ("key", json::text(self.key.as_str())),
            ("entry", json::null()),
        ])
    }
}

/// Lists where two values differ, as JSON pointers (RFC 6901) with `old` and `new`; stops at arrays, because the
/// position of an element says nothing about which one it is.
fn differences(path: &mut String, old: &Value, new: &Value, found: &mut Vec<Value>) {
    if json::canonical(old) == json::canonical(new) {
        return;
    }
    let (Some(old_entries), Some(new_entries)) = (json::entries(old), json::entries(new)) else {
        found.push(difference(path, Some(old), Some(new)));
        return;
    };
    for (name, old) in &old_entries {
        let length = path.len();
        push_pointer(path, name);
        match new_entries.iter().find(|(other, _)| other == name) {
            Some((_, new)) => differences(path, old, new, found),
            None => found.push(difference(path, Some(old), None)),
        }
        path.truncate(length);
    }
    for (name, new) in &new_entries {
        if !old_entries.iter().any(|(other, _)| other == name) {
            let length = path.len();
            push_pointer(path, name);
            found.push(difference(path, None, Some(new)));
            path.truncate(length);
        }
    }
}

fn push_pointer(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

fn difference(path: &str, old: Option<&Value>, new: Option<&Value>) -> Value {
    let mut entries = vec![("path", json::text(path))];
    entries.extend(old.map(|old| ("old", old.clone())));
    entries.extend(new.map(|new| ("new", new.clone())));
    json::object(entries)
}

/// What a listed item is to the snapshot, when it is not simply as before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// Taken on without an event: a baseline, or a row that was quarantined.
    Adopted(Side),
    Created(Side),
    /// Its stored self is needed beside it.
    Updated(Side),
    /// As before, but it had been missing: no event, its standing returns to present.
    Back,
}

/// Compares one listed item with the snapshot; `None` when nothing about it has changed. `raw` are its bytes as they
/// came and `raw_hash` their hash. During a `baseline` nothing rings.
pub(crate) fn find(
    entry: Option<&IndexEntry>,
    (raw, raw_hash): (&str, RawHash),
    ignore: &[Expression],
    baseline: bool,
) -> Result<Option<Finding>, JsonFault> {
    let Some(entry) = entry else {
        let side = Side::read(raw, ignore)?;
        return Ok(Some(if baseline { Finding::Adopted(side) } else { Finding::Created(side) }));
    };
    let as_before =
        || (entry.standing != Standing::Present { missing: 0 }).then_some(Finding::Back);
    if entry.standing.is_known() && entry.raw == raw_hash {
        return Ok(as_before());
    }
    let side = Side::read(raw, ignore)?;
    Ok(match entry.standing {
        Standing::Quarantined => Some(Finding::Adopted(side)),
        Standing::Deleted if baseline => Some(Finding::Adopted(side)),
        Standing::Deleted => Some(Finding::Created(side)),
        _ if entry.fingerprint == side.fingerprint => as_before(),
        _ if baseline => Some(Finding::Adopted(side)),
        _ => Some(Finding::Updated(side)),
    })
}

/// What a complete listing says about the items that are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Standings that change without an event.
    pub(crate) marks: Vec<(ItemKey, Standing)>,
    /// Items whose deletion is proven and rings now. Sorted, so that one poll always gives one order.
    pub(crate) deleted: Vec<ItemKey>,
}

/// Decides what becomes of the items that a **complete** listing does not show: missing once more, deleted, held by
/// the brake, or merely remembered. `is_listed` tells whether the listing shows an item.
pub(crate) fn absent(
    snapshot: &Snapshot,
    deletes: Deletes,
    now: Timestamp,
    is_listed: impl Fn(&ItemKey, &IndexEntry) -> bool,
) -> Absent {
    let mut outcome = Absent::default();
    for (key, entry) in &snapshot.entries {
        let Standing::Present { missing } = entry.standing else { continue };
        if is_listed(key, entry) {
            continue;
        }
        match deletes {
            Deletes::Off => outcome.marks.push((key.clone(), Standing::Lost)),
            Deletes::After { listings, .. } if missing + 1 < listings => {
                outcome.marks.push((key.clone(), Standing::Present { missing: missing + 1 }));
            }
            Deletes::After { .. } => outcome.deleted.push(key.clone()),
        }
    }
    if let Deletes::After { brake, .. } = deletes
        && brake.holds(outcome.deleted.len(), snapshot.known_count())
    {
        let held = outcome.deleted.drain(..).map(|key| (key, Standing::Held { since: now }));
        outcome.marks.extend(held);
    }
    outcome.deleted.sort_unstable();
    outcome.marks.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    outcome
}

/// What one item adds to a commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Its standing alone changes.
    Mark(ItemKey, Standing),
    /// Written without an event.
    Adopt(StoredItem),
    /// Written together with its events.
    Ring(StoredItem, Box<Change>),
}

/// Puts a finding beside the item's place in the snapshot and, for an update, its stored self.
pub(crate) fn step(
    (key, raw, finding): (ItemKey, RawHash, Finding),
    entry: Option<&IndexEntry>,
    stored: Option<&StoredItem>,
    ignore: &[Expression],
) -> Result<Step, JsonFault> {
    let count = entry.map_or(0, |entry| entry.changes);
    Ok(match (finding, stored) {
        (Finding::Back, _) => Step::Mark(key, Standing::Present { missing: 0 }),
        // An update whose stored self failed its hash has nothing to be compared with: the new one is adopted.
        (Finding::Adopted(side), _) | (Finding::Updated(side), None) => {
            Step::Adopt(present(key, raw, count, &side))
        }
        (Finding::Created(side), _) => {
            let item = present(key.clone(), raw, count + 1, &side);
            Step::Ring(item, Box::new(Change::created(key, count + 1, side)))
        }
        (Finding::Updated(side), Some(stored)) => {
            let before = Side::read(stored.data.as_str(), ignore)?;
            let item = present(key.clone(), raw, count + 1, &side);
            Step::Ring(item, Box::new(Change::updated(key, count + 1, before, side, ignore)?))
        }
    })
}

/// A proven deletion of a stored item: a change, and a tombstone that keeps the change count.
pub(crate) fn deletion(stored: &StoredItem, ignore: &[Expression]) -> Result<Step, JsonFault> {
    let before = Side::read(stored.data.as_str(), ignore)?;
    let count = stored.entry.changes + 1;
    let change = Change::deleted(stored.key.clone(), count, before);
    Ok(Step::Ring(tombstone(stored.key.clone(), count), Box::new(change)))
}

fn present(key: ItemKey, raw: RawHash, changes: u64, side: &Side) -> StoredItem {
    let standing = Standing::Present { missing: 0 };
    let entry = IndexEntry { fingerprint: side.fingerprint, raw, changes, standing };
    StoredItem { key, entry, data: side.text.clone() }
}

/// What is left of an item that is no more: its change count, so that a later return makes new event ids.
pub(crate) fn tombstone(key: ItemKey, changes: u64) -> StoredItem {
    let entry = IndexEntry {
        fingerprint: Fingerprint::NONE,
        raw: RawHash(0),
        changes,
        standing: Standing::Deleted,
    };
    StoredItem { key, entry, data: JsonText::empty() }
}
