//! What a server says about one credential: how much is left, and how long to wait.

use std::time::Duration;

use crate::core::backoff::{BackoffPolicy, delay};
use crate::core::http::Response;
use crate::core::limits::{LIMIT_PAUSE_MAX, SOURCE_RETRY_AFTER_MAX};
use crate::core::pacing::{Pacing, Quota, Scope};
use crate::core::time::Timestamp;

/// A bucket that says nothing of when there is more leaks at least a little in this time.
const LEAKS_IN: Duration = Duration::from_secs(1);
/// Two windows that end within so little of each other are the same one, told at different times.
const SAME_WINDOW: Duration = Duration::from_secs(2);
/// Whoever waits for answers of others looks again after this.
const ANSWERS_IN: Duration = Duration::from_millis(100);
/// With more than this many under way at once, nobody needs to count any more.
const CREDIT_MAX: u64 = 64;
/// Of what a server says is left, this part is planned with.
const PLANNED: f64 = 0.8;

/// What is known of one credential at one origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    /// Nobody asks before.
    held_until: Timestamp,
    /// How many may still be made until when.
    left: Option<(u64, Timestamp)>,
    in_flight: u64,
    /// Requests of polls that were let in and have not asked yet.
    reserved: u64,
    /// After a refusal, or a window that was used up: how many may be under way at once. Doubled by each that goes well.
    credit: Option<u64>,
    /// Answers in a row that said "too many" without saying how long.
    refusals: u32,
}

impl Tally {
    /// When a request may be made; a moment that is past means now.
    pub(crate) fn opens(&self, now: Timestamp) -> Timestamp {
        self.opens_for(0, now)
    }

    /// When a poll may begin; a moment that is past means now.
    pub(crate) fn opens_for_poll(&self, now: Timestamp) -> Timestamp {
        self.opens_for(self.reserved, now)
    }

    fn opens_for(&self, reserved: u64, now: Timestamp) -> Timestamp {
        let used_up = self.left.filter(|(left, until)| *left <= reserved && *until > now);
        let opens = self.held_until.max(used_up.map_or(now, |(_, until)| until));
        let is_full = self
            .credit(now)
            .is_some_and(|credit| self.in_flight.saturating_add(reserved) >= credit);
        if opens <= now && is_full { now.after(ANSWERS_IN) } else { opens }
    }

    /// How many may be under way at once; `None` for any number.
    fn credit(&self, now: Timestamp) -> Option<u64> {
        let is_anew = self.left.is_some_and(|(left, until)| left == 0 && until <= now);
        if is_anew { Some(1) } else { self.credit }
    }

    /// Keeps a place for the first request of a poll.
    pub(crate) fn reserve(&mut self) {
        self.reserved = self.reserved.saturating_add(1);
    }

    /// Gives such a place up, or it is used now.
    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A request is made.
    pub(crate) fn take(&mut self, now: Timestamp) {
        self.credit = self.credit(now);
        self.in_flight = self.in_flight.saturating_add(1);
        self.left = match self.left {
            Some((left, until)) if until > now => Some((left.saturating_sub(1), until)),
            _ => None,
        };
    }

    /// A request was given up, or came to nothing.
    pub(crate) fn lose(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// An answer came. `unit` is uniform in `0.0..1.0`.
    pub(crate) fn hear(
        &mut self,
        response: &Response,
        pacing: &Pacing,
        backoff: &BackoffPolicy,
        (now, unit): (Timestamp, f64),
    ) {
        self.lose();
        if let Some((Scope::Credential, wait)) = pacing.hold {
            self.held_until = self.held_until.max(now.after(wait.min(SOURCE_RETRY_AFTER_MAX)));
        } else if response.status == 429 {
            let pause = delay(backoff, self.refusals, unit).min(LIMIT_PAUSE_MAX);
            self.held_until = self.held_until.max(now.after(pause));
            self.refusals = self.refusals.saturating_add(1);
        }
        let is_refused = matches!(pacing.hold, Some((Scope::Credential, _)));
        if is_refused || response.status == 429 {
            self.credit = Some(1);
        } else if response.status < 400 {
            self.refusals = 0;
            let doubled = self.credit.map(|credit| credit.saturating_mul(2));
            self.credit = doubled.filter(|credit| *credit <= CREDIT_MAX);
        }
        if let Some(quota) = &pacing.quota {
            self.count(quota, now);
        }
    }

    fn count(&mut self, quota: &Quota, now: Timestamp) {
        let until = now.after(quota.reset.unwrap_or(LEAKS_IN));
        // Those under way may not be in what is told.
        let told = quota.remaining.saturating_sub(self.in_flight);
        let left = match self.left {
            Some((left, known)) if known > now && until.since(known) < SAME_WINDOW => {
                if quota.reset.is_some() { left.min(told) } else { told }
            }
            _ => told,
        };
        self.left = Some((left, until));
    }

    /// Before that, nobody asks.
    pub(crate) fn held_until(&self) -> Timestamp {
        self.held_until
    }

    /// How many requests are said to be left, and until when.
    pub(crate) fn left(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        self.left.filter(|(_, until)| *until > now)
    }

    /// Requests a second that what is left allows to plan with; `None` when nothing was said.
    #[cfg_attr(not(test), expect(dead_code, reason = "a written budget is not lowered by it yet"))]
    pub(crate) fn planned(&self, now: Timestamp) -> Option<f64> {
        let (left, until) = self.left.filter(|(_, until)| *until > now)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate to plan with")]
        let left = left as f64;
        Some(PLANNED * left / until.since(now).as_secs_f64().max(1.0))
    }
}
