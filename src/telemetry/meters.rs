//! Metrics looked up once: finding one by its labels costs more than counting, and polls and deliveries are many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// One meter for each name, made when it is first asked for.
#[derive(Debug)]
pub(super) struct Meters<T>(RwLock<HashMap<String, Arc<T>>>);

impl<T> Default for Meters<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Meters<T> {
    /// The meter of this name.
    pub(super) fn of(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(name) {
            return Arc::clone(meter);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }
}

/// A counter for each outcome, made when it first comes out so.
#[derive(Debug, Default)]
pub(super) struct ByOutcome(Mutex<BTreeMap<&'static str, Counter>>);

impl ByOutcome {
    /// Counts one.
    pub(super) fn count(&self, outcome: &'static str, new: impl FnOnce() -> Counter) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.entry(outcome).or_insert_with(new).inc();
    }
}

/// What every attempt at an endpoint counts.
#[derive(Debug, Default)]
pub(super) struct EndpointMeter {
    pub(super) attempts: ByOutcome,
    pub(super) deliveries: ByOutcome,
    /// An endpoint that never accepted anything has none.
    pub(super) latency: OnceLock<Histogram>,
}
