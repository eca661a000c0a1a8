//! What a way of polling comes to: how many requests, and how late changes are seen.

use crate::core::time::Timestamp;

use super::Span;

const HOUR_MS: i64 = 3_600_000;

/// What is counted while a trace is replayed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    requests: u64,
    /// Seconds from each change to the poll that saw it, by source.
    delays: Vec<Vec<f64>>,
    /// Requests by clock hour, from the first one of the span.
    hours: Vec<u32>,
    first_hour: i64,
}

/// How late changes were seen, in seconds. All zero if there were none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) mean_s: f64,
    pub(crate) p50_s: f64,
    pub(crate) p95_s: f64,
    /// The mean over the sources that changed of each one's mean.
    pub(crate) per_source_mean_s: f64,
    /// The most requests in one clock hour.
    pub(crate) busiest_hour: u32,
}

impl Tally {
    pub(super) fn new(sources: usize, span: Span) -> Self {
        let first_hour = hour(span.from);
        let hours = hour(span.to).saturating_sub(first_hour).saturating_add(1);
        let hours = vec![0; usize::try_from(hours).unwrap_or(0)];
        Self { requests: 0, delays: vec![Vec::new(); sources], hours, first_hour }
    }

    pub(super) fn request(&mut self, at: Timestamp) {
        self.requests += 1;
        let place = usize::try_from(hour(at) - self.first_hour).ok();
        if let Some(count) = place.and_then(|place| self.hours.get_mut(place)) {
            *count += 1;
        }
    }

    /// Notes that changes of a source were seen at `at`.
    pub(super) fn see(&mut self, source: usize, changes: &[Timestamp], at: Timestamp) {
        if let Some(delays) = self.delays.get_mut(source) {
            delays.extend(changes.iter().map(|change| at.since(*change).as_secs_f64()));
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Sums it up.
    pub(crate) fn figures(&self) -> Figures {
        let means: Vec<f64> =
            self.delays.iter().filter(|of| !of.is_empty()).map(|of| mean(of)).collect();
        let mut all: Vec<f64> = self.delays.iter().flatten().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        Figures {
            requests: self.requests,
            mean_s: mean(&all),
            p50_s: percentile(&all, 50),
            p95_s: percentile(&all, 95),
            per_source_mean_s: mean(&means),
            busiest_hour: self.hours.iter().copied().max().unwrap_or(0),
        }
    }
}

fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(HOUR_MS)
}

fn mean(of: &[f64]) -> f64 {
    let count = u32::try_from(of.len()).unwrap_or(u32::MAX).max(1);
    of.iter().sum::<f64>() / f64::from(count)
}

/// By nearest rank: the least value that so many of a hundred do not exceed. `sorted` rises.
fn percentile(sorted: &[f64], of_hundred: usize) -> f64 {
    let rank = (sorted.len() * of_hundred).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
