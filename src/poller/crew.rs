//! The entries of a source: which there are now, and what they share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::MutexGuard;
use tracing::warn;

use super::{Declared, PollError, Poller, locked};
use crate::core::entries::{ForEach, entry_of, feeds};
use crate::core::ids::{EntryKey, ItemKey, SourceName, UnitName};
use crate::core::jq::Expression;
use crate::core::json::{self, JsonText};
use crate::core::limits::{ENTRIES_NAMED_MAX, ENTRIES_VANISHED_WINDOW};
use crate::core::roster::Roster;
use crate::core::snapshot::{RawHash, StoredItem};
use crate::core::source::{Baseline, Brake, Source};
use crate::core::time::Timestamp;
use crate::store::handle::StoreHandle;
use crate::store::{Read, StoreError};

/// What the entries of one source share, and who they are.
#[derive(Default)]
pub(super) struct Crew {
    members: Mutex<Arc<Members>>,
    /// The number of the source's last event; `None` when the store has to be asked.
    number: tokio::sync::Mutex<Option<u64>>,
    /// When entries vanished of late.
    vanished: Mutex<VecDeque<Timestamp>>,
    /// The entries whose polls fail; `None` when the store has to be asked.
    failing: tokio::sync::Mutex<Option<BTreeSet<EntryKey>>>,
    /// When it was last told that changes of entries are held.
    held_at: Mutex<Option<Timestamp>>,
}

/// The entries of one source as of one moment.
#[derive(Default)]
pub(super) struct Members {
    /// Whether anybody looked yet.
    is_known: bool,
    /// Whether whoever is not among them is no entry: not as long as the feeding source has yet to be listed.
    is_settled: bool,
    origins: BTreeMap<EntryKey, Origin>,
    /// Items of the feeding source that a condition was asked about, and what it said.
    judged: BTreeMap<EntryKey, (RawHash, bool)>,
}

impl Members {
    /// Whether an entry is one of them.
    pub(super) fn has(&self, entry: &EntryKey) -> bool {
        self.origins.contains_key(entry)
    }

    /// Whether whoever is not among them is no entry.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// All of them, by key.
    pub(super) fn keys(&self) -> impl Iterator<Item = &EntryKey> {
        self.origins.keys()
    }
}

/// Where an entry's item is.
#[derive(Clone)]
pub(super) enum Origin {
    Here(JsonText),
    Stored(UnitName, ItemKey),
}

/// The source's event numbers, held.
pub(super) struct Number<'a>(MutexGuard<'a, Option<u64>>, u64);

impl Number<'_> {
    /// The number of the source's last event.
    pub(super) fn last_seq(&self) -> u64 {
        self.1
    }

    /// A commit begins: until it is done, the store alone knows.
    pub(super) fn forget(&mut self) {
        *self.0 = None;
    }

    /// A commit is done.
    pub(super) fn set(&mut self, last_seq: u64) {
        (*self.0, self.1) = (Some(last_seq), last_seq);
    }
}

