//! The reference model of the store: plain maps, obviously right, nothing durable.
//!
//! Each write first looks whether it is refused and only then changes anything; nothing after that can fail, so a
//! refused write leaves no trace.

mod filter;
mod rename;
mod retention;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Holder, Kept};
use crate::core::delivery::{DeliveryState, EndpointHealth, Trigger, Verdict};
use crate::core::event::Event;
use crate::core::ids::{
    DeliveryId, EndpointName, EntryKey, EventId, EventNo, ItemKey, SourceName, UnitName,
};
use crate::core::own::OWN_SOURCE;
use crate::core::plan::Holding;
use crate::core::sink::content::Content;
use crate::core::snapshot::{Settling, Snapshot, Standing, StoredItem};
use crate::core::time::Timestamp;
use crate::store::{
    Attempt, AttemptCommit, DeliveryFilter, DeliveryRecord, Due, DueDelivery, EventFilter,
    EventRecord, Expired, Expiry, PollCommit, Read, Refusal, Slice, SourceState, Store, StoreError,
    Tally, Write, Written,
};

use filter::{event_matches, slice};

/// A store that forgets everything when dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    seed: u64,
    sources: BTreeMap<UnitName, SourceState>,
    items: BTreeMap<UnitName, BTreeMap<ItemKey, StoredItem>>,
    settling: BTreeMap<UnitName, HashMap<ItemKey, Settling>>,
    /// The event numbered 1 comes first.
    events: Vec<Event>,
    endpoints: BTreeMap<EndpointName, EndpointHealth>,
    /// Those that were removed, and those whose bytes were.
    forgotten: BTreeSet<EventNo>,
    emptied: BTreeSet<EventNo>,
    deliveries: BTreeMap<DeliveryId, DeliveryRecord>,
    last_delivery: u64,
    /// What is not the envelope.
    contents: BTreeMap<(EventNo, EndpointName), Content>,
    /// Those that send the envelope.
    plain: BTreeSet<DeliveryId>,
    /// Those that are waiting or pending.
    unfinished: BTreeSet<DeliveryId>,
    attempts: HashMap<DeliveryId, Vec<Attempt>>,
    tokens: BTreeMap<TokenKey, Vec<u8>>,
    budgets: BTreeMap<Holder, Kept>,
    seen: Option<Timestamp>,
    full: Arc<AtomicBool>,
}

impl MemoryStore {
    /// An empty state with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// As long as it is set, writes meet a full disk.
    pub(crate) fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    fn one(&mut self, write: &Write) -> Result<Written, Refusal> {
        match write {
            Write::Poll(commit) => self.poll(commit),
            Write::Attempt(commit) => self.attempt(commit),
            Write::Endpoint { name, now } => {
                self.know(name, *now);
                Ok(Written::Done)
            }
            Write::Health { name, health } => {
                let Some(known) = self.endpoints.get_mut(name) else {
                    return Err(Refusal::NoEndpoint(name.clone()));
                };
                known.clone_from(health);
                Ok(Written::Done)
            }
            Write::Replay { filter, now, spacing } => {
                Ok(Written::Count(self.replay(filter, *now, *spacing)))
            }
            Write::Hasten { endpoint, beyond, now } => {
                Ok(Written::Count(self.hasten(endpoint, *beyond, *now)))
            }
            Write::Rename { from, to } => Ok(Written::Count(self.rename(from, to))),
            Write::RenameEndpoint { from, to } => {
                Ok(Written::Count(self.rename_endpoint(from, to)))
            }
            Write::Made { event, endpoint, made } => {
                let kept = self.contents.get_mut(&(*event, endpoint.clone()));
                let unmade = kept.filter(|content| **content == Content::Unmade);
                let count = u64::from(unmade.is_some());
                if let Some(content) = unmade {
                    *content = Content::Made(made.clone());
                }
                Ok(Written::Count(count))
            }
            Write::State { unit, state } => {
                if self.expected_seq(unit, false) == state.last_seq {
                    self.sources.insert(unit.clone(), (**state).clone());
                }
                Ok(Written::Done)
            }
            Write::Unlearn { units, left_before } => {
                Ok(Written::Count(self.unlearn(units, *left_before)))
            }
            Write::Return { unit } => Ok(Written::Count(self.come_back(unit))),
            Write::Forget { events } => Ok(Written::Count(self.forget(events))),
            Write::Seen { at } => {
                self.seen = Some(*at);
                Ok(Written::Done)
            }
            Write::Lapse(lapse) => self.lapse(lapse),
            Write::Token { key, sealed, at: _ } => {
                self.tokens.insert(*key, sealed.clone());
                Ok(Written::Done)
            }
            Write::Budgets(kept) => {
                self.budgets.extend(kept.iter().cloned());
                Ok(Written::Done)
            }
        }
    }

