//! When to poll next: a pure function of the declaration, what was learned of the source, the price of a request, time
//! and randomness.
//!
//! A source is polled when the waiting of its changes still unseen is expected to reach the price of a request
//! ([`wait`]), divided by its weight. What is expected is learned ([`rate`]): how often it changes ([`profile`] by the hour
//! of the week, [`gap`] by the time since the last change, [`minute`] for robots). The price is that of its budget
//! ([`price`]), one for all that share it. Where nobody wrote a limit nothing is scarce, and the price is fixed, so that
//! a source that changes once a day is polled at the geometric mean of its MIN and MAX: one that changes thirty times as
//! often reaches the MIN of `30s..15m`, one that stays silent drifts to its MAX within days. A person's MIN and MAX
//! always hold; one value is kept exactly.
//!
//! What was tried on traces of 82 public repositories over 16 weeks and is not here, as it does not pay on sources that it
//! was not chosen by. Mean delay over a fixed interval's, means over three subsets of sources and two budgets, where
//! differences below 0.005 are chance; what is here came to 0.484 at κ = ½:
//!
//! * the week of all other sources as the prior of one's own profile: 0.490, and a worse 95th percentile;
//! * weights of burst and average learned for each source, by expectation maximisation: 0.505;
//! * a second burst term of eight hours instead of learned gaps: 0.512; a single one: 0.520;
//! * minutes of the hour for all sources instead of those that prove to keep to them: 0.490;
//! * polls held back by the hard stop released one by one over the next hour instead of at its start: 0.486;
//! * evening out over half a day instead of a day: 0.484, with a worse mean of source means.
//!
//! Hints between sources of one repository would pay 3 % of the mean and 8 % of the mean of source means, if somebody
//! said which sources belong together; they are not built.

mod composition;
pub(crate) mod cron;
pub(crate) mod explain;
pub(crate) mod gap;
mod keep;
pub(crate) mod minute;
pub(crate) mod price;
pub(crate) mod profile;
pub(crate) mod rate;
pub(crate) mod room;
#[cfg(test)]
mod tests;
pub(crate) mod told;
pub(crate) mod wait;

use std::time::Duration;

pub(crate) use self::composition::{Floors, Stretch, by_calendar, composed};

use crate::core::backoff::{BackoffPolicy, delay};
use crate::core::limits::{OUTAGE_LOOK_PERIOD, SOURCE_RETRY_AFTER_MAX, START_SPACING};
use crate::core::time::Timestamp;

use self::price::Price;
use self::rate::Rate;

/// Seconds of a day.
pub(crate) const DAY_S: f64 = 86_400.0;

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
    /// Something usable came; the next poll is worth its price after this long.
    Answered { next: Duration },
    /// Nothing usable came.
    Failed,
    /// The server asked to wait this long.
    Throttled { wait: Duration },
}

impl Schedule {
    /// A unit never polled, one of `count` that begin together: spread so that they are [`START_SPACING`] apart, but over
    /// no more than its longest interval. `unit` is uniform in `0.0..1.0`.
    pub(crate) fn first(every: Every, count: usize, now: Timestamp, unit: f64) -> Self {
        Self { interval: every.min(), due: spread(every, count, now, unit), failures: 0 }
    }

    /// The plan of a unit after a restart: a poll that was missed meanwhile runs once, spread like a first one.
    #[must_use]
    pub(crate) fn resumed(self, every: Every, count: usize, now: Timestamp, unit: f64) -> Self {
        let plan = self.under(every, now);
        if plan.due > now { plan } else { Self { due: spread(every, count, now, unit), ..plan } }
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
            Signal::Answered { next } => {
                let interval = every.clamp(next);
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
        // Not the present interval: a first poll among very many is spread over the longest one.
        let due = if self.failures == 0 { self.due.min(now.after(every.max())) } else { self.due };
        Self { interval, due, ..self }
    }
}

/// What a source's next poll depends on beside the source itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Terms {
    /// Nobody wrote a limit: nothing is scarce, see the module's documentation.
    Unshared { weight: f64 },
    /// One of several that share a budget, or several budgets.
    Shared {
        /// The price, in seconds of waiting for one request; where several budgets hold, of all of them together.
        theta: f64,
        /// Importance relative to the others.
        weight: f64,
        /// What a poll costs, in requests.
        cost: f64,
        /// No more often than this, so that something is left to the others: in seconds.
        interval_min_s: f64,
    },
}

