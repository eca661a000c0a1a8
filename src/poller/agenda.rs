//! What is due when, and what has to wait although it is due.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::{
    ENTRIES_FAILING_MIN, ENTRIES_IN_FLIGHT_FAILING_MAX, ENTRIES_IN_FLIGHT_MAX, POLLS_TOGETHER,
};
use crate::core::time::Timestamp;

#[cfg(test)]
mod tests;

/// Who is due when.
#[derive(Default)]
pub(crate) struct Agenda {
    by_time: BTreeSet<(Timestamp, UnitName)>,
    by_name: HashMap<UnitName, Timestamp>,
    /// Of the sources whose entries are under way or wait.
    strains: BTreeMap<SourceName, Strain>,
    /// Waited long enough: the next to be polled. Each has its place among those under way already.
    ready: VecDeque<UnitName>,
}

/// How the entries of a source fare.
#[derive(Default)]
struct Strain {
    in_flight: usize,
    /// Failed polls in a row.
    failures: u32,
    /// Due, but too many others are under way; longest due first.
    waiting: VecDeque<UnitName>,
}

impl Strain {
    fn has_room(&self) -> bool {
        let most = if self.failures >= ENTRIES_FAILING_MIN {
            ENTRIES_IN_FLIGHT_FAILING_MAX
        } else {
            ENTRIES_IN_FLIGHT_MAX
        };
        self.in_flight < most
    }
}

impl Agenda {
    /// Plans a unit anew.
    pub(crate) fn set(&mut self, unit: UnitName, due: Timestamp) {
        self.remove(&unit);
        let due = due.rounded_up(POLLS_TOGETHER);
        self.by_time.insert((due, unit.clone()));
        self.by_name.insert(unit, due);
    }

    /// Takes a unit's plan away. One that waits already is found out when its turn comes.
    pub(super) fn remove(&mut self, unit: &UnitName) {
        if let Some(due) = self.by_name.remove(unit) {
            self.by_time.remove(&(due, unit.clone()));
        }
    }

    /// When the next unit is due that need not wait for others.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// A unit to poll now and since when it is due, longest due first. An entry whose source has enough polls under way waits for one of them.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(UnitName, Timestamp)> {
        if let Some(unit) = self.ready.pop_front() {
            return Some((unit, now));
        }
        while self.next_due().is_some_and(|due| due <= now) {
            let (due, unit) = self.by_time.pop_first()?;
            self.by_name.remove(&unit);
            if unit.entry().is_none() {
                return Some((unit, due));
            }
            let strain = self.strains.entry(unit.source()).or_default();
            if strain.has_room() {
                strain.in_flight += 1;
                return Some((unit, due));
            }
            strain.waiting.push_back(unit);
        }
        None
    }

    /// Plans those anew that are overdue, each a part of `window()` of their number from now: after a long sleep all are.
    pub(super) fn spread_overdue(
        &mut self,
        now: Timestamp,
        window: impl FnOnce(usize) -> Duration,
        mut part: impl FnMut() -> f64,
    ) {
        let later = self.by_time.split_off(&(now, UnitName::new("")));
        let overdue = std::mem::replace(&mut self.by_time, later);
        let window = window(overdue.len());
        for (_, unit) in overdue {
            let due = now.after(window.mul_f64(part())).rounded_up(POLLS_TOGETHER);
            self.by_time.insert((due, unit.clone()));
            self.by_name.insert(unit, due);
        }
    }

    /// A poll that was taken is over; `failed` is `None` if none was made. Those that waited for it come next.
    pub(super) fn over(&mut self, unit: &UnitName, failed: Option<bool>) {
        let Some(strain) = self.strains.get_mut(&unit.source()).filter(|_| !unit.entry().is_none())
        else {
            return;
        };
        strain.in_flight = strain.in_flight.saturating_sub(1);
        match failed {
            Some(true) => strain.failures = strain.failures.saturating_add(1),
            Some(false) => strain.failures = 0,
            None => {}
        }
        while strain.has_room()
            && let Some(next) = strain.waiting.pop_front()
        {
            strain.in_flight += 1;
            self.ready.push_back(next);
        }
    }

    /// Whether so many polls of a source's entries failed in a row that it must be the source.
    pub(super) fn is_strained(&self, source: &SourceName) -> bool {
        self.strains.get(source).is_some_and(|strain| strain.failures >= ENTRIES_FAILING_MIN)
    }

    /// Forgets how a source's entries fare that are no more; its polls under way still end.
    pub(super) fn forget(&mut self, source: &SourceName) {
        let Some(strain) = self.strains.get_mut(source) else { return };
        strain.waiting.clear();
        let ready_before = self.ready.len();
        self.ready.retain(|unit| unit.source() != *source);
        strain.in_flight = strain.in_flight.saturating_sub(ready_before - self.ready.len());
        if strain.in_flight == 0 {
            self.strains.remove(source);
        }
    }
}
