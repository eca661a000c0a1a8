//! Deliveries: one event on its way to one endpoint; its states, and what each attempt's result means for it.
//!
//! [`settle`] decides what becomes of a delivery, [`EndpointHealth::after`] what becomes of its endpoint. Both are
//! pure; the store writes their answers in one transaction.

mod health;
#[cfg(test)]
mod tests;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::core::backoff::delay;
use crate::core::endpoint::{Endpoint, Order, RetryPolicy};
use crate::core::event::Event;
use crate::core::fault::{Fault, Retry, Whose};
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, ItemKey, SourceName, UnitName};
use crate::core::limits::{
    ENDPOINT_RETRY_AFTER_MAX, OUTAGE_LOOK_PERIOD, RECORDED_ANSWER_BYTES_MAX,
    RECORDED_REFUSAL_BYTES_MAX, SHOWN_DELAYS_MAX,
};
use crate::core::own::OWN_SOURCE;
use crate::core::sink::content::{Content, Envelope};
use crate::core::time::Timestamp;

pub(crate) use self::health::{Breaker, EndpointHealth};

/// A refusal that is probably of the request itself is retried as if so many more attempts had failed before: a person
/// has to mend something first.
const REFUSED_STEPS: u32 = 4;

/// Why a delivery exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A change was found.
    Change,
    /// Somebody asked for the event again.
    Replay,
}

impl Trigger {
    /// The word kept in the store and shown to people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Replay => "replay",
        }
    }
}

/// Where a delivery stands. Each variant says who moves it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    /// Behind an earlier event of the same lane. The commit that settles its predecessor makes it `Pending`.
    Waiting,
    /// May be attempted from `due` on. The deliverer moves it on.
    Pending { due: Timestamp },
    /// Accepted. Final.
    Delivered { at: Timestamp },
    /// Given up, kept, and replayable: a dead letter. Final.
    Exhausted { at: Timestamp, reason: String },
    /// Dropped by a person's word. Final.
    Discarded { at: Timestamp },
}

impl DeliveryState {
    /// The word kept in the store and shown to people.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending { .. } => "pending",
            Self::Delivered { .. } => "delivered",
            Self::Exhausted { .. } => "exhausted",
            Self::Discarded { .. } => "discarded",
        }
    }

    /// The words of all states, in the order a delivery passes them.
    pub(crate) const WORDS: [&'static str; 5] =
        ["waiting", "pending", "delivered", "exhausted", "discarded"];
}

/// The right to attempt a delivery once. Lives in memory only; [`settle`] consumes it, so that no attempt counts twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claim that is not settled leaves its delivery pending"]
pub(crate) struct Claim {
    pub(crate) delivery: DeliveryId,
    pub(crate) endpoint: EndpointName,
    /// Attempts already made and counted.
    pub(crate) attempts: u32,
    /// The first counted attempt, and how long the endpoint had been suspended by then.
    pub(crate) started: Option<Started>,
}

/// When a delivery's retrying began, on the endpoint's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) at: Timestamp,
    /// The endpoint's [`EndpointHealth::suspended`] at that moment.
    pub(crate) suspended: Duration,
}

/// The queue inside an endpoint that an event stands in; deliveries of one lane go out one after the other.
/// `None` waits for nothing. Stable over versions, because lanes are stored.
pub(crate) fn lane(
    order: Order,
    source: &SourceName,
    entry: &EntryKey,
    key: &ItemKey,
) -> Option<i64> {
    match order {
        Order::None => None,
        Order::Endpoint => Some(0),
        Order::Item => {
            let mut name = UnitName::of(source, entry).as_str().as_bytes().to_vec();
            name.push(0);
            name.extend_from_slice(key.as_str().as_bytes());
            Some(i64::from_le_bytes(xxh3_64(&name).to_le_bytes()))
        }
    }
}

/// An event to store, with the deliveries it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) event: Event,
    pub(crate) deliveries: Vec<NewDelivery>,
}

/// A delivery to create. It starts `Pending` and due at once when no unfinished delivery of its endpoint has its
/// lane, else `Waiting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewDelivery {
    pub(crate) endpoint: EndpointName,
    /// See [`lane`].
    pub(crate) lane: Option<i64>,
    /// What it sends. The same event to the same endpoint sends this whenever it is sent.
    pub(crate) content: Content,
}

/// Event → one delivery for each endpoint that wants it, with what that endpoint gets. An expression of an endpoint that
/// fails loses nothing: see [`Content::Unmade`].
pub(crate) fn fan_out<'a>(
    event: Event,
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> NewEvent {
    let envelope = Envelope::of(&event);
    let deliveries = endpoints
        .into_iter()
        .filter(|endpoint| endpoint.subscription.wants(&event.event_type))
        .filter_map(|endpoint| {
            Some(NewDelivery {
                endpoint: endpoint.name.clone(),
                lane: lane(endpoint.order, &event.source, &event.entry, &event.key),
                content: envelope.content(endpoint)?,
            })
        })
        .collect();
    NewEvent { event, deliveries }
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    /// A 2xx whose headers came in time.
    Accepted { status: u16 },
    /// Anything else the receiver or the way to it did.
    Refused { status: Option<u16>, fault: Fault, retry_after: Option<Duration>, gone: bool },
    /// We stopped it, or could not even try. Uses up no attempt.
    Interrupted,
}

impl AttemptResult {
    /// Nothing could be sent, by a fault of ours.
    pub(crate) fn unsent(fault: Fault) -> Self {
        Self::Refused { status: None, fault, retry_after: None, gone: false }
    }

