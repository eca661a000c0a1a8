//! The poller: makes polls when they are due. The imperative shell – it fetches, asks `core` what that means, and
//! commits the answer. A page of a poll is one transaction: snapshot, events and deliveries together.
//!
//! [`Poller::run`] is the loop; [`Poller::poll`] makes one poll, also for those who ask for it by hand. It knows
//! nothing of receivers beyond which of them want an event's type.
//!
//! What is polled is a unit: a source, or one entry of a source with `for_each`. Which entries there are, and what they
//! share, is in [`crew`].

mod agenda;
mod begin;
mod crew;
mod enlist;
mod former;
pub(crate) mod gate;
pub(crate) mod hold;
mod memory;
mod outset;
mod run;
mod share;
mod shelf;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::clock::{Clock, Entropy};
use crate::core::ids::{EntryKey, SourceName, UnitName};
use crate::core::json;
use crate::core::limits::{HELD_REQUEST_WAIT_MAX, PAUSED_LOOK_PERIOD};
use crate::core::report::{Mode, PollReport};
use crate::core::roster::Roster;
use crate::core::schedule::{Schedule, by_calendar};
use crate::core::source::{Source, SourceState};
use crate::core::template::Context;
use crate::core::time::Timestamp;
use crate::http::HttpClient;
use crate::store::handle::StoreHandle;
use crate::store::{Read, StoreError};
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

pub(crate) use self::agenda::Agenda;
use self::crew::{Crew, Origin};
use self::gate::Gate;
use self::memory::{Long, Memory};
pub(crate) use self::outset::Seen;
use self::shelf::Shelf;
pub(crate) use self::turn::LongPage;
use self::turn::Written;

/// Everything the poller touches.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) store: StoreHandle,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// APIs may echo what they were sent, and what they say of their failures is kept.
    pub(crate) redactor: Redactor,
    /// Rung when there are new deliveries.
    pub(crate) deliver: Wake,
    /// Before the client: what all requests wait at.
    pub(crate) gate: Arc<Gate>,
    /// What vanished before that, and did not ring, is forgotten.
    pub(crate) retained: watch::Receiver<Timestamp>,
}

/// Makes polls, one at a time per unit.
pub(crate) struct Poller {
    ports: Ports,
    roster: watch::Receiver<Arc<Roster>>,
    /// Rung by whoever changed when a source is due.
    wake: Wake,
    slots: Mutex<HashMap<UnitName, Arc<Slot>>>,
    /// Units whose plan somebody else than the loop changed, for it to look at.
    replanned: Mutex<BTreeSet<UnitName>>,
    /// What is known of the sources that have entries.
    crews: Mutex<BTreeMap<SourceName, Arc<Crew>>>,
    /// Sources that were polled since the loop last looked whether they feed others.
    polled: Mutex<BTreeSet<SourceName>>,
    shelf: Shelf,
    /// How many sources began together last, at a start or a reload.
    beginning: AtomicUsize,
    /// What was seen of the state before the loop began.
    seen: Mutex<Option<Seen>>,
}

/// A unit's place in memory. Whoever holds the lock may poll it.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Memory>);

