//! How long what happened is kept: events, their deliveries and the attempts at them. What is known of items is no
//! history and stays.

use std::time::Duration;

/// What may be kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Since an event was detected, and since the last of its deliveries was settled.
    pub(crate) age_max: Duration,
    /// In the state's file, without what is known of items.
    pub(crate) bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_max: Duration::from_hours(30 * 24), bytes_max: 10 << 30 }
    }
}
