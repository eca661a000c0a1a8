//! Entries: what a source with `for_each` polls one by one, and when they begin and end.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::core::diff::{self, Absent, Change, Side, Step, Watched};
use crate::core::extract::Page;
use crate::core::fault::Fault;
use crate::core::ids::{EntryKey, ItemKey, SourceName};
use crate::core::jq::Expression;
use crate::core::json::{self, JsonText};
use crate::core::listing::{Delta, Ringing, item_fault};
use crate::core::snapshot::{IndexEntry, RawHash, Snapshot, Standing};
use crate::core::source::{Brake, Deletes, Source};
use crate::core::time::Timestamp;

/// Where the entries of a source come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ForEach {
    /// They stand in the configuration, each with its item.
    List(Arc<BTreeMap<EntryKey, JsonText>>),
    /// They are the items of another source, or those for which the condition is true.
    Source { name: SourceName, condition: Option<Expression> },
}

/// The entry that an item of a feeding source is; `None` for an item without a key. An item of an entry has that one's
/// key before its own.
pub(crate) fn entry_of(feeding: &EntryKey, key: &ItemKey) -> Option<EntryKey> {
    match (feeding.as_str(), key.as_str()) {
        ("", "") => None,
        ("", only) | (only, "") => Some(EntryKey::new(only)),
        (entry, key) => Some(EntryKey::new(format!("{entry}/{key}"))),
    }
}

/// Whether an item of a feeding source is an entry, by how it stands.
pub(crate) fn feeds(standing: Standing) -> bool {
    matches!(standing, Standing::Present { .. } | Standing::Held { .. } | Standing::HeldNew { .. })
}

/// What becomes of the items of an entry when nothing is at its URL any more: deleted at once, because that is the
/// proof; remembered, with `deletes: off`; or kept for a person when the brake `holds`.
pub(crate) fn vanished(
    snapshot: &Snapshot,
    deletes: Deletes,
    now: Timestamp,
    holds: impl Fn(Brake) -> bool,
) -> Absent {
    let mut absent = Absent::default();
    for (_, key, entry) in snapshot.iter() {
        let Standing::Present { .. } = entry.standing else { continue };
        let key = ItemKey::new(key);
        match deletes {
            Deletes::Off => absent.marks.push((key, Standing::Lost { since: Some(now) })),
            Deletes::After { brake, .. } if holds(brake) => {
                absent.marks.push((key, Standing::Held { since: now }));
            }
            Deletes::After { .. } => absent.deleted.push(key),
        }
    }
    absent
}

/// When an entry is due after its very first poll: anywhere within the interval, so that entries which began together
/// do not go on together. `unit` is uniform in `0.0..1.0`.
pub(crate) fn spread_over_interval(interval: Duration, now: Timestamp, unit: f64) -> Timestamp {
    now.after(interval.mul_f64(unit.clamp(0.0, 1.0)))
}

/// An item that has become what `until` waits for.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    pub(crate) key: ItemKey,
    raw: RawHash,
    side: Side,
}

impl Ending {
    /// The first item of a page for which `until` is true, among those that are watched.
    ///
    /// # Errors
    /// The first item for which it fails.
    pub(crate) fn find(source: &Source, page: &Page<'_>, seed: u64) -> Result<Option<Self>, Fault> {
        let Some(until) = &source.until else { return Ok(None) };
        for found in &page.items {
            let holds = json::read(&found.raw).and_then(|value| {
                Ok(diff::watched(source, &value)? == Watched::Yes && until.test(&value)?)
            });
            let side = match holds {
                Ok(false) => continue,
                Ok(true) => Side::read(&found.raw, source.comparing()),
                Err(fault) => Err(fault),
            };
            let side = side.map_err(|fault| item_fault(&found.key, &fault))?;
            let raw = RawHash::of(found.raw.as_bytes(), seed);
            return Ok(Some(Self { key: found.key.clone(), raw, side }));
        }
        Ok(None)
    }

    /// Adds the end to the delta of the poll, behind all else. `stored` is the item as the store has it. Says whether
    /// it is the end: not as long as the item is not known as it was found, because its last change comes first.
    ///
    /// # Errors
    /// A rule that fails. The next poll meets the end again.
    pub(crate) fn ring(
        self,
        stored: Option<IndexEntry>,
        ringing: Ringing<'_>,
        delta: &mut Delta,
    ) -> Result<bool, Fault> {
        let Self { key, raw, side } = self;
        let written = delta.upserts.iter().rev().find(|item| item.key == key);
        let known = written.map(|item| item.entry).or(stored);
        let Some(known) = known
            .filter(|known| known.fingerprint == side.fingerprint && known.standing.is_known())
        else {
            return Ok(false);
        };
        let changes = known.changes + 1;
        let item = diff::present(key.clone(), raw, changes, &side);
        let change = Change::ended(key, changes, side);
        ringing.add(delta, Step::Ring(item, Box::new(change)))?;
        Ok(true)
    }
}
