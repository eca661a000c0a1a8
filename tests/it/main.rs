//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod bad_input;
mod crash_points;
mod example;
mod real;
mod support;
mod systemd;
mod tidy;
