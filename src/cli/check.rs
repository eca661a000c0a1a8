//! `doorbell check`: is the configuration valid?

use std::process::ExitCode;

use super::{Common, print};
use crate::config;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    match config::load(&common.config, &config::SystemLookup) {
        Ok(config) => {
            let (sources, endpoints) = (config.sources.len(), config.endpoints.len());
            if common.json {
                let answer = serde_json::json!({
                    "valid": true, "problems": [], "sources": sources, "endpoints": endpoints,
                });
                print::line(&answer.to_string())?;
            } else {
                let file = common.config.display();
                print::line(&format!("{file} is valid: {sources} sources, {endpoints} endpoints"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            if common.json {
                let answer = serde_json::json!({ "valid": false, "problems": problems.json() });
                print::line(&answer.to_string())?;
            } else {
                let rendered = problems.rendered();
                print::line(&rendered.join("\n"))?;
                print::failure(&match rendered.len() {
                    1 => String::from("1 problem"),
                    count => format!("{count} problems"),
                });
            }
            Ok(ExitCode::from(2))
        }
    }
}
