//! One poll in progress: what its pages showed so far, and what they change.
//!
//! Pure: the shell hands in pages and stored items, and writes what comes out.

use std::collections::HashMap;

use crate::core::delivery::{NewEvent, fan_out};
use crate::core::diff::{self, Absent, ChangeKind, Finding, Side, Step};
use crate::core::event::Occasion;
use crate::core::extract::{Page, Shape};
use crate::core::fault::Fault;
use crate::core::ids::ItemKey;
use crate::core::json::JsonFault;
use crate::core::limits::ITEMS_MAX;
use crate::core::outcome::check_shape;
use crate::core::roster::Roster;
use crate::core::snapshot::{Coverage, IndexEntry, RawHash, Snapshot, Standing, StoredItem};
use crate::core::source::{Baseline, Deletes, Source, SourceState};
use crate::core::time::Timestamp;

/// What the pages of one poll showed so far.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    source: &'a Source,
    /// As declared, unless the listing turned out to be one that proves no absence.
    deletes: Deletes,
    snapshot: Snapshot,
    /// Of [`RawHash`].
    seed: u64,
    /// Nothing rings: this source is being seen for the first time.
    baseline: bool,
    shape: Option<Shape>,
    /// The keys shown, with the hash of their bytes: of two items with one key the first counts.
    seen: HashMap<ItemKey, RawHash>,
    /// The first item that could not be used, or what else makes the listing partial.
    fault: Option<Fault>,
    /// The first item that stands on two pages.
    shifted: Option<ItemKey>,
}

/// An item that is not simply as before.
#[derive(Debug)]
pub(crate) struct Noted {
    key: ItemKey,
    raw: RawHash,
    finding: Finding,
}

/// What a part of a listing changes: written in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) upserts: Vec<StoredItem>,
    pub(crate) marks: Vec<(ItemKey, Standing)>,
    pub(crate) events: Vec<NewEvent>,
    /// The kind of every change, whether or not a rule makes an event of it.
    pub(crate) kinds: Vec<ChangeKind>,
    /// The first item whose change could not be told; it is not in the delta, so that the next poll meets it again.
    pub(crate) fault: Option<Fault>,
}

impl Delta {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.marks.is_empty() && self.events.is_empty()
    }
}

/// What it takes to make events of changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ringing<'a> {
    pub(crate) source: &'a Source,
    pub(crate) roster: &'a Roster,
    /// What the events give as their time.
    pub(crate) at: Timestamp,
    /// The number of the last event before these.
    pub(crate) last_seq: u64,
}

impl Ringing<'_> {
    /// Adds a step to a delta, with the events it makes.
    fn add(&self, delta: &mut Delta, step: Step) -> Result<(), Fault> {
        match step {
            Step::Mark(key, standing) => delta.marks.push((key, standing)),
            Step::Adopt(item) => delta.upserts.push(item),
            Step::Ring(item, change) => {
                let occasion = Occasion { source: &self.source.name, at: self.at };
                let next_seq = self.last_seq + delta.events.len() as u64 + 1;
                let events = self.source.events.events_of(&change, occasion, next_seq)?;
                let endpoints = || self.roster.endpoints.values().map(AsRef::as_ref);
                delta.events.extend(events.into_iter().map(|event| fan_out(event, endpoints())));
                delta.upserts.push(item);
                delta.kinds.push(change.kind());
            }
        }
        Ok(())
    }

    /// The delta of deleting these stored items.
    pub(crate) fn deletions(&self, items: &[StoredItem], delta: &mut Delta) {
        for item in items {
            let step = diff::deletion(item, &self.source.ignore)
                .map_err(|fault| item_fault(&item.key, &fault));
            if let Err(fault) = step.and_then(|step| self.add(delta, step)) {
                delta.fault.get_or_insert(fault);
            }
        }
    }
}

impl<'a> Listing<'a> {
    /// A poll of `source` about to begin.
    pub(crate) fn new(
        source: &'a Source,
        state: &SourceState,
        snapshot: Snapshot,
        seed: u64,
    ) -> Self {
        Self {
            source,
            deletes: source.deletes,
            snapshot,
            seed,
            baseline: state.baseline == Baseline::Due { silent: true },
            shape: state.shape,
            seen: HashMap::new(),
            fault: None,
            shifted: None,
        }
    }

    /// The listing is a window on what is newest: what is absent from it has only moved out of sight.
    pub(crate) fn proves_no_absence(&mut self) {
        self.deletes = Deletes::Off;
    }

    /// Takes up a page and tells which of its items are not as before.
    ///
    /// # Errors
    /// A page that cannot belong to this listing: of another kind, or more items than the bound.
    pub(crate) fn note(&mut self, page: &Page<'_>) -> Result<Vec<Noted>, Fault> {
        check_shape(self.shape, page.shape)?;
        self.shape = Some(page.shape);
        self.set_fault(page.faults.first().cloned());
        let mut noted = Vec::new();
        let mut places = None;
        for (at, found) in page.items.iter().enumerate() {
            let raw = RawHash::of(found.raw.as_bytes(), self.seed);
            match self.seen.get(&found.key) {
                Some(first) if *first == raw => {
                    let places = places.get_or_insert_with(|| places_of(page));
                    if places.get(&found.key) == Some(&at) {
                        self.shifted.get_or_insert_with(|| found.key.clone());
                    }
                    continue;
                }
                Some(_) => {
                    self.set_fault(Some(duplicate(&found.key)));
                    continue;
                }
                None => _ = self.seen.insert(found.key.clone(), raw),
            }
            let entry = self.snapshot.entries.get(&found.key);
            match diff::find(entry, (&found.raw, raw), &self.source.ignore, self.baseline) {
                Ok(None) => {}
                Ok(Some(finding)) => noted.push(Noted { key: found.key.clone(), raw, finding }),
                Err(fault) => self.set_fault(Some(item_fault(&found.key, &fault))),
            }
        }
        if self.seen.len() > ITEMS_MAX {
            return Err(Fault::source(
                "too_many_items",
                format!("the listing has more than {ITEMS_MAX} items"),
            ));
        }
        Ok(noted)
    }