impl Crew {
    /// Waits for the source's event numbers and holds them.
    pub(super) async fn number(
        &self,
        store: &StoreHandle,
        source: &SourceName,
    ) -> Result<Number<'_>, StoreError> {
        let mut number = self.number.lock().await;
        let last_seq = if let Some(last_seq) = *number {
            last_seq
        } else {
            let source = source.clone();
            store.read(move |store| store.last_seq(&source)).await?
        };
        *number = Some(last_seq);
        Ok(Number(number, last_seq))
    }

    /// Whether too many items of entries vanished of late, with one more now.
    pub(super) fn holds(&self, brake: Brake, now: Timestamp) -> bool {
        let known = self.members().origins.len();
        let mut vanished = locked(&self.vanished);
        while vanished.front().is_some_and(|at| now.since(*at) > ENTRIES_VANISHED_WINDOW) {
            vanished.pop_front();
        }
        brake.holds(vanished.len() + 1, known)
    }

    /// Notes that items of entries vanished.
    pub(super) fn vanish(&self, count: usize, now: Timestamp) {
        locked(&self.vanished).extend(std::iter::repeat_n(now, count));
    }

    /// Notes whether an entry's polls fail, and says whether it is the first one that does, or was the last: what is
    /// wrong with all of them is told once.
    ///
    /// # Errors
    /// The store's, when it has to be asked.
    pub(super) async fn fails(
        &self,
        store: &StoreHandle,
        source: &SourceName,
        entry: &EntryKey,
        fails: bool,
    ) -> Result<bool, StoreError> {
        let mut known = self.failing.lock().await;
        if known.is_none() {
            let source = source.clone();
            let states = store.read(move |store| store.entries(&source)).await?;
            let fails =
                states.into_iter().filter(|(_, it)| it.failing().is_some() && it.left.is_none());
            *known = Some(fails.map(|(entry, _)| entry).collect());
        }
        let others = known.get_or_insert_default();
        let members = self.members();
        others.retain(|other| other != entry && (!members.is_known || members.has(other)));
        let is_only = others.is_empty();
        if fails {
            others.insert(entry.clone());
        }
        Ok(is_only)
    }

    /// Whether that changes of entries are held is news: many that are held together are told once.
    pub(super) fn is_held_anew(&self, now: Timestamp) -> bool {
        let mut told = locked(&self.held_at);
        let is_new = told.is_none_or(|at| now.since(at) > ENTRIES_VANISHED_WINDOW);
        if is_new {
            *told = Some(now);
        }
        is_new
    }

    /// Who they are now.
    pub(super) fn members(&self) -> Arc<Members> {
        Arc::clone(&locked(&self.members))
    }
}

impl Poller {
    /// What the entries of a source share.
    pub(super) fn crew(&self, name: &SourceName) -> Arc<Crew> {
        Arc::clone(locked(&self.crews).entry(name.clone()).or_default())
    }

    /// The entries of a source, as they were last looked at.
    pub(super) async fn members(
        &self,
        roster: &Roster,
        source: &Source,
    ) -> Result<Arc<Members>, StoreError> {
        let members = self.crew(&source.name).members();
        if members.is_known { Ok(members) } else { self.muster(roster, source).await }
    }

    /// Looks anew which entries a source has.
    pub(super) async fn muster(
        &self,
        roster: &Roster,
        source: &Source,
    ) -> Result<Arc<Members>, StoreError> {
        let crew = self.crew(&source.name);
        let origins = match &source.for_each {
            None => Members::default(),
            Some(ForEach::List(list)) => {
                let here =
                    |(key, item): (&EntryKey, &JsonText)| (key.clone(), Origin::Here(item.clone()));
                let origins = list.iter().map(here).collect();
                Members { origins, is_settled: true, ..Members::default() }
            }
            Some(ForEach::Source { name, condition }) => {
                let (units, is_settled) = self.units(roster, name).await?;
                let (condition, before) = (condition.clone(), crew.members());
                let read = move |store: &dyn Read| {
                    let mut members = fed(store, &units, condition.as_ref(), &before)?;
                    members.is_settled = is_settled && are_listed(store, &units)?;
                    if !members.is_settled {
                        members.stay(&before);
                    }
                    Ok(members)
                };
                self.ports.store.read(read).await?
            }
        };
        let members = Arc::new(Members { is_known: true, ..origins });
        *locked(&crew.members) = Arc::clone(&members);
        Ok(members)
    }

    /// The units of a source: itself, or its entries; and whether these are all.
    pub(super) async fn units(
        &self,
        roster: &Roster,
        name: &SourceName,
    ) -> Result<(Vec<UnitName>, bool), StoreError> {
        let Some(source) = roster.sources.get(name) else { return Ok((Vec::new(), false)) };
        if source.for_each.is_none() {
            return Ok((vec![UnitName::from(name)], true));
        }
        // A source may be fed by one that is fed itself.
        let members = Box::pin(self.members(roster, source)).await?;
        let units = members.keys().map(|entry| UnitName::of(name, entry)).collect();
        Ok((units, members.is_settled))
    }

