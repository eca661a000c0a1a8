//! Sources: their state, their items, polls by hand, held changes, reload.

use axum::Json;
use axum::extract::{Path, Query, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::polled::PollView;
use super::problem::Problem;
use super::view::{CountView, HeldView, ItemView, ReloadView, SourceView};
use super::{Refused, Shared};
use crate::core::ids::SourceName;
use crate::core::limits::LIST_ROWS_MAX;
use crate::core::recording::{Exchanges, Recording};
use crate::core::report::Mode;

pub(super) async fn list(State(context): State<Shared>) -> Result<Json<Vec<SourceView>>, Problem> {
    let roster = context.operations.roster();
    let states = context.store.read(|store| store.sources()).await?;
    let mut views: Vec<SourceView> =
        states.iter().map(|(name, state)| SourceView::of(name, Some(state), &roster)).collect();
    let new = roster.sources.keys().filter(|name| !states.iter().any(|(known, _)| known == *name));
    views.extend(new.map(|name| SourceView::of(name, None, &roster)));
    views.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(Json(views))
}

pub(super) async fn show(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<SourceView>, Problem> {
    let (roster, name) = (context.operations.roster(), SourceName::new(name));
    let wanted = name.clone();
    let state = context.store.read(move |store| store.source(&wanted)).await?;
    if state.is_none() && !roster.sources.contains_key(&name) {
        return Err(Problem::not_found(format!("there is no source {name}")));
    }
    Ok(Json(SourceView::of(&name, state.as_ref(), &roster)))
}

pub(super) async fn items(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ItemView>>, Problem> {
    let name = SourceName::new(name);
    let items = context.store.read(move |store| {
        let snapshot = store.snapshot(&name)?;
        let known = snapshot.entries.into_iter().filter(|(_, entry)| entry.standing.is_known());
        let mut keys: Vec<_> = known.map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.truncate(LIST_ROWS_MAX);
        store.items(&name, &keys)
    });
    Ok(Json(items.await?.iter().map(ItemView::of).collect()))
}

/// Whether a poll by hand counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PollQuery {
    #[serde(default)]
    commit: bool,
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
    let exchanges = PollOrder::read(&body)?.exchanges(query.commit)?;
    let polled = context.operations.poll(SourceName::new(name), mode, exchanges);
    let (report, recording) = polled.await?;
    Ok(Json(PollView::of(&report, recording)))
}

pub(super) async fn held(State(context): State<Shared>) -> Result<Json<Vec<HeldView>>, Problem> {
    let held = context.store.read(|store| {
        let mut views = Vec::new();
        for (name, _) in store.sources()? {
            views.extend(store.held(&name)?.iter().map(|item| HeldView::of(&name, item)));
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
