//! The poller: makes polls when they are due. The imperative shell – it fetches, asks `core` what that means, and
//! commits the answer. A page of a poll is one transaction: snapshot, events and deliveries together.
//!
//! [`Poller::run`] is the loop; [`Poller::poll`] makes one poll, also for those who ask for it by hand. It knows
//! nothing of receivers beyond which of them want an event's type.

mod former;
pub(crate) mod hold;
mod run;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::clock::{Clock, Entropy};
use crate::core::ids::SourceName;
use crate::core::limits::PAUSED_LOOK_PERIOD;
use crate::core::pages::KnownPages;
use crate::core::parts::Parts;
use crate::core::report::{Mode, PollReport};
use crate::core::roster::Roster;
use crate::core::schedule::Schedule;
use crate::core::source::{Definition, Source, SourceState};
use crate::core::time::Timestamp;
use crate::http::HttpClient;
use crate::store::StoreError;
use crate::store::handle::StoreHandle;
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

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
}

/// Makes polls, one at a time per source.
pub(crate) struct Poller {
    ports: Ports,
    roster: watch::Receiver<Arc<Roster>>,
    /// Rung by whoever changed when a source is due.
    wake: Wake,
    slots: Mutex<BTreeMap<SourceName, Arc<Slot>>>,
    /// Sources whose plan somebody else than the loop changed, for it to look at.
    replanned: Mutex<BTreeSet<SourceName>>,
}

/// A source's place in memory. Whoever holds the lock may poll it.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Memory>);

/// What is remembered between polls, so that an unchanged one costs no access to the store.
#[derive(Default)]
struct Memory {
    /// As of the last poll; `None` when the store has to be asked.
    state: Option<SourceState>,
    /// As the store has it.
    kept: Option<SourceState>,
    /// The pages of the last complete listing, with their validators. A restart costs one listing that is read whole.
    pages: Option<KnownPages>,
    /// The plan to go on with when the store is asked again: that a poll could not be kept does not undo its failures.
    planned: Option<Schedule>,
    /// The declaration that was last polled, with its digests.
    declared: Option<(Arc<Source>, Definitions)>,
}

/// The digests of a declaration. Made once for each: hashing it at every poll would cost as much as judging the answer.
#[derive(Clone)]
struct Definitions {
    identity: Definition,
    comparison: Definition,
    parts: Parts,
}

impl Memory {
    fn definitions(&mut self, source: &Arc<Source>) -> Definitions {
        match &self.declared {
            Some((known, definitions)) if Arc::ptr_eq(known, source) => definitions.clone(),
            _ => {
                let (identity, comparison) = (source.identity(), source.comparison());
                let definitions = Definitions { identity, comparison, parts: Parts::of(source) };
                self.declared = Some((Arc::clone(source), definitions.clone()));
                definitions
            }
        }
    }
}

