//! DECISIONS. Nothing in here waits, reads a clock, draws a random number, or touches a file, socket or database:
//! time and randomness are arguments.
//!
//! In the order data flows through it.

pub(crate) mod auth;
pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod delivery;
pub(crate) mod diff;
pub(crate) mod endpoint;
pub(crate) mod entries;
pub(crate) mod event;
pub(crate) mod extract;
pub(crate) mod fault;
pub(crate) mod format;
pub(crate) mod hex;
pub(crate) mod http;
pub(crate) mod ids;
pub(crate) mod jq;
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod outcome;
pub(crate) mod own;
pub(crate) mod pacing;
pub(crate) mod pages;
pub(crate) mod parts;
pub(crate) mod plan;
pub(crate) mod recording;
pub(crate) mod refusal;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod roster;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod signature;
pub(crate) mod since;
pub(crate) mod sink;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod trace;
pub(crate) mod words;
