//! A receiver that verifies nothing and remembers everything.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use crate::support::reply::Reply;
use crate::support::server::{Received, Server};
use crate::support::wait::{stays, wait_until};

/// A running receiver. Answers 200 until told otherwise.
pub(crate) struct Receiver {
    server: Server,
    desk: Arc<Mutex<Desk>>,
}

/// What the receiver answers, and what came.
struct Desk {
    next: VecDeque<Reply>,
    by_key: Vec<(String, Reply)>,
    always: Reply,
    ledger: Ledger,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    /// The header `webhook-id`; empty if there was none.
    pub(crate) id: String,
    /// The body as an event; null if it is not JSON.
    pub(crate) event: Value,
    /// The status it was answered with, if any. Whether the answer arrived is another matter.
    pub(crate) status: Option<u16>,
    pub(crate) received: Received,
}

impl Ring {
    /// The event's type.
    pub(crate) fn event_type(&self) -> &str {
        self.event["type"].as_str().unwrap_or_default()
    }

    /// The event's item key.
    pub(crate) fn key(&self) -> &str {
        self.event["key"].as_str().unwrap_or_default()
    }

    fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Everything that came, in the order it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) rings: Vec<Ring>,
}

impl Ledger {
    /// The ids that came at least once.
    pub(crate) fn ids(&self) -> BTreeSet<&str> {
        self.rings.iter().map(|ring| ring.id.as_str()).collect()
    }

    /// All that came with this id, first attempt first.
    pub(crate) fn attempts(&self, id: &str) -> Vec<&Ring> {
        self.rings.iter().filter(|ring| ring.id == id).collect()
    }

    /// What was answered with 2xx, each event once, in the order of the first such answer.
    pub(crate) fn accepted(&self) -> Vec<&Ring> {
        let mut seen = BTreeSet::new();
        self.rings
            .iter()
            .filter(|ring| ring.is_accepted() && seen.insert(ring.id.as_str()))
            .collect()
    }

    /// `TYPE KEY` of each accepted event, in order: what most tests compare.
    pub(crate) fn story(&self) -> Vec<String> {
        self.accepted().iter().map(|ring| format!("{} {}", ring.event_type(), ring.key())).collect()
    }

    /// The accepted events about one item, in order.
    pub(crate) fn of_key(&self, key: &str) -> Vec<&Ring> {
        self.accepted().into_iter().filter(|ring| ring.key() == key).collect()
    }

    /// Fails unless every attempt at an event had the same body, as promised.
    #[track_caller]
    pub(crate) fn assert_bodies_never_change(&self) {
        for id in self.ids() {
            let attempts = self.attempts(id);
            let first = &attempts[0].received.body;
            assert!(
                attempts.iter().all(|ring| ring.received.body == *first),
                "{id} changed its body"
            );
        }
    }
}

impl Receiver {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let desk = Arc::new(Mutex::new(Desk {
            next: VecDeque::new(),
            by_key: Vec::new(),
            always: Reply::status(200),
            ledger: Ledger::default(),
        }));
        let behind = Arc::clone(&desk);
        let server =
            Server::start(Arc::new(move |received| behind.lock().unwrap().answer(received)));
        Self { server, desk }
    }

    /// `http://127.0.0.1:PORT/hook`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.server.address())
    }

    /// Answers the next request with this. Several calls queue up.
    pub(crate) fn next(&self, reply: Reply) {
        self.desk().next.push_back(reply);
    }

    /// Answers every request with this from now on, until told otherwise.
    pub(crate) fn always(&self, reply: Reply) {
        self.desk().always = reply;
    }

    /// Answers events about one item with this, before anything else that was said.
    pub(crate) fn for_key(&self, key: &str, reply: Reply) {
        self.desk().by_key.push((key.to_owned(), reply));
    }

    /// Answers 200 to everything, and forgets what was to come.
    pub(crate) fn heal(&self) {
        let mut desk = self.desk();
        desk.next.clear();
        desk.by_key.clear();
        desk.always = Reply::status(200);
    }

    /// What came so far.
    pub(crate) fn ledger(&self) -> Ledger {
        self.desk().ledger.clone()
    }

    /// Waits until the ledger is as it should be; fails with what it is.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&Ledger) -> bool) -> Ledger {
        let shown = || self.ledger().story().join(", ");
        let found = crate::support::wait::poll_for(crate::support::wait::PATIENCE, || {
            Some(self.ledger()).filter(&condition)
        });
        found.unwrap_or_else(|| panic!("waited in vain for {what}; accepted were: {}", shown()))
    }

    /// Waits until exactly these were accepted, as `TYPE KEY`, in any order, and watches that no more come.
    #[track_caller]
    pub(crate) fn expect(&self, story: &[&str]) {
        let mut expected: Vec<_> = story.iter().map(ToString::to_string).collect();
        expected.sort();
        let told = || {
            let mut told = self.ledger().story();
            told.sort();
            told
        };
        let what = format!("{} events", expected.len());
        self.wait_for(&what, |ledger| ledger.accepted().len() >= expected.len());
        stays("no more events come", || self.ledger().accepted().len() <= expected.len());
        assert_eq!(told(), expected);
        self.ledger().assert_bodies_never_change();
    }

    /// Waits for so many more requests from now, whatever they are answered with.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, more: usize) {
        let count = || self.desk().ledger.rings.len();
        let enough = count() + more;
        wait_until(&format!("{more} more requests to the receiver"), || count() >= enough);
    }

    /// Waits until so many requests came since the start, whatever they were answered with.
    #[track_caller]
    pub(crate) fn wait_for_requests_in_all(&self, count: usize) {
        let what = format!("{count} requests to the receiver in all");
        wait_until(&what, || self.desk().ledger.rings.len() >= count);
    }

    /// How many requests came so far, whatever they were answered with.
    pub(crate) fn count(&self) -> usize {
        self.desk().ledger.rings.len()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }
}

impl Desk {
    fn answer(&mut self, received: Received) -> Reply {
        let event: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let key = event["key"].as_str().unwrap_or_default();
        let for_key =
            self.by_key.iter().rev().find(|(of, _)| of == key).map(|(_, reply)| reply.clone());
        let reply =
            for_key.or_else(|| self.next.pop_front()).unwrap_or_else(|| self.always.clone());
        let id = received.header("webhook-id").unwrap_or_default().to_owned();
        self.ledger.rings.push(Ring { id, event, status: reply.status_seen(), received });
        reply
    }
}
