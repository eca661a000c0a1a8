//! What doorbell says about itself: log format, redaction, and the metrics by name. Usable from everywhere.

mod meters;
mod sources;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::core::delivery::AttemptResult;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::report::PollReport;
use crate::core::secret::Secret;
use crate::core::time::Timestamp;

use self::meters::{EndpointMeter, Meters};
use self::sources::{BySource, Reading};

/// Up to two labels with fixed names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels(Vec<(&'static str, String)>);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    Labels(pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
}

type Counters = Family<Labels, Counter>;
type Gauge = prometheus_client::metrics::gauge::Gauge<f64, std::sync::atomic::AtomicU64>;
type Gauges = Family<Labels, Gauge>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Counters and clocks of one process. No global: a test has its own.
#[derive(Debug)]
pub(crate) struct Telemetry {
    registry: Registry,
    poll_seconds: Histogram,
    changes: Counters,
    events: Counters,
    deliveries: Counters,
    attempts: Counters,
    latency: Histograms,
    pending: Gauges,
    budget_used: Gauges,
    reload_successful: Gauge,
    reload_time: Gauge,
    /// What every poll of a source counts, by source.
    sources: Arc<BySource>,
    /// What every accepted delivery counts, by endpoint.
    endpoints: Meters<EndpointMeter>,
    /// When each loop last showed that it runs.
    beats: Mutex<BTreeMap<&'static str, Timestamp>>,
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0])
}

impl Telemetry {
    /// All metrics, at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("doorbell");
        let mut counters = |name: &str, help: &str| {
            let family = Counters::default();
            registry.register(name, help, family.clone());
            family
        };
        let changes = counters("changes", "Changes found, by source and kind");
        let events = counters("events", "Events made, by source and type");
        let deliveries = counters("deliveries", "Deliveries settled, by endpoint and outcome");
        let attempts = counters("delivery_attempts", "Attempts, by endpoint and outcome");
        let mut gauges = |name: &str, help: &str| {
            let family = Gauges::default();
            registry.register(name, help, family.clone());
            family
        };
        let pending = gauges("deliveries_pending", "Deliveries not settled yet");
        let budget_used = gauges("budget_used_ratio", "Part of a written limit that is in use");
        let mut plain_gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let reload_successful =
            plain_gauge("config_last_reload_successful", "1 if the last reload was valid");
        let reload_time = plain_gauge(
            "config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken on",
        );
        let poll_seconds = seconds();
        registry.register("poll_duration_seconds", "How long polls take", poll_seconds.clone());
        let latency = Histograms::new_with_constructor(seconds as fn() -> Histogram);
        let help = "From detected to accepted";
        registry.register("delivery_latency_seconds", help, latency.clone());
        let sources = Arc::new(BySource::default());
        registry.register_collector(Box::new(Arc::clone(&sources)));
        let beats = Mutex::default();
        Self {
            registry,
            poll_seconds,
            changes,
            events,
            deliveries,
            attempts,
            latency,
            pending,
            budget_used,
            reload_successful,
            reload_time,
            sources,
            endpoints: Meters::default(),
            beats,
        }
    }

    /// A poll ended.
    pub(crate) fn polled(&self, report: &PollReport) {
        let source = report.source.as_str();
        let meter = self.sources.of(&report.source);
        meter.count(report.outcome);
        self.poll_seconds.observe(report.took.as_secs_f64());
        meter.set(Reading::Interval, report.interval.as_secs_f64());
        if report.fault.is_none() {
            meter.set(Reading::LastSuccess, unix(report.ended));
        }
        if report.has_events() {
            meter.set(Reading::LastChange, unix(report.ended));
        }
        for (kind, count) in &report.changes {
            self.changes
                .get_or_create(&labels([("source", source), ("kind", kind)]))
                .inc_by(*count);
        }
        for (event_type, count) in &report.event_counts {
            self.events
                .get_or_create(&labels([("source", source), ("type", event_type)]))
                .inc_by(*count);
        }
    }

    /// An attempt ended.
    pub(crate) fn attempted(
        &self,
        endpoint: &EndpointName,
        result: &AttemptResult,
        _took: Duration,
    ) {
        let (meter, outcome) = (self.endpoint(endpoint), result.as_str());
        meter.attempts.count(outcome, || {
            let labels = labels([("endpoint", endpoint.as_str()), ("outcome", outcome)]);
            self.attempts.get_or_create_owned(&labels)
        });
    }

    /// A delivery was accepted, so long after its change was detected.
    pub(crate) fn delivered(&self, endpoint: &EndpointName, latency: Duration) {
        self.settled(endpoint, "delivered");
        let new = || self.latency.get_or_create_owned(&labels([("endpoint", endpoint.as_str())]));
        self.endpoint(endpoint).latency.get_or_init(new).observe(latency.as_secs_f64());
    }

    /// A delivery was given up.
    pub(crate) fn exhausted(&self, endpoint: &EndpointName) {
        self.settled(endpoint, "exhausted");
    }

    fn settled(&self, endpoint: &EndpointName, outcome: &'static str) {
        self.endpoint(endpoint).deliveries.count(outcome, || {
            let labels = labels([("endpoint", endpoint.as_str()), ("outcome", outcome)]);
            self.deliveries.get_or_create_owned(&labels)
        });
    }

    fn endpoint(&self, name: &EndpointName) -> Arc<EndpointMeter> {
        self.endpoints.of(name.as_str(), EndpointMeter::default)
    }

    /// How many deliveries of an endpoint are under way, as the store counts them.
    pub(crate) fn set_pending(&self, endpoint: &EndpointName, count: u64) {
        let labels = labels([("endpoint", endpoint.as_str())]);
        #[expect(clippy::cast_precision_loss, reason = "a count of rows on one disk")]
        self.pending.get_or_create(&labels).set(count as f64);
    }

    /// How many changes of a source are held, as the store counts them.
    pub(crate) fn set_held(&self, source: &SourceName, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows on one disk")]
        self.sources.of(source).set(Reading::Held, count as f64);
    }

    /// Whether a source is paused.
    pub(crate) fn set_paused(&self, source: &SourceName, paused: bool) {
        self.sources.of(source).set(Reading::Paused, if paused { 1.0 } else { 0.0 });
    }

    /// How much of a written limit is in use, by the block of `apis` or the source that says it.
    pub(crate) fn set_budget_used(&self, api: &str, ratio: f64) {
        self.budget_used.get_or_create(&labels([("api", api)])).set(ratio);
    }

    /// A configuration was taken on, or refused.
    pub(crate) fn reloaded(&self, valid: bool, now: Timestamp) {
        self.reload_successful.set(if valid { 1.0 } else { 0.0 });
        if valid {
            self.reload_time.set(unix(now));
        }
    }

    /// A loop shows that it runs.
    pub(crate) fn alive(&self, part: &'static str, now: Timestamp) {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).insert(part, now);
    }

    /// The loops that have not shown themselves for longer than `most`.
    pub(crate) fn silent(&self, now: Timestamp, most: Duration) -> Vec<&'static str> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().filter(|(_, at)| now.since(**at) > most).map(|(part, _)| *part).collect()
    }

    /// All metrics in the text format of Prometheus: as OpenMetrics but for the names of counters in what describes them,
    /// units, and the end.
    pub(crate) fn text(&self) -> String {
        let openmetrics = self.openmetrics();
        let mut counters = HashSet::new();
        for line in openmetrics.lines() {
            if let Some(name) =
                line.strip_prefix("# TYPE ").and_then(|it| it.strip_suffix(" counter"))
            {
                counters.insert(name);
            }
        }
        let mut text = String::with_capacity(openmetrics.len());
        for line in openmetrics.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("EOF" | "UNIT"), _, _) => {}
                (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                    text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
                }
                _ => text.extend([line, "\n"]),
            }
        }
        text
    }

    /// All metrics in the text format of OpenMetrics 1.0.
    pub(crate) fn openmetrics(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        encode(&mut text, &self.registry).expect("metrics encode into a string");
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay exact in a double")]
fn unix(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

/// Replaces known secrets by `•••` in whatever is written: the last net, where a secret would print by mistake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor(Arc<RwLock<Vec<Secret>>>);

/// Shorter secrets are not searched for: they would blot out ordinary words.
const REDACTED_BYTES_MIN: usize = 6;

impl Redactor {
    /// From now on these are not to be seen, beside those known already.
    pub(crate) fn learn(&self, secrets: &[Secret]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if secret.expose().len() >= REDACTED_BYTES_MIN && !known.contains(secret) {
                known.push(secret.clone());
            }
        }
    }

    /// From now on `new` is not to be seen; `old`, which it replaces, is worth nothing any more.
    pub(crate) fn replace(&self, old: Option<&Secret>, new: &Secret) {
        if let Some(old) = old {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.retain(|secret| secret != old);
        }
        self.learn(std::slice::from_ref(new));
    }

    /// The text without known secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "•••"))
    }
}

