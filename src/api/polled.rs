//! A poll by hand, as it is shown.

use serde::Serialize;
use serde_json::value::RawValue;

use super::view::{FaultView, raw};
use crate::core::recording::Recording;
use crate::core::report::{PollReport, RequestNote, Sample};

#[derive(Debug, Serialize)]
pub(super) struct PollView {
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entry: String,
    outcome: &'static str,
    committed: bool,
    /// `first` or `again` if it took a baseline, in which new items do not ring.
    baseline: Option<&'static str>,
    pages: usize,
    items: usize,
    unchanged: u64,
    changed: u64,
    created: u64,
    updated: u64,
    deleted: u64,
    held: usize,
    took_ms: u128,
    interval_ms: u128,
    next_poll: String,
    fault: Option<FaultView>,
    requests: Vec<RequestView>,
    /// The first item that was listed, with its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampleView>,
    events: Vec<Option<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<Recording>,
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
            outcome: report.outcome,
            committed: report.committed,
            baseline: report.baseline,
            pages: report.pages,
            items: report.items,
            unchanged,
            changed: report.changes.iter().map(|(_, count)| count).sum(),
            created,
            updated,
            deleted,
            held: report.held,
            took_ms: report.took.as_millis(),
            interval_ms: report.interval.as_millis(),
            next_poll: report.next_due.to_rfc3339(),
            fault: report.fault.as_ref().map(FaultView::of),
            requests: report.requests.iter().map(RequestView::of).collect(),
            sample: report.sample.as_ref().map(SampleView::of),
            events: report.events.iter().map(|event| raw(&event.body)).collect(),
            recording,
        }
    }
}

#[derive(Debug, Serialize)]
struct SampleView {
    key: String,
    /// Absent if it is long.
    item: Option<Box<RawValue>>,
}

impl SampleView {
    fn of(sample: &Sample) -> Self {
        let item = sample.item.clone().and_then(|item| RawValue::from_string(item).ok());
        Self { key: sample.key.to_string(), item }
    }
}

#[derive(Debug, Serialize)]
struct RequestView {
    method: String,
    url: String,
    /// Name and value; the values of credentials are hidden.
    headers: Vec<(String, String)>,
    conditional: bool,
    status: Option<u16>,
    body_bytes: usize,
    took_ms: u128,
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
            took_ms: note.took.as_millis(),
        }
    }
}
