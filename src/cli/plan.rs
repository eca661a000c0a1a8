//! `doorbell plan`: what applying the configuration would do.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::control::Control;
use super::{Common, check, print, table};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::telemetry::Redactor;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is sent, asked or written. A running daemon also compares the file with what is in force.\n\nExamples:\n  doorbell plan\n  doorbell plan && systemctl reload doorbell\n  doorbell --config other.yaml plan --json"
)]
pub(crate) struct Args {}

pub(crate) async fn run(
    _args: &Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    match config::load(&common.config, &Surroundings) {
        Ok(config) => redactor.learn(&config.secrets),
        Err(problems) => return check::refuse(&problems, common.json),
    }
    let control = match Control::daemon(common).await? {
        Some(daemon) => daemon,
        None => Control::look(common, redactor)?,
    };
    let is_running = matches!(control, Control::Daemon(_));
    // The daemon may have been started elsewhere.
    let file = std::path::absolute(&common.config)?;
    let plan = control.post("/v1/plan", &json!({ "config": file })).await?;
    control.close().await?;
    if common.json {
        print::line(&plan.to_string())?;
    } else {
        show(&plan, &common.config, is_running)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(plan: &Value, file: &Path, is_running: bool) -> std::io::Result<()> {
    table::plan(plan)?;
    if plan.get("server_changed") == Some(&Value::Bool(true)) {
        print::line("`server` changed: that holds after a restart")?;
    }
    let file = file.display();
    print::note(&if is_running {
        format!("compared with the running daemon and its state; a reload takes {file} on")
    } else {
        format!("compared with the state; no daemon runs here: the next start takes {file} on")
    })
}
