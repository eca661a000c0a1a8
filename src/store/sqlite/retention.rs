//! What need not be kept any more: found by readers, removed by the writer, a few at a time.
//!
//! An emptied event keeps its row in `bodies`, with nothing in it. No event has such bytes, so that one whose bytes were
//! lost by damage is still told from it.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::core::ids::{EventNo, UnitName};
use crate::core::time::Timestamp;
use crate::store::{DeliveryRecord, Expired, Expiry, Lapse, Written};

use super::read::DELIVERY_TABLES;
use super::row;
use super::row::DELIVERY_COLUMNS;
use super::write::{Answer, Group};

/// Which of the next events need not be kept. Events are in the order of their detection, as far as clocks are right:
/// a run without a single one that is old enough is the end.
pub(super) fn expired(
    conn: &Connection,
    expiry: Expiry,
    after: EventNo,
    rows_max: usize,
) -> rusqlite::Result<Expired> {
    let sql = "SELECT e.no, e.at < ?2, e.at < ?2 \
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.no AND coalesce(d.finished_at, ?2) >= ?2) \
        AND (NOT ?3 OR (SELECT b.body FROM bodies b WHERE b.event = e.no) IS NOT '') \
        FROM events e WHERE e.no > ?1 ORDER BY e.no LIMIT ?4";
    let mut found = Expired { events: Vec::new(), last: None };
    let (mut rows_left, mut is_old) = (rows_max, false);
    let mut statement = conn.prepare_cached(sql)?;
    let rows_limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let before = expiry.before.as_millis();
    let mut rows =
        statement.query(params![row::count(after.0), before, expiry.whole_only, rows_limit])?;
    while let Some(columns) = rows.next()? {
        let no = EventNo(columns.get::<_, i64>(0)?.cast_unsigned());
        is_old |= columns.get::<_, bool>(1)?;
        if columns.get(2)? {
            found.events.push(no);
        }
        rows_left = rows_left.saturating_sub(1);
        found.last = Some(no);
    }
    if rows_left > 0 || !is_old {
        found.last = None;
    }
    Ok(found)
}

/// Only the indexes of the unfinished are read to find the oldest of them.
pub(super) fn overdue(
    conn: &Connection,
    before: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES} WHERE d.id IN (SELECT id FROM ( \
         SELECT id FROM deliveries WHERE status = 'pending' UNION ALL SELECT id FROM deliveries \
         WHERE status = 'waiting' AND finished_at IS NULL AND lane IS NOT NULL) ORDER BY id LIMIT ?1) \
         AND d.created_at < ?2 ORDER BY d.id"
    );
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    conn.prepare_cached(&sql)?
        .query_map(params![rows_max, before.as_millis()], row::delivery)?
        .collect()
}

/// The row with a source's greatest event number is what the next one goes on from, and stays.
const DEPARTED: &str = "left_at < ?1 AND last_seq < (SELECT max(o.last_seq) FROM sources o WHERE o.source = sources.source)";

/// Entries that left before.
pub(super) fn departed(
    conn: &Connection,
    before: Timestamp,
    after: &UnitName,
    rows_max: usize,
) -> rusqlite::Result<Vec<UnitName>> {
    // Most have a name without an entry: those are told by it, without a look at the row.
    let sql = format!(
        "SELECT name FROM sources \
            WHERE instr(name, '/') > 0 AND {DEPARTED} AND name > ?2 ORDER BY name LIMIT ?3"
    );
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    conn.prepare_cached(&sql)?
        .query_map(params![before.as_millis(), after.as_str(), rows_max], |columns| {
            Ok(UnitName::new(columns.get::<_, String>(0)?))
        })?
        .collect()
}

/// How late it was.
pub(super) fn seen(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut seen = conn.prepare_cached("SELECT seen_at FROM meta")?;
    let millis: Option<i64> = seen.query_row([], |columns| columns.get(0))?;
    Ok(millis.map(Timestamp::from_millis))
}

/// Pages that are free are used again before the file grows.
pub(super) fn bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT (p.page_count - f.freelist_count) * s.page_size \
        FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s";
    let bytes: i64 = conn.prepare_cached(sql)?.query_row([], |columns| columns.get(0))?;
    Ok(bytes.cast_unsigned())
}

/// Walks the tables' pages.
pub(super) fn snapshot_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let mut bytes = 0_u64;
    for table in ["contents", "items", "settling"] {
        let sql = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1 AND aggregate = 1";
        let of_table: i64 =
            conn.prepare_cached(sql)?.query_row([table], |columns| columns.get(0))?;
        bytes = bytes.saturating_add(of_table.cast_unsigned());
    }
    Ok(bytes)
}

