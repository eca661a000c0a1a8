//! Robots on a clock: the minute of the hour at which a source changes, for those that keep to one.
//!
//! A job that runs at ten past shows as one minute of sixty holding most of the changes. Such a table says nothing of
//! people, so it counts only once it explains the past far better than chance: its log-likelihood over that of an even
//! spread must exceed [`EVIDENCE_MIN`]. On traces of public repositories it neither helps nor harms (mean delay
//! 0.483 against 0.485 of a fixed interval's); of jobs that run on the hour, every four hours or daily it cuts the mean
//! delay to a quarter (0.39 to 0.09 of a fixed interval's, one poll an hour).

use crate::core::time::Timestamp;

use super::profile::fade;

/// Minutes of an hour.
const MINUTES: usize = 60;
/// Imaginary changes spread evenly over the hour.
const PRIOR: f64 = 10.0;
/// In natural units: the past is e²⁵ times likelier with the table than without, well beyond what sixty free
/// parameters bring by chance.
const EVIDENCE_MIN: f64 = 25.0;
/// How long a change is remembered, in seconds: four weeks.
const MEMORY_S: f64 = 28.0 * 86_400.0;

/// How many changes fell into each minute of the hour, the older ones counting less.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minutes {
    counts: [f32; MINUTES],
    total: f32,
    /// Whether the source keeps to its minutes: sixty logarithms, so not asked anew for each minute of a day.
    is_locked: bool,
}

impl Default for Minutes {
    fn default() -> Self {
        Self { counts: [0.0; MINUTES], total: 0.0, is_locked: false }
    }
}

impl Minutes {
    /// Counts a clump of changes that began at `at`, the one before having begun `gap_s` seconds earlier.
    pub(crate) fn add(&mut self, at: Timestamp, gap_s: f64) {
        fade(&mut self.counts, &mut self.total, gap_s / MEMORY_S);
        if let Some(count) = self.counts.get_mut(minute(at)) {
            *count += 1.0;
            self.total += 1.0;
        }
        self.is_locked = self.evidence() > EVIDENCE_MIN;
    }

    /// Whether the source keeps to its minutes.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked
    }

    fn evidence(&self) -> f64 {
        let gain = |count: &f32| f64::from(*count) * self.factor_for(*count).ln();
        self.counts.iter().map(gain).sum()
    }

    /// How many times the average rate the source changes at in the minute of `at`.
    pub(crate) fn factor(&self, at: Timestamp) -> f64 {
        self.factor_for(self.counts.get(minute(at)).copied().unwrap_or(0.0))
    }

    /// The minute that holds most, for a person.
    pub(crate) fn favourite(&self) -> Option<usize> {
        let most = (0_usize..).zip(self.counts).max_by(|a, b| a.1.total_cmp(&b.1))?;
        self.is_locked.then_some(most.0)
    }

    fn factor_for(&self, count: f32) -> f64 {
        (f64::from(count) * 60.0 + PRIOR) / (f64::from(self.total) + PRIOR)
    }

    /// Its numbers, for the store.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f32> {
        self.counts.into_iter().chain([self.total])
    }

    /// What [`Minutes::numbers`] gave, read again.
    pub(crate) fn read(numbers: &mut impl Iterator<Item = f32>) -> Option<Self> {
        let counts = super::taken(numbers)?;
        let mut minutes = Self { counts, total: super::next(numbers)?, is_locked: false };
        minutes.is_locked = minutes.evidence() > EVIDENCE_MIN;
        Some(minutes)
    }
}

/// Unused seconds of a minute, see [`super::profile::left_of`].
pub(super) fn left_of_minute(at: Timestamp) -> f64 {
    super::profile::left_of(at, 60)
}

fn minute(at: Timestamp) -> usize {
    usize::try_from(at.as_seconds().div_euclid(60).rem_euclid(60)).unwrap_or(0)
}
