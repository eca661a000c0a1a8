//! A poll's page: snapshot, events and deliveries.

use rusqlite::{OptionalExtension as _, params};

use crate::core::delivery::{DeliveryState, NewDelivery, Trigger};
use crate::core::event::Event;
use crate::core::ids::{DeliveryId, EventNo, ItemKey, UnitName};
use crate::core::snapshot::{Standing, StoredItem};
use crate::core::time::Timestamp;
use crate::store::{DeliveryRecord, DueDelivery, NewEvent, PollCommit, Refusal, Written};

use super::delivery::Fresh;
use super::hash;
use super::row;
use super::row::{ITEM_COLUMNS, ItemRow, StandingColumns};
use super::write::{Answer, Group};

impl Group<'_> {
    /// Commits a poll's page, unless the source moved on.
    pub(super) fn poll(&mut self, commit: &PollCommit) -> rusqlite::Result<Answer> {
        let known = self.known(&commit.unit, !commit.events.is_empty())?;
        if known.last_seq != row::count(commit.expected_seq) {
            return Ok(Err(Refusal::Conflict { unit: commit.unit.clone() }));
        }
        let source = self.set_source(&commit.unit, known.id, &commit.state)?;
        for item in &commit.upserts {
            self.upsert(source, item)?;
        }
        for (key, standing) in &commit.marks {
            self.mark(source, &commit.unit, key, *standing)?;
        }
        for (key, value) in &commit.settling {
            self.set_settling(source, key, value.as_ref())?;
        }
        #[cfg(feature = "planted-bugs")]
        super::planted::split_poll(self.conn, self.book)?;
        let first = self.book.last_event + 1;
        let mut due = Vec::new();
        for event in &commit.events {
            self.event(event, commit.at, &mut due)?;
        }
        Ok(Ok(Written::Events {
            first: EventNo(first.cast_unsigned()),
            count: commit.events.len() as u64,
            due,
        }))
    }

    fn upsert(&mut self, source: i64, item: &StoredItem) -> rusqlite::Result<()> {
        let content = item.data.as_str();
        let content_hash = hash::of_text(content, self.seed);
        let row_hash = row::item_hash(source, &item.key, &item.entry, content_hash, self.seed);
        let StandingColumns { word, missing, held_since, lost_since } =
            StandingColumns::of(item.entry.standing);
        let sql = "INSERT OR REPLACE INTO items (source, key, fingerprint, raw, changes, standing, missing, held_since, \
            content_hash, row_hash, lost_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            source,
            item.key.as_str(),
            item.entry.fingerprint.0,
            item.entry.raw.0.cast_signed(),
            row::count(item.entry.changes),
            word,
            missing,
            held_since,
            content_hash,
            row_hash,
            lost_since,
        ])?;
        let key = item.key.as_str();
        if content.is_empty() {
            let sql = "DELETE FROM contents WHERE source = ?1 AND key = ?2";
            self.conn.prepare_cached(sql)?.execute(params![source, key])?;
        } else {
            let sql = "INSERT OR REPLACE INTO contents (source, key, content) VALUES (?1, ?2, ?3)";
            self.conn.prepare_cached(sql)?.execute(params![source, key, content])?;
        }
        Ok(())
    }

    /// Changes an item's standing alone. A row that fails its hash stays as it is: a new hash would whitewash it.
    fn mark(
        &mut self,
        source: i64,
        unit: &UnitName,
        key: &ItemKey,
        standing: Standing,
    ) -> rusqlite::Result<()> {
        let sql = format!("SELECT {ITEM_COLUMNS} FROM items WHERE source = ?1 AND key = ?2");
        let found = self
            .conn
            .prepare_cached(&sql)?
            .query_row(params![source, key.as_str()], |columns| ItemRow::read(columns, self.seed))
            .optional()?;
        let Some(mut item) = found else { return Ok(()) };
        if !item.is_whole {
            tracing::error!(source = %unit, key = %key, "a stored item fails its hash: not marked");
            return Ok(());
        }
        item.entry.standing = standing;
        let row_hash = row::item_hash(source, key, &item.entry, item.content_hash, self.seed);
        let StandingColumns { word, missing, held_since, lost_since } =
            StandingColumns::of(standing);
        let sql = "UPDATE items SET standing = ?3, missing = ?4, held_since = ?5, row_hash = ?6, \
            lost_since = ?7 WHERE source = ?1 AND key = ?2";
        self.conn.prepare_cached(sql)?.execute(params![
            source,
            key.as_str(),
            word,
            missing,
            held_since,
            row_hash,
            lost_since,
        ])?;
        Ok(())
    }

    fn event(
        &mut self,
        new: &NewEvent,
        at: Timestamp,
        due: &mut Vec<DueDelivery>,
    ) -> rusqlite::Result<()> {
        self.book.last_event += 1;
        let no = self.book.last_event;
        self.insert_event(no, &new.event)?;
        for delivery in &new.deliveries {
            let endpoint = self.book.endpoint_or_new(self.conn, &delivery.endpoint, at)?;
            let is_made = self.keep_content(no, endpoint, &delivery.content)?;
            let id = self.deliver(&Fresh {
                event: no,
                endpoint,
                lane: delivery.lane,
                trigger: "change",
                is_made,
                at,
            })?;
            if let Some(id) = id.filter(|_| Written::takes(due, new)) {
                let numbers = (id, EventNo(no.cast_unsigned()));
                due.push(fresh(numbers, (new, delivery), at));
            }
        }
        Ok(())
    }

    fn insert_event(&mut self, no: i64, event: &Event) -> rusqlite::Result<()> {
        self.hot.insert_event.execute(params![
            no,
            event.id.as_str(),
            event.source.as_str(),
            event.event_type,
            event.key.as_str(),
            row::count(event.seq),
            event.at.as_millis(),
            hash::of_event(no, event, self.seed),
            event.entry.as_str(),
        ])?;
        self.hot.insert_body.execute(params![no, event.body.as_str()])?;
        Ok(())
    }
}

/// A delivery that was just made and is due, as it would be read.
fn fresh(
    (id, event_no): (DeliveryId, EventNo),
    (new, delivery): (&NewEvent, &NewDelivery),
    at: Timestamp,
) -> DueDelivery {
    let event = new.event.clone();
    let record = DeliveryRecord {
        id,
        endpoint: delivery.endpoint.clone(),
        lane: delivery.lane,
        trigger: Trigger::Change,
        state: DeliveryState::Pending { due: at },
        created_at: at,
        attempts: 0,
        started: None,
        event_no,
        event_id: event.id.clone(),
        event_type: event.event_type.clone(),
        source: event.source.clone(),
        entry: event.entry.clone(),
        key: event.key.clone(),
        seq: event.seq,
    };
    DueDelivery { delivery: record, event, content: delivery.content.clone() }
}
