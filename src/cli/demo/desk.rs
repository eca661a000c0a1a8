//! The demo's ticket API: a list of tickets with an `ETag`, and no webhooks. What the story changes here, doorbell has to
//! find out by itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where the tickets are.
pub(super) const PATH: &str = "/api/v1/tickets";

/// One ticket as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ticket {
    pub(super) id: u32,
    pub(super) subject: &'static str,
    pub(super) status: &'static str,
    pub(super) priority: &'static str,
    /// Changes whenever somebody looks: the field that every API has and nobody wants to hear of.
    pub(super) views: u32,
}

/// What has been asked of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) polls: u64,
    /// Of those, how many were answered 304.
    pub(super) not_modified: u64,
}

#[derive(Debug, Serialize)]
struct Listing {
    tickets: Vec<Ticket>,
    #[serde(skip)]
    revision: u64,
}

/// The running API. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) address: SocketAddr,
    listing: Arc<Mutex<Listing>>,
    traffic: watch::Receiver<Traffic>,
    _server: JoinSet<io::Result<()>>,
}

#[derive(Clone)]
struct Counter {
    listing: Arc<Mutex<Listing>>,
    traffic: Arc<watch::Sender<Traffic>>,
}

impl Desk {
    /// Binds to loopback with three tickets at hand.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let ticket =
            |id, subject, priority| Ticket { id, subject, status: "open", priority, views: 1 };
        let tickets = vec![
            ticket(1, "Cannot log in", "high"),
            ticket(2, "Invoice is wrong", "normal"),
            ticket(3, "How do I export?", "low"),
        ];
        let listing = Arc::new(Mutex::new(Listing { tickets, revision: 1 }));
        let (count, traffic) = watch::channel(Traffic::default());
        let counter = Counter { listing: Arc::clone(&listing), traffic: Arc::new(count) };
        let app = Router::new().route(PATH, get(list)).with_state(counter);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, listing, traffic, _server: server })
    }

    /// What has been asked so far.
    pub(super) fn traffic(&self) -> Traffic {
        *self.traffic.borrow()
    }

    /// Waits until `more` further polls were answered.
    pub(super) async fn polled(&self, more: u64) {
        let goal = self.traffic().polls + more;
        // The other half lives as long as the server; without it there is nothing to wait for.
        drop(self.traffic.clone().wait_for(|traffic| traffic.polls >= goal).await);
    }

    /// How many tickets there are.
    pub(super) fn ticket_count(&self) -> usize {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner).tickets.len()
    }

    /// Changes the tickets, and with them the `ETag`.
    pub(super) fn change(&self, by: impl FnOnce(&mut Vec<Ticket>)) {
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        by(&mut listing.tickets);
        listing.revision += 1;
    }
}

async fn list(State(counter): State<Counter>, headers: HeaderMap) -> Response {
    let (etag, listing) = {
        let listing = counter.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let etag = format!("\"r{}\"", listing.revision);
        (etag, Listing { tickets: listing.tickets.clone(), revision: listing.revision })
    };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == *etag);
    counter.traffic.send_modify(|traffic| {
        traffic.polls += 1;
        traffic.not_modified += u64::from(known);
    });
    if known {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    let tag = [(ETAG, etag), (CONTENT_TYPE, String::from("application/json"))];
    (tag, Json(listing)).into_response()
}
