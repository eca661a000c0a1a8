//! What leaves as JSON. A field here is a promise; nothing secret is in any of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entries::{Entries, EntriesView};
use crate::core::delivery::{Breaker, DeliveryState, EndpointHealth, Outlook};
use crate::core::endpoint::{RetryPolicy, Target};
use crate::core::fault::Fault;
use crate::core::http::shown_receiver;
use crate::core::ids::{EndpointName, EntryKey, SourceName, UnitName};
use crate::core::json::JsonText;
use crate::core::limits::LISTED_ANSWER_CHARS_MAX;
use crate::core::roster::Roster;
use crate::core::sink::content::Content;
use crate::core::snapshot::{Standing, StoredItem};
use crate::core::source::{Baseline, SourceState};
use crate::core::time::Timestamp;
use crate::store::{Attempt, DeliveryRecord, EventRecord, Tally};
use crate::telemetry::Redactor;

pub(super) fn raw(text: &JsonText) -> Option<Box<RawValue>> {
    RawValue::from_string(text.as_str().to_owned()).ok()
}

#[derive(Debug, Serialize)]
pub(super) struct EventsView {
    events: Vec<EventView>,
    /// To go on from, as `after`.
    cursor: Option<u64>,
}

impl EventsView {
    pub(super) fn of(records: &[EventRecord]) -> Self {
        let cursor = records.iter().map(|record| record.no.0).max();
        Self { events: records.iter().map(EventView::of).collect(), cursor }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct EventView {
    no: u64,
    /// The envelope as it is sent.
    event: Option<Box<RawValue>>,
}

impl EventView {
    pub(super) fn of(record: &EventRecord) -> Self {
        Self { no: record.no.0, event: raw(&record.event.body) }
    }
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What went wrong.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FaultView {
    whose: Cow<'static, str>,
    pub(crate) code: String,
    pub(crate) sentence: String,
}

impl FaultView {
    pub(super) fn of(fault: &Fault) -> Self {
        Self {
            whose: Cow::Borrowed(fault.whose.as_str()),
            code: fault.code.clone(),
            sentence: fault.sentence.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct DeliveryView {
    id: String,
    endpoint: String,
    status: &'static str,
    trigger: &'static str,
    event: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entry: String,
    key: String,
    seq: u64,
    created_at: String,
    attempts: u32,
    due_at: Option<String>,
    settled_at: Option<String>,
    reason: Option<String>,
    /// What the receiver answered last, if it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_answer: Option<AnswerView>,
}

#[derive(Debug, Serialize)]
struct AnswerView {
    at: String,
    status: Option<u16>,
    /// Its beginning.
    text: String,
}

impl DeliveryView {
    /// The same with what was answered to the last attempt.
    pub(super) fn with_last(self, attempt: Option<&Attempt>) -> Self {
        let last_answer = attempt.map(|attempt| AnswerView {
            at: attempt.at.to_rfc3339(),
            status: attempt.status,
            text: attempt.answer.chars().take(LISTED_ANSWER_CHARS_MAX).collect(),
        });
        Self { last_answer, ..self }
    }

    pub(super) fn of(record: &DeliveryRecord, conditions: &Conditions) -> Self {
        let (due, settled, reason) = match &record.state {
            DeliveryState::Waiting => (None, None, None),
            DeliveryState::Pending { due } => {
                let health = conditions.endpoints.get(&record.endpoint);
                (next_attempt(*due, health, conditions.now), None, None)
            }
            DeliveryState::Delivered { at } | DeliveryState::Discarded { at } => {
                (None, Some(at), None)
            }
            DeliveryState::Exhausted { at, reason } => (None, Some(at), Some(reason.clone())),
        };
        Self {
            id: record.id.to_string(),
            endpoint: record.endpoint.to_string(),
            status: record.state.as_str(),
            trigger: record.trigger.as_str(),
            event: record.event_id.to_string(),
            event_type: record.event_type.clone(),
            source: record.source.to_string(),
            entry: record.entry.to_string(),
            key: record.key.to_string(),
            seq: record.seq,
            created_at: record.created_at.to_rfc3339(),
            attempts: record.attempts,
            due_at: due.map(Timestamp::to_rfc3339),
            settled_at: settled.map(|at| at.to_rfc3339()),
            reason,
            last_answer: None,
        }
    }
}

/// How the endpoints are, at a moment.
pub(super) struct Conditions {
    pub(super) endpoints: BTreeMap<EndpointName, EndpointHealth>,
    pub(super) now: Timestamp,
}

#[derive(Debug, Serialize)]
pub(super) struct DeliveryDetailView {
    delivery: DeliveryView,
    attempts: Vec<AttemptView>,
    /// The envelope; sent as it is unless there is a `body`.
    event: Option<Box<RawValue>>,
    /// What its endpoint is sent in place of the envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyView>,
    /// What is to come, if it is not settled and its endpoint is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryView>,
}

#[derive(Debug, Serialize)]
pub(super) struct RetryView {
    /// The bounds of the delays after the attempt that is due.
    delays_ms: Vec<u128>,
    /// How long it is tried, from the first attempt on; the time its endpoint is left alone does not count.
    for_ms: u128,
    gives_up_at: Option<String>,
}

impl RetryView {
    pub(super) fn of(outlook: &Outlook, policy: &RetryPolicy) -> Self {
        Self {
            delays_ms: outlook.delays.iter().map(Duration::as_millis).collect(),
            for_ms: policy.give_up_after.as_millis(),
            gives_up_at: outlook.gives_up.map(Timestamp::to_rfc3339),
        }
    }
}

impl DeliveryDetailView {
    pub(super) fn of(
        (record, conditions): (&DeliveryRecord, &Conditions),
        event: Option<&EventRecord>,
        body: Option<BodyView>,
        (attempts, retry): (&[Attempt], Option<RetryView>),
    ) -> Self {
        Self {
            delivery: DeliveryView::of(record, conditions),
            attempts: attempts.iter().map(AttemptView::of).collect(),
            event: event.and_then(|record| raw(&record.event.body)),
            body,
            retry,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct BodyView {
    content_type: String,
    /// The bytes as text, without secrets.
    text: String,
}

impl BodyView {
    /// Of what was made; nothing for the envelope itself, and for what could not be made.
    pub(super) fn of(content: Content, redactor: &Redactor) -> Option<Self> {
        let Content::Made(made) = content else { return None };
        let content_type = made.media_type.to_string();
        Some(Self { content_type, text: redactor.clean(&made.body) })
    }
}

#[derive(Debug, Serialize)]
struct AttemptView {
    number: u32,
    at: String,
    took_ms: u128,
    status: Option<u16>,
    fault: Option<FaultView>,
    answer: String,
}

impl AttemptView {
    fn of(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at.to_rfc3339(),
            took_ms: attempt.took.as_millis(),
            status: attempt.status,
            fault: attempt.fault.as_ref().map(FaultView::of),
            answer: attempt.answer.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct EndpointView {
    name: String,
    /// Whether the configuration still has it.
    declared: bool,
    condition: &'static str,
    since: Option<String>,
    /// While it is failing: when the next attempt is made, if something waits for it.
    probe_at: Option<String>,
    /// The receiver asked to be left alone until then.
    held_until: Option<String>,
    /// Who paused it: `hand`, `file` or both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paused_by: Vec<&'static str>,
    failures: u32,
    fault: Option<FaultView>,
    pending: u64,
    exhausted: u64,
    /// Where its events go, as it may be shown.
    url: Option<String>,
    sign: Option<String>,
    /// With which receivers verify what private keys sign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    public_keys: Vec<String>,
}

impl EndpointView {
    pub(super) fn of(
        (name, health): (&EndpointName, &EndpointHealth),
        (due, now): (Option<Timestamp>, Timestamp),
        roster: &Roster,
        tally: &[Tally],
    ) -> Self {
        let (condition, since) = match (health.paused_since(), health.breaker) {
            (Some(since), _) => ("paused", Some(since)),
            (None, Breaker::Closed) => ("healthy", None),
            (None, Breaker::Open { since, .. }) => ("failing", Some(since)),
            (None, Breaker::Disabled { since }) => ("disabled", Some(since)),
        };
        let count = |words: &[&str]| {
            let rows =
                tally.iter().filter(|row| &row.endpoint == name && words.contains(&row.status));
            rows.map(|row| row.count).sum()
        };
        let next = due.and_then(|due| next_attempt(due, Some(health), now));
        let probe_at = next.filter(|_| condition == "failing").map(|next| next.max(now));
        let paused_by = [("hand", health.paused_by_hand), ("file", health.paused_in_file)];
        let declared = roster.endpoints.get(name);
        let url = declared.map(|endpoint| match &endpoint.target {
            Target::Http { url } => shown_receiver(url),
            Target::Stdout => String::from("stdout:"),
            Target::File { .. } => String::from("file:…"),
        });
        Self {
            name: name.to_string(),
            declared: declared.is_some(),
            url,
            sign: declared.map(|endpoint| endpoint.sign.name().to_owned()),
            public_keys: declared.map(|endpoint| endpoint.public_keys()).unwrap_or_default(),
            condition,
            since: since.map(Timestamp::to_rfc3339),
            probe_at: probe_at.map(Timestamp::to_rfc3339),
            held_until: health.held_until.filter(|until| *until > now).map(Timestamp::to_rfc3339),
            paused_by: paused_by.iter().filter(|(_, at)| at.is_some()).map(|(by, _)| *by).collect(),
            failures: health.failures,
            fault: health.fault.as_ref().map(FaultView::of),
            pending: count(&["waiting", "pending"]),
            exhausted: count(&["exhausted"]),
        }
    }
}

/// When a delivery is tried next, if that is known: it waits also for its endpoint.
fn next_attempt(
    due: Timestamp,
    health: Option<&EndpointHealth>,
    now: Timestamp,
) -> Option<Timestamp> {
    let Some(health) = health else { return Some(due) };
    let is_stopped = health.is_paused() || matches!(health.breaker, Breaker::Disabled { .. });
    (!is_stopped).then(|| health.opens(now).map_or(due, |opens| due.max(opens)))
}

#[derive(Debug, Serialize)]
pub(super) struct ReplayView {
    pub(super) count: u64,
    pub(super) dry_run: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct CountView {
    pub(super) count: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct ReloadView {
    pub(super) changes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SourceView {
    pub(super) name: String,
    /// Whether the configuration still has it.
    declared: bool,
    url: Option<String>,
    paused: bool,
    interval_ms: Option<u128>,
    next_poll: Option<String>,
    failures: u32,
    baseline: bool,
    last_seq: u64,
    last_poll: Option<String>,
    last_success: Option<String>,
    last_change: Option<String>,
    fault: Option<FaultView>,
    failing_since: Option<String>,
    /// When `until` became true of it: it is not polled any more.
    ended_at: Option<String>,
    /// How its entries fare, if it is polled entry by entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<EntriesView>,
}

impl SourceView {
    pub(super) fn of(
        name: &SourceName,
        own: Option<&SourceState>,
        entries: Option<&Entries>,
        roster: &Roster,
    ) -> Self {
        let declared = roster.sources.get(name);
        let paused = declared.is_some_and(|source| source.paused);
        // A source whose entries are no more has a state of its own again.
        let entries = entries.filter(|_| declared.is_none_or(|source| source.for_each.is_some()));
        let together = entries.and_then(Entries::together);
        let state = together.as_ref().or(own);
        let time = |pick: fn(&SourceState) -> Option<Timestamp>| {
            state.and_then(pick).map(Timestamp::to_rfc3339)
        };
        Self {
            name: name.to_string(),
            declared: declared.is_some(),
            url: declared.map(|source| source.url.shown()),
            paused,
            interval_ms: state.map(|state| state.schedule.interval.as_millis()),
            next_poll: time(|state| Some(state.schedule.due)).filter(|_| !paused),
            failures: state.map_or(0, |state| state.schedule.failures),
            baseline: state.is_some_and(|state| matches!(state.baseline, Baseline::Taken { .. })),
            last_seq: state.map_or(0, |state| state.last_seq),
            last_poll: time(|state| state.last_poll),
            last_success: time(|state| state.last_success),
            last_change: time(|state| state.last_change),
            fault: state
                .and_then(|state| state.fault.as_deref())
                .map(|(fault, _)| FaultView::of(fault)),
            failing_since: time(|state| state.fault.as_deref().map(|(_, since)| *since)),
            ended_at: time(|state| state.ended),
            entries: entries.map(Entries::view),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ItemView {
    #[serde(skip_serializing_if = "String::is_empty")]
    entry: String,
    key: String,
    standing: &'static str,
    changes: u64,
    item: Option<Box<RawValue>>,
}

impl ItemView {
    pub(super) fn of(entry: &EntryKey, item: &StoredItem) -> Self {
        let standing = match item.entry.standing {
            Standing::Present { missing: 0 } => "present",
            Standing::Present { .. } => "missing",
            Standing::Held { .. } | Standing::HeldNew { .. } => "held",
            Standing::Lost { .. } => "lost",
            Standing::Deleted => "deleted",
            Standing::Quarantined => "quarantined",
        };
        let (key, changes) = (item.key.to_string(), item.entry.changes);
        Self { entry: entry.to_string(), key, standing, changes, item: raw(&item.data) }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct HeldView {
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entry: String,
    key: String,
    kind: &'static str,
    /// `flood`: too many are new at once. `brake`: too many are gone at once. `credentials`: gone for other ones.
    why: String,
    held_since: Option<String>,
    item: Option<Box<RawValue>>,
}

impl HeldView {
    pub(super) fn of(unit: &UnitName, item: &StoredItem, reasons: &HeldReasons) -> Self {
        let since = match item.entry.standing {
            Standing::Held { since } | Standing::HeldNew { since } => Some(since),
            _ => None,
        };
        let is_new = matches!(item.entry.standing, Standing::HeldNew { .. });
        let kind = if is_new { "created" } else { "deleted" };
        let (source, entry) = (unit.source().to_string(), unit.entry().to_string());
        let key = item.key.to_string();
        let why = match since {
            Some(since) if !is_new => reasons.of(since),
            _ => String::from("flood"),
        };
        let held_since = since.map(Timestamp::to_rfc3339);
        Self { source, entry, key, kind, why, held_since, item: raw(&item.data) }
    }
}

/// Why items of a source that are gone are held, as doorbell's own events told it.
#[derive(Debug, Default)]
pub(super) struct HeldReasons(Vec<(String, String)>);

impl HeldReasons {
    /// From those events, in any order.
    pub(super) fn of_events(records: &[EventRecord]) -> Self {
        let mut told: Vec<_> = records.iter().filter_map(held_reason).collect();
        told.sort_unstable();
        Self(told)
    }

    /// Of an item that is held since then: what the first event from there on said, which its poll made.
    fn of(&self, since: Timestamp) -> String {
        let since = since.to_rfc3339();
        let told = self.0.iter().find(|(at, _)| *at >= since);
        told.map_or_else(|| String::from("brake"), |(_, why)| why.clone())
    }
}

/// When changes were held, and why such as were gone.
fn held_reason(record: &EventRecord) -> Option<(String, String)> {
    let envelope: serde_json::Value = serde_json::from_str(record.event.body.as_str()).ok()?;
    let told = envelope.get("data")?;
    let words = told.get("why")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
    let why = words.filter(|word| *word != "flood").collect::<Vec<_>>().join(", ");
    (!why.is_empty()).then_some((told.get("held_at")?.as_str()?.to_owned(), why))
}
