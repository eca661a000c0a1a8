//! The store as the loops see it: full or dead when it shall be, and every commit goes into the books.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rusqlite::ffi;

use super::bugs;
use super::stage::{Death, Stage, World};
use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Holder, Kept};
use crate::core::delivery::{EndpointHealth, Verdict};
use crate::core::ids::{
    DeliveryId, EndpointName, EntryKey, EventId, EventNo, ItemKey, SourceName, UnitName,
};
use crate::core::plan::Holding;
use crate::core::sink::content::Content;
use crate::core::snapshot::{Settling, Snapshot, StoredItem};
use crate::core::source::SourceState;
use crate::core::time::Timestamp;
use crate::store::{
    Attempt, AttemptCommit, DeliveryFilter, DeliveryRecord, Due, EventFilter, EventRecord, Expired,
    Expiry, Read, Refusal, Slice, Store, StoreError, Tally, Write, Written,
};

/// The store of one process; the disk below it survives.
pub(super) struct Witness(pub(super) Arc<Stage>);

impl Witness {
    fn living(&self) -> Result<(), StoreError> {
        if self.0.world().is_dead { Err(StoreError::Stopped) } else { Ok(()) }
    }

    /// Whether the process dies before or after this commit.
    fn fate(&self, world: &mut World) -> (bool, bool) {
        let count_down = |left: u32| left.checked_sub(1);
        let (next, now) = match world.death {
            Some(Death::BeforeCommit(left)) => {
                (count_down(left).map(Death::BeforeCommit), (left == 0, false))
            }
            Some(Death::AfterCommit(left)) => {
                (count_down(left).map(Death::AfterCommit), (false, left == 0))
            }
            None => (None, (false, false)),
        };
        world.death = next;
        if now.0 {
            world.notes.sometimes("crash: before a commit");
            self.0.die(world);
        }
        now
    }

    /// What stands in the way of a write, if anything.
    fn refuse(&self, write: &Write) -> Option<Result<Refusal, StoreError>> {
        let record = match write {
            Write::Attempt(commit) => self.0.disk().delivery(commit.delivery).ok().flatten(),
            _ => None,
        };
        let world = &mut *self.0.world();
        if world.notes.now < world.full_until {
            world.forget(write, record.as_ref());
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None);
            return Some(Err(StoreError::Full { source }));
        }
        let Write::Poll(commit) = write else { return None };
        if world.dice.u32(..1000) < world.conflict_rate {
            world.notes.sometimes("conflict");
            world.forget(write, None);
            return Some(Ok(Refusal::Conflict { unit: commit.unit.clone() }));
        }
        None
    }

    /// Writes to the disk, as well as the planted bug does.
    fn write(&self, write: &Write) -> Result<Vec<Result<Written, Refusal>>, StoreError> {
        let Some(bug) = self.0.bug else {
            return self.0.disk().apply(std::slice::from_ref(write));
        };
        let (writes, dies) = {
            let dice = &mut self.0.world().dice;
            (bugs::spoil_write(bug, write, dice), dice.u32(..20) == 0)
        };
        let mut done = vec![Ok(Written::Done)];
        for (place, write) in writes.iter().enumerate() {
            if place > 0 && dies {
                return Err(StoreError::Stopped);
            }
            done = self.0.disk().apply(std::slice::from_ref(write))?;
        }
        Ok(done)
    }

    fn one(&self, write: &Write) -> Result<Result<Written, Refusal>, StoreError> {
        self.living()?;
        let (before, after) = self.fate(&mut self.0.world());
        if before {
            return Err(StoreError::Stopped);
        }
        match self.refuse(write) {
            Some(Ok(refusal)) => return Ok(Err(refusal)),
            Some(Err(fault)) => return Err(fault),
            None => {}
        }
        let record = match write {
            Write::Attempt(commit) => self.0.disk().delivery(commit.delivery)?,
            _ => None,
        };
        let done = self.write(write);
        let world = &mut *self.0.world();
        let answer = match done {
            Ok(mut answers) => answers.remove(0),
            Err(fault) => {
                self.0.die(world);
                return Err(fault);
            }
        };
        match &answer {
            Ok(Written::Count(count)) => world.note_replays(&**self.0.disk(), *count),
            Ok(_) => world.note(write, record.as_ref()),
            Err(refusal) => world.notes.line(&format!("refused: {refusal}")),
        }
        if after {
            world.notes.sometimes("crash: after a commit");
            self.0.die(world);
            return Err(StoreError::Stopped);
        }
        Ok(answer)
    }
}

