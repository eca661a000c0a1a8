//! Snapshots kept between polls, so that a long list that changes often is not read from the store each time.
//!
//! They are a comfort: each can be read again. Together they take so much memory and no more; who has been here longest
//! goes first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use super::locked;
use crate::core::limits::{INDEX_ITEMS_MIN, INDEXES_BYTES_MAX};
use crate::core::snapshot::Snapshot;

/// What is kept of all units.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<VecDeque<Weak<Kept>>>);

/// A snapshot, as long as there is room for it. It is true as long as its owner keeps it.
#[derive(Debug)]
pub(super) struct Kept {
    snapshot: Mutex<Option<Snapshot>>,
    bytes: usize,
}

impl Kept {
    /// The snapshot, once.
    pub(super) fn take(&self) -> Option<Snapshot> {
        locked(&self.snapshot).take()
    }

    fn bytes(&self) -> usize {
        if locked(&self.snapshot).is_some() { self.bytes } else { 0 }
    }
}

impl Shelf {
    /// Keeps a snapshot, if that pays, at the expense of those kept longest.
    pub(super) fn keep(&self, snapshot: Snapshot) -> Option<Arc<Kept>> {
        let bytes = snapshot.bytes();
        if bytes > INDEXES_BYTES_MAX || snapshot.len() < INDEX_ITEMS_MIN {
            return None;
        }
        let kept = Arc::new(Kept { snapshot: Mutex::new(Some(snapshot)), bytes });
        let mut places = locked(&self.0);
        places.retain(|place| place.upgrade().is_some_and(|kept| kept.bytes() > 0));
        let sizes = places.iter().filter_map(Weak::upgrade).map(|kept| kept.bytes());
        let mut all_bytes = sizes.sum::<usize>() + bytes;
        while all_bytes > INDEXES_BYTES_MAX
            && let Some(oldest) = places.pop_front()
        {
            all_bytes -= oldest.upgrade().and_then(|kept| kept.take()).map_or(0, |it| it.bytes());
        }
        places.push_back(Arc::downgrade(&kept));
        Some(kept)
    }
}
