//! The poller's loop: starts what is due, notes what ended, sleeps until the next is due.
//!
//! It takes no input. What is due stands in the agenda, which a reload, a poll by hand or a restart brings in line
//! again; losing a wake costs at most one sweep period.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::agenda::Agenda;
use super::crew::Members;
use super::gate::Parked;
use super::{Memory, Planned, PollError, Poller, locked};
use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::{
    GROUP_WRITES_MAX, POLLS_IN_FLIGHT_MAX, STATE_FLUSH_PERIOD, SWEEP_PERIOD,
};
use crate::core::roster::Roster;
use crate::core::schedule::Signal;
use crate::core::source::SourceState;
use crate::core::time::Timestamp;
use crate::store::Write;

/// The loop's own memory.
pub(super) struct Loop {
    pub(super) agenda: Agenda,
    pub(super) roster: Arc<Roster>,
    pub(super) polls: JoinSet<Result<Planned, PollError>>,
    pub(super) under_way: HashMap<Id, UnitName>,
    /// Of these, the ones whose plan changed meanwhile, to be looked at when they end.
    again: BTreeSet<UnitName>,
    /// The entries that are planned, of the sources that have some.
    pub(super) members: BTreeMap<SourceName, Arc<Members>>,
    /// Sources whose entries could not be looked at.
    pub(super) stale: BTreeSet<SourceName>,
    /// When what was learned is written next, and whose is still to be in this round.
    flush_due: Timestamp,
    unflushed: VecDeque<UnitName>,
    /// Whether others share the budgets than the gate knows.
    pub(super) is_shared_anew: bool,
    /// Due, but something bars them.
    pub(super) parked: Parked,
    /// When the loop last looked around, and how far the wall clock was from the planning clock then, in milliseconds.
    pub(super) looked: Timestamp,
    pub(super) wall_offset: i64,
}

impl Loop {
    /// Looks at a unit's plan, at once or when its poll under way has ended. What is not due is not polled.
    pub(super) fn look_at(&mut self, unit: &UnitName, now: Timestamp) {
        if self.under_way.values().any(|polled| polled == unit) {
            self.again.insert(unit.clone());
        } else {
            self.unpark(unit);
            self.agenda.set(unit.clone(), now);
        }
    }

    /// A unit waits no longer for what bars it, and gives its place among the entries of its source up.
    fn unpark(&mut self, unit: &UnitName) {
        if self.parked.remove(unit).is_some() {
            self.agenda.over(unit, None);
        }
    }

    /// Whether a unit is declared, as far as the loop has looked.
    pub(super) fn has(&self, unit: &UnitName) -> bool {
        let (name, entry) = (unit.source(), unit.entry());
        match self.members.get(&name) {
            Some(members) => members.has(&entry),
            None => entry.is_none() && self.roster.sources.contains_key(&name),
        }
    }
}

impl Poller {
    /// Polls what is due until `stop`. Polls under way are then abandoned – that loses nothing – and what was learned
    /// is written.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.ports.gate.recall().await;
        self.ports.gate.heed_holds();
        let mut own = self.begin_loop();
        loop {
            self.tick(&mut own).await;
            let wait = self.wait(&own);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = own.polls.join_next_with_id(), if !own.polls.is_empty() => {
                    self.note(&mut own, ended).await;
                    // Those that ended meanwhile: looking around is the dearer part.
                    while let Some(ended) = own.polls.try_join_next_with_id() {
                        self.note(&mut own, ended).await;
                    }
                }
                () = self.wake.rung() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.ports.gate.close();
        own.polls.shutdown().await;
        self.flush(self.in_memory()).await;
    }

    /// A loop that has not looked at anything yet.
    pub(super) fn begin_loop(&self) -> Loop {
        Loop {
            agenda: Agenda::default(),
            roster: Arc::default(),
            polls: JoinSet::new(),
            under_way: HashMap::new(),
            again: BTreeSet::new(),
            members: BTreeMap::new(),
            stale: BTreeSet::new(),
            flush_due: self.ports.clock.now().after(STATE_FLUSH_PERIOD),
            unflushed: VecDeque::new(),
            is_shared_anew: false,
            parked: Parked::default(),
            looked: self.ports.clock.now(),
            wall_offset: self.wall_offset(),
        }
    }

