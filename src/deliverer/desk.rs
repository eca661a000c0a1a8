//! One endpoint's place in memory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tracing::{info, warn};

use crate::core::budget::{Gauge, Rate};
use crate::core::delivery::{Breaker, EndpointHealth};
use crate::core::ids::{DeliveryId, EndpointName};
use crate::core::limits::{CLAIMS_AHEAD_MAX, ENDPOINT_CONCURRENCY_MAX};
use crate::core::own::endpoint::News;
use crate::core::time::Timestamp;
use crate::store::{Due, DueDelivery, StoreError};
use crate::wake::Wake;

/// One endpoint's place in memory.
pub(super) struct Desk {
    pub(super) name: EndpointName,
    pub(super) wake: Wake,
    health: Mutex<EndpointHealth>,
    /// Held from a change of the condition until it is written, so that no earlier one is written over it.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// The store has another condition than this one: a write of it failed.
    pub(super) is_unkept: AtomicBool,
    /// What is to be told of the condition and could not be written with it.
    untold: Mutex<Vec<News>>,
    /// Requests under way. An attempt goes on after its request, until its outcome is on disk.
    pub(super) in_flight: AtomicUsize,
    /// Requests that it is sent at once at most: one after it was away, and one more for each that it accepts. A
    /// receiver that is back is not to be met by all that waited.
    ramp: AtomicUsize,
    /// Rung when a request has ended.
    pub(super) landed: Wake,
}

/// A request under way; counted until dropped.
pub(super) struct Flight<'a>(pub(super) &'a Desk);

/// What a desk holds between looks.
pub(super) struct Tray {
    pub(super) ready: VecDeque<DueDelivery>,
    /// Ready or under way: still pending in the store, and not to be taken twice.
    pub(super) claimed: BTreeSet<DeliveryId>,
    /// What commits hand over.
    pub(super) fresh: mpsc::Receiver<DueDelivery>,
    /// The highest number that was ever claimed. What is handed over late may be older, and sent by now.
    newest: DeliveryId,
    pub(super) attempts: JoinSet<Kept>,
    pub(super) under_way: HashMap<Id, DeliveryId>,
    /// When the store will have more; `None` when it should be asked now.
    pub(super) look_at: Option<Timestamp>,
    /// The store being asked, while what is ready goes out.
    pub(super) looking: Option<Looking>,
    pub(super) pace: Pace,
}

impl Tray {
    pub(super) fn new(fresh: mpsc::Receiver<DueDelivery>) -> Self {
        Self {
            ready: VecDeque::new(),
            claimed: BTreeSet::new(),
            fresh,
            newest: DeliveryId(0),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            look_at: None,
            looking: None,
            pace: Pace::default(),
        }
    }

    /// Makes a delivery the next one after those that are ready.
    pub(super) fn claim(&mut self, due: DueDelivery) {
        self.newest = self.newest.max(due.delivery.id);
        self.claimed.insert(due.delivery.id);
        self.ready.push_back(due);
    }

    /// Claims what was handed over, unless others may be before it or it may have been found already: then it is found
    /// when the store is looked into.
    pub(super) fn claim_fresh(&mut self, due: DueDelivery) {
        let has_all = self.looking.is_none() && self.look_at.is_some();
        if has_all && due.delivery.id > self.newest && self.ready.len() < CLAIMS_AHEAD_MAX {
            self.claim(due);
        }
    }
}

/// The endpoint's written limit, and what was taken of it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    limit: Vec<Rate>,
    gauges: Vec<Gauge>,
}

/// What is due and not claimed yet; if that is nothing, when something will be.
pub(super) type Found = (Vec<Due>, Option<Timestamp>);

/// The store's answer to come.
pub(super) type Looking = Pin<Box<dyn Future<Output = Result<Found, StoreError>> + Send>>;

/// Whether an attempt's outcome was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept(pub(super) bool);

