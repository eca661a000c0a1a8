//! Rows to types and back. What the schema can hold and a type cannot is an error here, never a guess.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

use crate::core::delivery::{Breaker, DeliveryState, EndpointHealth, Started, Trigger};
use crate::core::event::Event;
use crate::core::extract::Shape;
use crate::core::fault::{Fault, Retry, Whose};
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, EventNo, ItemKey, SourceName};
use crate::core::json::JsonText;
use crate::core::parts::Parts;
use crate::core::schedule::Schedule;
use crate::core::schedule::rate::Rate;
use crate::core::since::Watermark;
use crate::core::snapshot::{BodyHash, Fingerprint, IndexEntry, RawHash, Standing};
use crate::core::source::{Baseline, Definition, Digests, SourceState, Validator};
use crate::core::time::Timestamp;
use crate::store::{Attempt, DeliveryRecord, EventRecord};

use super::hash;
use super::hash::RowHash;

/// The columns of [`source_state`], after `id` and `name`.
pub(super) const SOURCE_COLUMNS: &str = "last_seq, identity, comparison, shape, baseline_at, etag, last_modified, \
    body_hash, has_missing, interval_ns, due_at, failures, last_poll_at, last_success_at, last_change_at, \
    fault_whose, fault_retry, fault_code, fault_sentence, fault_since, baseline_silent, parts, watermark, watermark_of, \
    sweep_due_at, credentials, ended_at, left_at, silent_at, rate, not_before_at";

/// The columns of [`ItemRow::read`].
pub(super) const ITEM_COLUMNS: &str = "source, key, fingerprint, raw, changes, standing, missing, held_since, content_hash, row_hash, lost_since";
/// How many they are: where the next column is.
pub(super) const ITEM_COLUMNS_COUNT: usize = 11;

/// The columns of [`event`], of the tables `e` and `b`.
pub(super) const EVENT_COLUMNS: &str =
    "e.no, e.id, e.source, e.type, e.key, e.seq, e.at, e.row_hash, b.body, e.entry";

/// How many columns [`EVENT_COLUMNS`] names.
pub(super) const EVENT_COLUMN_COUNT: usize = 10;

/// The columns of [`delivery`], of the tables `d`, `p` and `e`.
pub(super) const DELIVERY_COLUMNS: &str = "d.id, p.name, d.lane, d.trigger, d.status, d.due_at, d.finished_at, \
    d.reason, d.created_at, d.attempts, d.started_at, d.started_suspended_ns, d.event, \
    e.id, e.type, e.source, e.key, e.seq, e.entry";

/// How many columns [`DELIVERY_COLUMNS`] names.
pub(super) const DELIVERY_COLUMN_COUNT: usize = 19;

/// The columns of [`attempt`].
pub(super) const ATTEMPT_COLUMNS: &str =
    "number, at, took_ns, status, fault_whose, fault_retry, fault_code, fault_sentence, answer";

/// The columns of [`health`].
pub(super) const HEALTH_COLUMNS: &str = "breaker, since, probe_at, probes, failures, failing_lane, last_success_at, \
    suspended_before_ns, fault_whose, fault_retry, fault_code, fault_sentence, failing_since, suspended_from, \
    paused_by_hand, paused_in_file, held_until, told";

/// Says that a column holds what its type cannot.
pub(super) fn damaged(column: usize, detail: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, detail.into().into())
}

/// A count as SQLite keeps it.
pub(super) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A duration in whole nanoseconds, up to 292 years.
pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A moment, or none.
pub(super) fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millis)
}

/// The word of a shape.
pub(super) fn shape_word(shape: Shape) -> &'static str {
    match shape {
        Shape::List => "list",
        Shape::Object => "object",
    }
}

/// The word of a retry.
pub(super) fn retry_word(retry: Retry) -> &'static str {
    match retry {
        Retry::Later => "later",
        Retry::Never => "never",
    }
}

/// A text column of a listing. Bytes that are no UTF-8 are replaced: a damaged row is shown, not a reason to show none.
pub(super) fn lossy(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            // Almost always UTF-8, which is seen much faster by itself.
            match str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(bytes).into_owned(),
            }
        }
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => String::new(),
    })
}

