//! Deliveries: one event on its way to one endpoint; its states, and what each attempt's result means for it.
//!
//! [`settle`] decides what becomes of a delivery, [`EndpointHealth::after`] what becomes of its endpoint. Both are
//! pure; the store writes their answers in one transaction.

#[cfg(test)]
mod tests;

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::core::backoff::delay;
use crate::core::endpoint::{BreakerPolicy, Endpoint, Order, RetryPolicy};
use crate::core::event::Event;
use crate::core::fault::{Fault, Retry, Whose};
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, ItemKey, SourceName, UnitName};
use crate::core::limits::ENDPOINT_RETRY_AFTER_MAX;
use crate::core::sink::content::{Content, Envelope};
use crate::core::time::Timestamp;

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

/// Decides what becomes of a delivery. `unit` is uniform in `0.0..1.0`.
///
/// A retry is never earlier than the backoff says; the receiver's `Retry-After` is honoured up to
/// [`ENDPOINT_RETRY_AFTER_MAX`]. The retry period stands still while the endpoint is suspended.
#[expect(clippy::needless_pass_by_value, reason = "consumes the claim: no attempt counts twice")]
pub(crate) fn settle(
    claim: Claim,
    result: &AttemptResult,
    policy: &RetryPolicy,
    health: &EndpointHealth,
    now: Timestamp,
    unit: f64,
) -> Verdict {
    let (fault, retry_after, gone) = match result {
        AttemptResult::Accepted { .. } => return Verdict::Delivered,
        AttemptResult::Interrupted => return Verdict::NotCounted { due: now },
        AttemptResult::Refused { fault, retry_after, gone, .. } => (fault, *retry_after, *gone),
    };
    let step = delay(&policy.backoff, claim.attempts, unit);
    if fault.whose == Whose::Us && fault.retry == Retry::Later {
        return Verdict::NotCounted { due: now.after(step) };
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
    let wait = retry_after.map_or(step, |asked| asked.min(ENDPOINT_RETRY_AFTER_MAX).max(step));
    if tried_for.saturating_add(wait) > policy.give_up_after {
        return Verdict::Exhausted { reason: fault.sentence.clone() };
    }
    Verdict::RetryAt(now.after(wait))
}

/// An endpoint's condition, kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointHealth {
    pub(crate) breaker: Breaker,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// The lane (see [`lane`]) of the first of them; `None` once a second lane failed too.
    pub(crate) failing_lane: Option<i64>,
    /// The last success, or when the endpoint came to be.
    pub(crate) last_success: Timestamp,
    /// Suspensions that are over, added up.
    pub(crate) suspended_before: Duration,
    /// The last failure, for people.
    pub(crate) fault: Option<Fault>,
}

/// Whether an endpoint is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// Sent to.
    Closed,
    /// Left alone until `probe_at`, when one delivery goes out to see. Its result moves it on.
    Open { since: Timestamp, probe_at: Timestamp, probes: u32 },
    /// It answered 410: never probed. A person or a changed declaration moves it on.
    Disabled { since: Timestamp },
}

impl EndpointHealth {
    /// A healthy endpoint that came to be at `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            breaker: Breaker::Closed,
            failures: 0,
            failing_lane: None,
            last_success: now,
            suspended_before: Duration::ZERO,
            fault: None,
        }
    }

    /// Whether there is nothing about this condition that a restart would have to know.
    pub(crate) fn is_well(&self) -> bool {
        self.breaker == Breaker::Closed && self.failures == 0
    }

    /// The condition after a person's word or another declaration: as after a success.
    #[must_use]
    pub(crate) fn reopened(&self, now: Timestamp) -> Self {
        Self { suspended_before: self.suspended(now), ..Self::new(now) }
    }

    /// How long the endpoint has been suspended in its life, until `now`.
    pub(crate) fn suspended(&self, now: Timestamp) -> Duration {
        let current = match self.breaker {
            Breaker::Closed => Duration::ZERO,
            Breaker::Open { since, .. } | Breaker::Disabled { since } => now.since(since),
        };
        self.suspended_before.saturating_add(current)
    }

    /// How many attempts may run at once: all, one probe, or none. The second part says when to ask again.
    pub(crate) fn admits(&self, concurrency: usize, now: Timestamp) -> (usize, Option<Timestamp>) {
        match self.breaker {
            Breaker::Closed => (concurrency, None),
            Breaker::Open { probe_at, .. } if probe_at <= now => (1, None),
            Breaker::Open { probe_at, .. } => (0, Some(probe_at)),
            Breaker::Disabled { .. } => (0, None),
        }
    }

    /// The condition after an attempt on `lane`. `unit` is uniform in `0.0..1.0` and spreads the probes.
    #[must_use]
    pub(crate) fn after(
        &self,
        result: &AttemptResult,
        lane: i64,
        policies: (&BreakerPolicy, &RetryPolicy),
        now: Timestamp,
        unit: f64,
    ) -> Self {
        match result {
            AttemptResult::Interrupted => self.clone(),
            // It was under way when another attempt met the 410, which stands until somebody moves it on.
            AttemptResult::Accepted { .. } if matches!(self.breaker, Breaker::Disabled { .. }) => {
                Self { last_success: now, ..self.clone() }
            }
            AttemptResult::Accepted { .. } => self.reopened(now),
            AttemptResult::Refused { fault, .. } if fault.whose == Whose::Us => self.clone(),
            AttemptResult::Refused { fault, gone, .. } => {
                self.after_failure(fault, *gone, lane, policies, now, unit)
            }
        }
    }

    fn after_failure(
        &self,
        fault: &Fault,
        gone: bool,
        lane: i64,
        (breaker, retry): (&BreakerPolicy, &RetryPolicy),
        now: Timestamp,
        unit: f64,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        // One item that the receiver chokes on must not silence the others.
        let failing_lane =
            if self.failures == 0 || self.failing_lane == Some(lane) { Some(lane) } else { None };
        let silent = now.since(self.last_success) >= breaker.without_success_for;
        let next = match self.breaker {
            Breaker::Disabled { .. } => self.breaker,
            _ if gone => Breaker::Disabled { since: self.suspended_from(now) },
            // Not the probe, but under way since before the breaker opened: it says nothing new.
            Breaker::Open { probe_at, .. } if now < probe_at => self.breaker,
            Breaker::Open { since, probes, .. } => {
                let probes = probes.saturating_add(1);
                let wait = delay(&retry.backoff, probes, unit).max(breaker.without_success_for / 2);
                Breaker::Open { since, probe_at: now.after(wait), probes }
            }
            Breaker::Closed if failures >= breaker.failures && failing_lane.is_none() && silent => {
                Breaker::Open {
                    since: now,
                    probe_at: now.after(breaker.without_success_for),
                    probes: 0,
                }
            }
            Breaker::Closed => Breaker::Closed,
        };
        Self { breaker: next, failures, failing_lane, fault: Some(fault.clone()), ..self.clone() }
    }

    fn suspended_from(&self, now: Timestamp) -> Timestamp {
        match self.breaker {
            Breaker::Open { since, .. } | Breaker::Disabled { since } => since,
            Breaker::Closed => now,
        }
    }
}
