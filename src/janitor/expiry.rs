//! What need not be kept any more: by its age, and by the room it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{error, info, warn};

use super::Janitor;
use crate::core::ids::{EndpointName, EventId, EventNo, UnitName};
use crate::core::limits::{EXPIRED_LOOK_ROWS, EXPIRED_ROWS_PER_WRITE};
use crate::core::time::{Timestamp, humane};
use crate::store::{DeliveryRecord, Expiry, Lapse, StoreError, Write, Written};

/// Between two writes, so that whoever waits for the writer comes in between, and others for the processor.
const BREATH: Duration = Duration::from_millis(5);
/// How often, at least, it is looked for entries that left.
const DEPARTED_PERIOD_MAX: Duration = Duration::from_hours(1);
/// How long the measure of what is known of items is believed.
const SNAPSHOT_MEASURE_AGE_MAX: Duration = Duration::from_mins(10);

impl Janitor {
    /// Gives up and removes what need not be kept any more.
    pub(super) async fn tidy(&mut self) -> Result<(), StoreError> {
        let retention = *self.retention.borrow_and_update();
        let before = self.clock.now().before(retention.age_max);
        let age = humane(retention.age_max);
        let reason = format!("expired: not delivered within {age} (`retention.for`)");
        while self.lapse(before, &reason, false).await? > 0 {}
        self.forget_older(before, &age).await?;
        self.unlearn(before, &age).await?;
        self.shrink(retention.bytes_max).await
    }

    /// Gives up the oldest deliveries that were made before and are not settled; says how many.
    async fn lapse(
        &self,
        before: Timestamp,
        reason: &str,
        empties: bool,
    ) -> Result<u64, StoreError> {
        let found = self.store.read(move |store| store.overdue(before, EXPIRED_ROWS_PER_WRITE));
        let overdue = found.await?;
        if overdue.is_empty() {
            return Ok(0);
        }
        let deliveries = overdue.iter().map(|delivery| delivery.id).collect();
        let at = self.clock.now();
        let lapse = Lapse { deliveries, reason: reason.to_owned(), empties, at };
        let written = self.store.write(Write::Lapse(Box::new(lapse))).await?;
        self.tell(&overdue, reason);
        tokio::time::sleep(BREATH).await;
        Ok(count(&written))
    }

    /// One line for each endpoint: there may be thousands of a kind.
    fn tell(&self, lapsed: &[DeliveryRecord], reason: &str) {
        let mut by_endpoint: BTreeMap<&EndpointName, (u64, &EventId)> = BTreeMap::new();
        for delivery in lapsed {
            by_endpoint.entry(&delivery.endpoint).or_insert((0, &delivery.event_id)).0 += 1;
            self.telemetry.exhausted(&delivery.endpoint);
        }
        for (endpoint, (count, first)) in by_endpoint {
            error!(%endpoint, count, %first, %reason, "given up undelivered; `doorbell deliveries --status exhausted` lists them");
        }
    }

    async fn forget_older(&self, before: Timestamp, age: &str) -> Result<(), StoreError> {
        let expiry = Expiry { before, whole_only: false };
        let (mut after, mut removed) = (EventNo(0), 0);
        loop {
            let found =
                self.store.read(move |store| store.expired(expiry, after, EXPIRED_LOOK_ROWS));
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
    async fn unlearn(&mut self, before: Timestamp, age: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let period = (now.since(before) / 10).min(DEPARTED_PERIOD_MAX);
        if self.unlearned.is_some_and(|at| now.since(at) < period) {
            return Ok(());
        }
        self.unlearned = Some(now);
        let (mut after, mut removed) = (UnitName::new(""), 0);
        loop {
            let from = after.clone();
            let found =
                self.store.read(move |store| store.departed(before, &from, EXPIRED_ROWS_PER_WRITE));
            let units = found.await?;
            let Some(last) = units.last().cloned() else { break };
            after = last;
            let written = self.store.write(Write::Unlearn { units, left_before: before }).await?;
            removed += count(&written);
            tokio::time::sleep(BREATH).await;
        }
        if removed > 0 {
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
            removed += count(&self.store.write(forget).await?);
            tokio::time::sleep(BREATH).await;
        }
        Ok(removed)
    }

    /// Removes the oldest until the rest has room: first what is settled, and when nothing of that is left the bytes of
    /// what still waits.
    async fn shrink(&mut self, bytes_max: u64) -> Result<(), StoreError> {
        let (mut after, mut removed, mut lapsed) = (EventNo(0), 0, 0);
        let reason = format!("expired: no room for it within {bytes_max} bytes (`retention.size`)");
        while self.history_bytes(bytes_max).await? > bytes_max {
            let now = self.clock.now();
            let expiry = Expiry { before: now, whole_only: true };
            let found =
                self.store.read(move |store| store.expired(expiry, after, EXPIRED_ROWS_PER_WRITE));
            let found = found.await?;
            let more = self.forget(found.events).await?;
            removed += more;
            if let Some(last) = found.last {
                after = last;
            } else if more == 0 {
                let more = self.lapse(now, &reason, true).await?;
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
        let used = self.store.read(|store| store.bytes()).await?;
        if used <= bytes_max {
            return Ok(used);
        }
        let now = self.clock.now();
        let known = self.snapshot.filter(|(at, _)| now.since(*at) < SNAPSHOT_MEASURE_AGE_MAX);
        let snapshot = match known {
            Some((_, bytes)) => bytes,
            None => self.store.read(|store| store.snapshot_bytes()).await?,
        };
        self.snapshot = known.or(Some((now, snapshot)));
        Ok(used.saturating_sub(snapshot))
    }
}

/// How many rows a write says it changed.
fn count<E>(written: &Result<Written, E>) -> u64 {
    match written {
        Ok(Written::Count(count)) => *count,
        _ => 0,
    }
}
