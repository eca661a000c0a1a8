//! Deliveries: list, one with its attempts, and replay.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::Shared;
use super::events::{slice, time};
use super::problem::Problem;
use super::view::{BodyView, Conditions, DeliveryDetailView, DeliveryView, ReplayView};
use crate::core::delivery::DeliveryState;
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::store::{DeliveryFilter, EventFilter, Write, Written};

/// Which deliveries, as it stands in a query or a replay's body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryQuery {
    endpoint: Option<String>,
    status: Option<String>,
    event: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    source: Option<String>,
    entry: Option<String>,
    key: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    order: Option<String>,
    /// Replay only: count, send nothing.
    #[serde(default)]
    dry_run: bool,
}

impl DeliveryQuery {
    fn filter(&self) -> Result<DeliveryFilter, Problem> {
        if let Some(status) = &self.status
            && !DeliveryState::WORDS.contains(&status.as_str())
        {
            let words = DeliveryState::WORDS.join(", ");
            return Err(Problem::bad_request(format!("no status {status:?}; there are {words}")));
        }
        Ok(DeliveryFilter {
            endpoint: self.endpoint.clone().map(EndpointName::new),
            status: self.status.clone(),
            event: self.event.clone().map(EventId::new),
            events: EventFilter {
                after: None,
                event_type: self.event_type.clone(),
                source: self.source.clone().map(SourceName::new),
                entry: self.entry.clone().map(EntryKey::new),
                key: self.key.clone().map(ItemKey::new),
                since: time(self.since.as_deref())?,
                until: time(self.until.as_deref())?,
            },
        })
    }
}

pub(super) async fn list(
    State(context): State<Shared>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<Vec<DeliveryView>>, Problem> {
    let (filter, slice) = (query.filter()?, slice(query.limit, query.order.as_deref()));
    let found = context
        .store
        .read(move |store| Ok((store.deliveries(&filter, slice)?, store.endpoints()?)));
    let (rows, endpoints) = found.await?;
    let endpoints = endpoints.into_iter().collect();
    let conditions = Conditions { endpoints, now: context.clock.now() };
    Ok(Json(rows.iter().map(|row| DeliveryView::of(row, &conditions)).collect()))
}

pub(super) async fn show(
    State(context): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<DeliveryDetailView>, Problem> {
    let unknown = || Problem::not_found(format!("there is no delivery {id}"));
    let wanted = DeliveryId::parse(&id).ok_or_else(unknown)?;
    let found = context.store.read(move |store| {
        let Some(delivery) = store.delivery(wanted)? else { return Ok(None) };
        let event = store.event(&delivery.event_id)?;
        let (content, attempts) = (store.content(wanted)?, store.attempts(wanted)?);
        Ok(Some((delivery, event, content, attempts, store.endpoints()?)))
    });
    let (delivery, event, content, attempts, endpoints) = found.await?.ok_or_else(unknown)?;
    let endpoints = endpoints.into_iter().collect();
    let conditions = Conditions { endpoints, now: context.clock.now() };
    let body = BodyView::of(content, &context.redactor);
    Ok(Json(DeliveryDetailView::of((&delivery, &conditions), event.as_ref(), body, &attempts)))
}

pub(super) async fn replay(
    State(context): State<Shared>,
    Json(query): Json<DeliveryQuery>,
) -> Result<Json<ReplayView>, Problem> {
    let filter = query.filter()?;
    if query.dry_run {
        let count = context.store.read(move |store| store.replay_count(&filter)).await?;
        return Ok(Json(ReplayView { count, dry_run: true }));
    }
    let now = context.clock.now();
    let written = context.store.write(Write::Replay { filter, now }).await?;
    let count = match written {
        Ok(Written::Count(count)) => count,
        Ok(Written::Done | Written::Events { .. }) => 0,
        Err(refusal) => return Err(Problem::bad_request(refusal.to_string())),
    };
    context.operations.deliver();
    Ok(Json(ReplayView { count, dry_run: false }))
}
