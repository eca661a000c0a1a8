//! Deliveries whose bytes were not made with their event, and those that cannot be sent at all.

use tracing::error;

use super::Deliverer;
use super::attempt::given_up;
use super::desk::Kept;
use crate::core::delivery::Verdict;
use crate::core::endpoint::Endpoint;
use crate::core::event::Event;
use crate::core::sink::content::{Made, make_late};
use crate::core::time::Timestamp;
use crate::store::{AttemptCommit, DeliveryRecord, Write, Written};

impl Deliverer {
    /// Makes and keeps what a delivery sends, where that failed when its event was made; gives it up if it fails again.
    pub(super) async fn make(
        &self,
        delivery: &DeliveryRecord,
        event: &Event,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<Made, Kept> {
        let made = match make_late(event, endpoint) {
            Ok(made) => made,
            Err(fault) => return Err(self.bury(delivery, &fault.sentence, now).await),
        };
        let endpoint = endpoint.name.clone();
        let write = Write::Made { event: delivery.event_no, endpoint, made: made.clone() };
        match self.ports.store.write(write).await {
            Ok(Ok(Written::Count(1))) => Ok(made),
            Ok(_) => Err(Kept(true)),
            Err(fault) => {
                error!(delivery = %delivery.id, %fault, "what it sends could not be kept");
                Err(Kept(false))
            }
        }
    }

    /// Gives up what cannot be sent at all: nothing goes out in its place, and a person sees why.
    pub(super) async fn bury(&self, record: &DeliveryRecord, reason: &str, now: Timestamp) -> Kept {
        error!(event = %record.event_id, delivery = %record.id, %reason, "given up, not sent; `doorbell replay` tries it again");
        let commit = AttemptCommit {
            delivery: record.id,
            attempt: None,
            verdict: Verdict::Exhausted { reason: reason.to_owned() },
            started: None,
            health: None,
            own: None,
            at: now,
        };
        let news = Vec::from_iter(given_up(record, record.attempts, reason));
        match self.commit(&record.endpoint, commit, &news).await {
            Ok(settled) => {
                if settled.is_ok() {
                    self.ports.telemetry.exhausted(&record.endpoint);
                }
                Kept(true)
            }
            Err(fault) => {
                error!(%fault, "a delivery that cannot be sent could not be set aside");
                Kept(false)
            }
        }
    }
}
