//! The books: what was committed, folded as a receiver would, and what must hold of every commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::notes::Notes;
use super::plan::{EndpointPlan, Plan, SourcePlan};
use super::truth::Content;
use super::watch::Watch;
use crate::core::delivery::{Breaker, EndpointHealth, NewDelivery, NewEvent, Verdict};
use crate::core::event::Event;
use crate::core::sink::content;
use crate::core::snapshot::{Standing, StoredItem};
use crate::core::source::{Baseline, Definition};
use crate::core::time::Timestamp;
use crate::store::{AttemptCommit, DeliveryRecord, PollCommit, Store};

/// An event as it was committed.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) key: String,
    pub(super) seq: u64,
    /// Its place among all events.
    pub(super) no: u64,
    /// When it was committed, in milliseconds since the hour began.
    pub(super) at: u64,
    pub(super) body: Bytes,
    /// What endpoints are sent in place of it, as it was committed.
    pub(super) made: BTreeMap<String, Bytes>,
    /// Endpoints that it was sent to again on a person's word.
    pub(super) replayed: BTreeSet<&'static str>,
}

impl Fact {
    /// What its lane is made of.
    pub(super) fn item(&self) -> (String, String) {
        (self.source.clone(), self.key.clone())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}/{}#{}", self.id, self.source, self.key, self.seq)
    }
}

/// One source, as its events tell.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// What a receiver that knew the baseline believes.
    pub(super) fold: BTreeMap<String, Content>,
    pub(super) last_seq: u64,
    /// A baseline is being taken: items are adopted without events.
    is_silent: bool,
    identity: Option<Definition>,
    comparison: Option<Definition>,
    /// Keys that were deleted once.
    gone: BTreeSet<String>,
}

/// Everything committed.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) sources: BTreeMap<String, Book>,
    pub(super) facts: BTreeMap<String, Fact>,
    /// Deliveries that there must be, by endpoint.
    pub(super) deliveries: BTreeMap<String, u64>,
    /// As the process has it, which is as it was committed, unless the store refused.
    health: BTreeMap<String, EndpointHealth>,
    /// When each breaker last moved, in milliseconds since the hour began.
    moved: BTreeMap<String, u64>,
    /// What the planning clock shows when the hour begins.
    pub(super) epoch: i64,
}

/// Whether a commit may be of a declaration that is no longer in force.
fn is_disturbed(watch: &Watch) -> bool {
    watch.poll.as_ref().is_some_and(|poll| poll.is_disturbed)
}

