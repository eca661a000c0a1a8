//! Reading, the same over the writer's connection and the readers'.

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Holder, Kept};
use crate::core::delivery::{DeliveryState, EndpointHealth};
use crate::core::ids::{
    DeliveryId, EndpointName, EntryKey, EventId, EventNo, ItemKey, SourceName, UnitName,
};
use crate::core::json::JsonText;
use crate::core::own::OWN_SOURCE;
use crate::core::plan::Holding;
use crate::core::sink::content::Content;
use crate::core::snapshot::{Settling, Snapshot, StoredItem};
use crate::core::time::Timestamp;
use crate::store::{
    Attempt, DeliveryFilter, DeliveryRecord, Due, DueDelivery, EventFilter, EventRecord, Expired,
    Expiry, Read, Slice, SourceState, StoreError, Tally,
};

use super::failure;
use super::filter::{EVENT_NOS, Where};
use super::hash;
use super::made;
use super::made::{CONTENT_COLUMNS, MADE_TABLE};
use super::retention;
use super::row;
use super::row::{
    ATTEMPT_COLUMNS, DELIVERY_COLUMN_COUNT, DELIVERY_COLUMNS, EVENT_COLUMN_COUNT, EVENT_COLUMNS,
    HEALTH_COLUMNS, ITEM_COLUMNS, ITEM_COLUMNS_COUNT, ItemRow, SOURCE_COLUMNS,
};
use super::settling;

/// Something with an open database.
pub(super) trait Connected {
    fn connection(&self) -> &Connection;
    fn state_seed(&self) -> u64;
}

/// The rows of deliveries, with their endpoint and event. `LEFT`: a delivery whose event is gone must be noticed.
pub(super) const DELIVERY_TABLES: &str = "deliveries d JOIN endpoints p ON p.id = d.endpoint \
    LEFT JOIN events e ON e.no = d.event";

/// Due deliveries in the order they are sent.
const DUE: &str = "SELECT id FROM deliveries WHERE status = 'pending' \
    AND endpoint = (SELECT id FROM endpoints WHERE name = ?1) AND due_at <= ?2 ORDER BY due_at, id";

impl<T: Connected + Send> Read for T {
    fn seed(&self) -> u64 {
        self.state_seed()
    }

    fn source(&self, unit: &UnitName) -> Result<Option<SourceState>, StoreError> {
        reading("sources", source(self.connection(), unit))
    }

    fn last_seq(&self, source: &SourceName) -> Result<u64, StoreError> {
        reading("sources", last_seq(self.connection(), source)).map(i64::cast_unsigned)
    }

    fn entries(&self, source: &SourceName) -> Result<Vec<(EntryKey, SourceState)>, StoreError> {
        reading("sources", entries(self.connection(), source))
    }

    fn sources_with_entries(&self) -> Result<Vec<SourceName>, StoreError> {
        reading("sources", sources_with_entries(self.connection()))
    }

    fn held_units(&self) -> Result<Vec<(UnitName, u64)>, StoreError> {
        reading("items", held_units(self.connection()))
    }

    fn sources(&self) -> Result<Vec<(SourceName, SourceState)>, StoreError> {
        reading("sources", sources(self.connection()))
    }

    fn snapshot(&self, unit: &UnitName) -> Result<Snapshot, StoreError> {
        reading("items", snapshot(self.connection(), unit, self.state_seed()))
    }

    fn items(&self, unit: &UnitName, keys: &[ItemKey]) -> Result<Vec<StoredItem>, StoreError> {
        reading("items", items(self.connection(), unit, keys, self.state_seed()))
    }

    fn settling(&self, unit: &UnitName) -> Result<HashMap<ItemKey, Settling>, StoreError> {
        reading("settling", settling::read(self.connection(), unit, self.state_seed()))
    }

    fn held(&self, unit: &UnitName) -> Result<Vec<StoredItem>, StoreError> {
        reading("items", held(self.connection(), unit, self.state_seed()))
    }

    fn holding(&self, source: &SourceName) -> Result<Holding, StoreError> {
        reading("items", holding(self.connection(), source))
    }

