//! One token for many: shared, renewed in time and after a refusal, its refresh token never lost.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Ports, Tokens};
use crate::clock::{Random, Virtual};
use crate::core::auth::oauth2::{Grant, OAuth2};
use crate::core::fault::Whose;
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault, Way};
use crate::core::secret::Secret;
use crate::http::{Exchange, HttpClient};
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::telemetry::Redactor;

/// A token server and an API in one. Tokens are `t1`, `t2`, …, and refresh tokens `r1`, `r2`, ….
#[derive(Default)]
struct Desk {
    /// Answers of the token server; a granted token when there is none.
    next: VecDeque<(u16, Value)>,
    lifetime: Option<u64>,
    rotates: bool,
    /// How long it takes.
    delay: Duration,
    /// What the token server was told.
    asked: Vec<String>,
    granted: usize,
    /// The API's answer to every token before this is 401.
    good_from: usize,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Desk>>);

impl Server {
    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn token_answer(&self, body: String) -> (u16, Value) {
        let mut desk = self.0.lock().unwrap();
        desk.asked.push(body);
        if let Some(answer) = desk.next.pop_front() {
            return answer;
        }
        desk.granted += 1;
        let number = desk.granted;
        let mut answer =
            json!({ "access_token": format!("t{number}"), "expires_in": desk.lifetime });
        if desk.rotates {
            answer["refresh_token"] = json!(format!("r{number}"));
        }
        (200, answer)
    }

    fn api_answer(&self, headers: &HeaderMap) -> (u16, Value) {
        let shown = headers["authorization"].to_str().unwrap().to_owned();
        let number: usize = shown.strip_prefix("Bearer t").unwrap().parse().unwrap();
        let status = if number < self.0.lock().unwrap().good_from { 401 } else { 200 };
        (status, json!(shown))
    }
}

impl HttpClient for Server {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let is_token = request.url.path() == "/token";
            let delay = self.0.lock().unwrap().delay;
            if is_token {
                sleep(delay).await;
            }
            let (status, body) = if is_token {
                self.token_answer(String::from_utf8(request.body.to_vec()).unwrap())
            } else {
                self.api_answer(&request.headers)
            };
            Ok(Response { status, headers: HeaderMap::new(), body: Bytes::from(body.to_string()) })
        })
    }
}

fn oauth2(grant: Grant) -> Arc<OAuth2> {
    Arc::new(OAuth2 {
        token_url: "https://login.example/token".parse().unwrap(),
        grant,
        client: None,
        scopes: Vec::new(),
        parameters: Vec::new(),
    })
}

fn refreshing() -> Arc<OAuth2> {
    oauth2(Grant::RefreshToken(Secret::new("r0")))
}

fn tokens(server: &Server, store: &StoreHandle) -> Tokens {
    Tokens::new(Ports {
        store: store.clone(),
        http: Arc::new(server.clone()),
        clock: Arc::new(Virtual::new()),
        entropy: Arc::new(Random::seeded(1)),
        redactor: Redactor::default(),
    })
}

fn memory() -> StoreHandle {
    StoreHandle::inline(Box::new(MemoryStore::new(7)))
}

