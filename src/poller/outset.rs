//! The start with very many sources: what is known of them is read at once and planned in place. Each for itself, they
//! would take a task, a turn at the gate and a read of the store before the first poll is made.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::warn;

use super::Poller;
use super::run::Loop;
use crate::core::ids::{SourceName, UnitName};
use crate::core::roster::Roster;
use crate::core::source::{Source, SourceState};
use crate::store::Read;

/// Fewer are looked at one by one: the state may know many more sources than are declared.
const TOGETHER_MIN: usize = 1_000;
/// The golden section: going on by so much of a circle time and again goes over all of it evenly, and so do those who
/// follow each other anywhere in between, such as the sources of one API.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Numbers in `0.0..1.0`, one after the other, that go over all of it evenly however many are taken.
fn turns(first: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |turn| Some((turn + GOLDEN).fract()))
}

impl Poller {
    /// Plans the sources of a first roster, and says which. The others are to be looked at: those that go on from
    /// another name or have entries, and all of them if they are few or the store cannot be read.
    pub(super) async fn plan_together(
        &self,
        own: &mut Loop,
        roster: &Roster,
    ) -> BTreeSet<SourceName> {
        if roster.sources.len() < TOGETHER_MIN {
            return BTreeSet::new();
        }
        let read = |store: &dyn Read| {
            let known: BTreeMap<_, _> = store.sources()?.into_iter().collect();
            Ok((known, store.sources_with_entries()?))
        };
        let (mut known, with_entries) = match self.ports.store.read(read).await {
            Ok(found) => found,
            Err(fault) => {
                warn!(%fault, "what is known of the sources could not be read at once");
                return BTreeSet::new();
            }
        };
        let with_entries: BTreeSet<_> = with_entries.into_iter().collect();
        let mut planned = BTreeSet::new();
        for ((name, source), chance) in roster.sources.iter().zip(turns(self.ports.entropy.unit()))
        {
            let is_plain = source.for_each.is_none() && source.was.is_none() && !source.paused;
            if is_plain
                && !with_entries.contains(name)
                && self.plan_known(own, source, known.remove(name), chance)
            {
                planned.insert(name.clone());
            }
        }
        planned
    }

    /// Plans a source by what the store knows of it; false if somebody was quicker, or if there is more to look at.
    fn plan_known(
        &self,
        own: &mut Loop,
        source: &Arc<Source>,
        known: Option<SourceState>,
        chance: f64,
    ) -> bool {
        let unit = UnitName::from(&source.name);
        let slot = self.slot(&unit);
        let Ok(mut memory) = slot.0.try_lock() else { return false };
        if memory.state.is_some() || known.as_ref().is_some_and(|state| state.ended.is_some()) {
            return false;
        }
        memory.kept = known.map(Arc::new);
        let state = self.settle(&mut memory, source, 0, chance);
        let due = self.plan(state, source).due;
        drop(memory);
        own.agenda.set(unit, due);
        true
    }
}
