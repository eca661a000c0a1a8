//! What applying a configuration would do: what is declared beside what is in force and what the store knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::ids::SourceName;
use crate::core::plan::{self, Fate, Known, Plan};
use crate::core::roster::Roster;
use crate::poller::Seen;
use crate::store::handle::StoreHandle;
use crate::store::{Read, StoreError};

/// Compares what is declared with the state, and with what is in force if there is anything. Gives also what it saw of
/// the state: there may be very many sources.
///
/// # Errors
/// The store's.
pub(super) async fn plan(
    store: &StoreHandle,
    in_force: Option<Arc<Roster>>,
    new: Arc<Roster>,
    all_holdings: bool,
) -> Result<(Plan, Seen), StoreError> {
    let made = store.read(move |store| {
        let with_entries = store.sources_with_entries()?;
        let known = known(store, &new, &with_entries)?;
        let mut plan = plan::plan(in_force.as_deref(), &new, &known);
        for source in &mut plan.sources {
            // Counting reads many rows: where nothing changes, only on request. Of what is new, nothing is kept.
            let is_as_before = matches!(source.fate, Fate::Unchanged | Fate::Changed);
            if source.fate != Fate::Added && (all_holdings || !is_as_before) {
                source.holding = store.holding(source.kept_as())?;
            }
        }
        let with_entries = with_entries.into_iter().collect();
        Ok((plan, Seen { states: known.sources, with_entries }))
    });
    made.await
}

fn known(store: &dyn Read, new: &Roster, with_entries: &[SourceName]) -> Result<Known, StoreError> {
    let mut sources: BTreeMap<_, _> = store.sources()?.into_iter().collect();
    for name in with_entries {
        // A source that is polled as a whole again goes on from what was known of it as a whole.
        let is_whole = new.sources.get(name).is_some_and(|source| source.for_each.is_none());
        if is_whole && sources.contains_key(name) {
            continue;
        }
        // The entry that was polled longest ago speaks for all: those polled since a reload know of it already.
        let entries = store.entries(name)?.into_iter().map(|(_, state)| state);
        if let Some(oldest) = entries.min_by_key(|state| (state.left, state.last_poll)) {
            sources.insert(name.clone(), oldest);
        }
    }
    let names = store.endpoints()?.into_iter();
    let mut endpoints: BTreeMap<_, _> = names.map(|(name, _)| (name, 0)).collect();
    for row in store.tally()? {
        if matches!(row.status, "waiting" | "pending") {
            *endpoints.entry(row.endpoint).or_default() += row.count;
        }
    }
    Ok(Known { sources, endpoints })
}
