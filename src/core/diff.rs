//! The comparison: (snapshot, items, coverage) → changes.
//!
//! In steps, because only what differs is ever parsed or read from the store. [`find`] tells whether a listed item
//! differs from the snapshot. The shell reads the stored selves of those that do. [`step`] puts old and new side by
//! side. [`absent`] decides what a complete listing says about the items that are not in it.

use sha2::{Digest as _, Sha256};

use crate::core::ids::{EntryKey, ItemKey};
use crate::core::jq::{self, Expression};
use crate::core::json::{self, JsonFault, JsonText, Value};
use crate::core::snapshot::{
    Fingerprint, IndexEntry, Place, RawHash, Settling, Snapshot, Standing, StoredItem,
};
use crate::core::source::{Deletes, Source};
use crate::core::time::Timestamp;

/// What happened to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChangeKind {
    Created,
    Updated,
    Deleted,
    /// It has become what `until` waits for. Says nothing of how it stands.
    Ended,
}

impl ChangeKind {
    /// The word in event types, rules and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Ended => "ended",
        }
    }
}

/// What of an item is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparing<'a> {
    /// Paths left out, before all else.
    pub(crate) ignore: &'a [Expression],
    /// What of the rest is compared; `None` is all of it.
    pub(crate) compare: Option<&'a Expression>,
    /// What identifies it. `7` and `"7"` are one key, so that spelling it otherwise is no change.
    pub(crate) key: &'a [Expression],
}

impl Comparing<'_> {
    /// The compared part of an item.
    fn part(self, value: &Value) -> Result<Value, JsonFault> {
        let rest = jq::without(value, self.ignore)?;
        match self.compare {
            Some(compare) => compare.one(&rest).map_err(|fault| named("compare", &fault)),
            None => Ok(rest),
        }
    }

    /// Whether two states of one item differ in nothing but how the key is spelled.
    fn is_respelled(self, before: &Value, after: &Value) -> Result<bool, JsonFault> {
        let paths = self.key.iter().filter(|part| part.steps().is_some()).cloned();
        let paths: Vec<_> = paths.chain(self.ignore.iter().cloned()).collect();
        if self.compare.is_some() || paths.len() == self.ignore.len() {
            return Ok(false);
        }
        let rest = |value| Ok(json::canonical(&jq::without(value, &paths)?));
        Ok(rest(before)? == rest(after)?)
    }
}

/// A jq failure, with the key of the configuration that it is written under.
fn named(key: &str, fault: &JsonFault) -> JsonFault {
    JsonFault::new(fault.code, format!("`{key}`: {}", fault.sentence))
}

/// One state of an item: parsed, printed and fingerprinted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Side {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) text: JsonText,
    pub(crate) value: Value,
}

impl Side {
    /// Reads an item as it came. Only a part of it may be compared.
    pub(crate) fn read(raw: &str, comparing: Comparing<'_>) -> Result<Self, JsonFault> {
        Self::of(json::read(raw)?, comparing)
    }

    fn of(value: Value, comparing: Comparing<'_>) -> Result<Self, JsonFault> {
        let compared = comparing.part(&value)?;
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
    /// Nothing comes after it.
    is_end: bool,
}

impl Change {
    /// An item that was not known.
    pub(crate) fn created(key: ItemKey, count: u64, after: Side) -> Self {
        let differences = json::array(Vec::new());
        Self { key, count, before: None, after: Some(after), differences, is_end: false }
    }

    /// An item that has become what `until` waits for.
    pub(crate) fn ended(key: ItemKey, count: u64, after: Side) -> Self {
        Self { is_end: true, ..Self::created(key, count, after) }
    }