impl Group<'_> {
    /// Removes events whose deliveries are all settled.
    pub(super) fn forget(&mut self, events: &[EventNo]) -> rusqlite::Result<Answer> {
        let mut count = 0;
        for event in events {
            count += u64::from(self.forget_one(row::count(event.0))?);
        }
        Ok(Ok(Written::Count(count)))
    }

    fn forget_one(&mut self, event: i64) -> rusqlite::Result<bool> {
        let sql = "SELECT endpoint, status, count(*) FROM deliveries WHERE event = ?1 GROUP BY endpoint, status";
        let settled: Vec<(i64, String, i64)> = self
            .conn
            .prepare_cached(sql)?
            .query_map([event], |columns| Ok((columns.get(0)?, columns.get(1)?, columns.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if settled.iter().any(|(_, status, _)| status == "waiting" || status == "pending") {
            return Ok(false);
        }
        for (endpoint, status, count) in settled {
            self.book.recount(endpoint, |counts| match status.as_str() {
                "delivered" => counts.delivered -= count,
                "exhausted" => counts.exhausted -= count,
                _ => counts.discarded -= count,
            });
        }
        for sql in [
            "DELETE FROM attempts WHERE delivery IN (SELECT id FROM deliveries WHERE event = ?1)",
            "DELETE FROM deliveries WHERE event = ?1",
            "DELETE FROM made WHERE event = ?1",
            "DELETE FROM bodies WHERE event = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute([event])?;
        }
        let removed =
            self.conn.prepare_cached("DELETE FROM events WHERE no = ?1")?.execute([event])?;
        Ok(removed > 0)
    }

    /// Removes what is known of entries that left before.
    pub(super) fn unlearn(
        &mut self,
        units: &[UnitName],
        left_before: Timestamp,
    ) -> rusqlite::Result<Answer> {
        let mut count = 0;
        for unit in units {
            let sql = format!("SELECT id FROM sources WHERE {DEPARTED} AND name = ?2");
            let found: Option<i64> = self
                .conn
                .prepare_cached(&sql)?
                .query_row(params![left_before.as_millis(), unit.as_str()], |columns| {
                    columns.get(0)
                })
                .optional()?;
            let Some(id) = found else { continue };
            for sql in [
                "DELETE FROM settling WHERE source = ?1",
                "DELETE FROM contents WHERE source = ?1",
                "DELETE FROM items WHERE source = ?1",
                "DELETE FROM sources WHERE id = ?1",
            ] {
                self.conn.prepare_cached(sql)?.execute([id])?;
            }
            count += 1;
        }
        Ok(Ok(Written::Count(count)))
    }

    /// Keeps how late it is.
    pub(super) fn see(&self, at: Timestamp) -> rusqlite::Result<Answer> {
        let sql = "UPDATE meta SET seen_at = ?1";
        self.conn.prepare_cached(sql)?.execute([at.as_millis()])?;
        Ok(Ok(Written::Done))
    }

    /// Takes back that an entry left.
    pub(super) fn come_back(&self, unit: &UnitName) -> rusqlite::Result<Answer> {
        let sql = "UPDATE sources SET left_at = NULL WHERE name = ?1";
        let known = self.conn.prepare_cached(sql)?.execute([unit.as_str()])?;
        Ok(Ok(Written::Count(known as u64)))
    }

    /// Gives deliveries up, heads of their lanes first if they come in the order of their numbers.
    pub(super) fn lapse(&mut self, lapse: &Lapse) -> rusqlite::Result<Answer> {
        if let Some(own) = &lapse.own
            && let Err(refusal) = self.poll(own)?
        {
            return Ok(Err(refusal));
        }
        let mut count = 0;
        for delivery in &lapse.deliveries {
            count += u64::from(self.lapse_one(row::count(delivery.0), lapse)?);
        }
        Ok(Ok(Written::Count(count)))
    }

    fn lapse_one(&mut self, delivery: i64, lapse: &Lapse) -> rusqlite::Result<bool> {
        let sql = "SELECT endpoint, lane, event, status = 'waiting' FROM deliveries \
            WHERE id = ?1 AND finished_at IS NULL";
        let found: Option<(i64, Option<i64>, i64, bool)> = self
            .conn
            .prepare_cached(sql)?
            .query_row([delivery], |columns| {
                Ok((columns.get(0)?, columns.get(1)?, columns.get(2)?, columns.get(3)?))
            })
            .optional()?;
        let Some((endpoint, lane, event, was_waiting)) = found else { return Ok(false) };
        let sql = "UPDATE deliveries SET status = 'exhausted', due_at = NULL, finished_at = ?2, reason = ?3 \
            WHERE id = ?1";
        let settled = params![delivery, lapse.at.as_millis(), lapse.reason];
        self.conn.prepare_cached(sql)?.execute(settled)?;
        self.book.recount(endpoint, |counts| {
            if was_waiting {
                counts.waiting -= 1;
            } else {
                counts.pending -= 1;
            }
            counts.exhausted += 1;
        });
        if let Some(lane) = lane {
            self.promote(endpoint, lane, lapse.at)?;
        }
        if lapse.empties {
            self.empty(event)?;
        }
        Ok(true)
    }

    /// Removes the bytes of an event that nobody is to be sent any more, and all attempts but the last.
    fn empty(&self, event: i64) -> rusqlite::Result<()> {
        let sql = "SELECT 1 FROM deliveries WHERE event = ?1 AND finished_at IS NULL";
        if self.conn.prepare_cached(sql)?.exists([event])? {
            return Ok(());
        }
        for sql in [
            "UPDATE bodies SET body = '' WHERE event = ?1",
            "DELETE FROM made WHERE event = ?1",
            "UPDATE deliveries SET is_made = 0 WHERE event = ?1 AND is_made",
            "DELETE FROM attempts WHERE delivery IN (SELECT id FROM deliveries WHERE event = ?1) \
             AND number < (SELECT max(l.number) FROM attempts l WHERE l.delivery = attempts.delivery)",
            "UPDATE attempts SET answer = '' WHERE answer <> '' \
             AND delivery IN (SELECT id FROM deliveries WHERE event = ?1)",
        ] {
            self.conn.prepare_cached(sql)?.execute([event])?;
        }
        Ok(())
    }
}
