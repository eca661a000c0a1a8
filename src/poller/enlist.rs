//! Entries come and go: a list is edited, a feeding source is polled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use tracing::error;

use super::run::Loop;
use super::{Memory, Poller, locked};
use crate::core::ids::{EntryKey, SourceName, UnitName};
use crate::core::limits::GROUP_WRITES_MAX;
use crate::core::schedule::Schedule;
use crate::core::source::{Source, SourceState};
use crate::store::{Read, StoreError, Write, Written};

impl Poller {
    /// Looks which entries the sources have that were fed since the last look, and those whose last look failed.
    pub(super) async fn feed(&self, own: &mut Loop) {
        let mut failed = BTreeSet::new();
        loop {
            let (polled, stale) =
                (std::mem::take(&mut *locked(&self.polled)), std::mem::take(&mut own.stale));
            let roster = Arc::clone(&own.roster);
            let again = stale.iter().filter_map(|name| roster.sources.get(name));
            let fed: BTreeMap<_, _> = polled
                .iter()
                .flat_map(|feeding| roster.fed_by(feeding))
                .chain(again.filter(|source| source.for_each.is_some()))
                .map(|source| (source.name.clone(), Arc::clone(source)))
                .collect();
            if fed.is_empty() {
                break;
            }
            for source in fed.values() {
                self.enlist(own, source, false).await;
            }
            // Not before the next tick: what fails now would fail for ever.
            failed.append(&mut own.stale);
        }
        own.stale = failed;
    }

    /// Brings the agenda in line with the entries that a source has now: new ones are planned, those that left are let
    /// go. With `anew`, because the source is declared otherwise, all of them are looked at.
    pub(super) async fn enlist(&self, own: &mut Loop, source: &Arc<Source>, anew: bool) {
        if let Err(fault) = self.try_enlist(own, source, anew).await {
            error!(source = %source.name, %fault, "its entries could not be looked at; that is tried again");
            own.stale.insert(source.name.clone());
        }
    }

    async fn try_enlist(
        &self,
        own: &mut Loop,
        source: &Arc<Source>,
        anew: bool,
    ) -> Result<(), StoreError> {
        let name = &source.name;
        let roster = Arc::clone(&own.roster);
        let members = self.muster(&roster, source).await?;
        let before = own.members.get(name).cloned();
        let is_first = before.as_ref().is_none_or(|before| !before.is_settled());
        let before = before.unwrap_or_default();
        let mut left: BTreeSet<_> =
            before.keys().filter(|entry| !members.has(entry)).cloned().collect();
        let joined: Vec<_> = members.keys().filter(|entry| !before.has(entry)).cloned().collect();
        let mut kept = self.kept(source, is_first, &joined).await?;
        self.welcome_back(name, &joined, &mut kept).await?;
        if is_first && members.is_settled() {
            // Those that left while nobody looked.
            let gone =
                kept.iter().filter(|(entry, state)| !members.has(entry) && state.left.is_none());
            left.extend(gone.map(|(entry, _)| entry.clone()));
        }
        let left: Vec<_> = left.iter().map(|entry| UnitName::of(name, entry)).collect();
        for unit in &left {
            own.agenda.remove(unit);
        }
        let is_as_before = left.is_empty() && joined.is_empty();
        let leaving = stream::iter(left).map(|unit| async move { self.leave(unit).await });
        leaving.buffered(GROUP_WRITES_MAX).try_collect::<()>().await?;
        let now = self.ports.clock.now();
        for entry in members.keys().filter(|entry| anew && before.has(entry)) {
            own.look_at(&UnitName::of(name, entry), now);
        }
        for entry in &joined {
            self.join(own, source, &UnitName::of(name, entry), kept.remove(entry), joined.len());
        }
        own.members.insert(name.clone(), members);
        own.is_shared_anew |= !is_as_before;
        if !is_as_before && roster.feeds_others(name) {
            locked(&self.polled).insert(name.clone());
        }
        Ok(())
    }