    /// An item that is no more.
    pub(crate) fn deleted(key: ItemKey, count: u64, before: Side) -> Self {
        let differences = json::array(Vec::new());
        Self { key, count, before: Some(before), after: None, differences, is_end: false }
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
            is_end: false,
        })
    }

    /// Which kind of change it is.
    pub(crate) fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            _ if self.is_end => ChangeKind::Ended,
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
    pub(crate) fn context(&self, entry: &EntryKey) -> Value {
        let side =
            |side: &Option<Side>| side.as_ref().map_or_else(json::null, |side| side.value.clone());
        json::object(vec![
            ("before", side(&self.before)),
            ("after", side(&self.after)),
            ("changes", self.differences.clone()),
            ("key", json::text(self.key.as_str())),
            ("entry", if entry.is_none() { json::null() } else { json::text(entry.as_str()) }),
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
    /// A new value that has not lasted long enough yet: seen again in so many polls.
    Settling(Side, u32),
    /// As before, but it had been missing: no event, its standing returns to present.
    Back,
    /// No longer watched: no event, it is remembered.
    Left,
    /// A tombstone of an item that receivers believe in.
    Gone,
    /// A creation that is held, with another content: it stays held.
    Awaiting(Side),
    /// An item that receivers do not know, and need not know any more.
    Dropped,
}

/// Compares one listed item with the snapshot; `None` when nothing about it has changed. `raw` are its bytes as they
/// came and `raw_hash` their hash. During a `baseline` nothing rings. What vanished before `retained` is new.
pub(crate) fn find(
    source: &Source,
    entry: Option<&IndexEntry>,
    (raw, raw_hash): (&str, RawHash),
    (baseline, retained): (bool, Timestamp),
) -> Result<Option<Finding>, JsonFault> {
    let known = entry.map_or(Standing::Deleted, |entry| entry.standing);
    let standing = known.remembered(retained);
    let is_held_new = matches!(standing, Standing::HeldNew { .. });
    if let Some(entry) = entry
        && (standing.is_known() || is_held_new)
        && entry.raw == raw_hash
    {
        return Ok(as_listed(standing));
    }
    let value = json::read(raw)?;
    match watched(source, &value)? {
        Watched::Yes => {}
        Watched::Tombstone => return Ok(tombstoned(standing, baseline)),
        // It did not vanish, or is back.
        Watched::No => return Ok(filtered(known)),
    }
    let side = Side::of(value, source.comparing())?;
    let same = entry.is_some_and(|entry| entry.fingerprint == side.fingerprint);
    Ok(match standing {
        Standing::Quarantined => Some(Finding::Adopted(side)),
        Standing::Deleted if baseline => Some(Finding::Adopted(side)),
        Standing::Deleted => Some(Finding::Created(side)),
        _ if same => as_listed(standing),
        _ if baseline => Some(Finding::Adopted(side)),
        Standing::HeldNew { .. } => Some(Finding::Awaiting(side)),
        _ => Some(Finding::Updated(side)),
    })
}

/// What `where` and `deleted_when` say of a listed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Yes,
    No,
    /// The listing says that it was deleted.
    Tombstone,
}

/// Asks `deleted_when` first, then `where`.
///
/// # Errors
/// The expression's own, under its name.
pub(crate) fn watched(source: &Source, value: &Value) -> Result<Watched, JsonFault> {
    let holds = |name, condition: &Option<Expression>, absent| {
        let test = |condition: &Expression| condition.test(value);
        condition.as_ref().map_or(Ok(absent), test).map_err(|fault| named(name, &fault))
    };
    if holds("deleted_when", &source.deleted_when, false)? {
        return Ok(Watched::Tombstone);
    }
    let is_watched = holds("where", &source.where_, true)?;
    Ok(if is_watched { Watched::Yes } else { Watched::No })
}

/// An item that is listed as it was.
fn as_listed(standing: Standing) -> Option<Finding> {
    let is_as_before =
        matches!(standing, Standing::Present { missing: 0 } | Standing::HeldNew { .. });
    (!is_as_before).then_some(Finding::Back)
}

/// An item whose listing says that it was deleted.
fn tombstoned(standing: Standing, baseline: bool) -> Option<Finding> {
    match standing {
        Standing::Deleted => None,
        // A person decides about it already.
        Standing::Held { .. } => None,
        Standing::Quarantined | Standing::HeldNew { .. } => Some(Finding::Dropped),
        _ if baseline => Some(Finding::Dropped),
        Standing::Present { .. } | Standing::Lost { .. } => Some(Finding::Gone),
    }
}

/// An item that is listed, but not watched.
fn filtered(standing: Standing) -> Option<Finding> {
    match standing {
        Standing::Deleted | Standing::Quarantined | Standing::Lost { since: None } => None,
        Standing::HeldNew { .. } => Some(Finding::Dropped),
        Standing::Present { .. } | Standing::Held { .. } | Standing::Lost { .. } => {
            Some(Finding::Left)
        }
    }
}

/// What a complete listing says about the items that are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Standings that change without an event.
    pub(crate) marks: Vec<(ItemKey, Standing)>,
    /// Items whose deletion is proven and rings now. Sorted, so that one poll always gives one order.
    pub(crate) deleted: Vec<ItemKey>,
    /// Held creations that are gone again, and what vanished so long ago that it is forgotten, as what is left of them.
    pub(crate) dropped: Vec<StoredItem>,
    /// Some are still to be asked for by themselves.
    pub(crate) is_open: bool,
}

/// When a listing ended, and of what nothing is remembered then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    /// What vanished before that, and did not ring, is forgotten.
    pub(crate) retained: Timestamp,
}

