//! What is known of a source's items: fingerprints in memory, whole items in the store.

mod index;
#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

use crate::core::ids::ItemKey;
use crate::core::json::JsonText;
use crate::core::time::Timestamp;

pub(crate) use self::index::{ByBytes, Place, Snapshot};

/// SHA-256 of the canonical form of the compared part of an item. Part of an event's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

impl Fingerprint {
    /// Stands for "no item" in the identity of a creation or deletion, and in tombstones.
    pub(crate) const NONE: Self = Self([0; 32]);
}

/// Seeded hash of bytes as they came. Equal bytes need no further look; unequal ones say nothing.
/// The seed is drawn once per database, because this hash does not resist people who choose the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawHash(pub(crate) u64);

impl RawHash {
    /// Of an item's bytes.
    pub(crate) fn of(bytes: &[u8], seed: u64) -> Self {
        Self(xxh3_64_with_seed(bytes, seed))
    }
}

/// The same for a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyHash(pub(crate) [u8; 16]);

impl BodyHash {
    /// Of a decompressed body.
    pub(crate) fn of(bytes: &[u8], seed: u64) -> Self {
        Self(xxh3_128_with_seed(bytes, seed).to_le_bytes())
    }
}

/// Makes the same of a body that comes in parts.
pub(crate) struct BodyHasher(Box<Xxh3>);

impl BodyHasher {
    /// Of nothing yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Box::new(Xxh3::with_seed(seed)))
    }

    /// Takes the next part.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all parts.
    pub(crate) fn hash(&self) -> BodyHash {
        BodyHash(self.0.digest128().to_le_bytes())
    }
}

/// How an item stands with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Listed, or missing from fewer complete listings than it takes. The diff moves it on.
    Present {
        /// Complete listings in a row without it.
        missing: u32,
    },
    /// Missing for good, but the brake holds the deletion. A person or its return moves it on.
    Held { since: Timestamp },
    /// New, but one of too many in one poll: a person decides whether it rings. Receivers do not know it.
    HeldNew { since: Timestamp },
    /// Vanished or left the watch without an event (`deletes: off`, `where`, or a discarded hold). Remembered, for a
    /// while: its return is no creation.
    Lost {
        /// Since when complete listings do not show it; `None` as long as they do, or when nobody noted it.
        since: Option<Timestamp>,
    },
    /// Deleted, and the event exists. Kept without content, so that a later return continues the change count.
    Deleted,
    /// The stored row failed its hash. Never used; the next sight of the item is adopted in silence, and reported.
    Quarantined,
}

impl Standing {
    /// Whether receivers still believe in the item: folding the events gives exactly these, and what was forgotten.
    pub(crate) fn is_known(self) -> bool {
        matches!(self, Self::Present { .. } | Self::Held { .. } | Self::Lost { .. })
    }

    /// How it stands with who forgets what vanished before `retained`: as if it had been deleted.
    #[must_use]
    pub(crate) fn remembered(self, retained: Timestamp) -> Self {
        match self {
            Self::Lost { since: Some(since) } if since < retained => Self::Deleted,
            other => other,
        }
    }
}

/// What is kept in memory of an item during a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) raw: RawHash,
    /// How often it changed since it was first seen; goes on over deletion and return.
    pub(crate) changes: u64,
    pub(crate) standing: Standing,
}

impl IndexEntry {
    /// Whether the last complete listing showed it, and receivers know.
    pub(crate) fn is_listed(&self) -> bool {
        self.standing == Standing::Present { missing: 0 }
    }
}

/// A whole item as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredItem {
    pub(crate) key: ItemKey,
    pub(crate) entry: IndexEntry,
    /// As last delivered; empty for a tombstone.
    pub(crate) data: JsonText,
}

impl StoredItem {
    /// The same item, standing otherwise.
    #[must_use]
    pub(crate) fn standing(mut self, standing: Standing) -> Self {
        self.entry.standing = standing;
        self
    }
}

/// A new value that has to last before it rings, kept beside the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settling {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) raw: RawHash,
    /// Polls that showed it again since it was first seen.
    pub(crate) polls: u32,
    pub(crate) data: JsonText,
}

/// Whether a listing showed everything there is. Only a complete one can prove a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// Every page came, whole, of the right type, and the end was reached.
    Complete,
    /// Everything that changed since the last poll: what it does not show is as it was.
    Changes,
    /// One of the two, but items changed places while the pages were read: what was not seen may have been passed over.
    Shifted,
    /// Something is missing or doubtful.
    Partial,
}
