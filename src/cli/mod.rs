//! The command line: one file per command. To add one: a file with its arguments and `run`, a variant and an arm here.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod backup;
mod check;
mod control;
mod deliveries;
mod demo;
mod endpoints;
mod events;
mod explain;
mod held;
mod listen;
mod plan;
mod poll;
mod pretty;
mod print;
mod receiver;
mod replay;
mod run;
mod schema;
mod secret;
mod simulate;
mod table;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::daemon::DaemonError;
use crate::store::StoreError;
use crate::telemetry::{Redactor, start_log};

/// Webhooks for APIs that have none: doorbell polls them, compares, and rings.
#[derive(Debug, Parser)]
#[command(name = "doorbell", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  doorbell demo                          see the whole thing work, offline, in seconds
  doorbell check                         is sources.yaml valid?
  doorbell plan                          what would it change?
  doorbell poll tickets                  what would a poll of `tickets` find now?
  doorbell explain tickets               why is it polled when it is?
  doorbell                               run the daemon
  doorbell events --follow               watch what rings
  doorbell deliveries --status exhausted what was given up, and `doorbell deliveries show dlv_17` why
  doorbell replay --endpoint crm --since 2026-11-21T00:00:00Z";

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The configuration.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "sources.yaml",
        env = "DOORBELL_CONFIG"
    )]
    pub(crate) config: PathBuf,
    /// The state directory.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "state",
        env = "DOORBELL_STATE"
    )]
    pub(crate) state: PathBuf,
    /// What to log on standard error: `error`, `warn`, `info`, `debug`, `json`, or several as `json,debug`.
    #[arg(long, global = true, value_name = "WHAT", env = "DOORBELL_LOG")]
    pub(crate) log: Option<String>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default).
    Run(run::Args),
    /// Validate the configuration: every problem at once, each at its place.
    Check(check::Args),
    /// Show what applying the configuration would do: sources and endpoints added, removed, changed, and why.
    Plan(plan::Args),
    /// Poll a source now and show the events it would make.
    Poll(poll::Args),
    /// Tell why a source is polled when it is: rate, habits, price, backoff, next poll.
    Explain(explain::Args),
    /// See doorbell work: a sample API, the daemon and a receiver, on this machine, offline.
    Demo(demo::Args),
    /// Receive webhooks, verify and print them: a receiver for developers.
    Listen(listen::ListenArgs),
    /// List events.
    Events(events::Args),
    /// List deliveries, or show one with every attempt.
    Deliveries(deliveries::Args),
    /// The receivers: list, show, test, resume.
    Endpoints(endpoints::Args),
    /// Changes held for a person: list, release, discard.
    Held(held::Args),
    /// Send old events again.
    Replay(replay::Args),
    /// Replay a record of changes through the schedule: how late each would be seen, and for how many requests.
    Simulate(simulate::Args),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(schema::Args),
    /// Write a consistent copy of the state, also while the daemon runs.
    Backup(backup::BackupArgs),
    /// Put a copy of the state back.
    Restore(backup::RestoreArgs),
    /// Print a new signing secret, or a new pair of keys.
    Secret(secret::Args),
}

/// A failure that is the user's to mend: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let redactor = Redactor::default();
    let command = cli.command.unwrap_or(Command::Run(run::Args::default()));
    let talkative = match command {
        Command::Run(_) => "info",
        // It shows by itself what goes wrong on purpose.
        Command::Demo(_) => "error",
        _ => "warn",
    };
    let wanted = cli.common.log.clone().unwrap_or_else(|| String::from(talkative));
    if let Err(sentence) = start_log(&wanted, redactor.clone()) {
        print::failure(&sentence);
        return ExitCode::from(2);
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::failure(&format!("starting the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(dispatch(command, &cli.common, redactor.clone()));
    // A thread stuck in a write that nobody reads must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended.unwrap_or_else(|error| fail(&error, &redactor))
}

/// Half of the cores for the loops: what workers hand to each other costs a third of a poll's CPU time. The other half
/// is for the store's threads.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.div_ceil(2);
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

async fn dispatch(
    command: Command,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args, common, redactor).await,
        Command::Check(args) => check::run(&args, common),
        Command::Plan(args) => plan::run(&args, common, redactor).await,
        Command::Poll(args) => poll::run(args, common, redactor).await,
        Command::Explain(args) => explain::run(args, common, redactor).await,
        Command::Demo(args) => demo::run(args, redactor).await,
        Command::Listen(args) => listen::run(args, common).await,
        Command::Events(args) => events::run(args, common).await,
        Command::Deliveries(args) => deliveries::run(args, common).await,
        Command::Endpoints(args) => endpoints::run(args, common).await,
        Command::Held(args) => held::run(args, common, redactor).await,
        Command::Replay(args) => replay::run(args, common).await,
        Command::Simulate(args) => simulate::run(&args, common),
        Command::Schema(args) => schema::run(&args),
        Command::Backup(args) => backup::backup(args, common).await,
        Command::Restore(args) => backup::restore(&args, common),
        Command::Secret(args) => secret::run(&args, common),
    }
}

/// Whether the state itself is broken.
fn is_damage(cause: &(dyn std::error::Error + 'static)) -> bool {
    let store = match cause.downcast_ref::<DaemonError>() {
        Some(DaemonError::Store(fault)) => Some(fault),
        _ => cause.downcast_ref::<StoreError>(),
    };
    store.is_some_and(StoreError::is_damage)
}

/// Prints the chain of causes once and chooses the exit code by whose failure it is.
fn fail(error: &anyhow::Error, redactor: &Redactor) -> ExitCode {
    // A reader that went away (`… | head`) is no failure.
    let pipe = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    if pipe.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    print::failure(&redactor.clean(&format!("{error:#}")));
    if error.chain().any(is_damage) {
        print::note("`doorbell restore FILE` puts a copy back that `doorbell backup` made").ok();
    }
    if error.downcast_ref::<Usage>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
