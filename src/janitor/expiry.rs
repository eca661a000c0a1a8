//! What need not be kept any more: by its age, and by the room it takes.

use std::time::Duration;

use tracing::{info, warn};

use super::Janitor;
use crate::core::ids::{EventNo, UnitName};
use crate::core::limits::{EXPIRED_LOOK_ROWS, EXPIRED_ROWS_PER_WRITE, LAPSED_AT_ONCE_MAX};
use crate::core::retention::{Retention, surplus};
use crate::core::time::{Timestamp, humane};
use crate::store::{DeliveryRecord, Expiry, StoreError, Write, Written};

/// Between two writes, so that whoever waits for the writer comes in between, and others for the processor.
pub(super) const BREATH: Duration = Duration::from_millis(5);
/// How often, at least, it is looked for what takes long to find, or what is told when it is found.
const SELDOM_PERIOD_MAX: Duration = Duration::from_hours(1);
/// How long the measure of what is known of items is believed.
const SNAPSHOT_MEASURE_AGE_MAX: Duration = Duration::from_mins(10);

/// Room is made whenever something was: also by a clock that was ahead.
const END_OF_TIME: Timestamp = Timestamp::from_millis(i64::MAX);

impl Janitor {
    /// Gives up and removes what need not be kept any more.
    pub(super) async fn tidy(&mut self) -> Result<(), StoreError> {
        let retention = *self.retention.borrow_and_update();
        if let Some(now) = self.believed(retention.age_max).await? {
            let (before, age) = (now.before(retention.age_max), humane(retention.age_max));
            self.ports.retained.send_replace(before);
            self.lapse_older(retention, before, &age).await?;
            self.forget_older(before, &age).await?;
            self.unlearn(before, retention.age_max).await?;
        }
        self.shrink(retention.bytes_max).await
    }

    /// Gives up what was made before and is not settled. It is looked for seldom, so that what a dead receiver misses day
    /// after day is told a few times a day.
    async fn lapse_older(
        &mut self,
        retention: Retention,
        before: Timestamp,
        age: &str,
    ) -> Result<(), StoreError> {
        let now = self.ports.clock.now();
        let period = (retention.age_max / 10).min(SELDOM_PERIOD_MAX);
        let is_known =
            |(at, under): (Timestamp, Retention)| under == retention && now.since(at) < period;
        if self.lapsed.is_some_and(is_known) {
            return Ok(());
        }
        let reason = format!("expired: not delivered within {age} (`retention.for`)");
        loop {
            let overdue = self.overdue(before, LAPSED_AT_ONCE_MAX).await?;
            if self.give_up(&overdue, &reason, false).await? == 0 {
                break;
            }
        }
        self.lapsed = Some((now, retention));
        Ok(())
    }

    async fn overdue(
        &self,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.ports.store.read(move |store| store.overdue(before, rows_max)).await
    }

    async fn forget_older(&self, before: Timestamp, age: &str) -> Result<(), StoreError> {
        let expiry = Expiry { before, whole_only: false };
        let (mut after, mut removed) = (EventNo(0), 0);
        loop {
            let found =
                self.ports.store.read(move |store| store.expired(expiry, after, EXPIRED_LOOK_ROWS));
            let found = found.await?;
            removed += self.forget(found.events).await?;
            let Some(last) = found.last else { break };
            after = last;
        }
        if removed > 0 {
            info!(events = removed, "removed what is older than {age} (`retention.for`)");
        }
        Ok(())
    }

    /// Removes what is known of entries that left so long ago. They are looked for seldom: all entries are looked at.
    async fn unlearn(&mut self, before: Timestamp, age_max: Duration) -> Result<(), StoreError> {
        let now = self.ports.clock.now();
        let period = (age_max / 10).min(SELDOM_PERIOD_MAX);
        if self.unlearned.is_some_and(|at| now.since(at) < period) {
            return Ok(());
        }
        self.unlearned = Some(now);
        let (mut after, mut removed) = (UnitName::new(""), 0);
        loop {
            let from = after.clone();
            let found = self
                .ports
                .store
                .read(move |store| store.departed(before, &from, EXPIRED_ROWS_PER_WRITE));
            let units = found.await?;
            let Some(last) = units.last().cloned() else { break };
            after = last;
            let written =
                self.ports.store.write(Write::Unlearn { units, left_before: before }).await?;
            removed += count(&written);
            tokio::time::sleep(BREATH).await;
        }
        if removed > 0 {
            let age = humane(age_max);
            info!(
                entries = removed,
                "forgot entries that left longer than {age} ago (`retention.for`)"
            );
        }
        Ok(())
    }