    fn last_seq_of(&self, source: &SourceName) -> u64 {
        let units = self.sources.iter().filter(|(unit, _)| unit.source() == *source);
        units.map(|(_, state)| state.last_seq).max().unwrap_or(0)
    }

    fn expected_seq(&self, unit: &UnitName, has_events: bool) -> u64 {
        if has_events || unit.entry().is_none() {
            return self.last_seq_of(&unit.source());
        }
        self.sources.get(unit).map_or(0, |state| state.last_seq)
    }

    fn know(&mut self, name: &EndpointName, now: Timestamp) {
        self.endpoints.entry(name.clone()).or_insert_with(|| EndpointHealth::new(now));
    }

    fn poll(&mut self, commit: &PollCommit) -> Result<Written, Refusal> {
        if self.expected_seq(&commit.unit, !commit.events.is_empty()) != commit.expected_seq {
            return Err(Refusal::Conflict { unit: commit.unit.clone() });
        }
        self.sources.insert(commit.unit.clone(), commit.state.clone());
        let items = self.items.entry(commit.unit.clone()).or_default();
        for item in &commit.upserts {
            items.insert(item.key.clone(), item.clone());
        }
        for (key, standing) in &commit.marks {
            if let Some(item) = items.get_mut(key) {
                item.entry.standing = *standing;
            }
        }
        let settling = self.settling.entry(commit.unit.clone()).or_default();
        for (key, value) in &commit.settling {
            settling.remove(key);
            settling.extend(value.clone().map(|value| (key.clone(), value)));
        }
        let first = EventNo(self.events.len() as u64 + 1);
        let mut due = Vec::new();
        for new in &commit.events {
            self.events.push(new.event.clone());
            let no = EventNo(self.events.len() as u64);
            for delivery in &new.deliveries {
                self.know(&delivery.endpoint, commit.at);
                if delivery.content != Content::Envelope {
                    let pair = (no, delivery.endpoint.clone());
                    self.contents.insert(pair, delivery.content.clone());
                }
                let to = (&delivery.endpoint, delivery.lane);
                let id = self.deliver((no, &new.event), to, Trigger::Change, commit.at);
                self.plain.extend((delivery.content == Content::Envelope).then_some(id));
                let made = self.deliveries.get(&id).filter(|_| Written::takes(&due, new));
                if let Some(made) = made.filter(|made| made.state != DeliveryState::Waiting) {
                    due.push(DueDelivery {
                        delivery: made.clone(),
                        event: new.event.clone(),
                        content: delivery.content.clone(),
                    });
                }
            }
        }
        Ok(Written::Events { first, count: commit.events.len() as u64, due })
    }

    fn deliver(
        &mut self,
        (event_no, event): (EventNo, &Event),
        (endpoint, lane): (&EndpointName, Option<i64>),
        trigger: Trigger,
        now: Timestamp,
    ) -> DeliveryId {
        self.last_delivery += 1;
        let id = DeliveryId(self.last_delivery);
        let is_behind = lane.is_some() && self.first_of_lane(endpoint, lane).is_some();
        let state =
            if is_behind { DeliveryState::Waiting } else { DeliveryState::Pending { due: now } };
        self.unfinished.insert(id);
        let record = DeliveryRecord {
            id,
            endpoint: endpoint.clone(),
            lane,
            trigger,
            state,
            created_at: now,
            attempts: 0,
            started: None,
            event_no,
            event_id: event.id.clone(),
            event_type: event.event_type.clone(),
            source: event.source.clone(),
            entry: event.entry.clone(),
            key: event.key.clone(),
            seq: event.seq,
        };
        self.deliveries.insert(id, record);
        id
    }

    fn unfinished(&self) -> impl Iterator<Item = &DeliveryRecord> {
        self.unfinished.iter().filter_map(|id| self.deliveries.get(id))
    }

    fn first_of_lane(&self, endpoint: &EndpointName, lane: Option<i64>) -> Option<DeliveryId> {
        self.unfinished()
            .find(|delivery| delivery.endpoint == *endpoint && delivery.lane == lane)
            .map(|delivery| delivery.id)
    }

