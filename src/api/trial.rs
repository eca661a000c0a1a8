//! A test event, as it is shown: written here, and read by the command line.

use serde::{Deserialize, Serialize};

use super::view::{FaultView, millis};
use crate::core::report::TrialReport;

/// What came of a test event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrialView {
    id: String,
    /// Whether the receiver took it.
    pub(crate) accepted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<ShownRequestView>,
    pub(crate) body: String,
    pub(crate) status: Option<u16>,
    pub(crate) answer: String,
    pub(crate) fault: Option<FaultView>,
    pub(crate) took_ms: u64,
}

/// The request that it was sent with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShownRequestView {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl TrialView {
    pub(super) fn of(report: &TrialReport) -> Self {
        let request = report.request.as_ref().map(|request| ShownRequestView {
            method: request.method.to_string(),
            url: request.url.clone(),
            headers: request.headers.clone(),
        });
        Self {
            id: report.event_id.to_string(),
            accepted: report.fault.is_none(),
            request,
            body: report.body.clone(),
            status: report.status,
            answer: report.answer.clone(),
            fault: report.fault.as_ref().map(FaultView::of),
            took_ms: millis(report.took),
        }
    }
}
