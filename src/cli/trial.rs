//! `doorbell endpoints test NAME`: one signed event now, and what came of it.

use std::process::ExitCode;

use serde_json::json;
use serde_json::value::RawValue;

use super::Common;
use super::control::{Control, read, segment};
use super::pretty::indented;
use super::print::{self, BAD, FAINT, GOOD, NAME, STRONG, printable, styled};
use crate::api::trial::TrialView;

/// The longest header that is shown whole: a signature by several keys.
const HEADER_CHARS_MAX: usize = 1_000;
/// How much of the receiver's answer is shown.
const ANSWER_CHARS_MAX: usize = 400;

/// How much of a body is shown that is not JSON.
const BODY_CHARS_MAX: usize = 4_000;

/// Arguments of `endpoints test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell endpoints test crm\n  doorbell endpoints test crm --type order.created --data '{\"id\": 7}'   where `body` or `sign` need more than an id"
)]
pub(crate) struct Args {
    /// The endpoint's name.
    endpoint: String,
    /// The event's type [default: one that the endpoint wants].
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The event's data, as JSON.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

/// Sends it; exit code 1 if it was not taken.
pub(super) async fn run(
    control: &Control,
    args: Args,
    common: &Common,
) -> anyhow::Result<ExitCode> {
    // As text: the order of its keys means something.
    let order = json!({ "type": args.event_type, "data": args.data });
    let path = format!("/v1/endpoints/{}/test", segment(&args.endpoint));
    let text = control.post_text(&path, &order).await?;
    let report: TrialView = read(&text)?;
    if common.json {
        print::line(&text)?;
    } else {
        show(&report)?;
    }
    Ok(if report.accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &TrialView) -> std::io::Result<()> {
    if let Some(request) = &report.request {
        let method = styled(STRONG, &request.method);
        print::line(&format!("{method} {}", printable(&request.url, HEADER_CHARS_MAX)))?;
        for (name, value) in &request.headers {
            let value = printable(value, HEADER_CHARS_MAX);
            print::line(&format!("    {}: {}", styled(NAME, name), styled(FAINT, &value)))?;
        }
    }
    if !report.body.is_empty() {
        let is_json = serde_json::from_str::<&RawValue>(&report.body).is_ok();
        let body =
            if is_json { indented(&report.body) } else { printable(&report.body, BODY_CHARS_MAX) };
        print::line(&body)?;
    }
    if let Some(fault) = &report.fault {
        print::failure(&format!("{} ({})", printable(&fault.sentence, 1_000), fault.code));
    }
    let answered = match (report.status, report.accepted) {
        (Some(status), true) => styled(GOOD, &format!("→ {status}")),
        (Some(status), false) => styled(BAD, &format!("→ {status}")),
        (None, true) => styled(GOOD, "→ written"),
        (None, false) => styled(BAD, "→ no answer"),
    };
    print::line(&format!("{answered}, {} ms", report.took_ms))?;
    let answer = printable(report.answer.trim(), ANSWER_CHARS_MAX);
    if answer.is_empty() { Ok(()) } else { print::line(&format!("    answer: {answer}")) }
}
