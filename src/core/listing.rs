//! One poll in progress: what its pages showed so far, and what they change.
//!
//! Pure: the shell hands in pages and stored items, and writes what comes out.

mod shift;
mod shown;
mod stream;
mod unlisted;

use std::collections::HashMap;

use crate::core::delivery::{NewEvent, fan_out};
use crate::core::diff::{self, ChangeKind, Finding, Side, Step};
use crate::core::event::Occasion;
use crate::core::extract::{Found, Page, Shape};
use crate::core::fault::Fault;
use crate::core::ids::{EntryKey, ItemKey};
use crate::core::json;
use crate::core::json::JsonFault;
use crate::core::limits::ITEMS_MAX;
use crate::core::outcome::check_shape;
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::core::since::{Point, Way};
use crate::core::snapshot::{Coverage, RawHash, Settling, Snapshot, Standing, StoredItem};
use crate::core::source::{Baseline, Deletes, Source, SourceState};
use crate::core::time::Timestamp;

use self::shift::{Shift, places_of};
use self::shown::Shown;
use self::stream::Stream;
pub(crate) use self::unlisted::{confirmed, still_unlisted};

/// What the pages of one poll showed so far.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    source: &'a Source,
    /// As declared, unless the listing turned out to be one that proves no absence.
    deletes: Deletes,
    snapshot: Snapshot,
    /// Of [`RawHash`].
    seed: u64,
    /// What vanished before, and did not ring, is forgotten.
    retained: Timestamp,
    /// Only what changed was asked for.
    is_partial: bool,
    /// How far the items are that were shown, and in which order they came.
    way: Way,
    /// The first listing of this source.
    is_first: bool,
    /// The first pages are read once more, for what came there meanwhile.
    is_second_look: bool,
    /// Nothing rings: this source is being seen for the first time.
    baseline: bool,
    shape: Option<Shape>,
    shown: Shown,
    /// Of a long listing.
    stream: Option<Stream>,
    /// New values that have not lasted long enough, as of the last poll.
    settling: HashMap<ItemKey, Settling>,
    /// Of these, the ones that went back to what they were.
    settled: Vec<ItemKey>,
    /// Whether a new value is still to last.
    is_settling: bool,
    /// Created items, which ring at the end, when it is known how many there are.
    arrivals: Vec<Noted>,
    /// There were too many of them: they are held for a person, and those that follow too.
    is_flood: bool,
    /// How many are held because of that.
    flooded_count: usize,
    /// Items of which the listing says that they were deleted, which ring at the end too: the brake counts them.
    departures: Vec<ItemKey>,
    /// The first item that could not be used, or what else makes the listing partial.
    fault: Option<Fault>,
    /// The first item that was not where it stays.
    shifted: Option<Shift>,
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
    /// New values that have to last, and those that need not any more.
    pub(crate) settling: Vec<(ItemKey, Option<Settling>)>,
    pub(crate) events: Vec<NewEvent>,
    /// The kind of every change, whether or not a rule makes an event of it.
    pub(crate) kinds: Vec<ChangeKind>,
    /// The first item whose change could not be told; it is not in the delta, so that the next poll meets it again.
    pub(crate) fault: Option<Fault>,
}

impl Delta {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { upserts, marks, settling, events, kinds: _, fault: _ } = self;
        upserts.is_empty() && marks.is_empty() && settling.is_empty() && events.is_empty()
    }
}

/// What it takes to make events of changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ringing<'a> {
    pub(crate) source: &'a Source,
    /// The entry that is polled; empty for the source itself.
    pub(crate) entry: &'a EntryKey,
    pub(crate) roster: &'a Roster,
    /// What the events give as their time.
    pub(crate) at: Timestamp,
    /// By the clock that plans.
    pub(crate) now: Timestamp,
    /// The number of the last event before these.
    pub(crate) last_seq: u64,
}

