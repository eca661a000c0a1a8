//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod bad_input;
mod cli;
mod crash;
mod crash_points;
mod example;
mod operations;
mod plan;
mod real;
mod reload;
mod restart;
mod secrets;
mod storage;
mod support;
mod systemd;
mod templates;
mod tidy;