/// Standard error behind a redactor, one log line at a time.
#[derive(Debug, Clone)]
struct RedactedStderr(Redactor);

impl io::Write for RedactedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = self.0.clean(&String::from_utf8_lossy(bytes));
        io::stderr().lock().write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for RedactedStderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Whether a part of what is wanted can be a filter: any other word would be taken for the name of a module, of which
/// there is none.
fn is_filter(part: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    part.contains(['=', '[']) || LEVELS.contains(&part.to_ascii_lowercase().as_str())
}

/// Starts the log on standard error. `wanted` is a comma-separated list of `json` and filters as `info` or
/// `doorbell=debug`.
///
/// # Errors
/// A filter that cannot be read, as a sentence.
pub(crate) fn start_log(wanted: &str, redactor: Redactor) -> Result<(), String> {
    let (json, filters): (Vec<_>, Vec<_>) = wanted.split(',').partition(|part| *part == "json");
    let filters = if filters.is_empty() { String::from("info") } else { filters.join(",") };
    if let Some(word) = filters.split(',').find(|part| !is_filter(part)) {
        let hint =
            "there are error, warn, info, debug, trace and off, and filters as `doorbell=debug`";
        return Err(format!("--log {wanted}: {word:?} is no level; {hint}"));
    }
    let filter = EnvFilter::try_new(&filters).map_err(|error| {
        format!("--log {wanted}: {error}; write for example `info`, `json` or `json,debug`")
    })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(RedactedStderr(redactor));
    let started = if json.is_empty() {
        builder
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&io::stderr()))
            .try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    started.map_err(|error| error.to_string())
}
