//! `/healthz`, `/readyz`, `/metrics`.

use std::collections::{BTreeMap, HashMap};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Shared;
use super::problem::Problem;
use crate::core::secret::same_bytes;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// The process runs.
async fn alive() -> &'static str {
    "ok\n"
}

/// The process does its work: the store answers, the loops run.
async fn ready(State(context): State<Shared>) -> Response {
    let ill = match context.store.read(|store| store.endpoints()).await {
        Ok(_) => context.operations.ill(),
        Err(fault) => Some(fault.to_string()),
    };
    match ill {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(context): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    authorize(&context, &headers)?;
    let roster = context.operations.roster();
    let (tally, units) =
        context.store.read(|store| Ok((store.tally()?, store.held_units()?))).await?;
    let mut held: HashMap<_, u64> = HashMap::new();
    for (unit, count) in units {
        *held.entry(unit.source()).or_default() += count;
    }
    let mut pending: BTreeMap<_, u64> =
        roster.endpoints.keys().map(|name| (name.clone(), 0)).collect();
    for row in tally {
        if matches!(row.status, "waiting" | "pending") {
            *pending.entry(row.endpoint).or_default() += row.count;
        }
    }
    for (endpoint, count) in pending {
        context.telemetry.set_pending(&endpoint, count);
    }
    for (name, source) in &roster.sources {
        context.telemetry.set_paused(name, source.paused);
        context.telemetry.set_held(name, held.get(name).copied().unwrap_or(0));
    }
    let (text, media_type) = if accepts_openmetrics(&headers) {
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (context.telemetry.openmetrics(), media_type)
    } else {
        (context.telemetry.text(), "text/plain; version=0.0.4; charset=utf-8")
    };
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// Whether a scraper asks for the newer of the two formats. Prometheus does; people and other tools read the older one.
fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let mut accepted =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// Compares the bearer token without telling by its duration how much of it was right.
fn authorize(context: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &context.token else { return Ok(()) };
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let (scheme, given) = given.split_once(' ').unwrap_or_default();
    let given = if scheme.eq_ignore_ascii_case("bearer") { given } else { "" };
    if same_bytes(given.as_bytes(), token.expose().as_bytes()) {
        Ok(())
    } else {
        Err(Problem::unauthorized())
    }
}
