//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

<<<<<<< HEAD
mod real;
mod systemd;
mod tidy;
=======
mod bad_input;
mod example;
mod support;
>>>>>>> http
