//! A test event, as it is shown.

use serde::Serialize;

use super::view::FaultView;
use crate::core::report::TrialReport;

/// What came of a test event.
#[derive(Debug, Serialize)]
pub(super) struct TrialView {
    id: String,
    /// Whether the receiver took it.
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<ShownRequestView>,
    body: String,
    status: Option<u16>,
    answer: String,
    fault: Option<FaultView>,
    took_ms: u128,
}

#[derive(Debug, Serialize)]
struct ShownRequestView {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
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
            took_ms: report.took.as_millis(),
        }
    }
}
