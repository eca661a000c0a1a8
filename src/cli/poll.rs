//! `doorbell poll SOURCE`: one poll now.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::control::{Control, load, segment};
use super::{Common, print};
use crate::telemetry::Redactor;

/// Arguments of `poll`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell poll tickets            show what a poll would find; nothing is kept\n  doorbell poll tickets --commit   poll now, and let it count"
)]
pub(crate) struct Args {
    /// The source's name.
    source: String,
    /// Show only (the default).
    #[arg(long, conflicts_with = "commit")]
    dry_run: bool,
    /// Make it count: snapshot, events and deliveries are kept.
    #[arg(long)]
    commit: bool,
}

pub(crate) async fn run(
    args: Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    // A mistake in the configuration is told before anything else.
    let config = load(&common.config)?;
    redactor.learn(&config.secrets);
    std::fs::create_dir_all(&common.state)?;
    let control = Control::open(common, redactor).await?;
    let path = format!("/v1/sources/{}/poll?commit={}", segment(&args.source), args.commit);
    let report = control.post(&path, &json!({})).await?;
    control.close().await?;
    if common.json {
        print::line(&report.to_string())?;
    } else {
        show(&report)?;
    }
    let failed = report.get("fault").is_some_and(|fault| !fault.is_null());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(report: &Value) -> anyhow::Result<()> {
    let text = |value: &Value, name: &str| {
        let field = value.get(name).cloned().unwrap_or_default();
        field.as_str().map_or_else(|| field.to_string(), str::to_owned)
    };
    let list = |name: &str| report.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for request in list("requests") {
        let status = request.get("status").and_then(Value::as_u64);
        let status = status.map_or_else(|| String::from("no answer"), |status| status.to_string());
        let conditional =
            if request.get("conditional") == Some(&json!(true)) { ", conditional" } else { "" };
        let (method, url, bytes) =
            (text(&request, "method"), text(&request, "url"), text(&request, "body_bytes"));
        print::line(&format!("{method} {url} → {status}, {bytes} bytes{conditional}"))?;
    }
    if let Some(fault) = report.get("fault").filter(|fault| !fault.is_null()) {
        print::failure(&format!("{} ({})", text(fault, "sentence"), text(fault, "code")));
    }
    let events = list("events");
    let (outcome, items, took) =
        (text(report, "outcome"), text(report, "items"), text(report, "took_ms"));
    print::line(&format!("{outcome}: {items} items, {} events, {took} ms", events.len()))?;
    for event in &events {
        print::line(&serde_json::to_string_pretty(event)?)?;
    }
    if report.get("committed") != Some(&json!(true)) {
        print::note("nothing was kept; `--commit` makes it count")?;
    }
    Ok(())
}
