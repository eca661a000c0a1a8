//! Held changes: a person lets them ring, or drops them.

use super::crew::Number;
use super::{Declared, Memory, PollError, Poller, locked};
use crate::core::ids::{SourceName, UnitName};
use crate::core::listing::{Delta, Ringing};
use crate::core::snapshot::{Standing, StoredItem};
use crate::core::source::{Source, SourceState};
use crate::store::{PollCommit, Refusal, Write};

/// What a person decided about held changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// They ring.
    Release,
    /// They do not. The items are remembered: a return rings nothing, new ones are known from here on.
    Discard,
}

impl Poller {
    /// Carries out a decision on everything held of a source; says how many items it was.
    ///
    /// # Errors
    /// No such source, a conflicting write, or the store's failure.
    pub(crate) async fn decide(
        &self,
        name: &SourceName,
        decision: Decision,
    ) -> Result<usize, PollError> {
        let roster = self.roster.borrow().clone();
        let source = roster.sources.get(name).ok_or_else(|| PollError::Unknown(name.clone()))?;
        let decided = self.decide_source(source, decision).await;
        if roster.feeds_others(name) {
            locked(&self.polled).insert(name.clone());
            self.wake.ring();
        }
        decided
    }

    async fn decide_source(&self, source: &Source, decision: Decision) -> Result<usize, PollError> {
        let name = &source.name;
        if source.for_each.is_none() {
            return self.decide_unit(&UnitName::from(name), decision).await;
        }
        let held = self.ports.store.read(|store| store.held_units()).await?;
        let is_entry = |unit: &UnitName| unit.source() == *name && !unit.entry().is_none();
        let mut decided = 0;
        for (unit, _) in held.into_iter().filter(|(unit, _)| is_entry(unit)) {
            match self.decide_unit(&unit, decision).await {
                // It has left meanwhile.
                Err(PollError::UnknownEntry(..)) => {}
                outcome => decided += outcome?,
            }
        }
        Ok(decided)
    }

    async fn decide_unit(&self, unit: &UnitName, decision: Decision) -> Result<usize, PollError> {
        self.declared(unit).await?;
        let slot = self.slot(unit);
        let mut memory = slot.0.lock().await;
        let Declared { roster, source, entry, crew, .. } = self.declared(unit).await?;
        let state = SourceState::clone(self.recall(&mut memory, unit, &source).await?);
        let held = {
            let unit = unit.clone();
            self.ports.store.read(move |store| store.held(&unit)).await?
        };
        let mut number = match &crew {
            Some(crew) => Some(crew.number(&self.ports.store, &source.name).await?),
            None => None,
        };
        let last_seq = number.as_ref().map_or(0, Number::last_seq).max(state.last_seq);
        let mut delta = Delta::default();
        match decision {
            Decision::Release => {
                let at = self.ports.clock.wall();
                let now = self.ports.clock.now();
                let ringing =
                    Ringing { source: &source, entry: &entry, roster: &roster, at, now, last_seq };
                ringing.releases(&held, &mut delta);
            }
            Decision::Discard => {
                let now = self.ports.clock.now();
                let standing = |item: &StoredItem| match item.entry.standing {
                    Standing::HeldNew { .. } => Standing::Present { missing: 0 },
                    _ => Standing::Lost { since: Some(now) },
                };
                delta.marks = held.iter().map(|item| (item.key.clone(), standing(item))).collect();
            }
        }
        let decided = delta.marks.len() + delta.upserts.len();
        let last_seq = if delta.events.is_empty() { state.last_seq } else { last_seq };
        number.iter_mut().for_each(Number::forget);
        let kept = self.keep(&mut memory, unit, SourceState { last_seq, ..state }, delta).await?;
        if let Some(number) = &mut number {
            number.set(kept.max(number.last_seq()));
        }
        Ok(decided)
    }

    /// Gives the number of the last event.
    async fn keep(
        &self,
        memory: &mut Memory,
        unit: &UnitName,
        state: SourceState,
        delta: Delta,
    ) -> Result<u64, PollError> {
        let next =
            SourceState { last_seq: state.last_seq + delta.events.len() as u64, ..state.clone() };
        let commit = PollCommit {
            unit: unit.clone(),
            expected_seq: state.last_seq,
            state: next.clone(),
            upserts: delta.upserts,
            marks: delta.marks,
            settling: delta.settling,
            events: delta.events,
            at: self.ports.clock.now(),
        };
        if let Some(long) = &mut memory.long {
            long.index = None;
        }
        match self.ports.store.write(Write::Poll(Box::new(commit))).await? {
            Ok(_) => {
                let last_seq = next.last_seq;
                memory.keep(next);
                self.ports.deliver.ring();
                Ok(last_seq)
            }
            Err(Refusal::Conflict { unit }) => Err(PollError::Conflict(unit)),
            Err(refusal) => {
                unreachable!("a poll is only ever refused for a conflict, not: {refusal}")
            }
        }
    }
}