    async fn tick(self: &Arc<Self>, own: &mut Loop) {
        self.ports.telemetry.alive("poller", self.ports.clock.now());
        let roster = self.roster.borrow().clone();
        if !Arc::ptr_eq(&roster, &own.roster) {
            self.adopt(own, roster).await;
        }
        let now = self.ports.clock.now();
        self.feed(own).await;
        if std::mem::take(&mut own.is_shared_anew) {
            self.share(own);
        }
        for unit in std::mem::take(&mut *locked(&self.replanned)) {
            if own.has(&unit) {
                own.look_at(&unit, now);
            }
        }
        self.mind_the_clocks(own, now);
        self.begin_parked(own, now);
        while own.polls.len() < POLLS_IN_FLIGHT_MAX
            && let Some((unit, due)) = own.agenda.take_due(now)
        {
            self.begin(own, unit, due);
        }
        self.ports.gate.show();
        if now >= own.flush_due {
            self.flush_some(own, now).await;
        }
    }

    fn wait(&self, own: &Loop) -> Duration {
        let now = self.ports.clock.now();
        let full = own.polls.len() >= POLLS_IN_FLIGHT_MAX;
        let (due, open) = (own.agenda.next_due(), own.parked.next());
        let next = due.into_iter().chain(open).min().filter(|_| !full);
        next.map_or(SWEEP_PERIOD, |due| due.since(now)).min(SWEEP_PERIOD)
    }

