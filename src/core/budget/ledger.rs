//! A written budget: its windows, how many requests are in flight, and who spends it.

use std::collections::HashMap;
use std::time::Duration;

use super::{Allowance, Free, Gauge, Rate, Spent};
use crate::core::ids::SourceName;
use crate::core::schedule::Terms;
use crate::core::schedule::price::{Price, Sharers};
use crate::core::time::Timestamp;

/// Under contention, nobody is given more than this part of a budget while others wait.
const SHARE_MAX: f64 = 0.2;
/// What was spent fades with this time constant when shares are told.
const SHARE_FADES: Duration = Duration::from_mins(5);
/// What remains of a share is forgotten below this many requests.
const SHARE_MIN: f64 = 0.05;

/// A poll that waited in vain for longer than so many of its intervals is charged no more.
const MISSED_MAX: f64 = 10.0;

/// A budget with what was taken of it, and its price.
///
/// Each request is charged as one, whatever it is for, and given back when the server's own figures say that it cost
/// nothing ([`Toll`](super::toll::Toll)): to the price, and to the windows that these figures are of.
#[derive(Debug)]
pub(crate) struct Ledger {
    gauges: Vec<Gauge>,
    /// What a request is worth; `None` without a limit, or before anybody said who shares it.
    price: Option<Price>,
    /// What was overspent before a restart, in seconds of the whole budget, and when; until there is a price again.
    carried: Option<(f64, Timestamp)>,
    sharers: Sharers,
    /// Requests that were let in for polls that have not asked yet.
    reserved: u32,
    /// Requests that wait in the middle of a poll: they go before whoever begins.
    waiting: u32,
    spent: HashMap<SourceName, f64>,
    spent_by_all: f64,
    faded: Timestamp,
}

impl Ledger {
    /// A budget that nothing was taken of as far as is known.
    pub(crate) fn new(allowance: &Allowance, now: Timestamp) -> Self {
        Self {
            gauges: allowance.limit.iter().map(|rate| Gauge::written(*rate, now)).collect(),
            price: None,
            carried: None,
            sharers: Sharers::default(),
            reserved: 0,
            waiting: 0,
            spent: HashMap::new(),
            spent_by_all: 0.0,
            faded: now,
        }
    }

    /// A budget that goes on after a restart. Windows that are declared otherwise begin with nothing at hand.
    pub(crate) fn resumed(allowance: &Allowance, kept: &Spent, now: Timestamp) -> Self {
        let gauges = allowance.limit.iter().map(|rate| {
            let known = kept.windows.iter().find(|window| window.rate == *rate);
            known.map_or_else(|| Gauge::drained(*rate, now), |known| Gauge::resumed(known, now))
        });
        let (gauges, carried) = (gauges.collect(), Some((kept.overdraft_s, kept.at)));
        Self { gauges, carried, ..Self::new(allowance, now) }
    }

    /// What to remember of it; `None` without a limit.
    pub(crate) fn kept(&self, now: Timestamp) -> Option<Spent> {
        let windows: Vec<_> = self.gauges.iter().map(Gauge::kept).collect();
        let overdraft_s = self.price.map(|price| price.overdraft_s(now));
        let carried = self.carried.map(|(overdraft_s, _)| overdraft_s);
        let overdraft_s = overdraft_s.or(carried).unwrap_or(0.0);
        (!windows.is_empty()).then_some(Spent { at: now, overdraft_s, windows })
    }

    /// Whether each request has to be remembered before it is made: a window would not be full again soon after a restart.
    pub(crate) fn is_slow(&self) -> bool {
        self.gauges.iter().any(Gauge::is_slow)
    }

    /// Takes on other allowance. Windows that are as they were go on; others begin anew, with nothing at hand.
    pub(crate) fn renew(&mut self, allowance: &Allowance, now: Timestamp) {
        let is_same = self.gauges.iter().map(Gauge::rate).eq(allowance.limit.iter().copied());
        if is_same {
            return;
        }
        let mut old = std::mem::take(&mut self.gauges);
        let mut kept = |rate: &Rate| {
            let at = old.iter().position(|gauge| gauge.rate() == *rate)?;
            Some(old.swap_remove(at))
        };
        let renewed = allowance
            .limit
            .iter()
            .map(|rate| kept(rate).unwrap_or_else(|| Gauge::drained(*rate, now)));
        self.gauges = renewed.collect();
    }

    /// When a poll may begin; a moment that is past means now. Those who wait in the middle of one go first.
    pub(crate) fn opens_for_poll(&self, now: Timestamp) -> Timestamp {
        let before = self.reserved.saturating_add(self.waiting);
        self.gauges.iter().map(|gauge| gauge.opens(before, now)).max().unwrap_or(now)
    }

    /// When a request may be made; a moment that is past means now.
    pub(crate) fn opens(&self, now: Timestamp) -> Timestamp {
        self.gauges.iter().map(|gauge| gauge.opens(0, now)).max().unwrap_or(now)
    }

    /// Keeps a place for the first request of a poll.
    pub(crate) fn reserve(&mut self) {
        self.reserved = self.reserved.saturating_add(1);
    }

