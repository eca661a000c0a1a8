//! A source gets another name: everything known of it goes on under that one.

use std::collections::HashSet;

use rusqlite::params;

use crate::core::delivery::lane;
use crate::core::endpoint::Order;
use crate::core::ids::{ItemKey, SourceName};
use crate::store::Written;

use super::write::{Answer, Group};

/// An unfinished delivery that stands in a lane.
struct Queued {
    id: i64,
    endpoint: i64,
    lane: i64,
    key: ItemKey,
}

impl Group<'_> {
    /// Renames a source that has state to a name that has none; else nothing is done.
    pub(super) fn rename(
        &mut self,
        from: &SourceName,
        to: &SourceName,
    ) -> rusqlite::Result<Answer> {
        let (Some((id, _)), None) = (self.source(from)?, self.source(to)?) else {
            return Ok(Ok(Written::Count(0)));
        };
        let sql = "UPDATE sources SET name = ?2 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![id, to.as_str()])?;
        self.change_lanes(from, to)?;
        Ok(Ok(Written::Count(1)))
    }

    /// Items' lanes are made of the source's name: what waits moves along, so that nothing overtakes it. Whole lanes
    /// move, in their order, and only to where nothing waits; so the first of each stays the first.
    fn change_lanes(&self, from: &SourceName, to: &SourceName) -> rusqlite::Result<()> {
        let queued = self.queued()?;
        let busy: HashSet<_> = queued.iter().map(|queued| (queued.endpoint, queued.lane)).collect();
        let sql = "UPDATE deliveries SET lane = ?2 WHERE id = ?1";
        let mut update = self.conn.prepare_cached(sql)?;
        for queued in queued {
            let lane_of = |name| lane(Order::Item, name, &queued.key);
            let (old, Some(new)) = (lane_of(from), lane_of(to)) else { continue };
            if old == Some(queued.lane) && !busy.contains(&(queued.endpoint, new)) {
                update.execute(params![queued.id, new])?;
            }
        }
        Ok(())
    }

    fn queued(&self) -> rusqlite::Result<Vec<Queued>> {
        let sql = "SELECT d.id, d.endpoint, d.lane, e.key FROM deliveries d JOIN events e ON e.no = d.event \
            WHERE d.finished_at IS NULL AND d.lane IS NOT NULL";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], |columns| {
            Ok(Queued {
                id: columns.get(0)?,
                endpoint: columns.get(1)?,
                lane: columns.get(2)?,
                key: ItemKey::new(columns.get::<_, String>(3)?),
            })
        })?;
        rows.collect()
    }
}
