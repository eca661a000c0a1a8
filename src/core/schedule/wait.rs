//! When to poll: as soon as the waiting of changes still unseen is expected to reach a price.
//!
//! Let λ(s) be the rate expected at age s after a poll, L(u) = ∫₀ᵘ λ the changes unseen at age u, and A(u) = ∫₀ᵘ L the
//! seconds they have waited together. The rule is to poll at the first u with A(u) ≥ need.
//!
//! For a constant rate that is u = √(2·need/λ), the square-root rule, which minimises the waiting of all changes for a
//! number of requests (Sia and Cho, *Efficient Monitoring Algorithm for Fast News Alerts*, 2007). For any known λ a cycle
//! costs twice the price, and any other plan pays at least the price within it, by a request or by waiting: the rule is
//! never worse than twice the best (Dooly, Goldman and Scott's argument for acknowledgements, JACM 2001).
//!
//! λ is constant in pieces here, so that A is a parabola in each and its root has a closed form; no iteration is needed.

use std::time::Duration;

use crate::core::time::Timestamp;

use super::rate::{Rate, Stretch};
use super::{DAY_S, later, seconds};

/// Beyond this, in seconds, the last piece is taken to go on for ever: nobody knows that far ahead.
const WALK_S_MAX: f64 = 8.0 * DAY_S;

/// Changes expected but not seen yet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pending {
    /// How many.
    pub(crate) unseen: f64,
    /// Seconds they have waited, together.
    pub(crate) waiting: f64,
}

impl Pending {
    /// After `age_s` more seconds at a constant rate.
    #[must_use]
    pub(crate) fn after(self, rate: f64, age_s: f64) -> Self {
        Self {
            unseen: self.unseen + rate * age_s,
            waiting: self.waiting + self.unseen * age_s + rate * age_s * age_s / 2.0,
        }
    }

    /// In how many seconds at a constant rate the waiting reaches `need`: the root of a parabola, written so that
    /// nothing cancels. Infinite if it never does.
    pub(crate) fn until(self, rate: f64, need: f64) -> f64 {
        let left = need - self.waiting;
        if left <= 0.0 {
            return 0.0;
        }
        let root = (self.unseen * self.unseen + 2.0 * rate * left).sqrt();
        let age = 2.0 * left / (self.unseen + root);
        if age.is_nan() { f64::INFINITY } else { age }
    }
}

/// How long to wait from now until the waiting is expected to reach `need` seconds; at most `max`.
pub(crate) fn wait(rate: &Rate, need: f64, now: Timestamp, max: Duration) -> Duration {
    let mean = rate.mean(now);
    let age_s = walk(|age_s| rate.stretch(later(now, age_s), mean), need, seconds(max)).0;
    Duration::try_from_secs_f64(age_s).unwrap_or(max).min(max)
}

/// What is expected to be unseen `age` after a poll at `since`.
pub(crate) fn pending(rate: &Rate, since: Timestamp, age: Duration) -> Pending {
    let mean = rate.mean(since);
    walk(|age_s| rate.stretch(later(since, age_s), mean), f64::INFINITY, seconds(age)).1
}

/// Goes from stretch to stretch until the waiting reaches `need` or the age `max_s`; the age, and what is unseen then.
fn walk(stretch: impl Fn(f64) -> Stretch, need: f64, max_s: f64) -> (f64, Pending) {
    let (mut age_s, mut pending) = (0.0, Pending::default());
    loop {
        let Stretch { rate, length_s } = stretch(age_s);
        let left_s = max_s - age_s;
        let is_last = length_s >= left_s || age_s >= WALK_S_MAX;
        let step_s = if is_last { left_s } else { length_s.max(0.001) };
        let reached = pending.until(rate, need);
        if reached <= step_s || is_last {
            let step_s = reached.min(step_s).max(0.0);
            return (age_s + step_s, pending.after(rate, step_s));
        }
        pending = pending.after(rate, step_s);
        age_s += step_s;
    }
}
