//! How likely a change is, given how long ago the last one was: bursts, and pauses that repeat.
//!
//! After a change more changes are likely, and the less so the longer ago it was. Seismology calls it Omori's law
//! (1894; Utsu's modified form, 1961): aftershocks come at a rate proportional to 1/(t + c). Over public repositories the
//! same holds, so [`expected`] starts every source with ½ + 1 h / (t + 5 min) times its average rate. From then on it
//! learns its own factors, one for each stretch of time since the last change: changes seen there, over changes that the
//! average rate and the hour of the week explain. That is a piecewise constant hazard (occurrences over exposure, as in
//! life tables), shrunk towards Omori's law as if [`PRIOR`] changes had been expected and found to follow it. A robot that
//! comes every four hours shows as a peak at four hours.
//!
//! Changes less than [`CLUMP_S`] apart are one clump: a poll finds all of them or none, so they tell nothing of when to
//! poll, only of how much is at stake; each counts for the gap before its clump. A weight of [`EVEN`] stays with the
//! plain average: what was learned from a few gaps is not to be trusted all the way.
//!
//! Against one decaying burst term, at equal requests: mean delay 0.484 instead of 0.520 of a fixed interval's, the 95th
//! percentile 0.755 instead of 0.757, the mean of source means 0.91 as before (means over three subsets of sources, two
//! budgets). Two burst terms (1 h and 8 h) came to 0.512; weights for burst and average learned for each source, by
//! expectation maximisation, to 0.505 at best.

use super::profile::narrow;

/// Where the stretches begin, in seconds since the last clump. The last one has no end.
const EDGES: [f64; BINS] = [
    0.0, 300.0, 600.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0, 5_400.0, 7_200.0, 9_000.0, 10_800.0,
    12_600.0, 14_400.0, 16_200.0, 18_000.0, 21_600.0, 28_800.0, 43_200.0, 64_800.0, 86_400.0,
    129_600.0, 172_800.0, 345_600.0, 691_200.0,
];
const BINS: usize = 24;
/// Expected changes that the prior counts for, in each stretch.
const PRIOR: f64 = 10.0;
/// The share of a prediction that does not depend on the gap.
const EVEN: f64 = 0.2;
/// Changes closer than this to the first one are one clump, in seconds.
pub(crate) const CLUMP_S: f64 = 60.0;
/// What is learned of all stretches together weighs at most as much as this many expected changes.
const MEMORY_MAX: f32 = 300.0;

/// Changes found and changes expected, by the time since the clump before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gaps {
    found: [f32; BINS],
    expected: [f32; BINS],
    /// The stretch that the last clump ended: what still joins it counts there.
    current: u8,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { found: [0.0; BINS], expected: [0.0; BINS], current: 0 }
    }
}

impl Gaps {
    /// Says that `changes` were to be expected while the gap grew from `gap_s` on, within one stretch.
    pub(crate) fn expect(&mut self, gap_s: f64, changes: f64) {
        if let Some(expected) = self.expected.get_mut(bin(gap_s)) {
            *expected += narrow(changes);
        }
    }

    /// A change that begins a clump, `gap_s` after the one before began.
    pub(crate) fn begin(&mut self, gap_s: f64, weight: f64) {
        self.current = u8::try_from(bin(gap_s)).unwrap_or(u8::MAX);
        self.join(weight);
        self.forget();
    }

    /// A change that joins the clump.
    pub(crate) fn join(&mut self, weight: f64) {
        if let Some(found) = self.found.get_mut(usize::from(self.current)) {
            *found += narrow(weight);
        }
    }

    /// How many times the average rate a source changes at, `gap_s` after its last clump began.
    pub(crate) fn factor(&self, gap_s: f64) -> f64 {
        let bin = bin(gap_s);
        let number =
            |of: &[f32; BINS]| of.get(bin).map_or(0.0, |number| f64::from(*number).max(0.0));
        let learned =
            (number(&self.found) + PRIOR * expected(bin)) / (number(&self.expected) + PRIOR);
        EVEN + (1.0 - EVEN) * learned
    }

    fn forget(&mut self) {
        let total: f32 = self.expected.iter().sum();
        if total > MEMORY_MAX {
            let kept = MEMORY_MAX / total;
            for number in self.found.iter_mut().chain(&mut self.expected) {
                *number *= kept;
            }
        }
    }

    /// Its numbers, for the store.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f32> {
        self.found.into_iter().chain(self.expected).chain([f32::from(self.current)])
    }

    /// What [`Gaps::numbers`] gave, read again.
    pub(crate) fn read(numbers: &mut impl Iterator<Item = f32>) -> Option<Self> {
        let (found, expected) = (super::taken(numbers)?, super::taken(numbers)?);
        let current = super::next(numbers)?;
        let current = (0..u8::try_from(BINS).ok()?).find(|bin| f32::from(*bin) >= current)?;
        Some(Self { found, expected, current })
    }
}

/// The factor for a source of which no change was seen yet.
pub(crate) const UNSEEN: f64 = EVEN + (1.0 - EVEN) * 0.5;

/// Seconds until the gap enters its next stretch; infinite in the last one.
pub(super) fn left_of_stretch(gap_s: f64) -> f64 {
    EDGES.get(bin(gap_s) + 1).map_or(f64::INFINITY, |edge| (edge - gap_s).max(0.001))
}

fn bin(gap_s: f64) -> usize {
    EDGES.partition_point(|edge| *edge <= gap_s).saturating_sub(1)
}

/// Omori's law in the middle of a stretch, relative to the average rate.
fn expected(bin: usize) -> f64 {
    let from = EDGES.get(bin).copied().unwrap_or(0.0);
    let middle = EDGES.get(bin + 1).map_or(from * 1.5, |to| f64::midpoint(from, *to));
    0.5 + 3_600.0 / (middle + 300.0)
}
