//! `doorbell events`: list and follow.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::control::{Control, path_with, read};
use super::table::Envelope;
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
    /// The source's name.
    #[arg(long)]
    source: Option<String>,
    /// Which entry, of a source that is polled entry by entry.
    #[arg(long)]
    entry: Option<String>,
    /// The item's key.
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

/// A part of the listing. Events stay as they are sent.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Row>,
    cursor: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Row {
    event: Box<RawValue>,
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    let limit = args.limit.to_string();
    let newest = args.query(&[("order", Some("newest")), ("limit", Some(&limit))]);
    let Page { mut events, cursor } = read(&control.get_text(&newest).await?)?;
    events.reverse();
    match (common.json, args.follow) {
        (true, false) => {
            let events: Vec<_> = events.iter().map(|row| row.event.get()).collect();
            print::line(&format!("[{}]", events.join(",")))?;
        }
        (false, false) if events.is_empty() => print::note("no events")?,
        _ => events.iter().try_for_each(|row| row.show(common.json))?,
    }
    if args.follow {
        follow(&control, &args, common.json, cursor.unwrap_or(0)).await?;
    }
    control.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(control: &Control, args: &Args, json: bool, mut cursor: u64) -> anyhow::Result<()> {
    // One for all rounds: a signal between two of them must not be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut hung_up = pin!(print::hang_up());
    loop {
        let after = cursor.to_string();
        let page: Page = read(&control.get_text(&args.query(&[("after", Some(&after))])).await?)?;
        page.events.iter().try_for_each(|row| row.show(json))?;
        cursor = page.cursor.unwrap_or(cursor);
        tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(()),
            () = &mut hung_up => return Ok(()),
            () = tokio::time::sleep(FOLLOW_PERIOD) => {}
        }
    }
}

impl Row {
    fn show(&self, json: bool) -> anyhow::Result<()> {
        let text = self.event.get();
        if json {
            return Ok(print::line(text)?);
        }
        Ok(table::event(&read::<Envelope>(text)?)?)
    }
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
