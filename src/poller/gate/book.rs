//! What the gate knows: budgets, origins, and who was let in.

mod outlast;

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Applicant;
use crate::core::budget::{
    Account, Allowance, Breaker, Cost, Free, Gauge, Holder, Holds, Kept, Ledger, Outage, Passage,
    Rate, Spent, Tally,
};
use crate::core::fault::Whose;
use crate::core::http::TransportFault;
use crate::core::ids::UnitName;
use crate::core::limits::{
    COURTESY_BURST, COURTESY_RATE, ORIGINS_KNOWN_MAX, POLLS_AT_FAILING_ORIGIN_MAX,
    POLLS_AT_ORIGIN_MIN, SWEEP_PERIOD, UNPAID_RATE,
};
use crate::core::schedule::explain::{BudgetStanding, Standing};
use crate::core::schedule::price::Sharers;
use crate::core::schedule::{Every, Stretch, Terms};
use crate::core::source::Source;
use crate::core::time::Timestamp;

/// What bars a poll, and until when at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::poller) struct Barrier {
    /// Polls that meet the same one wait together.
    pub(in crate::poller) what: What,
    pub(in crate::poller) until: Timestamp,
}

impl What {
    /// In a word.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Budget(_) => "budget",
            Self::Origin(_) => "origin",
            Self::Credential(..) => "server",
            Self::Courtesy(_) => "courtesy",
        }
    }
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
    barred: HashMap<UnitName, Barred>,
    /// What polls cost, of the units for which that is not one request.
    costs: HashMap<UnitName, Cost>,
    /// Budgets as they were before a restart, until somebody asks for them.
    kept: HashMap<Holder, Spent>,
    /// Whom servers asked to leave them alone.
    holds: Holds,
    pub(super) outage: Outage,
}

/// A poll that waits.
struct Barred {
    barrier: Barrier,
    since: Timestamp,
    /// Whether it is a limit that is short, and not something that ends.
    is_short: bool,
}

struct Budget {
    allowance: Allowance,
    ledger: Ledger,
    seats: Option<Arc<Semaphore>>,
    /// Polls under way.
    polls: usize,
    /// Whether it was spent from since it was last remembered.
    is_spent: bool,
}

/// A scheme, host and port.
pub(super) struct Origin {
    pub(super) breaker: Breaker,
    held_until: Timestamp,
    courtesy: Gauge,
    /// Of polls that a written limit holds for, while what nothing changed for is not charged: something has to.
    unpaid: Gauge,
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
    /// Requests made, and those that cost nothing.
    made: u32,
    free: u32,
}

impl Admitted {
    /// What its polls cost, with this one.
    fn cost(&self, before: Cost) -> Cost {
        if self.made == 0 { before } else { before.with(self.made.saturating_sub(self.free)) }
    }
}

