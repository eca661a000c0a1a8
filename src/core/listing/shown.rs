//! Which items a listing showed.

use std::num::NonZeroU64;

use crate::core::snapshot::{Place, RawHash};

/// The items shown so far, by their place in the snapshot, each with the hash of its bytes: of two items with one key
/// the first counts.
#[derive(Debug, Default)]
pub(super) struct Shown {
    hashes: Vec<Option<NonZeroU64>>,
    count: usize,
}

impl Shown {
    /// Whether an item was shown.
    pub(super) fn has(&self, place: Place) -> bool {
        self.get(place).is_some()
    }

    /// Whether an item was shown, and with the same bytes.
    pub(super) fn is_same(&self, place: Place, raw: RawHash) -> Option<bool> {
        self.get(place).map(|hash| hash == never_zero(raw))
    }

    fn get(&self, place: Place) -> Option<NonZeroU64> {
        self.hashes.get(place.index()).copied().flatten()
    }

    /// Adds one that was not.
    pub(super) fn add(&mut self, place: Place, raw: RawHash) {
        if place.index() >= self.hashes.len() {
            self.hashes.resize(place.index() + 1, None);
        }
        if let Some(hash) = self.hashes.get_mut(place.index()) {
            *hash = Some(never_zero(raw));
            self.count += 1;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// That two of all hashes look the same is no more than what hashes do anyway.
fn never_zero(raw: RawHash) -> NonZeroU64 {
    NonZeroU64::new(raw.0).unwrap_or(NonZeroU64::MIN)
}
