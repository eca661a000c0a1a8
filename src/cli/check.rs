//! `doorbell check`: is the configuration valid?

use std::process::ExitCode;

use super::{Common, print};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::config::problem::{Problems, Severity};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell check\n  doorbell --config other.yaml check && systemctl reload doorbell"
)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    match config::load(&common.config, &Surroundings) {
        Ok(config) => {
            let (sources, endpoints) = (config.sources.len(), config.endpoints.len());
            if common.json {
                let answer = serde_json::json!({
                    "valid": true, "problems": config.warnings.to_json(), "sources": sources, "endpoints": endpoints,
                });
                print::line(&answer.to_string())?;
            } else {
                config
                    .warnings
                    .0
                    .iter()
                    .try_for_each(|warning| print::line(&warning.to_string()))?;
                let file = common.config.display();
                let counts = [(sources, "source"), (endpoints, "endpoint")];
                let [sources, endpoints] = counts.map(|(number, noun)| print::count(number, noun));
                print::line(&format!("{file} is valid: {sources}, {endpoints}"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => refuse(&problems, common.json),
    }
}

/// Shows why a configuration cannot be used.
pub(super) fn refuse(problems: &Problems, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let answer = serde_json::json!({ "valid": false, "problems": problems.to_json() });
        print::line(&answer.to_string())?;
    } else {
        problems.0.iter().try_for_each(|problem| print::line(&problem.to_string()))?;
        let errors = problems.0.iter().filter(|problem| problem.severity == Severity::Error);
        print::failure(&print::count(errors.count(), "problem"));
    }
    Ok(ExitCode::from(2))
}
