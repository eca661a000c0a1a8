//! What the gate knows: budgets, origins, and who was let in.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Applicant;
use crate::core::budget::{
    Account, Breaker, Gauge, Holder, Ledger, Outage, Passage, Rate, Tally, Terms,
};
use crate::core::ids::UnitName;
use crate::core::limits::{
    COURTESY_BURST, COURTESY_RATE, ORIGINS_KNOWN_MAX, POLLS_AT_FAILING_ORIGIN_MAX,
    POLLS_AT_ORIGIN_MIN, SWEEP_PERIOD,
};
use crate::core::schedule::Every;
use crate::core::source::Source;
use crate::core::time::Timestamp;

/// What bars a poll, and until when at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::poller) struct Barrier {
    /// Polls that meet the same one wait together.
    pub(in crate::poller) what: What,
    pub(in crate::poller) until: Timestamp,
}

/// What a poll can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::poller) enum What {
    /// What was written: a limit, or how many may be under way at once.
    Budget(Holder),
    /// An origin that fails, asked to be left alone, or has as many polls under way as leave room for others.
    Origin(String),
    /// What the server allows with a credential.
    Credential(String, u32),
    /// The courtesy of a default.
    Courtesy(String),
}

/// Why a request cannot be made now.
pub(super) enum Shut {
    ByLimit(Timestamp),
    ByServer(Timestamp),
}

impl Shut {
    pub(super) fn until(&self) -> Timestamp {
        match self {
            Self::ByLimit(until) | Self::ByServer(until) => *until,
        }
    }
}

/// Budgets, origins, and the polls under way.
#[derive(Default)]
pub(super) struct Book {
    budgets: HashMap<Holder, Budget>,
    origins: HashMap<String, Origin>,
    admitted: HashMap<UnitName, Admitted>,
    pub(super) outage: Outage,
}

struct Budget {
    terms: Terms,
    ledger: Ledger,
    seats: Option<Arc<Semaphore>>,
    /// Polls under way.
    polls: usize,
}

/// A scheme, host and port.
pub(super) struct Origin {
    pub(super) breaker: Breaker,
    held_until: Timestamp,
    courtesy: Gauge,
    tallies: HashMap<u32, Tally>,
    /// Polls under way.
    polls: usize,
}

/// A poll that was let in.
struct Admitted {
    account: Account,
    /// Where it asks first, if that is known before.
    origin: Option<String>,
    /// Whether its first request is still to come.
    is_reserved: bool,
}

impl Origin {
    fn new(now: Timestamp) -> Self {
        let [rate, burst] = [COURTESY_RATE, COURTESY_BURST].map(std::num::NonZeroU32::new);
        let count = rate.unwrap_or(std::num::NonZeroU32::MIN);
        let rate = Rate { count, period: std::time::Duration::from_secs(1), burst };
        Self {
            breaker: Breaker::default(),
            held_until: now,
            courtesy: Gauge::courteous(rate, now),
            tallies: HashMap::new(),
            polls: 0,
        }
    }

    /// Nobody asks it before.
    pub(super) fn hold_until(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(until);
    }
}

impl Book {
    fn budget(&mut self, terms: &Terms, now: Timestamp) -> &mut Budget {
        let budget = self.budgets.entry(terms.holder.clone()).or_insert_with(|| Budget {
            terms: terms.clone(),
            ledger: Ledger::new(terms, now),
            seats: terms.concurrency.map(|seats| Arc::new(Semaphore::new(seats))),
            polls: 0,
        });
        if budget.terms != *terms {
            budget.ledger.renew(terms, now);
            if budget.terms.concurrency != terms.concurrency {
                budget.seats = terms.concurrency.map(|seats| Arc::new(Semaphore::new(seats)));
            }
            budget.terms = terms.clone();
        }
        budget
    }

    /// What is known of an origin.
    pub(super) fn origin(&mut self, origin: &str, now: Timestamp) -> &mut Origin {
        if !self.origins.contains_key(origin) {
            if self.origins.len() >= ORIGINS_KNOWN_MAX {
                self.origins.retain(|_, origin| origin.polls > 0);
            }
            self.origins.insert(origin.to_owned(), Origin::new(now));
        }
        self.origins.entry(origin.to_owned()).or_insert_with(|| Origin::new(now))
    }

    /// What a server said about a credential.
    pub(super) fn tally(&mut self, account: &Account, origin: &str, now: Timestamp) -> &mut Tally {
        self.origin(origin, now).tallies.entry(account.credential).or_default()
    }

    /// See [`Gate::admit`](super::Gate::admit).
    pub(super) fn admit(
        &mut self,
        applicant: &Applicant<'_>,
        places: usize,
        now: Timestamp,
    ) -> Result<(), Barrier> {
        let account = applicant.source.account(applicant.unit);
        self.budgets_allow(&account, now)?;
        let origin = applicant.source.url.origin();
        if let Some(name) = &origin {
            self.origin_allows(applicant, &account, (name, places), now)?;
        }
        for terms in account.budgets.iter() {
            let budget = self.budget(terms, now);
            budget.ledger.reserve();
            budget.polls += 1;
        }
        if let Some(name) = &origin {
            let unit = applicant.unit;
            let origin = self.origin(name, now);
            origin.polls += 1;
            origin.tallies.entry(account.credential).or_default().reserve();
            let _ = origin.courtesy.take(now);
            if origin.breaker.passage(now) == Passage::Probe {
                origin.breaker.probe(unit);
            }
        }
        let admitted = Admitted { account, origin, is_reserved: true };
        self.admitted.insert(applicant.unit.clone(), admitted);
        Ok(())
    }

