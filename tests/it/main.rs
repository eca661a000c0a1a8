//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod real;
mod systemd;
mod tidy;
