//! The statements that run for every event and every attempt, looked up once per group instead of once per row.

use std::fmt;

use rusqlite::{CachedStatement, Connection};

const INSERT_EVENT: &str = "INSERT INTO events (no, id, source, type, key, seq, at, row_hash, entry) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const INSERT_BODY: &str = "INSERT INTO bodies (event, body) VALUES (?1, ?2)";

const LANE_IS_BUSY: &str = "SELECT 1 FROM deliveries WHERE endpoint = ?1 AND lane = ?2 AND lane IS NOT NULL \
    AND finished_at IS NULL LIMIT 1";

const INSERT_DELIVERY: &str = "INSERT INTO deliveries \
    (id, endpoint, event, lane, trigger, status, due_at, created_at, attempts, is_made) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)";

const CLAIMED: &str = "SELECT endpoint, lane FROM deliveries \
    WHERE id = ?1 AND status = 'pending' AND (?2 IS NULL OR attempts = ?2 - 1)";

const SETTLE: &str = "UPDATE deliveries SET status = ?2, due_at = ?3, finished_at = ?4, reason = ?5, \
    attempts = coalesce(?6, attempts), \
    started_suspended_ns = CASE WHEN started_at IS NULL THEN ?8 ELSE started_suspended_ns END, \
    started_at = coalesce(started_at, ?7) WHERE id = ?1";

const INSERT_ATTEMPT: &str = "INSERT INTO attempts (delivery, number, at, took_ns, status, fault_whose, \
    fault_retry, fault_code, fault_sentence, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// The statements of one group.
pub(super) struct Hot<'a> {
    pub(super) insert_event: CachedStatement<'a>,
    pub(super) insert_body: CachedStatement<'a>,
    pub(super) lane_is_busy: CachedStatement<'a>,
    pub(super) insert_delivery: CachedStatement<'a>,
    /// A delivery that is pending and whose next attempt has this number, if the attempt counts.
    pub(super) claimed: CachedStatement<'a>,
    pub(super) settle: CachedStatement<'a>,
    pub(super) insert_attempt: CachedStatement<'a>,
}

impl<'a> Hot<'a> {
    /// Compiled when they are first used on a connection.
    pub(super) fn prepare(conn: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert_event: conn.prepare_cached(INSERT_EVENT)?,
            insert_body: conn.prepare_cached(INSERT_BODY)?,
            lane_is_busy: conn.prepare_cached(LANE_IS_BUSY)?,
            insert_delivery: conn.prepare_cached(INSERT_DELIVERY)?,
            claimed: conn.prepare_cached(CLAIMED)?,
            settle: conn.prepare_cached(SETTLE)?,
            insert_attempt: conn.prepare_cached(INSERT_ATTEMPT)?,
        })
    }
}

impl fmt::Debug for Hot<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Hot").finish_non_exhaustive()
    }
}