    /// The answer's status, if there was one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Accepted { status } => Some(*status),
            Self::Refused { status, .. } => *status,
            Self::Interrupted => None,
        }
    }

    /// What went wrong, if anything.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Refused { fault, .. } => Some(fault),
            Self::Accepted { .. } | Self::Interrupted => None,
        }
    }

    /// How much of the receiver's answer is recorded: a refusal has to be understood.
    pub(crate) fn answer_bytes_max(&self) -> usize {
        match self {
            Self::Accepted { .. } => RECORDED_ANSWER_BYTES_MAX,
            Self::Refused { .. } | Self::Interrupted => RECORDED_REFUSAL_BYTES_MAX,
        }
    }

    /// The word in metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What becomes of the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Counted, and due again at this time.
    RetryAt(Timestamp),
    Exhausted {
        reason: String,
    },
    /// As if it had not been tried; due again at this time.
    NotCounted {
        due: Timestamp,
    },
}

/// What an attempt was of, as far as the endpoint's condition depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The item's lane under `order: item`, whichever order the endpoint has.
    pub(crate) item: i64,
    pub(crate) order: Order,
    /// doorbell speaks of this very endpoint: whether it takes that says nothing, or its failing would breed events
    /// about its failing without end.
    pub(crate) is_about_it: bool,
}

impl Subject {
    /// Of an event of this item on its way to this endpoint.
    pub(crate) fn of(
        (source, entry, key): (&SourceName, &EntryKey, &ItemKey),
        (endpoint, order): (&EndpointName, Order),
    ) -> Self {
        let is_about_it = source.as_str() == OWN_SOURCE && key.as_str() == endpoint.as_str();
        let item = lane(Order::Item, source, entry, key).unwrap_or_default();
        Self { item, order, is_about_it }
    }
}

/// Whether an answer, or its absence, is about the receiver as a whole rather than about what it was sent.
fn is_outage(status: Option<u16>) -> bool {
    status.is_none_or(|status| matches!(status, 408 | 425 | 429 | 500..))
}

/// Decides what becomes of a delivery. `health` is the endpoint's condition after the attempt; `unit` is uniform in
/// `0.0..1.0`.
///
/// A retry is never earlier than the backoff says, unless the breaker is open: then the next probe is what it waits for.
/// The receiver's `Retry-After` is honoured up to [`ENDPOINT_RETRY_AFTER_MAX`]. The retry period stands still while the
/// endpoint is suspended.
#[expect(clippy::needless_pass_by_value, reason = "consumes the claim: no attempt counts twice")]
pub(crate) fn settle(
    claim: Claim,
    result: &AttemptResult,
    policy: &RetryPolicy,
    health: &EndpointHealth,
    now: Timestamp,
    unit: f64,
) -> Verdict {
    let (status, fault, retry_after, gone) = match result {
        AttemptResult::Accepted { .. } => return Verdict::Delivered,
        AttemptResult::Interrupted => return Verdict::NotCounted { due: now },
        AttemptResult::Refused { status, fault, retry_after, gone } => {
            (*status, fault, *retry_after, *gone)
        }
    };
    let is_slow = status.is_some_and(|status| status < 500) && !is_outage(status) && !gone;
    let steps = if is_slow { REFUSED_STEPS } else { 0 };
    let step = delay(&policy.backoff, claim.attempts.saturating_add(steps), unit);
    if fault.whose == Whose::Us && fault.retry == Retry::Later {
        return Verdict::NotCounted { due: now.after(step.min(OUTAGE_LOOK_PERIOD)) };
    }
    // 410 disables the endpoint; its events wait there until a person decides.
    if gone {
        return Verdict::RetryAt(now.after(step));
    }
    if fault.retry == Retry::Never {
        return Verdict::Exhausted { reason: fault.sentence.clone() };
    }
    let started = claim.started.unwrap_or(Started { at: now, suspended: health.suspended(now) });
    let suspended_since = health.suspended(now).saturating_sub(started.suspended);
    let tried_for = now.since(started.at).saturating_sub(suspended_since);
    let asked = retry_after.unwrap_or_default().min(ENDPOINT_RETRY_AFTER_MAX);
    let wait = match health.breaker {
        Breaker::Open { probe_at, .. } => step.min(probe_at.since(now)).max(asked),
        Breaker::Closed | Breaker::Disabled { .. } => step.max(asked),
    };
    // In suspension the period stands still, so that the wait is no part of it.
    let ahead = if health.is_suspended(now) { Duration::ZERO } else { wait };
    if tried_for.saturating_add(ahead) > policy.give_up_after {
        return Verdict::Exhausted { reason: fault.sentence.clone() };
    }
    Verdict::RetryAt(now.after(wait))
}
/// What is to come of a delivery if it keeps being refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// The bounds of the next delays, after the attempt that is due.
    pub(crate) delays: Vec<Duration>,
    /// When it will be given up, as far as its endpoint is not suspended until then; `None` before the first attempt.
    pub(crate) gives_up: Option<Timestamp>,
}

impl Outlook {
    /// Of a delivery with so many counted attempts.
    pub(crate) fn of(
        attempts: u32,
        started: Option<Started>,
        policy: &RetryPolicy,
        health: &EndpointHealth,
        now: Timestamp,
    ) -> Self {
        let delays = (attempts..attempts.saturating_add(SHOWN_DELAYS_MAX))
            .map(|attempts| policy.backoff.bound(attempts))
            .collect();
        let gives_up = started.map(|started| {
            let suspended = health.suspended(now).saturating_sub(started.suspended);
            started.at.after(policy.give_up_after.saturating_add(suspended))
        });
        Self { delays, gives_up }
    }
}
