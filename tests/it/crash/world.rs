//! The world around the daemon: an API whose items change all the time and receivers that keep a ledger, on one port.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::reply::{Manner, Reply};
use crate::support::server::{Received, Server};

/// A list, a list with an `ETag`, a list in pages linked by `Link`, and a single object.
pub(super) const SOURCES: &[&str] = &["plain", "tagged", "paged", "single"];

/// An endpoint of the trial.
pub(super) struct Endpoint {
    pub(super) name: &'static str,
    pub(super) order: Order,
    /// The sources that it hears of; [`OWN`] is doorbell itself.
    pub(super) sources: &'static [&'static str],
    /// Further keys of its declaration.
    keys: &'static str,
}

/// What comes in order at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The events of each item.
    Item,
    /// All events, whatever they are about.
    Endpoint,
    /// Nothing.
    None,
}

/// The source of what doorbell says of itself.
pub(super) const OWN: &str = "doorbell";
/// Its receiver is down for a while at times, and says at times that it is gone.
pub(super) const FRAIL: &str = "frail";
/// Paused and resumed by hand.
pub(super) const HANDLED: &str = "handled";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint { name: "usual", order: Order::Item, sources: SOURCES, keys: "" },
    Endpoint { name: "loose", order: Order::None, sources: SOURCES, keys: "order: none, " },
    Endpoint { name: HANDLED, order: Order::Item, sources: SOURCES, keys: "" },
    Endpoint {
        name: FRAIL,
        order: Order::Item,
        sources: SOURCES,
        keys: "breaker: { failures: 3, for: 50ms }, ",
    },
    // One at a time is slow: it hears of half.
    Endpoint {
        name: "strict",
        order: Order::Endpoint,
        sources: &["plain", "paged"],
        keys: "order: endpoint, events: ['plain.*', 'paged.*'], ",
    },
    Endpoint {
        name: "news",
        order: Order::Endpoint,
        sources: &[OWN],
        keys: "order: endpoint, events: ['doorbell.*'], ",
    },
];

/// Few enough that the brake never holds deletions back.
const ITEMS_MAX: usize = 30;
const ITEMS_PER_PAGE: usize = 7;
/// Listings that pages can still be asked of.
const LISTINGS_KEPT: usize = 100;
/// How long items rest between two changes, at most.
const REST_MAX: Duration = Duration::from_millis(20);
/// How long the frail receiver is down, at most.
const DOWN_MAX: Duration = Duration::from_millis(600);

/// What one source serves.
#[derive(Default)]
pub(super) struct Collection {
    /// By key; a single object has the empty one.
    pub(super) items: BTreeMap<String, Value>,
    /// Everything that ever was in it, as text.
    pub(super) versions: BTreeSet<String>,
    /// Every key that ever was taken out of it.
    pub(super) removed: BTreeSet<String>,
    version: u64,
    next_id: u64,
    /// Whole listings by version, so that the pages of one fit each other.
    listings: VecDeque<(u64, Vec<Value>)>,
}

/// One request to a receiver.
#[derive(Debug, Clone)]
pub(super) struct Rung {
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    pub(super) is_accepted: bool,
    /// It says of itself that it is sent again because somebody wants it.
    pub(super) is_replay: bool,
    /// Its endpoint was paused before any process was there to send it.
    pub(super) is_unwanted: bool,
}

/// Everything that is shown and that came in.
pub(super) struct Scenery {
    pub(super) sources: BTreeMap<&'static str, Collection>,
    pub(super) ledgers: BTreeMap<&'static str, Vec<Rung>>,
    /// Nothing may be sent to [`HANDLED`].
    pub(super) is_paused: bool,
    random: fastrand::Rng,
    /// No more faults.
    is_calm: bool,
    /// Until when the frail receiver is down.
    down_until: Option<Instant>,
}

/// The world, listening.
pub(super) struct World {
    server: Server,
    scenery: Arc<Mutex<Scenery>>,
    changing: Arc<AtomicBool>,
    hand: Option<thread::JoinHandle<()>>,
}

