//! Filters as SQL. Every value is bound; only fixed words become text.

use rusqlite::types::Value;

use crate::store::{DeliveryFilter, EventFilter, Slice};

/// The numbers of the events with one id. The index is in blocks of events; each of them is looked into.
pub(super) const EVENT_NOS: &str = "WITH RECURSIVE blocks (block) AS ( \
    SELECT min(no) >> 12 FROM events \
    UNION ALL SELECT block + 1 FROM blocks WHERE block < (SELECT max(no) >> 12 FROM events)) \
    SELECT f.no FROM blocks CROSS JOIN events f ON f.no >> 12 = block AND f.id = ?";

/// A `WHERE` clause that grows, with its values.
#[derive(Debug)]
pub(super) struct Where {
    sql: String,
    values: Vec<Value>,
}

impl Where {
    /// Of events, over the tables `e` and `b`. Those that were emptied are none any more.
    pub(super) fn events(filter: &EventFilter) -> Self {
        let mut clause = Self::all();
        clause.sql.push_str(" AND b.body IS NOT ''");
        if let Some(after) = filter.after {
            clause.and("e.no > ?", super::row::count(after.0));
        }
        clause.and_event(filter, "");
        clause
    }

    /// Of a listing of deliveries, over the tables `d` and `e`. Walking along the ids soon fills a page; the `+` keeps
    /// SQLite from collecting and sorting all that an endpoint or a source ever had.
    pub(super) fn listing(filter: &DeliveryFilter) -> Self {
        Self::deliveries(filter, "+")
    }

    /// Of all deliveries that match, over the tables `d` and `e`.
    pub(super) fn replay(filter: &DeliveryFilter) -> Self {
        Self::deliveries(filter, "")
    }

    fn deliveries(filter: &DeliveryFilter, sign: &str) -> Self {
        let mut clause = Self::all();
        if let Some(endpoint) = &filter.endpoint {
            let name = endpoint.as_str().to_owned();
            let condition = format!("{sign}d.endpoint = (SELECT id FROM endpoints WHERE name = ?)");
            clause.and(&condition, name);
        }
        if let Some(status) = &filter.status {
            clause.sql.push_str(status_clause(status));
        }
        if let Some(event) = &filter.event {
            let id = event.as_str().to_owned();
            clause.and(&format!("d.event IN ({EVENT_NOS})"), id);
        }
        clause.and_event(&filter.events, sign);
        clause
    }

    fn all() -> Self {
        Self { sql: String::from(" WHERE 1"), values: Vec::new() }
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value.into());
    }

    fn and_event(&mut self, filter: &EventFilter, sign: &str) {
        if let Some(glob) = &filter.event_type {
            self.and("e.type GLOB ?", sqlite_glob(glob));
        }
        if let Some(source) = &filter.source {
            self.and(&format!("{sign}e.source = ?"), source.as_str().to_owned());
        }
        if let Some(entry) = &filter.entry {
            self.and("e.entry = ?", entry.as_str().to_owned());
        }
        if let Some(key) = &filter.key {
            self.and("e.key = ?", key.as_str().to_owned());
        }
        if let Some(since) = filter.since {
            self.and("e.at >= ?", since.as_millis());
        }
        if let Some(until) = filter.until {
            self.and("e.at < ?", until.as_millis());
        }
    }

    /// Ends the clause with an order and a limit, and gives its parts.
    pub(super) fn slice(mut self, order_by: &str, slice: Slice) -> (String, Vec<Value>) {
        let direction = if slice.newest_first { " DESC LIMIT ?" } else { " ASC LIMIT ?" };
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(order_by);
        self.sql.push_str(direction);
        self.values.push(Value::Integer(i64::try_from(slice.rows_max).unwrap_or(i64::MAX)));
        self.into_parts()
    }

    /// The text, with a space before it, and its values.
    pub(super) fn into_parts(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }
}

/// Written out, so that SQLite sees that a partial index fits. The unfinished are few beside the finished: they are
/// looked up in their index and not among all of history.
fn status_clause(word: &str) -> &'static str {
    match word {
        "waiting" => {
            " AND d.id IN (SELECT id FROM deliveries WHERE status = 'waiting' AND finished_at IS NULL \
             AND lane IS NOT NULL)"
        }
        "pending" => " AND d.id IN (SELECT id FROM deliveries WHERE status = 'pending')",
        "delivered" => " AND d.status = 'delivered'",
        "exhausted" => " AND d.status = 'exhausted'",
        "discarded" => " AND d.status = 'discarded'",
        _ => " AND 0",
    }
}

/// Our globs know `*` only; SQLite's also `?` and `[`, which are made to stand for themselves.
fn sqlite_glob(glob: &str) -> String {
    let mut escaped = String::with_capacity(glob.len());
    for letter in glob.chars() {
        match letter {
            '?' => escaped.push_str("[?]"),
            '[' => escaped.push_str("[[]"),
            _ => escaped.push(letter),
        }
    }
    escaped
}
