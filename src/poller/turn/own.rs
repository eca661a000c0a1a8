//! What a poll has doorbell say of its source.

use tracing::warn;

use super::Turn;
use crate::core::delivery::fan_out;
use crate::core::ids::{SourceName, UnitName};
use crate::core::own::{self, OWN_SOURCE};
use crate::core::report::Mode;
use crate::core::source::SourceState;
use crate::core::time::Timestamp;
use crate::poller::PollError;
use crate::store::{PollCommit, Write};

/// How often the next number is asked for when others took it.
const TRIES_MAX: usize = 16;

impl Turn<'_> {
    /// Rings that nothing has changed for long, if that is news. It is made durable before the state that remembers it:
    /// after a crash between the two it is told again, with the same id.
    pub(super) async fn tell_silence(
        &self,
        next: &mut SourceState,
        now: Timestamp,
    ) -> Result<(), PollError> {
        let Some(since) = next.silence(self.source, now).filter(|_| self.mode == Mode::Commit)
        else {
            return Ok(());
        };
        match self.ring_silence(since).await {
            Ok(true) => next.silent = Some(now),
            Ok(false) => {}
            Err(PollError::Store(fault)) if fault.may_pass() => {
                warn!(source = %self.unit, %fault, "that it is silent could not be kept");
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    async fn ring_silence(&self, since: Timestamp) -> Result<bool, PollError> {
        let unit = UnitName::from(&SourceName::new(OWN_SOURCE));
        for _ in 0..TRIES_MAX {
            let known = unit.clone();
            let state = self.ports.store.read(move |store| store.source(&known)).await?;
            let expected_seq = state.map_or(0, |state| state.last_seq);
            let (wall, subject) = (self.ports.clock.wall(), (self.source, self.entry));
            let event = match own::silent(subject, since, wall, expected_seq + 1) {
                Ok(event) => event,
                Err(fault) => {
                    warn!(source = %self.unit, "{fault}");
                    return Ok(false);
                }
            };
            let endpoints = self.roster.endpoints.values().map(AsRef::as_ref);
            let commit = PollCommit {
                unit: unit.clone(),
                expected_seq,
                state: SourceState::own(expected_seq + 1),
                upserts: Vec::new(),
                marks: Vec::new(),
                settling: Vec::new(),
                events: vec![fan_out(event, endpoints)],
                at: self.ports.clock.now(),
            };
            if self.ports.store.write(Write::Poll(Box::new(commit))).await?.is_ok() {
                self.ports.deliver.ring();
                return Ok(true);
            }
        }
        Ok(false)
    }
}