impl World {
    /// A write came to nothing: what depends on it cannot be expected.
    fn forget(&mut self, write: &Write, record: Option<&DeliveryRecord>) {
        match write {
            Write::Poll(commit) => {
                self.notes.sometimes("store: poll refused");
                if let Some(desk) = self.api.desks.get_mut(commit.unit.as_str()) {
                    desk.watch.disturb();
                }
            }
            Write::Attempt(commit) => {
                self.notes.sometimes("store: attempt refused");
                if let (Some(health), Some(record)) = (&commit.health, record) {
                    let endpoint = record.endpoint.as_str();
                    self.books.believe(endpoint, health, self.notes.now);
                }
                let receiver =
                    record.and_then(|record| self.receivers.all.get_mut(record.endpoint.as_str()));
                if let (Some(receiver), Some(record)) = (receiver, record) {
                    receiver.asked.remove(record.event_id.as_str());
                }
            }
            Write::Health { name, health } => {
                self.books.believe(name.as_str(), health, self.notes.now);
            }
            _ => {}
        }
    }

    /// A write was made.
    fn note(&mut self, write: &Write, record: Option<&DeliveryRecord>) {
        match write {
            Write::Poll(commit) => {
                if let Some(desk) = self.api.desks.get(commit.unit.as_str()) {
                    let seen = (&self.plan, &desk.watch);
                    self.books.poll(commit, seen, &mut self.notes);
                } else {
                    self.books.own(commit, &mut self.notes);
                }
            }
            Write::Attempt(commit) => {
                if let Some(record) = record {
                    self.note_attempt(commit, record);
                }
            }
            Write::Health { name, health } => {
                self.books.health(name.as_str(), health, &mut self.notes);
                if let Some(receiver) = self.receivers.all.get_mut(name.as_str()) {
                    receiver.left_alone_until = self.books.held_until(name.as_str());
                }
            }
            _ => {}
        }
    }

    /// Old events are on their way again.
    fn note_replays(&mut self, disk: &dyn Store, count: u64) {
        let rows_max = usize::try_from(count).unwrap();
        let newest = Slice { newest_first: true, rows_max };
        self.notes.add("replayed", count);
        for record in disk.deliveries(&DeliveryFilter::default(), newest).unwrap_or_default() {
            let endpoint = record.endpoint.as_str();
            *self.books.deliveries.entry(endpoint.to_owned()).or_default() += 1;
            let known = self.plan.endpoints.get_key_value(endpoint);
            if let (Some((name, _)), Some(fact)) =
                (known, self.books.facts.get_mut(record.event_id.as_str()))
            {
                fact.replayed.insert(*name);
            }
        }
    }

    fn note_attempt(&mut self, commit: &AttemptCommit, record: &DeliveryRecord) {
        let id = record.event_id.as_str();
        let Some(receiver) = self.receivers.all.get_mut(record.endpoint.as_str()) else { return };
        let accepted = receiver.accepted.contains(id);
        self.books.attempt(commit, record, accepted, &mut self.notes);
        if let Some(own) = &commit.own {
            self.books.own(own, &mut self.notes);
        }
        if let Verdict::RetryAt(due) = &commit.verdict {
            receiver.earliest.insert(id.to_owned(), self.books.since_start(*due));
        } else {
            receiver.earliest.remove(id);
            receiver.asked.remove(id);
        }
    }
}

impl Read for Witness {
    fn seed(&self) -> u64 {
        self.0.disk().seed()
    }

    fn source(&self, unit: &UnitName) -> Result<Option<SourceState>, StoreError> {
        self.living()?;
        self.0.disk().source(unit)
    }

    fn last_seq(&self, source: &SourceName) -> Result<u64, StoreError> {
        self.living()?;
        self.0.disk().last_seq(source)
    }

    fn entries(&self, source: &SourceName) -> Result<Vec<(EntryKey, SourceState)>, StoreError> {
        self.living()?;
        self.0.disk().entries(source)
    }

    fn sources_with_entries(&self) -> Result<Vec<SourceName>, StoreError> {
        self.living()?;
        self.0.disk().sources_with_entries()
    }

