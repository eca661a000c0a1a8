//! When to poll next: a pure function of the declaration, what was learned so far, the outcome, time and randomness.
//!
//! The rule is a simple one for now: a change halves the interval, quiet lets it grow by half, always inside
//! `MIN..MAX`; one value is kept exactly. Only this module knows that.

mod composition;
pub(crate) mod cron;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use self::composition::{Floors, by_calendar, composed};

use crate::core::backoff::{BackoffPolicy, delay};
use crate::core::limits::{OUTAGE_LOOK_PERIOD, SOURCE_RETRY_AFTER_MAX, START_SPREAD_MAX};
use crate::core::time::Timestamp;

/// The bounds a person set for a source's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Every {
    /// Kept exactly.
    Fixed(Duration),
    /// Adapts between the two.
    Range { min: Duration, max: Duration },
}

impl Every {
    /// `None` unless `0 < min <= max`; equal bounds are one fixed value.
    pub(crate) fn try_new(min: Duration, max: Duration) -> Option<Self> {
        match (min.is_zero(), min.cmp(&max)) {
            (true, _) | (_, std::cmp::Ordering::Greater) => None,
            (_, std::cmp::Ordering::Equal) => Some(Self::Fixed(min)),
            _ => Some(Self::Range { min, max }),
        }
    }

    /// The shortest interval.
    pub(crate) fn min(self) -> Duration {
        match self {
            Self::Fixed(every) => every,
            Self::Range { min, .. } => min,
        }
    }

    /// The longest interval.
    pub(crate) fn max(self) -> Duration {
        match self {
            Self::Fixed(every) => every,
            Self::Range { max, .. } => max,
        }
    }

    /// An interval brought inside the bounds.
    pub(crate) fn clamp(self, interval: Duration) -> Duration {
        interval.clamp(self.min(), self.max())
    }
}

/// What is learned and planned for one source; kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The present spacing of successful polls.
    pub(crate) interval: Duration,
    /// When the next poll is due.
    pub(crate) due: Timestamp,
    /// Failed polls in a row.
    pub(crate) failures: u32,
}

/// What a poll came to, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Changed,
    Unchanged,
    /// Nothing usable came.
    Failed,
    /// The server asked to wait this long.
    Throttled {
        wait: Duration,
    },
}

impl Schedule {
    /// A source never polled: due at once, spread over its shortest interval or [`START_SPREAD_MAX`], whichever is
    /// less. `unit` is uniform in `0.0..1.0`.
    pub(crate) fn first(every: Every, now: Timestamp, unit: f64) -> Self {
        Self { interval: every.min(), due: spread(every, now, unit), failures: 0 }
    }

    /// The plan of a source after a restart: polls that were missed meanwhile run once, spread like first ones.
    #[must_use]
    pub(crate) fn resumed(self, every: Every, now: Timestamp, unit: f64) -> Self {
        let plan = self.under(every, now);
        if plan.due > now { plan } else { Self { due: spread(every, now, unit), ..plan } }
    }

    /// The plan after a poll that began at `began` and ended at `now`. `unit` is uniform in `0.0..1.0`.
    ///
    /// A fixed interval counts from when the poll was due, so that it does not drift; polls missed meanwhile are not
    /// made up for. Nor is the next one ever further away than the interval, also when the wall clock was set back.
    #[must_use]
    pub(crate) fn after(
        self,
        signal: Signal,
        every: Every,
        backoff: &BackoffPolicy,
        now: Timestamp,
        unit: f64,
    ) -> Self {
        match signal {
            Signal::Changed | Signal::Unchanged => {
                let interval = next_interval(every, self.interval, signal);
                let from_plan = self.due.after(interval);
                let due = match every {
                    Every::Fixed(_) if self.failures == 0 && from_plan > now => {
                        from_plan.min(now.after(interval))
                    }
                    _ => now.after(interval),
                };
                Self { interval, due, failures: 0 }
            }
            Signal::Failed => self.failed(delay(backoff, self.failures, unit), now),
            Signal::Throttled { wait } => {
                let step = delay(backoff, self.failures, unit);
                self.failed(wait.min(SOURCE_RETRY_AFTER_MAX).max(step), now)
            }
        }
    }

    /// The plan after a poll that failed by no fault of the source: soon, and not with all others at once.
    #[must_use]
    pub(crate) fn passed_over(self, now: Timestamp, unit: f64) -> Self {
        let wait = OUTAGE_LOOK_PERIOD.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0);
        Self { due: now.after(wait), ..self }
    }

    fn failed(self, wait: Duration, now: Timestamp) -> Self {
        Self { due: now.after(wait), failures: self.failures.saturating_add(1), ..self }
    }

    /// The same plan under other bounds, after a reload: never later than the new longest interval from now, unless
    /// a failure or the server set the time.
    #[must_use]
    pub(crate) fn under(self, every: Every, now: Timestamp) -> Self {
        let interval = every.clamp(self.interval);
        let due = if self.failures == 0 { self.due.min(now.after(interval)) } else { self.due };
        Self { interval, due, ..self }
    }
}

fn spread(every: Every, now: Timestamp, unit: f64) -> Timestamp {
    now.after(every.min().min(START_SPREAD_MAX).mul_f64(unit.clamp(0.0, 1.0)))
}

fn next_interval(every: Every, interval: Duration, signal: Signal) -> Duration {
    match (every, signal) {
        (Every::Fixed(every), _) => every,
        (_, Signal::Changed) => every.clamp(interval / 2),
        _ => every.clamp(interval.saturating_add(interval / 2)),
    }
}