    /// Which items' stored selves [`Listing::delta`] needs.
    pub(crate) fn needed(noted: &[Noted]) -> Vec<ItemKey> {
        let updated = noted.iter().filter(|noted| matches!(noted.finding, Finding::Updated(_)));
        updated.map(|noted| noted.key.clone()).collect()
    }

    /// What the noted items change.
    pub(crate) fn delta(
        &mut self,
        noted: Vec<Noted>,
        stored: &[StoredItem],
        ringing: Ringing<'_>,
    ) -> Delta {
        let stored: HashMap<&ItemKey, &StoredItem> =
            stored.iter().map(|item| (&item.key, item)).collect();
        let mut delta = Delta::default();
        for Noted { key, raw, finding } in noted {
            let (entry, before) = (self.snapshot.entries.get(&key), stored.get(&key).copied());
            let step = diff::step((key.clone(), raw, finding), entry, before, &self.source.ignore);
            let step = step.map_err(|fault| item_fault(&key, &fault));
            if let Err(fault) = step.and_then(|step| ringing.add(&mut delta, step)) {
                self.set_fault(Some(fault));
            }
        }
        delta
    }

    /// What the end of the listing says about items it did not show. Only a complete one proves anything.
    pub(crate) fn absent(&self, now: Timestamp) -> Absent {
        assert_eq!(self.coverage(), Coverage::Complete, "a partial listing proves no absence");
        let listed = |key: &ItemKey, _: &IndexEntry| self.seen.contains_key(key);
        diff::absent(&self.snapshot, self.deletes, now, listed)
    }

    /// Complete, unless an item could not be used or stands on two pages. Pages that failed end a listing before this
    /// is asked.
    ///
    /// Something that is put in before an item, or moves there, pushes it over the edge of its page. It is seen twice
    /// then, which does no harm; but what moved is not seen at all.
    pub(crate) fn coverage(&self) -> Coverage {
        match (&self.fault, &self.shifted) {
            (Some(_), _) => Coverage::Partial,
            (None, Some(_)) => Coverage::Shifted,
            (None, None) => Coverage::Complete,
        }
    }

    /// Keeps the first fault met.
    pub(crate) fn set_fault(&mut self, fault: Option<Fault>) {
        if self.fault.is_none() {
            self.fault = fault;
        }
    }

    /// What is wrong with the listing.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What there is to say of a listing that moved.
    pub(crate) fn told_shift(&self) -> Option<String> {
        let key = self.shifted.as_ref()?;
        Some(format!(
            "the listing changed while its pages were read: item {} stands on two of them; nothing counts as absent",
            shown(key)
        ))
    }

    /// List or object, once a page was read.
    pub(crate) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// How many items were shown.
    pub(crate) fn items_count(&self) -> usize {
        self.seen.len()
    }
}

/// What a 304 or an identical body says: the last complete listing holds again, for listed and missing items alike.
pub(crate) fn confirmed(source: &Source, snapshot: &Snapshot, now: Timestamp) -> Absent {
    let listed =
        |_: &ItemKey, entry: &IndexEntry| entry.standing == Standing::Present { missing: 0 };
    diff::absent(snapshot, source.deletes, now, listed)
}

/// Fingerprints stored items anew, because what is ignored is another than when they were stored.
///
/// # Errors
/// The first item whose comparison fails under the new declaration.
pub(crate) fn refingerprint(
    source: &Source,
    items: Vec<StoredItem>,
) -> Result<Vec<StoredItem>, Fault> {
    items
        .into_iter()
        .map(|mut item| {
            let side = Side::read(item.data.as_str(), &source.ignore);
            item.entry.fingerprint =
                side.map_err(|fault| item_fault(&item.key, &fault))?.fingerprint;
            Ok(item)
        })
        .collect()
}

fn duplicate(key: &ItemKey) -> Fault {
    Fault::source(
        "duplicate_key",
        format!("two different items have the key {}; the first one counts", shown(key)),
    )
}

/// Where the keys of a page stand in it first.
fn places_of<'p>(page: &'p Page<'_>) -> HashMap<&'p ItemKey, usize> {
    let keys = page.items.iter().enumerate();
    keys.rev().map(|(at, found)| (&found.key, at)).collect()
}

fn item_fault(key: &ItemKey, fault: &JsonFault) -> Fault {
    Fault::source(fault.code, format!("item {}: {}", shown(key), fault.sentence))
}

/// A key as it may stand in a sentence: bounded, on one line.
fn shown(key: &ItemKey) -> String {
    let short: String =
        key.as_str().chars().take(60).map(|c| if c.is_control() { '·' } else { c }).collect();
    format!("{short:?}")
}