    async fn note(
        &self,
        own: &mut Loop,
        ended: Result<(Id, Result<Planned, PollError>), JoinError>,
    ) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(unit) = own.under_way.remove(&id) else { return };
        self.ports.gate.over(&unit);
        own.parked.stir();
        let now = self.ports.clock.now();
        let (due, failed) = match ended {
            Ok((_, Ok(Planned { due, failed }))) => (due, failed),
            // Removed; if it is back already, it is planned anew.
            Ok((_, Err(PollError::Unknown(_)))) => (Some(now), None),
            Ok((
                _,
                Err(
                    PollError::UnknownEntry(..)
                    | PollError::EntryNeeded(..)
                    | PollError::NoEntry(..),
                ),
            )) => (None, None),
            Ok((_, Err(PollError::Conflict(_)))) => {
                debug!(source = %unit, "the poll met a conflicting write and is repeated");
                (Some(now), None)
            }
            Ok((_, Err(fault @ PollError::Store(_)))) => {
                error!(source = %unit, %fault, "the poll could not be kept");
                (Some(self.back_off(own, &unit).await), Some(true))
            }
            Err(panic) => {
                error!(source = %unit, %panic, "the poll failed by a fault of ours");
                (Some(self.back_off(own, &unit).await), Some(true))
            }
        };
        own.agenda.over(&unit, failed);
        if failed == Some(true) && own.agenda.is_strained(&unit.source()) {
            debug!(source = %unit, "one entry after the other fails: few are polled at once");
        }
        let due = if own.again.remove(&unit) { Some(now) } else { due };
        if !own.has(&unit) {
            self.left_meanwhile(own, unit).await;
        } else if let Some(due) = due {
            own.agenda.set(unit, due);
        }
    }

    /// A poll ended of a unit that is none any more.
    async fn left_meanwhile(&self, own: &Loop, unit: UnitName) {
        if own.members.contains_key(&unit.source())
            && let Err(fault) = self.leave(unit.clone()).await
        {
            warn!(source = %unit, %fault, "that the entry left could not be kept");
        }
    }

    /// Our own failure: the unit waits as if it had failed.
    async fn back_off(&self, own: &Loop, unit: &UnitName) -> Timestamp {
        let now = self.ports.clock.now();
        let Some(source) = own.roster.sources.get(&unit.source()) else { return now };
        let slot = self.slot(unit);
        let Ok(mut memory) = slot.0.try_lock() else { return now.after(SWEEP_PERIOD) };
        let Ok(state) = self.recall(&mut memory, unit, source).await else {
            return now.after(SWEEP_PERIOD);
        };
        let state = Arc::make_mut(state);
        let chance = self.ports.entropy.unit();
        state.schedule =
            state.schedule.after(Signal::Failed, source.every, &source.backoff, now, chance);
        state.schedule.due
    }

    /// Takes on another set of sources: new and changed ones are planned anew at once, removed ones leave. Waits for
    /// no poll under way: one source that hangs holds up no other.
    async fn adopt(&self, own: &mut Loop, roster: Arc<Roster>) {
        let old = std::mem::replace(&mut own.roster, Arc::clone(&roster));
        for (name, source) in &old.sources {
            let successor = roster.sources.get(name);
            if successor.is_some_and(|new| new.for_each.is_some() == source.for_each.is_some()) {
                continue;
            }
            if source.for_each.is_some() {
                self.disband(own, name).await;
            } else {
                self.let_go(own, &UnitName::from(name)).await;
            }
        }
        roster.sources.values().for_each(|source| self.carry_spent(source));
        own.is_shared_anew = true;
        let now = self.ports.clock.now();
        let is_as_before =
            |name, source| old.sources.get(name).is_some_and(|known| known == source);
        let beginning =
            roster.sources.iter().filter(|(name, source)| !is_as_before(*name, *source));
        self.beginning.store(beginning.count(), Ordering::Relaxed);
        let planned = if old.sources.is_empty() {
            self.plan_together(own, &roster).await
        } else {
            BTreeSet::new()
        };
        for (name, source) in &roster.sources {
            let is_as_before = is_as_before(name, source);
            match &source.for_each {
                None if planned.contains(name) => {}
                None if !is_as_before => own.look_at(&UnitName::from(name), now),
                Some(_) if !is_as_before => self.enlist(own, source, true).await,
                _ => {}
            }
        }
        // What feeds them may be another source by the same name.
        let feeding = roster.sources.keys().filter(|name| roster.feeds_others(name));
        locked(&self.polled).extend(feeding.cloned());
    }

    /// A unit that is no longer declared: what was learned is written, and it is forgotten.
    pub(super) async fn let_go(&self, own: &mut Loop, unit: &UnitName) {
        own.agenda.remove(unit);
        own.unpark(unit);
        self.forget(unit).await;
    }

    /// Writes what was learned of a unit and gives its place in memory up.
    pub(super) async fn forget(&self, unit: &UnitName) {
        let slot = self.slot(unit);
        if let Ok(mut memory) = slot.0.try_lock() {
            self.keep_learned(unit, &mut memory).await;
            *memory = Memory::default();
        }
        drop(slot);
        self.drop_slot(unit);
    }

    /// Gives a unit's place in memory up, unless somebody is there.
    pub(super) fn drop_slot(&self, unit: &UnitName) {
        let mut slots = locked(&self.slots);
        if slots.get(unit).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(unit);
        }
    }

    /// Writes what polls that changed nothing taught, of so many units that polls are not held up; all of them have
    /// their turn within [`STATE_FLUSH_PERIOD`].
    async fn flush_some(&self, own: &mut Loop, now: Timestamp) {
        if own.unflushed.is_empty() {
            own.unflushed = self.in_memory().into();
            own.is_shared_anew = true;
        }
        let rounds = locked(&self.slots).len().div_ceil(GROUP_WRITES_MAX).max(1);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        own.flush_due = now.after(STATE_FLUSH_PERIOD / rounds);
        let count = own.unflushed.len().min(GROUP_WRITES_MAX);
        self.flush(own.unflushed.drain(..count)).await;
    }

    /// Those that have a place in memory, in order.
    fn in_memory(&self) -> Vec<UnitName> {
        let mut units: Vec<_> = locked(&self.slots).keys().cloned().collect();
        units.sort_unstable();
        units
    }

    /// Many at once, so that they share transactions.
    async fn flush(&self, units: impl IntoIterator<Item = UnitName>) {
        let written = stream::iter(units).map(|unit| async move { self.flush_one(&unit).await });
        written.buffered(GROUP_WRITES_MAX).for_each(|()| std::future::ready(())).await;
        self.ports.gate.remember().await;
    }

    async fn flush_one(&self, unit: &UnitName) {
        // It may have left since.
        let Some(slot) = locked(&self.slots).get(unit).cloned() else { return };
        let Ok(mut memory) = slot.0.try_lock() else { return };
        self.keep_learned(unit, &mut memory).await;
    }

    async fn keep_learned(&self, unit: &UnitName, memory: &mut Memory) {
        let Some(state) = memory.unkept().cloned() else { return };
        // What was never polled has nothing worth keeping.
        if state.last_poll.is_none() {
            return;
        }
        let write =
            Write::State { unit: unit.clone(), state: Box::new(SourceState::clone(&state)) };
        match self.ports.store.write(write).await {
            Ok(_) => memory.kept_now(state),
            Err(fault) => {
                warn!(source = %unit, %fault, "what was learned of the source could not be kept");
            }
        }
    }
}