impl World {
    /// Everything is quiet until [`World::stir`].
    pub(super) fn new(seed: u64) -> Self {
        let mut scenery = Scenery {
            sources: SOURCES.iter().map(|name| (*name, Collection::default())).collect(),
            ledgers: ENDPOINTS.iter().map(|it| (it.name, Vec::new())).collect(),
            is_paused: false,
            random: fastrand::Rng::with_seed(seed),
            is_calm: true,
            down_until: None,
        };
        for _ in 0..60 {
            scenery.change();
        }
        let scenery = Arc::new(Mutex::new(scenery));
        let behind = Arc::clone(&scenery);
        let server =
            Server::start(Arc::new(move |received| behind.lock().unwrap().answer(&received)));
        Self { server, scenery, changing: Arc::default(), hand: None }
    }

    /// The configuration of a daemon in this world, in one of two editions: how long things take, and for how long a
    /// receiver may fail.
    pub(super) fn sources_yaml(&self, is_second: bool) -> String {
        let site = format!("http://{}", self.server.address());
        let (every, timeout) = if is_second { ("25ms", "600ms") } else { ("30ms", "500ms") };
        let source = |name: &&str| {
            let more = match *name {
                "paged" => ", key: .id, pages: link",
                "single" => "",
                _ => ", key: .id",
            };
            format!(
                "  {name}: {{ url: '{site}/{name}', every: {every}, timeout: 2s, \
                 backoff: {{ first: 10ms, max: 100ms }}{more} }}\n"
            )
        };
        let endpoint = |endpoint: &Endpoint| {
            let Endpoint { name, keys, .. } = endpoint;
            format!(
                "  {name}: {{ url: '{site}/ring/{name}', secret: any, timeout: {timeout}, {keys}\
                 retry: {{ first: 10ms, max: 100ms, for: 1h }} }}\n"
            )
        };
        let sources: String = SOURCES.iter().map(source).collect();
        let endpoints: String = ENDPOINTS.iter().map(endpoint).collect();
        format!("server: {{ listen: 127.0.0.1:0 }}\nsources:\n{sources}endpoints:\n{endpoints}")
    }

    /// From now on items change, and answers are faulty at times.
    pub(super) fn stir(&mut self) {
        self.scenery().is_calm = false;
        self.changing.store(true, Ordering::SeqCst);
        let (scenery, changing) = (Arc::clone(&self.scenery), Arc::clone(&self.changing));
        self.hand = Some(thread::spawn(move || {
            while changing.load(Ordering::SeqCst) {
                let rest = {
                    let mut scenery = scenery.lock().unwrap();
                    scenery.change();
                    REST_MAX.mul_f64(scenery.random.f64())
                };
                thread::park_timeout(rest);
            }
        }));
    }

    /// Nothing changes any more, and every answer is good.
    pub(super) fn calm(&mut self) {
        self.changing.store(false, Ordering::SeqCst);
        if let Some(hand) = self.hand.take() {
            hand.join().unwrap();
        }
        self.scenery().is_calm = true;
    }

    pub(super) fn scenery(&self) -> MutexGuard<'_, Scenery> {
        self.scenery.lock().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.changing.store(false, Ordering::SeqCst);
    }
}

impl Scenery {
    /// Something somewhere is created, updated or deleted.
    fn change(&mut self) {
        let name = SOURCES[self.random.usize(..SOURCES.len())];
        let Some(collection) = self.sources.get_mut(name) else { return };
        if name == "single" {
            collection.next_id += 1;
            collection.put(String::new(), json!({ "count": collection.next_id }));
            return;
        }
        let count = collection.items.len();
        let keys: Vec<_> = collection.items.keys().cloned().collect();
        match self.random.u8(..10) {
            0..4 if count < ITEMS_MAX => {
                // At times an item comes back that was there before.
                let id = if self.random.u8(..4) == 0 {
                    self.random.u64(..collection.next_id.max(1))
                } else {
                    collection.next_id
                };
                collection.next_id = collection.next_id.max(id + 1);
                collection.renew(id);
            }
            4..6 if count > 3 => collection.remove(&keys[self.random.usize(..count)]),
            _ if count > 0 => {
                collection.renew(keys[self.random.usize(..count)].parse().unwrap());
            }
            _ => {}
        }
    }

