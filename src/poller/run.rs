//! The poller's loop: starts what is due, notes what ended, sleeps until the next is due.
//!
//! It takes no input. What is due stands in the agenda, which a reload, a poll by hand or a restart brings in line
//! again; losing a wake costs at most one sweep period.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, debug_span, error, warn};

use super::{Memory, PollError, Poller};
use crate::core::ids::SourceName;
use crate::core::limits::{POLLS_IN_FLIGHT_MAX, POLLS_TOGETHER, STATE_FLUSH_PERIOD, SWEEP_PERIOD};
use crate::core::roster::Roster;
use crate::core::schedule::Signal;
use crate::core::time::Timestamp;
use crate::store::Write;

/// Who is due when.
#[derive(Default)]
struct Agenda {
    by_time: BTreeSet<(Timestamp, SourceName)>,
    by_name: BTreeMap<SourceName, Timestamp>,
}

impl Agenda {
    fn set(&mut self, name: SourceName, due: Timestamp) {
        self.remove(&name);
        let due = due.rounded_up(POLLS_TOGETHER);
        self.by_time.insert((due, name.clone()));
        self.by_name.insert(name, due);
    }

    fn remove(&mut self, name: &SourceName) {
        if let Some(due) = self.by_name.remove(name) {
            self.by_time.remove(&(due, name.clone()));
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Timestamp) -> Option<SourceName> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }
}

/// The loop's own memory.
struct Loop {
    agenda: Agenda,
    roster: Arc<Roster>,
    polls: JoinSet<Result<Timestamp, PollError>>,
    under_way: HashMap<Id, SourceName>,
    /// Of these, the ones whose plan changed meanwhile, to be looked at when they end.
    again: BTreeSet<SourceName>,
    flushed: Timestamp,
}

impl Loop {
    /// Looks at a source's plan, at once or when its poll under way has ended. What is not due is not polled.
    fn look_at(&mut self, name: &SourceName, now: Timestamp) {
        if self.under_way.values().any(|polled| polled == name) {
            self.again.insert(name.clone());
        } else {
            self.agenda.set(name.clone(), now);
        }
    }
}

impl Poller {
    /// Polls what is due until `stop`. Polls under way are then abandoned – that loses nothing – and what was learned
    /// is written.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut own = Loop {
            agenda: Agenda::default(),
            roster: Arc::default(),
            polls: JoinSet::new(),
            under_way: HashMap::new(),
            again: BTreeSet::new(),
            flushed: self.ports.clock.now(),
        };
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
        own.polls.shutdown().await;
        self.flush().await;
    }

    async fn tick(self: &Arc<Self>, own: &mut Loop) {
        self.ports.telemetry.alive("poller", self.ports.clock.now());
        let roster = self.roster.borrow().clone();
        if !Arc::ptr_eq(&roster, &own.roster) {
            self.adopt(own, roster).await;
        }
        let now = self.ports.clock.now();
        let replanned = std::mem::take(&mut *self.replanned());
        let roster = Arc::clone(&own.roster);
        for name in replanned.iter().filter(|name| roster.sources.contains_key(*name)) {
            own.look_at(name, now);
        }
        while own.polls.len() < POLLS_IN_FLIGHT_MAX
            && let Some(name) = own.agenda.take_due(now)
        {
            let (poller, span) = (Arc::clone(self), debug_span!("poll", source = %name));
            let source = name.clone();
            let poll = async move { poller.poll_due(&source).await }.instrument(span);
            own.under_way.insert(own.polls.spawn(poll).id(), name);
        }
        if now.since(own.flushed) >= STATE_FLUSH_PERIOD {
            own.flushed = now;
            self.flush().await;
        }
    }

    fn wait(&self, own: &Loop) -> Duration {
        let now = self.ports.clock.now();
        let full = own.polls.len() >= POLLS_IN_FLIGHT_MAX;
        let next = own.agenda.next_due().filter(|_| !full);
        next.map_or(SWEEP_PERIOD, |due| due.since(now)).min(SWEEP_PERIOD)
    }

    async fn note(
        &self,
        own: &mut Loop,
        ended: Result<(Id, Result<Timestamp, PollError>), JoinError>,
    ) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(name) = own.under_way.remove(&id) else { return };
        let due = match ended {
            Ok((_, Ok(due))) => due,
            // Removed; if it is back already, it is planned anew.
            Ok((_, Err(PollError::Unknown(_)))) => self.ports.clock.now(),
            Ok((_, Err(PollError::Conflict(_)))) => {
                debug!(source = %name, "the poll met a conflicting write and is repeated");
                self.ports.clock.now()
            }
            Ok((_, Err(fault @ PollError::Store(_)))) => {
                error!(source = %name, %fault, "the poll could not be kept");
                self.back_off(own, &name).await
            }
            Err(panic) => {
                error!(source = %name, %panic, "the poll failed by a fault of ours");
                self.back_off(own, &name).await
            }
        };
        let due = if own.again.remove(&name) { self.ports.clock.now() } else { due };
        if own.roster.sources.contains_key(&name) {
            own.agenda.set(name, due);
        }
    }

    /// Our own failure: the source waits as if it had failed.
    async fn back_off(&self, own: &Loop, name: &SourceName) -> Timestamp {
        let now = self.ports.clock.now();
        let Some(source) = own.roster.sources.get(name) else { return now };
        let slot = self.slot(name);
        let Ok(mut memory) = slot.0.try_lock() else { return now.after(SWEEP_PERIOD) };
        let Ok(state) = self.recall(&mut memory, source).await else {
            return now.after(SWEEP_PERIOD);
        };
        let unit = self.ports.entropy.unit();
        state.schedule =
            state.schedule.after(Signal::Failed, source.every, &source.backoff, now, unit);
        state.schedule.due
    }

    /// Takes on another set of sources: new and changed ones are planned anew at once, removed ones leave. Waits for
    /// no poll under way: one source that hangs holds up no other.
    async fn adopt(&self, own: &mut Loop, roster: Arc<Roster>) {
        let old = std::mem::replace(&mut own.roster, Arc::clone(&roster));
        for name in old.sources.keys().filter(|name| !roster.sources.contains_key(*name)) {
            own.agenda.remove(name);
            self.flush_one(name).await;
            if let Ok(mut memory) = self.slot(name).0.try_lock() {
                *memory = Memory::default();
            }
        }
        let now = self.ports.clock.now();
        for (name, source) in &roster.sources {
            if old.sources.get(name).is_some_and(|known| known == source) {
                continue;
            }
            own.look_at(name, now);
        }
    }

    /// Writes what polls that changed nothing taught.
    async fn flush(&self) {
        let names: Vec<_> = {
            let slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            slots.keys().cloned().collect()
        };
        for name in names {
            self.flush_one(&name).await;
        }
    }

    async fn flush_one(&self, name: &SourceName) {
        let slot = self.slot(name);
        let Ok(mut memory) = slot.0.try_lock() else { return };
        let Some(state) = memory.state.clone().filter(|state| memory.kept.as_ref() != Some(state))
        else {
            return;
        };
        // A source that was never polled has nothing worth keeping.
        if state.last_poll.is_none() {
            return;
        }
        let write = Write::State { source: name.clone(), state: Box::new(state.clone()) };
        match self.ports.store.write(write).await {
            Ok(_) => memory.kept = Some(state),
            Err(fault) => {
                warn!(source = %name, %fault, "what was learned of the source could not be kept");
            }
        }
    }
}
