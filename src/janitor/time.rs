//! How late it is, for whatever goes by its age.

use std::time::Duration;

use tracing::warn;

use super::Janitor;
use crate::core::retention::{Reading, Reckoning};
use crate::core::time::{Timestamp, humane};
use crate::store::{StoreError, Write};

impl Janitor {
    /// The time to count ages by; `None` while the clock is not believed.
    pub(super) async fn believed(
        &mut self,
        age_max: Duration,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut reckoning = match self.reckoning {
            Some(reckoning) => reckoning,
            None => Reckoning::since(self.ports.store.read(|store| store.seen()).await?),
        };
        let clocks = (self.ports.clock.now(), self.ports.clock.wall());
        let reading = reckoning.read(clocks, age_max);
        let kept = reckoning.keep(age_max);
        self.reckoning = Some(reckoning);
        if let Some(at) = kept
            && let Err(fault) = self.ports.store.write(Write::Seen { at }).await
        {
            // What is old may make the room that is missing.
            warn!(%fault, "how late it is could not be kept; trying later");
        }
        let was_doubting = std::mem::replace(&mut self.is_doubting, false);
        match reading {
            Reading::Believed(now) => Ok(Some(now)),
            Reading::Doubted { ahead, until } => {
                self.is_doubting = true;
                if !was_doubting {
                    let (ahead, left) = (humane(ahead), humane(until.since(clocks.0)));
                    warn!(
                        "the clock is {ahead} ahead of when doorbell ran last: nothing goes by its age (`retention.for`) \
                         unless that stays so for {left}"
                    );
                }
                Ok(None)
            }
        }
    }
}