/// An integer column of a row whose hash is verified, or zero.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(0))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn duration(row: &Row<'_>, column: usize) -> rusqlite::Result<Duration> {
    unsigned(row, column).map(Duration::from_nanos)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// Four columns from `first` on: whose, retry, code, sentence.
fn fault(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Fault>> {
    let Some(whose) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    let retry: String = row.get(first + 1)?;
    Ok(Some(Fault {
        whose: Whose::parse(&whose).ok_or_else(|| damaged(first, whose))?,
        retry: match retry.as_str() {
            "later" => Retry::Later,
            "never" => Retry::Never,
            _ => return Err(damaged(first + 1, retry)),
        },
        code: row.get(first + 2)?,
        sentence: row.get(first + 3)?,
    }))
}

/// A source's state, in the order of [`SOURCE_COLUMNS`] from column `first` on.
pub(super) fn source_state(row: &Row<'_>, first: usize) -> rusqlite::Result<SourceState> {
    let shape = match row.get::<_, Option<String>>(first + 3)? {
        None => None,
        Some(word) if word == "list" => Some(Shape::List),
        Some(word) if word == "object" => Some(Shape::Object),
        Some(word) => return Err(damaged(first + 3, word)),
    };
    let fault = match (fault(row, first + 15)?, optional_time(row, first + 19)?) {
        (Some(fault), Some(since)) => Some(Box::new((fault, since))),
        _ => None,
    };
    let baseline = match optional_time(row, first + 4)? {
        Some(at) => Baseline::Taken { at },
        None => Baseline::Due { silent: row.get(first + 20)? },
    };
    let etag = row.get::<_, Option<Box<str>>>(first + 5)?.map(Validator::ETag);
    let last_modified = row.get::<_, Option<Box<str>>>(first + 6)?.map(Validator::LastModified);
    let validator = etag.or(last_modified);
    Ok(SourceState {
        last_seq: unsigned(row, first)?,
        digests: Arc::new(Digests {
            identity: Definition(row.get(first + 1)?),
            comparison: Definition(row.get(first + 2)?),
            parts: Parts::kept(&lossy(row, first + 21)?),
        }),
        shape,
        baseline,
        validator,
        body_hash: row.get::<_, Option<[u8; 16]>>(first + 7)?.map(BodyHash),
        has_missing: row.get(first + 8)?,
        watermark: match (row.get(first + 22)?, row.get::<_, Option<[u8; 16]>>(first + 23)?) {
            (Some(text), Some(of)) => Some(Box::new(Watermark { text, of: Definition(of) })),
            _ => None,
        },
        sweep_due: optional_time(row, first + 24)?,
        credentials: row.get(first + 25)?,
        schedule: Schedule {
            interval: duration(row, first + 9)?,
            due: time(row, first + 10)?,
            failures: row.get(first + 11)?,
        },
        last_poll: optional_time(row, first + 12)?,
        last_success: optional_time(row, first + 13)?,
        last_change: optional_time(row, first + 14)?,
        fault,
        ended: optional_time(row, first + 26)?,
        left: optional_time(row, first + 27)?,
        silent: optional_time(row, first + 28)?,
        rate: rate(row, first + 29, baseline)?,
        not_before: optional_time(row, first + 30)?,
    })
}

/// What was learned; anew, since the baseline, if there is nothing or it cannot be read.
fn rate(row: &Row<'_>, column: usize, baseline: Baseline) -> rusqlite::Result<Rate> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    let born = match baseline {
        Baseline::Taken { at } => at,
        Baseline::Due { .. } => Timestamp::from_millis(0),
    };
    Ok(bytes.and_then(|bytes| Rate::from_bytes(&bytes)).unwrap_or_else(|| Rate::new(born)))
}

/// A row of `items`, as far as it could be read.
#[derive(Debug)]
pub(super) struct ItemRow {
    pub(super) key: ItemKey,
    pub(super) entry: IndexEntry,
    pub(super) content_hash: i64,
    /// Whether the row's hash holds. Without it nothing of `entry` may be used.
    pub(super) is_whole: bool,
}

