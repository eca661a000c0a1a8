//! The daemon: build → bind → spawn → wait → drain. Every task is born here, in one `JoinSet`.

mod notify;
mod planning;
pub(crate) mod socket;
mod watch;
pub(crate) mod works;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{self, Context, Operations as _};
use crate::config::Config;
use crate::config::server::Listen;
use crate::core::secret::Secret;
use crate::core::words;
use crate::store::StoreError;
use crate::store::handle::StoreHandle;
use crate::store::sqlite::{Opening, SqliteStore};
use crate::telemetry::Redactor;

use works::{Origin, Works};

/// Connections for reading beside the writer.
const STORE_READERS: usize = 4;

/// How long requests of the API that are under way at a stop may take, when all else has ended.
const ANSWERS_GRACE: Duration = Duration::from_secs(5);
/// How often systemd's status line is renewed.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// What a daemon is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) origin: Origin,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// Take on a state that went backwards.
    pub(crate) accept_state: bool,
    pub(crate) redactor: Redactor,
}

/// Why a daemon did not start or had to end.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("binding {address}")]
    Bind { address: String, source: std::io::Error },
    #[error("starting the HTTP client")]
    Http(#[from] crate::http::client::ClientError),
    #[error("listening for signals")]
    Signals(std::io::Error),
    #[error(
        "the store failed: nothing more is acknowledged, a restart goes on from what is on disk"
    )]
    StoreFailed,
}

/// Why the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    StoreFailed,
}

/// What the process is told from outside. Listened to before anything is started: until then, each of them ends it.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on signals are kept until they are asked for.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn listen() -> Result<Self, DaemonError> {
        let listen = |kind| signal(kind).map_err(DaemonError::Signals);
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until the process shall end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    works: Arc<Works>,
    /// Ends polling and claiming.
    stop: CancellationToken,
    /// Ends the API, after the others.
    close: CancellationToken,
    loops: JoinSet<()>,
    servers: JoinSet<()>,
}

/// Opens the store and joins the works over it.
///
/// # Errors
/// The store's, or the HTTP client's.
pub(crate) fn build(settings: Settings) -> Result<Arc<Works>, DaemonError> {
    let started = Instant::now();
    let opening =
        Opening { accept: settings.accept_state, steady: Box::new(move || started.elapsed()) };
    let store = StoreHandle::pooled(SqliteStore::open(&settings.state, opening)?, STORE_READERS)?;
    Ok(Works::new(store, settings.config, (settings.origin, &settings.state), settings.redactor)?)
}

/// Joins the works over a state that is only looked at, also while a daemon has it.
///
/// # Errors
/// The store's, or the HTTP client's.
pub(crate) fn look(settings: Settings) -> Result<Arc<Works>, DaemonError> {
    let store = StoreHandle::looking(&settings.state)?;
    Ok(Works::new(store, settings.config, (settings.origin, &settings.state), settings.redactor)?)
}

impl Daemon {
    /// Builds, binds and spawns. When this returns, polls are being made.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing was polled then.
    pub(crate) async fn start(settings: Settings) -> Result<Self, DaemonError> {
        let (state, server) = (settings.state.clone(), settings.config.server.clone());
        let works = build(settings)?;
        let control = socket::control(&state)?;
        let mut daemon = Self {
            works,
            stop: CancellationToken::new(),
            close: CancellationToken::new(),
            loops: JoinSet::new(),
            servers: JoinSet::new(),
        };
        let app = api::control(daemon.context(None, &state));
        daemon.servers.spawn(socket::serve_unix(control, app, daemon.close.clone()));
        let app = api::public(daemon.context(server.token.clone(), &state));
        match &server.listen {
            Listen::Off => {}
            Listen::Tcp(address) => {
                let listener = socket::tcp(*address).await?;
                let bound = listener.local_addr().unwrap_or(*address);
                info!(address = %bound, "listening");
                daemon.servers.spawn(socket::serve_tcp(listener, app, daemon.close.clone()));
            }
            Listen::Unix(path) => {
                let listener = socket::unix(path)?;
                info!(path = %path.display(), "listening");
                daemon.servers.spawn(socket::serve_unix(listener, app, daemon.close.clone()));
            }
        }
        daemon.works.begin().await;
        daemon.spawn_loops();
        Ok(daemon)
    }

