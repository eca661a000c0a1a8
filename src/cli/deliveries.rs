//! `doorbell deliveries`: list, follow, and one with every attempt.

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::control::{Control, path_with, read, segment};
use super::{Common, print, table};
use crate::telemetry::Redactor;

/// How often a followed listing looks for changes.
const FOLLOW_PERIOD: Duration = Duration::from_millis(300);

/// Arguments of `deliveries`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  doorbell deliveries --status exhausted\n  doorbell deliveries --endpoint crm --follow\n  doorbell deliveries show dlv_17"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    filter: Filter,
    /// The newest so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on printing as they change.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// One delivery with every attempt.
    Show {
        /// As `dlv_17`.
        id: String,
    },
}

/// Which deliveries.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Filter {
    /// The endpoint's name.
    #[arg(long)]
    pub(crate) endpoint: Option<String>,
    /// waiting, pending, delivered, exhausted or discarded.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// An event's id.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// A glob on the event's type.
    #[arg(long = "type", value_name = "GLOB")]
    pub(crate) event_type: Option<String>,
    /// The source's name.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// The item's key.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Events detected at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Events detected before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

impl Filter {
    /// Name and value of every field.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![
            ("endpoint", self.endpoint.as_deref()),
            ("status", self.status.as_deref()),
            ("event", self.event.as_deref()),
            ("type", self.event_type.as_deref()),
            ("source", self.source.as_deref()),
            ("key", self.key.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    if let Some(Sub::Show { id }) = &args.command {
        let detail = control.get_text(&format!("/v1/deliveries/{}", segment(id))).await?;
        if common.json { print::line(&detail)? } else { table::delivery(&read(&detail)?)? }
    } else {
        list(&control, &args, common).await?;
    }
    control.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn list(control: &Control, args: &Args, common: &Common) -> anyhow::Result<()> {
    let limit = args.limit.to_string();
    let mut pairs = args.filter.pairs();
    pairs.extend([("order", Some("newest")), ("limit", Some(limit.as_str()))]);
    let path = path_with("/v1/deliveries", &pairs);
    let mut rows = newest_last(control.get(&path).await?);
    match (common.json, args.follow) {
        (true, false) => print::line(&Value::Array(rows.clone()).to_string())?,
        (true, true) => rows.iter().try_for_each(|row| print::line(&row.to_string()))?,
        (false, _) => table::deliveries(&rows)?,
    }
    if !args.follow {
        return Ok(());
    }
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    // One for all rounds: a signal between two of them must not be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut hung_up = pin!(print::hang_up());
    loop {
        for row in rows {
            let id = row.get("id").map(Value::to_string).unwrap_or_default();
            if seen.insert(id, row.clone()).is_some_and(|before| before != row) {
                if common.json {
                    print::line(&row.to_string())?;
                } else {
                    table::deliveries(&[row])?;
                }
            }
        }
        tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(()),
            () = &mut hung_up => return Ok(()),
            () = tokio::time::sleep(FOLLOW_PERIOD) => {}
        }
        rows = newest_last(control.get(&path).await?);
    }
}

fn newest_last(rows: Value) -> Vec<Value> {
    let Value::Array(mut rows) = rows else { return Vec::new() };
    rows.reverse();
    rows
}
