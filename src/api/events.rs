//! Events: by cursor, and one by id.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Shared;
use super::problem::Problem;
use super::view::{EventView, EventsView};
use crate::core::ids::{EntryKey, EventId, EventNo, ItemKey, SourceName};
use crate::core::limits::LIST_ROWS_MAX;
use crate::core::time::Timestamp;
use crate::store::{EventFilter, Slice};

/// The filter of listings and replays, as it stands in a query or a body. Times are RFC 3339.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    after: Option<u64>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    source: Option<String>,
    entry: Option<String>,
    key: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    /// `newest` begins at the end.
    order: Option<String>,
}

impl EventQuery {
    pub(super) fn filter(&self) -> Result<EventFilter, Problem> {
        Ok(EventFilter {
            after: self.after.map(EventNo),
            event_type: self.event_type.clone(),
            source: self.source.clone().map(SourceName::new),
            entry: self.entry.clone().map(EntryKey::new),
            key: self.key.clone().map(ItemKey::new),
            since: time(self.since.as_deref())?,
            until: time(self.until.as_deref())?,
        })
    }

    pub(super) fn slice(&self) -> Slice {
        slice(self.limit, self.order.as_deref())
    }
}

/// How much of a listing, from which end.
pub(super) fn slice(limit: Option<usize>, order: Option<&str>) -> Slice {
    let rows_max = limit.unwrap_or(100).clamp(1, LIST_ROWS_MAX);
    Slice { newest_first: order == Some("newest"), rows_max }
}

/// A time in a query.
pub(super) fn time(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    // A date alone is its midnight in UTC.
    let midnight = format!("{text}T00:00:00Z");
    let is_date = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    let time = if is_date { midnight.as_str() } else { text };
    let parsed: jiff::Timestamp = time.parse().map_err(|_| {
        let hint = "write 2026-11-21T03:00:00Z, or 2026-11-21";
        Problem::bad_request(format!("{text:?} is no time; {hint}"))
    })?;
    Ok(Some(Timestamp::from_millis(parsed.as_millisecond())))
}

pub(super) async fn list(
    State(context): State<Shared>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventsView>, Problem> {
    let (filter, slice) = (query.filter()?, query.slice());
    let events = context.store.read(move |store| store.events(&filter, slice)).await?;
    Ok(Json(EventsView::of(&events)))
}

pub(super) async fn show(
    State(context): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let wanted = EventId::new(id.clone());
    let found = context.store.read(move |store| store.event(&wanted)).await?;
    let record = found.ok_or_else(|| Problem::not_found(format!("there is no event {id}")))?;
    Ok(Json(EventView::of(&record)).into_response())
}
