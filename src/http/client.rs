//! The real client: one pool of connections for the operator's own URLs, another behind the address guard for URLs
//! that came from somebody else. Two pools, because a pooled connection was judged when it was dialled.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, Method};
use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout_at};
use tower::util::MapFutureLayer;

use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault};
use crate::core::limits::{
    CONNECTION_IDLE_MAX, CONNECTIONS_IDLE_PER_ORIGIN_MAX, RECEIVER_ANSWER_REST_WAIT_MAX,
};
use crate::http::body::{self, LeastRate};
use crate::http::decode;
use crate::http::fault;
use crate::http::guard;
use crate::http::resolver::Resolver;
use crate::http::{Exchange, HttpClient};

/// How often a quiet HTTP/2 connection is probed, and how long the answer may take: without it a connection whose
/// other end vanished would be used again and again, each exchange running into its deadline.
const HTTP2_PROBE: Duration = Duration::from_secs(10);

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {detail}")]
pub(crate) struct ClientError {
    detail: String,
}

/// Makes exchanges over real sockets. Share one: it holds the connections.
pub(crate) struct ReqwestClient {
    anywhere: reqwest::Client,
    public: reqwest::Client,
    least_rate: LeastRate,
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
        Ok(Self {
            anywhere: connections(Reach::Anywhere)?,
            public: connections(Reach::Public)?,
            least_rate,
        })
    }

    fn connections_for(&self, reach: Reach) -> &reqwest::Client {
        match reach {
            Reach::Anywhere => &self.anywhere,
            Reach::Public => &self.public,
        }
    }

    async fn exchange_within(&self, request: Request) -> Result<Response, TransportFault> {
        if request.reach == Reach::Public {
            guard::judge(&request.url)?;
        }
        let started = Instant::now();
        // A deadline beyond what the timer can count is no deadline.
        let until = started.checked_add(request.deadline).unwrap_or_else(|| far_future(started));
        let (limit, deadline) = (request.limit, request.deadline);
        let Ok(answered) = timeout_at(until, self.headers(request)).await else {
            return Err(TransportFault::Timeout {
                phase: Progress::now().phase.words(),
                after: deadline,
            });
        };
        let mut answer = answered?;
        let status = answer.status().as_u16();
        let mut headers = std::mem::take(answer.headers_mut());
        if answer.content_length() == Some(0) {
            return Ok(Response { status, headers, body: Bytes::new() });
        }
        let body = match limit {
            BodyLimit::Whole { bytes_max } => {
                let whole = body::read_whole(answer, &mut headers, bytes_max, self.least_rate);
                let in_time = timeout_at(until, whole).await;
                in_time.unwrap_or(Err(TransportFault::Timeout {
                    phase: Phase::ReadingBody.words(),
                    after: deadline,
                }))?
            }
            BodyLimit::First { bytes_max } => {
                let patience = until.min(Instant::now() + RECEIVER_ANSWER_REST_WAIT_MAX);
                body::read_first(answer, &mut headers, bytes_max, patience).await
            }
        };
        Ok(Response { status, headers, body })
    }

    /// Sends a request until the answer's headers are there.
    ///
    /// A server may hang up a kept connection at the very moment it is used again; nobody's fault, and no reason for
    /// a failed poll. So a request that changes nothing is sent once more if a reused connection ended without an answer.
    async fn headers(&self, request: Request) -> Result<reqwest::Response, TransportFault> {
        let connections = self.connections_for(request.reach);
        let again =
            matches!(request.method, Method::GET | Method::HEAD).then(|| outgoing(request.clone()));
        let first = send(connections, outgoing(request)).await;
        match (first, again) {
            (Err(TransportFault::Cut { .. }), Some(again)) if !Progress::now().dialled => {
                send(connections, again).await
            }
            (answer, _) => answer,
        }
    }
}

impl HttpClient for ReqwestClient {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(PROGRESS.scope(Cell::new(Progress::START), self.exchange_within(request)))
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
async fn noting_connect<F: Future>(connect: F) -> F::Output {
    Progress::note(Phase::Connecting);
    let connected = connect.await;
    Progress::note(Phase::Waiting);
    connected
}

/// A pool of connections that may reach so far.
fn connections(reach: Reach) -> Result<reqwest::Client, ClientError> {
    reqwest::Client::builder()
        .user_agent(concat!("doorbell/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(
            ACCEPT_ENCODING,
            HeaderValue::from_static(decode::ACCEPTED),
        )]))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(CONNECTIONS_IDLE_PER_ORIGIN_MAX)
        .pool_idle_timeout(CONNECTION_IDLE_MAX)
        .http2_keep_alive_interval(HTTP2_PROBE)
        .http2_keep_alive_timeout(HTTP2_PROBE)
        .http2_keep_alive_while_idle(true)
        .dns_resolver(Resolver::system(reach))
        .connector_layer(MapFutureLayer::new(noting_connect))
        .build()
        .map_err(|error| ClientError { detail: fault::innermost(&error) })
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