    fn events(&self, filter: &EventFilter, slice: Slice) -> Result<Vec<EventRecord>, StoreError> {
        reading("events", events(self.connection(), filter, slice, self.state_seed()))
    }

    fn event(&self, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        reading("events", event(self.connection(), id, self.state_seed()))
    }

    fn deliveries(
        &self,
        filter: &DeliveryFilter,
        slice: Slice,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        reading("deliveries", deliveries(self.connection(), filter, slice))
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        reading("deliveries", delivery(self.connection(), id))
    }

    fn content(&self, id: DeliveryId) -> Result<Content, StoreError> {
        let found = made::of_delivery(self.connection(), row::count(id.0), self.state_seed());
        reading("made", found).map(|found| found.unwrap_or(Content::Envelope))
    }

    fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        reading("attempts", attempts(self.connection(), id))
    }

    fn replay_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError> {
        reading("deliveries", replay_count(self.connection(), filter))
    }

    fn due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
        rows_max: usize,
        claimed: &BTreeSet<DeliveryId>,
    ) -> Result<Vec<Due>, StoreError> {
        let (which, seed) = ((endpoint, now), self.state_seed());
        reading("deliveries", due(self.connection(), which, rows_max, claimed, seed))
    }

    fn next_due(
        &self,
        endpoint: &EndpointName,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        reading("deliveries", next_due(self.connection(), endpoint, now))
    }

    fn endpoints(&self) -> Result<Vec<(EndpointName, EndpointHealth)>, StoreError> {
        reading("endpoints", endpoints(self.connection()))
    }

    fn token(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError> {
        reading("tokens", token(self.connection(), key))
    }

    fn budgets(&self) -> Result<Vec<(Holder, Kept)>, StoreError> {
        reading("budgets", budgets(self.connection()))
    }

    fn tally(&self) -> Result<Vec<Tally>, StoreError> {
        reading("endpoints", tally(self.connection()))
    }

    fn seen(&self) -> Result<Option<Timestamp>, StoreError> {
        reading("meta", retention::seen(self.connection()))
    }

    fn expired(
        &self,
        expiry: Expiry,
        after: EventNo,
        rows_max: usize,
    ) -> Result<Expired, StoreError> {
        reading("events", retention::expired(self.connection(), expiry, after, rows_max))
    }

    fn overdue(
        &self,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        reading("deliveries", retention::overdue(self.connection(), before, rows_max))
    }

    fn departed(
        &self,
        before: Timestamp,
        after: &UnitName,
        rows_max: usize,
    ) -> Result<Vec<UnitName>, StoreError> {
        reading("sources", retention::departed(self.connection(), before, after, rows_max))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        reading("state", retention::bytes(self.connection()))
    }

    fn snapshot_bytes(&self) -> Result<u64, StoreError> {
        reading("state", retention::snapshot_bytes(self.connection()))
    }
}

fn reading<T>(table: &'static str, result: rusqlite::Result<T>) -> Result<T, StoreError> {
    result.map_err(|error| failure("reading the state", table, error))
}

fn collect<T>(
    conn: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(values, read)?.collect()
}

fn source(conn: &Connection, unit: &UnitName) -> rusqlite::Result<Option<SourceState>> {
    conn.prepare_cached(&format!("SELECT {SOURCE_COLUMNS} FROM sources WHERE name = ?1"))?
        .query_row([unit.as_str()], |columns| row::source_state(columns, 0))
        .optional()
}

/// The number of a source's last event: the greatest of the source and its entries.
pub(super) fn last_seq(conn: &Connection, source: &SourceName) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(last_seq), 0) FROM sources WHERE source = ?1")?
        .query_row([source.as_str()], |columns| columns.get(0))
}