impl Books {
    /// Empty books; `epoch` is what the planning clock shows when the hour begins.
    pub(super) fn new(epoch: i64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// A moment of the planning clock, in milliseconds since the hour began.
    pub(super) fn since_start(&self, at: Timestamp) -> u64 {
        u64::try_from(at.as_millis() - self.epoch).unwrap_or(0)
    }

    /// The process is gone: what was only in its memory is as the store has it.
    pub(super) fn restart(&mut self, disk: &dyn Store) {
        let stored = disk.endpoints().unwrap();
        self.health =
            stored.into_iter().map(|(name, health)| (name.as_str().to_owned(), health)).collect();
    }

    /// The process knows this of an endpoint, though it could not be written.
    pub(super) fn believe(&mut self, endpoint: &str, health: &EndpointHealth, now: u64) {
        let known = self.health.get(endpoint);
        let now_and_then =
            |health: &EndpointHealth| (health.breaker, health.held_until, health.is_paused());
        if known.map(now_and_then) != Some(now_and_then(health)) {
            self.moved.insert(endpoint.to_owned(), now);
        }
        self.health.insert(endpoint.to_owned(), health.clone());
    }

    /// An endpoint's breaker, as committed.
    pub(super) fn breaker(&self, name: &str) -> Breaker {
        self.health.get(name).map_or(Breaker::Closed, |health| health.breaker)
    }

    /// Until when it asked to be left alone, as committed.
    pub(super) fn held_until(&self, name: &str) -> u64 {
        let until = self.health.get(name).and_then(|health| health.held_until);
        until.map_or(0, |until| self.since_start(until))
    }

    /// Whether it is paused, as committed.
    pub(super) fn is_paused(&self, name: &str) -> bool {
        self.health.get(name).is_some_and(EndpointHealth::is_paused)
    }

    /// When it last moved.
    pub(super) fn moved(&self, name: &str) -> u64 {
        self.moved.get(name).copied().unwrap_or(0)
    }

    /// When its next probe is due.
    pub(super) fn probe_at(&self, name: &str) -> u64 {
        match self.breaker(name) {
            Breaker::Open { probe_at, .. } => self.since_start(probe_at),
            Breaker::Closed | Breaker::Disabled { .. } => 0,
        }
    }

    /// A poll was committed.
    pub(super) fn poll(
        &mut self,
        commit: &PollCommit,
        (plan, watch): (&Plan, &Watch),
        notes: &mut Notes,
    ) {
        let name = commit.unit.as_str();
        let source = &plan.sources[name];
        let rebaselined = self.open(commit, source, notes);
        let first_no = self.facts.len() as u64 + 1;
        notes.add("events", commit.events.len() as u64);
        for (no, new) in (first_no..).zip(&commit.events) {
            notes.line(&format!("commit {} {}", new.event.id, new.event.event_type));
            self.event(&new.event, no, (source, watch), notes);
            self.fan_out(new, (plan, watch), notes);
        }
        let book = self.sources.get_mut(name).unwrap();
        for item in &commit.upserts {
            let rang = commit.events.iter().any(|new| new.event.key == item.key);
            book.upsert(name, item, (rang, rebaselined), notes);
        }
        for (key, standing) in &commit.marks {
            match standing {
                Standing::Held { .. } => notes.sometimes("held by the brake"),
                Standing::Lost { .. } => notes.sometimes("remembered as lost"),
                _ => {}
            }
            notes.line(&format!("mark {name}/{key} {}", standing_word(*standing)));
        }
        notes.hold(commit.state.last_seq == book.last_seq, "the state counts its events", || {
            format!("{name}: {} is not {}", commit.state.last_seq, book.last_seq)
        });
        book.is_silent = commit.state.baseline == Baseline::Due { silent: true };
    }

    /// doorbell said something itself. Nobody here asked to hear that.
    pub(super) fn own(&mut self, commit: &PollCommit, notes: &mut Notes) {
        for new in &commit.events {
            notes.sometimes("doorbell says something itself");
            notes.line(&format!("own {} {}", new.event.id, new.event.event_type));
            notes.hold(new.deliveries.is_empty(), "what nobody asked for goes nowhere", || {
                new.event.id.to_string()
            });
            let no = self.facts.len() as u64 + 1;
            self.keep(&new.event, no, notes);
        }
    }

    /// Brings the book in line with the declaration that the commit was made under.
    fn open(&mut self, commit: &PollCommit, source: &SourcePlan, notes: &mut Notes) -> bool {
        let name = commit.unit.as_str();
        let book = self.sources.entry(name.to_owned()).or_insert_with(|| Book {
            is_silent: source.kind != super::plan::Kind::Emitting,
            ..Book::default()
        });
        let identity = Some(commit.state.identity());
        let rebaselined = book.identity.is_some() && book.identity != identity;
        if rebaselined {
            notes.sometimes("rebaselined");
        }
        let comparison = Some(commit.state.comparison());
        if !rebaselined && book.comparison.is_some() && book.comparison != comparison {
            notes.sometimes("fingerprinted anew");
        }
        (book.identity, book.comparison) = (identity, comparison);
        rebaselined
    }

    fn event(
        &mut self,
        event: &Event,
        no: u64,
        (source, watch): (&SourcePlan, &Watch),
        notes: &mut Notes,
    ) {
        let name = event.source.as_str();
        let book = self.sources.get_mut(name).unwrap();
        notes.hold(event.seq == book.last_seq + 1, "numbers have no gaps", || {
            format!("{name}: {} follows {}", event.seq, book.last_seq)
        });
        book.last_seq = event.seq;
        let envelope: Value = serde_json::from_str(event.body.as_str()).unwrap_or_default();
        let agrees = envelope.get("id").and_then(Value::as_str) == Some(event.id.as_str())
            && envelope.get("key").and_then(Value::as_str) == Some(event.key.as_str())
            && envelope.get("seq").and_then(Value::as_u64) == Some(event.seq);
        notes.hold(agrees, "an envelope says what its event is", || event.body.as_str().to_owned());
        book.fold(event, &envelope, (source, watch), notes);
        self.keep(event, no, notes);
    }

    fn keep(&mut self, event: &Event, no: u64, notes: &mut Notes) {
        let fact = Fact {
            id: event.id.as_str().to_owned(),
            source: event.source.as_str().to_owned(),
            key: event.key.as_str().to_owned(),
            seq: event.seq,
            no,
            at: notes.now,
            body: Bytes::copy_from_slice(event.body.as_bytes()),
            made: BTreeMap::new(),
            replayed: BTreeSet::new(),
        };
        let before = self.facts.insert(fact.id.clone(), fact);
        notes.hold(before.is_none(), "an id is used once", || event.id.to_string());
    }

    fn fan_out(&mut self, new: &NewEvent, (plan, watch): (&Plan, &Watch), notes: &mut Notes) {
        let wanting = plan.endpoints.values().filter(|endpoint| endpoint.is_declared);
        let wanting: BTreeSet<&str> = wanting
            .filter(|endpoint| endpoint.wants(&new.event.event_type))
            .map(|endpoint| endpoint.name)
            .collect();
        let given: BTreeSet<&str> =
            new.deliveries.iter().map(|delivery| delivery.endpoint.as_str()).collect();
        notes.hold(
            wanting == given || is_disturbed(watch),
            "every subscriber gets the event",
            || format!("{}: wanted by {wanting:?}, given to {given:?}", new.event.id),
        );
        for delivery in &new.deliveries {
            let Some(endpoint) = plan.endpoints.get(delivery.endpoint.as_str()) else { continue };
            self.content(&new.event, delivery, (endpoint, watch), notes);
        }
        for name in given {
            *self.deliveries.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// What an endpoint is sent is what it declares when the event is made.
    fn content(
        &mut self,
        event: &Event,
        delivery: &NewDelivery,
        (endpoint, watch): (&EndpointPlan, &Watch),
        notes: &mut Notes,
    ) {
        let envelope = event.body.as_str();
        let sent = match &delivery.content {
            content::Content::Envelope => envelope,
            content::Content::Made(made) => &made.body,
            content::Content::Unmade => "",
        };
        let expected = endpoint.reshape(envelope);
        notes.hold(
            sent == expected || is_disturbed(watch),
            "an endpoint is sent the body that it declares",
            || format!("{}: {sent} is not {expected}", event.id),
        );
        if delivery.content != content::Content::Envelope {
            notes.sometimes("reshaped");
            let made = Bytes::copy_from_slice(sent.as_bytes());
            let fact = self.facts.get_mut(event.id.as_str());
            fact.map(|fact| fact.made.insert(endpoint.name.to_owned(), made));
        }
    }

    /// An attempt was committed.
    pub(super) fn attempt(
        &mut self,
        commit: &AttemptCommit,
        record: &DeliveryRecord,
        accepted: bool,
        notes: &mut Notes,
    ) {
        let endpoint = record.endpoint.as_str();
        let verdict = match &commit.verdict {
            Verdict::Delivered => "delivered",
            Verdict::RetryAt(_) => "retry",
            Verdict::Exhausted { .. } => "exhausted",
            Verdict::NotCounted { .. } => "not counted",
        };
        notes.line(&format!("attempt {endpoint} {} {verdict}", record.event_id));
        match &commit.verdict {
            Verdict::Delivered => {
                notes.add("delivered", 1);
                notes.hold(accepted, "delivered means accepted", || {
                    format!("{endpoint}: {}", record.event_id)
                });
            }
            Verdict::Exhausted { .. } => notes.sometimes("exhausted"),
            Verdict::RetryAt(_) => notes.sometimes("retried"),
            Verdict::NotCounted { .. } => {}
        }
        if let Some(health) = &commit.health {
            self.health(endpoint, health, notes);
        }
    }

    /// An endpoint's condition was committed.
    pub(super) fn health(&mut self, endpoint: &str, health: &EndpointHealth, notes: &mut Notes) {
        match (self.breaker(endpoint), health.breaker) {
            (Breaker::Closed, Breaker::Open { .. }) => notes.sometimes("breaker: opened"),
            (Breaker::Open { .. }, Breaker::Open { .. }) => notes.sometimes("breaker: still open"),
            (Breaker::Open { .. }, Breaker::Closed) => {
                notes.sometimes("breaker: closed by a probe");
            }
            (Breaker::Disabled { .. }, Breaker::Closed) => notes.sometimes("redeclared after 410"),
            (Breaker::Closed | Breaker::Open { .. }, Breaker::Disabled { .. }) => {
                notes.sometimes("disabled by 410");
            }
            _ => {}
        }
        self.believe(endpoint, health, notes.now);
    }
}

impl Book {
    /// Takes an event in as a receiver would.
    fn fold(
        &mut self,
        event: &Event,
        envelope: &Value,
        (source, watch): (&SourcePlan, &Watch),
        notes: &mut Notes,
    ) {
        let key = event.key.as_str().to_owned();
        let Some(data) = envelope.get("data").and_then(Content::read) else {
            return notes.broken("an event carries its item", event.body.as_str());
        };
        let known = self.fold.get(&key);
        match event.event_type.rsplit('.').next() {
            Some("created") => {
                notes.hold(known.is_none(), "only unknown items are created", || key.clone());
                if self.gone.contains(&key) {
                    notes.sometimes("re-created after deletion");
                }
                self.fold.insert(key, data);
            }
            Some("updated") => {
                let previous = envelope.get("previous").and_then(Content::read);
                notes.hold(
                    known == previous.as_ref(),
                    "an update follows what was sent before",
                    || format!("{key}: known {known:?}, previous {previous:?}"),
                );
                let compared = |content: &Content| {
                    let (value, note, label) = content.compared(source.ignores_note);
                    (value, note, label.to_owned())
                };
                let same = known.map(compared) == Some(compared(&data));
                notes.hold(!same || is_disturbed(watch), "what is unchanged rings nothing", || {
                    format!("{key}: {data:?}")
                });
                if known.is_some_and(|known| known.value > data.value) {
                    notes.sometimes("edited back");
                }
                self.fold.insert(key, data);
            }
            _ => {
                notes.hold(known == Some(&data), "a deletion shows what was sent last", || {
                    key.clone()
                });
                let absences = watch.absences(&key);
                notes.hold(absences >= 2, "no phantom deletion", || {
                    format!("{}/{key}: truly absent at {absences} listings", event.source)
                });
                if watch.poll.as_ref().is_some_and(|poll| poll.is_not_modified) {
                    notes.sometimes("deletion confirmed by a 304");
                }
                notes.sometimes("deleted");
                self.fold.remove(&key);
                self.gone.insert(key);
            }
        }
    }

    /// A snapshot row was written beside the events: it says what they say, or a baseline is being taken.
    fn upsert(
        &mut self,
        name: &str,
        item: &StoredItem,
        (rang, rebaselined): (bool, bool),
        notes: &mut Notes,
    ) {
        let key = item.key.as_str();
        if item.entry.standing == Standing::Deleted {
            if rebaselined {
                self.fold.remove(key);
            }
            notes.hold(!self.fold.contains_key(key), "a snapshot changes with its events", || {
                format!("{name}/{key} was deleted in silence")
            });
            return;
        }
        let value: Value = serde_json::from_str(item.data.as_str()).unwrap_or_default();
        let Some(data) = Content::read(&value) else {
            return notes.broken("a snapshot holds items", item.data.as_str());
        };
        if self.is_silent && !rang {
            self.fold.insert(key.to_owned(), data);
            return;
        }
        notes.hold(self.fold.get(key) == Some(&data), "a snapshot changes with its events", || {
            format!("{name}/{key} became {data:?} in silence")
        });
    }
}

/// The word for a standing, without its time.
fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Present { missing: 0 } => "present",
        Standing::Present { .. } => "missing",
        Standing::Held { .. } => "held",
        Standing::HeldNew { .. } => "held_new",
        Standing::Lost { .. } => "lost",
        Standing::Deleted => "deleted",
        Standing::Quarantined => "quarantined",
    }
}
