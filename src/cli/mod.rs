//! The command line: one file per command.

pub(crate) mod demo;
pub(crate) mod listen;
pub(crate) mod print;
pub(crate) mod receiver;
pub(crate) mod secret;
