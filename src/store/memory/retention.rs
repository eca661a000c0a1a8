//! What need not be kept any more, in the reference model.

use std::time::Duration;

use crate::core::delivery::{DeliveryState, Trigger};
use crate::core::ids::{EndpointName, EventNo, UnitName};
use crate::core::limits::REPLAY_AHEAD_MAX;
use crate::core::time::Timestamp;
use crate::store::{DeliveryRecord, Expired, Expiry, Lapse, Refusal, Written};

use super::MemoryStore;

impl MemoryStore {
    /// Whether an event and its bytes are there.
    pub(super) fn is_whole(&self, event: EventNo) -> bool {
        self.is_there(event) && !self.emptied.contains(&event)
    }

    /// Whether an event is there, with or without its bytes.
    pub(super) fn is_there(&self, event: EventNo) -> bool {
        event.0 <= self.events.len() as u64 && !self.forgotten.contains(&event)
    }

    fn of_event(&self, event: EventNo) -> impl Iterator<Item = &DeliveryRecord> {
        self.deliveries.values().filter(move |delivery| delivery.event_no == event)
    }

    /// See [`Read::expired`](crate::store::Read::expired).
    pub(super) fn expired_after(&self, expiry: Expiry, after: EventNo, rows_max: usize) -> Expired {
        let is_settled = |delivery: &DeliveryRecord| match delivery.state {
            DeliveryState::Waiting | DeliveryState::Pending { .. } => false,
            DeliveryState::Delivered { at }
            | DeliveryState::Exhausted { at, .. }
            | DeliveryState::Discarded { at } => at < expiry.before,
        };
        let numbered = (1..).map(EventNo).zip(&self.events);
        let run: Vec<_> = numbered
            .filter(|(no, _)| *no > after && self.is_there(*no))
            .take(rows_max)
            .map(|(no, event)| (no, event.at < expiry.before))
            .collect();
        let is_end = run.len() < rows_max || run.iter().all(|(_, is_old)| !is_old);
        let last = run.last().map(|(no, _)| *no).filter(|_| !is_end);
        let expired = run.into_iter().filter(|(no, is_old)| {
            *is_old
                && self.of_event(*no).all(is_settled)
                && (!expiry.whole_only || self.is_whole(*no))
        });
        Expired { events: expired.map(|(no, _)| no).collect(), last }
    }

    /// See [`Read::overdue`](crate::store::Read::overdue).
    pub(super) fn overdue_before(&self, before: Timestamp, rows_max: usize) -> Vec<DeliveryRecord> {
        let oldest = self.unfinished().take(rows_max);
        oldest.filter(|delivery| delivery.created_at < before).cloned().collect()
    }

    fn is_departed(&self, unit: &UnitName, before: Timestamp) -> bool {
        self.sources.get(unit).is_some_and(|state| {
            state.left.is_some_and(|left| left < before)
                && state.last_seq < self.last_seq_of(&unit.source())
        })
    }

    /// See [`Read::departed`](crate::store::Read::departed).
    pub(super) fn departed_before(
        &self,
        before: Timestamp,
        after: &UnitName,
        rows_max: usize,
    ) -> Vec<UnitName> {
        let departed = self.sources.keys().filter(|unit| self.is_departed(unit, before));
        departed.filter(|unit| *unit > after).take(rows_max).cloned().collect()
    }

    /// Removes what is known of entries that left before; says of how many.
    pub(super) fn unlearn(&mut self, units: &[UnitName], left_before: Timestamp) -> u64 {
        let mut count = 0;
        for unit in units {
            if self.is_departed(unit, left_before) {
                self.sources.remove(unit);
                self.items.remove(unit);
                self.settling.remove(unit);
                count += 1;
            }
        }
        count
    }

    /// Takes back that an entry left; says whether anything is known of it.
    pub(super) fn come_back(&mut self, unit: &UnitName) -> u64 {
        let Some(state) = self.sources.get_mut(unit) else { return 0 };
        state.left = None;
        1
    }

    /// Removes events whose deliveries are all settled; says how many.
    pub(super) fn forget(&mut self, events: &[EventNo]) -> u64 {
        let mut count = 0;
        for event in events {
            let is_open = self.unfinished().any(|delivery| delivery.event_no == *event);
            if is_open || !self.is_there(*event) {
                continue;
            }
            let gone: Vec<_> = self.of_event(*event).map(|delivery| delivery.id).collect();
            for id in gone {
                self.deliveries.remove(&id);
                self.attempts.remove(&id);
            }
            self.contents.retain(|(no, _), _| no != event);
            self.forgotten.insert(*event);
            count += 1;
        }
        count
    }

    /// Gives deliveries up; says how many.
    pub(super) fn lapse(&mut self, lapse: &Lapse) -> Result<Written, Refusal> {
        if let Some(own) = &lapse.own {
            self.poll(own)?;
        }
        let mut count = 0;
        for id in &lapse.deliveries {
            if !self.unfinished.remove(id) {
                continue;
            }
            let Some(delivery) = self.deliveries.get_mut(id) else { continue };
            let reason = lapse.reason.clone();
            delivery.state = DeliveryState::Exhausted { at: lapse.at, reason };
            let (endpoint, lane, event) =
                (delivery.endpoint.clone(), delivery.lane, delivery.event_no);
            self.promote(&endpoint, lane, lapse.at);
            if lapse.empties && !self.unfinished().any(|delivery| delivery.event_no == event) {
                self.empty(event);
            }
            count += 1;
        }
        Ok(Written::Count(count))
    }

    fn empty(&mut self, event: EventNo) {
        self.emptied.insert(event);
        self.contents.retain(|(no, _), _| *no != event);
        let ids: Vec<_> = self.of_event(event).map(|delivery| delivery.id).collect();
        for id in ids {
            let Some(attempts) = self.attempts.get_mut(&id) else { continue };
            attempts.drain(..attempts.len().saturating_sub(1));
            for attempt in attempts {
                attempt.answer.clear();
            }
        }
    }

    /// Has attempts made that were planned by a clock that was ahead; says how many.
    pub(super) fn hasten(
        &mut self,
        endpoint: &EndpointName,
        beyond: Timestamp,
        now: Timestamp,
    ) -> u64 {
        let mut count = 0;
        for delivery in self.deliveries.values_mut() {
            let is_first_replay = delivery.trigger == Trigger::Replay && delivery.attempts == 0;
            let more = if is_first_replay { REPLAY_AHEAD_MAX } else { Duration::ZERO };
            if let DeliveryState::Pending { due } = &mut delivery.state
                && delivery.endpoint == *endpoint
                && *due > beyond.after(more)
            {
                *due = now;
                count += 1;
            }
        }
        count
    }
}