/// Why a poll did not come to an outcome. Nothing was lost: the next one meets the same changes.
#[derive(Debug, Error)]
pub(crate) enum PollError {
    #[error("no source {0} is declared")]
    Unknown(SourceName),
    #[error("source {0} has no entry {1:?}")]
    UnknownEntry(SourceName, String),
    /// It is polled entry by entry. The second text names some of them.
    #[error("source {0} is polled entry by entry: say which one with `--entry`, such as {1}")]
    EntryNeeded(SourceName, String),
    /// Nor is any known yet. The second text says what to do about that.
    #[error("source {0} is polled entry by entry, and no entry of it is known yet{1}")]
    NoEntry(SourceName, String),
    /// Somebody else wrote to the unit's state meanwhile.
    #[error("the state of {0} moved on during the poll")]
    Conflict(UnitName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PollError {
    /// Whether a later poll may be kept: nothing is broken.
    fn may_pass(&self) -> bool {
        match self {
            Self::Conflict(_) => true,
            Self::Store(fault) => fault.may_pass(),
            Self::Unknown(_)
            | Self::UnknownEntry(..)
            | Self::EntryNeeded(..)
            | Self::NoEntry(..) => false,
        }
    }
}

/// A unit as it is declared now.
struct Declared {
    roster: Arc<Roster>,
    source: Arc<Source>,
    entry: EntryKey,
    /// Where the item is that the entry is made of.
    origin: Option<Origin>,
    /// Of a source with entries.
    crew: Option<Arc<Crew>>,
}

/// How to poll.
struct Order {
    mode: Mode,
    /// Another client than ours.
    http: Option<Arc<dyn HttpClient>>,
    /// Whether somebody wants to see the events: there may be very many.
    shows_events: bool,
}

/// What the loop has to know of a poll.
struct Planned {
    /// When the next one is due; never, if it ended.
    due: Option<Timestamp>,
    /// Whether it failed; `None` if no poll was made.
    failed: Option<bool>,
}

impl Poller {
    /// A poller over these ports; `wake` is the signal its loop listens to.
    pub(crate) fn new(ports: Ports, roster: watch::Receiver<Arc<Roster>>, wake: Wake) -> Arc<Self> {
        Arc::new(Self {
            ports,
            roster,
            wake,
            slots: Mutex::default(),
            replanned: Mutex::default(),
            crews: Mutex::default(),
            polled: Mutex::default(),
            shelf: Shelf::default(),
            beginning: AtomicUsize::new(1),
            seen: Mutex::default(),
        })
    }

    /// Makes one poll of a unit now, whether it is due or not, after any that is under way.
    ///
    /// # Errors
    /// No such unit, a conflicting write, or the store's failure. Faults of the API are in the report.
    pub(crate) async fn poll(&self, unit: &UnitName, mode: Mode) -> Result<PollReport, PollError> {
        self.poll_by_hand(unit, mode, None).await
    }

    /// The same through another client. The answer is read even if it is the last one again: whoever asks for its
    /// exchanges wants to see what is in them.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    pub(crate) async fn poll_through(
        &self,
        unit: &UnitName,
        mode: Mode,
        http: Arc<dyn HttpClient>,
    ) -> Result<PollReport, PollError> {
        self.poll_by_hand(unit, mode, Some(http)).await
    }

    async fn poll_by_hand(
        &self,
        unit: &UnitName,
        mode: Mode,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Result<PollReport, PollError> {
        self.ports.gate.recall().await;
        self.declared(unit).await?;
        let slot = self.slot(unit);
        let mut memory = slot.0.lock().await;
        let mut declared = self.declared(unit).await?;
        if http.is_none() {
            self.carry_spent(&declared.source);
            declared = self.declared_when_open(unit, declared).await?;
        }
        let order = Order { mode, http, shows_events: true };
        let told = self.turn(&mut memory, unit, &declared, order).await;
        drop(memory);
        locked(&self.replanned).insert(unit.clone());
        self.wake.ring();
        told
    }

    /// A unit as it is declared when the gate opens for it: a reload may come while somebody's poll waits there.
    async fn declared_when_open(
        &self,
        unit: &UnitName,
        mut declared: Declared,
    ) -> Result<Declared, PollError> {
        let gate = &self.ports.gate;
        let latest = self.ports.clock.now().after(HELD_REQUEST_WAIT_MAX);
        loop {
            let opens = gate.opens(&declared.source, unit);
            if opens <= self.ports.clock.now() || opens > latest || gate.is_closed() {
                return Ok(declared);
            }
            gate.doze(opens).await;
            declared = self.declared(unit).await?;
        }
    }

    /// Makes one poll of a unit if it is still due when its turn comes: somebody may have polled it meanwhile, the API
    /// may have asked to be left alone, or the source may be declared anew.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    async fn poll_due(&self, unit: &UnitName) -> Result<Planned, PollError> {
        self.declared(unit).await?;
        let slot = self.slot(unit);
        let mut memory = slot.0.lock().await;
        let declared = self.declared(unit).await?;
        if declared.source.paused {
            let due = self.ports.clock.now().after(PAUSED_LOOK_PERIOD);
            return Ok(Planned { due: Some(due), failed: None });
        }
        let source = Arc::clone(&declared.source);
        let identity = source.identity();
        let state = self.recall(&mut memory, unit, &declared.source).await?;
        let now = self.ports.clock.now();
        if state.ended.is_some() {
            // An entry is what it was wherever it is asked for; a source that asks for something else is not.
            if !declared.entry.is_none() || state.identity() == identity {
                return Ok(Planned { due: None, failed: None });
            }
            Arc::make_mut(state).ended = None;
        }
        let schedule = self.plan(state, &source);
        if schedule != state.schedule {
            Arc::make_mut(state).schedule = schedule;
        }
        if schedule.due > now {
            return Ok(Planned { due: Some(schedule.due), failed: None });
        }
        let order = Order { mode: Mode::Commit, http: None, shows_events: false };
        let report = self.turn(&mut memory, unit, &declared, order).await?;
        let has_ended = memory.state.as_ref().is_some_and(|state| state.ended.is_some());
        let failed = Some(report.fault.is_some());
        Ok(Planned { due: Some(report.next_due).filter(|_| !has_ended), failed })
    }

    /// When a unit is due as it is declared now.
    fn plan(&self, state: &SourceState, source: &Source) -> Schedule {
        let (now, wall) = (self.ports.clock.now(), self.ports.clock.wall());
        let plan = state.schedule;
        let plan = match (&source.cron, state.last_poll) {
            (Some(cron), Some(last)) if plan.failures == 0 => {
                Schedule { due: by_calendar(cron, last, (now, wall)), ..plan }
            }
            (Some(_), _) => plan,
            (None, _) => plan.under(source.every, now),
        };
        state.left_alone(plan, now)
    }

    async fn turn(
        &self,
        memory: &mut Memory,
        unit: &UnitName,
        declared: &Declared,
        Order { mode, http, shows_events }: Order,
    ) -> Result<PollReport, PollError> {
        let Declared { roster, source, entry, origin, crew } = declared;
        let key = (!entry.is_none()).then(|| json::text(entry.as_str()));
        let item = match origin {
            Some(origin) => self.item_at(origin).await?,
            None => None,
        };
        let item = item.and_then(|item| json::read(item.as_str()).ok());
        let context = Context { key: key.as_ref(), item: item.as_ref(), ..Context::default() };
        let (known_as, state) = self.starting_point(memory, unit, source, mode).await?;
        let crew = crew.as_deref();
        let subject = turn::Subject { source, known_as, unit, entry, context, crew };
        let state = beginning(state, source, http.is_some());
        let ports = http.map(|http| Ports { http, ..self.ports.clone() });
        let ports = ports.as_ref().unwrap_or(&self.ports);
        let mut turn = turn::Turn::new(ports, subject, roster, state, (mode, shows_events));
        let pages = match mode {
            Mode::Commit => memory.long.as_mut().and_then(|long| long.pages.take()),
            Mode::DryRun => memory.long.as_ref().and_then(|long| long.pages.clone()),
        };
        turn.know(pages, memory.index().filter(|_| mode == Mode::Commit));
        let before = turn.before();
        let made = turn.make(memory.kept.as_deref()).await;
        let made = made.map(|written| (turn.ended(), written));
        // Only what is among the items decides who is fed.
        let is_as_before = |(ended, _): &(turn::Ended, Written)| {
            !ended.touched && ended.state.baseline == before.baseline
        };
        if mode == Mode::Commit
            && roster.feeds_others(&source.name)
            && !made.as_ref().is_ok_and(is_as_before)
        {
            locked(&self.polled).insert(source.name.clone());
        }
        match made {
            Ok(ended) if mode == Mode::Commit => Ok(self.take_in(memory, &before, ended)),
            Ok((ended, _)) => Ok(ended.report),
            Err(fault) => {
                *memory = Memory::planning(before.planned);
                Err(fault)
            }
        }
    }

    /// Keeps in memory what a poll came to, and tells of it.
    fn take_in(
        &self,
        memory: &mut Memory,
        before: &turn::Before,
        (ended, written): (turn::Ended, Written),
    ) -> PollReport {
        let state = ended.state;
        if written == Written::Overtaken {
            *memory = Memory::planning(state.schedule);
        } else {
            match written {
                Written::Whole => memory.keep(state),
                _ => memory.learn(state),
            }
            let index = match ended.snapshot {
                Some(snapshot) => self.shelf.keep(snapshot),
                None => memory.index(),
            };
            memory.remember(Long { pages: ended.pages, index });
        }
        tell(&ended.report, before.is_failing);
        self.ports.telemetry.polled(&ended.report);
        ended.report
    }

    /// The state that a poll begins with, and the unit under which its items are found: a poll that keeps nothing
    /// does not rename anything either.
    async fn starting_point(
        &self,
        memory: &mut Memory,
        unit: &UnitName,
        source: &Source,
        mode: Mode,
    ) -> Result<(UnitName, SourceState), StoreError> {
        if mode == Mode::DryRun
            && memory.state.is_none()
            && let Some(was) = self.former(source).await?
        {
            let known_as = UnitName::of(&was, &unit.entry());
            if let Some(state) = self.stored(&known_as).await? {
                return Ok((known_as, state));
            }
        }
        Ok((unit.clone(), SourceState::clone(self.recall(memory, unit, source).await?)))
    }

    /// A unit's state, if it is in memory and no poll is under way.
    pub(crate) fn remembered(&self, unit: &UnitName) -> Option<SourceState> {
        let slot = locked(&self.slots).get(unit).cloned()?;
        let state = slot.0.try_lock().ok()?.state.clone()?;
        Some(SourceState::clone(&state))
    }

    fn slot(&self, unit: &UnitName) -> Arc<Slot> {
        let mut slots = locked(&self.slots);
        if let Some(slot) = slots.get(unit) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(unit.clone()).or_default())
    }

