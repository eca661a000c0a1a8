//! The works: store, poller and declarations joined together. The daemon runs loops over them; a command without a
//! daemon uses them as they are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::planning;
use crate::api::{Operation, Operations, Refused};
use crate::clock::{Clock, Entropy, Random, SystemClock, unguessable};
use crate::config::hint::meant;
use crate::config::lookup::{Lookup, Surroundings};
use crate::config::{self, Config};
use crate::core::delivery::EndpointHealth;
use crate::core::http::shown_url;
use crate::core::ids::{EndpointName, SourceName, UnitName};
use crate::core::plan::Plan;
use crate::core::recording::{Exchanges, Recording};
use crate::core::report::{Mode, PollReport, TrialReport};
use crate::core::retention::{NOTHING_FORGOTTEN, Retention};
use crate::core::roster::Roster;
use crate::core::schedule::Terms;
use crate::core::schedule::explain::Standing;
use crate::core::sink::sample::{Wanted, sample};
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;
use crate::deliverer::{self, Deliverer};
use crate::http::HttpClient;
use crate::http::client::{ClientError, ReqwestClient};
use crate::http::recording::{Recorder, Replayer, Shown};
use crate::janitor::{self, Janitor};
use crate::lines::Lines;
use crate::poller::gate::Gate;
use crate::poller::hold::Decision;
use crate::poller::{self, PollError, Poller};
use crate::store::StoreError;
use crate::store::handle::StoreHandle;
use crate::telemetry::{Redactor, Telemetry};
use crate::tokens::{self, Tokens};
use crate::wake::Wake;

/// A loop that has not shown itself for this long is stuck.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(30);

/// How long attempts under way may take to end when the process stops.
const GRACE: Duration = Duration::from_secs(8);

/// Where a configuration comes from, so that it can be read again.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    File(PathBuf),
    /// Made up by the program itself.
    Text,
}

/// Store, poller and declarations, joined.
pub(crate) struct Works {
    pub(crate) store: StoreHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(super) poller: Arc<Poller>,
    pub(super) deliverer: Arc<Deliverer>,
    tokens: Arc<Tokens>,
    deliver: Wake,
    poll: Wake,
    http: Arc<dyn HttpClient>,
    roster: watch::Sender<Arc<Roster>>,
    retention: watch::Sender<Retention>,
    /// What vanished before that, and did not ring, is forgotten: said by the janitor, who knows what clocks are worth.
    retained: watch::Sender<Timestamp>,
    config: Mutex<Config>,
    /// Held by who takes on a configuration: one at a time.
    reloading: tokio::sync::Mutex<()>,
    /// Whether loops run over the works, so that the configuration is in force.
    runs: AtomicBool,
    origin: Origin,
    pub(crate) redactor: Redactor,
}

