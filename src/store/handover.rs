//! Deliveries on their way from the commit that made them to whoever sends them.
//!
//! A short cut: what was just written need not be read again before it goes out. All of it is in the store, where it is
//! found by whoever looks, so that nothing is lost when nobody takes it here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::core::ids::EndpointName;
use crate::core::limits::HANDED_OVER_MAX;
use crate::store::DueDelivery;

/// Who takes deliveries of which endpoint. Clones share the takers.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover {
    takers: Arc<Mutex<HashMap<EndpointName, mpsc::Sender<DueDelivery>>>>,
}

impl Handover {
    /// What is made for an endpoint from now on; to the last that asked.
    pub(super) fn taker(&self, endpoint: &EndpointName) -> mpsc::Receiver<DueDelivery> {
        let (sender, receiver) = mpsc::channel(HANDED_OVER_MAX);
        let mut takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        takers.insert(endpoint.clone(), sender);
        receiver
    }

    /// Hands over what is durable and due. Of an endpoint that nobody serves, or whose taker is busy, it stays in the
    /// store alone.
    pub(super) fn offer(&self, due: Vec<DueDelivery>) {
        if due.is_empty() {
            return;
        }
        let takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        for due in due {
            if let Some(taker) = takers.get(&due.delivery.endpoint) {
                taker.try_send(due).unwrap_or_default();
            }
        }
    }
}