    /// A unit's state: remembered, stored, or new.
    async fn recall<'m>(
        &self,
        memory: &'m mut Memory,
        unit: &UnitName,
        source: &Source,
    ) -> Result<&'m mut Arc<SourceState>, StoreError> {
        let mut last_seq = 0;
        if memory.state.is_none() {
            if source.was.is_some() {
                self.take_over(source).await?;
            }
            let (unit, name) = (unit.clone(), source.name.clone());
            let read = move |store: &dyn Read| {
                // Entries that a source once had numbered events of it too.
                let last_seq = if unit.entry().is_none() { store.last_seq(&name)? } else { 0 };
                Ok((store.source(&unit)?, last_seq))
            };
            let (kept, numbered) = self.ports.store.read(read).await?;
            last_seq = numbered;
            memory.kept = kept.map(|kept| {
                let last_seq = kept.last_seq.max(last_seq);
                Arc::new(SourceState { last_seq, ..kept })
            });
        }
        let at = (self.ports.clock.now(), self.ports.entropy.unit());
        Ok(self.settle(memory, source, last_seq, at))
    }

    /// What is known of a unit once the store was asked, or a new state. `chance` is uniform in `0.0..1.0`, and says when it
    /// is polled if it is to be spread.
    fn settle<'m>(
        &self,
        memory: &'m mut Memory,
        source: &Source,
        last_seq: u64,
        (now, chance): (Timestamp, f64),
    ) -> &'m mut Arc<SourceState> {
        let planned = memory.planned.take().map(|plan| *plan);
        let count = self.beginning.load(Ordering::Relaxed);
        let clocks = (now, self.ports.clock.wall());
        if let (None, Some(kept)) = (&memory.state, &memory.kept) {
            let plan = planned.unwrap_or(kept.schedule);
            let plan = match (&source.cron, kept.last_poll, planned) {
                // One that was missed runs now.
                (Some(cron), Some(last), None) if plan.failures == 0 => {
                    Schedule { due: by_calendar(cron, last, clocks), ..plan }
                }
                _ => plan,
            };
            let resumed = || kept.left_alone(plan.resumed(source.every, count, now, chance), now);
            let schedule = if planned.is_some() { plan } else { resumed() };
            if schedule == kept.schedule {
                memory.state = Some(Arc::clone(kept));
            } else {
                let state = SourceState { schedule, ..SourceState::clone(kept) };
                memory.learn(state);
            }
        }
        memory.state.get_or_insert_with(|| {
            let first = || {
                let first = Schedule::first(source.every, count, now, chance);
                let Some(cron) = &source.cron else { return first };
                Schedule { due: by_calendar(cron, now, clocks), ..first }
            };
            let state = SourceState::new(source, planned.unwrap_or_else(first));
            Arc::new(SourceState { last_seq, ..state })
        })
    }
}

/// The state with which a poll begins. Of one that is `looked_at` the answer is read even if it is the last one again.
fn beginning(state: SourceState, source: &Source, looked_at: bool) -> SourceState {
    let mut state = if looked_at { state.unrecognised() } else { state };
    state.share_digests(source);
    // Whoever is polled is one of its source's entries.
    state.left = None;
    state
}

/// What a lock guards. Nothing here breaks half-way, so a panic elsewhere poisons nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs a poll: loudly when its source begins to fail or is well again, quietly as long as that goes on.
fn tell(report: &PollReport, failing: bool) {
    let source = &report.unit;
    match &report.fault {
        Some(fault) if !failing => {
            warn!(%source, code = %fault.code, outcome = report.outcome, next = %report.next_due, "{}", fault.sentence);
        }
        Some(fault) => {
            debug!(%source, code = %fault.code, next = %report.next_due, "{}", fault.sentence);
        }
        None if failing => info!(%source, "the source is well again"),
        None => {}
    }
    if report.has_events() || report.held > 0 {
        let events = report.event_counts.values().sum::<u64>();
        info!(%source, events, held = report.held, items = report.items, "changed");
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Poller")
    }
}