    fn held_units(&self) -> Result<Vec<(UnitName, u64)>, StoreError> {
        self.living()?;
        self.0.disk().held_units()
    }

    fn sources(&self) -> Result<Vec<(SourceName, SourceState)>, StoreError> {
        self.living()?;
        self.0.disk().sources()
    }

    fn token(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.living()?;
        self.0.disk().token(key)
    }

    fn snapshot(&self, unit: &UnitName) -> Result<Snapshot, StoreError> {
        self.living()?;
        self.0.disk().snapshot(unit)
    }

    fn items(&self, unit: &UnitName, keys: &[ItemKey]) -> Result<Vec<StoredItem>, StoreError> {
        self.living()?;
        self.0.disk().items(unit, keys)
    }

    fn settling(&self, unit: &UnitName) -> Result<HashMap<ItemKey, Settling>, StoreError> {
        self.living()?;
        self.0.disk().settling(unit)
    }

    fn held(&self, unit: &UnitName) -> Result<Vec<StoredItem>, StoreError> {
        self.living()?;
        self.0.disk().held(unit)
    }

    fn holding(&self, source: &SourceName) -> Result<Holding, StoreError> {
        self.living()?;
        self.0.disk().holding(source)
    }

    fn events(&self, filter: &EventFilter, slice: Slice) -> Result<Vec<EventRecord>, StoreError> {
        self.living()?;
        self.0.disk().events(filter, slice)
    }

    fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        self.living()?;
        self.0.disk().event(id)
    }

    fn deliveries(
        &self,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.living()?;
        self.0.disk().deliveries(filter, slice)
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.living()?;
        self.0.disk().delivery(id)
    }

    fn content(&self, id: DeliveryId) -> Result<Content, StoreError> {
        self.living()?;
        self.0.disk().content(id)
    }

    fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.living()?;
        self.0.disk().attempts(id)
    }

    fn replay_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError> {
        self.living()?;
        self.0.disk().replay_count(filter)
    }

    fn due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
        rows_max: usize,
        claimed: &BTreeSet<DeliveryId>,
    ) -> Result<Vec<Due>, StoreError> {
        self.living()?;
        let mut due = self.0.disk().due(endpoint, now, rows_max, claimed)?;
        if let Some(bug) = self.0.bug {
            for due in &mut due {
                if let Due::Whole(due) = due {
                    bugs::spoil_due(bug, due);
                }
            }
        }
        Ok(due)
    }

    fn next_due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.living()?;
        self.0.disk().next_due(endpoint, now)
    }

    fn endpoints(&self) -> Result<Vec<(EndpointName, EndpointHealth)>, StoreError> {
        self.living()?;
        self.0.disk().endpoints()
    }

    fn budgets(&self) -> Result<Vec<(Holder, Kept)>, StoreError> {
        self.living()?;
        self.0.disk().budgets()
    }

    fn tally(&self) -> Result<Vec<Tally>, StoreError> {
        self.living()?;
        self.0.disk().tally()
    }

    fn expired(
        &self,
        expiry: Expiry,
        after: EventNo,
        rows_max: usize,
    ) -> Result<Expired, StoreError> {
        self.living()?;
        self.0.disk().expired(expiry, after, rows_max)
    }

    fn overdue(
        &self,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.living()?;
        self.0.disk().overdue(before, rows_max)
    }

    fn departed(
        &self,
        before: Timestamp,
        after: &UnitName,
        rows_max: usize,
    ) -> Result<Vec<UnitName>, StoreError> {
        self.living()?;
        self.0.disk().departed(before, after, rows_max)
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        self.living()?;
        self.0.disk().bytes()
    }

    fn seen(&self) -> Result<Option<Timestamp>, StoreError> {
        self.living()?;
        self.0.disk().seen()
    }

    fn snapshot_bytes(&self) -> Result<u64, StoreError> {
        self.living()?;
        self.0.disk().snapshot_bytes()
    }
}

impl Store for Witness {
    fn apply(&mut self, writes: &[Write]) -> Result<Vec<Result<Written, Refusal>>, StoreError> {
        writes.iter().map(|write| self.one(write)).collect()
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.living()?;
        self.0.disk().checkpoint()
    }

    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        self.living()?;
        self.0.disk().backup(to)
    }
}
