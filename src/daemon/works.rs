//! The works: store, poller and declarations joined together. The daemon runs loops over them; a command without a
//! daemon uses them as they are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::api::{Operation, Operations, Refused};
use crate::clock::{Clock, Entropy, Random, SystemClock};
use crate::config::difference::{Difference, Names, difference};
use crate::config::lookup::Surroundings;
use crate::config::{self, Config};
use crate::core::ids::{EndpointName, SourceName};
use crate::core::report::{Mode, PollReport};
use crate::core::roster::Roster;
use crate::deliverer::{self, Deliverer};
use crate::http::HttpClient;
use crate::http::client::ReqwestClient;
use crate::lines::StandardOutput;
use crate::poller::hold::Decision;
use crate::poller::{self, PollError, Poller};
use crate::store::handle::StoreHandle;
use crate::telemetry::{Redactor, Telemetry};
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
    deliver: Wake,
    poll: Wake,
    roster: watch::Sender<Arc<Roster>>,
    config: Mutex<Config>,
    origin: Origin,
    redactor: Redactor,
}

impl Works {
    /// Joins the parts. Nothing runs yet.
    pub(crate) fn new(
        store: StoreHandle,
        config: Config,
        origin: Origin,
        redactor: Redactor,
    ) -> Result<Arc<Self>, crate::http::client::ClientError> {
        redactor.learn(&config.secrets);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(Random::from_system());
        let telemetry = Arc::new(Telemetry::new());
        let http: Arc<dyn HttpClient> = Arc::new(ReqwestClient::new()?);
        let (roster, declared) = watch::channel(Arc::new(roster_of(&config)));
        let (poll, deliver) = (Wake::default(), Wake::default());
        let poller = Poller::new(
            poller::Ports {
                store: store.clone(),
                http: Arc::clone(&http),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                telemetry: Arc::clone(&telemetry),
                deliver: deliver.clone(),
            },
            declared.clone(),
            poll.clone(),
        );
        let deliverer = Deliverer::new(
            deliverer::Ports {
                store: store.clone(),
                http,
                lines: Arc::new(StandardOutput::default()),
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
        let config = Mutex::new(config);
        Ok(Arc::new(Self {
            store,
            clock,
            telemetry,
            poller,
            deliverer,
            deliver,
            poll,
            roster,
            config,
            origin,
            redactor,
        }))
    }

    /// Reads the configuration again and takes it on if it is valid; else nothing changes.
    ///
    /// # Errors
    /// The problems, rendered, one each.
    pub(crate) fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let Origin::File(path) = &self.origin else { return Ok(Vec::new()) };
        match load(path) {
            Ok(config) => Ok(self.take_on(config)),
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

    fn take_on(&self, config: Config) -> Vec<String> {
        self.redactor.learn(&config.secrets);
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = difference(&current, &config);
        if changes.server_changed {
            warn!("`server` changed: that holds after a restart");
        }
        self.roster.send_replace(Arc::new(roster_of(&config)));
        *current = config;
        drop(current);
        self.poll.ring();
        self.deliver.ring();
        self.telemetry.reloaded(true, self.clock.wall());
        let lines = told(&changes);
        info!(changes = lines.len(), "the configuration is taken on");
        for line in &lines {
            info!("{line}");
        }
        lines
    }
}

/// Reads and validates a configuration file.
///
/// # Errors
/// All problems, rendered, one each.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<String>> {
    config::load(path, &Surroundings)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

/// What a reload changed, a line each.
fn told(difference: &Difference) -> Vec<String> {
    let lines = |kind: &str, names: &Names| {
        let fates =
            [("added", &names.added), ("removed", &names.removed), ("changed", &names.changed)];
        let lines = fates.into_iter().flat_map(|(fate, names)| {
            names.iter().map(|name| format!("{kind} {name} {fate}")).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>()
    };
    [lines("source", &difference.sources), lines("endpoint", &difference.endpoints)].concat()
}

fn roster_of(config: &Config) -> Roster {
    Roster::new(config.sources.clone(), config.endpoints.clone())
}

impl Operations for Works {
    fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    fn poll(&self, source: SourceName, mode: Mode) -> Operation<'_, PollReport> {
        Box::pin(
            async move { self.poller.poll(&source, mode).await.map_err(|error| refused(&error)) },
        )
    }

    fn release(&self, source: SourceName) -> Operation<'_, usize> {
        Box::pin(async move {
            self.poller.decide(&source, Decision::Release).await.map_err(|error| refused(&error))
        })
    }

    fn discard(&self, source: SourceName) -> Operation<'_, usize> {
        Box::pin(async move {
            self.poller.decide(&source, Decision::Discard).await.map_err(|error| refused(&error))
        })
    }

    fn resume(&self, endpoint: EndpointName) -> Operation<'_, ()> {
        Box::pin(async move {
            match self.deliverer.resume(&endpoint).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Refused::Unknown(format!("no endpoint {endpoint} is known"))),
                Err(fault) => Err(Refused::Failed(fault.to_string())),
            }
        })
    }

    fn reload(&self) -> Operation<'_, Vec<String>> {
        Box::pin(async move { Works::reload(self).map_err(Refused::Invalid) })
    }

    fn deliver(&self) {
        self.deliver.ring();
    }

    fn ill(&self) -> Option<String> {
        let stuck = self.telemetry.silent(self.clock.now(), STUCK_AFTER);
        (!stuck.is_empty()).then(|| format!("not running: {}", stuck.join(", ")))
    }
}

fn refused(error: &PollError) -> Refused {
    let sentence = error.to_string();
    match error {
        PollError::Unknown(_) => Refused::Unknown(sentence),
        PollError::Conflict(_) => Refused::Conflict(sentence),
        PollError::Store(_) => Refused::Failed(sentence),
    }
}

impl std::fmt::Debug for Works {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Works")
    }
}
