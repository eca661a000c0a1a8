//! Endpoints: their condition, and another chance by a person's word.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::Shared;
use super::problem::Problem;
use super::trial::TrialView;
use super::view::EndpointView;
use crate::core::delivery::EndpointHealth;
use crate::core::ids::EndpointName;
use crate::core::json;
use crate::core::sink::sample::Wanted;

pub(super) async fn list(
    State(context): State<Shared>,
) -> Result<Json<Vec<EndpointView>>, Problem> {
    let roster = context.operations.roster();
    let found = context.store.read(|store| Ok((store.endpoints()?, store.tally()?)));
    let (known, tally) = found.await?;
    let views = known.iter().map(|(name, health)| EndpointView::of(name, health, &roster, &tally));
    Ok(Json(views.collect()))
}

/// One that is declared or was: an endpoint that the daemon has not met yet is as well as any.
pub(super) async fn show(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<EndpointView>, Problem> {
    let (roster, name) = (context.operations.roster(), EndpointName::new(name));
    let found = context.store.read(|store| Ok((store.endpoints()?, store.tally()?)));
    let (known, tally) = found.await?;
    let health = known.into_iter().find(|(known, _)| *known == name).map(|(_, health)| health);
    if health.is_none() && !roster.endpoints.contains_key(&name) {
        return Err(Problem::not_found(format!("there is no endpoint {name}")));
    }
    let health = health.unwrap_or_else(|| EndpointHealth::new(context.clock.now()));
    Ok(Json(EndpointView::of(&name, &health, &roster, &tally)))
}

pub(super) async fn resume(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    context.operations.resume(EndpointName::new(name.clone())).await?;
    Ok(Json(serde_json::json!({ "resumed": name })))
}

/// What a test event is to look like; all of it may be left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestOrder {
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// JSON as text: the order of its keys means something.
    data: Option<String>,
}

pub(super) async fn test(
    State(context): State<Shared>,
    Path(name): Path<String>,
    Json(order): Json<TestOrder>,
) -> Result<Json<TrialView>, Problem> {
    let data = order.data.map(|data| json::read(&data).and_then(|data| json::compact(&data)));
    let data = data.transpose().map_err(|fault| {
        Problem::bad_request(format!("the event's data cannot be read: {fault}"))
    })?;
    let wanted = Wanted { event_type: order.event_type, data };
    let report = context.operations.try_out(EndpointName::new(name), wanted).await?;
    Ok(Json(TrialView::of(&report)))
}