impl ItemRow {
    /// Reads a row in the order of [`ITEM_COLUMNS`]. Whatever it holds, this is no error: a row that does not fit its
    /// hash comes as `Quarantined`.
    pub(super) fn read(row: &Row<'_>, seed: u64) -> rusqlite::Result<Self> {
        let key = ItemKey::new(lossy(row, 1)?);
        let fingerprint = row.get::<_, [u8; 32]>(2).map_or(Fingerprint::NONE, Fingerprint);
        let number = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_i64().ok());
        let times = StandingColumns {
            word: &lossy(row, 5)?,
            missing: number(6)?,
            held_since: number(7)?,
            lost_since: number(10)?,
        };
        let standing = times.read();
        let mut entry = IndexEntry {
            fingerprint,
            raw: RawHash(integer(row, 3)?.cast_unsigned()),
            changes: integer(row, 4)?.cast_unsigned(),
            standing: standing.unwrap_or(Standing::Quarantined),
        };
        let content_hash = integer(row, 8)?;
        let expected = item_hash(integer(row, 0)?, &key, &entry, content_hash, seed);
        let is_whole = standing.is_some() && integer(row, 9)? == expected;
        if !is_whole {
            entry.standing = Standing::Quarantined;
        }
        Ok(Self { key, entry, content_hash, is_whole })
    }
}

/// The hash of a row of `items`.
pub(super) fn item_hash(
    source: i64,
    key: &ItemKey,
    entry: &IndexEntry,
    content_hash: i64,
    seed: u64,
) -> i64 {
    let StandingColumns { word, missing, held_since, lost_since } =
        StandingColumns::of(entry.standing);
    let row = RowHash::new(seed)
        .number(source)
        .bytes(key.as_str().as_bytes())
        .bytes(&entry.fingerprint.0)
        .number(entry.raw.0.cast_signed())
        .number(count(entry.changes))
        .bytes(word.as_bytes())
        .optional(missing)
        .optional(held_since)
        .number(content_hash);
    // Rows older than the column have none, and their hash stands.
    match lost_since {
        Some(since) => row.number(since).finish(),
        None => row.finish(),
    }
}

/// The columns that say how an item stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingColumns<'a> {
    /// `standing`.
    pub(super) word: &'a str,
    pub(super) missing: Option<i64>,
    pub(super) held_since: Option<i64>,
    pub(super) lost_since: Option<i64>,
}

impl StandingColumns<'static> {
    /// Those of a standing.
    pub(super) fn of(standing: Standing) -> Self {
        let word = |word| Self { word, missing: None, held_since: None, lost_since: None };
        let held =
            |name, since: Timestamp| Self { held_since: Some(since.as_millis()), ..word(name) };
        match standing {
            Standing::Present { missing } => {
                Self { missing: Some(i64::from(missing)), ..word("present") }
            }
            Standing::Held { since } => held("held", since),
            Standing::HeldNew { since } => held("held_new", since),
            Standing::Lost { since } => {
                Self { lost_since: since.map(Timestamp::as_millis), ..word("lost") }
            }
            Standing::Deleted => word("deleted"),
            Standing::Quarantined => word("quarantined"),
        }
    }
}

impl StandingColumns<'_> {
    /// The standing; `None` if there is none with such columns.
    fn read(&self) -> Option<Standing> {
        let Self { word, missing, held_since, lost_since } = *self;
        match (word, missing, held_since, lost_since) {
            ("present", Some(missing), None, None) => {
                u32::try_from(missing).ok().map(|missing| Standing::Present { missing })
            }
            ("held", None, Some(since), None) => {
                Some(Standing::Held { since: Timestamp::from_millis(since) })
            }
            ("held_new", None, Some(since), None) => {
                Some(Standing::HeldNew { since: Timestamp::from_millis(since) })
            }
            ("lost", None, None, since) => {
                Some(Standing::Lost { since: since.map(Timestamp::from_millis) })
            }
            ("deleted", None, None, None) => Some(Standing::Deleted),
            ("quarantined", None, None, None) => Some(Standing::Quarantined),
            _ => None,
        }
    }
}

