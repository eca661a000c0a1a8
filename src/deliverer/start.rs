//! What was planned by the clock of an earlier process.

use tracing::warn;

use super::Deliverer;
use super::desk::Desk;
use crate::core::endpoint::Endpoint;
use crate::core::limits::ENDPOINT_RETRY_AFTER_MAX;
use crate::store::{Write, Written};

impl Deliverer {
    /// Has made what would wait for longer than anything waits: a clock that was years ahead when it was planned must not
    /// keep it back for years.
    pub(super) async fn hasten(&self, desk: &Desk, endpoint: &Endpoint) {
        let now = self.ports.clock.now();
        let wait_max = endpoint.retry.backoff.max().max(ENDPOINT_RETRY_AFTER_MAX);
        let beyond = now.after(wait_max);
        let name = desk.name.clone();
        let later = self.ports.store.read(move |store| store.next_due(&name, beyond)).await;
        if !matches!(later, Ok(Some(_))) {
            // One that cannot be read now is read again at the next start.
            return;
        }
        let write = Write::Hasten { endpoint: desk.name.clone(), beyond, now };
        match self.ports.store.write(write).await {
            Ok(Ok(Written::Count(count))) if count > 0 => {
                warn!(count, "the clock was ahead when deliveries were planned: they are due now");
            }
            Ok(_) => {}
            Err(fault) => warn!(%fault, "what was planned by a clock that was ahead waits on"),
        }
    }
}