    fn spawn_loops(&mut self) {
        let works = &self.works;
        self.loops.spawn(Arc::clone(&works.poller).run(self.stop.clone()));
        self.loops.spawn(Arc::clone(&works.deliverer).run(self.stop.clone()));
        let janitor = works.janitor();
        self.loops.spawn(janitor.run(self.stop.clone()));
        self.loops.spawn(watch::run(Arc::clone(works), self.stop.clone()));
    }

    fn context(&self, token: Option<Secret>, state: &Path) -> Arc<Context> {
        Arc::new(Context {
            store: self.works.store.clone(),
            clock: Arc::clone(&self.works.clock),
            telemetry: Arc::clone(&self.works.telemetry),
            operations: Arc::clone(&self.works) as Arc<dyn api::Operations>,
            redactor: self.works.redactor.clone(),
            token,
            state: state.to_owned(),
        })
    }

    /// Runs until SIGTERM, SIGINT or a failure of the store, then drains. SIGHUP reloads.
    ///
    /// # Errors
    /// The failure that ended it.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Result<(), DaemonError> {
        notify::ready(&self.status());
        info!(version = env!("CARGO_PKG_VERSION"), status = self.status(), "ready");
        if self.wait(&mut signals).await == End::StoreFailed {
            error!("the store failed; ending");
            self.loops.shutdown().await;
            return Err(DaemonError::StoreFailed);
        }
        notify::stopping();
        info!("draining; a second signal ends at once");
        tokio::select! {
            () = self.stop() => info!("stopped"),
            () = signals.end() => warn!("ended at once; what was under way is done again at the next start"),
        }
        Ok(())
    }

    /// Waits for the end.
    async fn wait(&mut self, signals: &mut Signals) -> End {
        let mut beat = tokio::time::interval(notify::watchdog_period().unwrap_or(STATUS_PERIOD));
        let mut failed = self.works.store.failed();
        loop {
            tokio::select! {
                _ = signals.term.recv() => return End::Asked,
                _ = signals.int.recv() => return End::Asked,
                _ = failed.wait_for(|failed| *failed) => return End::StoreFailed,
                _ = signals.hup.recv() => {
                    notify::reloading();
                    // A bad file changes nothing, and `reload` has said why.
                    let told = match self.works.reload().await {
                        Ok(_) => self.status(),
                        Err(problems) => {
                            let problems = words::count(problems.len(), "problem");
                            format!("the new configuration has {problems}; the old one is in force")
                        }
                    };
                    notify::ready(&told);
                }
                _ = beat.tick() => match self.works.ill() {
                    None => {
                        notify::alive();
                        notify::status(&self.status());
                    }
                    Some(reason) => error!(%reason, "not well; the watchdog is not fed"),
                },
                Some(ended) = self.loops.join_next() => {
                    // Loops end only when told to: this one was felled by a fault of ours.
                    error!(?ended, "a loop ended by itself");
                    std::process::abort();
                }
            }
        }
    }

    fn status(&self) -> String {
        let roster = self.works.roster();
        let (sources, endpoints) = (roster.sources.len(), roster.endpoints.len());
        format!("{}, {}", words::count(sources, "source"), words::count(endpoints, "endpoint"))
    }

    /// Stops polling and claiming, lets attempts under way end, closes the API last. A poll that somebody asked for may
    /// have very many pages: what it did not commit is met again.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while self.loops.join_next().await.is_some() {}
        self.close.cancel();
        let answered = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(ANSWERS_GRACE, answered).await.is_err() {
            info!("what was asked for over the API is not waited for any longer");
        }
        self.works.close().await;
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Daemon")
    }
}
