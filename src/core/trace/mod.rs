//! A record of when sources changed, and what polling them would have come to: the scheduler's own measure.

pub(crate) mod figures;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod rivals;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::core::time::Timestamp;

/// What the replayed sources are bounded to.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_secs(10);
/// See [`INTERVAL_MIN`].
pub(crate) const INTERVAL_MAX: Duration = Duration::from_hours(24);

/// Sources and the times of their changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trace {
    /// Each source's changes in order of time, in the order in which the sources were first named. Some never change:
    /// they only cost requests.
    pub(crate) sources: Vec<Vec<Timestamp>>,
}

/// The time that is replayed: from the first moment up to, but without, the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Span {
    /// `None` unless it begins before it ends.
    pub(crate) fn try_new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// How long it is.
    pub(crate) fn length(self) -> Duration {
        self.to.since(self.from)
    }
}

impl Trace {
    /// The whole days, in UTC, that hold all changes; `None` if nothing ever changes.
    pub(crate) fn days(&self) -> Option<Span> {
        const DAY_MS: i64 = 86_400_000;
        let first = self.sources.iter().filter_map(|changes| changes.first()).min()?;
        let last = self.sources.iter().filter_map(|changes| changes.last()).max()?;
        let day = |at: &Timestamp, more: i64| {
            let days = at.as_millis().div_euclid(DAY_MS).saturating_add(more);
            Timestamp::from_millis(days.saturating_mul(DAY_MS))
        };
        Span::try_new(day(first, 0), day(last, 1))
    }

    /// What falls into a span. Sources without a change in it stay.
    #[must_use]
    pub(crate) fn within(&self, span: Span) -> Self {
        let inside = |changes: &Vec<Timestamp>| {
            changes.iter().copied().filter(|at| (span.from..span.to).contains(at)).collect()
        };
        Self { sources: self.sources.iter().map(inside).collect() }
    }

    /// The changes of all sources together.
    pub(crate) fn changes(&self) -> usize {
        self.sources.iter().map(Vec::len).sum()
    }
}