fn entries(
    conn: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<(EntryKey, SourceState)>> {
    let sql = format!(
        "SELECT name, {SOURCE_COLUMNS} FROM sources WHERE source = ?1 AND name <> ?1 ORDER BY name"
    );
    collect(conn, &sql, [source.as_str()], |columns| {
        let unit = UnitName::new(columns.get::<_, String>(0)?);
        Ok((unit.entry(), row::source_state(columns, 1)?))
    })
}

fn sources_with_entries(conn: &Connection) -> rusqlite::Result<Vec<SourceName>> {
    // Of names alone, which are an index by themselves: there may be very many sources, and no entries at all.
    let sql = "SELECT DISTINCT substr(name, 1, instr(name, '/') - 1) FROM sources \
        WHERE instr(name, '/') > 0 ORDER BY 1";
    collect(conn, sql, [], |columns| Ok(SourceName::new(columns.get::<_, String>(0)?)))
}

fn held_units(conn: &Connection) -> rusqlite::Result<Vec<(UnitName, u64)>> {
    let sql = "SELECT s.name, count(*) FROM items i INDEXED BY items_held JOIN sources s ON s.id = i.source \
        WHERE i.held_since IS NOT NULL AND s.left_at IS NULL GROUP BY s.id ORDER BY s.name";
    collect(conn, sql, [], |columns| {
        let count: i64 = columns.get(1)?;
        Ok((UnitName::new(columns.get::<_, String>(0)?), count.cast_unsigned()))
    })
}

fn sources(conn: &Connection) -> rusqlite::Result<Vec<(SourceName, SourceState)>> {
    // As they lie there, and sorted afterwards: in the order of an index, every row would be looked for by itself.
    let sql = format!(
        "SELECT name, {SOURCE_COLUMNS} FROM sources NOT INDEXED \
            WHERE instr(name, '/') = 0 AND name <> ?1"
    );
    let mut sources = collect(conn, &sql, [OWN_SOURCE], |columns| {
        Ok((SourceName::new(columns.get::<_, String>(0)?), row::source_state(columns, 1)?))
    })?;
    sources.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    Ok(sources)
}

fn snapshot(conn: &Connection, unit: &UnitName, seed: u64) -> rusqlite::Result<Snapshot> {
    let sql = format!(
        "SELECT {ITEM_COLUMNS} FROM items WHERE source = (SELECT id FROM sources WHERE name = ?1)"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([unit.as_str()])?;
    let mut snapshot = Snapshot::default();
    while let Some(columns) = rows.next()? {
        let item = ItemRow::read(columns, seed)?;
        if !item.is_whole {
            tracing::error!(source = %unit, key = %item.key, "a stored item fails its hash: quarantined");
        }
        snapshot.set(item.key.as_str(), item.entry);
    }
    Ok(snapshot)
}

/// The columns of [`stored_item`].
fn item_query(condition: &str) -> String {
    let columns = ITEM_COLUMNS.replace(", ", ", i.");
    format!(
        "SELECT i.{columns}, c.content FROM items i LEFT JOIN contents c USING (source, key) \
         WHERE i.source = (SELECT id FROM sources WHERE name = ?1) AND {condition}"
    )
}

/// A whole item, or `None` when its row or its content fails its hash.
fn stored_item(columns: &Row<'_>, seed: u64) -> rusqlite::Result<Option<StoredItem>> {
    let item = ItemRow::read(columns, seed)?;
    let content =
        columns.get::<_, Option<String>>(ITEM_COLUMNS_COUNT).unwrap_or(None).unwrap_or_default();
    let is_whole = item.is_whole && hash::of_text(&content, seed) == item.content_hash;
    if !is_whole {
        tracing::error!(key = %item.key, "a stored item fails its hash: left out");
    }
    Ok(is_whole.then(|| StoredItem {
        key: item.key,
        entry: item.entry,
        data: JsonText::trusted(content),
    }))
}

fn items(
    conn: &Connection,
    unit: &UnitName,
    keys: &[ItemKey],
    seed: u64,
) -> rusqlite::Result<Vec<StoredItem>> {
    let mut statement = conn.prepare_cached(&item_query("i.key = ?2"))?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let item = statement
            .query_row([unit.as_str(), key.as_str()], |columns| stored_item(columns, seed))
            .optional()?;
        found.extend(item.flatten());
    }
    Ok(found)
}

fn held(conn: &Connection, unit: &UnitName, seed: u64) -> rusqlite::Result<Vec<StoredItem>> {
    let sql = item_query("i.held_since IS NOT NULL ORDER BY i.key");
    let held = collect(conn, &sql, [unit.as_str()], |columns| stored_item(columns, seed))?;
    Ok(held.into_iter().flatten().collect())
}

fn holding(conn: &Connection, source: &SourceName) -> rusqlite::Result<Holding> {
    // Waiting and pending ones apart: each has a partial index of its own.
    let sql = "SELECT (SELECT count(*) FROM items WHERE source IN (SELECT id FROM sources WHERE source = ?1) \
        AND (standing = 'present' OR standing = 'held' OR standing = 'lost')), \
        (SELECT count(*) FROM deliveries d JOIN events e ON e.no = d.event \
            WHERE d.status = 'pending' AND e.source = ?1) \
        + (SELECT count(*) FROM deliveries d JOIN events e ON e.no = d.event \
            WHERE d.finished_at IS NULL AND d.lane IS NOT NULL AND d.status = 'waiting' AND e.source = ?1)";
    conn.prepare_cached(sql)?.query_row([source.as_str()], |columns| {
        let (items, waiting): (i64, i64) = (columns.get(0)?, columns.get(1)?);
        Ok(Holding { items: items.cast_unsigned(), waiting: waiting.cast_unsigned() })
    })
}

fn events(
    conn: &Connection,
    filter: &EventFilter,
    slice: Slice,
    seed: u64,
) -> rusqlite::Result<Vec<EventRecord>> {
    let (clause, values) = Where::events(filter).slice("e.no", slice);
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e LEFT JOIN bodies b ON b.event = e.no{clause}"
    );
    let events = collect(conn, &sql, params_from_iter(values), |columns| {
        let event = row::event(columns, 0, seed)?;
        if event.is_none() {
            let no: i64 = columns.get(0)?;
            tracing::error!(no, "a stored event fails its hash: left out");
        }
        Ok(event)
    })?;
    Ok(events.into_iter().flatten().collect())
}

