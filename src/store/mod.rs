//! The store: what must survive. Synchronous; each write is one transaction, and its documentation says what it makes
//! true. It executes commits and decides nothing: why a row changes is `core`'s business.
//!
//! [`sqlite`] is the real one, `memory` the reference model – plain maps, obviously right. `conformance` holds both
//! to the same behaviour. [`handle`] is the async face: it groups waiting writes into one transaction.

#[cfg(test)]
mod conformance;
pub(crate) mod handle;
mod handover;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod sqlite;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Holder, Kept};
use crate::core::delivery::{DeliveryState, EndpointHealth, NewEvent, Started, Trigger, Verdict};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::ids::{
    DeliveryId, EndpointName, EntryKey, EventId, EventNo, ItemKey, SourceName, UnitName,
};
use crate::core::limits::{HANDED_OVER_BYTES_MAX, HANDED_OVER_MAX};
use crate::core::own::OWN_SOURCE;
use crate::core::own::endpoint::Exhausted;
use crate::core::plan::Holding;
use crate::core::sink::content::{Content, Made};
use crate::core::snapshot::{Settling, Snapshot, Standing, StoredItem};
use crate::core::source::SourceState;
use crate::core::time::Timestamp;

/// A poll's page: snapshot, events and deliveries change together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PollCommit {
    pub(crate) unit: UnitName,
    /// `last_seq` of the source as the poll read it (0 for one without state); of the entry itself, for an entry's
    /// commit without events. If the store has another, the commit is refused with [`Refusal::Conflict`].
    pub(crate) expected_seq: u64,
    /// The state after this commit; its `last_seq` is `expected_seq` plus the number of events.
    pub(crate) state: SourceState,
    pub(crate) upserts: Vec<StoredItem>,
    /// Items whose standing alone changes.
    pub(crate) marks: Vec<(ItemKey, Standing)>,
    /// New values that have to last before they ring; `None` takes one away.
    pub(crate) settling: Vec<(ItemKey, Option<Settling>)>,
    pub(crate) events: Vec<NewEvent>,
    /// When the deliveries of these events are due, by the clock that plans. The events' own time is the wall's.
    pub(crate) at: Timestamp,
}

impl PollCommit {
    /// What doorbell itself says, after so many events that it said before.
    pub(crate) fn own(expected_seq: u64, events: Vec<NewEvent>, at: Timestamp) -> Self {
        Self {
            unit: UnitName::from(&SourceName::new(OWN_SOURCE)),
            expected_seq,
            state: SourceState::own(expected_seq + events.len() as u64),
            upserts: Vec::new(),
            marks: Vec::new(),
            settling: Vec::new(),
            events,
            at,
        }
    }
}

/// An attempt's outcome: the record, the delivery's next state and the endpoint's condition change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptCommit {
    pub(crate) delivery: DeliveryId,
    /// `None` when it was not counted.
    pub(crate) attempt: Option<Attempt>,
    pub(crate) verdict: Verdict,
    /// When retrying began, on the endpoint's clock; kept from the first counted attempt.
    pub(crate) started: Option<Started>,
    /// The endpoint's condition, when it is another than before.
    pub(crate) health: Option<EndpointHealth>,
    /// What doorbell has to say of that. If others took its numbers meanwhile, all of this is refused with
    /// [`Refusal::Conflict`].
    pub(crate) own: Option<Box<PollCommit>>,
    pub(crate) at: Timestamp,
}

/// One try of a delivery, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) fault: Option<Fault>,
    /// The beginning of the receiver's answer, for people; bounded.
    pub(crate) answer: String,
}