    fn attempt(&mut self, commit: &AttemptCommit) -> Result<Written, Refusal> {
        let id = commit.delivery;
        let refusal = Refusal::NotUnderWay(id);
        let Some(delivery) = self.deliveries.get_mut(&id) else { return Err(refusal) };
        let is_pending = matches!(delivery.state, DeliveryState::Pending { .. });
        let next = delivery.attempts + 1;
        let is_next = commit.attempt.as_ref().is_none_or(|attempt| attempt.number == next);
        if !is_pending || !is_next {
            return Err(refusal);
        }
        if let Some(own) = &commit.own {
            self.poll(own)?;
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return Err(refusal) };
        if let Some(attempt) = &commit.attempt {
            delivery.attempts = next;
            self.attempts.entry(id).or_default().push(attempt.clone());
        }
        delivery.started = delivery.started.or(commit.started);
        delivery.state = match &commit.verdict {
            Verdict::Delivered => DeliveryState::Delivered { at: commit.at },
            Verdict::Exhausted { reason } => {
                DeliveryState::Exhausted { at: commit.at, reason: reason.clone() }
            }
            Verdict::RetryAt(due) | Verdict::NotCounted { due } => {
                DeliveryState::Pending { due: *due }
            }
        };
        let (endpoint, lane) = (delivery.endpoint.clone(), delivery.lane);
        let is_final = !matches!(delivery.state, DeliveryState::Pending { .. });
        if let Some(health) = &commit.health {
            self.endpoints.insert(endpoint.clone(), health.clone());
        }
        if is_final {
            self.unfinished.remove(&id);
            self.promote(&endpoint, lane, commit.at);
        }
        Ok(Written::Done)
    }

    fn promote(&mut self, endpoint: &EndpointName, lane: Option<i64>, at: Timestamp) {
        let next = lane.and_then(|_| self.first_of_lane(endpoint, lane));
        if let Some(delivery) = next.and_then(|id| self.deliveries.get_mut(&id))
            && delivery.state == DeliveryState::Waiting
        {
            let is_replay = delivery.trigger == Trigger::Replay;
            let due = if is_replay { at.max(delivery.created_at) } else { at };
            delivery.state = DeliveryState::Pending { due };
        }
    }

    fn replay(&mut self, filter: &DeliveryFilter, now: Timestamp, spacing: Duration) -> u64 {
        let pairs: Vec<_> = self
            .replayable(filter)
            .into_iter()
            .map(|last| (last.id, last.event_no, (last.endpoint.clone(), last.lane)))
            .collect();
        for ((last, no, (endpoint, lane)), number) in pairs.iter().zip(0..) {
            if let Some(event) = self.numbered(*no).cloned() {
                let at = now.after(spacing.saturating_mul(number));
                let id = self.deliver((*no, &event), (endpoint, *lane), Trigger::Replay, at);
                self.plain.extend(self.plain.contains(last).then_some(id));
            }
        }
        pairs.len() as u64
    }

    /// The last delivery of each pair of event and endpoint, if it matches and none of the pair is under way.
    fn replayable(&self, filter: &DeliveryFilter) -> Vec<&DeliveryRecord> {
        let mut last: BTreeMap<(EventNo, &EndpointName), &DeliveryRecord> = BTreeMap::new();
        for delivery in self.deliveries.values() {
            last.insert((delivery.event_no, &delivery.endpoint), delivery);
        }
        for delivery in self.unfinished() {
            last.remove(&(delivery.event_no, &delivery.endpoint));
        }
        let whole = last.into_values().filter(|delivery| self.is_whole(delivery.event_no));
        let mut found: Vec<_> = whole.filter(|delivery| self.matches(filter, delivery)).collect();
        found.sort_by_key(|delivery| (delivery.event_no, delivery.id));
        found
    }

    fn numbered(&self, no: EventNo) -> Option<&Event> {
        usize::try_from(no.0).ok()?.checked_sub(1).and_then(|index| self.events.get(index))
    }

    fn content_of(&self, delivery: &DeliveryRecord) -> Content {
        if self.plain.contains(&delivery.id) {
            return Content::Envelope;
        }
        let pair = (delivery.event_no, delivery.endpoint.clone());
        self.contents.get(&pair).cloned().unwrap_or(Content::Envelope)
    }

