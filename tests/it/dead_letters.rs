//! What was given up: listed with the reason, shown with every answer, and sent again at the pace one likes.

use std::time::Duration;

use serde_json::Value;

use crate::support::scene::items;
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Reply, Script, Shared};

const LONG: usize = 20_000;

/// A receiver that refuses at length until it is told otherwise.
fn receiver() -> (Script, Shared<bool>) {
    let well = Shared::new(false);
    let now = well.clone();
    let receiver = Script::start(move |_| {
        if now.get() {
            return Reply::text("text/plain", "thanks ".repeat(LONG / 7));
        }
        Reply::text("text/plain", format!("no: {}", "x".repeat(LONG))).with_status(422)
    });
    (receiver, well)
}

fn config(api: &ApiServer, receiver: &Script, retry: &str) -> String {
    format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n  \
         agent: {{ url: '{}', secret: any, retry: {retry}, breaker: {{ failures: 100000, for: 1h }} }}\n",
        api.url(),
        receiver.url_of("/hook")
    )
}

fn rows(daemon: &Daemon, filter: &[&str]) -> Vec<Value> {
    daemon.cli_json(&[&["deliveries"], filter].concat()).as_array().unwrap().clone()
}

/// Milliseconds since the minute of a time in RFC 3339.
fn millis(text: &str) -> u32 {
    let digits: String = text.chars().skip(17).take(6).filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn a_replay_keeps_to_its_rate_and_says_so() {
    let (api, (receiver, well)) = (ApiServer::with_items(items(1)), receiver());
    let mut daemon =
        Daemon::run(&config(&api, &receiver, "{ first: 10ms, max: 10ms, for: 200ms }"));
    daemon.wait_until_polled("tickets");
    api.set_items(items(7));
    let dead = ["--status", "exhausted"];
    daemon.wait_until("dead letters", |daemon| rows(daemon, &dead).len() == 6);
    for row in rows(&daemon, &dead) {
        let answer = &row["last_answer"];
        assert!(row["reason"].as_str().unwrap().contains("422"), "{row}");
        assert!(answer["status"] == 422 && answer["text"].as_str().unwrap().starts_with("no: x"));
        assert!(answer["text"].as_str().unwrap().len() <= 200, "the beginning is enough");
        let shown = daemon.cli_json(&["deliveries", "show", row["id"].as_str().unwrap()]);
        let last = shown["attempts"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["answer"].as_str().unwrap().len(), 16 * 1024);
        assert!(shown.get("retry").is_none(), "nothing is to come");
    }
    let listed = daemon.cli(&["deliveries", "--status", "exhausted"]).stdout;
    assert!(listed.contains("422 Unprocessable") && listed.contains("no: x"), "{listed}");
    let first = receiver.requests();
    assert!(first.iter().all(|request| request.header("webhook-replay").is_none()));
    let counted = daemon.cli_json(&["replay", "--status", "exhausted", "--dry-run"]);
    assert_eq!(counted["count"], 6);
    // A filter that leaves some out, and a pace.
    well.set(true);
    let narrow = ["replay", "--endpoint", "agent", "--type", "*.created", "--source", "tickets"];
    let more = ["--status", "exhausted", "--rate", "10/s", "--yes"];
    let replayed = daemon.cli_json(&[&narrow[..], &more].concat());
    assert_eq!(replayed["count"], 6);
    wait_until("all of them", || receiver.requests().len() == first.len() + 6);
    let again = receiver.requests().split_off(first.len());
    // Five gaps of 100 ms; any but the last may have been late.
    let took = again.last().unwrap().at.duration_since(again[0].at);
    assert!(took >= Duration::from_millis(100), "{took:?}");
    let planned = rows(&daemon, &[]);
    let planned: Vec<_> = planned.iter().filter(|row| row["trigger"] == "replay").collect();
    for pair in planned.windows(2) {
        let [one, next] = [pair[0], pair[1]].map(|row| millis(row["created_at"].as_str().unwrap()));
        assert_eq!((60_000 + next - one) % 60_000, 100, "{planned:?}");
    }
    for request in &again {
        assert_eq!(request.header("webhook-replay"), Some("true"));
        let id = request.header("webhook-id").unwrap();
        let before = first.iter().find(|before| before.header("webhook-id") == Some(id)).unwrap();
        assert_eq!(before.body, request.body, "{id}");
    }
    daemon.wait_until("the outcome", |daemon| rows(daemon, &["--status", "delivered"]).len() == 6);
    let done = &rows(&daemon, &["--status", "delivered"])[0];
    assert_eq!(done["trigger"], "replay");
    let shown = daemon.cli_json(&["deliveries", "show", done["id"].as_str().unwrap()]);
    assert!(shown["attempts"][0]["answer"].as_str().unwrap().len() <= 2048, "thanks are short");
    assert_eq!(daemon.cli_json(&["replay", "--status", "exhausted", "--dry-run"])["count"], 0);
}

#[test]
fn what_is_to_come_is_shown() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let mut daemon = Daemon::run(&config(&api, &receiver, "{ first: 5m, max: 1h, for: 2d }"));
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    daemon
        .wait_until("a refusal", |daemon| rows(daemon, &[]).iter().any(|row| row["attempts"] == 1));
    let id = rows(&daemon, &[])[0]["id"].as_str().unwrap().to_owned();
    let shown = daemon.cli_json(&["deliveries", "show", &id]);
    let minutes = |minutes: u64| Value::from(minutes * 60_000);
    let delays = [10, 20, 40, 60, 60, 60].map(minutes).to_vec();
    assert_eq!(shown["retry"]["delays_ms"], Value::from(delays));
    assert!(shown["retry"]["gives_up_at"].is_string(), "{shown}");
    let told = daemon.cli(&["deliveries", "show", &id]).stdout;
    assert!(told.contains("it is tried within 10m, 20m, 40m, 1h"), "{told}");
    for rate in ["fast", "0/s", "10"] {
        let refused = daemon.cli(&["replay", "--rate", rate, "--yes"]);
        assert_eq!(refused.code, Some(2), "{rate}: {refused:?}");
        assert!(refused.stderr.contains("20/s"), "{refused:?}");
    }
}
