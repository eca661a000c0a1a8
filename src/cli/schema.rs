//! `doorbell schema`: the configuration's JSON Schema.

use std::process::ExitCode;

use super::print;
use crate::config::schema::schema;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  doorbell schema > sources.schema.json   and as the first line of sources.yaml:\n  # yaml-language-server: $schema=sources.schema.json"
)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    print::line(&serde_json::to_string_pretty(&schema())?)?;
    Ok(ExitCode::SUCCESS)
}
