//! Held changes: a person lets them ring, or drops them.

use std::sync::Arc;

use super::{Memory, PollError, Poller};
use crate::core::ids::SourceName;
use crate::core::listing::{Delta, Ringing};
use crate::core::snapshot::Standing;
use crate::core::source::{Source, SourceState};
use crate::store::{PollCommit, Refusal, Write};

/// What a person decided about held changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// They ring.
    Release,
    /// They do not. The items are remembered, so that their return rings nothing.
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
        let slot = self.declared_slot(name)?;
        let mut memory = slot.0.lock().await;
        let (roster, source) = self.declared(name)?;
        let state = self.recall(&mut memory, &source).await?.clone();
        let held = {
            let name = name.clone();
            self.ports.store.read(move |store| store.held(&name)).await?
        };
        let mut delta = Delta::default();
        match decision {
            Decision::Release => {
                let at = self.ports.clock.wall();
                let ringing =
                    Ringing { source: &source, roster: &roster, at, last_seq: state.last_seq };
                ringing.deletions(&held, &mut delta);
            }
            Decision::Discard => {
                delta.marks = held.iter().map(|item| (item.key.clone(), Standing::Lost)).collect();
            }
        }
        let decided = delta.marks.len() + delta.upserts.len();
        self.keep(&mut memory, &source, state, delta).await?;
        Ok(decided)
    }

    async fn keep(
        &self,
        memory: &mut Memory,
        source: &Arc<Source>,
        state: SourceState,
        delta: Delta,
    ) -> Result<(), PollError> {
        let next =
            SourceState { last_seq: state.last_seq + delta.events.len() as u64, ..state.clone() };
        let commit = PollCommit {
            source: source.name.clone(),
            expected_seq: state.last_seq,
            state: next.clone(),
            upserts: delta.upserts,
            marks: delta.marks,
            events: delta.events,
            at: self.ports.clock.now(),
        };
        match self.ports.store.write(Write::Poll(Box::new(commit))).await? {
            Ok(_) => {
                memory.state = Some(next.clone());
                memory.kept = Some(next);
                self.ports.deliver.ring();
                Ok(())
            }
            Err(Refusal::Conflict { source_name }) => Err(PollError::Conflict(source_name)),
            Err(refusal) => {
                unreachable!("a poll is only ever refused for a conflict, not: {refusal}")
            }
        }
    }
}
