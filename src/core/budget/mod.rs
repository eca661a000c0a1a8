//! Budgets of requests: what was written, what servers say is left, which origins fail, and whether it is us.
//!
//! | part | keeps |
//! |---|---|
//! | [`Ledger`] | a written limit: never crossed in any window of its length, planned at 80 % |
//! | [`Tally`] | what a server says about one credential: how much is left, how long to wait, whether a 304 is free |
//! | [`Holds`] | whom servers asked to leave them alone, for the next process |
//! | [`Cost`] | what a poll costs, in requests |
//! | [`Breaker`] | whether an origin fails for several sources in a row |
//! | [`Outage`] | whether everything that used to answer stopped at once |
//!
//! All of it is data moved on by events; waiting and asking is the poller's business.

mod breaker;
mod cost;
mod holds;
mod kept;
mod ledger;
mod outage;
mod tally;
#[cfg(test)]
mod tests;
mod toll;
mod window;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::breaker::{Breaker, Passage};
pub(crate) use self::cost::Cost;
pub(crate) use self::holds::Holds;
pub(crate) use self::kept::{Hold, Kept, KeptWindow, Spent};
pub(crate) use self::ledger::Ledger;
pub(crate) use self::outage::{Outage, is_out_of_reach};
pub(crate) use self::tally::{Free, Tally};
pub(crate) use self::window::Gauge;

use crate::core::backoff::BackoffPolicy;
use crate::core::ids::{SourceName, UnitName};

/// One rate of a written `limit`: so many requests in any period of this length, or a bucket that takes `burst` at once
/// and is refilled at this rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: NonZeroU32,
    pub(crate) period: Duration,
    pub(crate) burst: Option<NonZeroU32>,
}

/// A budget as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Of the block of `apis` that says it, or of the one source.
    pub(crate) holder: Holder,
    /// All of them hold.
    pub(crate) limit: Vec<Rate>,
    /// Requests in flight at once.
    pub(crate) concurrency: Option<usize>,
}

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Holder {
    /// A block of `apis`: its sources share it.
    Api(String),
    /// None: what servers said of budgets of theirs is remembered under this name, all together.
    Servers,
    Source(SourceName),
}

impl Holder {
    /// Its name in metrics.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Api(name) => name,
            Self::Servers => "servers",
            Self::Source(name) => name.as_str(),
        }
    }

    /// Its name in the store.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Api(name) => format!("api {name}"),
            Self::Servers => String::from("servers"),
            Self::Source(name) => format!("source {name}"),
        }
    }

    /// What [`Holder::to_text`] gave.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text == "servers" {
            return Some(Self::Servers);
        }
        match text.split_once(' ')? {
            ("api", name) => Some(Self::Api(name.to_owned())),
            ("source", name) => Some(Self::Source(SourceName::new(name))),
            _ => None,
        }
    }
}

/// Who pays for a request. Goes with it, whoever makes it in the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) source: SourceName,
    /// What is polled.
    pub(crate) unit: UnitName,
    /// The written budgets that all hold, the narrowest one first.
    pub(crate) budgets: Arc<[Allowance]>,
    /// A digest of who asks: with one origin, those who are equal here share what the server allows.
    pub(crate) credential: u32,
    pub(crate) backoff: BackoffPolicy,
}
