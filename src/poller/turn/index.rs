//! The snapshot that a poll compares with: kept from the last poll or read from the store, and kept for the next.

use std::sync::Arc;

use super::Turn;
use crate::core::limits::INDEX_CHANGES_MAX;
use crate::core::listing::Delta;
use crate::core::snapshot::{IndexEntry, Snapshot, Standing};
use crate::poller::shelf::Kept;
use crate::store::StoreError;

/// What a poll has of its source's snapshot.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// As the last poll left it.
    kept: Option<Arc<Kept>>,
    /// As this poll met it, when it is done with it.
    met: Option<Snapshot>,
    /// What this poll wrote.
    written: Changes,
}

/// Changes of entries, in the order they are written; none when there are more than it pays to follow.
#[derive(Debug)]
pub(super) struct Changes(Option<Vec<(String, Changed)>>);

#[derive(Debug, Clone, Copy)]
enum Changed {
    Entry(IndexEntry),
    Standing(Standing),
}

impl Default for Changes {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Changes {
    pub(super) fn of(delta: &Delta) -> Self {
        if delta.upserts.len() + delta.marks.len() > INDEX_CHANGES_MAX {
            return Self(None);
        }
        let upserts = delta.upserts.iter();
        let entries =
            upserts.map(|item| (item.key.as_str().to_owned(), Changed::Entry(item.entry)));
        let marks = delta.marks.iter();
        let standings =
            marks.map(|(key, standing)| (key.as_str().to_owned(), Changed::Standing(*standing)));
        Self(Some(entries.chain(standings).collect()))
    }

    fn extend(&mut self, more: Self) {
        self.0 = match (self.0.take(), more.0) {
            (Some(mut changes), Some(more)) if changes.len() + more.len() <= INDEX_CHANGES_MAX => {
                changes.extend(more);
                Some(changes)
            }
            _ => None,
        };
    }
}

impl Index {
    pub(super) fn of(kept: Option<Arc<Kept>>) -> Self {
        Self { kept, ..Self::default() }
    }

    /// Notes what was written.
    pub(super) fn wrote(&mut self, changes: Changes) {
        self.written.extend(changes);
    }

    /// Gives back a snapshot as it was before all that this poll wrote.
    pub(super) fn put(&mut self, snapshot: Snapshot) {
        self.met = Some(snapshot);
    }

    /// The snapshot as it is now, if this poll looked at it and knows.
    pub(super) fn into_snapshot(self) -> Option<Snapshot> {
        let (mut snapshot, changes) = (self.met?, self.written.0?);
        for (key, changed) in changes {
            match changed {
                Changed::Entry(entry) => snapshot.set(&key, entry),
                Changed::Standing(standing) => snapshot.mark(&key, standing),
            }
        }
        Some(snapshot)
    }
}

impl Turn<'_> {
    /// The snapshot as the store has it. Whoever is done with it, and knows what this poll wrote since, may give it back.
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        let kept = self.index.kept.take().and_then(|kept| kept.take());
        #[cfg(test)]
        if let Some(kept) = &kept {
            assert_eq!(kept, &self.stored_snapshot().await?, "what is kept is what is stored");
        }
        match kept {
            Some(snapshot) => Ok(snapshot),
            None => self.stored_snapshot().await,
        }
    }

    async fn stored_snapshot(&self) -> Result<Snapshot, StoreError> {
        let unit = self.known_as.clone();
        self.ports.store.read_here(move |store| store.snapshot(&unit)).await
    }
}
