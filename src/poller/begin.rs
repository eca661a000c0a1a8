//! Beginning polls: those that are due and let in, and those that had to wait for it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, debug, debug_span, info};

use super::Poller;
use super::gate::Applicant;
use super::outset::turns;
use super::run::Loop;
use crate::core::ids::UnitName;
use crate::core::limits::{OVERDUE_SPREAD_MAX, OVERDUE_SPREAD_MIN, POLLS_IN_FLIGHT_MAX};
use crate::core::schedule::{Every, start_window};
use crate::core::source::Source;
use crate::core::time::Timestamp;

/// When the loop looks around again after longer than this, the machine slept.
const SLEPT_MIN: Duration = Duration::from_secs(30);
/// A wall clock that moves by more than this was set.
const STEP_MIN_MS: u64 = 1000;

impl Poller {
    /// Begins a poll that is due, unless something bars it: then it waits with others.
    pub(super) fn begin(self: &Arc<Self>, own: &mut Loop, unit: UnitName, due: Timestamp) {
        let source = own.roster.sources.get(&unit.source());
        if let Some(source) = source.filter(|source| !source.paused) {
            let interval = self.interval(&unit, source);
            let latest = latest(source, due, interval);
            let applicant = Applicant { source, unit: &unit, latest, interval };
            let places = POLLS_IN_FLIGHT_MAX.saturating_sub(own.polls.len());
            if let Err(barrier) = self.ports.gate.admit(&applicant, places) {
                debug!(source = %unit, what = ?barrier.what, until = %barrier.until, "the poll waits");
                own.parked.park(unit, due, barrier);
                return;
            }
        }
        let (poller, span) = (Arc::clone(self), debug_span!("poll", source = %unit));
        let polled = unit.clone();
        let poll = async move { poller.poll_due(&polled).await }.instrument(span);
        own.under_way.insert(own.polls.spawn(poll).id(), unit);
    }

    /// Begins what waited and may go on, longest overdue first.
    pub(super) fn begin_parked(self: &Arc<Self>, own: &mut Loop, now: Timestamp) {
        let roster = Arc::clone(&own.roster);
        let is_greedy = |unit: &UnitName| {
            let source = roster.sources.get(&unit.source());
            source.is_some_and(|source| self.ports.gate.is_greedy(source))
        };
        // Whatever bars one shuts what it waits for, until later.
        while own.polls.len() < POLLS_IN_FLIGHT_MAX
            && let Some(what) = own.parked.open(now)
            && let Some((unit, due)) = own.parked.first(&what, is_greedy)
        {
            if own.has(&unit) {
                self.begin(own, unit, due);
            } else {
                own.agenda.over(&unit, None);
            }
        }
    }

    /// How far apart a unit's polls are planned to be, once anything came of one.
    fn interval(&self, unit: &UnitName, source: &Source) -> Option<Duration> {
        let slot = self.slot(unit);
        let memory = slot.0.try_lock().ok();
        let state = memory.as_ref().and_then(|memory| memory.state.as_ref());
        let known = state.filter(|state| state.last_success.is_some() && source.cron.is_none());
        known.map(|state| state.schedule.interval)
    }

    /// How far the wall clock is from the planning clock, in milliseconds.
    pub(super) fn wall_offset(&self) -> i64 {
        let (now, wall) = (self.ports.clock.now(), self.ports.clock.wall());
        wall.as_millis().saturating_sub(now.as_millis())
    }

    /// After a sleep of the machine, what is overdue runs once, and not all at once; after a step of the wall clock,
    /// calendars are looked at again.
    pub(super) fn mind_the_clocks(&self, own: &mut Loop, now: Timestamp) {
        let slept = now.since(std::mem::replace(&mut own.looked, now));
        if slept > SLEPT_MIN {
            info!(seconds = slept.as_secs(), "the machine slept, or was very busy");
            let mut turns = turns(self.ports.entropy.unit());
            let window =
                |count: usize| start_window(count).clamp(OVERDUE_SPREAD_MIN, OVERDUE_SPREAD_MAX);
            own.agenda.spread_overdue(now, window, || turns.next().unwrap_or_default());
        }
        let offset = self.wall_offset();
        if offset.abs_diff(own.wall_offset) > STEP_MIN_MS {
            own.wall_offset = offset;
            let roster = Arc::clone(&own.roster);
            let by_calendar = roster.sources.values().filter(|source| source.cron.is_some());
            for source in by_calendar.filter(|source| source.for_each.is_none()) {
                own.look_at(&UnitName::from(&source.name), now);
            }
        }
    }
}

/// Until when a default may hold a poll up: what adapts is never further apart than its longest interval.
fn latest(source: &Source, due: Timestamp, interval: Option<Duration>) -> Timestamp {
    let Every::Range { min, max } = source.every else { return due };
    due.after(max.saturating_sub(interval.unwrap_or(min)))
}
