//! What is counted of each source. There may be very many, so that a source takes up some hundred bytes, and its names
//! and labels are put together when somebody asks.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::core::ids::SourceName;

/// What a poll can come to; see [`PollOutcome`](crate::core::outcome::PollOutcome).
const OUTCOMES: [&str; 6] =
    ["changed", "unchanged", "not_modified", "failed", "limited", "incomplete"];

/// The gauges of a source: name and help.
const GAUGES: [(&str, &str); 5] = [
    ("source_interval_seconds", "Present spacing of polls"),
    ("source_last_success_timestamp_seconds", "Last poll that went well"),
    ("source_last_change_timestamp_seconds", "Last poll that found a change"),
    ("held_changes", "Changes held for a person"),
    ("source_paused", "1 if the source is not asked"),
];

/// One of the gauges of a source, by its place among them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    Interval,
    LastSuccess,
    LastChange,
    Held,
    Paused,
}

/// The meters of all sources, each made when there is something to count.
#[derive(Debug, Default)]
pub(super) struct BySource(RwLock<HashMap<SourceName, Arc<SourceMeter>>>);

/// Of an example, of which there is none.
type NoLabels = [(&'static str, &'static str); 0];

/// What is counted of one.
#[derive(Debug)]
pub(super) struct SourceMeter {
    /// Polls of one source: at one a second it would take a hundred years to count beyond.
    polls: [AtomicU32; OUTCOMES.len()],
    /// As the bits of a double; not a number where there is nothing to tell.
    readings: [AtomicU64; GAUGES.len()],
}

impl Default for SourceMeter {
    fn default() -> Self {
        let nothing = || AtomicU64::new(f64::NAN.to_bits());
        Self { polls: Default::default(), readings: std::array::from_fn(|_| nothing()) }
    }
}

impl SourceMeter {
    /// Counts a poll.
    pub(super) fn count(&self, outcome: &str) {
        let known = OUTCOMES.iter().zip(&self.polls).find(|(known, _)| **known == outcome);
        debug_assert!(known.is_some(), "no poll comes to {outcome}");
        if let Some((_, polls)) = known {
            polls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what a gauge shows.
    pub(super) fn set(&self, reading: Reading, value: f64) {
        if let Some(shown) = self.readings.get(reading as usize) {
            shown.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}

impl BySource {
    /// The meter of a source.
    pub(super) fn of(&self, source: &SourceName) -> Arc<SourceMeter> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(source) {
            return Arc::clone(meter);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(source.clone()).or_default())
    }
}

impl Collector for BySource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let help = "Polls by source and outcome";
        let mut counters = encoder.encode_descriptor("polls", help, None, MetricType::Counter)?;
        for (source, meter) in &*known {
            for (outcome, polls) in OUTCOMES.iter().zip(&meter.polls) {
                let (polls, labels) = (
                    u64::from(polls.load(Ordering::Relaxed)),
                    [("source", source.as_str()), ("outcome", outcome)],
                );
                if polls > 0 {
                    counters
                        .encode_family(&labels)?
                        .encode_counter::<NoLabels, _, u64>(&polls, None)?;
                }
            }
        }
        for (place, (name, help)) in GAUGES.iter().enumerate() {
            let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (source, meter) in &*known {
                let shown = meter.readings.get(place).map(|bits| bits.load(Ordering::Relaxed));
                let shown = shown.map(f64::from_bits).filter(|shown| !shown.is_nan());
                if let Some(shown) = shown {
                    gauges.encode_family(&[("source", source.as_str())])?.encode_gauge(&shown)?;
                }
            }
        }
        Ok(())
    }
}
