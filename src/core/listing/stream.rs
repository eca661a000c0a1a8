//! A long listing of which most items are as before: these are known by their bytes, and nothing in them is read.
//!
//! The same bytes have the same key. Lists mostly come in the order they came in last time, so the item that was behind
//! the last one is tried first; where that fails often, a table of all hashes helps.

use super::Listing;
use crate::core::extract::{Shape, check_key};
use crate::core::fault::Fault;
use crate::core::outcome::check_shape;
use crate::core::snapshot::{ByBytes, Place, RawHash, Snapshot};

/// Guesses that may fail before a table is made: reading the items is quicker than making one for a few.
const MISSES_MIN: usize = if cfg!(test) { 3 } else { 1000 };
/// And one of so many items.
const MISSES_SHARE: usize = 8;

/// How far a long listing came.
#[derive(Debug, Default)]
pub(super) struct Stream {
    last: Option<Place>,
    misses: usize,
    by_bytes: Option<ByBytes>,
}

impl Stream {
    /// The item with these bytes that is most likely meant.
    fn find(&mut self, snapshot: &Snapshot, raw: RawHash, count: usize) -> Option<Place> {
        let guess = self.last.and_then(|last| snapshot.next(last));
        let is_it = |place: &Place| {
            snapshot.at(*place).is_some_and(|entry| entry.raw == raw && entry.is_listed())
        };
        if let Some(place) = guess.filter(is_it) {
            return Some(place);
        }
        self.misses += 1;
        if self.by_bytes.is_none() && self.misses > MISSES_MIN.max(count / MISSES_SHARE) {
            self.by_bytes = Some(ByBytes::of(snapshot));
        }
        self.by_bytes.as_ref()?.find(snapshot, raw)
    }
}

impl Listing<'_> {
    /// A long list follows, most of it as before.
    ///
    /// # Errors
    /// When this cannot be a list.
    pub(crate) fn begin_list(&mut self) -> Result<(), Fault> {
        check_shape(self.shape, Shape::List)?;
        check_key(&self.source.key)?;
        self.shape = Some(Shape::List);
        let is_plain = self.source.since.is_none() && self.settling.is_empty();
        self.stream = is_plain.then(Stream::default);
        Ok(())
    }

    /// Takes up an item by its bytes alone, if these are the bytes of one that was listed last time.
    pub(crate) fn note_as_before(&mut self, bytes: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let raw = RawHash::of(bytes, self.seed);
        let found = stream.find(&self.snapshot, raw, self.shown.count());
        let Some(place) = found.filter(|place| !self.shown.has(*place)) else { return false };
        self.shown.add(place, raw);
        self.note_order(place);
        true
    }

    /// Notes which item follows which, for the next listing.
    pub(super) fn note_order(&mut self, place: Place) {
        let Some(stream) = &mut self.stream else { return };
        if let Some(last) = stream.last.replace(place) {
            self.snapshot.set_next(last, place);
        }
    }
}
