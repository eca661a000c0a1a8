//! The HTTP face: reads the store, and asks the daemon for what only it can do. One file per resource.
//!
//! Two routers. [`control`] is for the command line, on a socket in the state directory that only its owner can
//! open. [`public`] is for `server.listen`: health and metrics.

mod backup;
mod deliveries;
mod endpoints;
mod entries;
mod events;
mod explain;
mod health;
mod plan;
pub(crate) mod polled;
mod problem;
mod sources;
pub(crate) mod trial;
mod view;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::clock::Clock;
use crate::core::ids::{EndpointName, SourceName, UnitName};
use crate::core::limits::RECORDING_BYTES_MAX;
use crate::core::plan::Plan;
use crate::core::recording::{Exchanges, Recording};
use crate::core::report::{Mode, PollReport, TrialReport};
use crate::core::roster::Roster;
use crate::core::schedule::Terms;
use crate::core::schedule::explain::Standing;
use crate::core::secret::Secret;
use crate::core::sink::sample::Wanted;
use crate::core::source::{Source, SourceState};
use crate::store::handle::StoreHandle;
use crate::telemetry::{Redactor, Telemetry};

/// An operation's answer to come.
pub(crate) type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refused>> + Send + 'a>>;

/// Why an operation was not done.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// There is no such thing.
    Unknown(String),
    /// Try again: something else was faster.
    Conflict(String),
    /// The request cannot be carried out as it is; one line per reason.
    Invalid(Vec<String>),
    /// The request does not say enough.
    Incomplete(String),
    /// Our own failure.
    Failed(String),
}

/// What only the one who owns the loops can do.
pub(crate) trait Operations: Send + Sync {
    /// What is declared now.
    fn roster(&self) -> Arc<Roster>;
    /// One poll now, of a source or of an entry of one; with its exchanges, if they are to be recorded.
    fn poll(
        &self,
        unit: UnitName,
        mode: Mode,
        exchanges: Exchanges,
    ) -> Operation<'_, (PollReport, Option<Recording>)>;
    /// What taking on a configuration would do; absent, the file that the one in force was read from.
    fn plan(&self, file: Option<PathBuf>) -> Operation<'_, Plan>;
    /// Lets held changes ring; answers how many.
    fn release(&self, source: SourceName) -> Operation<'_, usize>;
    /// Drops held changes; answers how many.
    fn discard(&self, source: SourceName) -> Operation<'_, usize>;
    /// Sends nothing to an endpoint until it is resumed.
    fn pause(&self, endpoint: EndpointName) -> Operation<'_, ()>;
    /// Sends to an endpoint again, now: one that is paused, failing or disabled.
    fn resume(&self, endpoint: EndpointName) -> Operation<'_, ()>;
    /// Sends one event that nobody made, now, and tells what came of it.
    fn try_out(&self, endpoint: EndpointName, wanted: Wanted) -> Operation<'_, TrialReport>;
    /// Reads the configuration again; answers what changed, a line each.
    fn reload(&self) -> Operation<'_, Vec<String>>;
    /// A source's or entry's state as its polls know it: what is stored may be a minute old.
    fn state(&self, unit: &UnitName) -> Option<SourceState>;
    /// What the next poll of a source or an entry is planned on, and how it stands with its budgets and the server.
    fn standing(&self, source: &Source, unit: &UnitName) -> (Terms, Standing);
    /// There are new deliveries.
    fn deliver(&self);
    /// Why work cannot go on as it should, if so.
    fn ill(&self) -> Option<String>;
}

/// Everything the handlers touch.
pub(crate) struct Context {
    pub(crate) store: StoreHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) operations: Arc<dyn Operations>,
    /// What endpoints are sent may hold what the configuration fills in.
    pub(crate) redactor: Redactor,
    /// For anything but health; `None` where the listener itself keeps strangers out.
    pub(crate) token: Option<Secret>,
    /// Where a backup may be prepared.
    pub(crate) state: PathBuf,
}

type Shared = Arc<Context>;

/// A poll's order may bring a recording along, in base64 inside JSON.
fn recordings() -> DefaultBodyLimit {
    DefaultBodyLimit::max(2 * RECORDING_BYTES_MAX)
}

/// What the command line uses.
pub(crate) fn control(context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/replay", post(deliveries::replay))
        .route("/v1/sources", get(sources::list))
        .route("/v1/sources/{name}", get(sources::show))
        .route("/v1/sources/{name}/items", get(sources::items))
        .route("/v1/sources/{name}/explain", get(explain::show))
        .route("/v1/sources/{name}/poll", post(sources::poll).layer(recordings()))
        .route("/v1/sources/{name}/release", post(sources::release))
        .route("/v1/sources/{name}/discard", post(sources::discard))
        .route("/v1/held", get(sources::held))
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/{name}", get(endpoints::show))
        .route("/v1/endpoints/{name}/pause", post(endpoints::pause))
        .route("/v1/endpoints/{name}/resume", post(endpoints::resume))
        .route("/v1/endpoints/{name}/test", post(endpoints::test))
        .route("/v1/reload", post(sources::reload))
        .route("/v1/plan", post(plan::show))
        .route("/v1/backup", get(backup::download))
        .merge(health::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::not_allowed)
        .with_state(context)
}

/// What stands on `server.listen`.
pub(crate) fn public(context: Arc<Context>) -> Router {
    Router::new()
        .merge(health::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::not_allowed)
        .with_state(context)
}
