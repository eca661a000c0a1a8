//! Credentials and connections: tokens that are shared, renewed and kept, redirects that carry no credentials away,
//! certificates on both sides, proxies; and that none of it rings.

mod tls;
mod tokens;

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::reply::Reply;
use crate::support::scene::{item, items};
use crate::support::server::{Received, Server};
use crate::support::wait::{stays, wait_for, wait_until};
use crate::support::{Daemon, Receiver, Scene};

use tokens::TokenServer;

/// A server that keeps what it was asked.
pub(crate) struct Listener {
    server: Server,
    heard: Arc<Mutex<Vec<Received>>>,
}

impl Listener {
    pub(crate) fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let heard: Arc<Mutex<Vec<Received>>> = Arc::default();
        let ear = Arc::clone(&heard);
        let server = Server::start(Arc::new(move |received| {
            let reply = answer(&received);
            ear.lock().unwrap().push(received);
            reply
        }));
        Self { server, heard }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) fn heard(&self) -> Vec<Received> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for a request with this path, and gives the first.
    #[track_caller]
    fn first(&self, path: &str) -> Received {
        wait_for(&format!("a request for {path}"), || {
            self.heard().into_iter().find(|received| received.path() == path)
        })
    }
}

/// One source, polled often.
pub(crate) fn source(name: &str, url: &str, more: &str) -> String {
    format!(
        "  {name}: {{ url: '{url}', key: .id, every: 100ms, timeout: 5s, backoff: {{ first: 50ms, max: 200ms }}, {more} }}\n"
    )
}

/// Waits until a source's fault has this code, and gives its sentence.
#[track_caller]
pub(crate) fn fault(daemon: &mut Daemon, source: &str, code: &str) -> String {
    daemon.wait_for(&format!("the fault {code} of {source}"), |daemon| {
        let row = daemon.control_json(&format!("/v1/sources/{source}"));
        let is_it = row["fault"]["code"] == code;
        is_it.then(|| row["fault"]["sentence"].as_str().unwrap().to_owned())
    })
}

/// Answers a path with a redirect to another.
fn redirecting(status: u16, from: &'static str, to: String) -> Listener {
    Listener::start(move |received| {
        if received.path() == from {
            Reply::redirect(&to).with_status(status)
        } else {
            Reply::json(&items(1))
        }
    })
}

#[test]
fn a_redirect_is_followed_only_when_that_is_allowed() {
    let api = redirecting(302, "/old", String::from("/items?page=1"));
    let circle = redirecting(308, "/old", String::from("/old"));
    let mut daemon = Daemon::run(&format!(
        "sources:\n{}{}{}",
        source("no", &api.url("/old"), ""),
        source("yes", &api.url("/old"), "redirects: 1, auth: { bearer: s3cret-token }"),
        source("circle", &circle.url("/old"), "redirects: 5"),
    ));
    daemon.wait_for_good_polls("yes", 1);
    let followed = api.first("/items");
    assert_eq!(followed.header("authorization"), Some("Bearer s3cret-token"));
    assert!(fault(&mut daemon, "no", "http_302").contains("`redirects: 1`"));
    assert!(fault(&mut daemon, "circle", "redirect").contains("in a circle"));
}

#[test]
fn credentials_are_dropped_when_a_redirect_leaves_the_origin() {
    let elsewhere = Listener::start(|_| Reply::json(&items(1)));
    // There, and back again: to another path of the origin.
    let back: Arc<Mutex<String>> = Arc::default();
    let back_to = Arc::clone(&back);
    let detour =
        Listener::start(move |_| Reply::redirect(&back_to.lock().unwrap()).with_status(307));
    let (to, by) = (elsewhere.url("/items"), detour.url("/by"));
    let api = Listener::start(move |received| match received.path() {
        "/away" => Reply::redirect(&format!(
            "{to}?{}",
            received.target.split_once('?').map_or("", |(_, query)| query)
        )),
        "/round" => Reply::redirect(&by).with_status(307),
        _ => Reply::json(&items(1)),
    });
    *back.lock().unwrap() = api.url("/back");
    let auths = [
        ("bearer", "auth: { bearer: s3cret }"),
        ("basic", "auth: { basic: { user: clerk, password: s3cret } }"),
        ("header", "auth: { header: { X-Odd: s3cret } }"),
        ("query", "auth: { query: { odd: s3cret } }"),
        (
            "own",
            "headers: { Cookie: s3cret, X-My-Token: s3cret, X-Plain: unknown, Accept: text/plain }, query: { api_key: s3cret, page: 2 }",
        ),
    ];
    let sources: String = auths
        .iter()
        .map(|(name, auth)| {
            source(name, &api.url("/away"), &format!("redirects: 3, {auth}"))
                + &source(
                    &format!("round-{name}"),
                    &api.url("/round"),
                    &format!("redirects: 3, {auth}"),
                )
        })
        .collect();
    let mut daemon = Daemon::run(&format!("sources:\n{sources}"));
    for (name, _) in auths {
        daemon.wait_until_polled(name);
        daemon.wait_until_polled(&format!("round-{name}"));
    }
    let basic = "Y2xlcms6czNjcmV0";
    let shows = |received: &Received| {
        let said = format!("{received:?} {}", received.target);
        said.contains("s3cret") || said.contains(basic)
    };
    assert!(api.heard().iter().filter(|received| received.path() == "/away").all(shows));
    assert!(!elsewhere.heard().is_empty() && !elsewhere.heard().iter().any(shows));
    assert!(!detour.heard().is_empty() && !detour.heard().iter().any(shows));
    let back: Vec<_> =
        api.heard().into_iter().filter(|received| received.path() == "/back").collect();
    assert!(!back.is_empty() && !back.iter().any(shows), "what was dropped came back");
    // What is no credential goes along; of a header of the operator's own nobody knows.
    let own = |received: &Received| {
        received.header("accept") == Some("text/plain") && received.query("page") == Some("2")
    };
    assert!(elsewhere.heard().iter().any(own));
    assert!(!elsewhere.heard().iter().any(|received| received.header("x-plain").is_some()));
}

