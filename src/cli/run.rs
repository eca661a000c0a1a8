//! `doorbell run`: the daemon.

use std::process::ExitCode;

use tracing::info;

use super::Common;
use super::control::load;
use crate::config::Config;
use crate::core::schedule::Every;
use crate::core::time::humane;
use crate::daemon::works::Origin;
use crate::daemon::{Daemon, Settings, Signals};
use crate::telemetry::Redactor;

/// Arguments of `run`.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell                     run it on ./sources.yaml, with its state in ./state\n  doorbell run --log json      with a log for machines\n  kill -HUP PID                read the configuration again; a bad one changes nothing\n  doorbell run --accept-state  after a backup was put back by hand"
)]
pub(crate) struct Args {
    /// Take on a state that went backwards: a backup was put back by hand, or part of it was lost.
    #[arg(long)]
    accept_state: bool,
}

/// More sources than this are counted, and not named one by one: that would take longer than to read what they are.
const SOURCES_NAMED_MAX: usize = 100;

pub(crate) async fn run(
    args: Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    let config = load(&common.config)?;
    tell(&config);
    let settings = Settings {
        config,
        origin: Origin::File(common.config.clone()),
        state: common.state.clone(),
        accept_state: args.accept_state,
        redactor,
    };
    let signals = Signals::listen()?;
    Daemon::start(settings).await?.run(signals).await?;
    Ok(ExitCode::SUCCESS)
}

/// Logs what is watched.
fn tell(config: &Config) {
    if config.sources.len() > SOURCES_NAMED_MAX {
        info!(sources = config.sources.len(), "watching; `doorbell explain NAME` tells of each");
        return;
    }
    for source in &config.sources {
        let every = match source.every {
            Every::Fixed(every) => humane(every),
            Every::Range { min, max } => format!("{}..{}", humane(min), humane(max)),
        };
        info!(source = %source.name, url = source.url.shown(), every, "watching");
    }
}
