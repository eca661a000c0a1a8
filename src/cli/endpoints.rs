//! `doorbell endpoints`: the receivers' condition.

use std::process::ExitCode;

use serde_json::json;

use super::control::{Control, segment};
use super::{Common, print, table};
use crate::telemetry::Redactor;

/// Arguments of `endpoints`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell endpoints\n  doorbell endpoints resume crm   try a failing or disabled one again now"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List them with their condition (the default).
    List,
    /// Try a failing or disabled endpoint again now.
    Resume {
        /// The endpoint's name.
        endpoint: String,
    },
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    match args.command.unwrap_or(Sub::List) {
        Sub::List => {
            let rows = control.get("/v1/endpoints").await?;
            if common.json { print::line(&rows.to_string())? } else { table::endpoints(&rows)? }
        }
        Sub::Resume { endpoint } => {
            let path = format!("/v1/endpoints/{}/resume", segment(&endpoint));
            let answer = control.post(&path, &json!({})).await?;
            let sentence = format!("{endpoint} is tried again");
            print::line(&if common.json { answer.to_string() } else { sentence })?;
        }
    }
    control.close().await?;
    Ok(ExitCode::SUCCESS)
}
