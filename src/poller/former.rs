//! A source under another name: what is known under its former one goes on.

use tracing::info;

use super::{Memory, Poller};
use crate::core::ids::SourceName;
use crate::core::source::{Source, SourceState};
use crate::store::{StoreError, Write, Written};

impl Poller {
    /// Gives what is known under a source's former name to it, once; its state then. `None` if nothing is known there.
    ///
    /// The former name is not declared, so nobody begins to poll it; a poll that is still under way is waited for. Two
    /// sources that were each other before never wait for each other: whoever has state takes nothing over.
    pub(super) async fn take_over(
        &self,
        source: &Source,
    ) -> Result<Option<SourceState>, StoreError> {
        let Some((was, _)) = self.former(source).await? else { return Ok(None) };
        let slot = self.slot(&was);
        let mut memory = slot.0.lock().await;
        if let Some(state) = memory.state.take().filter(|state| memory.kept.as_ref() != Some(state))
        {
            let learned = Write::State { source: was.clone(), state: Box::new(state) };
            drop(self.ports.store.write(learned).await?);
        }
        let rename = Write::Rename { from: was.clone(), to: source.name.clone() };
        let renamed = self.ports.store.write(rename).await?;
        *memory = Memory::default();
        drop(memory);
        if renamed == Ok(Written::Count(1)) {
            info!(source = %source.name, %was, "renamed: what is known goes on under the new name");
        }
        let name = source.name.clone();
        self.ports.store.read(move |store| store.source(&name)).await
    }

    /// The former name of a source and the state found there, if the source has none of its own.
    pub(super) async fn former(
        &self,
        source: &Source,
    ) -> Result<Option<(SourceName, SourceState)>, StoreError> {
        let Some(was) = source.was.clone() else { return Ok(None) };
        let name = source.name.clone();
        let found = self.ports.store.read(move |store| {
            if store.source(&name)?.is_some() {
                return Ok(None);
            }
            Ok(store.source(&was)?.map(|state| (was, state)))
        });
        found.await
    }
}
