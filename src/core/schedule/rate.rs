//! How fast a source is changing: its long-run rate, times the hour of the week, times what the time since its last
//! change says, times the minute of the hour for those that keep to one.
//!
//! All of it moves only when a change is seen. A poll that finds nothing costs no memory and no write, because time alone
//! says how much older the counts have become.

use std::sync::Arc;
use std::time::Duration;

use crate::core::time::Timestamp;

use super::gap::{self, CLUMP_S, Gaps};
use super::minute::{self, Minutes};
use super::profile::{self, Profile};
use super::{DAY_S, later, seconds};

/// How long a change counts for the long-run rate, in seconds: two weeks.
const MEMORY_S: f64 = 14.0 * DAY_S;
/// What is assumed of a source that nobody knows: half a change in half its pace, so one a day if it does not say. A
/// single real change moves it at once, and silence wears it down.
const PRIOR_CHANGES: f64 = 0.5;
/// How far apart news is if nobody says so, in seconds.
pub(super) const PACE_S: f64 = DAY_S;
/// A word on that is taken within these bounds, in seconds: from five minutes to a month.
const PACES_S: std::ops::RangeInclusive<f64> = 300.0..=30.0 * DAY_S;
/// The newest changes of one poll that are looked at.
const CHANGES_MAX: usize = 1_000;
/// More changes than this at once are an import, not a habit: the rest does not count.
const CLUMP_CHANGES_MAX: f64 = 20.0;
/// Changes without times of their own are put half as long as this before the poll that found them, at most.
const GUESS_S_MAX: f64 = 2.0 * 3_600.0;
/// A time known less exactly than this, in seconds, says nothing of the minute.
const MINUTE_KNOWN_S: f64 = 60.0;
/// Beyond this, exposure is not cut by the hour any more, in seconds.
const EXPOSURE_S_MAX: f64 = 16.0 * DAY_S;

/// What a successful poll found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Found<'times> {
    Nothing,
    /// Something changed since the poll before, nobody knows when.
    Changes,
    /// It changed at these times, in any order.
    ChangesAt(&'times [Timestamp]),
}

/// What is learned of when one source changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rate {
    /// Since when it has been watched, or its past is known.
    pub(super) born: Timestamp,
    /// Its changes, each counting e^(-age / [`MEMORY_S`]), as of `counted`.
    pub(super) count: f64,
    /// When the last change was.
    pub(super) counted: Timestamp,
    /// How far apart news is by the source's own word, in seconds: what is assumed of it before it is known.
    pub(super) pace_s: f64,
    /// Nothing until something changes: a source that never does takes no room.
    pub(super) habits: Option<Arc<Habits>>,
}

/// None of its numbers is ever NaN.
impl Eq for Rate {}

/// When a source that changes does so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Habits {
    /// When the last clump of changes began, and how many are in it.
    pub(super) clump: Timestamp,
    pub(super) clump_changes: f64,
    pub(super) week: Profile,
    pub(super) gaps: Gaps,
    pub(super) minutes: Minutes,
}

/// A stretch of time in which the rate is taken to be constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Changes a second.
    pub(crate) rate: f64,
    /// How long it lasts, in seconds.
    pub(crate) length_s: f64,
}

impl Rate {
    /// Of a source watched from now on.
    pub(crate) fn new(born: Timestamp) -> Self {
        Self { born, count: 0.0, counted: born, pace_s: PACE_S, habits: None }
    }

    /// The same of a source that says how far apart its news is.
    #[must_use]
    pub(crate) fn paced(self, pace: Duration) -> Self {
        Self { pace_s: seconds(pace).clamp(*PACES_S.start(), *PACES_S.end()), ..self }
    }

    /// The same with what another one knows of the pace.
    #[must_use]
    pub(crate) fn paced_as(self, other: &Self) -> Self {
        Self { pace_s: other.pace_s, ..self }
    }

    /// Of a source whose past is known from its first answer: the times its items say they changed at. Those later than
    /// `now` are taken for `now`.
    pub(crate) fn warm(now: Timestamp, times: &[Timestamp]) -> Self {
        let mut newest: Vec<_> = times.iter().map(|at| (*at).min(now)).collect();
        newest.sort_unstable();
        let from = newest.len().saturating_sub(CHANGES_MAX);
        let newest = newest.get(from..).unwrap_or_default();
        let mut rate = Self::new(newest.first().copied().unwrap_or(now));
        rate.observe(rate.born, now, Found::ChangesAt(newest));
        rate
    }

    /// Learns from a successful poll at `now`, the one before having been at `since`.
    pub(crate) fn observe(&mut self, since: Timestamp, now: Timestamp, found: Found<'_>) {
        let since = since.min(now);
        match found {
            Found::Nothing => {}
            Found::Changes => {
                // The mean of a Poisson count that is known to be one at least: one step of expectation maximisation.
                let expected = (self.mean(since) * seconds(now.since(since))).clamp(1e-9, 20.0);
                let changes = expected / (1.0 - (-expected).exp());
                let width = seconds(now.since(since)).min(GUESS_S_MAX);
                let at = later(since, seconds(now.since(since)) - width / 2.0);
                self.add(at, changes, self.mean(since), width <= MINUTE_KNOWN_S);
            }
            Found::ChangesAt(times) => {
                let mut times: Vec<_> = times.iter().map(|at| (*at).clamp(since, now)).collect();
                times.sort_unstable();
                let from = times.len().saturating_sub(CHANGES_MAX);
                let mean = self.mean(since);
                for at in times.into_iter().skip(from) {
                    self.add(at, 1.0, mean, true);
                }
            }
        }
    }

