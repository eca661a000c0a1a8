//! Sources: their state, their items, polls by hand, held changes, reload.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::entries::Entries;
use super::polled::PollView;
use super::problem::Problem;
use super::view::{CountView, HeldReasons, HeldView, ItemView, ReloadView, SourceView};
use super::{Refused, Shared};
use crate::core::ids::{EntryKey, ItemKey, SourceName, UnitName};
use crate::core::limits::LIST_ROWS_MAX;
use crate::core::own::{HELD, OWN_SOURCE};
use crate::core::recording::{Exchanges, Recording};
use crate::core::report::Mode;
use crate::store::{EventFilter, Slice};

pub(super) async fn list(State(context): State<Shared>) -> Result<Json<Vec<SourceView>>, Problem> {
    let roster = context.operations.roster();
    let states = context.store.read(|store| store.sources()).await?;
    let states: BTreeMap<_, _> = states.into_iter().collect();
    let mut names: BTreeSet<SourceName> =
        roster.sources.keys().chain(states.keys()).cloned().collect();
    let with_entries = context.store.read(|store| {
        let names = store.sources_with_entries()?.into_iter();
        names.map(|name| Ok((name.clone(), Entries::read(store, &name)?))).collect::<Result<_, _>>()
    });
    let with_entries: BTreeMap<SourceName, Entries> = with_entries.await?;
    names.extend(with_entries.keys().cloned());
    let view =
        |name: &SourceName| SourceView::of(name, states.get(name), with_entries.get(name), &roster);
    Ok(Json(names.iter().map(view).collect()))
}

pub(super) async fn show(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<SourceView>, Problem> {
    let (roster, name) = (context.operations.roster(), SourceName::new(name));
    let wanted = name.clone();
    let found = context.store.read(move |store| {
        Ok((store.source(&UnitName::from(&wanted))?, Entries::read(store, &wanted)?))
    });
    let (state, entries) = found.await?;
    let entries = Some(entries).filter(|entries| !entries.is_empty());
    if state.is_none() && entries.is_none() && !roster.sources.contains_key(&name) {
        return Err(Problem::not_found(format!("there is no source {name}")));
    }
    Ok(Json(SourceView::of(&name, state.as_ref(), entries.as_ref(), &roster)))
}

pub(super) async fn items(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ItemView>>, Problem> {
    let name = SourceName::new(name);
    let views = context.store.read(move |store| {
        let mut units = vec![UnitName::from(&name)];
        let entries = store.entries(&name)?.into_iter().filter(|(_, state)| state.left.is_none());
        units.extend(entries.map(|(entry, _)| UnitName::of(&name, &entry)));
        let mut views = Vec::new();
        for unit in units {
            let snapshot = store.snapshot(&unit)?;
            let known = snapshot.iter().filter(|(_, _, entry)| entry.standing.is_known());
            let mut keys: Vec<_> = known.map(|(_, key, _)| ItemKey::new(key)).collect();
            keys.sort_unstable();
            keys.truncate(LIST_ROWS_MAX - views.len());
            let items = store.items(&unit, &keys)?;
            views.extend(items.iter().map(|item| ItemView::of(&unit.entry(), item)));
            if views.len() >= LIST_ROWS_MAX {
                break;
            }
        }
        Ok(views)
    });
    Ok(Json(views.await?))
}

/// Whether a poll by hand counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PollQuery {
    #[serde(default)]
    commit: bool,
    /// Of a source with entries.
    entry: Option<String>,
}

/// Where its exchanges come from, and whether they are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PollOrder {
    #[serde(default)]
    record: bool,
    /// A recording, or a saved answer, in base64.
    replay: Option<String>,
}

impl PollOrder {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| Problem::bad_request(error.to_string()))
    }

    fn exchanges(self, commit: bool) -> Result<Exchanges, Problem> {
        match (self.replay, self.record) {
            (None, false) => Ok(Exchanges::Live),
            (None, true) => Ok(Exchanges::Recorded),
            (Some(_), _) if commit || self.record => {
                Err(Problem::bad_request("a replayed poll is neither kept nor recorded"))
            }
            (Some(code), _) => {
                let bytes = BASE64_STANDARD.decode(code);
                let bytes = bytes.map_err(|_| Problem::bad_request("`replay` is no base64"))?;
                let recording = Recording::read(&bytes).map_err(Problem::bad_request)?;
                Ok(Exchanges::Replayed(recording))
            }
        }
    }
}

pub(super) async fn poll(
    State(context): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<PollQuery>,
    body: Bytes,
) -> Result<Json<PollView>, Problem> {
    let mode = if query.commit { Mode::Commit } else { Mode::DryRun };
    let entry = EntryKey::new(query.entry.unwrap_or_default());
    let unit = UnitName::of(&SourceName::new(name), &entry);
    let exchanges = PollOrder::read(&body)?.exchanges(query.commit)?;
    let (report, recording) = context.operations.poll(unit, mode, exchanges).await?;
    Ok(Json(PollView::of(&report, recording)))
}

pub(super) async fn held(State(context): State<Shared>) -> Result<Json<Vec<HeldView>>, Problem> {
    let held = context.store.read(|store| {
        let mut views = Vec::new();
        for (unit, _) in store.held_units()? {
            let held = store.held(&unit)?;
            let told = EventFilter {
                source: Some(SourceName::new(OWN_SOURCE)),
                event_type: Some(HELD.to_owned()),
                key: Some(ItemKey::new(unit.source().as_str())),
                ..EventFilter::default()
            };
            let slice = Slice { newest_first: true, rows_max: LIST_ROWS_MAX };
            let reasons = HeldReasons::of_events(&store.events(&told, slice)?);
            views.extend(held.iter().map(|item| HeldView::of(&unit, item, &reasons)));
        }
        Ok(views)
    });
    Ok(Json(held.await?))
}

pub(super) async fn release(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<CountView>, Problem> {
    Ok(Json(CountView { count: context.operations.release(SourceName::new(name)).await? }))
}

pub(super) async fn discard(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<CountView>, Problem> {
    Ok(Json(CountView { count: context.operations.discard(SourceName::new(name)).await? }))
}

pub(super) async fn reload(State(context): State<Shared>) -> Result<Json<ReloadView>, Problem> {
    let changes: Result<_, Refused> = context.operations.reload().await;
    Ok(Json(ReloadView { changes: changes? }))
}
