//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod systemd;
mod tidy;