    async fn forget(&self, events: Vec<EventNo>) -> Result<u64, StoreError> {
        let mut removed = 0;
        for events in events.chunks(EXPIRED_ROWS_PER_WRITE) {
            let forget = Write::Forget { events: events.to_vec() };
            removed += count(&self.ports.store.write(forget).await?);
            tokio::time::sleep(BREATH).await;
        }
        Ok(removed)
    }

    /// Removes the oldest until the rest has room: first what is settled, and when nothing of that is left the bytes of
    /// what still waits.
    async fn shrink(&mut self, bytes_max: u64) -> Result<(), StoreError> {
        let (mut after, mut removed, mut lapsed) = (EventNo(0), 0, 0);
        let reason = format!("expired: no room for it within {bytes_max} bytes (`retention.size`)");
        loop {
            let used = self.history_bytes(bytes_max).await?;
            if used <= bytes_max {
                break;
            }
            let expiry = Expiry { before: END_OF_TIME, whole_only: true };
            let found = self
                .ports
                .store
                .read(move |store| store.expired(expiry, after, EXPIRED_ROWS_PER_WRITE));
            let found = found.await?;
            let more = self.forget(found.events).await?;
            removed += more;
            if let Some(last) = found.last {
                after = last;
            } else if more == 0 {
                let more = self.give_up_for_room(used, bytes_max, &reason).await?;
                lapsed += more;
                if more == 0 {
                    self.tell_full(bytes_max);
                    return Ok(());
                }
            }
        }
        self.is_full = false;
        if removed + lapsed > 0 {
            info!(events = removed, undelivered = lapsed, "made room (`retention.size`)");
        }
        Ok(())
    }

    /// Gives up as many of the oldest as take up too much, so that they are told at once; says how many.
    async fn give_up_for_room(
        &self,
        used: u64,
        bytes_max: u64,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let tally = self.ports.store.read(|store| store.tally()).await?;
        let open = tally.iter().filter(|row| matches!(row.status, "waiting" | "pending"));
        let rows = surplus(open.map(|row| row.count).sum(), used, bytes_max);
        let rows = rows.clamp(EXPIRED_ROWS_PER_WRITE, LAPSED_AT_ONCE_MAX);
        let overdue = self.overdue(END_OF_TIME, rows).await?;
        self.give_up(&overdue, reason, true).await
    }

    fn tell_full(&mut self, bytes_max: u64) {
        if !std::mem::replace(&mut self.is_full, true) {
            warn!(
                bytes_max,
                "the list of what was given up alone takes up more than `retention.size`; it goes by `retention.for`"
            );
        }
    }

    /// What events, deliveries and attempts take up. What is known of items is measured only where it matters.
    async fn history_bytes(&mut self, bytes_max: u64) -> Result<u64, StoreError> {
        let used = self.ports.store.read(|store| store.bytes()).await?;
        if used <= bytes_max {
            return Ok(used);
        }
        let now = self.ports.clock.now();
        let known = self.snapshot.filter(|(at, _)| now.since(*at) < SNAPSHOT_MEASURE_AGE_MAX);
        let snapshot = match known {
            Some((_, bytes)) => bytes,
            None => self.ports.store.read(|store| store.snapshot_bytes()).await?,
        };
        self.snapshot = known.or(Some((now, snapshot)));
        Ok(used.saturating_sub(snapshot))
    }
}

/// How many rows a write says it changed.
pub(super) fn count<E>(written: &Result<Written, E>) -> u64 {
    match written {
        Ok(Written::Count(count)) => *count,
        _ => 0,
    }
}
