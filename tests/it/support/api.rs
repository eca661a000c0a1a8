//! An API to poll. Every path lists the items, except `/items/ID`, which is one of them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::support::reply::Reply;
use crate::support::server::{Received, Server};
use crate::support::wait::wait_until;

/// A running API. Serves `[]` with an `ETag` until told otherwise.
pub(crate) struct ApiServer {
    server: Server,
    desk: Arc<Mutex<Desk>>,
}

/// What the API serves, and what it was asked.
struct Desk {
    items: Value,
    etags: bool,
    items_per_page: Option<usize>,
    /// Answers to the next requests, instead of the items.
    next: VecDeque<Reply>,
    /// The answer to every request after those.
    always: Option<Reply>,
    requests: Vec<Received>,
}

impl ApiServer {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let desk = Arc::new(Mutex::new(Desk {
            items: json!([]),
            etags: true,
            items_per_page: None,
            next: VecDeque::new(),
            always: None,
            requests: Vec::new(),
        }));
        let behind = Arc::clone(&desk);
        let server =
            Server::start(Arc::new(move |received| behind.lock().unwrap().answer(received)));
        Self { server, desk }
    }

    /// Starts one with these items.
    pub(crate) fn with_items(items: Value) -> Self {
        let api = Self::start();
        api.set_items(items);
        api
    }

    /// `http://127.0.0.1:PORT/items`.
    pub(crate) fn url(&self) -> String {
        self.url_of("/items")
    }

    /// The URL of another path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// Serves this document from now on: usually an array of objects with `id`.
    pub(crate) fn set_items(&self, items: Value) {
        self.desk().items = items;
    }

    /// Whether answers carry an `ETag` and unchanged items are 304 (they do and are, unless told otherwise).
    pub(crate) fn set_etags(&self, on: bool) {
        self.desk().etags = on;
    }

    /// Splits the list into pages, linked by `Link: <…>; rel="next"`.
    pub(crate) fn set_items_per_page(&self, items: usize) {
        self.desk().items_per_page = Some(items);
    }

    /// Answers the next request with this. Several calls queue up.
    pub(crate) fn next(&self, reply: Reply) {
        self.desk().next.push_back(reply);
    }

    /// Answers every request with this until [`ApiServer::heal`].
    pub(crate) fn always(&self, reply: Reply) {
        self.desk().always = Some(reply);
    }

    /// Serves items again, and forgets what was to come.
    pub(crate) fn heal(&self) {
        let mut desk = self.desk();
        desk.always = None;
        desk.next.clear();
    }

    /// All requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.desk().requests.clone()
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.desk().requests.len()
    }

    /// Waits for so many more requests from now.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, more: usize) {
        let enough = self.asked() + more;
        wait_until(&format!("{more} more requests to the API"), || self.asked() >= enough);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }
}

impl Desk {
    fn answer(&mut self, received: Received) -> Reply {
        let reply = self.next.pop_front().or_else(|| self.always.clone());
        let reply = reply.unwrap_or_else(|| self.serve(&received));
        self.requests.push(received);
        reply
    }

    fn serve(&self, received: &Received) -> Reply {
        if let Some(id) = received.path().strip_prefix("/items/") {
            return self.serve_item(id);
        }
        let (page, next) = self.page(received);
        let mut reply = Reply::json(&page);
        if self.etags {
            let mut hasher = DefaultHasher::new();
            reply.body.hash(&mut hasher);
            let etag = format!("\"{:016x}\"", hasher.finish());
            if received.header("if-none-match") == Some(&etag) {
                reply = Reply::status(304);
            }
            reply = reply.header("ETag", &etag);
        }
        match next {
            Some(next) => reply.header("Link", &format!("<{next}>; rel=\"next\"")),
            None => reply,
        }
    }

    /// One item by its `id`, a string or a whole number, or 404.
    fn serve_item(&self, id: &str) -> Reply {
        let all = self.items.as_array().map_or(&[][..], Vec::as_slice);
        let is_it = |item: &&Value| match &item["id"] {
            Value::String(text) => text == id,
            other => id.parse().is_ok_and(|id: u64| *other == id),
        };
        all.iter().find(is_it).map_or_else(|| Reply::status(404), Reply::json)
    }

    /// The page that was asked for, and where the next one is.
    fn page(&self, received: &Received) -> (Value, Option<String>) {
        let (Some(size), Some(all)) = (self.items_per_page, self.items.as_array()) else {
            return (self.items.clone(), None);
        };
        let page: usize = received.query("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let items: Vec<_> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
        let more = all.len() > page * size;
        let next = more.then(|| format!("{}?page={}", received.path(), page + 1));
        (Value::Array(items), next)
    }
}
