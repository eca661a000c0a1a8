//! Making a part of a poll durable.

use std::collections::BTreeMap;

use super::Turn;
use super::index::Changes;
use crate::core::delivery::NewEvent;
use crate::core::diff::ChangeKind;
use crate::core::event::Event;
use crate::core::listing::Delta;
use crate::core::report::Mode;
use crate::core::source::SourceState;
use crate::poller::PollError;
use crate::poller::crew::Number;
use crate::store::{PollCommit, Refusal, Write};

/// The events of a part.
#[derive(Default)]
struct Rung {
    /// By type.
    counts: BTreeMap<String, u64>,
    /// If somebody wants to see them.
    events: Vec<Event>,
}

impl Turn<'_> {
    /// Makes a part durable and goes on from `state`. A dry run only notes the events.
    pub(super) async fn commit(
        &mut self,
        state: SourceState,
        delta: Delta,
    ) -> Result<(), PollError> {
        let rings = delta.events.iter().any(|event| !event.deliveries.is_empty());
        let expected_seq =
            if delta.events.is_empty() { self.state.last_seq } else { self.last_seq() };
        let last_seq = expected_seq + delta.events.len() as u64;
        let state = SourceState { last_seq, ..state };
        let is_calm =
            delta.upserts.is_empty() && delta.marks.is_empty() && delta.settling.is_empty();
        // Until the commit is done, nobody knows what the last number is.
        let mut number = self.number.take().filter(|_| self.mode == Mode::Commit);
        number.iter_mut().for_each(Number::forget);
        let rung = self.rung(&delta);
        if self.mode == Mode::Commit {
            let changes = Changes::of(&delta);
            let commit = PollCommit {
                unit: self.unit.clone(),
                expected_seq,
                state: state.clone(),
                upserts: delta.upserts,
                marks: delta.marks,
                settling: delta.settling,
                events: delta.events,
                at: self.ports.clock.now(),
            };
            match self.ports.store.write_here(Write::Poll(Box::new(commit))).await? {
                Ok(_) => number.iter_mut().for_each(|number| number.set(last_seq)),
                Err(Refusal::Conflict { unit }) => return Err(PollError::Conflict(unit)),
                Err(refusal) => {
                    unreachable!("a poll is only ever refused for a conflict, not: {refusal}")
                }
            }
            self.index.wrote(changes);
            if rings {
                self.ports.deliver.ring();
            }
        }
        self.touched |= !is_calm;
        self.tell_rung(rung, &delta.kinds);
        self.state = state;
        Ok(())
    }
    /// What a report says of a part's events, once it is written.
    fn rung(&self, delta: &Delta) -> Rung {
        let mut rung = Rung::default();
        for NewEvent { event, .. } in &delta.events {
            *rung.counts.entry(event.event_type.clone()).or_default() += 1;
        }
        if self.shows_events {
            rung.events.extend(delta.events.iter().map(|new| new.event.clone()));
        }
        rung
    }

    fn tell_rung(&mut self, rung: Rung, kinds: &[ChangeKind]) {
        for kind in
            [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted, ChangeKind::Ended]
        {
            let count = kinds.iter().filter(|found| **found == kind).count() as u64;
            self.report.count(kind, count);
        }
        for (event_type, count) in rung.counts {
            *self.report.event_counts.entry(event_type).or_default() += count;
        }
        self.report.events.extend(rung.events);
    }
}
