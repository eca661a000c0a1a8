//! What is remembered of a unit between its polls.

use std::sync::Arc;

use super::shelf::Kept;
use crate::core::pages::KnownPages;
use crate::core::schedule::Schedule;
use crate::core::source::SourceState;

/// What is remembered between polls, so that an unchanged one costs no access to the store.
#[derive(Default)]
pub(super) struct Memory {
    /// As of the last poll; `None` when the store has to be asked.
    pub(super) state: Option<Arc<SourceState>>,
    /// As the store has it, or as good as: see `lags`. The same one as `state` while nothing was learned that has to be
    /// kept, because there may be very many.
    pub(super) kept: Option<Arc<SourceState>>,
    /// Whether the store has an older one than `kept`, of which the next poll would find out all the rest again.
    pub(super) lags: bool,
    /// Of a long listing; most are short.
    pub(super) long: Option<Box<Long>>,
    /// The plan to go on with when the store is asked again: that a poll could not be kept does not undo its failures.
    pub(super) planned: Option<Box<Schedule>>,
}

/// What is remembered of a long listing.
#[derive(Default)]
pub(super) struct Long {
    /// The pages of the last complete one, with their validators. A restart costs one listing that is read whole.
    pub(super) pages: Option<Box<KnownPages>>,
    /// The snapshot, if there is room.
    pub(super) index: Option<Arc<Kept>>,
}

impl Memory {
    /// Nothing is known but the plan to go on with.
    pub(super) fn planning(schedule: Schedule) -> Self {
        Self { planned: Some(Box::new(schedule)), ..Self::default() }
    }

    /// The store has this state.
    pub(super) fn keep(&mut self, state: SourceState) {
        self.kept = None;
        let state = put(self.state.take(), state);
        self.kept_now(state);
    }

    /// The store has just this state now.
    pub(super) fn kept_now(&mut self, state: Arc<SourceState>) {
        (self.kept, self.state, self.lags) = (Some(Arc::clone(&state)), Some(state), false);
    }

    /// The store has not got this state, which comes after the last one.
    pub(super) fn learn(&mut self, state: SourceState) {
        let mut place = self.state.take();
        let is_as_good = self.kept.as_ref().is_some_and(|kept| !kept.must_be_kept(&state));
        if is_as_good {
            place = self.kept.take();
        }
        let state = put(place, state);
        if is_as_good {
            self.kept = Some(Arc::clone(&state));
        }
        (self.state, self.lags) = (Some(state), true);
    }

    /// Remembers what is left of a long listing.
    pub(super) fn remember(&mut self, long: Long) {
        let is_empty = long.pages.is_none() && long.index.is_none();
        self.long = (!is_empty).then(|| Box::new(long));
    }

    /// The snapshot of a long listing.
    pub(super) fn index(&self) -> Option<Arc<Kept>> {
        self.long.as_ref().and_then(|long| long.index.clone())
    }

    /// The state, if the store has another one.
    pub(super) fn unkept(&self) -> Option<&Arc<SourceState>> {
        self.state.as_ref().filter(|state| self.lags || self.kept.as_ref() != Some(state))
    }
}

/// Puts a state in the place of another one, and into the very memory if nobody else looks at it: where very many units
/// are polled all the time, new places leave holes that nothing fits into.
fn put(place: Option<Arc<SourceState>>, mut state: SourceState) -> Arc<SourceState> {
    let Some(mut place) = place else { return Arc::new(state) };
    let Some(old) = Arc::get_mut(&mut place) else { return Arc::new(state) };
    if old.validator == state.validator {
        std::mem::swap(&mut old.validator, &mut state.validator);
    }
    *old = state;
    place
}