/// Something to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// Makes a page's changes durable with their events. Answers [`Written::Events`].
    Poll(Box<PollCommit>),
    /// Makes an attempt's outcome durable; a final verdict turns the next `Waiting` delivery of the lane into
    /// `Pending`, due at once.
    Attempt(Box<AttemptCommit>),
    /// Makes an endpoint known; its health is kept if it is known already.
    Endpoint { name: EndpointName, now: Timestamp },
    /// Replaces an endpoint's condition by a person's word.
    Health { name: EndpointName, health: EndpointHealth },
    /// New deliveries of old events, one for each pair of event and endpoint whose last delivery the filter finds, in
    /// the events' order and in that delivery's lane. Pairs that are still under way are left out. Answers
    /// [`Written::Count`]. Each is made `spacing` after the one before, and due from then on.
    Replay { filter: DeliveryFilter, now: Timestamp, spacing: Duration },
    /// Has attempts at an endpoint that would be made after `beyond` made `now`: nothing waits for so long, so that the
    /// clock they were planned by was ahead. Replays in no hurry are planned for up to [`REPLAY_AHEAD_MAX`](crate::core::limits::REPLAY_AHEAD_MAX) more. Answers
    /// [`Written::Count`].
    Hasten { endpoint: EndpointName, beyond: Timestamp, now: Timestamp },
    /// Gives everything known of a source to another name: items, baseline, validators, event numbers, schedule. What
    /// waits for delivery keeps its bytes and its order before what the new name will ring. Only if `from` has state
    /// and `to` has none. Answers [`Written::Count`]: 1, or 0 when there was nothing to do.
    Rename { from: SourceName, to: SourceName },
    /// Gives everything kept of an endpoint to another name: condition, counts, what waits and what was. If that name is
    /// kept already, what waits alone moves, in its order. Answers [`Written::Count`]: 1, or 0 when there was nothing
    /// to do.
    RenameEndpoint { from: EndpointName, to: EndpointName },
    /// Fixes what could not be made of an event for an endpoint before; what is fixed already stays. Answers
    /// [`Written::Count`]: 1, or 0 when there was nothing to fix.
    Made { event: EventNo, endpoint: EndpointName, made: Made },
    /// Keeps what was learned in polls that changed nothing. Ignored if events were added meanwhile.
    State { unit: UnitName, state: Box<SourceState> },
    /// Removes events with all that belongs to them: deliveries, attempts, what was made. One with a delivery that is not
    /// settled stays. Answers [`Written::Count`].
    Forget { events: Vec<EventNo> },
    /// Keeps how late it is. See [`Reckoning`](crate::core::retention::Reckoning).
    Seen { at: Timestamp },
    /// Gives deliveries up that nobody settled. Answers [`Written::Count`].
    Lapse(Box<Lapse>),
    /// Removes what is known of entries that left before, all but the last event number of their source. One that came
    /// back meanwhile stays. Answers [`Written::Count`].
    Unlearn { units: Vec<UnitName>, left_before: Timestamp },
    /// Takes back that an entry left: from here on nobody unlearns it. Answers [`Written::Count`]: 1, or 0 when nothing is
    /// known of it any more.
    Return { unit: UnitName },
    /// Keeps a refresh token, sealed, in the place of any other of this key.
    Token { key: TokenKey, sealed: Vec<u8>, at: Timestamp },
    /// Keeps what was spent of written limits, in the place of what was kept before of the same holders.
    Budgets(Vec<(Holder, Kept)>),
}

/// Deliveries that are given up because of their age, or because there is no room for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lapse {
    /// Those that are settled meanwhile are left alone.
    pub(crate) deliveries: Vec<DeliveryId>,
    pub(crate) reason: String,
    /// Whether the bytes of their events, unless another delivery still needs them, of what receivers answered, and of
    /// all attempts but the last are removed. What remains is the entry: which event it was, where it was to go, and why it did not.
    pub(crate) empties: bool,
    /// What doorbell has to say of that. If others took its numbers meanwhile, all of this is refused with
    /// [`Refusal::Conflict`].
    pub(crate) own: Option<Box<PollCommit>>,
    pub(crate) at: Timestamp,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// The numbers of the new events, from and including the first; empty when there are none.
    Events {
        first: EventNo,
        count: u64,
        /// Their deliveries that are due at once, or the first of them: what [`Read::due`] would find.
        due: Vec<DueDelivery>,
    },
    Count(u64),
}

impl Written {
    /// Whether there is room for one more that is due at once, so that a long commit is not held in memory twice.
    fn takes(due: &[DueDelivery], new: &NewEvent) -> bool {
        due.len() < HANDED_OVER_MAX && new.event.body.as_str().len() <= HANDED_OVER_BYTES_MAX
    }
}

/// Why a single write was not done. The others of its group are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// The source's state moved on since it was read: read it again.
    #[error("the state of {unit} moved on meanwhile")]
    Conflict { unit: UnitName },
    /// The delivery does not exist, is settled already, waits behind another, or the attempt is not its next one.
    #[error("delivery {0} is not under way")]
    NotUnderWay(DeliveryId),
    /// No such endpoint is known.
    #[error("no endpoint {0} is known")]
    NoEndpoint(EndpointName),
}

