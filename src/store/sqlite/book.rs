//! What the writer keeps in memory of the state: the numbers given out, and how many deliveries of each endpoint stand
//! where. It is written back once per group, not once per row; after a failure it is read anew.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::core::delivery::EndpointHealth;
use crate::core::ids::EndpointName;
use crate::core::time::Timestamp;

use super::row;
use super::row::HEALTH_COLUMNS;

/// How many deliveries of one endpoint stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) waiting: i64,
    pub(super) pending: i64,
    pub(super) delivered: i64,
    pub(super) exhausted: i64,
    pub(super) discarded: i64,
}

#[derive(Debug)]
struct Known {
    counts: Counts,
    /// As they stand in the database.
    written: Counts,
}

/// The writer's memory. Only valid while its connection is the only writer, which the lock file ensures.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) commits: u64,
    pub(super) last_event: i64,
    pub(super) last_delivery: i64,
    ids: HashMap<EndpointName, i64>,
    known: HashMap<i64, Known>,
}

impl Book {
    /// Reads it from the database.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let (commits, last_event, last_delivery) =
            conn.query_row("SELECT commits, last_event, last_delivery FROM meta", [], |columns| {
                Ok((columns.get::<_, i64>(0)?, columns.get(1)?, columns.get(2)?))
            })?;
        let mut book = Self {
            commits: commits.cast_unsigned(),
            last_event,
            last_delivery,
            ids: HashMap::new(),
            known: HashMap::new(),
        };
        let mut statement = conn.prepare(
            "SELECT id, name, waiting, pending, delivered, exhausted, discarded FROM endpoints",
        )?;
        let mut rows = statement.query([])?;
        while let Some(columns) = rows.next()? {
            let counts = Counts {
                waiting: columns.get(2)?,
                pending: columns.get(3)?,
                delivered: columns.get(4)?,
                exhausted: columns.get(5)?,
                discarded: columns.get(6)?,
            };
            let id = columns.get(0)?;
            book.ids.insert(EndpointName::new(columns.get::<_, String>(1)?), id);
            book.known.insert(id, Known { counts, written: counts });
        }
        Ok(book)
    }

    /// The number of a known endpoint.
    pub(super) fn endpoint(&self, name: &EndpointName) -> Option<i64> {
        self.ids.get(name).copied()
    }

    /// The number of an endpoint, which is made with fresh health if it is not known.
    pub(super) fn endpoint_or_new(
        &mut self,
        conn: &Connection,
        name: &EndpointName,
        now: Timestamp,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.endpoint(name) {
            return Ok(id);
        }
        let sql = format!(
            "INSERT INTO endpoints (name, {HEALTH_COLUMNS}) \
             VALUES (?1, 'closed', NULL, NULL, NULL, ?2, NULL, ?3, ?4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL)"
        );
        let fresh = EndpointHealth::new(now);
        conn.prepare_cached(&sql)?.execute(params![
            name.as_str(),
            fresh.failures,
            fresh.last_success.as_millis(),
            row::nanos(fresh.suspended_before),
        ])?;
        let id = conn.last_insert_rowid();
        let counts = Counts::default();
        self.ids.insert(name.clone(), id);
        self.known.insert(id, Known { counts, written: counts });
        Ok(id)
    }

    /// An endpoint has another name from here on.
    pub(super) fn rename(&mut self, from: &EndpointName, to: &EndpointName) {
        if let Some(id) = self.ids.remove(from) {
            self.ids.insert(to.clone(), id);
        }
    }

    /// How many deliveries of an endpoint wait behind others.
    pub(super) fn waiting(&self, endpoint: i64) -> i64 {
        self.known.get(&endpoint).map_or(0, |known| known.counts.waiting)
    }

    /// Changes the counts of an endpoint.
    pub(super) fn recount(&mut self, endpoint: i64, change: impl FnOnce(&mut Counts)) {
        if let Some(known) = self.known.get_mut(&endpoint) {
            change(&mut known.counts);
        }
    }

    /// Writes back what changed, at the end of a group.
    pub(super) fn write_back(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.commits += 1;
        conn.prepare_cached("UPDATE meta SET commits = ?1, last_event = ?2, last_delivery = ?3")?
            .execute(params![row::count(self.commits), self.last_event, self.last_delivery])?;
        for (id, known) in &mut self.known {
            if known.counts != known.written {
                write_counts(conn, *id, known.counts)?;
                known.written = known.counts;
            }
        }
        Ok(())
    }
}

fn write_counts(conn: &Connection, endpoint: i64, counts: Counts) -> rusqlite::Result<()> {
    let sql = "UPDATE endpoints SET waiting = ?2, pending = ?3, delivered = ?4, exhausted = ?5, discarded = ?6 \
        WHERE id = ?1";
    conn.prepare_cached(sql)?.execute(params![
        endpoint,
        counts.waiting,
        counts.pending,
        counts.delivered,
        counts.exhausted,
        counts.discarded
    ])?;
    Ok(())
}