impl Moment {
    /// How an item that rings no deletion stands after a complete listing that does not show it; `None` if as before.
    fn lost(self, since: Option<Timestamp>) -> Option<Standing> {
        match since {
            Some(since) if since < self.retained => Some(Standing::Deleted),
            Some(since) if since <= self.now => None,
            // From here on it counts; also where a clock was ahead.
            _ => Some(Standing::Lost { since: Some(self.now) }),
        }
    }
}

/// Decides what becomes of the items that a **complete** listing does not show: missing once more, deleted, held by
/// the brake, or merely remembered, and that for a while. `is_listed` tells whether the listing shows an item.
///
/// `is_proof` is false when it is the first listing asked for with other credentials: they may see less. What those
/// before them saw last and these do not is held for a person; for the rest, counting begins anew.
pub(crate) fn absent(
    snapshot: &Snapshot,
    deletes: Deletes,
    (moment, is_proof): (Moment, bool),
    is_listed: impl Fn(Place, &IndexEntry) -> bool,
) -> Absent {
    let (mut outcome, now) = (Absent::default(), moment.now);
    for (place, key, entry) in snapshot.iter() {
        if is_listed(place, entry) {
            continue;
        }
        let key = || ItemKey::new(key);
        if matches!(entry.standing, Standing::HeldNew { .. }) && deletes != Deletes::Off {
            outcome.dropped.push(tombstone(key(), entry.changes));
        }
        if let (Standing::Lost { since }, true) = (entry.standing, is_proof) {
            match moment.lost(since) {
                Some(Standing::Deleted) => outcome.dropped.push(tombstone(key(), entry.changes)),
                Some(standing) => outcome.marks.push((key(), standing)),
                None => {}
            }
        }
        let Standing::Present { missing } = entry.standing else { continue };
        match deletes {
            Deletes::Off => outcome.marks.push((key(), Standing::Lost { since: Some(now) })),
            Deletes::After { .. } if !is_proof && missing == 0 => {
                outcome.marks.push((key(), Standing::Held { since: now }));
            }
            Deletes::After { .. } if !is_proof => {
                outcome.marks.push((key(), Standing::Present { missing: 1 }));
            }
            Deletes::After { listings, .. } if missing + 1 < listings => {
                outcome.marks.push((key(), Standing::Present { missing: missing + 1 }));
            }
            Deletes::After { .. } => outcome.deleted.push(key()),
        }
    }
    if let Deletes::After { brake, .. } = deletes
        && brake.holds(outcome.deleted.len(), snapshot.known_count(moment.retained))
    {
        let held = outcome.deleted.drain(..).map(|key| (key, Standing::Held { since: now }));
        outcome.marks.extend(held);
    }
    outcome.deleted.sort_unstable();
    outcome.marks.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    outcome.dropped.sort_unstable_by(|left, right| left.key.cmp(&right.key));
    outcome
}

/// The items that a complete listing does not show, to be asked for by themselves: those first that were asked for
/// least, each with how often it was missing before.
pub(crate) fn unlisted(
    snapshot: &Snapshot,
    is_listed: impl Fn(Place, &IndexEntry) -> bool,
) -> Vec<(u32, ItemKey)> {
    let mut found = Vec::new();
    for (place, key, entry) in snapshot.iter() {
        if let Standing::Present { missing } = entry.standing
            && !is_listed(place, entry)
        {
            found.push((missing, ItemKey::new(key)));
        }
    }
    found.sort_unstable();
    found
}

/// What asking for items by themselves came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// 404 or 410.
    pub(crate) gone: Vec<ItemKey>,
    /// Any 2xx: how often it was missing before.
    pub(crate) found: Vec<(u32, ItemKey)>,
    /// Anything else.
    pub(crate) unknown: Vec<(u32, ItemKey)>,
    /// Not asked for in this poll.
    pub(crate) unasked: Vec<(u32, ItemKey)>,
}