/// What the API said, or the code of a fault.
async fn poll(tokens: &Tokens, oauth2: &Arc<OAuth2>) -> String {
    let request = Request {
        method: Method::GET,
        url: "https://api.example/items".parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: Duration::from_secs(5),
        limit: BodyLimit::Whole { bytes_max: 1000 },
        reach: Reach::Anywhere,
        way: Way { oauth2: Some(Arc::clone(oauth2)), ..Way::default() },
    };
    match tokens.exchange(request).await {
        Ok(response) => format!("{} {}", response.status, String::from_utf8_lossy(&response.body)),
        Err(fault @ TransportFault::Timeout { .. }) => fault.to_fault(Whose::Source).sentence,
        Err(fault) => fault.to_fault(Whose::Source).code,
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_requests_share_one_token_and_one_renewal() {
    let server = Server::default();
    (server.0.lock().unwrap().delay, server.0.lock().unwrap().lifetime) =
        (Duration::from_secs(1), Some(100));
    let tokens = Arc::new(tokens(&server, &memory()));
    for round in 1..=3 {
        let mut polls = JoinSet::new();
        for _ in 0..50 {
            // Equal, though not the same.
            let (tokens, oauth2) = (Arc::clone(&tokens), oauth2(Grant::ClientCredentials));
            polls.spawn(async move { poll(&tokens, &oauth2).await });
        }
        for told in polls.join_all().await {
            assert_eq!(told, format!("200 \"Bearer t{round}\""));
        }
        assert_eq!(server.asked().len(), round);
        // A tenth of its lifetime before its end it is renewed.
        sleep(Duration::from_secs(91)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_lifetime_is_used_until_it_is_refused() {
    let (server, oauth2) = (Server::default(), oauth2(Grant::ClientCredentials));
    let tokens = tokens(&server, &memory());
    for _ in 0..5 {
        assert_eq!(poll(&tokens, &oauth2).await, "200 \"Bearer t1\"");
        sleep(Duration::from_hours(100)).await;
    }
    server.0.lock().unwrap().good_from = 2;
    assert_eq!(poll(&tokens, &oauth2).await, "200 \"Bearer t2\"");
    // What refuses every token is asked once each time, and the token server only now and then.
    server.0.lock().unwrap().good_from = 99;
    for _ in 0..20 {
        assert!(poll(&tokens, &oauth2).await.starts_with("401"));
        sleep(Duration::from_secs(1)).await;
    }
    assert!((3..=5).contains(&server.asked().len()), "{:?}", server.asked());
}

#[tokio::test(start_paused = true)]
async fn fifty_refusals_are_one_renewal() {
    let (server, oauth2) = (Server::default(), oauth2(Grant::ClientCredentials));
    let tokens = Arc::new(tokens(&server, &memory()));
    assert_eq!(poll(&tokens, &oauth2).await, "200 \"Bearer t1\"");
    server.0.lock().unwrap().good_from = 2;
    let mut polls = JoinSet::new();
    for _ in 0..50 {
        let (tokens, oauth2) = (Arc::clone(&tokens), Arc::clone(&oauth2));
        polls.spawn(async move { poll(&tokens, &oauth2).await });
    }
    for told in polls.join_all().await {
        assert_eq!(told, "200 \"Bearer t2\"");
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_left_alone_for_a_while() {
    let (server, oauth2) = (Server::default(), oauth2(Grant::ClientCredentials));
    let tokens = tokens(&server, &memory());
    let refused = || (400, json!({ "error": "invalid_client" }));
    server.0.lock().unwrap().next = VecDeque::from([refused(), refused(), refused()]);
    let mut polls = 0;
    while poll(&tokens, &oauth2).await == "oauth2_invalid_client" {
        polls += 1;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.asked().len(), 4);
    // 0.5, 1 and 2 seconds.
    assert!((30..=40).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_still_holds_outlives_a_server_that_does_not_answer() {
    let (server, oauth2) = (Server::default(), oauth2(Grant::ClientCredentials));
    server.0.lock().unwrap().lifetime = Some(100);
    let tokens = tokens(&server, &memory());
    assert_eq!(poll(&tokens, &oauth2).await, "200 \"Bearer t1\"");
    server.0.lock().unwrap().next = (0..100).map(|_| (500, json!({}))).collect();
    sleep(Duration::from_secs(92)).await;
    for _ in 0..7 {
        assert_eq!(poll(&tokens, &oauth2).await, "200 \"Bearer t1\"");
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(poll(&tokens, &oauth2).await, "oauth2_http_500");
}

#[tokio::test(start_paused = true)]
async fn a_hung_token_server_holds_nobody_beyond_its_deadline() {
    let (server, oauth2) = (Server::default(), oauth2(Grant::ClientCredentials));
    server.0.lock().unwrap().delay = Duration::from_hours(1);
    let tokens = tokens(&server, &memory());
    let told = poll(&tokens, &oauth2).await;
    assert_eq!(told, "timed out after 5s while waiting for a token");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_used_and_survives() {
    let server = Server::default();
    (server.0.lock().unwrap().rotates, server.0.lock().unwrap().lifetime) = (true, Some(100));
    let store = memory();
    let used = |server: &Server| {
        let asked = server.asked();
        let of = |body: &String| body.rsplit('=').next().unwrap().to_owned();
        asked.iter().map(of).collect::<Vec<_>>()
    };
    let first = tokens(&server, &store);
    poll(&first, &refreshing()).await;
    sleep(Duration::from_secs(95)).await;
    poll(&first, &refreshing()).await;
    assert_eq!(used(&server), ["r0", "r1"]);
    drop(first);
    // Another process on the same state.
    let second = tokens(&server, &store);
    assert_eq!(poll(&second, &refreshing()).await, "200 \"Bearer t3\"");
    assert_eq!(used(&server), ["r0", "r1", "r2"]);
    // A person put another one into the file.
    let replaced = oauth2(Grant::RefreshToken(Secret::new("s0")));
    poll(&second, &replaced).await;
    assert_eq!(used(&server), ["r0", "r1", "r2", "s0"]);
    // Both go on side by side.
    sleep(Duration::from_secs(95)).await;
    poll(&second, &refreshing()).await;
    poll(&second, &replaced).await;
    assert_eq!(used(&server), ["r0", "r1", "r2", "s0", "r3", "r4"]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_given_up_does_not_lose_the_refresh_token() {
    let (server, store) = (Server::default(), memory());
    (server.0.lock().unwrap().rotates, server.0.lock().unwrap().delay) =
        (true, Duration::from_secs(2));
    let first = tokens(&server, &store);
    let declared = refreshing();
    let given_up = tokio::time::timeout(Duration::from_secs(1), poll(&first, &declared)).await;
    assert!(given_up.is_err());
    first.drain().await;
    assert_eq!(server.asked().len(), 1);
    let second = tokens(&server, &store);
    poll(&second, &declared).await;
    assert!(server.asked()[1].ends_with("=r1"), "{:?}", server.asked());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_cannot_be_kept_is_kept_later_and_nothing_is_used_before() {
    let memory = MemoryStore::new(7);
    let full = memory.full();
    let store = StoreHandle::inline(Box::new(memory));
    let (server, declared) = (Server::default(), refreshing());
    server.0.lock().unwrap().rotates = true;
    let tokens = tokens(&server, &store);
    full.store(true, Ordering::SeqCst);
    assert_eq!(poll(&tokens, &declared).await, "oauth2_state");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(poll(&tokens, &declared).await, "oauth2_state");
    assert_eq!(server.asked().len(), 1);
    full.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(poll(&tokens, &declared).await, "200 \"Bearer t1\"");
    assert_eq!(server.asked().len(), 1);
}