    fn answer(&mut self, received: &Received) -> Reply {
        let path = received.path().trim_start_matches('/');
        if let Some(endpoint) = path.strip_prefix("ring/") {
            return self.ring(endpoint, received);
        }
        let luck = self.luck();
        let collection = self.sources.get_mut(path).expect("a source's path");
        let reply = collection.list(path, received);
        match luck {
            0..20 => Reply::status(500),
            20..30 => Reply::reset(),
            30..40 => reply.sent(Manner::CutAfter(20)),
            _ => reply,
        }
    }

    fn ring(&mut self, endpoint: &str, received: &Received) -> Reply {
        let reply = self.mood(endpoint);
        let rung = Rung {
            id: received.header("webhook-id").unwrap_or_default().to_owned(),
            body: received.body.clone(),
            is_accepted: reply.status_seen() == Some(200),
            is_replay: received.header("webhook-replay") == Some("true"),
            is_unwanted: endpoint == HANDLED && self.is_paused,
        };
        self.ledgers.get_mut(endpoint).expect("an endpoint's path").push(rung);
        reply
    }

    /// What a receiver answers: well, as a rule.
    fn mood(&mut self, endpoint: &str) -> Reply {
        let luck = self.luck();
        if endpoint == FRAIL && !self.is_calm {
            let now = Instant::now();
            if self.down_until.is_some_and(|until| now < until) {
                return Reply::status(503);
            }
            match luck {
                0..2 => return Reply::status(410),
                2..15 => self.down_until = Some(now + DOWN_MAX.mul_f64(self.random.f64())),
                _ => {}
            }
        }
        match luck {
            0..20 => Reply::status(503),
            20..40 => Reply::status(500),
            40..50 => Reply::retry_after(429, "0"),
            // Stops everything to that receiver for a second.
            50..51 => Reply::retry_after(429, "1"),
            51..65 => Reply::reset(),
            65..69 => Reply::hang(),
            // The status is there, and what follows it never comes.
            69..75 => Reply::text("text/plain", "thank you").sent(Manner::CutAfter(5)),
            _ => Reply::status(200),
        }
    }

    /// Under a thousand; always the best when calm.
    fn luck(&mut self) -> u32 {
        if self.is_calm { 999 } else { self.random.u32(..1000) }
    }
}

impl Collection {
    fn put(&mut self, key: String, item: Value) {
        self.version += 1;
        self.versions.insert(item.to_string());
        self.items.insert(key, item);
    }

    /// Creates or updates an item; no two versions are the same.
    fn renew(&mut self, id: u64) {
        self.put(id.to_string(), json!({ "id": id, "at": self.version, "text": "é \u{1f514}" }));
    }

    fn remove(&mut self, key: &str) {
        self.version += 1;
        self.items.remove(key);
        self.removed.insert(key.to_owned());
    }

    fn list(&mut self, name: &str, received: &Received) -> Reply {
        let all = || self.items.values().cloned().collect::<Value>();
        match name {
            "single" => Reply::json(&self.items[""]),
            "tagged" => {
                let tag = format!("\"{}\"", self.version);
                let is_known = received.header("if-none-match") == Some(&tag);
                let reply = if is_known { Reply::status(304) } else { Reply::json(&all()) };
                reply.header("ETag", &tag)
            }
            "paged" => self.page(received),
            _ => Reply::json(&all()),
        }
    }

    /// A page of the listing as it was when its first page was asked for.
    fn page(&mut self, received: &Received) -> Reply {
        let asked = |name| received.query(name).and_then(|value| value.parse::<u64>().ok());
        let at = asked("at").unwrap_or(self.version);
        if !self.listings.iter().any(|(version, _)| *version == at) {
            self.listings.push_back((at, self.items.values().cloned().collect()));
            if self.listings.len() > LISTINGS_KEPT {
                self.listings.pop_front();
            }
        }
        let (_, listing) = self.listings.iter().find(|(version, _)| *version == at).unwrap();
        let page = usize::try_from(asked("page").unwrap_or(0)).unwrap();
        let mut pages = listing.chunks(ITEMS_PER_PAGE).skip(page);
        let items = pages.next().unwrap_or_default();
        let reply = Reply::json(&Value::Array(items.to_vec()));
        match pages.next() {
            Some(_) => {
                let next = format!("</paged?at={at}&page={}>; rel=\"next\"", page + 1);
                reply.header("Link", &next)
            }
            None => reply,
        }
    }
}
