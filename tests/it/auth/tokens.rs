//! OAuth 2.0 against a server that is as strict as the strictest: single-use refresh tokens, tokens that end.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Listener, endpoint, fault, heals, source};
use crate::support::reply::Reply;
use crate::support::scene::{item, items};
use crate::support::server::Received;
use crate::support::wait::wait_until;
use crate::support::{Daemon, Receiver};

/// What the server knows.
#[derive(Default)]
pub(super) struct Books {
    lifetime: Option<Duration>,
    /// Whether each refresh token is good for one use.
    rotates: bool,
    refresh: String,
    /// Good until then; `None` until they are revoked.
    tokens: BTreeMap<String, Option<Instant>>,
    granted: usize,
    refused: usize,
    /// Answers of the API that were 401.
    denied: usize,
    served: usize,
    items: Value,
}

/// Grants tokens at `/token`, and serves items at every other path to who shows a good one.
pub(super) struct TokenServer {
    books: Arc<Mutex<Books>>,
    listener: Listener,
}

/// The parameters of a form.
fn form(received: &Received) -> BTreeMap<String, String> {
    let query = format!("http://x/?{}", String::from_utf8_lossy(&received.body));
    let pairs = url::Url::parse(&query).unwrap();
    pairs.query_pairs().map(|(name, value)| (name.into(), value.into())).collect()
}

impl TokenServer {
    pub(super) fn start() -> Self {
        let books: Arc<Mutex<Books>> = Arc::default();
        {
            let mut books = books.lock().unwrap();
            books.items = items(1);
            books.refresh = String::from("refresh-0-s3cret");
        }
        let behind = Arc::clone(&books);
        let listener = Listener::start(move |received| {
            let mut books = behind.lock().unwrap();
            if received.path() == "/token" { books.grant(received) } else { books.serve(received) }
        });
        Self { books, listener }
    }

    /// The token endpoint.
    pub(super) fn url(&self) -> String {
        self.listener.url("/token")
    }

    fn api(&self) -> String {
        self.listener.url("/items")
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Whether the newest token was used already and is not to be renewed just now.
    fn is_between_renewals(&self) -> bool {
        let heard = self.listener.heard();
        let renewed = heard.iter().rfind(|received| received.path() == "/token");
        let used = heard.last().filter(|received| received.path() == "/items");
        let fresh = Duration::from_millis(500);
        renewed.is_some_and(|renewed| used.is_some() && renewed.at.elapsed() < fresh)
    }

    fn asked(&self) -> Vec<Received> {
        self.listener.heard().into_iter().filter(|received| received.path() == "/token").collect()
    }
}

impl Books {
    fn grant(&mut self, received: &Received) -> Reply {
        let form = form(received);
        let refused = |error: &str| Reply::json(&json!({ "error": error })).with_status(400);
        let mut answer = json!({ "token_type": "Bearer" });
        if form["grant_type"] == "refresh_token" {
            if form.get("refresh_token") != Some(&self.refresh) {
                self.refused += 1;
                return refused("invalid_grant");
            }
            if self.rotates {
                self.refresh = format!("refresh-{}-s3cret", self.granted + 1);
                answer["refresh_token"] = json!(self.refresh);
            }
        }
        self.granted += 1;
        let token = format!("access-{}-s3cret", self.granted);
        answer["access_token"] = json!(token);
        if let Some(lifetime) = self.lifetime {
            answer["expires_in"] = json!(lifetime.as_secs());
        }
        self.tokens.insert(token, self.lifetime.map(|lifetime| Instant::now() + lifetime));
        Reply::json(&answer)
    }