/// Why the store could not do its work. After a failed commit nothing more may be acknowledged.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("opening {path}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("{action}")]
    Sqlite { action: &'static str, source: rusqlite::Error },
    #[error("{action} {path}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "another doorbell uses {path}: stop that one first, or name another directory with --state"
    )]
    Locked { path: PathBuf },
    /// The database is behind what was once acknowledged: an older copy was put back, or its `-wal` was removed.
    #[error(
        "the state in {path} went backwards: it has seen {found} commits, but {expected} were acknowledged; \
         if that is meant (a restored backup), start once with `run --accept-state`"
    )]
    WentBackwards { path: PathBuf, found: u64, expected: u64 },
    #[error(
        "the state in {path} was written by a newer doorbell (schema {found}, this one knows {known})"
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("the bundled SQLite {found} is older than the least safe one, {least}")]
    OldSqlite { found: String, least: &'static str },
    /// A row does not say what a row can say.
    #[error("a row of {table} is damaged: {detail}")]
    Damaged { table: &'static str, detail: String },
    /// No space left: nothing was written, and a later try may succeed.
    #[error("the disk is full")]
    Full { source: rusqlite::Error },
    /// The writer or a reader is gone after an earlier failure.
    #[error("the store stopped after an earlier failure")]
    Stopped,
    /// What befell a group, told to each of its writers.
    #[error(transparent)]
    Group(Arc<StoreError>),
}

impl StoreError {
    /// Whether what is on disk cannot be read as a state any more.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Open { source, .. } | Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
            ),
            Self::Group(fault) => fault.is_damage(),
            _ => false,
        }
    }

    /// Whether a later try may succeed: nothing was written, and nothing is broken. After any other failure of a
    /// write the process has to stop.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Sqlite { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
            }
            Self::Group(error) => error.may_pass(),
            _ => false,
        }
    }
}

/// Which events to list. Absent fields match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Only those after this one.
    pub(crate) after: Option<EventNo>,
    /// A glob on the type.
    pub(crate) event_type: Option<String>,
    pub(crate) source: Option<SourceName>,
    pub(crate) entry: Option<EntryKey>,
    pub(crate) key: Option<ItemKey>,
    /// Detected at or after.
    pub(crate) since: Option<Timestamp>,
    /// Detected before.
    pub(crate) until: Option<Timestamp>,
}

/// Which deliveries to list or replay. Absent fields match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeliveryFilter {
    pub(crate) endpoint: Option<EndpointName>,
    /// One of [`DeliveryState::WORDS`].
    pub(crate) status: Option<String>,
    pub(crate) event: Option<EventId>,
    /// Of the events; `after` is not used.
    pub(crate) events: EventFilter,
}

/// Which end of a listing comes first, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) newest_first: bool,
    pub(crate) rows_max: usize,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRecord {
    pub(crate) no: EventNo,
    pub(crate) event: Event,
}

/// A stored delivery, with what a listing shows of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) id: DeliveryId,
    pub(crate) endpoint: EndpointName,
    pub(crate) lane: Option<i64>,
    pub(crate) trigger: Trigger,
    pub(crate) state: DeliveryState,
    pub(crate) created_at: Timestamp,
    /// Counted attempts.
    pub(crate) attempts: u32,
    pub(crate) started: Option<Started>,
    pub(crate) event_no: EventNo,
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) source: SourceName,
    pub(crate) entry: EntryKey,
    pub(crate) key: ItemKey,
    pub(crate) seq: u64,
}

impl DeliveryRecord {
    /// What there is to say of it when it is given up.
    pub(crate) fn given_up(&self, reason: &str) -> Exhausted {
        Exhausted {
            delivery: self.id,
            event: self.event_id.clone(),
            event_type: self.event_type.clone(),
            source: self.source.clone(),
            entry: self.entry.clone(),
            key: self.key.clone(),
            attempts: self.attempts,
            reason: reason.to_owned(),
            count: 1,
            is_emptied: false,
        }
    }
}

/// A delivery that is due, with its event and what it sends. Their hashes were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueDelivery {
    pub(crate) delivery: DeliveryRecord,
    pub(crate) event: Event,
    pub(crate) content: Content,
}

/// What is found when deliveries that are due are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    Whole(Box<DueDelivery>),
    /// Its event, or what was made of it, fails its hash: to be settled, never to be sent.
    Damaged(Box<DeliveryRecord>),
}

impl Due {
    /// What can be sent.
    #[cfg(test)]
    pub(crate) fn whole(self) -> Option<DueDelivery> {
        match self {
            Self::Whole(due) => Some(*due),
            Self::Damaged(_) => None,
        }
    }
}

/// Which events need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// Those detected before, all of whose deliveries were settled before.
    pub(crate) before: Timestamp,
    /// Whether those that were emptied by a [`Lapse`] are left alone.
    pub(crate) whole_only: bool,
}

/// What was found of them in a run of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) events: Vec<EventNo>,
    /// The last event that was looked at; `None` at the end, and where events are too young.
    pub(crate) last: Option<EventNo>,
}

/// How many deliveries of an endpoint stand where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) endpoint: EndpointName,
    /// A word of [`DeliveryState::WORDS`].
    pub(crate) status: &'static str,
    pub(crate) count: u64,
}

