//! `doorbell replay`: send old events again.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::control::Control;
use super::deliveries::Filter;
use super::{Common, Usage, print};
use crate::config::per_second;
use crate::telemetry::Redactor;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every event keeps its id, so that receivers can tell what they know already, and says\n`webhook-replay: true`. What an item has new waits behind what is sent again of it.\n\nExamples:\n  doorbell replay --endpoint crm --status exhausted\n  doorbell replay --event evt_0123… --yes\n  doorbell replay --endpoint crm --rate 10/s\n  doorbell replay --source tickets --since 2026-11-21T00:00:00Z --dry-run"
)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    /// So many at most, such as `10/s` or `100/m`; all at once without it.
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    rate: Option<f64>,
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    let counted = control.post("/v1/replay", &body(&args, true)).await?;
    let count = counted.get("count").and_then(Value::as_u64).unwrap_or(0);
    if args.dry_run || count == 0 {
        if common.json {
            print::line(&counted.to_string())?;
        } else {
            print::line(&format!("{} would be made again", print::count(count, "delivery")))?;
        }
        control.close().await?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed(count)? {
        control.close().await?;
        print::line("nothing was sent")?;
        return Ok(ExitCode::FAILURE);
    }
    let done = control.post("/v1/replay", &body(&args, false)).await?;
    control.close().await?;
    if common.json {
        print::line(&done.to_string())?;
    } else {
        let count = done.get("count").and_then(Value::as_u64).unwrap_or(0);
        let verb = if count == 1 { "is" } else { "are" };
        print::line(&format!("{} {verb} made again", print::count(count, "delivery")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn body(args: &Args, dry_run: bool) -> Value {
    let given = args.filter.pairs().into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut body: Map<String, Value> =
        given.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    body.insert(String::from("dry_run"), Value::from(dry_run));
    if let Some(rate) = args.rate {
        body.insert(String::from("rate"), Value::from(rate));
    }
    Value::Object(body)
}

fn confirmed(count: u64) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let hint = "add `--yes` to send them, or `--dry-run` to count only";
        return Err(Usage(format!(
            "{} would be made again; {hint}",
            print::count(count, "delivery")
        ))
        .into());
    }
    print::ask(&format!("make {} again? [y/N] ", print::count(count, "delivery")))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