/// What all requests wait at, before the client.
fn gate(
    (store, state): (&StoreHandle, &Path),
    (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
    telemetry: &Arc<Telemetry>,
    poll: &Wake,
) -> Result<Arc<Gate>, ClientError> {
    let gate = Gate::new(
        Arc::new(ReqwestClient::new()?.spooling_in(state.to_owned())),
        Arc::clone(clock),
        Arc::clone(entropy),
        Arc::clone(telemetry),
        poll.clone(),
    );
    Ok(Arc::new(gate.remembering(store.clone())))
}

impl Works {
    /// Joins the parts. Nothing runs yet.
    pub(crate) fn new(
        store: StoreHandle,
        config: Config,
        (origin, state): (Origin, &Path),
        redactor: Redactor,
    ) -> Result<Arc<Self>, ClientError> {
        redactor.learn(&config.secrets);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(Random::from_system());
        let telemetry = Arc::new(Telemetry::new());
        let (poll, deliver) = (Wake::default(), Wake::default());
        let gate = gate((&store, state), (&clock, &entropy), &telemetry, &poll)?;
        let tokens = Arc::new(Tokens::new(tokens::Ports {
            store: store.clone(),
            http: Arc::clone(&gate) as Arc<dyn HttpClient>,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            redactor: redactor.clone(),
        }));
        let http = Arc::clone(&tokens) as Arc<dyn HttpClient>;
        let (roster, declared) = watch::channel(Arc::new(roster_of(&config)));
        let retained = watch::Sender::new(NOTHING_FORGOTTEN);
        let poller = Poller::new(
            poller::Ports {
                store: store.clone(),
                http: Arc::clone(&http),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                telemetry: Arc::clone(&telemetry),
                redactor: redactor.clone(),
                deliver: deliver.clone(),
                gate,
                retained: retained.subscribe(),
            },
            declared.clone(),
            poll.clone(),
        );
        let deliverer = Deliverer::new(
            deliverer::Ports {
                store: store.clone(),
                http: Arc::clone(&http),
                lines: Arc::new(Lines::default()),
                clock: Arc::clone(&clock),
                entropy,
                telemetry: Arc::clone(&telemetry),
                redactor: redactor.clone(),
            },
            declared,
            deliver.clone(),
            GRACE,
        );
        telemetry.reloaded(true, clock.wall());
        let (retention, config) = (watch::Sender::new(config.retention), Mutex::new(config));
        Ok(Arc::new(Self {
            store,
            clock,
            telemetry,
            poller,
            deliverer,
            tokens,
            deliver,
            poll,
            http,
            roster,
            retention,
            retained,
            config,
            reloading: tokio::sync::Mutex::default(),
            runs: AtomicBool::new(false),
            origin,
            redactor,
        }))
    }

    /// Writes what must be written at the end, and frees the state.
    pub(crate) async fn close(&self) {
        self.tokens.drain().await;
        self.store.close().await;
    }

    /// Reads the configuration again and takes it on if it is valid; else nothing changes.
    ///
    /// # Errors
    /// The problems, rendered, one each.
    pub(crate) async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let Origin::File(path) = &self.origin else { return Ok(Vec::new()) };
        let alone = self.reloading.lock().await;
        let told = self.take_up(load(path)).await;
        drop(alone);
        told
    }

    /// Takes on what a reading of the configuration came to; what is in force already, in silence.
    pub(super) async fn adopt(&self, read: Result<Config, Vec<String>>) {
        let alone = self.reloading.lock().await;
        if read.as_ref().is_ok_and(|config| *config == *self.config()) {
            self.telemetry.reloaded(true, self.clock.wall());
        } else {
            // It was logged.
            self.take_up(read).await.map_or_else(drop, drop);
        }
        drop(alone);
    }

    async fn take_up(&self, read: Result<Config, Vec<String>>) -> Result<Vec<String>, Vec<String>> {
        match read {
            Ok(config) => Ok(self.take_on(config).await),
            Err(problems) => {
                self.telemetry.reloaded(false, self.clock.wall());
                error!(
                    count = problems.len(),
                    "the configuration is not valid; the old one stays in force"
                );
                for problem in &problems {
                    error!("{}", self.redactor.clean(problem));
                }
                Err(problems)
            }
        }
    }

    async fn take_on(&self, config: Config) -> Vec<String> {
        self.redactor.learn(&config.secrets);
        // Before it is in force: the first poll under it may change the state.
        let roster = Arc::new(roster_of(&config));
        let plan = self.compare(&config, Arc::clone(&roster), false).await;
        self.roster.send_replace(roster);
        let retention = config.retention;
        self.retention.send_if_modified(|old| std::mem::replace(old, retention) != retention);
        *self.config() = config;
        self.poll.ring();
        self.deliver.ring();
        self.telemetry.reloaded(true, self.clock.wall());
        let plan = plan.unwrap_or_else(|fault| {
            error!(%fault, "what the new configuration changes could not be told");
            Plan::default()
        });
        let lines = plan.lines();
        info!(changes = lines.len(), "the configuration is taken on");
        tell(&plan, &lines);
        lines
    }

    /// Says what the configuration that the works were made with does to the state they found. From now on it is in
    /// force.
    pub(super) async fn begin(&self) {
        let roster = self.roster.borrow().clone();
        match planning::plan(&self.store, None, roster, false).await {
            Ok((plan, seen)) => {
                tell(&plan, &plan.lines());
                self.poller.foresee(seen);
            }
            Err(fault) => error!(%fault, "what the configuration changes could not be told"),
        }
        if let Ok(Some(seen)) = self.store.read(|store| store.seen()).await {
            // As far as is known before the clock is looked at: the first polls do not wait for that.
            let age_max = self.config().retention.age_max;
            self.retained.send_replace(seen.before(age_max));
        }
        self.runs.store(true, Ordering::Relaxed);
    }

    async fn compare(
        &self,
        config: &Config,
        roster: Arc<Roster>,
        all_holdings: bool,
    ) -> Result<Plan, StoreError> {
        let runs = self.runs.load(Ordering::Relaxed);
        let server_changed = runs && self.config().server.listens_otherwise(&config.server);
        let in_force = runs.then(|| self.roster.borrow().clone());
        let (plan, _) = planning::plan(&self.store, in_force, roster, all_holdings).await?;
        Ok(Plan { server_changed, ..plan })
    }

    /// Whoever looks after the store.
    pub(super) fn janitor(&self) -> Janitor {
        let ports = janitor::Ports {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            telemetry: Arc::clone(&self.telemetry),
            deliver: self.deliver.clone(),
            retained: self.retained.clone(),
        };
        Janitor::new(ports, self.roster.subscribe(), self.retention.subscribe())
    }

    /// The file that the configuration is to be read from again when it changes.
    pub(super) fn watched(&self) -> Option<&Path> {
        let Origin::File(path) = &self.origin else { return None };
        self.config().server.watches.then_some(path.as_path())
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll_by_hand(
        &self,
        unit: &UnitName,
        mode: Mode,
        exchanges: Exchanges,
    ) -> Result<(PollReport, Option<Recording>), PollError> {
        let declared = self.roster.borrow().sources.get(&unit.source()).cloned();
        let shown: Shown = Arc::new(move |url| {
            declared.as_ref().map_or_else(|| shown_url(url), |source| source.shown(url))
        });
        match exchanges {
            Exchanges::Live => Ok((self.poller.poll(unit, mode).await?, None)),
            Exchanges::Recorded => {
                let recorder = Recorder::new(Arc::clone(&self.http), shown, self.redactor.clone());
                let recorder = Arc::new(recorder);
                let http = Arc::clone(&recorder) as Arc<dyn HttpClient>;
                let report = self.poller.poll_through(unit, mode, http).await?;
                let recording = recorder.recording(unit.as_str(), report.ended.to_rfc3339());
                Ok((report, Some(recording)))
            }
            Exchanges::Replayed(recording) => {
                let http = Arc::new(Replayer::new(recording, shown, self.redactor.clone()));
                Ok((self.poller.poll_through(unit, Mode::DryRun, http).await?, None))
            }
        }
    }
}

/// Lines that are logged of what a configuration does. It may have very many sources, all of them new.
const LINES_TOLD_MAX: usize = 1_000;

/// Logs what a configuration does, a line each.
fn tell(plan: &Plan, lines: &[String]) {
    if plan.server_changed {
        warn!("`server` changed: that holds after a restart");
    }
    for line in lines.iter().take(LINES_TOLD_MAX) {
        info!("{line}");
    }
    if let Some(more) = lines.len().checked_sub(LINES_TOLD_MAX).filter(|more| *more > 0) {
        info!("and {more} lines more like these");
    }
    for remark in plan.sources.iter().filter_map(|source| source.remark.as_ref()) {
        warn!("{remark}");
    }
}

/// Reads and validates a configuration file.
///
/// # Errors
/// All problems, rendered, one each.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<String>> {
    load_with(path, &Surroundings)
}