    fn serve(&mut self, received: &Received) -> Reply {
        let shown =
            received.header("authorization").and_then(|shown| shown.strip_prefix("Bearer "));
        let good = |end: &Option<Instant>| end.is_none_or(|end| Instant::now() < end);
        if received.path() != "/never"
            && shown.and_then(|token| self.tokens.get(token)).is_some_and(good)
        {
            self.served += 1;
            return Reply::json(&self.items);
        }
        self.denied += 1;
        Reply::status(401)
    }
}

/// A source with client credentials.
fn client(server: &TokenServer, name: &str, path: &str) -> String {
    let auth = format!(
        "auth: {{ oauth2: {{ token_url: '{}', client_id: door, client_secret: 'client-s3cret', scopes: [read, write], audience: tickets }} }}",
        server.url()
    );
    source(name, &server.listener.url(path), &auth)
}

/// A source with a refresh token.
fn refreshing(server: &TokenServer, refresh: &str) -> String {
    let auth = format!(
        "auth: {{ oauth2: {{ token_url: '{}', grant: refresh_token, client_id: door, auth_style: body, client_secret: 'client-s3cret', refresh_token: '{refresh}' }} }}",
        server.url()
    );
    source("tickets", &server.api(), &auth)
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let server = TokenServer::start();
    server.books().lifetime = Some(Duration::from_secs(2));
    let mut daemon = Daemon::run(&format!("sources:\n{}", client(&server, "tickets", "/items")));
    wait_until("four tokens", || server.books().granted >= 4);
    daemon.wait_until_polled("tickets");
    let books = server.books();
    assert_eq!(books.denied, 0, "no token was used beyond its end");
    assert!(books.served > books.granted, "a token serves many polls");
    drop(books);
    assert!(daemon.polls("tickets", "failed") < 0.5);
    let asked = &server.asked()[0];
    // door:client-s3cret
    assert_eq!(asked.header("authorization"), Some("Basic ZG9vcjpjbGllbnQtczNjcmV0"));
    let form = form(asked);
    let expected =
        [("audience", "tickets"), ("grant_type", "client_credentials"), ("scope", "read write")];
    assert!(
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected),
        "{form:?}"
    );
}

#[test]
fn fifty_sources_share_one_token_and_a_refusal_renews_it_once() {
    let server = TokenServer::start();
    let sources: String =
        (0..50).map(|number| client(&server, &format!("s{number}"), "/items")).collect();
    let mut daemon = Daemon::run(&format!("sources:\n{sources}"));
    for number in 0..50 {
        daemon.wait_until_polled(&format!("s{number}"));
    }
    assert_eq!(server.books().granted, 1);
    server.books().tokens.clear();
    for number in 0..50 {
        daemon.wait_for_good_polls(&format!("s{number}"), 2);
    }
    assert_eq!(server.books().granted, 2);
    for number in 0..50 {
        assert!(daemon.polls(&format!("s{number}"), "failed") < 0.5, "s{number}");
    }
}

#[test]
fn what_refuses_every_token_is_the_sources_fault_and_wears_nobody_out() {
    let server = TokenServer::start();
    let config = client(&server, "good", "/items") + &client(&server, "never", "/never");
    let mut daemon = Daemon::run(&format!("sources:\n{config}"));
    assert!(fault(&mut daemon, "never", "http_401").contains("credentials"));
    wait_until("many refusals", || server.books().denied >= 10);
    heals(&mut daemon, "good");
    assert!(server.books().granted <= 4, "{}", server.books().granted);
}

#[test]
fn a_token_server_that_refuses_is_told_in_a_sentence() {
    let server = TokenServer::start();
    let mut daemon = Daemon::run(&format!("sources:\n{}", refreshing(&server, "used-up-s3cret")));
    let sentence = fault(&mut daemon, "tickets", "oauth2_invalid_grant");
    assert!(
        sentence.starts_with("no token from 127.0.0.1: it answered 400, invalid_grant"),
        "{sentence}"
    );
    assert!(!daemon.log_text().contains("s3cret"));
    // A person puts a good one into the file.
    daemon.write_config(&format!("sources:\n{}", refreshing(&server, "refresh-0-s3cret")));
    daemon.hup();
    heals(&mut daemon, "tickets");
}