impl Terms {
    /// Those of one of `sources` that share a budget, whose polls cost so many requests.
    pub(crate) fn of(
        price: &Price,
        sources: u32,
        (weight, cost): (f64, f64),
        now: Timestamp,
    ) -> Self {
        let interval_min_s = cost * price::interval_min_s(price.rate(), sources, weight);
        Self::Shared { theta: price.theta(now), weight, cost, interval_min_s }
    }

    /// The same under one more budget.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Shared { theta, weight, cost, interval_min_s },
                Self::Shared { theta: more, interval_min_s: longer, .. },
            ) => Self::Shared {
                theta: theta + more,
                weight,
                cost,
                interval_min_s: interval_min_s.max(longer),
            },
            (Self::Unshared { .. }, terms) | (terms, Self::Unshared { .. }) => terms,
        }
    }

    /// The price, if there is one: in seconds of waiting for one request.
    pub(crate) fn theta(self) -> Option<f64> {
        match self {
            Self::Unshared { .. } => None,
            Self::Shared { theta, .. } => Some(theta),
        }
    }

    /// The waiting at which a source of that mean rate is polled, in seconds.
    pub(crate) fn need(&self, mean: f64, every: Every) -> f64 {
        match *self {
            Self::Unshared { weight } => price::unshared(every, weight),
            Self::Shared { theta, weight, cost, .. } => price::need(theta * cost, weight, mean),
        }
    }

    /// The longest interval for what has been watched for `age`. Where nothing is scarce, what is new is looked at
    /// closely: its intervals grow by half each time, from MIN on, until something is known of it.
    fn interval_max(&self, age: Duration, every: Every) -> Duration {
        match self {
            Self::Unshared { .. } => every.max().min(age / 2),
            Self::Shared { .. } => every.max(),
        }
    }

    fn interval_min(&self) -> Duration {
        match *self {
            Self::Unshared { .. } => Duration::ZERO,
            Self::Shared { interval_min_s, .. } => {
                Duration::try_from_secs_f64(interval_min_s).unwrap_or_default()
            }
        }
    }
}

/// The most by which an interval is shortened at random, so that what began together does not stay together.
const JITTER: f64 = 0.05;

/// How long after a poll at `now` the next one is worth its price. A person's bounds always hold. `unit` is uniform in
/// `0.0..1.0`.
pub(crate) fn interval(
    rate: &Rate,
    terms: &Terms,
    every: Every,
    now: Timestamp,
    unit: f64,
) -> Duration {
    if let Every::Fixed(every) = every {
        return every;
    }
    let need = terms.need(rate.mean(now), every);
    let found = wait::wait(rate, need, now, terms.interval_max(rate.age(now), every));
    // A robot is met at its minute.
    let jitter = if rate.is_locked() { 0.0 } else { JITTER * unit.clamp(0.0, 1.0) };
    let shortened = Duration::try_from_secs_f64(seconds(found) * (1.0 - jitter)).unwrap_or(found);
    every.clamp(shortened.max(terms.interval_min()))
}

fn spread(every: Every, count: usize, now: Timestamp, unit: f64) -> Timestamp {
    now.after(first_window(every, count).mul_f64(unit.clamp(0.0, 1.0)))
}

/// Within how long the first poll of one of so many comes that begin together.
pub(crate) fn first_window(every: Every, count: usize) -> Duration {
    start_window(count).min(every.max())
}

/// Over how long the polls of so many that begin together are spread, if nothing bounds it.
pub(crate) fn start_window(count: usize) -> Duration {
    let others = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    START_SPACING.saturating_mul(others)
}

/// A duration in seconds.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A moment and so many seconds later, to the millisecond.
fn later(at: Timestamp, seconds: f64) -> Timestamp {
    at.after(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// The next numbers of a stored row of them.
fn taken<const N: usize>(numbers: &mut impl Iterator<Item = f32>) -> Option<[f32; N]> {
    let mut row = [0.0; N];
    for number in &mut row {
        *number = next(numbers)?;
    }
    Some(row)
}

/// The next one: a count, so not below zero.
fn next(numbers: &mut impl Iterator<Item = f32>) -> Option<f32> {
    numbers.next().filter(|number| number.is_finite() && *number >= 0.0)
}
