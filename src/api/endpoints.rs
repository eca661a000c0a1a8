//! Endpoints: their condition, and a person's word on it.

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
use crate::core::time::Timestamp;
use crate::store::{Read, StoreError};

/// An endpoint's name and condition, and when the first delivery that waits for it is due, as far as that matters.
type Known = (EndpointName, EndpointHealth, Option<Timestamp>);

pub(super) async fn list(
    State(context): State<Shared>,
) -> Result<Json<Vec<EndpointView>>, Problem> {
    let (roster, now) = (context.operations.roster(), context.clock.now());
    let found = context.store.read(move |store| Ok((known(store, now)?, store.tally()?)));
    let (known, tally) = found.await?;
    let views = known
        .iter()
        .map(|(name, health, due)| EndpointView::of((name, health), (*due, now), &roster, &tally));
    Ok(Json(views.collect()))
}

/// One that is declared or was: an endpoint that the daemon has not met yet is as well as any.
pub(super) async fn show(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<EndpointView>, Problem> {
    let (roster, now) = (context.operations.roster(), context.clock.now());
    let name = EndpointName::new(name);
    let found = context.store.read(move |store| Ok((known(store, now)?, store.tally()?)));
    let (known, tally) = found.await?;
    let known = known.into_iter().find(|(known, ..)| *known == name);
    if known.is_none() && !roster.endpoints.contains_key(&name) {
        return Err(Problem::not_found(format!("there is no endpoint {name}")));
    }
    let (name, health, due) = known.unwrap_or_else(|| (name, EndpointHealth::new(now), None));
    Ok(Json(EndpointView::of((&name, &health), (due, now), &roster, &tally)))
}

/// The endpoints ever known, with their condition. Of what is due first a failing one's next attempt is.
fn known(store: &dyn Read, now: Timestamp) -> Result<Vec<Known>, StoreError> {
    let mut known = Vec::new();
    for (name, health) in store.endpoints()? {
        let due = if health.is_suspended(now) {
            store.next_due(&name, Timestamp::from_millis(i64::MIN))?
        } else {
            None
        };
        known.push((name, health, due));
    }
    Ok(known)
}

pub(super) async fn pause(
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    context.operations.pause(EndpointName::new(name.clone())).await?;
    Ok(Json(serde_json::json!({ "paused": name })))
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
