//! Who shares the written budgets: what their prices begin with.

use std::collections::BTreeMap;

use super::run::Loop;
use super::{Poller, locked};
use crate::core::budget::{Allowance, Holder};
use crate::core::ids::UnitName;
use crate::core::schedule::Terms;
use crate::core::schedule::explain::Standing;
use crate::core::schedule::price::Sharers;
use crate::core::source::Source;
use crate::core::time::Timestamp;

impl Poller {
    /// Tells the gate who shares the written limits, and how often each of them changes as far as is known now. Polls by
    /// a calendar are too few to matter.
    pub(super) fn share(&self, own: &Loop) {
        let now = self.ports.clock.now();
        let mut shared: BTreeMap<Holder, (Allowance, Sharers)> = BTreeMap::new();
        let sources = own.roster.sources.values();
        for source in sources.filter(|source| !source.paused && source.cron.is_none()) {
            let limits = source.budgets.iter().filter(|it| !it.limit.is_empty());
            let mut sharers = None;
            for allowance in limits {
                let sharers = sharers.get_or_insert_with(|| self.sharers(own, source, now));
                let entry = shared.entry(allowance.holder.clone());
                let known = entry.or_insert_with(|| (allowance.clone(), Sharers::default()));
                known.1.join(sharers);
            }
        }
        let shared: Vec<_> = shared.into_values().collect();
        self.ports.gate.share(&shared);
        self.ports.gate.keep(|unit| own.parked.has(unit), |unit| own.has(unit));
    }

    /// The units of a source.
    fn sharers(&self, own: &Loop, source: &Source, now: Timestamp) -> Sharers {
        let mut sharers = Sharers::default();
        let mut add = |unit: &UnitName| {
            if let Some(mean) = self.mean(unit, now) {
                let cost = self.ports.gate.cost(unit);
                sharers.add(source.every, f64::from(source.weight), (mean, cost));
            }
        };
        match own.members.get(&source.name) {
            Some(members) => {
                members.keys().for_each(|entry| add(&UnitName::of(&source.name, entry)));
            }
            None if source.for_each.is_none() => add(&UnitName::from(&source.name)),
            None => {}
        }
        sharers
    }

    /// How often a unit changes, if that is known now; `None` if it has ended.
    #[expect(clippy::option_option, reason = "one says whether it counts, the other what is known")]
    fn mean(&self, unit: &UnitName, now: Timestamp) -> Option<Option<f64>> {
        let slot = locked(&self.slots).get(unit).cloned();
        let memory = slot.as_ref().and_then(|slot| slot.0.try_lock().ok());
        let state = memory.as_ref().and_then(|memory| memory.state.as_ref());
        match state {
            Some(state) if state.ended.is_some() => None,
            state => Some(state.map(|state| state.rate.mean(now))),
        }
    }

    /// What a unit's next poll is planned on, and how it stands with its budgets and the server.
    pub(crate) fn standing(&self, source: &Source, unit: &UnitName) -> (Terms, Standing) {
        let gate = &self.ports.gate;
        let slot = locked(&self.slots).get(unit).cloned();
        let floor = slot.and_then(|slot| slot.0.try_lock().ok()?.state.as_ref()?.not_before);
        let now = self.ports.clock.now();
        let not_before = floor.filter(|floor| *floor > now);
        (gate.terms(source, unit), Standing { not_before, ..gate.standing(source, unit) })
    }
}
