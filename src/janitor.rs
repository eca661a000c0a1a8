//! The janitor: moves the store's log into the database while nothing else is going on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::handle::StoreHandle;

/// How often the log is moved into the database.
const CHECKPOINT_PERIOD: Duration = Duration::from_mins(1);

/// Looks after the store.
#[derive(Debug)]
pub(crate) struct Janitor {
    store: StoreHandle,
}

impl Janitor {
    /// A janitor of this store.
    pub(crate) fn new(store: StoreHandle) -> Self {
        Self { store }
    }

    /// Works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECKPOINT_PERIOD) => {}
            }
            if let Err(fault) = self.store.checkpoint().await {
                warn!(%fault, "the log could not be moved into the database");
            }
        }
    }
}