    fn budgets_allow(&mut self, account: &Account, now: Timestamp) -> Result<(), Barrier> {
        for terms in account.budgets.iter() {
            let budget = self.budget(terms, now);
            let until = budget.ledger.opens_for_poll(now);
            if until > now {
                return Err(Barrier { what: What::Budget(terms.holder.clone()), until });
            }
            if terms.concurrency.is_some_and(|most| budget.polls >= most) {
                let what = What::Budget(terms.holder.clone());
                return Err(Barrier { what, until: now.after(SWEEP_PERIOD) });
            }
        }
        Ok(())
    }

    fn origin_allows(
        &mut self,
        applicant: &Applicant<'_>,
        account: &Account,
        (name, places): (&str, usize),
        now: Timestamp,
    ) -> Result<(), Barrier> {
        let origin = self.origin(name, now);
        let barrier = |what: What, until: Timestamp| Err(Barrier { what, until });
        let named = || name.to_owned();
        if let Passage::Barred(until) = origin.breaker.passage(now) {
            let until = if until > now { until } else { now.after(SWEEP_PERIOD) };
            return barrier(What::Origin(named()), until);
        }
        if origin.held_until > now {
            return barrier(What::Origin(named()), origin.held_until);
        }
        let opens = origin.tallies.entry(account.credential).or_default().opens_for_poll(now);
        if opens > now {
            return barrier(What::Credential(named(), account.credential), opens);
        }
        // Never more than are left to others: however many origins hang, there is room.
        let is_full = origin.polls >= places.max(POLLS_AT_ORIGIN_MIN);
        let is_strained =
            origin.breaker.is_strained() && origin.polls >= POLLS_AT_FAILING_ORIGIN_MAX;
        if is_full || is_strained {
            return barrier(What::Origin(named()), now.after(SWEEP_PERIOD));
        }
        let is_adaptive = matches!(applicant.source.every, Every::Range { .. });
        let is_courteous =
            is_adaptive && applicant.source.cron.is_none() && account.budgets.is_empty();
        let opens = origin.courtesy.opens(0, now);
        if is_courteous && opens > now && applicant.latest > now {
            return barrier(What::Courtesy(named()), opens.min(applicant.latest));
        }
        Ok(())
    }

    /// See [`Gate::over`](super::Gate::over).
    pub(super) fn over(&mut self, unit: &UnitName) {
        self.release(unit);
        let Some(Admitted { account, origin, .. }) = self.admitted.remove(unit) else { return };
        for terms in account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&terms.holder) {
                budget.polls = budget.polls.saturating_sub(1);
            }
        }
        if let Some(origin) = origin.and_then(|origin| self.origins.get_mut(&origin)) {
            origin.polls = origin.polls.saturating_sub(1);
            origin.breaker.over(unit);
        }
    }

    /// Gives up what was kept for the first request of a poll; says whether there was anything.
    fn release(&mut self, unit: &UnitName) -> bool {
        let Some(admitted) = self.admitted.get_mut(unit) else { return false };
        if !std::mem::take(&mut admitted.is_reserved) {
            return false;
        }
        for terms in admitted.account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&terms.holder) {
                budget.ledger.release();
            }
        }
        let tally = admitted.origin.as_ref().and_then(|origin| self.origins.get_mut(origin));
        if let Some(tally) = tally.and_then(|it| it.tallies.get_mut(&admitted.account.credential)) {
            tally.release();
        }
        true
    }

    /// The seats to take before a request is made, the widest budget's first.
    pub(super) fn seats(&mut self, account: &Account, now: Timestamp) -> Vec<Arc<Semaphore>> {
        let seats = account.budgets.iter().rev();
        seats.filter_map(|terms| self.budget(terms, now).seats.clone()).collect()
    }

    /// Pays for a request, or says until when that cannot be.
    pub(super) fn enter(
        &mut self,
        account: &Account,
        origin: &str,
        now: Timestamp,
    ) -> Result<(), Shut> {
        let place = self.origin(origin, now);
        let held =
            place.held_until.max(place.tallies.entry(account.credential).or_default().opens(now));
        if held > now {
            return Err(Shut::ByServer(held));
        }
        let opens = account.budgets.iter().map(|terms| self.budget(terms, now).ledger.opens(now));
        let opens = opens.max().unwrap_or(now);
        if opens > now {
            return Err(Shut::ByLimit(opens));
        }
        let is_first = self.release(&account.unit);
        let mut is_paid = true;
        for terms in account.budgets.iter() {
            is_paid &= self.budget(terms, now).ledger.take(&account.source, now);
        }
        if !is_paid {
            return Err(Shut::ByLimit(now));
        }
        let place = self.origin(origin, now);
        place.tallies.entry(account.credential).or_default().take(now);
        if !is_first {
            // Counted, and waited for by nobody: pages come one after the other.
            let _ = place.courtesy.take(now);
        }
        Ok(())
    }

    /// A request of this account waits, or no longer.
    pub(super) fn set_waiting(&mut self, account: &Account, waits: bool) {
        for terms in account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&terms.holder) {
                budget.ledger.set_waiting(waits);
            }
        }
    }

    /// See [`Gate::is_greedy`](super::Gate::is_greedy).
    pub(super) fn is_greedy(&self, source: &Source) -> bool {
        // Where the weight of a source goes.
        let weight = 1.0;
        let budgets = source.budgets.iter().filter_map(|terms| self.budgets.get(&terms.holder));
        budgets.into_iter().any(|budget| budget.ledger.is_greedy(&source.name, weight))
    }

    /// How much of each written limit is in use.
    pub(super) fn used(&self, now: Timestamp) -> Vec<(String, f64)> {
        let used = self.budgets.iter().filter_map(|(holder, budget)| {
            Some((holder.as_str().to_owned(), budget.ledger.used_ratio(now)?))
        });
        used.collect()
    }
}
