//! Polls that are due and have to wait: together with those that wait for the same, longest overdue first, and whoever
//! had more than a fair share behind all others.

use std::collections::{BTreeMap, BTreeSet};

use super::Barrier;
use super::book::What;
use crate::core::ids::UnitName;
use crate::core::time::Timestamp;

/// How many are looked through for one that is not greedy.
const LOOKED_THROUGH_MAX: usize = 64;

/// Who waits for what.
#[derive(Default)]
pub(in crate::poller) struct Parked {
    rows: BTreeMap<What, Row>,
    /// What each waits for, and since when it is due.
    units: BTreeMap<UnitName, (What, Timestamp)>,
}

struct Row {
    /// Not looked at before.
    until: Timestamp,
    by_time: BTreeSet<(Timestamp, UnitName)>,
}

impl Parked {
    /// A poll that was due at `due` has to wait.
    pub(in crate::poller) fn park(&mut self, unit: UnitName, due: Timestamp, barrier: Barrier) {
        self.remove(&unit);
        let Barrier { what, until } = barrier;
        let row = self
            .rows
            .entry(what.clone())
            .or_insert_with(|| Row { until, by_time: BTreeSet::new() });
        row.until = until;
        row.by_time.insert((due, unit.clone()));
        self.units.insert(unit, (what, due));
    }

    /// It waits no longer.
    pub(in crate::poller) fn remove(&mut self, unit: &UnitName) -> Option<Timestamp> {
        let (what, due) = self.units.remove(unit)?;
        if let Some(row) = self.rows.get_mut(&what) {
            row.by_time.remove(&(due, unit.clone()));
            if row.by_time.is_empty() {
                self.rows.remove(&what);
            }
        }
        Some(due)
    }

    /// Whether a unit waits.
    pub(in crate::poller) fn has(&self, unit: &UnitName) -> bool {
        self.units.contains_key(unit)
    }

    /// A poll ended, or an origin is back: what waits for places or answers may go on.
    pub(in crate::poller) fn stir(&mut self) {
        for (what, row) in &mut self.rows {
            // A courtesy is not for polls that end, but for time.
            if !matches!(what, What::Courtesy(_)) {
                row.until = Timestamp::default();
            }
        }
    }

    /// When somebody may go on.
    pub(in crate::poller) fn next(&self) -> Option<Timestamp> {
        self.rows.values().map(|row| row.until).min()
    }

    /// Of what may be open now, what the longest overdue waits for; to be tried with [`Parked::first`].
    pub(in crate::poller) fn open(&self, now: Timestamp) -> Option<What> {
        let open = self.rows.iter().filter(|(_, row)| row.until <= now);
        open.min_by_key(|(_, row)| row.by_time.first()).map(|(what, _)| what.clone())
    }

    /// Who of a row comes first, taken out of it.
    pub(in crate::poller) fn first(
        &mut self,
        what: &What,
        is_greedy: impl Fn(&UnitName) -> bool,
    ) -> Option<(UnitName, Timestamp)> {
        let row = self.rows.get(what)?;
        let modest = row.by_time.iter().take(LOOKED_THROUGH_MAX).find(|(_, unit)| !is_greedy(unit));
        let (_, unit) = modest.or_else(|| row.by_time.first())?.clone();
        let due = self.remove(&unit)?;
        Some((unit, due))
    }
}