impl Ringing<'_> {
    /// Adds a step to a delta, with the events it makes.
    pub(crate) fn add(&self, delta: &mut Delta, step: Step) -> Result<(), Fault> {
        match step {
            Step::Mark(key, standing) => delta.marks.push((key, standing)),
            Step::Adopt(item) => delta.upserts.push(item),
            Step::Settle(key, settling) => delta.settling.push((key, Some(settling))),
            Step::Ring(item, change) => {
                let Self { source, entry, at, .. } = *self;
                let occasion = Occasion { source: &source.name, entry, at };
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
        self.each(items, delta, diff::deletion);
    }

    /// The delta of letting these held changes ring.
    pub(crate) fn releases(&self, items: &[StoredItem], delta: &mut Delta) {
        self.each(items, delta, diff::release);
    }

    fn each(
        &self,
        items: &[StoredItem],
        delta: &mut Delta,
        step: impl Fn(&Source, &StoredItem) -> Result<Step, JsonFault>,
    ) {
        for item in items {
            let step = step(self.source, item).map_err(|fault| item_fault(&item.key, &fault));
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
        (snapshot, settling): (Snapshot, HashMap<ItemKey, Settling>),
        (is_partial, seed): (bool, u64),
    ) -> Self {
        Self {
            is_partial,
            way: Way::default(),
            is_first: matches!(state.baseline, Baseline::Due { .. }),
            is_second_look: false,
            source,
            deletes: source.deletes,
            snapshot,
            seed,
            retained: NOTHING_FORGOTTEN,
            settling,
            settled: Vec::new(),
            is_settling: false,
            arrivals: Vec::new(),
            is_flood: false,
            flooded_count: 0,
            departures: Vec::new(),
            baseline: state.baseline == Baseline::Due { silent: true },
            shape: state.shape,
            shown: Shown::default(),
            stream: None,
            fault: None,
            shifted: None,
        }
    }

    /// What vanished before that, and did not ring, is forgotten: it is new when it comes back.
    #[must_use]
    pub(crate) fn retaining(self, retained: Timestamp) -> Self {
        Self { retained, ..self }
    }

    /// The listing is a window on what is newest: what is absent from it has only moved out of sight.
    pub(crate) fn proves_no_absence(&mut self) {
        self.deletes = Deletes::Off;
    }

    /// Takes up a part of a long page, as [`Listing::note`] does.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn note_part(&mut self, part: &Page<'_>) -> Result<Vec<Noted>, Fault> {
        // What stands twice on one page has not changed places.
        self.note_all(part, |_| false)
    }

    /// Takes up a page and tells which of its items are not as before.
    ///
    /// # Errors
    /// A page that cannot belong to this listing: of another kind, or more items than the bound.
    pub(crate) fn note(&mut self, page: &Page<'_>) -> Result<Vec<Noted>, Fault> {
        let mut places = None;
        self.note_all(page, |at| {
            let places = places.get_or_insert_with(|| places_of(page));
            page.items.get(at).is_some_and(|found| places.get(&found.key) == Some(&at))
        })
    }

    /// `is_moved` tells of an item that was shown already whether that was on a page before.
    fn note_all(
        &mut self,
        page: &Page<'_>,
        mut is_moved: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Noted>, Fault> {
        check_shape(self.shape, page.shape)?;
        self.shape = Some(page.shape);
        self.set_fault(page.faults.first().cloned());
        let mut all = Vec::new();
        for (at, found) in page.items.iter().enumerate() {
            all.extend(self.note_item(found, || is_moved(at)));
        }
        if self.shown.count() > ITEMS_MAX {
            return Err(Fault::source(
                "too_many_items",
                format!("the listing has more than {ITEMS_MAX} items"),
            ));
        }
        Ok(all)
    }

    fn note_item(&mut self, found: &Found<'_>, is_moved: impl FnOnce() -> bool) -> Option<Noted> {
        let raw = RawHash::of(found.raw.as_bytes(), self.seed);
        let place = self.snapshot.place(found.key.as_str());
        if let Some(is_same) = self.shown.is_same(place, raw) {
            if !self.is_second_look {
                self.note_again(found, is_same, is_moved());
            }
            return None;
        }
        self.shown.add(place, raw);
        self.note_order(place);
        if self.is_second_look {
            self.shifted.get_or_insert_with(|| Shift::Came(found.key.clone()));
        } else {
            self.note_point(&found.key, &found.raw);
        }
        let entry = self.snapshot.at(place);
        let how = (self.baseline, self.retained);
        match diff::find(self.source, entry, (&found.raw, raw), how) {
            Ok(finding) => {
                let finding = self.settle(&found.key, finding);
                finding.map(|finding| Noted { key: found.key.clone(), raw, finding })
            }
            Err(fault) => {
                self.set_fault(Some(item_fault(&found.key, &fault)));
                None
            }
        }
    }

    /// Notes how far an item is, whether or not it is watched.
    fn note_point(&mut self, key: &ItemKey, raw: &str) {
        match self.point(raw) {
            Ok(point) => self.way.go_to(point),
            Err(fault) => self.set_fault(Some(item_fault(key, &fault))),
        }
    }

    fn point(&self, raw: &str) -> Result<Option<Point>, JsonFault> {
        match &self.source.since {
            Some(since) => since.point(&json::read(raw)?),
            None => Ok(None),
        }
    }

    /// How far the items are that were shown, as far as all of them are as they were shown.
    pub(crate) fn furthest(&self) -> Option<Point> {
        self.way.furthest()
    }

    /// Whether the newest items came first, by what `since` goes by.
    pub(crate) fn is_newest_first(&self) -> bool {
        self.way.falls()
    }

    /// Keeps a new value from ringing until it has lasted.
    fn settle(&mut self, key: &ItemKey, finding: Option<Finding>) -> Option<Finding> {
        let side = match &finding {
            Some(Finding::Created(side) | Finding::Updated(side)) if self.source.settle > 0 => side,
            _ => {
                if self.settling.contains_key(key) {
                    self.settled.push(key.clone());
                }
                return finding;
            }
        };
        let known = self.settling.get(key);
        let same = known.filter(|known| known.fingerprint == side.fingerprint);
        let polls = same.map_or(0, |known| known.polls.saturating_add(1));
        if polls >= self.source.settle {
            self.settled.push(key.clone());
            return finding;
        }
        self.is_settling = true;
        finding.map(|finding| match finding {
            Finding::Created(side) | Finding::Updated(side) => Finding::Settling(side, polls),
            other => other,
        })
    }

    /// Which items' stored selves [`Listing::delta`] needs.
    pub(crate) fn needed(noted: &[Noted]) -> Vec<ItemKey> {
        let needs = |noted: &&Noted| matches!(noted.finding, Finding::Updated(_));
        noted.iter().filter(needs).map(|noted| noted.key.clone()).collect()
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
        delta.settling.extend(self.settled.drain(..).map(|key| (key, None)));
        for noted in noted {
            match noted.finding {
                Finding::Created(_) => self.arrive(noted, ringing.now, &mut delta),
                Finding::Gone => self.departures.push(noted.key),
                _ => self.take(noted, &stored, ringing, &mut delta),
            }
        }
        delta
    }

    fn take(
        &mut self,
        Noted { key, raw, finding }: Noted,
        stored: &HashMap<&ItemKey, &StoredItem>,
        ringing: Ringing<'_>,
        delta: &mut Delta,
    ) {
        let (entry, before) = (self.snapshot.get(&key), stored.get(&key).copied());
        let step = diff::step(self.source, (key.clone(), raw, finding), entry, before);
        let step = step.map_err(|fault| item_fault(&key, &fault));
        if let Err(fault) = step.and_then(|step| ringing.add(delta, step)) {
            self.set_fault(Some(fault));
        }
    }

    /// A created item waits for the end of the poll, unless there are too many already.
    fn arrive(&mut self, noted: Noted, now: Timestamp, delta: &mut Delta) {
        self.arrivals.push(noted);
        self.is_flood = self.is_flood || self.arrivals.len() > self.source.flood;
        if !self.is_flood {
            return;
        }
        for Noted { key, raw, finding } in self.arrivals.drain(..) {
            let count = self.snapshot.get(&key).map_or(0, |entry| entry.changes);
            if let Finding::Created(side) = finding {
                delta.upserts.push(diff::held_new(key, raw, count, &side, now));
                self.flooded_count += 1;
            }
        }
    }

    /// Whether created items are yet to ring.
    pub(crate) fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// The poll is over: created items ring, at most so many of them. Says whether there are more.
    pub(crate) fn ring_arrivals(
        &mut self,
        items_max: usize,
        ringing: Ringing<'_>,
        delta: &mut Delta,
    ) -> bool {
        let rest = self.arrivals.split_off(items_max.min(self.arrivals.len()));
        for noted in std::mem::replace(&mut self.arrivals, rest) {
            self.take(noted, &HashMap::new(), ringing, delta);
        }
        !self.arrivals.is_empty()
    }

    /// The poll is over: the items that ring as deleted because the listing says so. Those that the brake holds are
    /// marked instead.
    pub(crate) fn departures(&mut self, now: Timestamp, delta: &mut Delta) -> Vec<ItemKey> {
        let departures = std::mem::take(&mut self.departures);
        match self.deletes {
            Deletes::After { brake, .. }
                if brake.holds(departures.len(), self.snapshot.known_count(self.retained)) =>
            {
                let held = departures.into_iter().map(|key| (key, Standing::Held { since: now }));
                delta.marks.extend(held);
                Vec::new()
            }
            _ => departures,
        }
    }

    /// Whether the listing showed an item.
    pub(crate) fn shows(&self, key: &ItemKey) -> bool {
        self.snapshot.find(key.as_str()).is_some_and(|place| self.shown.has(place))
    }

    /// How many created items are held because there were too many.
    pub(crate) fn flooded_count(&self) -> usize {
        self.flooded_count
    }

    /// Whether a new value still has to last: then the next answer is read even if it is this one again.
    pub(crate) fn is_settling(&self) -> bool {
        self.is_settling
    }

    /// The end of a listing of what changed: a new value that it does not show is as it was, for one more poll.
    pub(crate) fn rested(&mut self) -> Vec<Noted> {
        let unseen = self.settling.iter().filter(|(key, _)| !self.shows(key));
        let unseen: Vec<_> = unseen.map(|(key, known)| (key.clone(), known.clone())).collect();
        let mut all = Vec::new();
        for (key, known) in unseen {
            let side = match Side::read(known.data.as_str(), self.source.comparing()) {
                Ok(side) => side,
                Err(fault) => {
                    self.set_fault(Some(item_fault(&key, &fault)));
                    continue;
                }
            };
            let entry = self.snapshot.get(&key);
            let standing = entry.map_or(Standing::Deleted, |entry| entry.standing);
            let finding = match standing.remembered(self.retained) {
                Standing::Deleted => Finding::Created(side),
                _ => Finding::Updated(side),
            };
            let finding = self.settle(&key, Some(finding));
            all.extend(finding.map(|finding| Noted { key, raw: known.raw, finding }));
        }
        all
    }

    /// The end of a complete listing: a new value that it does not show did not last.
    pub(crate) fn forget_unsettled(&self, delta: &mut Delta) {
        let unseen = self.settling.keys().filter(|key| !self.shows(key));
        delta.settling.extend(unseen.map(|key| (key.clone(), None)));
    }

    /// What was known when the poll began.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same, when the listing is done.
    pub(crate) fn into_snapshot(self) -> Snapshot {
        self.snapshot
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
            (None, None) if self.is_partial => Coverage::Changes,
            (None, None) => Coverage::Complete,
        }
    }

    /// Whether it showed everything that was asked for, each item in its place.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.coverage(), Coverage::Complete | Coverage::Changes)
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

    /// List or object, once a page was read.
    pub(crate) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// How many items were shown.
    pub(crate) fn items_count(&self) -> usize {
        self.shown.count()
    }
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
            let side = Side::read(item.data.as_str(), source.comparing());
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

/// What is wrong with an item.
pub(crate) fn item_fault(key: &ItemKey, fault: &JsonFault) -> Fault {
    Fault::source(fault.code, format!("item {}: {}", shown(key), fault.sentence))
}

/// A key as it may stand in a sentence: bounded, on one line.
fn shown(key: &ItemKey) -> String {
    let short: String =
        key.as_str().chars().take(60).map(|c| if c.is_control() { '·' } else { c }).collect();
    format!("{short:?}")
}
