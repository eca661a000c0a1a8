//! What doorbell has to say of its receivers, committed with what it tells of.

use tracing::error;

use super::Deliverer;
use crate::core::delivery::{NewEvent, fan_out};
use crate::core::fault::Fault;
use crate::core::ids::{EndpointName, SourceName, UnitName};
use crate::core::own::OWN_SOURCE;
use crate::core::own::endpoint::{News, event};
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
        let unit = UnitName::from(&SourceName::new(OWN_SOURCE));
        let state = self.ports.store.read(move |store| store.source(&unit)).await?;
        let before = state.map_or(0, |state| state.last_seq);
        let (roster, wall) = (self.roster.borrow().clone(), self.ports.clock.wall());
        let said = |(news, seq): (&News, u64)| -> Result<NewEvent, Fault> {
            let event = event(endpoint, news, wall, seq)?;
            Ok(fan_out(event, roster.endpoints.values().map(AsRef::as_ref)))
        };
        match news.iter().zip(before + 1..).map(said).collect::<Result<Vec<_>, _>>() {
            Ok(events) => Ok(Some(Box::new(PollCommit::own(before, events, commit.at)))),
            Err(fault) => {
                error!(%endpoint, %fault, "what there is to say of an endpoint cannot be said");
                Ok(None)
            }
        }
    }
}
