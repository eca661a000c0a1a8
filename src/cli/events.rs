//! `doorbell events`: list and follow.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::control::{Control, path_with};
use super::{Common, print, table};
use crate::telemetry::Redactor;

/// How often a followed listing looks for more.
const FOLLOW_PERIOD: Duration = Duration::from_millis(300);

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell events\n  doorbell events --type 'ticket.*' --key 42\n  doorbell events --follow --json | jq .data"
)]
pub(crate) struct Args {
    /// A glob on the type.
    #[arg(long = "type", value_name = "GLOB")]
    event_type: Option<String>,
    #[arg(long)]
    source: Option<String>,
    #[arg(long)]
    entry: Option<String>,
    #[arg(long)]
    key: Option<String>,
    /// Detected at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Detected before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The newest so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on printing as they come, one JSON object a line with --json.
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    let limit = args.limit.to_string();
    let newest = args.query(&[("order", Some("newest")), ("limit", Some(&limit))]);
    let page = control.get(&newest).await?;
    let mut events = list(&page);
    events.reverse();
    let envelopes: Vec<Value> = events.iter().filter_map(|row| row.get("event").cloned()).collect();
    match (common.json, args.follow) {
        (true, false) => print::line(&Value::Array(envelopes).to_string())?,
        (true, true) => envelopes.iter().try_for_each(|event| print::line(&event.to_string()))?,
        (false, _) => table::events(&envelopes)?,
    }
    if args.follow {
        let cursor = page.get("cursor").and_then(Value::as_u64).unwrap_or(0);
        follow(&control, &args, common.json, cursor).await?;
    }
    control.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(control: &Control, args: &Args, json: bool, mut cursor: u64) -> anyhow::Result<()> {
    // One for all rounds: a signal between two of them must not be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let after = cursor.to_string();
        let page = control.get(&args.query(&[("after", Some(&after))])).await?;
        for row in list(&page) {
            let envelope = row.get("event").cloned().unwrap_or_default();
            if json {
                print::line(&envelope.to_string())?;
            } else {
                table::event(&envelope)?;
            }
        }
        cursor = page.get("cursor").and_then(Value::as_u64).unwrap_or(cursor);
        tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(()),
            () = tokio::time::sleep(FOLLOW_PERIOD) => {}
        }
    }
}

fn list(page: &Value) -> Vec<Value> {
    page.get("events").and_then(Value::as_array).cloned().unwrap_or_default()
}

impl Args {
    fn query(&self, more: &[(&str, Option<&str>)]) -> String {
        let mut pairs = vec![
            ("type", self.event_type.as_deref()),
            ("source", self.source.as_deref()),
            ("entry", self.entry.as_deref()),
            ("key", self.key.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ];
        pairs.extend_from_slice(more);
        path_with("/v1/events", &pairs)
    }
}