/// Why a poll did not come to an outcome. Nothing was lost: the next one meets the same changes.
#[derive(Debug, Error)]
pub(crate) enum PollError {
    #[error("no source {0} is declared")]
    Unknown(SourceName),
    /// Somebody else wrote to the source's state meanwhile.
    #[error("the state of source {0} moved on during the poll")]
    Conflict(SourceName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Poller {
    /// A poller over these ports; `wake` is the signal its loop listens to.
    pub(crate) fn new(ports: Ports, roster: watch::Receiver<Arc<Roster>>, wake: Wake) -> Arc<Self> {
        let (slots, replanned) = (Mutex::default(), Mutex::default());
        Arc::new(Self { ports, roster, wake, slots, replanned })
    }

    /// Makes one poll of a source now, whether it is due or not, after any that is under way.
    ///
    /// # Errors
    /// No such source, a conflicting write, or the store's failure. Faults of the API are in the report.
    pub(crate) async fn poll(
        &self,
        name: &SourceName,
        mode: Mode,
    ) -> Result<PollReport, PollError> {
        self.poll_by_hand(name, mode, None).await
    }

    /// The same through another client. The answer is read even if it is the last one again: whoever asks for its
    /// exchanges wants to see what is in them.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    pub(crate) async fn poll_through(
        &self,
        name: &SourceName,
        mode: Mode,
        http: Arc<dyn HttpClient>,
    ) -> Result<PollReport, PollError> {
        self.poll_by_hand(name, mode, Some(http)).await
    }

    async fn poll_by_hand(
        &self,
        name: &SourceName,
        mode: Mode,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Result<PollReport, PollError> {
        let slot = self.declared_slot(name)?;
        let mut memory = slot.0.lock().await;
        let (roster, source) = self.declared(name)?;
        let told = self.turn(&mut memory, &source, &roster, mode, http).await;
        drop(memory);
        self.replanned().insert(name.clone());
        self.wake.ring();
        told
    }

    /// Makes one poll of a source if it is still due when its turn comes: somebody may have polled it meanwhile, the
    /// API may have asked to be left alone, or the source may be declared anew. Says when the next one is due.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    async fn poll_due(&self, name: &SourceName) -> Result<Timestamp, PollError> {
        let slot = self.declared_slot(name)?;
        let mut memory = slot.0.lock().await;
        let (roster, source) = self.declared(name)?;
        if source.paused {
            return Ok(self.ports.clock.now().after(PAUSED_LOOK_PERIOD));
        }
        let (state, now) = (self.recall(&mut memory, &source).await?, self.ports.clock.now());
        state.schedule = state.schedule.under(source.every, now);
        if state.schedule.due > now {
            return Ok(state.schedule.due);
        }
        Ok(self.turn(&mut memory, &source, &roster, Mode::Commit, None).await?.next_due)
    }

    /// A source as it is declared now. Asked for once its turn has come: a poll may wait long for another one.
    fn declared(&self, name: &SourceName) -> Result<(Arc<Roster>, Arc<Source>), PollError> {
        let roster = self.roster.borrow().clone();
        let source = roster.sources.get(name).map(Arc::clone);
        Ok((roster, source.ok_or_else(|| PollError::Unknown(name.clone()))?))
    }

    /// The place in memory of a source that is declared.
    fn declared_slot(&self, name: &SourceName) -> Result<Arc<Slot>, PollError> {
        self.declared(name).map(|_| self.slot(name))
    }

    async fn turn(
        &self,
        memory: &mut Memory,
        source: &Arc<Source>,
        roster: &Roster,
        mode: Mode,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Result<PollReport, PollError> {
        let (known_as, mut state) = self.starting_point(memory, source, mode).await?;
        let (failing, planned) = (state.fault.is_some(), state.schedule);
        let definitions = memory.definitions(source);
        if state.identity == definitions.identity && state.comparison == definitions.comparison {
            // Not kept by earlier versions.
            state.parts = definitions.parts.clone();
        }
        if http.is_some() {
            state = state.unrecognised();
        }
        let ports = http.map(|http| Ports { http, ..self.ports.clone() });
        let ports = ports.as_ref().unwrap_or(&self.ports);
        let turn = turn::Turn::new(ports, (source, known_as, definitions), roster, state, mode);
        let turn = turn.knowing(memory.pages.clone());
        let ended = match turn.make(memory.kept.as_ref()).await {
            Ok(ended) => ended,
            Err(fault) => {
                *memory = Memory { planned: Some(planned), ..Memory::default() };
                return Err(fault);
            }
        };
        if mode == Mode::Commit {
            if ended.kept {
                memory.kept = Some(ended.state.clone());
            }
            memory.state = Some(ended.state);
            memory.pages = ended.pages;
            tell(&ended.report, failing);
            self.ports.telemetry.polled(&ended.report);
        }
        Ok(ended.report)
    }

    /// The state that a poll begins with, and the name under which its items are found: a poll that keeps nothing
    /// does not rename anything either.
    async fn starting_point(
        &self,
        memory: &mut Memory,
        source: &Source,
        mode: Mode,
    ) -> Result<(SourceName, SourceState), StoreError> {
        if mode == Mode::DryRun
            && memory.state.is_none()
            && let Some((was, state)) = self.former(source).await?
        {
            return Ok((was, state));
        }
        Ok((source.name.clone(), self.recall(memory, source).await?.clone()))
    }

    fn replanned(&self) -> MutexGuard<'_, BTreeSet<SourceName>> {
        self.replanned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: &SourceName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(name.clone()).or_default())
    }

    /// A source's state: remembered, stored, or new.
    async fn recall<'m>(
        &self,
        memory: &'m mut Memory,
        source: &Source,
    ) -> Result<&'m mut SourceState, StoreError> {
        if memory.state.is_none() {
            let name = source.name.clone();
            memory.kept = self.ports.store.read(move |store| store.source(&name)).await?;
            if memory.kept.is_none() && source.was.is_some() {
                memory.kept = self.take_over(source).await?;
            }
        }
        let planned = memory.planned.take();
        let new = || {
            let (now, unit) = (self.ports.clock.now(), self.ports.entropy.unit());
            if let Some(kept) = &memory.kept {
                let resumed = || kept.schedule.resumed(source.every, now, unit);
                SourceState { schedule: planned.unwrap_or_else(resumed), ..kept.clone() }
            } else {
                let first = || Schedule::first(source.every, now, unit);
                SourceState::new(source, planned.unwrap_or_else(first))
            }
        };
        Ok(memory.state.get_or_insert_with(new))
    }
}

/// Logs a poll: loudly when its source begins to fail or is well again, quietly as long as that goes on.
fn tell(report: &PollReport, failing: bool) {
    let source = &report.source;
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
    if !report.events.is_empty() || report.held > 0 {
        info!(%source, events = report.events.len(), held = report.held, items = report.items, "changed");
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Poller")
    }
}