    /// What is known of the entries that joined; at the first look, of all that ever were.
    async fn kept(
        &self,
        source: &Source,
        is_first: bool,
        joined: &[EntryKey],
    ) -> Result<BTreeMap<EntryKey, SourceState>, StoreError> {
        if is_first && source.was.is_some() {
            self.take_over(source).await?;
        }
        let (name, joined) = (source.name.clone(), joined.to_vec());
        let read = move |store: &dyn Read| {
            if is_first {
                return Ok(store.entries(&name)?.into_iter().collect());
            }
            let mut kept = BTreeMap::new();
            for entry in joined {
                if let Some(state) = store.source(&UnitName::of(&name, &entry))? {
                    kept.insert(entry, state);
                }
            }
            Ok(kept)
        };
        self.ports.store.read(read).await
    }

    /// What is known of entries that left and came back is theirs again, unless it was just given up as too old.
    async fn welcome_back(
        &self,
        name: &SourceName,
        joined: &[EntryKey],
        kept: &mut BTreeMap<EntryKey, SourceState>,
    ) -> Result<(), StoreError> {
        for entry in joined {
            let Some(state) = kept.get_mut(entry).filter(|state| state.left.is_some()) else {
                continue;
            };
            let unit = UnitName::of(name, entry);
            match self.ports.store.write(Write::Return { unit }).await? {
                Ok(Written::Count(0)) => drop(kept.remove(entry)),
                _ => state.left = None,
            }
        }
        Ok(())
    }

    /// An entry is one no more. What is known of it is kept: should it come back, it is compared with that, and polled
    /// also if it had ended.
    pub(super) async fn leave(&self, unit: UnitName) -> Result<(), StoreError> {
        let slot = self.slot(&unit);
        let known = match slot.0.try_lock() {
            Ok(mut memory) => std::mem::take(&mut *memory).state,
            // A poll is under way: this is done again when it has ended.
            Err(_) => None,
        };
        let known = match known {
            Some(state) => Some(SourceState::clone(&state)),
            None => self.stored(&unit).await?,
        };
        // What was never polled has nothing worth keeping.
        if let Some(state) = known.filter(|state| state.last_poll.is_some()) {
            let left = Some(self.ports.clock.now());
            let state = Box::new(SourceState { ended: None, left, ..state.unrecognised() });
            drop(self.ports.store.write(Write::State { unit: unit.clone(), state }).await?);
        }
        drop(slot);
        self.drop_slot(&unit);
        Ok(())
    }

    /// Plans an entry that is new, one of `count`. One that has ended is not planned.
    fn join(
        &self,
        own: &mut Loop,
        source: &Source,
        unit: &UnitName,
        kept: Option<SourceState>,
        count: usize,
    ) {
        let slot = self.slot(unit);
        let (now, chance) = (self.ports.clock.now(), self.ports.entropy.unit());
        // Somebody polls it by hand, and the loop looks at it after that.
        let Ok(mut memory) = slot.0.try_lock() else { return own.look_at(unit, now) };
        let ended = kept.as_ref().is_some_and(|state| state.ended.is_some());
        let schedule = match &kept {
            Some(kept) => kept.schedule.resumed(source.every, count, now, chance),
            None => Schedule::first(source.every, count, now, chance),
        };
        *memory = Memory::planning(schedule);
        if let Some(kept) = kept {
            memory.state = Some(Arc::new(SourceState { schedule, ..kept.clone() }));
            memory.kept = Some(Arc::new(kept));
            memory.planned = None;
        }
        drop(memory);
        if ended {
            drop(slot);
            self.drop_slot(unit);
            own.agenda.remove(unit);
        } else {
            own.agenda.set(unit.clone(), schedule.due);
        }
    }

    /// A source that is not polled entry by entry any more, or is no more. Its entries did not leave it: should it
    /// come back, they go on.
    pub(super) async fn disband(&self, own: &mut Loop, name: &SourceName) {
        let members = own.members.remove(name).unwrap_or_default();
        let units: Vec<_> = members.keys().map(|entry| UnitName::of(name, entry)).collect();
        for unit in &units {
            own.agenda.remove(unit);
        }
        let forgotten = stream::iter(units).map(|unit| async move { self.forget(&unit).await });
        forgotten.buffered(GROUP_WRITES_MAX).for_each(|()| std::future::ready(())).await;
        own.agenda.forget(name);
        locked(&self.crews).remove(name);
    }
}
