//! The entries of a source, added up: there may be thousands, so a source shows how many of them fare how.

use serde::Serialize;

use crate::core::ids::{EntryKey, SourceName};
use crate::core::source::{Baseline, SourceState};
use crate::core::time::Timestamp;
use crate::store::{Read, StoreError};

/// The states of a source's entries, as far as they were ever polled; without those that left.
#[derive(Debug)]
pub(super) struct Entries {
    states: Vec<(EntryKey, SourceState)>,
    last_seq: u64,
}

/// How the entries of a source fare.
#[derive(Debug, Serialize)]
pub(super) struct EntriesView {
    /// That were ever polled.
    count: usize,
    ended: usize,
    failing: usize,
    /// Where nothing is to be seen yet.
    not_yet: usize,
    /// The first one that fails, for a look at why.
    first_failing: Option<String>,
}

impl Entries {
    /// Reads them.
    pub(super) fn read(store: &dyn Read, source: &SourceName) -> Result<Self, StoreError> {
        let mut states = store.entries(source)?;
        states.retain(|(_, state)| state.left.is_none());
        Ok(Self { states, last_seq: store.last_seq(source)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub(super) fn view(&self) -> EntriesView {
        let count = |is: fn(&SourceState) -> bool| {
            self.states.iter().filter(|(_, state)| is(state)).count()
        };
        let is_failing = |state: &SourceState| state.fault.is_some();
        let failing = self.states.iter().find(|(_, state)| is_failing(state));
        EntriesView {
            count: self.states.len(),
            ended: count(|state| state.ended.is_some()),
            failing: count(is_failing),
            not_yet: count(|state| {
                state.fault.is_none() && matches!(state.baseline, Baseline::Due { .. })
            }),
            first_failing: failing.map(|(entry, _)| entry.to_string()),
        }
    }

    /// The state of the source as a whole: the soonest poll, the latest of all else, the first fault.
    pub(super) fn together(&self) -> Option<SourceState> {
        let (_, first) = self.states.first()?;
        let live = || self.states.iter().map(|(_, state)| state).filter(|it| it.ended.is_none());
        let latest = |of: fn(&SourceState) -> Option<Timestamp>| {
            self.states.iter().filter_map(|(_, state)| of(state)).max()
        };
        let soonest = live().min_by_key(|state| state.schedule.due).unwrap_or(first);
        let failing = live().find(|state| state.fault.is_some());
        Some(SourceState {
            last_seq: self.last_seq,
            last_poll: latest(|state| state.last_poll),
            last_success: latest(|state| state.last_success),
            last_change: latest(|state| state.last_change),
            fault: failing.and_then(|state| state.fault.clone()),
            ..soonest.clone()
        })
    }
}
