//! What is given up undelivered, and that it rings.

use tracing::{error, warn};

use super::Janitor;
use super::expiry::{BREATH, count};
use crate::core::delivery::DeliveryState;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::limits::EXPIRED_ROWS_PER_WRITE;
use crate::core::own::OWN_SOURCE;
use crate::core::own::endpoint::{Exhausted, News, events, given_up_at_once};
use crate::store::{DeliveryRecord, Lapse, PollCommit, Refusal, StoreError, Write};

/// How often the next numbers are asked for when others took them.
const TRIES_MAX: usize = 16;

impl Janitor {
    /// Gives deliveries up, oldest first; says how many. They are told in the transaction that gives up the first of
    /// them: whatever ends this early, the rest is found again and told again. What was not given up is not counted either.
    pub(super) async fn give_up(
        &self,
        deliveries: &[DeliveryRecord],
        reason: &str,
        empties: bool,
    ) -> Result<u64, StoreError> {
        let said = |delivery: &DeliveryRecord| {
            let said = Exhausted { is_emptied: empties, ..delivery.given_up(reason) };
            (delivery.endpoint.clone(), said)
        };
        let mut news = given_up_at_once(deliveries.iter().map(said));
        let mut all = 0;
        for part in deliveries.chunks(EXPIRED_ROWS_PER_WRITE) {
            let lapse = Lapse {
                deliveries: part.iter().map(|delivery| delivery.id).collect(),
                reason: reason.to_owned(),
                empties,
                own: None,
                at: self.ports.clock.now(),
            };
            let Some(count) = self.commit(&lapse, &news).await? else { break };
            self.count(part, &lapse, count).await?;
            all += count;
            log(&std::mem::take(&mut news));
            tokio::time::sleep(BREATH).await;
        }
        Ok(all)
    }

    /// Counts those of a part that were given up by it, so many. Whoever settled another meanwhile has counted that.
    async fn count(
        &self,
        part: &[DeliveryRecord],
        lapse: &Lapse,
        count: u64,
    ) -> Result<(), StoreError> {
        if count == 0 {
            return Ok(());
        }
        let is_whole = count == part.len() as u64;
        let exhausted = DeliveryState::Exhausted { at: lapse.at, reason: lapse.reason.clone() };
        for delivery in part {
            let id = delivery.id;
            let is_given_up = is_whole
                || self
                    .ports
                    .store
                    .read(move |store| store.delivery(id))
                    .await?
                    .is_some_and(|now| now.state == exhausted);
            if is_given_up {
                self.ports.telemetry.exhausted(&delivery.endpoint);
            }
        }
        Ok(())
    }

    /// Commits it, and in the same transaction what there is to say of it; says how many were given up, or nothing if
    /// nothing was written.
    async fn commit(
        &self,
        lapse: &Lapse,
        news: &[(EndpointName, News)],
    ) -> Result<Option<u64>, StoreError> {
        for _ in 0..TRIES_MAX {
            let own = self.said(news, lapse).await?;
            let lapse = Write::Lapse(Box::new(Lapse { own, ..lapse.clone() }));
            let written = self.ports.store.write(lapse).await?;
            if !matches!(written, Err(Refusal::Conflict { .. })) {
                // Whoever stood behind one that was given up may be due, too.
                self.ports.deliver.ring();
                return Ok(Some(count(&written)));
            }
        }
        warn!("others say so much that what is too old cannot be told; trying later");
        Ok(None)
    }

    async fn said(
        &self,
        news: &[(EndpointName, News)],
        lapse: &Lapse,
    ) -> Result<Option<Box<PollCommit>>, StoreError> {
        if news.is_empty() {
            return Ok(None);
        }
        let own = SourceName::new(OWN_SOURCE);
        let before = self.ports.store.read(move |store| store.last_seq(&own)).await?;
        let (roster, wall) = (self.roster.borrow().clone(), self.ports.clock.wall());
        match events(news.iter().map(|(name, news)| (name, news)), &roster, wall, before) {
            Ok(events) => Ok(Some(Box::new(PollCommit::own(before, events, lapse.at)))),
            Err(fault) => {
                error!(%fault, "what is given up undelivered cannot be told");
                Ok(None)
            }
        }
    }
}

/// One line for each endpoint: there may be thousands of a kind.
fn log(news: &[(EndpointName, News)]) {
    for (endpoint, news) in news {
        if let News::Exhausted(oldest) = news {
            let (first, count, reason) = (&oldest.event, oldest.count, &oldest.reason);
            error!(%endpoint, count, %first, %reason, "given up undelivered; `doorbell deliveries --status exhausted` lists them");
        }
    }
}
