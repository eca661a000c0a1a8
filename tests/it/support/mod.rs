//! The kit that black-box tests are written with.
//!
//! - [`api::ApiServer`]: an API to poll, which serves a list of items and misbehaves on request.
//! - [`script::Script`]: an API that does what a function says, for paging, cursors and stranger things.
//! - [`polled::Poll`]: one poll by command and what it came to, for tests without a clock.
//! - [`program::Program`]: a command that talks while it runs.
//! - [`receiver::Receiver`]: a receiver that keeps a ledger of what rang.
//! - [`daemon::Daemon`]: the real executable with its own directory; started, stopped, killed, asked.
//! - [`reply::Reply`]: what a server answers, well or badly; the same for both servers.
//! - [`scene::Scene`]: all three of them, joined by a small configuration and running.
//! - [`wait`]: waiting for conditions. Nothing here sleeps for a fixed time.
//!
//! `example.rs` beside this directory shows all of it in one page.
#![allow(dead_code, reason = "a kit holds more than is used on any one day")]

pub(crate) mod api;
pub(crate) mod ask;
pub(crate) mod daemon;
pub(crate) mod polled;
pub(crate) mod program;
pub(crate) mod receiver;
pub(crate) mod reply;
pub(crate) mod scene;
pub(crate) mod script;
pub(crate) mod server;
mod tests;
pub(crate) mod wait;

pub(crate) use api::ApiServer;
pub(crate) use daemon::Daemon;
pub(crate) use program::Program;
pub(crate) use receiver::Receiver;
pub(crate) use reply::Reply;
pub(crate) use scene::Scene;
pub(crate) use script::{Script, Shared};