fn event(conn: &Connection, id: &EventId, seed: u64) -> rusqlite::Result<Option<EventRecord>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e LEFT JOIN bodies b ON b.event = e.no \
         WHERE e.no = (SELECT max(no) FROM ({EVENT_NOS})) AND b.body IS NOT ''"
    );
    conn.prepare_cached(&sql)?
        .query_row([id.as_str()], |columns| {
            let whole = row::event(columns, 0, seed)?;
            whole.ok_or_else(|| row::damaged(7, format!("event {id} fails its hash")))
        })
        .optional()
}

fn deliveries(
    conn: &Connection,
    filter: &DeliveryFilter,
    slice: Slice,
) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let (clause, values) = Where::listing(filter).slice("d.id", slice);
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES}{clause}");
    collect(conn, &sql, params_from_iter(values), row::delivery)
}

fn delivery(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Option<DeliveryRecord>> {
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES} WHERE d.id = ?1");
    conn.prepare_cached(&sql)?.query_row([row::count(id.0)], row::delivery).optional()
}

fn attempts(conn: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<Attempt>> {
    let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery = ?1 ORDER BY number");
    collect(conn, &sql, [row::count(id.0)], row::attempt)
}

/// The latest delivery of each pair of event and endpoint that a replay sends again. A pair under way is none.
pub(super) fn replayable(filter: &DeliveryFilter, columns: &str) -> (String, Vec<Value>) {
    let (clause, values) = Where::replay(filter).into_parts();
    let sql = format!(
        "SELECT {columns} FROM deliveries d JOIN events e ON e.no = d.event{clause} \
         AND d.finished_at IS NOT NULL AND (SELECT body FROM bodies WHERE event = d.event) IS NOT '' AND NOT EXISTS (SELECT 1 FROM deliveries n WHERE n.event = d.event \
         AND n.endpoint = d.endpoint AND (n.id > d.id OR n.finished_at IS NULL))"
    );
    (sql, values)
}

fn replay_count(conn: &Connection, filter: &DeliveryFilter) -> rusqlite::Result<u64> {
    let (sql, values) = replayable(filter, "count(*)");
    let count: i64 =
        conn.prepare_cached(&sql)?.query_row(params_from_iter(values), |columns| columns.get(0))?;
    Ok(count.cast_unsigned())
}

/// Only the index is read of what is claimed.
fn due(
    conn: &Connection,
    (endpoint, now): (&EndpointName, Timestamp),
    rows_max: usize,
    claimed: &BTreeSet<DeliveryId>,
    seed: u64,
) -> rusqlite::Result<Vec<Due>> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, {EVENT_COLUMNS}, {CONTENT_COLUMNS} FROM {DELIVERY_TABLES} \
         LEFT JOIN bodies b ON b.event = d.event {MADE_TABLE} WHERE d.id = ?1"
    );
    let mut whole = conn.prepare_cached(&sql)?;
    let mut ids = conn.prepare_cached(DUE)?;
    let mut ids = ids.query(params![endpoint.as_str(), now.as_millis()])?;
    let mut due = Vec::new();
    while due.len() < rows_max
        && let Some(columns) = ids.next()?
    {
        let id: i64 = columns.get(0)?;
        if !claimed.contains(&DeliveryId(id.cast_unsigned())) {
            due.push(whole.query_row([id], |columns| due_delivery(columns, seed))?);
        }
    }
    Ok(due)
}

