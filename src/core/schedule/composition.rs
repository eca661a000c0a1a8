//! What holds beside the rule: a calendar, and the server's word. The rule proposes a time; this is where others come in.

use std::time::Duration;

use super::cron::Cron;
use super::{Every, Schedule};
use crate::core::pacing::Pacing;
use crate::core::time::Timestamp;

/// Times before which a source is to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floors {
    /// The server said so: it holds beyond the longest interval, and for a fixed one.
    pub(crate) binding: Option<Timestamp>,
    /// Until then a cache may give the same answer: up to the longest interval, and not for who set one exactly.
    pub(crate) fresh: Option<Timestamp>,
    /// Sooner, less would be left than the server says others need as well: for whom `fresh` is.
    pub(crate) spare: Option<Timestamp>,
}

/// What is left, by a server's word, is less than those who ask would spend by their own plans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Their intervals, multiplied by this, spend four fifths of it until there is more; at least 1.
    pub(crate) factor: f64,
    /// When there is more.
    pub(crate) until: Timestamp,
    /// Multiplied by this, they spend four fifths of a whole window, as far as is known; at least 1.
    pub(crate) after: f64,
}

impl Stretch {
    /// Before when a source that would be polled after `interval` from `now` is left alone.
    pub(crate) fn floor(&self, interval: Duration, now: Timestamp) -> Timestamp {
        let (interval_s, left_s) = (interval.as_secs_f64(), self.until.since(now).as_secs_f64());
        // As much of the interval as is over when there is more.
        let over_s = left_s / self.factor;
        let wait_s = if interval_s <= over_s {
            interval_s * self.factor
        } else {
            left_s + (interval_s - over_s) * self.after
        };
        now.after(Duration::try_from_secs_f64(wait_s).unwrap_or_default())
    }
}

impl Floors {
    /// Of what the answers of a poll asked for, that ended at `now`.
    pub(crate) fn of(pacing: &Pacing, now: Timestamp) -> Self {
        Self {
            binding: pacing.floor().map(|wait| now.after(wait)),
            fresh: pacing.fresh.map(|wait| now.after(wait)),
            spare: None,
        }
    }
}

/// The plan after a poll, with what else holds. `now` is by the planning clock, `wall` by that on the wall.
#[must_use]
pub(crate) fn composed(
    plan: Schedule,
    (every, cron): (Every, Option<&Cron>),
    floors: Floors,
    (now, wall): (Timestamp, Timestamp),
) -> Schedule {
    let mut due = plan.due;
    if plan.failures == 0 {
        match (cron, every, floors.fresh.max(floors.spare)) {
            (Some(cron), _, _) => due = by_calendar(cron, now, (now, wall)),
            (None, Every::Range { max, .. }, Some(floor)) => {
                due = due.max(floor.min(now.after(max)));
            }
            _ => {}
        }
    }
    let due = floors.binding.map_or(due, |binding| due.max(binding));
    let interval = if cron.is_some() { due.since(now) } else { plan.interval };
    Schedule { interval, due, ..plan }
}

/// The first time of a calendar after a moment of the planning clock, by that clock.
pub(crate) fn by_calendar(
    cron: &Cron,
    after: Timestamp,
    (now, wall): (Timestamp, Timestamp),
) -> Timestamp {
    let offset = wall.as_millis().saturating_sub(now.as_millis());
    let shifted =
        |at: Timestamp, by: i64| Timestamp::from_millis(at.as_millis().saturating_add(by));
    let next = cron.next(shifted(after, offset));
    // A calendar that has no next time was refused when it was read, but for the end of all times.
    next.map_or(Timestamp::from_millis(i64::MAX), |next| shifted(next, offset.saturating_neg()))
}
