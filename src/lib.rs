//! doorbell
#![cfg_attr(not(test), allow(dead_code, reason = "until the parts are joined"))]

mod api;
mod cli;
mod clock;
mod config;
mod core;
mod daemon;
mod deliverer;
mod http;
mod janitor;
mod poller;
mod store;
mod telemetry;
mod wake;
