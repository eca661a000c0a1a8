//! One price for all sources of a budget: how many seconds of waiting a request must save to be worth it.
//!
//! The same price for all is the condition of optimality of the shared problem: no request saves more elsewhere. It is
//! found while running: spending above the budget raises it, below lowers it,
//!
//! θ = θ₀ · e^(2 · overdraft / (B·M)),
//!
//! with B the average to spend, and M one day. Requests go as θ^(-½), so that with y = overdraft/(B·M) spending is R·e^(-y):
//! it settles where it equals B, with the time constant M, whatever the rates are. A start wrong by a factor k costs
//! (ln k)/2 days of budget once. That is dual ascent with the overdraft as the dual variable. Forcing each hour to be
//! spent exactly instead costs 15 to 20 % more delay.

use crate::core::time::Timestamp;

use super::{DAY_S, Every, seconds};

/// How long over- and underspending take to even out, in seconds.
const EVEN_OUT_S: f64 = DAY_S;
/// An overdraft beyond this many days of budget moves the price no further, so that what happened once is forgotten.
const OVERDRAFT_DAYS_MAX: f64 = 3.0;
/// How far quiet sources are favoured over busy ones. At 0, all changes are equal, and quiet sources wait longer than on
/// a plain timer; at 1, all sources are. In between, the interval goes as rate^(-(1 - κ)/2).
const KAPPA: f64 = 0.55;
/// Never more than this many times the average within a clock hour.
const HOUR_FACTOR_MAX: f64 = 1.25;
/// No source takes a greater share of what several share, see [`interval_min_s`].
const SHARE_MAX: f64 = 0.2;
/// How fast a source is expected to change in its quiet hours, where most of its polls are, relative to its mean.
const QUIET: f64 = 0.8;
/// What a price begins with leaves at least this part of the budget to those that adapt.
const LEFT_MIN: f64 = 0.1;
const HOUR_MS: i64 = 3_600_000;

/// The price of a request, and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price {
    /// Requests a second to spend on average.
    rate: f64,
    /// The price of a budget that is spent exactly, as far as was known: in seconds of waiting.
    start: f64,
    /// Requests spent beyond the average; negative below it.
    overdraft: f64,
    /// When the overdraft was that.
    at: Timestamp,
    /// The clock hour that `spent` counts in, in hours since the epoch.
    hour: i64,
    spent: f64,
}

impl Price {
    /// Of a budget of `rate` requests a second on average, with the price to begin with, from [`fair`].
    pub(crate) fn new(rate: f64, start: f64, now: Timestamp) -> Self {
        let (rate, start) = (positive(rate), positive(start));
        Self { rate, start, overdraft: 0.0, at: now, hour: hour(now), spent: 0.0 }
    }

    /// The same budget after sources were added or removed, or with another average.
    #[must_use]
    pub(crate) fn renewed(self, rate: f64, start: f64) -> Self {
        let days = self.overdraft / (self.rate * EVEN_OUT_S);
        let (rate, start) = (positive(rate), positive(start));
        Self { rate, start, overdraft: days * rate * EVEN_OUT_S, ..self }
    }

    /// The same after a restart: what was overspent by `kept` seconds of the whole budget at `at` is made up for
    /// meanwhile, while what was saved is not saved on.
    #[must_use]
    pub(crate) fn resumed(self, (kept, at): (f64, Timestamp), now: Timestamp) -> Self {
        let overdraft_s = if kept > 0.0 { (kept - seconds(now.since(at))).max(0.0) } else { kept };
        let most = OVERDRAFT_DAYS_MAX * EVEN_OUT_S;
        Self { overdraft: overdraft_s.clamp(-most, most) * self.rate, at: now, ..self }
    }

    /// How long the whole budget would have to rest to make up for what was overspent, in seconds; negative after
    /// saving.
    pub(crate) fn overdraft_s(&self, now: Timestamp) -> f64 {
        self.overdraft_at(now) / self.rate
    }

    /// Requests a second to spend on average.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// The price now, in seconds of waiting for one request.
    pub(crate) fn theta(&self, now: Timestamp) -> f64 {
        self.start * (2.0 * self.overdraft_at(now) / (self.rate * EVEN_OUT_S)).exp()
    }

    /// Counts what a request cost: 1, or 0 if the API does not count it.
    pub(crate) fn charge(&mut self, cost: f64, now: Timestamp) {
        let cost = if cost.is_finite() { cost.max(0.0) } else { 0.0 };
        let most = OVERDRAFT_DAYS_MAX * self.rate * EVEN_OUT_S;
        self.overdraft = (self.overdraft_at(now) + cost).clamp(-most, most);
        self.at = now;
        if self.hour != hour(now) {
            (self.hour, self.spent) = (hour(now), 0.0);
        }
        self.spent += cost;
    }

    /// Takes back what was charged for a request that cost nothing.
    pub(crate) fn refund(&mut self, now: Timestamp) {
        self.charge(0.0, now);
        self.overdraft -= 1.0;
        self.spent = (self.spent - 1.0).max(0.0);
    }