/// Decides what becomes of items that were asked for by themselves. The brake counts also those whose fate is not
/// known yet and those it holds already: a mass that is checked in slices is still a mass.
pub(crate) fn verdict(
    snapshot: &Snapshot,
    deletes: Deletes,
    checked: Checked,
    Moment { now, retained }: Moment,
) -> Absent {
    let mut outcome = Absent::default();
    let Checked { gone, found, unknown, unasked } = checked;
    let is_held = |entry: &IndexEntry| matches!(entry.standing, Standing::Held { .. });
    let held = snapshot.iter().filter(|(_, _, entry)| is_held(entry)).count();
    outcome.is_open = !unknown.is_empty() || !unasked.is_empty();
    let doubtful = gone.len() + unknown.len() + unasked.len() + held;
    let present = |missing| Standing::Present { missing };
    let back = found.into_iter().filter(|(missing, _)| *missing > 0);
    outcome.marks.extend(back.map(|(_, key)| (key, present(0))));
    let again = |(missing, key): (u32, ItemKey)| (key, present(missing.saturating_add(1)));
    outcome.marks.extend(unknown.into_iter().map(again));
    let fresh = unasked.into_iter().filter(|(missing, _)| *missing == 0);
    outcome.marks.extend(fresh.map(|(_, key)| (key, present(1))));
    match deletes {
        Deletes::After { brake, .. } if brake.holds(doubtful, snapshot.known_count(retained)) => {
            outcome.marks.extend(gone.into_iter().map(|key| (key, Standing::Held { since: now })));
        }
        _ => outcome.deleted = gone,
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
    /// Kept beside the snapshot until it has lasted.
    Settle(ItemKey, Settling),
}

/// Puts a finding beside the item's place in the snapshot and, for an update or a deletion, its stored self.
pub(crate) fn step(
    source: &Source,
    (key, raw, finding): (ItemKey, RawHash, Finding),
    entry: Option<&IndexEntry>,
    stored: Option<&StoredItem>,
) -> Result<Step, JsonFault> {
    let count = entry.map_or(0, |entry| entry.changes);
    let comparing = source.comparing();
    Ok(match (finding, stored) {
        (Finding::Back, _) => Step::Mark(key, Standing::Present { missing: 0 }),
        (Finding::Left, _) => Step::Mark(key, Standing::Lost { since: None }),
        (Finding::Dropped | Finding::Gone, _) => Step::Adopt(tombstone(key, count)),
        (Finding::Awaiting(side), _) => {
            let standing = entry.map_or(Standing::Deleted, |entry| entry.standing);
            Step::Adopt(present(key, raw, count, &side).standing(standing))
        }
        (Finding::Settling(side, polls), _) => {
            let Side { fingerprint, text: data, .. } = side;
            Step::Settle(key, Settling { fingerprint, raw, polls, data })
        }
        // An update whose stored self failed its hash has nothing to be compared with: the new one is adopted.
        (Finding::Adopted(side), _) | (Finding::Updated(side), None) => {
            Step::Adopt(present(key, raw, count, &side))
        }
        (Finding::Created(side), _) => creation(key, raw, count, side),
        (Finding::Updated(side), Some(stored)) => {
            let before = Side::read(stored.data.as_str(), comparing)?;
            if comparing.is_respelled(&before.value, &side.value)? {
                return Ok(Step::Adopt(present(key, raw, count, &side)));
            }
            let item = present(key.clone(), raw, count + 1, &side);
            let change = Change::updated(key, count + 1, before, side, comparing.ignore)?;
            Step::Ring(item, Box::new(change))
        }
    })
}

fn creation(key: ItemKey, raw: RawHash, count: u64, side: Side) -> Step {
    let item = present(key.clone(), raw, count + 1, &side);
    Step::Ring(item, Box::new(Change::created(key, count + 1, side)))
}

/// A new item that a person decides about: one of too many in one poll.
pub(crate) fn held_new(
    key: ItemKey,
    raw: RawHash,
    count: u64,
    side: &Side,
    now: Timestamp,
) -> StoredItem {
    present(key, raw, count, side).standing(Standing::HeldNew { since: now })
}

/// A held change that a person lets ring: a creation, or a deletion.
pub(crate) fn release(source: &Source, stored: &StoredItem) -> Result<Step, JsonFault> {
    if !matches!(stored.entry.standing, Standing::HeldNew { .. }) {
        return deletion(source, stored);
    }
    let side = Side::read(stored.data.as_str(), source.comparing())?;
    let IndexEntry { raw, changes, .. } = stored.entry;
    Ok(creation(stored.key.clone(), raw, changes, side))
}

/// A proven deletion of a stored item: a change, and a tombstone that keeps the change count.
pub(crate) fn deletion(source: &Source, stored: &StoredItem) -> Result<Step, JsonFault> {
    let before = Side::read(stored.data.as_str(), source.comparing())?;
    let count = stored.entry.changes + 1;
    let change = Change::deleted(stored.key.clone(), count, before);
    Ok(Step::Ring(tombstone(stored.key.clone(), count), Box::new(change)))
}

/// An item that is there, after so many changes.
pub(crate) fn present(key: ItemKey, raw: RawHash, changes: u64, side: &Side) -> StoredItem {
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
