//! "Look again" signals. They carry no data: losing every one costs at most one sweep period.

use std::sync::Arc;

use tokio::sync::Notify;

/// A signal for one loop. Sent before the loop listens, it is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// Asks the loop to look again.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody rings. Only the one loop this signal belongs to may wait.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}