impl Origin {
    fn new(now: Timestamp) -> Self {
        let courtesy = |count: u32, burst: u32| {
            let [count, burst] = [count, burst].map(NonZeroU32::new);
            let count = count.unwrap_or(NonZeroU32::MIN);
            Gauge::courteous(Rate { count, period: Duration::from_secs(1), burst }, now)
        };
        Self {
            breaker: Breaker::default(),
            held_until: now,
            courtesy: courtesy(COURTESY_RATE, COURTESY_BURST),
            unpaid: courtesy(UNPAID_RATE, UNPAID_RATE),
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
    fn budget(&mut self, allowance: &Allowance, now: Timestamp) -> &mut Budget {
        if !self.budgets.contains_key(&allowance.holder) {
            let ledger = match self.kept.remove(&allowance.holder) {
                Some(kept) => Ledger::resumed(allowance, &kept, now),
                None => Ledger::new(allowance, now),
            };
            let seats = allowance.concurrency.map(|seats| Arc::new(Semaphore::new(seats)));
            let allowance = allowance.clone();
            let holder = allowance.holder.clone();
            self.budgets
                .insert(holder, Budget { allowance, ledger, seats, polls: 0, is_spent: false });
        }
        let known = self.budgets.get_mut(&allowance.holder);
        let budget = known.expect("it is there, or was just put there");
        if budget.allowance != *allowance {
            budget.ledger.renew(allowance, now);
            if budget.allowance.concurrency != allowance.concurrency {
                budget.seats = allowance.concurrency.map(|seats| Arc::new(Semaphore::new(seats)));
            }
            budget.allowance = allowance.clone();
        }
        budget
    }

    /// A host could not be reached; what that comes to if it is our own network.
    pub(super) fn lose_reach(
        &mut self,
        host: &str,
        fault: &TransportFault,
        now: Timestamp,
    ) -> Option<TransportFault> {
        self.outage.unreached(host, now);
        let detail = || fault.to_fault(Whose::Us).sentence;
        self.outage.is_on(now).then(|| TransportFault::Offline { detail: detail() })
    }

    /// What is known of an origin.
    pub(super) fn origin(&mut self, origin: &str, now: Timestamp) -> &mut Origin {
        if !self.origins.contains_key(origin) {
            if self.origins.len() >= ORIGINS_KNOWN_MAX {
                self.origins.retain(|_, origin| origin.polls > 0);
            }
            self.origins.insert(origin.to_owned(), Origin::new(now));
        }
        self.origins.get_mut(origin).expect("it is there, or was just put there")
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
        let origin = applicant.source.url.origin();
        let at = origin.as_deref().map(|name| (name, places));
        if let Err(barrier) = self.may_begin(applicant, &account, at, now) {
            self.bar(applicant.unit, &barrier, now);
            return Err(barrier);
        }
        self.charge_waiting(applicant, now);
        for allowance in account.budgets.iter() {
            let budget = self.budget(allowance, now);
            budget.ledger.reserve();
            budget.polls += 1;
        }
        if let Some(name) = &origin {
            let unit = applicant.unit;
            let origin = self.origin(name, now);
            origin.polls += 1;
            origin.tallies.entry(account.credential).or_default().reserve();
            let _ = origin.courtesy.take(now);
            let _ = origin.unpaid.take(now);
            if origin.breaker.passage(now) == Passage::Probe {
                origin.breaker.probe(unit);
            }
        }
        let origin = origin.map(Cow::into_owned);
        let admitted = Admitted { account, origin, is_reserved: true, made: 0, free: 0 };
        self.admitted.insert(applicant.unit.clone(), admitted);
        Ok(())
    }

    fn may_begin(
        &mut self,
        applicant: &Applicant<'_>,
        account: &Account,
        at: Option<(&str, usize)>,
        now: Timestamp,
    ) -> Result<(), Barrier> {
        self.budgets_allow(account, now)?;
        at.map_or(Ok(()), |at| self.origin_allows(applicant, account, at, now))
    }

    /// Notes what bars a poll, and since when.
    fn bar(&mut self, unit: &UnitName, barrier: &Barrier, now: Timestamp) {
        let is_short = match &barrier.what {
            What::Budget(holder) => self
                .budgets
                .get(holder)
                .is_some_and(|budget| budget.ledger.opens_for_poll(now) > now),
            _ => false,
        };
        let known = self.barred.get(unit).filter(|known| known.is_short == is_short);
        let since = known.map_or(now, |known| known.since);
        self.barred.insert(unit.clone(), Barred { barrier: barrier.clone(), since, is_short });
    }

    /// Charges a poll that begins for the polls it missed, if a limit was what kept it.
    fn charge_waiting(&mut self, applicant: &Applicant<'_>, now: Timestamp) {
        let Some(barred) = self.barred.remove(applicant.unit) else { return };
        let What::Budget(holder) = &barred.barrier.what else { return };
        if let (true, Some(interval), Some(budget)) =
            (barred.is_short, applicant.interval, self.budgets.get_mut(holder))
        {
            budget.ledger.charge_waiting(now.since(barred.since), interval, now);
        }
    }

    fn budgets_allow(&mut self, account: &Account, now: Timestamp) -> Result<(), Barrier> {
        for allowance in account.budgets.iter() {
            let budget = self.budget(allowance, now);
            let until = budget.ledger.opens_for_poll(now);
            if until > now {
                return Err(Barrier { what: What::Budget(allowance.holder.clone()), until });
            }
            if allowance.concurrency.is_some_and(|most| budget.polls >= most) {
                let what = What::Budget(allowance.holder.clone());
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
        let tally = origin.tallies.entry(account.credential).or_default();
        let (opens, is_unpaid) = (tally.opens_for_poll(now), tally.is_unchanged_free(now));
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
        let opens = match account.budgets.is_empty() {
            true => origin.courtesy.opens(0, now),
            false if is_unpaid => origin.unpaid.opens(0, now),
            false => now,
        };
        let is_courteous = is_adaptive && applicant.source.cron.is_none();
        if is_courteous && opens > now && applicant.latest > now {
            return barrier(What::Courtesy(named()), opens.min(applicant.latest));
        }
        Ok(())
    }

    /// See [`Gate::over`](super::Gate::over).
    pub(super) fn over(&mut self, unit: &UnitName) {
        self.release(unit);
        let Some(admitted) = self.admitted.remove(unit) else { return };
        let cost = admitted.cost(self.costs.remove(unit).unwrap_or_default());
        let Admitted { account, origin, .. } = admitted;
        let is_limited = account.budgets.iter().any(|allowance| !allowance.limit.is_empty());
        if is_limited && !cost.is_plain() {
            self.costs.insert(unit.clone(), cost);
        }
        for allowance in account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&allowance.holder) {
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
        for allowance in admitted.account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&allowance.holder) {
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
        seats.filter_map(|allowance| self.budget(allowance, now).seats.clone()).collect()
    }

    /// Says until when no request of this account can be made, if so.
    pub(super) fn look(
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
        let opens =
            account.budgets.iter().map(|allowance| self.budget(allowance, now).ledger.opens(now));
        let opens = opens.max().unwrap_or(now);
        if opens > now { Err(Shut::ByLimit(opens)) } else { Ok(()) }
    }

    /// Pays for a request, or says until when that cannot be.
    pub(super) fn enter(
        &mut self,
        account: &Account,
        origin: &str,
        now: Timestamp,
    ) -> Result<(), Shut> {
        self.look(account, origin, now)?;
        let is_first = self.release(&account.unit);
        let mut is_paid = true;
        for allowance in account.budgets.iter() {
            let budget = self.budget(allowance, now);
            budget.is_spent = true;
            is_paid &= budget.ledger.take(&account.source, now);
        }
        if !is_paid {
            return Err(Shut::ByLimit(now));
        }
        if let Some(admitted) = self.admitted.get_mut(&account.unit) {
            admitted.made = admitted.made.saturating_add(1);
        }
        let place = self.origin(origin, now);
        place.tallies.entry(account.credential).or_default().take(now);
        if !is_first {
            // Counted, and waited for by nobody: pages come one after the other.
            let _ = place.courtesy.take(now);
        }
        Ok(())
    }

    /// A request of this account that was paid for at the first of these times cost nothing.
    pub(super) fn give_back(
        &mut self,
        account: &Account,
        free: &Free,
        times: (Timestamp, Timestamp),
    ) {
        let mut is_free = true;
        for allowance in account.budgets.iter() {
            is_free &=
                self.budget(allowance, times.1).ledger.give_back(&account.source, free, times);
        }
        // Planned as if it cost nothing only if that holds for all that it is planned by.
        if let Some(admitted) = self.admitted.get_mut(&account.unit).filter(|_| is_free) {
            admitted.free = admitted.free.saturating_add(1);
        }
    }

    /// What a unit's next poll is expected to cost, in requests.
    pub(super) fn cost(&self, unit: &UnitName) -> f64 {
        let before = self.costs.get(unit).copied().unwrap_or_default();
        self.admitted.get(unit).map_or(before, |admitted| admitted.cost(before)).expected()
    }

    /// A request of this account waits, or no longer.
    pub(super) fn set_waiting(&mut self, account: &Account, waits: bool) {
        for allowance in account.budgets.iter() {
            if let Some(budget) = self.budgets.get_mut(&allowance.holder) {
                budget.ledger.set_waiting(waits);
            }
        }
    }

    /// See [`Gate::is_greedy`](super::Gate::is_greedy).
    pub(super) fn is_greedy(&self, source: &Source) -> bool {
        let weight = f64::from(source.weight);
        let budgets =
            source.budgets.iter().filter_map(|allowance| self.budgets.get(&allowance.holder));
        budgets.into_iter().any(|budget| budget.ledger.is_greedy(&source.name, weight))
    }

    /// See [`Gate::share`](super::Gate::share).
    pub(super) fn share(&mut self, shared: &[(Allowance, Sharers)], now: Timestamp) {
        for (allowance, sharers) in shared {
            self.budget(allowance, now).ledger.share(*sharers, now);
        }
    }

    /// See [`Gate::keep`](super::Gate::keep).
    pub(super) fn keep(
        &mut self,
        waits: impl Fn(&UnitName) -> bool,
        is_declared: impl Fn(&UnitName) -> bool,
    ) {
        self.barred.retain(|unit, _| waits(unit));
        self.costs.retain(|unit, _| is_declared(unit));
        for tally in self.origins.values_mut().flat_map(|origin| origin.tallies.values_mut()) {
            tally.retain(&is_declared);
        }
    }

    /// See [`Gate::stretch`](super::Gate::stretch).
    pub(super) fn stretch(
        &mut self,
        account: &Account,
        origin: &str,
        (every, interval): (Every, Option<Duration>),
        now: Timestamp,
    ) -> Option<Stretch> {
        let planned = (every, interval, self.cost(&account.unit));
        self.tally(account, origin, now).stretch(&account.unit, planned, now)
    }

    /// What to remember of the budgets that changed since they were last remembered.
    pub(super) fn take_spent(&mut self, now: Timestamp) -> Vec<(Holder, Kept)> {
        let spent = self.budgets.iter_mut().filter(|(_, budget)| budget.is_spent);
        let kept = spent.filter_map(|(holder, budget)| {
            budget.is_spent = false;
            Some((holder.clone(), Kept::Spent(budget.ledger.kept(now)?)))
        });
        kept.collect()
    }

    /// What to remember before a request of this account is made: of the budgets that give permits so seldom that one
    /// more after a restart would be one too many.
    pub(super) fn slow_ones_of(&self, account: &Account, now: Timestamp) -> Vec<(Holder, Kept)> {
        let budgets = account.budgets.iter().filter_map(|allowance| {
            let ledger = &self.budgets.get(&allowance.holder)?.ledger;
            let kept = ledger.is_slow().then(|| ledger.kept(now))??;
            Some((allowance.holder.clone(), Kept::Spent(kept)))
        });
        budgets.collect()
    }

    /// See [`Gate::terms`](super::Gate::terms).
    pub(super) fn terms(&self, source: &Source, unit: &UnitName, now: Timestamp) -> Terms {
        let (weight, cost) = (f64::from(source.weight), self.cost(unit));
        let budgets = source.budgets.iter().filter_map(|it| self.budgets.get(&it.holder));
        let terms = budgets.filter_map(|budget| budget.ledger.terms(weight, cost, now));
        terms.fold(Terms::Unshared { weight }, Terms::and)
    }

    /// See [`Gate::standing`](super::Gate::standing).
    pub(super) fn standing(&self, source: &Source, unit: &UnitName, now: Timestamp) -> Standing {
        let budgets = source.budgets.iter().filter_map(|it| {
            let ledger = &self.budgets.get(&it.holder)?.ledger;
            let terms = ledger.terms(f64::from(source.weight), 1.0, now)?;
            Some(BudgetStanding {
                name: it.holder.as_str().to_owned(),
                planned: ledger.planned()?,
                used: ledger.used_ratio(now)?,
                share: ledger.share_of(&source.name),
                sharers: ledger.sharers(),
                theta: terms.theta().unwrap_or_default(),
            })
        });
        let origin = source.url.origin().and_then(|name| self.origins.get(&*name));
        let credential = source.account(unit).credential;
        let tally = origin.and_then(|origin| origin.tallies.get(&credential));
        let ahead = |at: Timestamp| (at > now).then_some(at);
        let held = origin.and_then(|origin| ahead(origin.held_until));
        Standing {
            budgets: budgets.collect(),
            held_until: held.max(tally.and_then(|tally| ahead(tally.held_until()))),
            left: tally.and_then(|tally| tally.left(now)),
            stretch: tally.and_then(|tally| tally.tightness(now)),
            is_unchanged_free: tally.is_some_and(|tally| tally.is_unchanged_free(now)),
            is_failing: origin.is_some_and(|origin| origin.breaker.passage(now) != Passage::Free),
            waits: self.barred.get(unit).map(|it| (it.barrier.what.as_str(), it.since)),
            not_before: None,
        }
    }

    /// How much of each written limit is in use.
    pub(super) fn used(&self, now: Timestamp) -> Vec<(String, f64)> {
        let used = self.budgets.iter().filter_map(|(holder, budget)| {
            Some((holder.as_str().to_owned(), budget.ledger.used_ratio(now)?))
        });
        used.collect()
    }
}
