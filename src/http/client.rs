//! The real client: one exchange inside its deadline and bounds, over all its redirects.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, timeout_at};

use crate::core::http::redirect::{Journey, is_redirect};
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault};
use crate::core::limits::{RECEIVER_ANSWER_BYTES_MAX, RECEIVER_ANSWER_REST_WAIT_MAX};
use crate::http::body::{self, Body, LeastRate, SpoolTo};
use crate::http::fault;
use crate::http::file;
use crate::http::guard;
use crate::http::routes::Routes;
use crate::http::spool::Spool;
use crate::http::{Exchange, HttpClient, LongExchange};

/// How often a quiet HTTP/2 connection is probed, and how long the answer may take: without it a connection whose
/// other end vanished would be used again and again, each exchange running into its deadline.
pub(super) const HTTP2_PROBE: Duration = Duration::from_secs(10);

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {detail}")]
pub(crate) struct ClientError {
    pub(super) detail: String,
}

/// Makes exchanges over real sockets. Share one: it holds the connections.
pub(crate) struct ReqwestClient {
    pub(super) routes: Routes,
    least_rate: LeastRate,
    /// Where long bodies go.
    spool: Option<PathBuf>,
}

impl fmt::Debug for ReqwestClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReqwestClient").finish_non_exhaustive()
    }
}

impl ReqwestClient {
    /// A client with the system's certificate roots and resolver.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub(crate) fn new() -> Result<Self, ClientError> {
        Self::with_least_rate(LeastRate::default())
    }

    /// The same with another idea of what a drip is, so that tests need not wait for it.
    pub(super) fn with_least_rate(least_rate: LeastRate) -> Result<Self, ClientError> {
        Ok(Self { routes: Routes::new()?, least_rate, spool: None })
    }

    /// The same, with files in this directory for bodies too long for memory.
    pub(crate) fn spooling_in(self, directory: PathBuf) -> Self {
        Self { spool: Some(directory), ..self }
    }

    async fn exchange_within(
        &self,
        mut request: Request,
        spool: Option<SpoolTo<'_>>,
    ) -> Result<(Response, Option<Spool>), TransportFault> {
        if request.reach == Reach::Anywhere && request.url.scheme() == "file" {
            return Ok((file::read(&request).await?, None));
        }
        let started = Instant::now();
        // A deadline beyond what the timer can count is no deadline.
        let until = started.checked_add(request.deadline).unwrap_or_else(|| far_future(started));
        let Some(mut journey) = Journey::begin(&request) else {
            return self.leg((request, spool), until, false).await;
        };
        loop {
            let answer = self.leg((request.clone(), spool), until, true).await?;
            let (response, _) = &answer;
            if !journey.goes_on(&mut request, response.status, &response.headers)? {
                return Ok(answer);
            }
        }
    }

    /// One request and its answer. Of a redirect that is followed the body is of no interest.
    async fn leg(
        &self,
        (request, spool): (Request, Option<SpoolTo<'_>>),
        until: Instant,
        is_followed: bool,
    ) -> Result<(Response, Option<Spool>), TransportFault> {
        if request.reach == Reach::Public {
            guard::judge(&request.url)?;
        }
        let (mut limit, deadline) = (request.limit, request.deadline);
        let Ok(answered) = timeout_at(until, self.headers(request)).await else {
            return Err(TransportFault::Timeout {
                phase: Progress::now().phase.words(),
                after: deadline,
            });
        };
        let mut answer = answered?;
        let status = answer.status().as_u16();
        if is_followed && is_redirect(status) {
            limit = BodyLimit::First { bytes_max: RECEIVER_ANSWER_BYTES_MAX };
        }
        let mut headers = std::mem::take(answer.headers_mut());
        if answer.content_length() == Some(0) {
            return Ok((Response { status, headers, body: Bytes::new() }, None));
        }
        let body = match limit {
            BodyLimit::Whole { bytes_max } => {
                let whole =
                    body::read_whole(answer, &mut headers, bytes_max, self.least_rate, spool);
                let in_time = timeout_at(until, whole).await;
                in_time.unwrap_or(Err(TransportFault::Timeout {
                    phase: Phase::ReadingBody.words(),
                    after: deadline,
                }))?
            }
            BodyLimit::First { bytes_max } => {
                let patience = until.min(Instant::now() + RECEIVER_ANSWER_REST_WAIT_MAX);
                Body::InMemory(body::read_first(answer, &mut headers, bytes_max, patience).await)
            }
        };
        let (body, spool) = match body {
            Body::InMemory(body) => (body, None),
            Body::InFile(spool) => (Bytes::new(), Some(spool)),
        };
        Ok((Response { status, headers, body }, spool))
    }

    /// Sends a request until the answer's headers are there.
    ///
    /// A server may hang up a kept connection at the very moment it is used again; nobody's fault, and no reason for
    /// a failed poll. So a request that changes nothing is sent once more if a reused connection ended without an answer.
    async fn headers(&self, request: Request) -> Result<reqwest::Response, TransportFault> {
        let connections = self.routes.pool(request.way.route.as_ref(), request.reach);
        let connections = &connections.map_err(|error| local(&error))?;
        let proxy = request.way.route.as_ref().and_then(|route| Some(route.proxy()?.place()));
        let again =
            matches!(request.method, Method::GET | Method::HEAD).then(|| outgoing(request.clone()));
        let first = send(connections, outgoing(request)).await;
        let answer = match (first, again) {
            (Err(TransportFault::Cut { .. }), Some(again)) if !Progress::now().dialled => {
                send(connections, again).await
            }
            (answer, _) => answer,
        };
        match (answer, proxy) {
            (Err(TransportFault::Connect { detail }), Some(proxy)) => {
                Err(TransportFault::Connect {
                    detail: format!("through the proxy {proxy}: {detail}"),
                })
            }
            (answer, _) => answer,
        }
    }
}

