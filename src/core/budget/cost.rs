//! What a poll costs: the requests that its budgets were charged for, pages and checks too.

/// How much the last poll weighs against those before it.
const LAST: f64 = 0.25;
/// An answer that costs nothing still takes somebody's time.
const COST_MIN: f64 = 0.05;
/// Less than this from one request is one request.
const PLAIN: f64 = 0.02;

/// Requests a poll is charged for, on average over the last ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost(f64);

impl Default for Cost {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Cost {
    /// After one more poll, of so many requests.
    #[must_use]
    pub(crate) fn with(self, requests: u32) -> Self {
        Self(self.0 + (f64::from(requests) - self.0) * LAST)
    }

    /// What the next poll is expected to cost.
    pub(crate) fn expected(self) -> f64 {
        self.0.max(COST_MIN)
    }

    /// Whether it is that of most: one request.
    pub(crate) fn is_plain(self) -> bool {
        (self.0 - 1.0).abs() < PLAIN
    }
}
