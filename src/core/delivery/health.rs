//! An endpoint's condition: whether it is sent to, and what each attempt, each person's word and each declaration makes
//! of that.
//!
//! ```text
//!            lasting failure                  a probe is accepted
//!   Closed ──────────────────▶ Open ⟲ probe ─────────────────────▶ Closed
//!      └───────── 410 ──────────┴────▶ Disabled ── a person's word, another declaration ──▶ Closed
//! ```
//!
//! Beside that it may be paused, by hand or in the file, and held off for as long as its `Retry-After` said. All of these
//! are suspensions: what waits keeps waiting, and its retry period stands still.

use std::time::Duration;

use super::{AttemptResult, Subject, is_outage};
use crate::core::backoff::delay;
use crate::core::endpoint::{BreakerPolicy, Order, RetryPolicy};
use crate::core::fault::{Fault, Whose};
use crate::core::limits::{ENDPOINT_RETRY_AFTER_MAX, PROBE_WAIT_MAX};
use crate::core::own::endpoint::News;
use crate::core::time::Timestamp;

/// An endpoint's condition, kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointHealth {
    pub(crate) breaker: Breaker,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When the first of them came; `None` without any, and for runs from before this was kept.
    pub(crate) failing_since: Option<Timestamp>,
    /// The item (see [`Subject::item`]) of the first of them; `None` once a second item failed too.
    pub(crate) failing_lane: Option<i64>,
    /// The last success, or when the endpoint came to be.
    pub(crate) last_success: Timestamp,
    /// Suspensions, added up until [`EndpointHealth::suspended_from`].
    pub(crate) suspended_before: Duration,
    /// From when on the suspension that goes on has not been added up.
    pub(crate) suspended_from: Option<Timestamp>,
    /// Since when it is paused by a person's word.
    pub(crate) paused_by_hand: Option<Timestamp>,
    /// Since when it is paused by its declaration.
    pub(crate) paused_in_file: Option<Timestamp>,
    /// The receiver asked to be left alone until then.
    pub(crate) held_until: Option<Timestamp>,
    /// Since when it has been failing, as was told in an event; `None` once it was told to be back.
    pub(crate) told: Option<Timestamp>,
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
            failing_since: None,
            failing_lane: None,
            last_success: now,
            suspended_before: Duration::ZERO,
            suspended_from: None,
            paused_by_hand: None,
            paused_in_file: None,
            held_until: None,
            told: None,
            fault: None,
        }
    }

    /// The condition as a process finds it that starts at `now`. If the clock was ahead when it was written, it is left
    /// alone for no longer than anybody ever is, and nothing of it is yet to come.
    #[must_use]
    pub(crate) fn found(&self, breaker: &BreakerPolicy, now: Timestamp) -> Self {
        let past = |at: Option<Timestamp>| at.map(|at| at.min(now));
        let (_, probe_wait_max) = probe_waits(breaker);
        let mut found = self.clone();
        if let Breaker::Open { probe_at, .. } = &mut found.breaker {
            *probe_at = (*probe_at).min(now.after(probe_wait_max));
        }
        let held_max = now.after(ENDPOINT_RETRY_AFTER_MAX);
        found.held_until = found.held_until.map(|until| until.min(held_max));
        found.last_success = found.last_success.min(now);
        found.failing_since = past(found.failing_since);
        found.suspended_from = past(found.suspended_from);
        found
    }

    /// Whether there is nothing about this condition that a restart would have to know.
    pub(crate) fn is_well(&self) -> bool {
        self.breaker == Breaker::Closed
            && self.failures == 0
            && !self.is_paused()
            && self.held_until.is_none()
            && self.told.is_none()
    }

    /// Whether a person or the file says that nothing is sent.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_by_hand.is_some() || self.paused_in_file.is_some()
    }

    /// Since when it is paused.
    pub(crate) fn paused_since(&self) -> Option<Timestamp> {
        self.paused_by_hand.into_iter().chain(self.paused_in_file).min()
    }

    /// Whether retry periods stand still.
    pub(crate) fn is_suspended(&self, now: Timestamp) -> bool {
        self.is_stopped() || self.held_until.is_some_and(|until| until > now)
    }

    /// Suspended until somebody or something moves it on.
    fn is_stopped(&self) -> bool {
        self.breaker != Breaker::Closed || self.is_paused()
    }

    /// How long the endpoint has been suspended in its life, until `now`.
    pub(crate) fn suspended(&self, now: Timestamp) -> Duration {
        let current = self.suspended_from.map_or(Duration::ZERO, |from| {
            let end =
                if self.is_stopped() { now } else { now.min(self.held_until.unwrap_or(from)) };
            end.since(from)
        });
        self.suspended_before.saturating_add(current)
    }

    /// The condition after a change, with its suspensions added up until then.
    fn changed(&self, now: Timestamp, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = Self { suspended_before: self.suspended(now), ..self.clone() };
        change(&mut next);
        next.suspended_from = next.is_suspended(now).then_some(now);
        next
    }

    /// The condition after another declaration: it gets another chance.
    #[must_use]
    pub(crate) fn redeclared(&self, now: Timestamp) -> Self {
        self.changed(now, Self::forgive)
    }

    /// The condition after a person's word that it is to be sent to. What the file says stands.
    #[must_use]
    pub(crate) fn resumed(&self, now: Timestamp) -> Self {
        self.changed(now, |next| {
            next.forgive();
            next.paused_by_hand = None;
        })
    }

    /// Gives it another chance.
    fn forgive(&mut self) {
        (self.breaker, self.held_until) = (Breaker::Closed, None);
        (self.failures, self.failing_since, self.failing_lane) = (0, None, None);
    }

    /// The condition after a person's word that nothing is to be sent.
    #[must_use]
    pub(crate) fn paused(&self, now: Timestamp) -> Self {
        self.changed(now, |next| next.paused_by_hand = next.paused_by_hand.or(Some(now)))
    }

    /// The condition under a declaration that says whether it is paused.
    #[must_use]
    pub(crate) fn declared(&self, is_paused: bool, now: Timestamp) -> Self {
        self.changed(now, |next| {
            next.paused_in_file = if is_paused { next.paused_in_file.or(Some(now)) } else { None };
        })
    }

    /// How many attempts may run at once: all, one probe, or none. The second part says when to ask again.
    pub(crate) fn admits(&self, concurrency: usize, now: Timestamp) -> (usize, Option<Timestamp>) {
        if self.is_paused() {
            return (0, None);
        }
        match (self.breaker, self.opens(now)) {
            (Breaker::Disabled { .. }, _) => (0, None),
            (_, Some(opens)) => (0, Some(opens)),
            (Breaker::Open { .. }, None) => (1, None),
            (Breaker::Closed, None) => (concurrency, None),
        }
    }

    /// Until when nothing is sent, if that ends by itself.
    pub(crate) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let probe_at = match self.breaker {
            Breaker::Open { probe_at, .. } => Some(probe_at),
            Breaker::Closed | Breaker::Disabled { .. } => None,
        };
        self.held_until.into_iter().chain(probe_at).max().filter(|opens| *opens > now)
    }

    /// The condition after an attempt. `unit` is uniform in `0.0..1.0` and spreads the probes.
    #[must_use]
    pub(crate) fn after(
        &self,
        result: &AttemptResult,
        subject: Subject,
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
            AttemptResult::Accepted { .. } if subject.is_about_it => self.clone(),
            AttemptResult::Accepted { .. } => self.after_success(now),
            AttemptResult::Refused { fault, .. } if fault.whose == Whose::Us => self.clone(),
            AttemptResult::Refused { status, fault, retry_after, gone } => {
                let asked = retry_after.filter(|_| matches!(status, Some(429 | 503)));
                let failure = Failure { status: *status, fault, asked, is_gone: *gone };
                self.after_failure(&failure, subject, policies, now, unit)
            }
        }
    }

    fn after_success(&self, now: Timestamp) -> Self {
        self.changed(now, |next| {
            // Another attempt may have been asked to stay away meanwhile.
            let held_until = next.held_until.filter(|until| *until > now);
            next.forgive();
            next.held_until = held_until;
            (next.last_success, next.told, next.fault) = (now, None, None);
        })
    }

    fn after_failure(
        &self,
        failure: &Failure<'_>,
        subject: Subject,
        (breaker, retry): (&BreakerPolicy, &RetryPolicy),
        now: Timestamp,
        unit: f64,
    ) -> Self {
        self.changed(now, |next| {
            let asked = failure.asked.map(|asked| now.after(asked.min(ENDPOINT_RETRY_AFTER_MAX)));
            next.held_until =
                next.held_until.into_iter().chain(asked).max().filter(|until| *until > now);
            next.fault = Some(failure.fault.clone());
            if !subject.is_about_it {
                next.count_failure(subject, now);
            }
            let since = next.failing_since.unwrap_or(next.last_success);
            // One item that the receiver chokes on must not silence the others. Where all wait for that item anyway,
            // the answer has to be one that is not about the item.
            let is_spread = next.failing_lane.is_none()
                || (subject.order == Order::Endpoint && is_outage(failure.status));
            let is_lasting = next.failures >= breaker.failures
                && is_spread
                && now.since(since) >= breaker.without_success_for;
            next.breaker = match self.breaker {
                Breaker::Disabled { .. } => self.breaker,
                Breaker::Open { since, .. } if failure.is_gone => Breaker::Disabled { since },
                Breaker::Closed if failure.is_gone => Breaker::Disabled { since: now },
                // Not the probe, but under way since before the breaker opened: it says nothing new.
                Breaker::Open { probe_at, .. } if now < probe_at => self.breaker,
                Breaker::Open { since, probes, .. } => {
                    let probes = probes.saturating_add(1);
                    let (least, most) = probe_waits(breaker);
                    let wait = delay(&retry.backoff, probes, unit).clamp(least, most);
                    Breaker::Open { since, probe_at: now.after(wait), probes }
                }
                Breaker::Closed if is_lasting && !subject.is_about_it => Breaker::Open {
                    since: now,
                    probe_at: now.after(breaker.without_success_for),
                    probes: 0,
                },
                Breaker::Closed => Breaker::Closed,
            };
            if next.breaker != Breaker::Closed {
                next.told = next.told.or(Some(since.min(now)));
            }
        })
    }

    fn count_failure(&mut self, subject: Subject, now: Timestamp) {
        let is_first = self.failures == 0;
        let is_same = is_first || self.failing_lane == Some(subject.item);
        self.failing_lane = is_same.then_some(subject.item);
        if is_first {
            self.failing_since = Some(now);
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// What there is to tell when this condition becomes another.
    pub(crate) fn news(&self, after: &Self) -> Option<News> {
        let fault = || after.fault.clone().or_else(|| self.fault.clone());
        match (self.breaker, after.breaker, self.told, after.told) {
            (Breaker::Closed | Breaker::Open { .. }, Breaker::Disabled { since }, ..) => {
                Some(News::Disabled { at: since, fault: fault() })
            }
            (_, Breaker::Open { probe_at, .. }, None, Some(since)) => {
                Some(News::Failing { since, failures: after.failures, probe_at, fault: fault() })
            }
            (_, Breaker::Closed, Some(since), None) => {
                Some(News::Recovered { since, fault: fault() })
            }
            _ => None,
        }
    }
}

/// A refusal that the receiver or the way to it is to blame for.
struct Failure<'a> {
    status: Option<u16>,
    fault: &'a Fault,
    /// How long the receiver asked to be left alone.
    asked: Option<Duration>,
    is_gone: bool,
}

/// How far apart probes are: not hasty, and not so rare that nobody notices a receiver that is back.
fn probe_waits(breaker: &BreakerPolicy) -> (Duration, Duration) {
    let most = PROBE_WAIT_MAX.max(breaker.without_success_for);
    (breaker.without_success_for / 2, most)
}
