//! What doorbell has to say of its receivers, committed with what it tells of.

use tracing::error;

use super::Deliverer;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::own::OWN_SOURCE;
use crate::core::own::endpoint::{News, events};
use crate::store::{AttemptCommit, PollCommit, Refusal, StoreError, Write, Written};

/// How often the next numbers are asked for when others took them.
const TRIES_MAX: usize = 16;

impl Deliverer {
    /// Commits an attempt, and in the same transaction what there is to say of it.
    pub(super) async fn commit(
        &self,
        endpoint: &EndpointName,
        commit: AttemptCommit,
        news: &[News],
    ) -> Result<Result<Written, Refusal>, StoreError> {
        if news.is_empty() {
            return self.ports.store.write(Write::Attempt(Box::new(commit))).await;
        }
        // Numbers are taken by one at a time, so that only the poller's news can come between.
        let alone = self.telling.lock().await;
        for _ in 0..TRIES_MAX {
            let own = self.said(endpoint, news, &commit).await?;
            let commit = AttemptCommit { own, ..commit.clone() };
            let written = self.ports.store.write(Write::Attempt(Box::new(commit))).await?;
            if !matches!(written, Err(Refusal::Conflict { .. })) {
                self.wake.ring();
                return Ok(written);
            }
        }
        drop(alone);
        error!(%endpoint, ?news, "what there is to say of an endpoint could not be kept");
        self.ports.store.write(Write::Attempt(Box::new(commit))).await
    }

    async fn said(
        &self,
        endpoint: &EndpointName,
        news: &[News],
        commit: &AttemptCommit,
    ) -> Result<Option<Box<PollCommit>>, StoreError> {
        let own = SourceName::new(OWN_SOURCE);
        let before = self.ports.store.read(move |store| store.last_seq(&own)).await?;
        let (roster, wall) = (self.roster.borrow().clone(), self.ports.clock.wall());
        match events(news.iter().map(|news| (endpoint, news)), &roster, wall, before) {
            Ok(events) => Ok(Some(Box::new(PollCommit::own(before, events, commit.at)))),
            Err(fault) => {
                error!(%endpoint, %fault, "what there is to say of an endpoint cannot be said");
                Ok(None)
            }
        }
    }
}