/// The same, with the files in these surroundings.
///
/// # Errors
/// All problems, rendered, one each.
pub(super) fn load_with(path: &Path, lookup: &dyn Lookup) -> Result<Config, Vec<String>> {
    config::load(path, lookup)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

/// What a configuration declares.
pub(super) fn roster_of(config: &Config) -> Roster {
    Roster::new(config.sources.clone(), config.endpoints.clone())
}

impl Operations for Works {
    fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    fn poll(
        &self,
        unit: UnitName,
        mode: Mode,
        exchanges: Exchanges,
    ) -> Operation<'_, (PollReport, Option<Recording>)> {
        Box::pin(async move {
            let told = self.poll_by_hand(&unit, mode, exchanges).await;
            told.map_err(|error| self.refused(&error))
        })
    }

    fn plan(&self, file: Option<PathBuf>) -> Operation<'_, Plan> {
        Box::pin(async move {
            let file = match (file, &self.origin) {
                (Some(file), _) => Some(file),
                (None, Origin::File(file)) => Some(file.clone()),
                (None, Origin::Text) => None,
            };
            let config = match file {
                Some(file) => load(&file).map_err(Refused::Invalid)?,
                None => self.config().clone(),
            };
            let roster = Arc::new(roster_of(&config));
            let plan = self.compare(&config, roster, true).await;
            plan.map_err(|fault| Refused::Failed(fault.to_string()))
        })
    }

    fn release(&self, source: SourceName) -> Operation<'_, usize> {
        Box::pin(async move {
            self.poller
                .decide(&source, Decision::Release)
                .await
                .map_err(|error| self.refused(&error))
        })
    }

    fn discard(&self, source: SourceName) -> Operation<'_, usize> {
        Box::pin(async move {
            self.poller
                .decide(&source, Decision::Discard)
                .await
                .map_err(|error| self.refused(&error))
        })
    }

    fn pause(&self, endpoint: EndpointName) -> Operation<'_, ()> {
        Box::pin(async move {
            let paused = self.deliverer.pause(&endpoint).await;
            self.known_endpoint(&endpoint, paused).map(drop)
        })
    }

    fn resume(&self, endpoint: EndpointName) -> Operation<'_, ()> {
        Box::pin(async move {
            let resumed = self.deliverer.resume(&endpoint).await;
            let health = self.known_endpoint(&endpoint, resumed)?;
            match health.paused_in_file {
                None => Ok(()),
                Some(_) => Err(Refused::Conflict(format!(
                    "{endpoint} is paused in the configuration: take `paused` away there"
                ))),
            }
        })
    }

    fn try_out(&self, endpoint: EndpointName, wanted: Wanted) -> Operation<'_, TrialReport> {
        Box::pin(async move {
            let roster = Operations::roster(self);
            let Some(declared) = roster.endpoints.get(&endpoint) else {
                let names = roster.endpoints.keys().map(EndpointName::as_str);
                let hint = did_you_mean(endpoint.as_str(), names);
                return Err(Refused::Unknown(format!("no endpoint {endpoint} is declared{hint}")));
            };
            let random = unguessable().map_err(|error| Refused::Failed(error.to_string()))?;
            let event = sample(declared, wanted, self.clock.wall(), &random);
            Ok(self.deliverer.try_out(declared, &event).await)
        })
    }

    fn reload(&self) -> Operation<'_, Vec<String>> {
        Box::pin(async move { Works::reload(self).await.map_err(Refused::Invalid) })
    }

    fn deliver(&self) {
        self.deliver.ring();
    }

    fn state(&self, unit: &UnitName) -> Option<SourceState> {
        self.poller.remembered(unit)
    }

    fn standing(&self, source: &Source, unit: &UnitName) -> (Terms, Standing) {
        self.poller.standing(source, unit)
    }

    fn ill(&self) -> Option<String> {
        let stuck = self.telemetry.silent(self.clock.now(), STUCK_AFTER);
        (!stuck.is_empty()).then(|| format!("not running: {}", stuck.join(", ")))
    }
}