    /// When the hour's hard stop ends, if one more request of that cost would cross it: 1.25 times the average within a
    /// clock hour, though always one request.
    pub(crate) fn stopped_until(&self, cost: f64, now: Timestamp) -> Option<Timestamp> {
        let spent = if self.hour == hour(now) { self.spent } else { 0.0 };
        let most = (HOUR_FACTOR_MAX * self.rate * 3_600.0).max(1.0);
        (spent + cost > most)
            .then(|| Timestamp::from_millis(hour(now).saturating_add(1).saturating_mul(HOUR_MS)))
    }

    fn overdraft_at(&self, now: Timestamp) -> f64 {
        let most = OVERDRAFT_DAYS_MAX * self.rate * EVEN_OUT_S;
        (self.overdraft - self.rate * seconds(now.since(self.at))).clamp(-most, most)
    }
}

/// The price at which sources with these weights and mean rates spend exactly `rate` requests a second.
pub(crate) fn fair(rate: f64, sources: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut sharers = Sharers::default();
    sources.for_each(|(weight, mean)| sharers.add_adaptive(weight, Some(mean), 1.0));
    sharers.price(rate)
}

/// Who shares a budget, as far as its price depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sharers {
    count: u32,
    /// Requests a second at a price of one second, of those who adapt and whose rates are known, and how many they are.
    adaptive: (f64, f64),
    /// The others who adapt: they are taken to be like these.
    unknown: f64,
    /// Requests a second that are made at any price.
    fixed: f64,
}

impl Sharers {
    /// One more, with its weight, its mean rate, if that is known, and what a poll of it costs.
    pub(crate) fn add(&mut self, every: Every, weight: f64, (mean, cost): (Option<f64>, f64)) {
        match every {
            Every::Range { .. } => self.add_adaptive(weight, mean, cost),
            Every::Fixed(every) => {
                self.count = self.count.saturating_add(1);
                self.fixed += cost / positive(seconds(every));
            }
        }
    }

    fn add_adaptive(&mut self, weight: f64, mean: Option<f64>, cost: f64) {
        self.count = self.count.saturating_add(1);
        match mean {
            Some(mean) => {
                // Polls that cost more are made less often, by the root of it.
                self.adaptive.0 += (cost * mean * QUIET / (2.0 * need(1.0, weight, mean))).sqrt();
                self.adaptive.1 += 1.0;
            }
            None => self.unknown += 1.0,
        }
    }

    /// Together with others.
    pub(crate) fn join(&mut self, others: &Self) {
        self.count = self.count.saturating_add(others.count);
        self.adaptive.0 += others.adaptive.0;
        self.adaptive.1 += others.adaptive.1;
        self.unknown += others.unknown;
        self.fixed += others.fixed;
    }

    /// How many they are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The price at which they spend exactly `rate` requests a second: the closed form of Σ 1/uᵢ = B, with
    /// uᵢ = √(2·needᵢ/μᵢ). Where those of a fixed interval take nearly all, the others are left a tenth to begin with.
    pub(crate) fn price(&self, rate: f64) -> f64 {
        let left = (rate - self.fixed).max(rate * LEFT_MIN);
        let (requests, known) = self.adaptive;
        let each = if known > 0.0 {
            requests / known
        } else {
            // One change a day, as of whoever is not known.
            (QUIET / (2.0 * DAY_S)).sqrt()
        };
        positive((each * (known + self.unknown) / positive(left)).powi(2))
    }
}

/// The waiting at which a source is polled, in seconds: the price, less for what matters more, and more for the busy
/// by the power κ.
pub(crate) fn need(theta: f64, weight: f64, mean: f64) -> f64 {
    theta * (mean * DAY_S).max(1e-9).powf(KAPPA) / positive(weight)
}

/// The waiting at which a source is polled where nobody wrote a limit, in seconds: by the square-root rule, what a source
/// that changes once a day piles up within the geometric mean of MIN and MAX. No source is favoured, because none takes
/// anything from another.
pub(crate) fn unshared(every: Every, weight: f64) -> f64 {
    seconds(every.min()) * seconds(every.max()) / (2.0 * DAY_S) / positive(weight)
}

/// The shortest interval of one of `sources` that share `rate` requests a second, in seconds. Nobody takes more than a
/// fifth: a source that changes at every poll would leave nothing to the others. Of five or fewer, a fifth each would
/// leave budget unused, so they may take 2/(n + 1).
pub(crate) fn interval_min_s(rate: f64, sources: u32, weight: f64) -> f64 {
    let share = if sources > 5 { SHARE_MAX } else { 2.0 / (f64::from(sources) + 1.0) };
    1.0 / (positive(rate) * (share * positive(weight).max(1.0)).min(1.0))
}

fn hour(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(HOUR_MS)
}

/// What can be divided by.
fn positive(number: f64) -> f64 {
    if number.is_nan() { 1.0 } else { number.clamp(1e-12, 1e12) }
}
