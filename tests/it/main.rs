//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod crash_points;
mod real;
mod systemd;
mod tidy;