    fn matches(&self, filter: &DeliveryFilter, delivery: &DeliveryRecord) -> bool {
        let DeliveryFilter { endpoint, status, event, events } = filter;
        endpoint.as_ref().is_none_or(|endpoint| *endpoint == delivery.endpoint)
            && status.as_ref().is_none_or(|status| *status == delivery.state.as_str())
            && event.as_ref().is_none_or(|event| *event == delivery.event_id)
            && self.numbered(delivery.event_no).is_some_and(|event| event_matches(events, event))
    }

    fn due_records(&self, endpoint: &EndpointName, now: Timestamp) -> Vec<&DeliveryRecord> {
        let mut due: Vec<_> = self
            .unfinished()
            .filter(|delivery| delivery.endpoint == *endpoint)
            .filter_map(|delivery| match delivery.state {
                DeliveryState::Pending { due } if due <= now => Some((due, delivery)),
                _ => None,
            })
            .collect();
        due.sort_by_key(|(due, delivery)| (*due, delivery.id));
        due.into_iter().map(|(_, delivery)| delivery).collect()
    }
}

impl Read for MemoryStore {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn source(&self, unit: &UnitName) -> Result<Option<SourceState>, StoreError> {
        Ok(self.sources.get(unit).cloned())
    }

    fn last_seq(&self, source: &SourceName) -> Result<u64, StoreError> {
        Ok(self.last_seq_of(source))
    }

    fn sources(&self) -> Result<Vec<(SourceName, SourceState)>, StoreError> {
        let is_plain = |unit: &UnitName| unit.entry().is_none() && unit.as_str() != OWN_SOURCE;
        let plain = self.sources.iter().filter(|(unit, _)| is_plain(unit));
        Ok(plain.map(|(unit, state)| (unit.source(), state.clone())).collect())
    }

    fn entries(&self, source: &SourceName) -> Result<Vec<(EntryKey, SourceState)>, StoreError> {
        let units = self.sources.iter().map(|(unit, state)| (unit.source(), unit.entry(), state));
        let entries = units.filter(|(of, entry, _)| of == source && !entry.is_none());
        Ok(entries.map(|(_, entry, state)| (entry, state.clone())).collect())
    }

    fn sources_with_entries(&self) -> Result<Vec<SourceName>, StoreError> {
        let entries = self.sources.keys().filter(|unit| !unit.entry().is_none());
        let sources: BTreeSet<_> = entries.map(UnitName::source).collect();
        Ok(sources.into_iter().collect())
    }

    fn held_units(&self) -> Result<Vec<(UnitName, u64)>, StoreError> {
        let here = |unit: &&UnitName| {
            self.source(unit).is_ok_and(|state| state.is_some_and(|state| state.left.is_none()))
        };
        let units = self.items.keys().filter(here);
        let held = units.map(|unit| Ok((unit.clone(), self.held(unit)?.len() as u64)));
        held.filter(|held| !matches!(held, Ok((_, 0)))).collect()
    }

    fn snapshot(&self, unit: &UnitName) -> Result<Snapshot, StoreError> {
        let items = self.items.get(unit).into_iter().flatten();
        Ok(items.map(|(key, item)| (key.clone(), item.entry)).collect())
    }

    fn items(&self, unit: &UnitName, keys: &[ItemKey]) -> Result<Vec<StoredItem>, StoreError> {
        let Some(items) = self.items.get(unit) else { return Ok(Vec::new()) };
        Ok(keys.iter().filter_map(|key| items.get(key)).cloned().collect())
    }

    fn settling(&self, unit: &UnitName) -> Result<HashMap<ItemKey, Settling>, StoreError> {
        Ok(self.settling.get(unit).cloned().unwrap_or_default())
    }

    fn held(&self, unit: &UnitName) -> Result<Vec<StoredItem>, StoreError> {
        let items = self.items.get(unit).into_iter().flat_map(BTreeMap::values);
        let is_held = |item: &&StoredItem| {
            matches!(item.entry.standing, Standing::Held { .. } | Standing::HeldNew { .. })
        };
        Ok(items.filter(is_held).cloned().collect())
    }

    fn holding(&self, source: &SourceName) -> Result<Holding, StoreError> {
        let units = self.items.iter().filter(|(unit, _)| unit.source() == *source);
        let items = units.flat_map(|(_, items)| items.values());
        let items = items.filter(|item| item.entry.standing.is_known()).count() as u64;
        let waiting =
            self.unfinished().filter(|delivery| delivery.source == *source).count() as u64;
        Ok(Holding { items, waiting })
    }

