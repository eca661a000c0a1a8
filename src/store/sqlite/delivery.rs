//! Deliveries: made, attempted, settled, made again.
//!
//! The lane rule lives here: of all unfinished deliveries of one endpoint and lane, the one with the lowest id is
//! `Pending` and the others are `Waiting`.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params, params_from_iter};

use crate::core::delivery::{Breaker, EndpointHealth, Verdict};
use crate::core::ids::{DeliveryId, EndpointName};
use crate::core::limits::REPLAY_AHEAD_MAX;
use crate::core::time::Timestamp;
use crate::store::{Attempt, AttemptCommit, DeliveryFilter, Refusal, Written};

use super::read::replayable;
use super::row;
use super::write::{Answer, Group};

/// A delivery to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    pub(super) event: i64,
    pub(super) endpoint: i64,
    pub(super) lane: Option<i64>,
    /// A word of `Trigger`.
    pub(super) trigger: &'static str,
    /// Whether its endpoint is sent something else than the envelope.
    pub(super) is_made: bool,
    pub(super) at: Timestamp,
}

/// What a verdict makes of the columns `status`, `due_at`, `finished_at` and `reason`.
struct Settled<'a> {
    status: &'static str,
    due: Option<Timestamp>,
    finished: Option<Timestamp>,
    reason: Option<&'a str>,
}

impl<'a> Settled<'a> {
    fn by(verdict: &'a Verdict, at: Timestamp) -> Self {
        let open = |due| Self { status: "pending", due: Some(due), finished: None, reason: None };
        let closed = |status, reason| Self { status, due: None, finished: Some(at), reason };
        match verdict {
            Verdict::Delivered => closed("delivered", None),
            Verdict::Exhausted { reason } => closed("exhausted", Some(reason.as_str())),
            Verdict::RetryAt(due) | Verdict::NotCounted { due } => open(*due),
        }
    }
}

