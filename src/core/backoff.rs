//! Delays after failures: exponential with full jitter, a pure function of policy, attempt and random.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// How delays grow. Checked at construction: `0 < first <= max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackoffPolicy {
    first: Duration,
    max: Duration,
}

impl BackoffPolicy {
    /// `None` unless `0 < first <= max`.
    pub(crate) fn try_new(first: Duration, max: Duration) -> Option<Self> {
        (!first.is_zero() && first <= max).then_some(Self { first, max })
    }

    /// The bound of the first delay.
    #[cfg(test)]
    pub(crate) fn first(&self) -> Duration {
        self.first
    }

    /// The bound of every delay.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The bound of the delay after `failures` earlier failures: `min(max, first * 2^failures)`.
    pub(crate) fn bound(&self, failures: u32) -> Duration {
        let factor = 1_u128.checked_shl(failures).unwrap_or(u128::MAX);
        let nanos = self.first.as_nanos().saturating_mul(factor);
        if nanos < self.max.as_nanos() { Duration::from_nanos_u128(nanos) } else { self.max }
    }
}

/// The delay after `failures` earlier failures: uniform in `0 ..= bound`. `unit` is uniform in `0.0..1.0`.
///
/// "Full jitter": Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.
pub(crate) fn delay(policy: &BackoffPolicy, failures: u32, unit: f64) -> Duration {
    let bound = policy.bound(failures);
    // What is no number, or no duration by rounding, waits as long as may be.
    Duration::try_from_secs_f64(bound.as_secs_f64() * unit.max(0.0))
        .map_or(bound, |it| it.min(bound))
}
