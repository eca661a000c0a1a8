//! Deliveries: list, one with its attempts, and replay.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::Shared;
use super::events::{slice, time};
use super::problem::Problem;
use super::view::{BodyView, Conditions, DeliveryDetailView, DeliveryView, ReplayView, RetryView};
use crate::core::delivery::{DeliveryState, EndpointHealth, Outlook};
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::store::{DeliveryFilter, DeliveryRecord, EventFilter, StoreError, Write, Written};

/// One delivery a day is the slowest replay.
const REPLAY_SPACING_MAX: Duration = Duration::from_hours(24);

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
    /// Replay only: so many a second at most.
    rate: Option<f64>,
}

impl DeliveryQuery {
    /// Between two deliveries of a replay.
    fn spacing(&self) -> Result<Duration, Problem> {
        let Some(rate) = self.rate else { return Ok(Duration::ZERO) };
        let spacing = Duration::try_from_secs_f64(rate.recip());
        spacing.ok().filter(|spacing| *spacing <= REPLAY_SPACING_MAX && rate > 0.0).ok_or_else(
            || Problem::bad_request(format!("a rate of {rate} a second makes no sense")),
        )
    }

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
    let found = context.store.read(move |store| {
        let rows = store.deliveries(&filter, slice)?.into_iter();
        let with_last = rows.map(|row| {
            let is_dead = matches!(row.state, DeliveryState::Exhausted { .. });
            let last = if is_dead { store.attempts(row.id)?.pop() } else { None };
            Ok((row, last))
        });
        let rows = with_last.collect::<Result<Vec<_>, StoreError>>()?;
        Ok((rows, store.endpoints()?))
    });
    let (rows, endpoints) = found.await?;
    let endpoints = endpoints.into_iter().collect();
    let conditions = Conditions { endpoints, now: context.clock.now() };
    let views =
        rows.iter().map(|(row, last)| DeliveryView::of(row, &conditions).with_last(last.as_ref()));
    Ok(Json(views.collect()))
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
    let retry = retry(&context, &delivery, conditions.endpoints.get(&delivery.endpoint));
    let of = (&delivery, &conditions);
    Ok(Json(DeliveryDetailView::of(of, event.as_ref(), body, (&attempts, retry))))
}

/// What is to come of a delivery that is not settled.
fn retry(
    context: &Shared,
    delivery: &DeliveryRecord,
    health: Option<&EndpointHealth>,
) -> Option<RetryView> {
    if !matches!(delivery.state, DeliveryState::Waiting | DeliveryState::Pending { .. }) {
        return None;
    }
    let roster = context.operations.roster();
    let policy = &roster.endpoints.get(&delivery.endpoint)?.retry;
    let (attempts, started) = (delivery.attempts, delivery.started);
    let outlook = Outlook::of(attempts, started, policy, health?, context.clock.now());
    Some(RetryView::of(&outlook, policy))
}

pub(super) async fn replay(
    State(context): State<Shared>,
    Json(query): Json<DeliveryQuery>,
) -> Result<Json<ReplayView>, Problem> {
    let (filter, spacing) = (query.filter()?, query.spacing()?);
    if query.dry_run {
        let count = context.store.read(move |store| store.replay_count(&filter)).await?;
        return Ok(Json(ReplayView { count, dry_run: true }));
    }
    let now = context.clock.now();
    let written = context.store.write(Write::Replay { filter, now, spacing }).await?;
    let count = match written {
        Ok(Written::Count(count)) => count,
        Ok(Written::Done | Written::Events { .. }) => 0,
        Err(refusal) => return Err(Problem::bad_request(refusal.to_string())),
    };
    context.operations.deliver();
    Ok(Json(ReplayView { count, dry_run: false }))
}