    /// Gives such a place up, or it is used now.
    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A request waits, or no longer.
    pub(crate) fn set_waiting(&mut self, waits: bool) {
        let count = if waits { self.waiting.checked_add(1) } else { self.waiting.checked_sub(1) };
        self.waiting = count.unwrap_or(self.waiting);
    }

    /// Pays for one request; `false` when there is nothing to pay with after all.
    pub(crate) fn take(&mut self, source: &SourceName, now: Timestamp) -> bool {
        let is_paid = self.gauges.iter_mut().fold(true, |paid, gauge| paid & gauge.take(now));
        if is_paid {
            self.fade(now);
            *self.spent.entry(source.clone()).or_default() += 1.0;
            self.spent_by_all += 1.0;
            if let Some(price) = &mut self.price {
                price.charge(1.0, now);
            }
        }
        is_paid
    }

    /// Gives a request back that was paid for at `paid` and cost nothing, to the windows that the server's figures are of.
    /// Says whether the plan is one of these windows, so that it is no more charged either.
    pub(crate) fn give_back(
        &mut self,
        source: &SourceName,
        free: &Free,
        (paid, now): (Timestamp, Timestamp),
    ) -> bool {
        for gauge in self.gauges.iter_mut().filter(|gauge| gauge.is_meant_by(free)) {
            gauge.give_back(paid, now);
        }
        let narrowest =
            self.gauges.iter().min_by(|one, two| one.planned().total_cmp(&two.planned()));
        let is_free = narrowest.is_none_or(|gauge| gauge.is_meant_by(free));
        if is_free {
            self.spent_by_all = (self.spent_by_all - 1.0).max(0.0);
            if let Some(spent) = self.spent.get_mut(source) {
                *spent = (*spent - 1.0).max(0.0);
            }
            if let Some(price) = &mut self.price {
                price.refund(now);
            }
        }
        is_free
    }

    /// Says who shares the budget, after a limit or a source was added, changed or removed, and as their rates are
    /// learned. What was spent beyond the average, or saved, stays so.
    pub(crate) fn share(&mut self, sharers: Sharers, now: Timestamp) {
        self.sharers = sharers;
        self.price = self.planned().map(|rate| {
            let start = sharers.price(rate);
            let new = || {
                let price = Price::new(rate, start, now);
                self.carried.take().map_or(price, |carried| price.resumed(carried, now))
            };
            self.price.map_or_else(new, |price| price.renewed(rate, start))
        });
    }

    /// A poll begins that would have been made so long ago, had there been anything to pay with. It is charged for the
    /// polls it missed meanwhile: what cannot be spent would else never raise the price, and those who wait would not
    /// learn to ask for less.
    pub(crate) fn charge_waiting(&mut self, waited: Duration, interval: Duration, now: Timestamp) {
        let missed = waited.as_secs_f64() / interval.as_secs_f64().max(1e-3);
        if let Some(price) = &mut self.price {
            price.charge(missed.min(MISSED_MAX), now);
        }
    }

    /// What a poll of one of its sources is planned on, that costs so many requests; `None` without a price.
    pub(crate) fn terms(&self, weight: f64, cost: f64, now: Timestamp) -> Option<Terms> {
        let price = self.price.as_ref()?;
        Some(Terms::of(price, self.sharers.count(), (weight, cost), now))
    }

    /// Of what was spent lately, the part that a source had.
    pub(crate) fn share_of(&self, source: &SourceName) -> f64 {
        let spent = self.spent.get(source).copied().unwrap_or_default();
        if spent > 0.0 { spent / self.spent_by_all.max(spent) } else { 0.0 }
    }

    /// How many share it.
    pub(crate) fn sharers(&self) -> u32 {
        self.sharers.count()
    }

    fn fade(&mut self, now: Timestamp) {
        let passed = now.since(self.faded);
        // Seldom enough to cost nothing, often enough to be about right.
        if passed < SHARE_FADES / 20 {
            return;
        }
        self.faded = now;
        let left = (-passed.as_secs_f64() / SHARE_FADES.as_secs_f64()).exp();
        self.spent_by_all *= left;
        self.spent.retain(|_, spent| {
            *spent *= left;
            *spent >= SHARE_MIN
        });
    }

    /// Whether a source of this weight had more than its share, so that others who wait go first.
    pub(crate) fn is_greedy(&self, source: &SourceName, weight: f64) -> bool {
        let spent = self.spent.get(source).copied().unwrap_or_default();
        spent > SHARE_MAX * weight * self.spent_by_all
    }

    /// How much of its fullest window is in use, `1.0` being all that was written; `None` without a limit.
    pub(crate) fn used_ratio(&self, now: Timestamp) -> Option<f64> {
        self.gauges.iter().map(|gauge| gauge.used_ratio(now)).reduce(f64::max)
    }

    /// Requests a second to plan with; `None` without a limit.
    pub(crate) fn planned(&self) -> Option<f64> {
        self.gauges.iter().map(Gauge::planned).reduce(f64::min)
    }
}
