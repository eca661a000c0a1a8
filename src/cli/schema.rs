//! `doorbell schema`: the configuration's JSON Schema.

use std::process::ExitCode;

use super::print;
use crate::config::schema::schema;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    print::line(&serde_json::to_string_pretty(&schema())?)?;
    Ok(ExitCode::SUCCESS)
}
