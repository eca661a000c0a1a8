//! What is different about the poll of an entry: its event numbers are its source's, a 404 may be an answer, and it ends.

use super::Turn;
use crate::core::entries;
use crate::core::extract;
use crate::core::fault::Fault;
use crate::core::listing::Delta;
use crate::core::outcome::PollOutcome;
use crate::core::report::Mode;
use crate::poller::PollError;
use crate::poller::crew::Number;
use crate::store::StoreError;

impl Turn<'_> {
    /// Entries polled at once take their events' numbers one after the other.
    pub(super) async fn take_number(&mut self) -> Result<(), StoreError> {
        if let (Some(crew), None) = (self.crew, &self.number) {
            self.number = Some(crew.number(&self.ports.store, &self.source.name).await?);
        }
        Ok(())
    }

    pub(super) fn leave_number(&mut self, delta: &Delta) {
        if delta.events.is_empty() {
            self.number = None;
        }
    }

    /// The number of the source's last event.
    pub(super) fn last_seq(&self) -> u64 {
        let numbered = self.number.as_ref().map_or(0, Number::last_seq);
        numbered.max(self.state.last_seq)
    }

    /// Whether the server says that there is nothing at an entry's URL, and may be believed: not yet, or the one item
    /// is gone. Where a list was, its absence is a failure.
    pub(super) fn is_nothing_there(&self, fault: &Fault) -> bool {
        let is_list = self.state.shape == Some(extract::Shape::List);
        !self.entry.is_none() && !is_list && matches!(fault.code.as_str(), "http_404" | "http_410")
    }

    /// Nothing is there: no news of an entry never seen, and the proof that a seen one is deleted.
    pub(super) async fn absent(&mut self) -> Result<(PollOutcome, Delta), PollError> {
        let mut delta = Delta::default();
        if self.state.shape.is_some() {
            let snapshot = self.open().await?;
            let (now, deletes) = (self.ports.clock.now(), self.source.deletes);
            let is_proof = self.are_credentials_known();
            let absent = entries::vanished(&snapshot, deletes, now, |brake| {
                !is_proof || self.crew.is_some_and(|crew| crew.holds(brake, now))
            });
            if let (Some(crew), Mode::Commit) = (self.crew, self.mode) {
                crew.vanish(absent.deleted.len() + absent.marks.len(), now);
            }
            self.index.put(snapshot);
            self.take_absent(absent, &mut delta).await?;
        }
        let changed = !delta.events.is_empty();
        Ok((PollOutcome::Absent { changed }, delta))
    }

    /// The end, when `until` is true and the item's last event is made. Says whether it is.
    pub(super) async fn finish(
        &mut self,
        outcome: &mut PollOutcome,
        delta: &mut Delta,
    ) -> Result<bool, PollError> {
        let ending = self.ending.take().filter(|_| self.state.ended.is_none());
        let Some(ending) = ending.filter(|_| !outcome.is_failure()) else { return Ok(false) };
        let (unit, keys) = (self.known_as.clone(), [ending.key.clone()]);
        let stored = self.ports.store.read(move |store| store.items(&unit, &keys)).await?;
        self.take_number().await?;
        let events_before = delta.events.len();
        let entry = stored.first().map(|item| item.entry);
        let rung = ending.ring(entry, self.ringing(), delta);
        self.leave_number(delta);
        if delta.events.len() > events_before {
            outcome.set_changed();
        }
        let is_end = rung.unwrap_or_else(|fault| {
            outcome.set_fault(fault);
            false
        });
        if !is_end {
            // The same answer again must be read again.
            outcome.unrecognise();
            self.pages = None;
        }
        Ok(is_end)
    }
}
