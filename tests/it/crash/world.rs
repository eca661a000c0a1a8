//! The world around the daemon: an API whose items change all the time and receivers that keep a ledger, on one port.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::reply::{Manner, Reply};
use crate::support::server::{Received, Server};

/// A list, a list with an `ETag`, a list in pages linked by `Link`, and a single object.
pub(super) const SOURCES: &[&str] = &["plain", "tagged", "paged", "single"];
/// The endpoints: each gets everything.
pub(super) const ENDPOINTS: &[&str] = &["first", "second"];

/// Few enough that the brake never holds deletions back.
const ITEMS_MAX: usize = 30;
const ITEMS_PER_PAGE: usize = 7;
/// Listings that pages can still be asked of.
const LISTINGS_KEPT: usize = 100;
/// How long items rest between two changes, at most.
const REST_MAX: Duration = Duration::from_millis(12);

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
}

/// Everything that is shown and that came in.
pub(super) struct Scenery {
    pub(super) sources: BTreeMap<&'static str, Collection>,
    pub(super) ledgers: BTreeMap<&'static str, Vec<Rung>>,
    random: fastrand::Rng,
    /// No more faults.
    is_calm: bool,
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
            ledgers: ENDPOINTS.iter().map(|name| (*name, Vec::new())).collect(),
            random: fastrand::Rng::with_seed(seed),
            is_calm: true,
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

    /// The configuration of a daemon in this world.
    pub(super) fn sources_yaml(&self) -> String {
        let site = format!("http://{}", self.server.address());
        let source = |name: &&str| {
            let more = match *name {
                "paged" => ", key: .id, pages: link",
                "single" => "",
                _ => ", key: .id",
            };
            format!(
                "  {name}: {{ url: '{site}/{name}', every: 30ms, timeout: 2s, \
                 backoff: {{ first: 10ms, max: 100ms }}{more} }}\n"
            )
        };
        let endpoint = |name: &&str| {
            format!(
                "  {name}: {{ url: '{site}/ring/{name}', secret: any, timeout: 500ms, \
                 retry: {{ first: 10ms, max: 100ms, for: 1h }} }}\n"
            )
        };
        let sources: String = SOURCES.iter().map(source).collect();
        let endpoints: String = ENDPOINTS.iter().map(endpoint).collect();
        format!("sources:\n{sources}endpoints:\n{endpoints}")
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
        let reply = match self.luck() {
            0..60 => Reply::status(503),
            60..75 => Reply::reset(),
            75..80 => Reply::hang(),
            _ => Reply::status(200),
        };
        let id = received.header("webhook-id").unwrap_or_default().to_owned();
        let is_accepted = reply.status_seen() == Some(200);
        let rung = Rung { id, body: received.body.clone(), is_accepted };
        self.ledgers.get_mut(endpoint).expect("an endpoint's path").push(rung);
        reply
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
