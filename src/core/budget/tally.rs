//! What a server says about one credential: how much is left, how long to wait, and what an answer costs.

use std::collections::HashMap;
use std::time::Duration;

use super::toll::Toll;
use crate::core::backoff::{BackoffPolicy, delay};
use crate::core::http::Response;
use crate::core::ids::UnitName;
use crate::core::limits::{LIMIT_PAUSE_MAX, SOURCE_RETRY_AFTER_MAX};
use crate::core::pacing::{Pacing, Quota, Scope};
use crate::core::schedule::{Every, Stretch};
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
/// Those of a fixed interval leave at least this part of it to those that adapt.
const LEFT_MIN: f64 = 0.1;

/// Whether two windows that end then are the same one.
pub(super) fn is_same_window(until: Timestamp, known: Timestamp) -> bool {
    until.since(known) < SAME_WINDOW && known.since(until) < SAME_WINDOW
}

/// An answer that cost nothing, and what the figures are of that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Free {
    /// Requests in one window, if that was told.
    pub(crate) limit: Option<u64>,
    /// The window is at least so long.
    pub(crate) window: Duration,
}

/// What units would ask for by their own plans, in requests a second.
#[derive(Debug, Clone, Default, PartialEq)]
struct Demand {
    /// Each one's, and whether it adapts.
    units: HashMap<UnitName, (f64, bool)>,
    adaptive: f64,
    fixed: f64,
}

impl Demand {
    fn set(&mut self, unit: &UnitName, per_second: f64, adapts: bool) {
        if let Some((old, adapted)) = self.units.insert(unit.clone(), (per_second, adapts)) {
            *self.sum(adapted) -= old;
        }
        *self.sum(adapts) += per_second;
    }

    fn sum(&mut self, adapts: bool) -> &mut f64 {
        if adapts { &mut self.adaptive } else { &mut self.fixed }
    }

    /// Forgets units, and what the sums lost by rounding.
    fn retain(&mut self, is_declared: impl Fn(&UnitName) -> bool) {
        self.units.retain(|unit, _| is_declared(unit));
        let of = |wanted: bool| {
            let units = self.units.values().filter(|(_, adapts)| *adapts == wanted);
            units.map(|(per_second, _)| per_second).sum()
        };
        (self.adaptive, self.fixed) = (of(true), of(false));
    }
}

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
    toll: Toll,
    /// Of what is told to be left: how much a window has, and the longest time there was to its end.
    limit: Option<u64>,
    window: Duration,
    demand: Demand,
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
        self.toll.blur();
    }

    /// An answer came. `unit` is uniform in `0.0..1.0`. Says whether it cost nothing.
    pub(crate) fn hear(
        &mut self,
        response: &Response,
        pacing: &Pacing,
        backoff: &BackoffPolicy,
        (now, unit): (Timestamp, f64),
    ) -> Option<Free> {
        self.in_flight = self.in_flight.saturating_sub(1);
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
            self.toll.doubt(now);
        } else if response.status < 400 {
            self.refusals = 0;
            let doubled = self.credit.map(|credit| credit.saturating_mul(2));
            self.credit = doubled.filter(|credit| *credit <= CREDIT_MAX);
        }
        let is_free = self.weigh(response.status, pacing.quota.as_ref(), now);
        if is_free {
            // What was taken for it was not spent.
            self.left = self.left.map(|(left, until)| (left.saturating_add(1), until));
        }
        if let Some(quota) = &pacing.quota {
            self.count(quota, is_free, now);
        }
        is_free.then_some(Free { limit: self.limit, window: self.window })
    }

    /// Whether an answer cost nothing, as far as was learned.
    fn weigh(&mut self, status: u16, quota: Option<&Quota>, now: Timestamp) -> bool {
        let told = quota.and_then(|quota| Some((quota.remaining, now.after(quota.reset?))));
        self.toll.hear(status, told.filter(|_| self.in_flight == 0));
        status == 304 && self.toll.is_free(now)
    }

    /// Whether answers that nothing changed cost nothing.
    pub(crate) fn is_unchanged_free(&self, now: Timestamp) -> bool {
        self.toll.is_free(now)
    }

    fn count(&mut self, quota: &Quota, is_free: bool, now: Timestamp) {
        let until = now.after(quota.reset.unwrap_or(LEAKS_IN));
        self.limit = quota.limit;
        self.window = self.window.max(quota.reset.max(quota.window).unwrap_or_default());
        // Those under way may not be in what is told.
        let told = quota.remaining.saturating_sub(self.in_flight);
        let left = match self.left {
            // Nothing is under way, and what the last answers cost is known.
            _ if is_free && self.in_flight == 0 => told,
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

    /// Until when the server allows nothing: it asked for that, or nothing is left.
    pub(crate) fn shut_until(&self) -> Timestamp {
        let used_up = self.left.filter(|(left, _)| *left == 0);
        self.held_until.max(used_up.map_or(self.held_until, |(_, until)| until))
    }

    /// The server asked for that before a restart. What comes after it begins gently.
    pub(crate) fn resume(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(until);
        self.credit = Some(1);
    }

    /// How many requests are said to be left, and until when.
    pub(crate) fn left(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        self.left.filter(|(_, until)| *until > now)
    }

    /// A unit's next poll is planned to be made after `interval`, at that cost in requests; `None` by a calendar. Says by
    /// how much those who adapt have to hold back for what is left to last until there is more.
    pub(crate) fn stretch(
        &mut self,
        unit: &UnitName,
        (every, interval, cost): (Every, Option<Duration>, f64),
        now: Timestamp,
    ) -> Option<Stretch> {
        if self.left(now).is_none() && self.demand.units.is_empty() {
            return None;
        }
        let per_second = interval.map_or(0.0, |it| cost / it.as_secs_f64().max(1e-3));
        let adapts = matches!(every, Every::Range { .. });
        self.demand.set(unit, per_second, adapts);
        self.tightness(now).filter(|_| adapts && interval.is_some())
    }

    /// By how much those who adapt have to hold back; `None` if not at all, or when nothing was said.
    pub(crate) fn tightness(&self, now: Timestamp) -> Option<Stretch> {
        let (_, until) = self.left(now)?;
        let factor = |planned: f64| {
            let spare = (planned - self.demand.fixed).max(planned * LEFT_MIN).max(1e-9);
            (self.demand.adaptive / spare).max(1.0)
        };
        let whole = self.limit.map(|limit| planned(limit, self.window));
        let (factor, after) = (factor(self.planned(now)?), whole.map_or(1.0, factor));
        (factor > 1.0 || after > 1.0).then_some(Stretch { factor, until, after })
    }

    /// Forgets what units would ask for that are no more.
    pub(crate) fn retain(&mut self, is_declared: impl Fn(&UnitName) -> bool) {
        self.demand.retain(is_declared);
    }

    /// Requests a second that what is left allows to plan with; `None` when nothing was said.
    pub(crate) fn planned(&self, now: Timestamp) -> Option<f64> {
        let (left, until) = self.left(now)?;
        Some(planned(left, until.since(now)))
    }
}

/// Requests a second to plan with, of so many for this long.
fn planned(left: u64, lasts: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate to plan with")]
    let left = left as f64;
    PLANNED * left / lasts.as_secs_f64().max(1.0)
}
