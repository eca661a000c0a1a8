//! A source under another name: what is known under its former one goes on.

use tracing::info;

use super::{Memory, Poller};
use crate::core::budget::Holder;
use crate::core::ids::{SourceName, UnitName};
use crate::core::source::{Source, SourceState};
use crate::store::{StoreError, Write, Written};

impl Poller {
    /// Gives what is known under a source's former name to it, once, its entries included.
    ///
    /// The former name is not declared, so nobody begins to poll it; a poll that is still under way is waited for, one
    /// of an entry finds that its state moved on. Two sources that were each other before never wait for each other:
    /// whoever has state takes nothing over.
    pub(super) async fn take_over(&self, source: &Source) -> Result<(), StoreError> {
        let Some(was) = self.former(source).await? else { return Ok(()) };
        let slot = self.slot(&UnitName::from(&was));
        let mut memory = slot.0.lock().await;
        if let Some(state) = memory.unkept() {
            let state = Box::new(SourceState::clone(state));
            let learned = Write::State { unit: UnitName::from(&was), state };
            drop(self.ports.store.write(learned).await?);
        }
        let rename = Write::Rename { from: was.clone(), to: source.name.clone() };
        let renamed = self.ports.store.write(rename).await?;
        *memory = Memory::default();
        drop(memory);
        if renamed == Ok(Written::Count(1)) {
            info!(source = %source.name, %was, "renamed: what is known goes on under the new name");
        }
        Ok(())
    }

    /// Goes on with what was spent of a source's own limit under its former name. Before anybody pays, and that is before
    /// the rest is taken over: a poll is let in first.
    pub(super) fn carry_spent(&self, source: &Source) {
        let Some(was) = &source.was else { return };
        let own = Holder::Source(source.name.clone());
        if let Some(allowance) = source.budgets.iter().find(|allowance| allowance.holder == own) {
            self.ports.gate.carry(was, allowance);
        }
    }

    /// The former name of a source, if something is known under that one and nothing under its own.
    pub(super) async fn former(&self, source: &Source) -> Result<Option<SourceName>, StoreError> {
        let Some(was) = source.was.clone() else { return Ok(None) };
        let name = source.name.clone();
        let found = self.ports.store.read(move |store| {
            let is_known = |name: &SourceName| {
                let own = store.source(&UnitName::from(name))?;
                Ok::<_, StoreError>(own.is_some() || !store.entries(name)?.is_empty())
            };
            Ok((!is_known(&name)? && is_known(&was)?).then_some(was))
        });
        found.await
    }

    /// A unit's state as the store has it.
    pub(super) async fn stored(&self, unit: &UnitName) -> Result<Option<SourceState>, StoreError> {
        let unit = unit.clone();
        self.ports.store.read(move |store| store.source(&unit)).await
    }
}