fn due_delivery(columns: &Row<'_>, seed: u64) -> rusqlite::Result<Due> {
    let delivery = row::delivery(columns)?;
    let event = row::event(columns, DELIVERY_COLUMN_COUNT, seed)?;
    let content = made::content(columns, DELIVERY_COLUMN_COUNT + EVENT_COLUMN_COUNT, seed)?;
    Ok(match event.zip(content) {
        Some((EventRecord { event, .. }, content)) => {
            Due::Whole(Box::new(DueDelivery { delivery, event, content }))
        }
        None => Due::Damaged(Box::new(delivery)),
    })
}

fn next_due(
    conn: &Connection,
    endpoint: &EndpointName,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(due_at) FROM deliveries WHERE status = 'pending' \
        AND endpoint = (SELECT id FROM endpoints WHERE name = ?1) AND due_at > ?2";
    let due: Option<i64> = conn
        .prepare_cached(sql)?
        .query_row(params![endpoint.as_str(), now.as_millis()], |columns| columns.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

fn endpoints(conn: &Connection) -> rusqlite::Result<Vec<(EndpointName, EndpointHealth)>> {
    let sql = format!("SELECT name, {HEALTH_COLUMNS} FROM endpoints ORDER BY name");
    collect(conn, &sql, [], |columns| {
        Ok((EndpointName::new(columns.get::<_, String>(0)?), row::health(columns, 1)?))
    })
}

fn token(conn: &Connection, key: &TokenKey) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT sealed FROM tokens WHERE settings = ?1 AND configured = ?2")?
        .query_row(params![key.settings, key.configured], |columns| columns.get(0))
        .optional()
}

/// Those that can be read: of the others nothing is known.
fn budgets(conn: &Connection) -> rusqlite::Result<Vec<(Holder, Kept)>> {
    let sql = "SELECT holder, kept FROM budgets ORDER BY holder";
    let rows = collect(conn, sql, [], |columns| {
        let holder = Holder::from_text(&columns.get::<_, String>(0)?);
        Ok(holder.zip(Kept::from_bytes(&columns.get::<_, Vec<u8>>(1)?)))
    })?;
    Ok(rows.into_iter().flatten().collect())
}

fn tally(conn: &Connection) -> rusqlite::Result<Vec<Tally>> {
    let sql = "SELECT name, waiting, pending, delivered, exhausted, discarded FROM endpoints ORDER BY name";
    let counts = collect(conn, sql, [], |columns| {
        let endpoint = EndpointName::new(columns.get::<_, String>(0)?);
        let mut tallies = Vec::new();
        for (column, status) in (1..).zip(DeliveryState::WORDS) {
            let count = columns.get::<_, i64>(column)?.cast_unsigned();
            if count > 0 {
                tallies.push(Tally { endpoint: endpoint.clone(), status, count });
            }
        }
        Ok(tallies)
    })?;
    Ok(counts.into_iter().flatten().collect())
}