impl Desk {
    pub(super) fn new(name: EndpointName, health: EndpointHealth) -> Arc<Self> {
        let ramp = if health.is_well() { ENDPOINT_CONCURRENCY_MAX } else { 1 };
        Arc::new(Self {
            name,
            wake: Wake::default(),
            health: Mutex::new(health),
            turn: tokio::sync::Mutex::default(),
            is_unkept: AtomicBool::new(false),
            untold: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            ramp: AtomicUsize::new(ramp),
            landed: Wake::default(),
        })
    }

    pub(super) fn health(&self) -> MutexGuard<'_, EndpointHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What could not be told so far; it is told with the next outcome, or given back.
    pub(super) fn take_untold(&self) -> Vec<News> {
        std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what could not be told. That a delivery was given up is told when it is.
    pub(super) fn keep_untold(&self, news: Vec<News>) {
        let of_health = news.into_iter().filter(|news| !matches!(news, News::Exhausted(_)));
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.extend(of_health);
    }

    /// Notes what an attempt made of the condition.
    pub(super) fn pace_by(&self, before: &EndpointHealth, after: &EndpointHealth, accepted: bool) {
        let was_away = before.breaker != Breaker::Closed || before.held_until.is_some();
        let is_away = after.breaker != Breaker::Closed || after.held_until.is_some();
        if is_away || (was_away && accepted) {
            self.ramp.store(1, Ordering::Relaxed);
        } else if accepted {
            let ramp = self.ramp.load(Ordering::Relaxed);
            self.ramp.store((ramp + 1).min(ENDPOINT_CONCURRENCY_MAX), Ordering::Relaxed);
        }
    }

    /// How many requests may be under way at once, with regard to how it was lately.
    pub(super) fn ramped(&self, admitted: usize) -> usize {
        admitted.min(self.ramp.load(Ordering::Relaxed))
    }

    /// A person or another declaration moved it on.
    pub(super) fn begin_gently(&self) {
        self.ramp.store(1, Ordering::Relaxed);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.landed.ring();
    }
}

impl Pace {
    /// Takes on a limit. One that is as it was goes on.
    pub(super) fn keep_to(&mut self, limit: &[Rate], now: Timestamp) {
        if self.limit != limit {
            self.limit = limit.to_vec();
            self.gauges = limit.iter().map(|rate| Gauge::smooth(*rate, now)).collect();
        }
    }

    /// Pays for a request.
    ///
    /// # Errors
    /// When there will be something to pay with.
    pub(super) fn pay(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let opens = self.gauges.iter().map(|gauge| gauge.opens(0, now)).max();
        if let Some(opens) = opens.filter(|opens| *opens > now) {
            return Err(opens);
        }
        for gauge in &mut self.gauges {
            // Each was just seen to be open.
            let _ = gauge.take(now);
        }
        Ok(())
    }
}

/// Says in the log how an endpoint fares, when that changes.
pub(super) fn log_health(before: &EndpointHealth, after: &EndpointHealth) {
    let fault = || after.fault.as_ref().map(ToString::to_string).unwrap_or_default();
    match (before.breaker, after.breaker) {
        (Breaker::Closed, Breaker::Open { .. }) => {
            warn!(failures = after.failures, fault = %fault(), "the endpoint is failing; its events wait, probes go on");
        }
        (Breaker::Open { .. } | Breaker::Disabled { .. }, Breaker::Closed) => {
            info!("the endpoint is back");
        }
        (Breaker::Closed | Breaker::Open { .. }, Breaker::Disabled { .. }) => {
            warn!(
                "the endpoint answered 410 Gone and is disabled; its events wait for `doorbell endpoints resume`"
            );
        }
        _ => {}
    }
    if let (Some(until), true) = (after.held_until, after.held_until > before.held_until) {
        info!(%until, fault = %fault(), "the receiver asks to be left alone; its events wait");
    }
}
