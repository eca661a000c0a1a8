//! The start with very many sources: what is known of them is read at once and planned in place. Each for itself, they
//! would take a task, a turn at the gate and a read of the store before the first poll is made.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::warn;

use super::run::Loop;
use super::{Poller, locked};
use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::OVERDUE_SPREAD_MAX;
use crate::core::roster::Roster;
use crate::core::schedule::room::Room;
use crate::core::schedule::{first_window, start_window};
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;
use crate::store::Read;

/// Fewer are looked at one by one: the state may know many more sources than are declared.
const TOGETHER_MIN: usize = 1_000;
/// The golden section: going on by so much of a circle time and again goes over all of it evenly, and so do those who
/// follow each other anywhere in between, such as the sources of one API.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Numbers in `0.0..1.0`, one after the other, that go over all of it evenly however many are taken.
pub(super) fn turns(first: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |turn| Some((turn + GOLDEN).fract()))
}

/// What is known of all sources.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Of a source with entries, that of one of them.
    pub(crate) states: BTreeMap<SourceName, SourceState>,
    pub(crate) with_entries: BTreeSet<SourceName>,
}

impl Poller {
    /// Takes what somebody else saw of the state, before the loop begins and anything can have changed: reading it
    /// again takes long.
    pub(crate) fn foresee(&self, seen: Seen) {
        *locked(&self.seen) = Some(seen);
    }

    /// Plans the sources of a first roster, and says which. The others are to be looked at: those that go on from
    /// another name or have entries, and all of them if they are few or the store cannot be read.
    pub(super) async fn plan_together(
        &self,
        own: &mut Loop,
        roster: &Roster,
    ) -> BTreeSet<SourceName> {
        let seen = locked(&self.seen).take();
        if roster.sources.len() < TOGETHER_MIN {
            return BTreeSet::new();
        }
        let read = |store: &dyn Read| {
            let states = store.sources()?.into_iter().collect();
            Ok(Seen { states, with_entries: store.sources_with_entries()?.into_iter().collect() })
        };
        let seen = match seen {
            Some(seen) => Ok(seen),
            None => self.ports.store.read(read).await,
        };
        let Seen { states: mut known, with_entries } = match seen {
            Ok(seen) => seen,
            Err(fault) => {
                warn!(%fault, "what is known of the sources could not be read at once");
                return BTreeSet::new();
            }
        };
        let is_plain = |source: &Source| {
            let is_known_otherwise = source.for_each.is_some() || source.was.is_some();
            !is_known_otherwise && !source.paused && !with_entries.contains(&source.name)
        };
        let plain = roster.sources.values().filter(|source| is_plain(source));
        let found: Vec<_> = plain
            .map(|source| {
                let mut known = known.remove(&source.name);
                if let Some(state) = &mut known {
                    state.share_digests(source);
                }
                Found { source, known: known.map(Arc::new) }
            })
            .collect();
        self.plan_found(own, found)
    }

    /// Plans all of them from one moment on. What is not due yet comes when it is due, and all others where that leaves
    /// room, so that a start is as even after a night as after a minute.
    fn plan_found(&self, own: &mut Loop, found: Vec<Found<'_>>) -> BTreeSet<SourceName> {
        let mut turns = turns(self.ports.entropy.unit());
        let (now, count) = (self.ports.clock.now(), self.beginning.load(Ordering::Relaxed));
        let window = |source: &Source| first_window(source.every, count);
        let waits: Vec<_> = found.iter().map(|found| found.wait(now)).collect();
        let longest = found.iter().map(|found| window(found.source)).max().unwrap_or_default();
        let coming = waits.iter().filter(|wait| wait.is_none()).count();
        let room = Room::new(longest, waits.iter().copied().flatten(), coming);
        let mut planned = Vec::with_capacity(found.len());
        for (Found { source, known }, wait) in found.into_iter().zip(waits) {
            let mut chance = 0.0;
            if wait.is_none() {
                let window = window(source);
                let wait = room.wait(turns.next().unwrap_or_default(), window);
                chance = wait.div_duration_f64(window.max(Duration::from_nanos(1)));
            }
            if self.plan_known(own, source, known, (now, chance)) {
                planned.push(source.name.clone());
            }
        }
        // It took a while: those whose time is past already come beside the others, and not all at once.
        let window = |count: usize| start_window(count).min(OVERDUE_SPREAD_MAX);
        let part = || turns.next().unwrap_or_default();
        own.agenda.spread_overdue(self.ports.clock.now(), window, part);
        planned.into_iter().collect()
    }

    /// Plans a source by what the store knows of it; false if somebody was quicker, or if there is more to look at.
    fn plan_known(
        &self,
        own: &mut Loop,
        source: &Arc<Source>,
        known: Option<Arc<SourceState>>,
        at: (Timestamp, f64),
    ) -> bool {
        let unit = UnitName::from(&source.name);
        let slot = self.slot(&unit);
        let Ok(mut memory) = slot.0.try_lock() else { return false };
        if memory.state.is_some() || known.as_ref().is_some_and(|state| state.ended.is_some()) {
            return false;
        }
        memory.kept = known;
        let state = self.settle(&mut memory, source, 0, at);
        let due = self.plan(state, source).due;
        drop(memory);
        own.agenda.set(unit, due);
        true
    }
}

/// A source, and what the store knows of it.
struct Found<'a> {
    source: &'a Arc<Source>,
    known: Option<Arc<SourceState>>,
}

impl Found<'_> {
    /// How long it is to its next poll, if that is planned and not past.
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        let plan = self.known.as_ref()?.schedule.under(self.source.every, now);
        (plan.due > now).then(|| plan.due.since(now))
    }
}
