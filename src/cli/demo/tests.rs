//! The story, rung by a bell on a rope: a few lines that poll and send as doorbell does, and can be told to err.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cli::demo::desk::PATH;
use crate::cli::demo::state::TemporaryState;
use crate::cli::demo::story::Ledger;
use crate::cli::demo::{SECRET_NAME, Stage, open_curtain, painted, play, summary};
use crate::clock::{Clock, SystemClock};
use crate::core::secret::Secret;
use crate::core::signature::{Scheme, Signed};

/// What the bell on the rope gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Another id on the second attempt.
    NewId,
    /// Another secret.
    Forged,
    /// Rings for `views` too.
    Chatty,
}

struct Rope {
    client: reqwest::Client,
    api: String,
    receiver: String,
    secret: Secret,
    fault: Fault,
    clock: Arc<dyn Clock>,
}

impl Rope {
    async fn pull(self) {
        let mut known: Option<BTreeMap<String, Value>> = None;
        let mut etag: Option<HeaderValue> = None;
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            let mut headers = HeaderMap::new();
            headers.extend(etag.clone().map(|etag| (http::header::IF_NONE_MATCH, etag)));
            let answer = self.client.get(&self.api).headers(headers).send().await.unwrap();
            etag = answer.headers().get("etag").cloned();
            if answer.status() == 304 {
                continue;
            }
            let listing: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            let tickets = listing["tickets"].as_array().unwrap().iter();
            let tickets: BTreeMap<String, Value> =
                tickets.map(|ticket| (ticket["id"].to_string(), ticket.clone())).collect();
            if let Some(known) = &known {
                self.compare(known, &tickets).await;
            }
            known = Some(tickets);
        }
    }

    async fn compare(&self, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) {
        for (key, ticket) in new {
            match old.get(key) {
                None => self.ring("ticket.opened", key, json!([])).await,
                Some(before) if before["status"] != ticket["status"] => {
                    let (old, new) = (&before["status"], &ticket["status"]);
                    let changes = json!([{"path": "/status", "old": old, "new": new}]);
                    self.ring("ticket.status_changed", key, changes).await;
                }
                Some(before) if before != ticket && self.fault == Fault::Chatty => {
                    self.ring("ticket.viewed", key, json!([])).await;
                }
                Some(_) => {}
            }
        }
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            self.ring("ticket.closed", key, json!([])).await;
        }
    }

    async fn ring(&self, event_type: &str, key: &str, changes: Value) {
        let body = json!({"type": event_type, "key": key, "changes": changes}).to_string();
        for attempt in 1.. {
            let again = if self.fault == Fault::NewId { attempt } else { 1 };
            let id = format!("evt_{event_type}_{key}_{again}");
            let at = self.clock.now();
            let signed = Signed {
                id: &id,
                at,
                body: body.as_bytes(),
                event_type,
                source: "tickets",
                detected: at,
                method: &Method::POST,
                url: &self.receiver.parse().unwrap(),
                headers: &HeaderMap::new(),
            };
            let mut headers = Scheme::Standard.sign(&[&self.secret], signed);
            headers.insert("webhook-id", HeaderValue::from_str(&id).unwrap());
            headers.insert("webhook-timestamp", HeaderValue::from(at.as_seconds()));
            let request = self.client.post(&self.receiver).headers(headers).body(body.clone());
            if request.send().await.unwrap().status().is_success() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Plays the story on a rope; gives the ledger and everything that was printed.
async fn played(fault: Fault, limit: Duration) -> (Ledger, String) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut stage = Stage::set(Arc::clone(&clock)).await.unwrap();
    let secret = if fault == Fault::Forged { Secret::new("forged") } else { stage.secret.clone() };
    let rope = Rope {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        api: format!("http://{}{PATH}", stage.desk.address),
        receiver: format!("http://{}/webhook/new-ticket", stage.receiver.address),
        secret,
        fault,
        clock: Arc::clone(&clock),
    };
    let mut bell = JoinSet::new();
    bell.spawn(rope.pull());
    let mut out = Vec::new();
    open_curtain(&stage, &mut out).unwrap();
    let ledger = play(&mut stage, clock.as_ref(), &mut out, limit).await.unwrap();
    summary::write(&ledger, &mut out).unwrap();
    let text = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
    assert!(!text.contains(stage.secret.expose()), "the secret shows in {text}");
    (ledger, text)
}

#[tokio::test]
async fn the_story_is_told_and_checked() {
    let (ledger, text) = played(Fault::None, Duration::from_secs(30)).await;
    assert!(ledger.is_as_told(), "{text}");
    assert_eq!((ledger.expected_count, ledger.hits.len()), (3, 4));
    assert_eq!((ledger.repeat_count(), ledger.verified_count()), (1, 4));
    assert_eq!(ledger.latencies.len(), 3);
    assert!(ledger.traffic.not_modified > 0 && ledger.traffic.polls > ledger.traffic.not_modified);
    for expected in [
        "attempt 2, the same id",
        "after the change, status: open → pending",
        "3 of 3 rang",
        "4 of 4 verified",
        "1 refused, 1 tried again with the same id and bytes",
        "Everything rang as it should",
        SECRET_NAME,
        "doorbell listen",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_noticed() {
    let check = async |fault: Fault, seconds: u64, expected: &str| {
        let (ledger, text) = played(fault, Duration::from_secs(seconds)).await;
        assert!(!ledger.is_as_told(), "{fault:?} passed:\n{text}");
        assert!(text.contains(expected), "{fault:?}: {expected:?} is not in\n{text}");
    };
    check(Fault::NewId, 30, "0 tried again").await;
    check(Fault::Chatty, 30, "ticket.viewed of ticket 1 rang, and should not have").await;
    check(Fault::Forged, 1, "ticket.opened of ticket 4 did not ring in time").await;
}

#[test]
fn yaml_is_painted_without_changing_it() {
    let check = |line: &str| {
        assert_eq!(anstream::adapter::strip_str(&painted(line)).to_string(), line);
    };
    check("");
    check("sources:");
    check("    url: http://127.0.0.1:1/api # note: this");
    check("      - { type: ticket.opened, on: created }");
}

#[test]
fn the_state_goes_with_the_demo() {
    let state = TemporaryState::create().unwrap();
    let path = state.path().to_owned();
    std::fs::write(path.join("file"), "x").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
    drop(state);
    assert!(!path.exists());
}
