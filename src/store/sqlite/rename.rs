//! A source or an endpoint gets another name: everything known of it goes on under that one.

use std::collections::HashSet;

use rusqlite::params;

use crate::core::delivery::lane;
use crate::core::endpoint::Order;
use crate::core::ids::{EndpointName, EntryKey, ItemKey, SourceName};
use crate::store::Written;

use super::made;
use super::write::{Answer, Group};

/// An unfinished delivery that stands in a lane.
struct Queued {
    id: i64,
    endpoint: i64,
    lane: i64,
    entry: EntryKey,
    key: ItemKey,
}

impl Group<'_> {
    /// Renames a source that has state, with its entries, to a name that has none; else nothing is done.
    pub(super) fn rename(
        &mut self,
        from: &SourceName,
        to: &SourceName,
    ) -> rusqlite::Result<Answer> {
        if !self.has_state(from)? || self.has_state(to)? {
            return Ok(Ok(Written::Count(0)));
        }
        // SOURCE, and each SOURCE/ENTRY.
        let sql = "UPDATE sources SET name = ?2 || substr(name, length(?1) + 1) WHERE source = ?1";
        self.conn.prepare_cached(sql)?.execute(params![from.as_str(), to.as_str()])?;
        self.change_lanes(from, to)?;
        Ok(Ok(Written::Count(1)))
    }

    fn has_state(&self, name: &SourceName) -> rusqlite::Result<bool> {
        self.conn
            .prepare_cached("SELECT 1 FROM sources WHERE source = ?1 LIMIT 1")?
            .exists([name.as_str()])
    }

    /// Items' lanes are made of the source's name: what waits moves along, so that nothing overtakes it. Whole lanes
    /// move, in their order, and only to where nothing waits; so the first of each stays the first.
    fn change_lanes(&self, from: &SourceName, to: &SourceName) -> rusqlite::Result<()> {
        let queued = self.queued()?;
        let busy: HashSet<_> = queued.iter().map(|queued| (queued.endpoint, queued.lane)).collect();
        let sql = "UPDATE deliveries SET lane = ?2 WHERE id = ?1";
        let mut update = self.conn.prepare_cached(sql)?;
        for queued in queued {
            let lane_of = |name| lane(Order::Item, name, &queued.entry, &queued.key);
            let (old, Some(new)) = (lane_of(from), lane_of(to)) else { continue };
            if old == Some(queued.lane) && !busy.contains(&(queued.endpoint, new)) {
                update.execute(params![queued.id, new])?;
            }
        }
        Ok(())
    }

    fn queued(&self) -> rusqlite::Result<Vec<Queued>> {
        let sql = "SELECT d.id, d.endpoint, d.lane, e.entry, e.key FROM deliveries d JOIN events e ON e.no = d.event \
            WHERE d.finished_at IS NULL AND d.lane IS NOT NULL";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |columns| {
            Ok(Queued {
                id: columns.get(0)?,
                endpoint: columns.get(1)?,
                lane: columns.get(2)?,
                entry: EntryKey::new(columns.get::<_, String>(3)?),
                key: ItemKey::new(columns.get::<_, String>(4)?),
            })
        })?;
        rows.collect()
    }

    /// Renames an endpoint. Where the new name is kept already, because something rang for it in the meantime, what
    /// waits for the old one moves there.
    pub(super) fn rename_endpoint(
        &mut self,
        from: &EndpointName,
        to: &EndpointName,
    ) -> rusqlite::Result<Answer> {
        let Some(old) = self.book.endpoint(from).filter(|_| from != to) else {
            return Ok(Ok(Written::Count(0)));
        };
        let Some(new) = self.book.endpoint(to) else {
            let sql = "UPDATE endpoints SET name = ?2 WHERE id = ?1";
            self.conn.prepare_cached(sql)?.execute(params![old, to.as_str()])?;
            self.book.rename(from, to);
            return Ok(Ok(Written::Count(1)));
        };
        let moved = self.move_unfinished(old, new)?;
        Ok(Ok(Written::Count(u64::from(moved > 0))))
    }

    fn move_unfinished(&mut self, old: i64, new: i64) -> rusqlite::Result<usize> {
        let sql = "SELECT id, event, status = 'pending', is_made FROM deliveries \
            WHERE endpoint = ?1 AND finished_at IS NULL ORDER BY id";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([old], |columns| {
            Ok((columns.get(0)?, columns.get(1)?, columns.get(2)?, columns.get(3)?))
        })?;
        let moved = rows.collect::<rusqlite::Result<Vec<(i64, i64, bool, bool)>>>()?;
        for (id, event, is_pending, is_made) in &moved {
            // What fails its hash stays behind, and the delivery is found to be damaged when its turn comes.
            if *is_made && let Ok(Some(content)) = made::of_delivery(self.conn, *id, self.seed) {
                self.keep_content(*event, new, &content)?;
            }
            self.conn
                .prepare_cached("UPDATE deliveries SET endpoint = ?2 WHERE id = ?1")?
                .execute([*id, new])?;
            for (endpoint, step) in [(old, -1), (new, 1)] {
                self.book.recount(endpoint, |counts| {
                    *(if *is_pending { &mut counts.pending } else { &mut counts.waiting }) += step;
                });
            }
        }
        self.queue_up(new)?;
        Ok(moved.len())
    }

    /// Makes whoever is not the first of a lane wait.
    fn queue_up(&mut self, endpoint: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE deliveries SET status = 'waiting', due_at = NULL \
            WHERE endpoint = ?1 AND status = 'pending' AND lane IS NOT NULL AND EXISTS \
            (SELECT 1 FROM deliveries AS first WHERE first.endpoint = ?1 AND first.lane = deliveries.lane \
             AND first.finished_at IS NULL AND first.lane IS NOT NULL AND first.id < deliveries.id)";
        let waiting = self.conn.prepare_cached(sql)?.execute([endpoint])?;
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.book.recount(endpoint, |counts| {
            counts.pending -= waiting;
            counts.waiting += waiting;
        });
        Ok(())
    }
}