impl Group<'_> {
    /// Makes a delivery: due at once if nobody is before it in its lane. Gives its number if it is.
    pub(super) fn deliver(&mut self, fresh: &Fresh) -> rusqlite::Result<Option<DeliveryId>> {
        self.book.last_delivery += 1;
        let is_behind = match fresh.lane {
            Some(lane) => self.hot.lane_is_busy.exists([fresh.endpoint, lane])?,
            None => false,
        };
        #[cfg(feature = "planted-bugs")]
        let is_behind = is_behind && !super::planted::forgets_lanes();
        let (status, due) =
            if is_behind { ("waiting", None) } else { ("pending", Some(fresh.at.as_millis())) };
        self.hot.insert_delivery.execute(params![
            self.book.last_delivery,
            fresh.endpoint,
            fresh.event,
            fresh.lane,
            fresh.trigger,
            status,
            due,
            fresh.at.as_millis(),
            fresh.is_made,
        ])?;
        self.book.recount(fresh.endpoint, |counts| {
            if is_behind {
                counts.waiting += 1;
            } else {
                counts.pending += 1;
            }
        });
        let id = DeliveryId(self.book.last_delivery.cast_unsigned());
        Ok((!is_behind).then_some(id))
    }

    /// Commits an attempt's outcome. Refused unless the delivery is pending and the attempt is its next one: anything
    /// else was claimed from a state that has moved on.
    pub(super) fn attempt(&mut self, commit: &AttemptCommit) -> rusqlite::Result<Answer> {
        let settled = Settled::by(&commit.verdict, commit.at);
        let Some((endpoint, lane)) = self.claimed(commit)? else {
            return Ok(Err(Refusal::NotUnderWay(commit.delivery)));
        };
        if let Some(own) = &commit.own
            && let Err(refusal) = self.poll(own)?
        {
            return Ok(Err(refusal));
        }
        self.settle(commit, &settled)?;
        if let Some(attempt) = &commit.attempt {
            self.insert_attempt(row::count(commit.delivery.0), attempt)?;
        }
        #[cfg(feature = "planted-bugs")]
        if commit.own.is_some() {
            super::planted::split_attempt(self.conn, self.book)?;
        }
        if let Some(health) = &commit.health {
            self.set_health(endpoint, health)?;
        }
        if settled.finished.is_some() {
            self.book.recount(endpoint, |counts| {
                counts.pending -= 1;
                match commit.verdict {
                    Verdict::Delivered => counts.delivered += 1,
                    _ => counts.exhausted += 1,
                }
            });
            if let Some(lane) = lane {
                self.promote(endpoint, lane, commit.at)?;
            }
        }
        Ok(Ok(Written::Done))
    }

    /// The delivery's endpoint and lane; `None` unless it is pending and the attempt is its next one.
    fn claimed(&mut self, commit: &AttemptCommit) -> rusqlite::Result<Option<(i64, Option<i64>)>> {
        let number = commit.attempt.as_ref().map(|attempt| attempt.number);
        let claimed = params![row::count(commit.delivery.0), number];
        self.hot
            .claimed
            .query_row(claimed, |columns| Ok((columns.get(0)?, columns.get(1)?)))
            .optional()
    }

    fn settle(&mut self, commit: &AttemptCommit, settled: &Settled<'_>) -> rusqlite::Result<()> {
        self.hot.settle.execute(params![
            row::count(commit.delivery.0),
            settled.status,
            row::millis(settled.due),
            row::millis(settled.finished),
            settled.reason,
            commit.attempt.as_ref().map(|attempt| attempt.number),
            row::millis(commit.started.map(|started| started.at)),
            commit.started.map(|started| row::nanos(started.suspended)),
        ])?;
        Ok(())
    }

    fn insert_attempt(&mut self, delivery: i64, attempt: &Attempt) -> rusqlite::Result<()> {
        let fault = attempt.fault.as_ref();
        self.hot.insert_attempt.execute(params![
            delivery,
            attempt.number,
            attempt.at.as_millis(),
            row::nanos(attempt.took),
            attempt.status,
            fault.map(|fault| fault.whose.as_str()),
            fault.map(|fault| row::retry_word(fault.retry)),
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.sentence),
            attempt.answer,
        ])?;
        Ok(())
    }

    /// Turns the next delivery of a lane, whose head was just settled, into a pending one.
    pub(super) fn promote(
        &mut self,
        endpoint: i64,
        lane: i64,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        if self.book.waiting(endpoint) == 0 {
            return Ok(());
        }
        let sql = "UPDATE deliveries SET status = 'pending', due_at = CASE WHEN trigger = 'replay' THEN max(?3, created_at) ELSE ?3 END WHERE status = 'waiting' AND id = \
            (SELECT id FROM deliveries WHERE endpoint = ?1 AND lane = ?2 AND lane IS NOT NULL \
             AND finished_at IS NULL ORDER BY id LIMIT 1)";
        let promoted =
            self.conn.prepare_cached(sql)?.execute(params![endpoint, lane, at.as_millis()])?;
        if promoted > 0 {
            self.book.recount(endpoint, |counts| {
                counts.waiting -= 1;
                counts.pending += 1;
            });
        }
        Ok(())
    }

    /// Has attempts made that were planned by a clock that was ahead.
    pub(super) fn hasten(
        &mut self,
        endpoint: &EndpointName,
        beyond: Timestamp,
        now: Timestamp,
    ) -> rusqlite::Result<Answer> {
        let sql = "UPDATE deliveries SET due_at = ?3 WHERE endpoint = ?1 AND status = 'pending' AND due_at > ?2 \
            AND (trigger <> 'replay' OR attempts > 0 OR due_at > ?4)";
        let id = self.book.endpoint(endpoint);
        let replays = beyond.after(REPLAY_AHEAD_MAX).as_millis();
        let hastened = params![id, beyond.as_millis(), now.as_millis(), replays];
        let count = self.conn.prepare_cached(sql)?.execute(hastened)?;
        Ok(Ok(Written::Count(count as u64)))
    }

    /// Writes an endpoint's condition.
    pub(super) fn set_health(
        &self,
        endpoint: i64,
        health: &EndpointHealth,
    ) -> rusqlite::Result<()> {
        let (breaker, since, probe_at, probes) = match health.breaker {
            Breaker::Closed => ("closed", None, None, None),
            Breaker::Open { since, probe_at, probes } => {
                ("open", Some(since), Some(probe_at), Some(probes))
            }
            Breaker::Disabled { since } => ("disabled", Some(since), None, None),
        };
        let fault = health.fault.as_ref();
        let sql = "UPDATE endpoints SET breaker = ?2, since = ?3, probe_at = ?4, probes = ?5, failures = ?6, \
            failing_lane = ?7, last_success_at = ?8, suspended_before_ns = ?9, fault_whose = ?10, fault_retry = ?11, \
            fault_code = ?12, fault_sentence = ?13, failing_since = ?14, suspended_from = ?15, paused_by_hand = ?16, \
            paused_in_file = ?17, held_until = ?18, told = ?19 WHERE id = ?1";
        self.conn.prepare_cached(sql)?.execute(params![
            endpoint,
            breaker,
            row::millis(since),
            row::millis(probe_at),
            probes,
            health.failures,
            health.failing_lane,
            health.last_success.as_millis(),
            row::nanos(health.suspended_before),
            fault.map(|fault| fault.whose.as_str()),
            fault.map(|fault| row::retry_word(fault.retry)),
            fault.map(|fault| &fault.code),
            fault.map(|fault| &fault.sentence),
            row::millis(health.failing_since),
            row::millis(health.suspended_from),
            row::millis(health.paused_by_hand),
            row::millis(health.paused_in_file),
            row::millis(health.held_until),
            row::millis(health.told),
        ])?;
        Ok(())
    }

    /// Makes new deliveries of old events, each in the lane of the pair's last one. None is due before it is made, also
    /// when its turn in its lane comes earlier.
    pub(super) fn replay(
        &mut self,
        filter: &DeliveryFilter,
        now: Timestamp,
        spacing: Duration,
    ) -> rusqlite::Result<Answer> {
        let (sql, values) = replayable(filter, "d.event, d.endpoint, d.lane, d.is_made");
        let pairs = self
            .conn
            .prepare_cached(&format!("{sql} ORDER BY d.event, d.id"))?
            .query_map(params_from_iter(values), |columns| {
                Ok(Fresh {
                    event: columns.get(0)?,
                    endpoint: columns.get(1)?,
                    lane: columns.get(2)?,
                    trigger: "replay",
                    is_made: columns.get(3)?,
                    at: now,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (fresh, number) in pairs.iter().zip(0..) {
            let at = now.after(spacing.saturating_mul(number));
            self.deliver(&Fresh { at, ..*fresh })?;
        }
        Ok(Ok(Written::Count(pairs.len() as u64)))
    }
}
