//! The janitor: moves the store's log into the database, and what is older than it has to be out of it.
//!
//! Both a little at a time, so that nobody who writes waits long. What was not delivered by then is given up with the
//! reason, which rings, and so has an entry for as long again; only where the limit of size leaves no other way its bytes go
//! at once.

mod expiry;
mod own;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::core::retention::{Reckoning, Retention};
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::store::handle::StoreHandle;
use crate::telemetry::Telemetry;
use crate::wake::Wake;

/// How often the log is moved into the database, and how often, at least, it is looked for what is too old.
const PERIOD: Duration = Duration::from_mins(1);
/// How soon after the start that is first.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Everything the janitor touches.
pub(crate) struct Ports {
    pub(crate) store: StoreHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Rung when there are new deliveries.
    pub(crate) deliver: Wake,
    /// Told to whoever polls: what vanished before that, and did not ring, is forgotten.
    pub(crate) retained: watch::Sender<Timestamp>,
}

/// Looks after the store.
pub(crate) struct Janitor {
    ports: Ports,
    roster: watch::Receiver<Arc<Roster>>,
    retention: watch::Receiver<Retention>,
    /// How late it is; `None` until what is kept of that was read.
    reckoning: Option<Reckoning>,
    /// It was said that the clock is not believed.
    is_doubting: bool,
    /// When deliveries were looked for that are too old, and under which declaration.
    lapsed: Option<(Timestamp, Retention)>,
    /// What was known of items took up so much then: to measure it reads all of it.
    snapshot: Option<(Timestamp, u64)>,
    /// When it was looked for entries that left.
    unlearned: Option<Timestamp>,
    /// It was said that the limit of size cannot be met.
    is_full: bool,
}

impl Janitor {
    /// A janitor over these ports, who keeps what is to be kept.
    pub(crate) fn new(
        ports: Ports,
        roster: watch::Receiver<Arc<Roster>>,
        retention: watch::Receiver<Retention>,
    ) -> Self {
        Self {
            ports,
            roster,
            retention,
            reckoning: None,
            is_doubting: false,
            lapsed: None,
            snapshot: None,
            unlearned: None,
            is_full: false,
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut wait = FIRST_LOOK;
        let mut checkpoint_at = self.ports.clock.now().after(PERIOD);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.retention.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                tidied = self.tidy() => if let Err(fault) = tidied {
                    warn!(%fault, "what is too old could not be removed; trying later");
                },
            }
            let now = self.ports.clock.now();
            if now >= checkpoint_at {
                checkpoint_at = now.after(PERIOD);
                if let Err(fault) = self.ports.store.checkpoint().await {
                    warn!(%fault, "the log could not be moved into the database");
                }
            }
            let age_max = self.retention.borrow().age_max;
            wait = (age_max / 10).clamp(FIRST_LOOK, PERIOD);
        }
    }
}

impl std::fmt::Debug for Janitor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Janitor")
    }
}