    /// Counts a change. `mean` is the long-run rate before it.
    fn add(&mut self, at: Timestamp, weight: f64, mean: f64, to_the_minute: bool) {
        let at = at.max(self.counted);
        let age = seconds(at.since(self.counted));
        let weight = match &mut self.habits {
            None => {
                let mut habits = Habits::new(at, weight);
                habits.week.add(at, 0.0, weight);
                self.habits = Some(Arc::new(habits));
                weight
            }
            Some(habits) => Arc::make_mut(habits).add(at, age, weight, mean, to_the_minute),
        };
        self.count = self.count * (-age / MEMORY_S).exp() + weight;
        self.counted = at;
    }

    /// The long-run rate, in changes a second: a Gamma-Poisson estimate, decayed count over decayed exposure.
    pub(crate) fn mean(&self, now: Timestamp) -> f64 {
        let count = self.count * (-seconds(now.since(self.counted)) / MEMORY_S).exp();
        let exposure = MEMORY_S * (1.0 - (-seconds(now.since(self.born)) / MEMORY_S).exp());
        (PRIOR_CHANGES + count) / (PRIOR_CHANGES * self.pace_s + exposure)
    }

    /// What is to be expected from `at` on, with `mean` from [`Rate::mean`]: the rate, and until when it holds.
    pub(crate) fn stretch(&self, at: Timestamp, mean: f64) -> Stretch {
        let Some(habits) = &self.habits else {
            return Stretch { rate: mean * gap::UNSEEN, length_s: f64::INFINITY };
        };
        let gap_s = seconds(at.since(habits.clump));
        let hour_s = profile::left_of_hour(at).min(gap::left_of_stretch(gap_s));
        let rate = mean * habits.week.factor(at) * habits.gaps.factor(gap_s);
        if habits.minutes.is_locked() {
            let length_s = hour_s.min(minute::left_of_minute(at));
            return Stretch { rate: rate * habits.minutes.factor(at), length_s };
        }
        Stretch { rate, length_s: hour_s }
    }

    /// Since when it has been watched, or its past is known.
    pub(crate) fn born(&self) -> Timestamp {
        self.born
    }

    /// For how long.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        now.since(self.born)
    }

    /// Whether it keeps to its minutes of the hour.
    pub(crate) fn is_locked(&self) -> bool {
        self.habits.as_ref().is_some_and(|habits| habits.minutes.is_locked())
    }

    /// When it last changed, as far as is known.
    pub(crate) fn last_change(&self) -> Option<Timestamp> {
        self.habits.as_ref().map(|_| self.counted)
    }

    /// The factors that make the present rate out of the mean.
    pub(crate) fn factors(&self, at: Timestamp) -> Factors {
        let Some(habits) = &self.habits else {
            return Factors { hour: 1.0, gap: gap::UNSEEN, minute: None };
        };
        Factors {
            hour: habits.week.factor(at),
            gap: habits.gaps.factor(seconds(at.since(habits.clump))),
            minute: habits
                .minutes
                .favourite()
                .map(|at_minute| (at_minute, habits.minutes.factor(at))),
        }
    }

    /// The hours of a weekday and of a day of the weekend, in UTC, relative to the mean over the week.
    pub(crate) fn week(&self) -> [f64; profile::SLOTS] {
        std::array::from_fn(|slot| {
            self.habits.as_ref().map_or(1.0, |habits| habits.week.factor_of(slot))
        })
    }
}

/// See [`Rate::factors`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    /// Of the hour of the week.
    pub(crate) hour: f64,
    /// Of the time since the last change.
    pub(crate) gap: f64,
    /// The minute a source keeps to, if it does, and the factor now.
    pub(crate) minute: Option<(usize, f64)>,
}

impl Habits {
    /// Of a source whose first change is this one. What came before it is not known, so the gap counts for nothing.
    fn new(at: Timestamp, weight: f64) -> Self {
        let mut minutes = Minutes::default();
        minutes.add(at, 0.0);
        let (week, gaps) = (Profile::default(), Gaps::default());
        Self { clump: at, clump_changes: weight, week, gaps, minutes }
    }

    /// Counts a change `age_s` after the one before; how much of it counts.
    fn add(
        &mut self,
        at: Timestamp,
        age_s: f64,
        weight: f64,
        mean: f64,
        to_the_minute: bool,
    ) -> f64 {
        let gap_s = seconds(at.since(self.clump));
        let weight = if gap_s > CLUMP_S {
            let weight = weight.min(CLUMP_CHANGES_MAX);
            self.expose(gap_s, mean);
            self.gaps.begin(gap_s, weight);
            if to_the_minute {
                self.minutes.add(at, gap_s);
            }
            (self.clump, self.clump_changes) = (at, weight);
            weight
        } else {
            let weight = weight.min(CLUMP_CHANGES_MAX - self.clump_changes).max(0.0);
            self.gaps.join(weight);
            self.clump_changes += weight;
            weight
        };
        self.week.add(at, age_s, weight);
        weight
    }

    /// Notes what the mean rate and the hour of the week let expect since the last clump.
    fn expose(&mut self, gap_s: f64, mean: f64) {
        let mut past_s = 0.0;
        while past_s < gap_s {
            let at = later(self.clump, past_s);
            let step_s = if past_s < EXPOSURE_S_MAX {
                profile::left_of_hour(at).min(gap::left_of_stretch(past_s)).min(gap_s - past_s)
            } else {
                gap_s - past_s
            };
            self.gaps.expect(past_s, mean * self.week.factor(at) * step_s);
            past_s += step_s.max(0.001);
        }
    }
}
