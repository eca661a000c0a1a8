//! One group of writes as one transaction.
//!
//! A write that is refused is refused before it changes anything; what fails for another reason undoes the whole group.
//! So no write needs a savepoint of its own, which would copy every page it touches.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::core::auth::oauth2::TokenKey;
use crate::core::budget::{Holder, Kept};
use crate::core::delivery::EndpointHealth;
use crate::core::ids::{EndpointName, UnitName};
use crate::core::source::{Baseline, SourceState, Validator};
use crate::core::time::Timestamp;
use crate::store::{Refusal, Write, Written};

use super::book::Book;
use super::hot::Hot;
use super::read::last_seq;
use super::row;
use super::row::SOURCE_COLUMNS;

/// What a single write came to.
pub(super) type Answer = Result<Written, Refusal>;

/// A unit before a commit.
#[derive(Debug)]
pub(super) struct Known {
    /// Its row, if it has one.
    pub(super) id: Option<i64>,
    /// The number that the commit goes on from: the source's last, or the entry's own last when nothing is numbered.
    pub(super) last_seq: i64,
}

/// A transaction under way.
pub(super) struct Group<'a> {
    pub(super) conn: &'a Connection,
    pub(super) hot: Hot<'a>,
    pub(super) book: &'a mut Book,
    pub(super) seed: u64,
}

impl Group<'_> {
    /// Does one write, or refuses it before it changes anything.
    pub(super) fn one(&mut self, write: &Write) -> rusqlite::Result<Answer> {
        let before = self.conn.total_changes();
        let answer = self.dispatch(write)?;
        if answer.is_err() {
            assert_eq!(before, self.conn.total_changes(), "a refused write changes nothing");
        }
        Ok(answer)
    }

    fn dispatch(&mut self, write: &Write) -> rusqlite::Result<Answer> {
        match write {
            Write::Poll(commit) => self.poll(commit),
            Write::Attempt(commit) => self.attempt(commit),
            Write::Endpoint { name, now } => {
                self.book.endpoint_or_new(self.conn, name, *now)?;
                Ok(Ok(Written::Done))
            }
            Write::Health { name, health } => self.person_sets_health(name, health),
            Write::Replay { filter, now, spacing } => self.replay(filter, *now, *spacing),
            Write::Hasten { endpoint, beyond, now } => self.hasten(endpoint, *beyond, *now),
            Write::Rename { from, to } => self.rename(from, to),
            Write::RenameEndpoint { from, to } => self.rename_endpoint(from, to),
            Write::Made { event, endpoint, made } => self.made_late(*event, endpoint, made),
            Write::State { unit, state } => self.state(unit, state),
            Write::Unlearn { units, left_before } => self.unlearn(units, *left_before),
            Write::Return { unit } => self.come_back(unit),
            Write::Forget { events } => self.forget(events),
            Write::Seen { at } => self.see(*at),
            Write::Lapse(lapse) => self.lapse(lapse),
            Write::Token { key, sealed, at } => self.token(key, sealed, *at),
            Write::Budgets(kept) => self.budgets(kept),
        }
    }

    fn budgets(&self, kept: &[(Holder, Kept)]) -> rusqlite::Result<Answer> {
        let sql = "INSERT OR REPLACE INTO budgets (holder, kept) VALUES (?1, ?2)";
        let mut insert = self.conn.prepare_cached(sql)?;
        for (holder, kept) in kept {
            insert.execute(params![holder.to_text(), kept.to_bytes()])?;
        }
        Ok(Ok(Written::Done))
    }

    fn token(&self, key: &TokenKey, sealed: &[u8], at: Timestamp) -> rusqlite::Result<Answer> {
        let sql = "INSERT OR REPLACE INTO tokens (settings, configured, sealed, kept_at) VALUES (?1, ?2, ?3, ?4)";
        let row = params![key.settings, key.configured, sealed, at.as_millis()];
        self.conn.prepare_cached(sql)?.execute(row)?;
        Ok(Ok(Written::Done))
    }

    fn person_sets_health(
        &mut self,
        name: &EndpointName,
        health: &EndpointHealth,
    ) -> rusqlite::Result<Answer> {
        let Some(id) = self.book.endpoint(name) else {
            return Ok(Err(Refusal::NoEndpoint(name.clone())));
        };
        self.set_health(id, health)?;
        Ok(Ok(Written::Done))
    }

    fn state(&mut self, unit: &UnitName, state: &SourceState) -> rusqlite::Result<Answer> {
        let known = self.known(unit, false)?;
        if known.last_seq == row::count(state.last_seq) {
            self.set_source(unit, known.id, state)?;
        }
        Ok(Ok(Written::Done))
    }

    /// What is known of a unit before a commit, with or without events.
    pub(super) fn known(&self, unit: &UnitName, has_events: bool) -> rusqlite::Result<Known> {
        let own: Option<(i64, i64)> = self
            .conn
            .prepare_cached("SELECT id, last_seq FROM sources WHERE name = ?1")?
            .query_row([unit.as_str()], |columns| Ok((columns.get(0)?, columns.get(1)?)))
            .optional()?;
        let (id, own_seq) = own.map_or((None, 0), |(id, last_seq)| (Some(id), last_seq));
        if !has_events && !unit.entry().is_none() {
            return Ok(Known { id, last_seq: own_seq });
        }
        Ok(Known { id, last_seq: last_seq(self.conn, &unit.source())? })
    }

    /// Writes a source's state, and gives its number.
    pub(super) fn set_source(
        &mut self,
        name: &UnitName,
        id: Option<i64>,
        state: &SourceState,
    ) -> rusqlite::Result<i64> {
        let sql = format!(
            "INSERT INTO sources (id, name, {SOURCE_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
             ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33) \
             ON CONFLICT (id) DO UPDATE SET ({SOURCE_COLUMNS}) = (?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
             ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)"
        );
        let fault = state.fault.as_deref().map(|(fault, _)| fault);
        let (taken_at, is_silent) = match state.baseline {
            Baseline::Taken { at } => (Some(at), false),
            Baseline::Due { silent } => (None, silent),
        };
        let (etag, last_modified) = match &state.validator {
            Some(Validator::ETag(tag)) => (Some(tag), None),
            Some(Validator::LastModified(date)) => (None, Some(date)),
            None => (None, None),
        };
        self.conn.prepare_cached(&sql)?.execute(params![
            id,
            name.as_str(),
            row::count(state.last_seq),
            state.identity().0,
            state.comparison().0,
            state.shape.map(row::shape_word),
            row::millis(taken_at),
            etag,
            last_modified,
            state.body_hash.map(|hash| hash.0),
            state.has_missing,
            row::nanos(state.schedule.interval),
            state.schedule.due.as_millis(),
            state.schedule.failures,
            row::millis(state.last_poll),
            row::millis(state.last_success),
            row::millis(state.last_change),
            fault.map(|fault| fault.whose.as_str()),
            fault.map(|fault| row::retry_word(fault.retry)),
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.sentence),
            row::millis(state.fault.as_deref().map(|(_, since)| *since)),
            is_silent,
            state.digests.parts.text(),
            state.watermark.as_ref().map(|mark| &mark.text),
            state.watermark.as_ref().map(|mark| mark.of.0),
            row::millis(state.sweep_due),
            state.credentials,
            row::millis(state.ended),
            row::millis(state.left),
            row::millis(state.silent),
            state.rate.to_bytes(),
            row::millis(state.not_before),
        ])?;
        Ok(id.unwrap_or_else(|| self.conn.last_insert_rowid()))
    }
}
