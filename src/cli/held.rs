//! `doorbell held`: changes that wait for a person.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::control::{Control, load, read, segment};
use super::{Common, print, table};
use crate::telemetry::Redactor;

/// Arguments of `held`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell held\n  doorbell held release tickets   they ring\n  doorbell held discard tickets   they do not"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List what is held (the default).
    List,
    /// Let everything held of a source ring.
    Release {
        /// The source's name.
        source: String,
    },
    /// Drop everything held of a source; the items' return rings nothing.
    Discard {
        /// The source's name.
        source: String,
    },
}

pub(crate) async fn run(
    args: Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    let command = args.command.unwrap_or(Sub::List);
    if !matches!(command, Sub::List) && Control::daemon(common).await?.is_none() {
        // What is held is decided by the declaration, so that what is wrong with it has to be told.
        load(&common.config)?;
    }
    let control = Control::open(common, redactor).await?;
    match command {
        Sub::List => {
            let held = control.get_text("/v1/held").await?;
            if common.json { print::line(&held)? } else { table::held(&read::<Vec<_>>(&held)?)? }
        }
        Sub::Release { source } => {
            decide(&control, &source, "release", "they ring now", common.json).await?;
        }
        Sub::Discard { source } => {
            decide(&control, &source, "discard", "they are dropped", common.json).await?;
        }
    }
    control.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn decide(
    control: &Control,
    source: &str,
    decision: &str,
    fate: &str,
    json: bool,
) -> anyhow::Result<()> {
    let answer =
        control.post(&format!("/v1/sources/{}/{decision}", segment(source)), &json!({})).await?;
    if json {
        return Ok(print::line(&answer.to_string())?);
    }
    let count = answer.get("count").and_then(Value::as_u64).unwrap_or(0);
    let count = print::count(count, "held change");
    Ok(print::line(&format!("{count} of {source}: {fate}"))?)
}
