//! Endpoints: their condition, and another chance by a person's word.

use axum::Json;
use axum::extract::{Path, State};

use super::Shared;
use super::problem::Problem;
use super::view::EndpointView;
use crate::core::ids::EndpointName;

pub(super) async fn list(
    State(context): State<Shared>,
) -> Result<Json<Vec<EndpointView>>, Problem> {
    let roster = context.operations.roster();
    let found = context.store.read(|store| Ok((store.endpoints()?, store.tally()?)));
    let (known, tally) = found.await?;
    let views = known.iter().map(|(name, health)| EndpointView::of(name, health, &roster, &tally));
    Ok(Json(views.collect()))
}

pub(super) async fn resume(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    context.operations.resume(EndpointName::new(name.clone())).await?;
    Ok(Json(serde_json::json!({ "resumed": name })))
}