impl HttpClient for ReqwestClient {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let within = async { Ok(self.exchange_within(request, None).await?.0) };
        Box::pin(PROGRESS.scope(Cell::new(Progress::START), within))
    }

    fn exchange_long(&self, request: Request, seed: u64) -> LongExchange<'_> {
        let spool = self.spool.as_deref().map(|directory| SpoolTo { directory, seed });
        let within = self.exchange_within(request, spool);
        Box::pin(PROGRESS.scope(Cell::new(Progress::START), within))
    }
}

/// How far an exchange has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    phase: Phase,
    /// Whether a new connection was begun: a pooled one was not at hand.
    dialled: bool,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Connecting,
    Waiting,
    ReadingBody,
}

tokio::task_local! {
    /// Of the exchange that the current task is polling. Written by the connector, which is polled inside it.
    static PROGRESS: Cell<Progress>;
}

impl Progress {
    const START: Self = Self { phase: Phase::Waiting, dialled: false };

    fn now() -> Self {
        PROGRESS.try_with(Cell::get).unwrap_or(Self::START)
    }

    /// Outside of an exchange (a connection finished in the background) there is nothing to note.
    fn note(phase: Phase) {
        PROGRESS
            .try_with(|progress| progress.set(Self { phase, dialled: true }))
            .unwrap_or_default();
    }
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting for the answer",
            Self::ReadingBody => "reading the body",
        }
    }
}

/// Resolving, connecting and shaking hands; notes in the exchange that this is under way.
pub(super) async fn noting_connect<F: Future>(connect: F) -> F::Output {
    Progress::note(Phase::Connecting);
    let connected = connect.await;
    Progress::note(Phase::Waiting);
    connected
}

fn local(error: &ClientError) -> TransportFault {
    TransportFault::Local { detail: error.to_string() }
}

fn outgoing(request: Request) -> reqwest::Request {
    let mut outgoing = reqwest::Request::new(request.method, request.url);
    *outgoing.headers_mut() = request.headers;
    if !request.body.is_empty() {
        *outgoing.body_mut() = Some(request.body.into());
    }
    outgoing
}

async fn send(
    connections: &reqwest::Client,
    request: reqwest::Request,
) -> Result<reqwest::Response, TransportFault> {
    connections.execute(request).await.map_err(|error| fault::before_headers(&error))
}

/// A year from now: what an endless deadline amounts to.
fn far_future(now: Instant) -> Instant {
    now + Duration::from_hours(365 * 24)
}