/// Reading. Many readers at once never delay the writer.
pub(crate) trait Read: Send {
    /// The seed of [`RawHash`](crate::core::snapshot::RawHash), drawn when the state was made.
    fn seed(&self) -> u64;
    /// The state of a source or of one of its entries; `None` if it was never polled.
    fn source(&self, unit: &UnitName) -> Result<Option<SourceState>, StoreError>;
    /// The number of a source's last event, its entries' events included.
    fn last_seq(&self, source: &SourceName) -> Result<u64, StoreError>;
    /// All sources that have a state of their own, by name; also those no longer declared, but not doorbell's own.
    fn sources(&self) -> Result<Vec<(SourceName, SourceState)>, StoreError>;
    /// The entries of a source that have state, by key; also those that it no longer has.
    fn entries(&self, source: &SourceName) -> Result<Vec<(EntryKey, SourceState)>, StoreError>;
    /// The sources whose entries have state, by name; also those no longer declared.
    fn sources_with_entries(&self) -> Result<Vec<SourceName>, StoreError>;
    /// The index of the items of a source or entry. A row that fails its hash comes as `Quarantined`.
    fn snapshot(&self, unit: &UnitName) -> Result<Snapshot, StoreError>;
    /// Whole items by key, in the order asked. Unknown ones and rows that fail their hash are left out.
    fn items(&self, unit: &UnitName, keys: &[ItemKey]) -> Result<Vec<StoredItem>, StoreError>;
    /// New values of items that have to last. Those that fail their hash are left out.
    fn settling(&self, unit: &UnitName) -> Result<HashMap<ItemKey, Settling>, StoreError>;
    /// Items that stand as `Held` or `HeldNew`, by key.
    fn held(&self, unit: &UnitName) -> Result<Vec<StoredItem>, StoreError>;
    /// The units that have held items, by name, and how many; without entries that left.
    fn held_units(&self) -> Result<Vec<(UnitName, u64)>, StoreError>;
    /// How much is kept of a source and its entries.
    fn holding(&self, source: &SourceName) -> Result<Holding, StoreError>;
    /// Events by number. Those that fail their hash are left out.
    fn events(&self, filter: &EventFilter, slice: Slice) -> Result<Vec<EventRecord>, StoreError>;
    /// One event; the newest, should an id have come twice.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its hash.
    fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError>;
    /// Deliveries by id.
    fn deliveries(
        &self,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;
    /// One delivery.
    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError>;
    /// What a delivery sends; the envelope if it is not known.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its hash.
    fn content(&self, id: DeliveryId) -> Result<Content, StoreError>;
    /// Its attempts, oldest first.
    fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError>;
    /// How many pairs a replay with this filter would send.
    fn replay_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError>;
    /// Deliveries of an endpoint that are due at `now` and not `claimed`, longest due first, then by id.
    fn due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
        rows_max: usize,
        claimed: &BTreeSet<DeliveryId>,
    ) -> Result<Vec<Due>, StoreError>;
    /// When the next delivery of an endpoint is due that is not due at `now`.
    fn next_due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;
    /// The condition of every endpoint ever known.
    fn endpoints(&self) -> Result<Vec<(EndpointName, EndpointHealth)>, StoreError>;
    /// The sealed refresh token of a key.
    fn token(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError>;
    /// What was spent of written limits, also of those no longer declared.
    fn budgets(&self) -> Result<Vec<(Holder, Kept)>, StoreError>;
    /// Deliveries counted by endpoint and status, without those of zero.
    fn tally(&self) -> Result<Vec<Tally>, StoreError>;
    /// Which of the next so many events after one need not be kept.
    fn expired(
        &self,
        expiry: Expiry,
        after: EventNo,
        rows_max: usize,
    ) -> Result<Expired, StoreError>;
    /// Of the so many oldest deliveries that are not settled, those made before.
    fn overdue(
        &self,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;
    /// Entries that left before and of which something is known, by name, after one.
    fn departed(
        &self,
        before: Timestamp,
        after: &UnitName,
        rows_max: usize,
    ) -> Result<Vec<UnitName>, StoreError>;
    /// How late it was when that was kept last.
    fn seen(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Bytes in use in the state's file.
    fn bytes(&self) -> Result<u64, StoreError>;
    /// Those of them that hold what is known of items. Reads all of that.
    fn snapshot_bytes(&self) -> Result<u64, StoreError>;
}

/// Writing. One writer at a time.
pub(crate) trait Store: Read {
    /// Does all writes in one durable transaction, in their order. A refused one is refused before it changes anything
    /// and leaves no trace; the others stand. When this returns `Ok`, they survive kill and power loss; when it returns `Err`, none of them happened
    /// or it is unknown whether they did – re-read before going on.
    fn apply(&mut self, writes: &[Write]) -> Result<Vec<Result<Written, Refusal>>, StoreError>;

    /// Moves the log into the database. Called by the janitor when idle or when the log has grown.
    fn checkpoint(&mut self) -> Result<(), StoreError>;

    /// Writes a consistent copy of the state to a new file.
    fn backup(&mut self, to: &Path) -> Result<(), StoreError>;
}