    fn events(&self, filter: &EventFilter, rows: Slice) -> Result<Vec<EventRecord>, StoreError> {
        let numbered = (1..).map(EventNo).zip(&self.events);
        let found = numbered
            .filter(|(no, _)| filter.after.is_none_or(|after| *no > after) && self.is_whole(*no))
            .filter(|(_, event)| event_matches(filter, event))
            .map(|(no, event)| EventRecord { no, event: event.clone() })
            .collect();
        Ok(slice(found, rows))
    }

    fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let numbered = (1..).map(EventNo).zip(&self.events);
        let of_id = |(no, event): &(EventNo, &Event)| event.id == *id && self.is_there(*no);
        let newest = numbered.filter(of_id).last().filter(|(no, _)| self.is_whole(*no));
        Ok(newest.map(|(no, event)| EventRecord { no, event: event.clone() }))
    }

    fn deliveries(
        &self,
        filter: &DeliveryFilter,
        rows: Slice,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let found = self.deliveries.values().filter(|delivery| self.matches(filter, delivery));
        Ok(slice(found.cloned().collect(), rows))
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        Ok(self.deliveries.get(&id).cloned())
    }

    fn content(&self, id: DeliveryId) -> Result<Content, StoreError> {
        Ok(self.deliveries.get(&id).map_or(Content::Envelope, |delivery| self.content_of(delivery)))
    }

    fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.attempts.get(&id).cloned().unwrap_or_default())
    }

    fn replay_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError> {
        Ok(self.replayable(filter).len() as u64)
    }

    fn due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
        rows_max: usize,
        claimed: &BTreeSet<DeliveryId>,
    ) -> Result<Vec<Due>, StoreError> {
        let due = self.due_records(endpoint, now).into_iter();
        let free = due.filter(|delivery| !claimed.contains(&delivery.id)).take(rows_max);
        let with_event = free.filter_map(|delivery| {
            let event = self.numbered(delivery.event_no)?.clone();
            let content = self.content_of(delivery);
            Some(Due::Whole(Box::new(DueDelivery { delivery: delivery.clone(), event, content })))
        });
        Ok(with_event.collect())
    }

    fn next_due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let dues = self.unfinished().filter(|delivery| delivery.endpoint == *endpoint).filter_map(
            |delivery| match delivery.state {
                DeliveryState::Pending { due } if due > now => Some(due),
                _ => None,
            },
        );
        Ok(dues.min())
    }

    fn endpoints(&self) -> Result<Vec<(EndpointName, EndpointHealth)>, StoreError> {
        Ok(self.endpoints.iter().map(|(name, health)| (name.clone(), health.clone())).collect())
    }

    fn token(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tokens.get(key).cloned())
    }

    fn budgets(&self) -> Result<Vec<(Holder, Kept)>, StoreError> {
        Ok(self.budgets.iter().map(|(holder, kept)| (holder.clone(), kept.clone())).collect())
    }

    fn tally(&self) -> Result<Vec<Tally>, StoreError> {
        let mut tallies = Vec::new();
        for endpoint in self.endpoints.keys() {
            for status in DeliveryState::WORDS {
                let is_one = |delivery: &&DeliveryRecord| {
                    delivery.endpoint == *endpoint && delivery.state.as_str() == status
                };
                let count = self.deliveries.values().filter(is_one).count() as u64;
                if count > 0 {
                    tallies.push(Tally { endpoint: endpoint.clone(), status, count });
                }
            }
        }
        Ok(tallies)
    }

    fn expired(
        &self,
        expiry: Expiry,
        after: EventNo,
        rows_max: usize,
    ) -> Result<Expired, StoreError> {
        Ok(self.expired_after(expiry, after, rows_max))
    }

    fn overdue(
        &self,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        Ok(self.overdue_before(before, rows_max))
    }

    fn departed(
        &self,
        before: Timestamp,
        after: &UnitName,
        rows_max: usize,
    ) -> Result<Vec<UnitName>, StoreError> {
        Ok(self.departed_before(before, after, rows_max))
    }

    fn seen(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.seen)
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn snapshot_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, writes: &[Write]) -> Result<Vec<Result<Written, Refusal>>, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StoreError::File { action: "writing", path: "memory".into(), source });
        }
        Ok(writes.iter().map(|write| self.one(write)).collect())
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// There is nothing to copy: a state in memory has no file.
    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        Err(StoreError::File {
            action: "writing",
            path: to.to_owned(),
            source: std::io::Error::from(std::io::ErrorKind::Unsupported),
        })
    }
}