    /// A unit as it is declared now. Asked for once its turn has come: a poll may wait long for another one.
    pub(super) async fn declared(&self, unit: &UnitName) -> Result<Declared, PollError> {
        let roster = self.roster.borrow().clone();
        let (name, entry) = (unit.source(), unit.entry());
        let source = roster.sources.get(&name).map(Arc::clone);
        let source = source.ok_or_else(|| PollError::Unknown(name.clone()))?;
        if source.for_each.is_none() {
            if !entry.is_none() {
                return Err(PollError::UnknownEntry(name, entry.to_string()));
            }
            return Ok(Declared { roster, source, entry, origin: None, crew: None });
        }
        let members = self.members(&roster, &source).await?;
        if entry.is_none() {
            if members.keys().next().is_none() {
                let hint = match &source.for_each {
                    Some(ForEach::Source { name, .. }) => {
                        format!(": `doorbell poll {name} --commit` first, which feeds it")
                    }
                    _ => String::new(),
                };
                return Err(PollError::NoEntry(name, hint));
            }
            let some: Vec<_> =
                members.keys().take(ENTRIES_NAMED_MAX).map(EntryKey::as_str).collect();
            return Err(PollError::EntryNeeded(name, some.join(", ")));
        }
        let Some(origin) = members.origins.get(&entry).cloned() else {
            return Err(PollError::UnknownEntry(name, entry.to_string()));
        };
        let crew = Some(self.crew(&name));
        Ok(Declared { roster, source, entry, origin: Some(origin), crew })
    }

    /// An entry's item, as it is now; `None` if it is no more.
    pub(super) async fn item_at(&self, origin: &Origin) -> Result<Option<JsonText>, StoreError> {
        match origin {
            Origin::Here(item) => Ok(Some(item.clone())),
            Origin::Stored(unit, key) => {
                let (unit, key) = (unit.clone(), key.clone());
                let found = self.ports.store.read(move |store| store.items(&unit, &[key])).await?;
                Ok(found.into_iter().next().map(|item| item.data))
            }
        }
    }
}

/// The items of the feeding units that are entries. A condition is asked only about items that are not as they were.
fn fed(
    store: &dyn Read,
    units: &[UnitName],
    condition: Option<&Expression>,
    before: &Members,
) -> Result<Members, StoreError> {
    let mut members = Members::default();
    for unit in units {
        let mut unjudged = Vec::new();
        for (_, key, found) in store.snapshot(unit)?.iter() {
            let key = ItemKey::new(key);
            let Some(name) = entry_of(&unit.entry(), &key).filter(|_| feeds(found.standing)) else {
                continue;
            };
            match (condition, before.judged.get(&name)) {
                (None, _) => members.admit(name, unit, key),
                (Some(_), Some((raw, holds))) if *raw == found.raw => {
                    members.judge(name, (unit, key), (*raw, *holds));
                }
                _ => unjudged.push(key),
            }
        }
        let Some(condition) = condition else { continue };
        for item in store.items(unit, &unjudged)? {
            let Some(name) = entry_of(&unit.entry(), &item.key) else { continue };
            let holds = holds(condition, &item).unwrap_or_else(|sentence| {
                warn!(source = %unit, key = %item.key, "`where` of an entry fails: {sentence}");
                before.has(&name)
            });
            members.judge(name, (unit, item.key), (item.entry.raw, holds));
        }
    }
    Ok(members)
}

/// Whether a feeding source was listed as it is declared; its entries, if it has some, are never all there at once.
fn are_listed(store: &dyn Read, units: &[UnitName]) -> Result<bool, StoreError> {
    let [unit] = units else { return Ok(true) };
    let state = store.source(unit)?;
    Ok(state.is_some_and(|state| matches!(state.baseline, Baseline::Taken { .. })))
}

fn holds(condition: &Expression, item: &StoredItem) -> Result<bool, String> {
    let value = json::read(item.data.as_str()).map_err(|fault| fault.to_string())?;
    condition.test(&value).map_err(|fault| fault.to_string())
}

impl Members {
    /// Whoever was one of them is one still.
    fn stay(&mut self, before: &Self) {
        for (name, origin) in &before.origins {
            self.origins.entry(name.clone()).or_insert_with(|| origin.clone());
        }
    }

    fn admit(&mut self, name: EntryKey, unit: &UnitName, key: ItemKey) {
        self.origins.insert(name, Origin::Stored(unit.clone(), key));
    }

    fn judge(&mut self, name: EntryKey, (unit, key): (&UnitName, ItemKey), said: (RawHash, bool)) {
        self.judged.insert(name.clone(), said);
        if said.1 {
            self.admit(name, unit, key);
        }
    }
}
