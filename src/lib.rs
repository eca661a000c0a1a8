#![doc = include_str!("../ARCHITECTURE.md")]

mod api;
mod cli;
mod clock;
mod config;
mod core;
mod daemon;
mod deliverer;
#[doc(hidden)]
pub mod gauge;
mod http;
mod janitor;
mod lines;
mod poller;
#[cfg(test)]
mod simulation;
mod store;
mod telemetry;
mod tokens;
mod wake;

/// Runs the command that the process was started with.
pub fn run() -> std::process::ExitCode {
    cli::main()
}
