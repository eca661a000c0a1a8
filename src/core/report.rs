//! What one poll came to, for people who asked for it by hand and for the numbers we keep.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use crate::core::diff::ChangeKind;
use crate::core::event::Event;
use crate::core::extract::Page;
use crate::core::fault::Fault;
use crate::core::ids::{EventId, ItemKey, SourceName, UnitName};
use crate::core::limits::SAMPLE_BYTES_MAX;
use crate::core::time::Timestamp;

/// Whether a poll counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Commit,
    /// Everything but the writing.
    DryRun,
}

/// One poll, told.
#[derive(Debug, Clone)]
pub(crate) struct PollReport {
    pub(crate) source: SourceName,
    /// The source, or the entry of it that was polled.
    pub(crate) unit: UnitName,
    /// The outcome's word; see [`PollOutcome`](crate::core::outcome::PollOutcome).
    pub(crate) outcome: &'static str,
    /// Why new items do not ring in it, if so: the `first` poll of a source, or one `again` after its identity changed.
    pub(crate) baseline: Option<&'static str>,
    pub(crate) fault: Option<Fault>,
    pub(crate) pages: usize,
    /// Items the listing showed; 0 for a 304 or an identical body, which is not looked into.
    pub(crate) items: usize,
    /// The events made, in order, if somebody wants to see them; without those of a part that was committed before a
    /// conflict.
    pub(crate) events: Vec<Event>,
    /// How many events of each type were made.
    pub(crate) event_counts: BTreeMap<String, u64>,
    /// Changes that were held back for a person in this poll.
    pub(crate) held: usize,
    /// If somebody wants to see them.
    pub(crate) requests: Vec<RequestNote>,
    /// The first item that was listed, if somebody wants to see it.
    pub(crate) sample: Option<Sample>,
    /// Changes by kind, whether or not a rule makes an event of them.
    pub(crate) changes: Vec<(&'static str, u64)>,
    pub(crate) took: Duration,
    /// On the wall clock.
    pub(crate) ended: Timestamp,
    /// The spacing of polls from here on.
    pub(crate) interval: Duration,
    pub(crate) next_due: Timestamp,
    /// Whether anything was written, or only shown.
    pub(crate) committed: bool,
}

impl PollReport {
    /// Whether it made any event.
    pub(crate) fn has_events(&self) -> bool {
        !self.event_counts.is_empty()
    }

    /// Adds changes of a kind.
    pub(crate) fn count(&mut self, kind: ChangeKind, count: u64) {
        if count == 0 {
            return;
        }
        match self.changes.iter_mut().find(|(word, _)| *word == kind.as_str()) {
            Some((_, total)) => *total += count,
            None => self.changes.push((kind.as_str(), count)),
        }
    }
}

/// An item with its key, as the API gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) key: ItemKey,
    /// JSON; none of an item longer than [`SAMPLE_BYTES_MAX`].
    pub(crate) item: Option<String>,
}

impl Sample {
    /// The first item of a page.
    pub(crate) fn of(page: &Page<'_>) -> Option<Self> {
        let found = page.items.first()?;
        let item = (found.raw.len() <= SAMPLE_BYTES_MAX).then(|| found.raw.clone().into_owned());
        Some(Self { key: found.key.clone(), item })
    }
}

/// What came of an event that was sent to see whether it is taken.
#[derive(Debug, Clone)]
pub(crate) struct TrialReport {
    pub(crate) event_id: EventId,
    /// Absent when nothing was asked over HTTP.
    pub(crate) request: Option<ShownRequest>,
    /// What was sent, without secrets.
    pub(crate) body: String,
    pub(crate) status: Option<u16>,
    /// Why it was not taken, if so.
    pub(crate) fault: Option<Fault>,
    /// The beginning of the receiver's answer, without secrets.
    pub(crate) answer: String,
    pub(crate) took: Duration,
}

/// A request as it may be shown.
#[derive(Debug, Clone)]
pub(crate) struct ShownRequest {
    pub(crate) method: Method,
    /// As [`shown_receiver`](crate::core::http::shown_receiver) shows it.
    pub(crate) url: String,
    /// Without credentials; proofs are shown.
    pub(crate) headers: Vec<(String, String)>,
}

/// A request of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestNote {
    pub(crate) method: Method,
    /// As [`Source::shown`](crate::core::source::Source::shown) shows it.
    pub(crate) url: String,
    /// As [`shown_headers`](crate::core::http::shown_headers) shows them.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) conditional: bool,
    /// The status, or `None` when no answer came.
    pub(crate) status: Option<u16>,
    pub(crate) body_bytes: usize,
    pub(crate) took: Duration,
}
