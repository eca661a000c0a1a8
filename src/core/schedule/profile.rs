//! When in the week a source changes: 48 slots of an hour, those of a weekday and those of a day of the weekend, in UTC.
//!
//! Not 168: the days of a working week are alike, and so a slot learns five times as fast. Neighbours are smoothed with
//! weights ¼ ½ ¼, and [`PRIOR`] imaginary changes are spread evenly over the week, so that a source that has shown
//! little is taken to be flat.

use crate::core::time::Timestamp;

use super::seconds;

/// Hours of a weekday, then of a day of the weekend.
pub(crate) const SLOTS: usize = 48;
const DAY: usize = 24;
const HOUR_S: i64 = 3_600;
/// As many real changes weigh as much as what is assumed.
const PRIOR: f64 = 30.0;
/// How long a change is remembered, in seconds: six weeks.
const MEMORY_S: f64 = 42.0 * 86_400.0;

/// How many changes fell into each hour of the week, the older ones counting less.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    counts: [f32; SLOTS],
    total: f32,
}

impl Default for Profile {
    fn default() -> Self {
        Self { counts: [0.0; SLOTS], total: 0.0 }
    }
}

impl Profile {
    /// Counts a change at `at`, the one before having been `gap_s` seconds earlier.
    pub(crate) fn add(&mut self, at: Timestamp, gap_s: f64, weight: f64) {
        fade(&mut self.counts, &mut self.total, gap_s / MEMORY_S);
        if let Some(count) = self.counts.get_mut(slot(at)) {
            *count += narrow(weight);
            self.total += narrow(weight);
        }
    }

    /// How many times the average rate the source changes at in the hour of `at`. The mean over a week is 1.
    pub(crate) fn factor(&self, at: Timestamp) -> f64 {
        self.factor_of(slot(at))
    }

    /// The same for a slot: 0 to 23 are the hours of a weekday, 24 to 47 those of a day of the weekend.
    pub(crate) fn factor_of(&self, slot: usize) -> f64 {
        let day = if slot < DAY { 0 } else { DAY };
        let count =
            |hour: usize| self.counts.get(day + hour % DAY).map_or(0.0, |count| f64::from(*count));
        let hour = slot % DAY;
        let near = count(hour + DAY - 1) + 2.0 * count(hour) + count(hour + 1);
        // The share of a week that this slot covers.
        let share = if day == 0 { 5.0 / 168.0 } else { 2.0 / 168.0 };
        (near / 4.0 + PRIOR * share) / (share * (f64::from(self.total) + PRIOR))
    }

    /// Its numbers, for the store.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f32> {
        self.counts.into_iter().chain([self.total])
    }

    /// What [`Profile::numbers`] gave, read again.
    pub(crate) fn read(numbers: &mut impl Iterator<Item = f32>) -> Option<Self> {
        Some(Self { counts: super::taken(numbers)?, total: super::next(numbers)? })
    }
}

/// Multiplies by `e^-age`, which forgets; an age below zero counts as none.
pub(super) fn fade(counts: &mut [f32], total: &mut f32, age: f64) {
    let kept = narrow((-age.max(0.0)).exp());
    for count in counts {
        *count *= kept;
    }
    *total *= kept;
}

/// Learned numbers are kept with seven digits: half the memory, and none of them is known that well.
pub(super) fn narrow(number: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "digits are lost on purpose; no value overflows"
    )]
    let narrowed = number.clamp(-1e30, 1e30) as f32;
    narrowed
}

/// 1970-01-01 was a Thursday.
fn slot(at: Timestamp) -> usize {
    let hours = at.as_seconds().div_euclid(HOUR_S);
    let weekday = (hours.div_euclid(24) + 3).rem_euclid(7);
    let hour = usize::try_from(hours.rem_euclid(24)).unwrap_or(0);
    if weekday >= 5 { DAY + hour } else { hour }
}

/// Seconds from `at` to the end of its hour: more than 0, at most 3,600.
pub(super) fn left_of_hour(at: Timestamp) -> f64 {
    left_of(at, HOUR_S)
}

/// Seconds from `at` to the next whole multiple of `step_s` since the epoch: more than 0, at most `step_s`.
pub(super) fn left_of(at: Timestamp, step_s: i64) -> f64 {
    let past = at.as_millis().rem_euclid(step_s * 1000);
    seconds(std::time::Duration::from_millis(u64::try_from(step_s * 1000 - past).unwrap_or(1)))
}