impl Works {
    fn known_endpoint(
        &self,
        name: &EndpointName,
        found: Result<Option<EndpointHealth>, StoreError>,
    ) -> Result<EndpointHealth, Refused> {
        match found {
            Ok(Some(health)) => Ok(health),
            Ok(None) => {
                let roster = Operations::roster(self);
                let names = roster.endpoints.keys().map(EndpointName::as_str);
                let hint = did_you_mean(name.as_str(), names);
                Err(Refused::Unknown(format!("no endpoint {name} is known{hint}")))
            }
            Err(fault) => Err(Refused::Failed(fault.to_string())),
        }
    }

    fn refused(&self, error: &PollError) -> Refused {
        let sentence = error.to_string();
        match error {
            PollError::Unknown(name) => {
                let roster = Operations::roster(self);
                let names = roster.sources.keys().map(SourceName::as_str);
                Refused::Unknown(format!("{sentence}{}", did_you_mean(name.as_str(), names)))
            }
            PollError::UnknownEntry(..) => Refused::Unknown(sentence),
            PollError::EntryNeeded(..) | PollError::NoEntry(..) => Refused::Incomplete(sentence),
            PollError::Conflict(_) => Refused::Conflict(sentence),
            PollError::Store(_) => Refused::Failed(sentence),
        }
    }
}

/// The name that was probably typed wrong, or those there are if they are few.
fn did_you_mean<'a>(typed: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    const NAMED_MAX: usize = 8;
    if let Some(meant) = meant(typed, names.clone()) {
        return format!("; did you mean `{meant}`?");
    }
    match names.clone().count() {
        1..=NAMED_MAX => format!("; there are {}", names.collect::<Vec<_>>().join(", ")),
        _ => String::new(),
    }
}

impl std::fmt::Debug for Works {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Works")
    }
}
