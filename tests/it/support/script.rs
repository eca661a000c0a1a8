//! An API that does what a function says: for servers with paging, cursors and a mind of their own.

use std::sync::{Arc, Mutex};

use crate::support::reply::Reply;
use crate::support::server::{Received, Server};

/// A running API. It remembers what it was asked.
pub(crate) struct Script {
    server: Server,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Script {
    /// Starts one on a free port; `answer` says what each request is answered with.
    pub(crate) fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        let server = Server::start(Arc::new(move |received: Received| {
            let reply = answer(&received);
            heard.lock().unwrap().push(received);
            reply
        }));
        Self { server, requests }
    }

    /// `http://127.0.0.1:PORT` and a path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// All requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    /// The path and query of all requests so far; forgets them.
    pub(crate) fn take_targets(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
            .into_iter()
            .map(|received| received.target)
            .collect()
    }
}

/// Something the test changes while a server shows it.
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Sets another value.
    pub(crate) fn set(&self, value: T) {
        *self.0.lock().unwrap() = value;
    }

    /// Looks at it, or changes it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }
}

impl<T: Clone> Shared<T> {
    pub(crate) fn get(&self) -> T {
        self.0.lock().unwrap().clone()
    }
}