#[test]
fn a_rotated_refresh_token_survives_a_kill_and_a_new_one_in_the_file_wins() {
    let (server, receiver) = (TokenServer::start(), Receiver::start());
    (server.books().lifetime, server.books().rotates) = (Some(Duration::from_secs(2)), true);
    let config = |refresh: &str| {
        format!("sources:\n{}{}", refreshing(&server, refresh), endpoint(&receiver))
    };
    let mut daemon = Daemon::run(&config("refresh-0-s3cret"));
    for _ in 1..=3 {
        let granted = server.books().granted;
        wait_until("a rotation or two", || server.books().granted >= granted + 2);
        daemon.wait_until_polled("tickets");
        // A kill between the server's answer and our disk cannot be survived by anybody: not in the moment of a renewal.
        wait_until("a token that is used", || server.is_between_renewals());
        daemon.kill9();
        daemon.start();
        daemon.wait_until_polled("tickets");
    }
    assert_eq!(server.books().refused, 0);
    // The authorisation is given anew: the old chain is dead, the file has the beginning of another.
    daemon.term();
    server.books().refresh = String::from("again-0-s3cret");
    server.books().tokens.clear();
    daemon.write_config(&config("again-0-s3cret"));
    daemon.start();
    heals(&mut daemon, "tickets");
    // No change of tokens rang anything, and a change does.
    server.books().items = json!([item(1), item(2)]);
    receiver.expect(&["tickets.created 2"]);
    // Nothing of it lies about.
    daemon.term();
    let copy = daemon.path("copy.db");
    assert_eq!(daemon.cli(&["backup", &copy.to_string_lossy()]).code, Some(0));
    let state = fs::read_dir(daemon.state_path()).unwrap().map(|entry| entry.unwrap().path());
    for path in state.chain([copy, daemon.path("stderr"), daemon.path("stdout")]) {
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "{}", path.display());
    }
}

#[test]
fn an_assertion_is_signed_with_the_key_of_the_file() {
    let server = TokenServer::start();
    let auth = |key: &str| {
        let url = server.url();
        format!(
            "auth: {{ oauth2: {{ token_url: '{url}', grant: jwt_bearer, private_key: {key}, issuer: door, subject: 'clerk@tickets.example', audience: 'https://login.example', key_id: k1, scopes: api }} }}"
        )
    };
    let pem = include_str!("../../cases/tls/rsa.key");
    let inline = serde_json::to_string(pem).unwrap();
    let config = format!(
        "sources:\n{}{}",
        source("file", &server.api(), &auth("keys/rsa.pem")),
        source(
            "inline",
            &server.api(),
            &auth(&inline).replace("subject: 'clerk", "subject: 'chief")
        ),
    );
    let mut daemon = Daemon::new(&config);
    fs::create_dir(daemon.path("keys")).unwrap();
    fs::write(daemon.path("keys/rsa.pem"), pem).unwrap();
    daemon.start();
    daemon.wait_until_polled("file");
    daemon.wait_until_polled("inline");
    let public = BASE64_STANDARD.decode(include_str!("../../cases/tls/rsa.pub.b64")).unwrap();
    let mut subjects = Vec::new();
    for asked in server.asked() {
        let form = form(&asked);
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(form["scope"], "api");
        let (message, signature) = form["assertion"].rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
        key.verify(message.as_bytes(), &signature).expect("the signature holds");
        let read = |part: &str| -> Value {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = message.split_once('.').unwrap();
        assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let claims = read(claims);
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!("door"), &json!("https://login.example"))
        );
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 180);
        subjects.push(claims["sub"].as_str().unwrap().to_owned());
    }
    subjects.sort_unstable();
    assert_eq!(subjects, ["chief@tickets.example", "clerk@tickets.example"]);
}

#[test]
fn a_poll_by_hand_without_a_daemon_keeps_the_refresh_token() {
    let server = TokenServer::start();
    server.books().rotates = true;
    let daemon = Daemon::new(&format!("sources:\n{}", refreshing(&server, "refresh-0-s3cret")));
    for _ in 0..3 {
        let told = daemon.cli(&["poll", "tickets"]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let books = server.books();
    assert_eq!((books.granted, books.refused), (3, 0));
}