#[test]
fn a_redirect_to_a_host_that_somebody_else_named_is_held_to_public_addresses() {
    let inside = Listener::start(|_| Reply::json(&items(1)));
    let port = inside.url("").rsplit(':').next().unwrap().to_owned();
    let api = redirecting(307, "/old", format!("http://localhost:{port}/inside"));
    let mut daemon =
        Daemon::run(&format!("sources:\n{}", source("one", &api.url("/old"), "redirects: 3")));
    assert!(fault(&mut daemon, "one", "blocked").contains("localhost"));
    assert!(inside.heard().is_empty());
}

#[test]
fn a_proxy_is_used_when_it_is_named_and_only_then() {
    let proxy = Listener::start(|_| Reply::json(&items(1)));
    let unused = Listener::start(|_| Reply::json(&items(9)));
    let api = Listener::start(|_| Reply::json(&items(1)));
    let named = proxy.url("").replace("http://", "http://clerk:p%40ss-s3cret@");
    let mut daemon = Daemon::new(&format!(
        "sources:\n{}{}{}",
        source("direct", &api.url("/items"), ""),
        source("proxied", "http://tickets.example/items", &format!("proxy: '{named}'")),
        source("dead", &api.url("/items"), "proxy: 'http://127.0.0.1:1'"),
    ));
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        daemon.set_env(name, &unused.url(""));
    }
    daemon.start();
    daemon.wait_until_polled("direct");
    daemon.wait_until_polled("proxied");
    let asked = &proxy.heard()[0];
    assert_eq!(asked.target, "http://tickets.example/items");
    // clerk:p@ss-s3cret
    assert_eq!(asked.header("proxy-authorization"), Some("Basic Y2xlcms6cEBzcy1zM2NyZXQ="));
    let sentence = fault(&mut daemon, "dead", "connect");
    assert!(sentence.contains("through the proxy 127.0.0.1:1"), "{sentence}");
    assert!(unused.heard().is_empty());
    assert!(!daemon.log_text().contains("s3cret"));
}

#[test]
fn a_change_of_credentials_alone_rings_nothing_and_forgets_nothing() {
    let server = TokenServer::start();
    let mut scene = Scene::set(items(3));
    let with = |scene: &Scene, auth: &str| {
        scene.config().replace("    every:", &format!("    {auth}\n    every:"))
    };
    let auths = [
        "auth: { bearer: one }".to_owned(),
        "auth: { bearer: two }".to_owned(),
        "auth: { query: { api_key: three } }".to_owned(),
        format!(
            "auth: {{ oauth2: {{ token_url: '{}', client_id: door, client_secret: bell }} }}",
            server.url()
        ),
        format!(
            "auth: {{ oauth2: {{ token_url: '{}', client_id: door, client_secret: other }} }}\n    redirects: 2",
            server.url()
        ),
    ];
    scene.daemon.write_config(&with(&scene, &auths[0]));
    scene.daemon.start();
    scene.daemon.wait_for_good_polls("tickets", 2);
    for auth in &auths[1..] {
        let log_end = scene.daemon.log_end();
        scene.daemon.write_config(&with(&scene, auth));
        scene.daemon.hup();
        scene.daemon.wait_until("a reload", |daemon| {
            !daemon.logged_since(log_end, &["is taken on"]).is_empty()
        });
        scene.daemon.wait_for_good_polls("tickets", 2);
        let row = scene.daemon.control_json("/v1/sources/tickets");
        assert_eq!(row["fault"], json!(null), "{auth}: {row}");
    }
    stays("silence", || scene.receiver.ledger().story().is_empty());
    // Nothing was forgotten: what changes now is told as a change, once.
    scene.api.set_items(json!([item(1), item(2), { "id": 3, "status": "old" }]));
    scene.receiver.expect(&["tickets.updated 3"]);
    assert!(scene.api.requests().last().unwrap().header("authorization").is_some());
}

/// What rang so far, from a source that is named `tickets`.
pub(crate) fn endpoint(receiver: &Receiver) -> String {
    format!("endpoints:\n  desk: {{ url: '{}', secret: any }}\n", receiver.url())
}

/// A source is polled well at least once more.
#[track_caller]
pub(crate) fn heals(daemon: &mut Daemon, source: &str) {
    daemon.wait_for_good_polls(source, 1);
    wait_until("no fault", || {
        daemon.control_json(&format!("/v1/sources/{source}"))["fault"].is_null()
    });
}
