//! What else a poller could do with as many requests: a fixed interval, and the rule that most adaptive pollers use.
//!
//! Each has one free parameter, which is solved so that the number of requests is the same within one per cent.

use std::time::Duration;

use crate::core::time::Timestamp;

use super::figures::Tally;
use super::{INTERVAL_MAX, INTERVAL_MIN, Span, Trace};

/// Halvings of the range in which a parameter lies: enough for a millionth of it.
const STEPS: u32 = 40;
/// Of the number of requests.
const TOLERANCE: f64 = 0.002;

/// The same interval for all, their polls spread evenly over it.
pub(crate) fn fixed(trace: &Trace, span: Span, requests: u64) -> Tally {
    let sources = u32::try_from(trace.sources.len()).unwrap_or(u32::MAX).max(1);
    solve(requests, span.length(), |interval| {
        alone(trace, span, |index| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let first = interval.mul_f64(f64::from(index) / f64::from(sources));
            (first, move |_: bool| interval)
        })
    })
}

/// A change halves the interval, a poll that finds nothing makes it half as long again, between ten seconds and a
/// ceiling.
pub(crate) fn halve_grow(trace: &Trace, span: Span, requests: u64) -> Tally {
    let sources = u32::try_from(trace.sources.len()).unwrap_or(u32::MAX).max(1);
    solve(requests, span.length().max(INTERVAL_MAX), |ceiling| {
        alone(trace, span, |index| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let first = ceiling.mul_f64(f64::from(index) / f64::from(sources));
            let mut interval = ceiling;
            let step = move |changed: bool| {
                let next = if changed { interval / 2 } else { interval.saturating_mul(3) / 2 };
                interval = next.min(ceiling).max(INTERVAL_MIN);
                interval
            };
            (first, step)
        })
    })
}

/// Replays each source by itself: they share nothing. `plan` gives a source's wait for its first poll and the rule that
/// says, whether a poll found a change, how long to wait for the next.
fn alone<Step: FnMut(bool) -> Duration>(
    trace: &Trace,
    span: Span,
    plan: impl Fn(usize) -> (Duration, Step),
) -> Tally {
    let mut tally = Tally::new(trace.sources.len(), span);
    for (index, changes) in trace.sources.iter().enumerate() {
        let (first, mut step) = plan(index);
        let (mut now, mut unseen) = (span.from.after(first), changes.as_slice());
        while now < span.to {
            tally.request(now);
            let seen = seen_at(&mut unseen, now);
            tally.see(index, seen, now);
            now = now.after(step(!seen.is_empty()).max(Duration::from_millis(1)));
        }
        tally.see(index, unseen, now);
    }
    tally
}

fn seen_at<'trace>(unseen: &mut &'trace [Timestamp], now: Timestamp) -> &'trace [Timestamp] {
    let count = unseen.partition_point(|at| *at <= now);
    let (seen, later) = unseen.split_at_checked(count).unwrap_or_default();
    *unseen = later;
    seen
}

/// The run whose number of requests is nearest to the one wanted, by bisection: a longer time means fewer requests.
fn solve(requests: u64, most: Duration, run: impl Fn(Duration) -> Tally) -> Tally {
    let wanted = number(requests);
    let off = |tally: &Tally| (number(tally.requests()) / wanted.max(1.0)).max(1e-9).ln();
    // In logarithms of seconds, because the time may lie anywhere between a second and years.
    let (mut short, mut long) = (0.0_f64, most.as_secs_f64().max(1.0).ln());
    let mut best: Option<Tally> = None;
    for _ in 0..STEPS {
        let middle = f64::midpoint(short, long);
        let tally = run(Duration::try_from_secs_f64(middle.exp()).unwrap_or(most));
        let error = off(&tally);
        (short, long) = if error > 0.0 { (middle, long) } else { (short, middle) };
        if best.as_ref().is_none_or(|best| error.abs() < off(best).abs()) {
            best = Some(tally);
        }
        if error.abs() < TOLERANCE {
            break;
        }
    }
    best.unwrap_or_else(|| run(most))
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