/// An event in the order of [`EVENT_COLUMNS`] from column `first` on; `None` if it fails its hash, or is not there.
pub(super) fn event(
    row: &Row<'_>,
    first: usize,
    seed: u64,
) -> rusqlite::Result<Option<EventRecord>> {
    let no = integer(row, first)?;
    let event = Event {
        id: EventId::new(lossy(row, first + 1)?),
        source: SourceName::new(lossy(row, first + 2)?),
        entry: EntryKey::new(lossy(row, first + 9)?),
        event_type: lossy(row, first + 3)?,
        key: ItemKey::new(lossy(row, first + 4)?),
        seq: integer(row, first + 5)?.cast_unsigned(),
        at: Timestamp::from_millis(integer(row, first + 6)?),
        body: JsonText::trusted(lossy(row, first + 8)?),
    };
    let is_whole = row.get_ref(first + 7)?.as_i64() == Ok(hash::of_event(no, &event, seed));
    Ok(is_whole.then(|| EventRecord { no: EventNo(no.cast_unsigned()), event }))
}

/// A delivery, in the order of [`DELIVERY_COLUMNS`].
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    let started = match (optional_time(row, 10)?, row.get::<_, Option<i64>>(11)?) {
        (Some(at), Some(_)) => Some(Started { at, suspended: duration(row, 11)? }),
        _ => None,
    };
    let trigger: String = row.get(3)?;
    Ok(DeliveryRecord {
        id: DeliveryId(unsigned(row, 0)?),
        endpoint: EndpointName::new(row.get::<_, String>(1)?),
        lane: row.get(2)?,
        trigger: match trigger.as_str() {
            "change" => Trigger::Change,
            "replay" => Trigger::Replay,
            _ => return Err(damaged(3, trigger)),
        },
        state: delivery_state(row)?,
        created_at: time(row, 8)?,
        attempts: row.get(9)?,
        started,
        event_no: EventNo(unsigned(row, 12)?),
        event_id: EventId::new(lossy(row, 13)?),
        event_type: lossy(row, 14)?,
        source: SourceName::new(lossy(row, 15)?),
        entry: EntryKey::new(lossy(row, 18)?),
        key: ItemKey::new(lossy(row, 16)?),
        seq: integer(row, 17)?.cast_unsigned(),
    })
}

fn delivery_state(row: &Row<'_>) -> rusqlite::Result<DeliveryState> {
    let status: String = row.get(4)?;
    Ok(match status.as_str() {
        "waiting" => DeliveryState::Waiting,
        "pending" => DeliveryState::Pending { due: time(row, 5)? },
        "delivered" => DeliveryState::Delivered { at: time(row, 6)? },
        "exhausted" => DeliveryState::Exhausted { at: time(row, 6)?, reason: row.get(7)? },
        "discarded" => DeliveryState::Discarded { at: time(row, 6)? },
        _ => return Err(damaged(4, status)),
    })
}

/// An attempt, in the order of [`ATTEMPT_COLUMNS`].
pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get(0)?,
        at: time(row, 1)?,
        took: duration(row, 2)?,
        status: row.get(3)?,
        fault: fault(row, 4)?,
        answer: row.get(8)?,
    })
}

/// An endpoint's condition, in the order of [`HEALTH_COLUMNS`] from column `first` on.
pub(super) fn health(row: &Row<'_>, first: usize) -> rusqlite::Result<EndpointHealth> {
    let word: String = row.get(first)?;
    let breaker = match word.as_str() {
        "closed" => Breaker::Closed,
        "open" => Breaker::Open {
            since: time(row, first + 1)?,
            probe_at: time(row, first + 2)?,
            probes: row.get(first + 3)?,
        },
        "disabled" => Breaker::Disabled { since: time(row, first + 1)? },
        _ => return Err(damaged(first, word)),
    };
    Ok(EndpointHealth {
        breaker,
        failures: row.get(first + 4)?,
        failing_since: optional_time(row, first + 12)?,
        failing_lane: row.get(first + 5)?,
        last_success: time(row, first + 6)?,
        suspended_before: duration(row, first + 7)?,
        suspended_from: optional_time(row, first + 13)?,
        paused_by_hand: optional_time(row, first + 14)?,
        paused_in_file: optional_time(row, first + 15)?,
        held_until: optional_time(row, first + 16)?,
        told: optional_time(row, first + 17)?,
        fault: fault(row, first + 8)?,
    })
}
