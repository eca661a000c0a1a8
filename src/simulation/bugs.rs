//! Bugs planted in the ports: whoever trusts the books must see them find these.

use fastrand::Rng;

use crate::core::delivery::Verdict;
use crate::core::ids::EventId;
use crate::core::json::JsonText;
use crate::core::sink::content::Content;
use crate::store::{DueDelivery, Write};

/// A planted bug. Each is what a plausible mistake in the product would look like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Snapshot and events go into two transactions.
    SplitTransaction,
    /// An event gets another id when it is read again.
    UnstableId,
    /// The bytes of a repeat differ.
    UnstableBytes,
    /// A repeat sends the envelope in place of what was made of it.
    ForgetsContent,
    /// Retries ignore `Retry-After` and the backoff.
    HastyRetry,
    /// Polls ignore `Retry-After`.
    HastyPoll,
    /// A later page that fails counts as the end of the listing.
    PartialIsComplete,
    /// One listing without an item proves its deletion.
    DeletesAtOnce,
    /// Now and then an endpoint is forgotten in the fan-out.
    ForgetsEndpoint,
    /// Now and then an event gets lost, and its number with it.
    LosesEvent,
    /// Any answer counts as accepted.
    BelievesAnything,
    /// Deliveries wait for nothing.
    NoLanes,
    /// What is to be ignored is compared.
    IgnoresNothing,
    /// An answer that has changed is taken for the old one.
    StaleAnswer,
    /// What a poll found is acknowledged and not written.
    WritesNothing,
}

impl Bug {
    pub(super) const ALL: [Self; 15] = [
        Self::SplitTransaction,
        Self::UnstableId,
        Self::UnstableBytes,
        Self::ForgetsContent,
        Self::HastyRetry,
        Self::HastyPoll,
        Self::PartialIsComplete,
        Self::DeletesAtOnce,
        Self::ForgetsEndpoint,
        Self::LosesEvent,
        Self::BelievesAnything,
        Self::NoLanes,
        Self::IgnoresNothing,
        Self::StaleAnswer,
        Self::WritesNothing,
    ];
}

/// What a bug makes of a write: the transactions that are really made, in this order.
pub(super) fn spoil_write(bug: Bug, write: &Write, dice: &mut Rng) -> Vec<Write> {
    let sometimes = dice.u32(..20) == 0;
    match (bug, write) {
        (Bug::SplitTransaction, Write::Poll(commit)) if !commit.events.is_empty() => {
            let (mut snapshot, mut events) = (commit.clone(), commit.clone());
            snapshot.events.clear();
            snapshot.state.last_seq = snapshot.expected_seq;
            events.upserts.clear();
            events.marks.clear();
            vec![Write::Poll(snapshot), Write::Poll(events)]
        }
        (Bug::HastyRetry, Write::Attempt(commit)) => {
            let mut commit = commit.clone();
            if let Verdict::RetryAt(due) = &mut commit.verdict {
                *due = commit.at;
            }
            vec![Write::Attempt(commit)]
        }
        (Bug::ForgetsEndpoint, Write::Poll(commit)) if sometimes => {
            let mut commit = commit.clone();
            for new in &mut commit.events {
                new.deliveries.pop();
            }
            vec![Write::Poll(commit)]
        }
        (Bug::LosesEvent, Write::Poll(commit)) if sometimes => {
            let mut commit = commit.clone();
            commit.events.pop();
            vec![Write::Poll(commit)]
        }
        (Bug::NoLanes, Write::Poll(commit)) => {
            let mut commit = commit.clone();
            for delivery in commit.events.iter_mut().flat_map(|new| &mut new.deliveries) {
                delivery.lane = None;
            }
            vec![Write::Poll(commit)]
        }
        (Bug::WritesNothing, Write::Poll(_)) if sometimes => Vec::new(),
        _ => vec![write.clone()],
    }
}

/// What a bug makes of a delivery that is due.
pub(super) fn spoil_due(bug: Bug, due: &mut DueDelivery) {
    if due.delivery.attempts == 0 {
        return;
    }
    let event = &mut due.event;
    match bug {
        Bug::UnstableId => event.id = EventId::new(format!("{}2", event.id)),
        Bug::UnstableBytes => match &mut due.content {
            Content::Made(made) => made.body = format!("{} ", made.body).into(),
            _ => event.body = JsonText::trusted(format!("{} ", event.body.as_str())),
        },
        Bug::ForgetsContent => due.content = Content::Envelope,
        _ => {}
    }
}
