//! A poll by hand, as it is shown: written here, and read by the command line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::view::{FaultView, millis, raw};
use crate::core::recording::Recording;
use crate::core::report::{PollReport, RequestNote, Sample};

/// What a poll came to. Events stay as they came: the order of their keys and their numbers are part of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PollView {
    source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    entry: String,
    pub(crate) outcome: Cow<'static, str>,
    pub(crate) committed: bool,
    /// `first` or `again` if it took a baseline, in which new items do not ring.
    pub(crate) baseline: Option<Cow<'static, str>>,
    pub(crate) pages: usize,
    pub(crate) items: usize,
    pub(crate) unchanged: u64,
    changed: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) held: u64,
    pub(crate) took_ms: u64,
    pub(crate) interval_ms: u64,
    pub(crate) next_poll: String,
    pub(crate) fault: Option<FaultView>,
    pub(crate) requests: Vec<RequestView>,
    /// The first item that was listed, with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<SampleView>,
    pub(crate) events: Vec<Option<Box<RawValue>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recording: Option<Recording>,
}

impl PollView {
    pub(super) fn of(report: &PollReport, recording: Option<Recording>) -> Self {
        let count = |kind: &str| {
            let of_kind = report.changes.iter().filter(|(word, _)| *word == kind);
            of_kind.map(|(_, count)| count).sum::<u64>()
        };
        let (created, updated, deleted) = (count("created"), count("updated"), count("deleted"));
        // In a baseline the new items are known from now on, which is no change.
        let unchanged = match report.baseline {
            Some(_) => 0,
            None => (report.items as u64).saturating_sub(created + updated),
        };
        Self {
            source: report.source.to_string(),
            entry: report.unit.entry().to_string(),
            outcome: Cow::Borrowed(report.outcome),
            committed: report.committed,
            baseline: report.baseline.map(Cow::Borrowed),
            pages: report.pages,
            items: report.items,
            unchanged,
            changed: report.changes.iter().map(|(_, count)| count).sum(),
            created,
            updated,
            deleted,
            held: report.held as u64,
            took_ms: millis(report.took),
            interval_ms: millis(report.interval),
            next_poll: report.next_due.to_rfc3339(),
            fault: report.fault.as_ref().map(FaultView::of),
            requests: report.requests.iter().map(RequestView::of).collect(),
            sample: report.sample.as_ref().map(SampleView::of),
            events: report.events.iter().map(|event| raw(&event.body)).collect(),
            recording,
        }
    }
}

/// An item, so that whoever wrote `items` and `key` sees what they find.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SampleView {
    pub(crate) key: String,
    /// Absent if it is long.
    pub(crate) item: Option<Box<RawValue>>,
}

impl SampleView {
    fn of(sample: &Sample) -> Self {
        let item = sample.item.clone().and_then(|item| RawValue::from_string(item).ok());
        Self { key: sample.key.to_string(), item }
    }
}

/// A request that the poll made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestView {
    pub(crate) method: String,
    pub(crate) url: String,
    /// Name and value; the values of credentials are hidden.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) conditional: bool,
    pub(crate) status: Option<u16>,
    pub(crate) body_bytes: usize,
    pub(crate) took_ms: u64,
}

impl RequestView {
    fn of(note: &RequestNote) -> Self {
        Self {
            method: note.method.to_string(),
            url: note.url.clone(),
            headers: note.headers.clone(),
            conditional: note.conditional,
            status: note.status,
            body_bytes: note.body_bytes,
            took_ms: millis(note.took),
        }
    }
}
