//! A receiver for people who try things out: takes any path on loopback, verifies signatures, answers by a rule, and
//! tells of every request. `listen` prints what it tells; `demo` checks it.

mod body;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::cli::receiver::body::{Difference, News};

use crate::clock::Clock;
use crate::core::limits::BODY_BYTES_DEFAULT;
use crate::core::secret::Secret;
use crate::core::signature::{ID_HEADER, Received, Scheme, detect, detect_in, verify_detected};
use crate::core::time::Timestamp;

/// Requests told of and not yet read by the owner; beyond these, senders wait.
const HITS_WAITING_MAX: usize = 256;
/// Ids remembered, to tell which arrive again.
const IDS_REMEMBERED_MAX: usize = 10_000;
/// How long answers under way may take beyond their own delay once the receiver stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How a receiver behaves.
#[derive(Debug)]
pub(crate) struct Rules {
    /// 0 takes a free one.
    pub(crate) port: u16,
    /// Without any, nothing is verified and nothing refused.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) expected: Expected,
    pub(crate) answers: Answers,
    /// Before each answer.
    pub(crate) delay: Duration,
}

/// Which signature a receiver asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    /// Whichever the headers speak of.
    Any,
    Scheme(Scheme),
    /// A digest in this header, written in any way.
    Header(HeaderName),
}

/// What is answered to a request whose signature holds or was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// 200.
    Accept,
    /// 200, but every `nth` request gets `status`.
    Every { nth: u64, status: StatusCode },
    /// 200, but the `first` requests get `status`.
    First { first: u64, status: StatusCode },
}

impl Answers {
    /// The answer to the `number`th request, counted from one.
    fn to(self, number: u64) -> StatusCode {
        match self {
            Self::Every { nth, status } if number.is_multiple_of(nth) => status,
            Self::First { first, status } if number <= first => status,
            _ => StatusCode::OK,
        }
    }
}

/// What is known of a request's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// One of the secrets signed it.
    Verified { scheme: String },
    /// It is unsigned, or signed by another, or too old.
    Refused { scheme: Option<String>, reason: String },
    /// No secret was given to check it with.
    Unchecked { scheme: Option<String> },
}

/// One request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// When it had arrived whole.
    pub(crate) at: Timestamp,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// `webhook-id`.
    pub(crate) id: Option<String>,
    /// The how-many-th arrival of this id it is; 1 for a request without one.
    pub(crate) arrival: u32,
    pub(crate) proof: Proof,
    /// What it is answered.
    pub(crate) status: StatusCode,
    /// What its body tells.
    pub(crate) news: News,
    pub(crate) body: Bytes,
}

impl Hit {
    /// Whether its sender is told that all is well.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status.is_success()
    }
}

/// A running receiver. Dropping it ends it.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) hits: mpsc::Receiver<Hit>,
    server: JoinSet<io::Result<()>>,
    stop: CancellationToken,
    delay: Duration,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Receiver({})", self.address)
    }
}

impl Receiver {
    /// Binds to loopback and begins to answer.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn start(rules: Rules, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, rules.port)).await?;
        let address = listener.local_addr()?;
        let (tell, hits) = mpsc::channel(HITS_WAITING_MAX);
        let (stop, delay) = (CancellationToken::new(), rules.delay);
        let desk = Arc::new(FrontDesk { rules, clock, tell, register: Mutex::default() });
        let app = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(BODY_BYTES_DEFAULT))
            .with_state(desk);
        let stopped = stop.clone().cancelled_owned();
        let mut server = JoinSet::new();
        server
            .spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
        Ok(Self { address, hits, server, stop, delay })
    }

    /// Takes no more requests and lets answers under way go out.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // Told of no more, or a full channel would hold them up.
        self.hits.close();
        let drained = async { while self.server.join_next().await.is_some() {} };
        // Late answers are cut off: nobody waits for them any more.
        let grace = self.delay.saturating_add(STOP_GRACE);
        drop(tokio::time::timeout(grace, drained).await);
    }
}

struct FrontDesk {
    rules: Rules,
    clock: Arc<dyn Clock>,
    tell: mpsc::Sender<Hit>,
    register: Mutex<Register>,
}

/// What has arrived so far.
#[derive(Default)]
struct Register {
    requests: u64,
    arrivals: HashMap<String, u32>,
    /// Oldest first, so that the oldest is forgotten.
    ids: VecDeque<String>,
}

impl Register {
    /// The number of this request, and of this arrival of its id; both from one.
    fn enter(&mut self, id: Option<&str>) -> (u64, u32) {
        self.requests = self.requests.saturating_add(1);
        let Some(id) = id else { return (self.requests, 1) };
        if let Some(arrival) = self.arrivals.get_mut(id) {
            *arrival = arrival.saturating_add(1);
            return (self.requests, *arrival);
        }
        if self.ids.len() >= IDS_REMEMBERED_MAX
            && let Some(oldest) = self.ids.pop_front()
        {
            self.arrivals.remove(&oldest);
        }
        self.arrivals.insert(id.to_owned(), 1);
        self.ids.push_back(id.to_owned());
        (self.requests, 1)
    }
}

async fn receive(
    State(desk): State<Arc<FrontDesk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let now = desk.clock.now();
    let received = Received { method: &method, uri: &uri, headers: &headers, body: &body, now };
    let proof = prove(&desk.rules, received);
    let id = headers.get(ID_HEADER).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (number, arrival) =
        desk.register.lock().unwrap_or_else(PoisonError::into_inner).enter(id.as_deref());
    let status = match proof {
        Proof::Refused { .. } => StatusCode::UNAUTHORIZED,
        _ => desk.rules.answers.to(number),
    };
    let answer = match &proof {
        Proof::Refused { reason, .. } => format!("{reason}\n"),
        _ => String::new(),
    };
    let news = News::read(&body);
    let path = uri.path().to_owned();
    let hit = Hit { at: now, method, path, id, arrival, proof, status, news, body };
    // When the owner has gone, the answer is still owed.
    drop(desk.tell.send(hit).await);
    tokio::time::sleep(desk.rules.delay).await;
    (status, answer)
}

/// Looks for a signature and checks it.
fn prove(rules: &Rules, received: Received<'_>) -> Proof {
    let found = match &rules.expected {
        Expected::Any => detect(received.headers),
        Expected::Scheme(scheme) => Some(scheme.clone()),
        Expected::Header(name) => detect_in(received.headers, name),
    };
    let scheme = found.as_ref().map(|scheme| scheme.name().to_owned());
    if rules.secrets.is_empty() {
        return Proof::Unchecked { scheme };
    }
    let Some(found) = found else {
        let reason = match &rules.expected {
            Expected::Header(name) if received.headers.contains_key(name) => {
                format!("{name} holds no HMAC-SHA256 in hex or base64")
            }
            Expected::Header(name) => format!("there is no {name}"),
            _ => String::from("there is no signature header that is known here"),
        };
        return Proof::Refused { scheme, reason };
    };
    match verify_detected(&found, &rules.secrets, received) {
        Ok(()) => Proof::Verified { scheme: found.name().to_owned() },
        Err(mismatch) => Proof::Refused { scheme, reason: mismatch.to_string() },
    }
}
