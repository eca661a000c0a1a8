//! Whatever an API or a receiver answers, doorbell says clearly what was wrong, tries again, takes the next good answer,
//! and rings nothing that did not happen.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::reply::Manner;
use crate::support::scene::{item, items};
use crate::support::wait::{stays, wait_for, wait_until};
use crate::support::{Daemon, Reply, Scene};

impl Scene {
    /// Polls so far that ended in no listing.
    fn bad_polls(daemon: &Daemon) -> f64 {
        ["failed", "limited", "incomplete"]
            .map(|outcome| daemon.polls("tickets", outcome))
            .iter()
            .sum()
    }

    /// The API answers so until the poll has failed twice; the log says one of `words` about it.
    #[track_caller]
    fn fails(&mut self, case: &str, reply: Reply, words: &[&str]) {
        let (log_end, before) = (self.daemon.log_end(), Self::bad_polls(&self.daemon));
        self.api.always(reply);
        let what = format!("two failed polls: {case}");
        self.daemon.wait_until(&what, |daemon| Self::bad_polls(daemon) >= before + 2.0);
        self.daemon.wait_until(&format!("{case} in the log as one of {words:?}"), |daemon| {
            words.iter().any(|word| !daemon.logged_since(log_end, &["tickets", word]).is_empty())
        });
        self.api.heal();
    }

    /// After each bad answer a new item appears, and rings; nothing else does.
    #[track_caller]
    fn survives(mut self, cases: &[(&str, Reply, &[&str])]) {
        let mut items = vec![item(1), item(2)];
        let mut story = Vec::new();
        for (case, reply, words) in cases {
            self.fails(case, reply.clone(), words);
            let id = items.len() + 1;
            items.push(item(id));
            self.api.set_items(Value::from(items.clone()));
            story.push(format!("tickets.created {id}"));
            let done = |story: &[String]| self.receiver.ledger().story() == story;
            wait_until(&format!("the item that is new after: {case}"), || done(&story));
        }
        self.receiver.expect(&story.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(self.daemon.term().success());
    }
}

#[test]
fn broken_connections() {
    let listing = || Reply::json(&items(2));
    let ended = &["ended before"][..];
    Scene::with_items(items(2)).survives(&[
        ("nothing comes", Reply::hang(), &["timed out"]),
        (
            "a byte now and then",
            Reply::large(1000).sent(Manner::Drip(Duration::from_millis(50))),
            &["timed out"],
        ),
        ("the connection is reset", Reply::reset(), ended),
        ("the body is cut", listing().sent(Manner::CutAfter(10)), ended),
        ("the body is cut to nothing", listing().sent(Manner::CutAfter(0)), ended),
        ("the body is reset", listing().sent(Manner::ResetAfter(10)), ended),
        ("the chunks are cut", listing().sent(Manner::ChunksCut), ended),
        ("the length is too small", listing().sent(Manner::Understated(7)), &["json"]),
        ("the compression is cut", listing().gzipped().halved(), &["decompress"]),
        ("the compression is none", listing().header("Content-Encoding", "gzip"), &["decompress"]),
        ("it is not HTTP", Reply::raw("SSH-2.0-OpenSSH_9.6\r\n"), &["not valid http"]),
        ("it is nothing", Reply::raw(""), ended),
    ]);
}

#[test]
fn bodies_without_end() {
    let too_large = &["max_body"][..];
    Scene::with_items(items(2)).survives(&[
        ("a body without end", Reply::endless(), too_large),
        ("a large body", Reply::large(70_000), too_large),
        ("a large body, compressed", Reply::large(70_000).gzipped(), too_large),
        ("a bomb", Reply::bomb(), too_large),
        ("a deep body", Reply::too_deep(), &["deep", "nest"]),
    ]);
}

#[test]
fn answers_that_are_no_listing() {
    let json = |text: &str| Reply::text("application/json", text);
    let not_json = &["json"][..];
    Scene::with_items(items(2)).survives(&[
        ("a page for people", Reply::html(), &["html"]),
        ("an empty body", json(""), &["empty", "json"]),
        ("no content", Reply::status(204), &["empty", "204", "json"]),
        ("white space", json(" \n "), &["empty", "json"]),
        ("half a document", json(r#"[{"id":1,"status":"new"},{"id":2"#), not_json),
        ("two documents", json("[] []"), not_json),
        (
            "a byte that is no text",
            json("[{\"id\":1,\"status\":\"").append(b"\xff\"}]"),
            &["json", "utf-8"],
        ),
        ("an error with 200", json(r#"{"error":"token expired"}"#), &["key", "list", "item"]),
        ("a number", json("42"), &["key", "list", "item"]),
        ("null", json("null"), &["key", "list", "item", "null"]),
        ("a list of lists", json("[[1],[2]]"), &["key", "item"]),
        ("an item without key", json(r#"[{"id":1,"status":"new"},{"name":"x"}]"#), &["key"]),
        ("an item whose key is null", json(r#"[{"id":1,"status":"new"},{"id":null}]"#), &["key"]),
        ("an item whose key is a list", json(r#"[{"id":1,"status":"new"},{"id":[2]}]"#), &["key"]),
        (
            "a key twice",
            json(r#"[{"id":1,"status":"new"},{"id":2,"status":"new"},{"id":1,"status":"old"}]"#),
            &["twice", "duplicate", "more than one"],
        ),
    ]);
}

#[test]
fn refusals() {
    let refusal = |status: u16| Reply::json(&json!({ "error": "no" })).with_status(status);
    Scene::with_items(items(2)).survives(&[
        ("not signed in", refusal(401), &["401"]),
        ("not allowed", refusal(403), &["403"]),
        ("not found", refusal(404), &["404"]),
        ("gone", refusal(410), &["410"]),
        ("broken", refusal(500), &["500"]),
        ("broken, with the listing", Reply::json(&items(1)).with_status(502), &["502"]),
        ("moved", Reply::redirect("/elsewhere"), &["301"]),
        ("too many requests", Reply::status(429), &["429"]),
    ]);
}

#[test]
fn not_modified_since_nothing() {
    let mut scene = Scene::set(items(2));
    scene.api.set_etags(false);
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    scene.survives(&[("a 304 that was not asked for", Reply::status(304), &["304"])]);
}

#[test]
fn a_retry_after_is_waited_for() {
    for status in [429, 503] {
        let mut scene = Scene::with_items(items(1));
        let before = scene.api.asked();
        scene.api.next(Reply::retry_after(status, "2"));
        scene.api.set_items(items(2));
        scene.receiver.expect(&["tickets.created 2"]);
        let requests = scene.api.requests();
        let gaps = requests[before..].windows(2).map(|pair| pair[1].at - pair[0].at);
        let longest = gaps.max().expect("requests after the refusal");
        assert!(longest >= Duration::from_secs(2), "{status}: asked again after {longest:?}");
        assert!(scene.daemon.term().success());
    }
}

#[test]
fn json_by_another_name_is_json() {
    let scene = Scene::with_items(items(1));
    for (id, content_type) in
        [(2, "text/plain"), (3, "application/vnd.api+json"), (4, "application/octet-stream")]
    {
        scene.api.always(Reply::text(content_type, items(id).to_string()));
        wait_until(content_type, || scene.receiver.ledger().story().len() == id - 1);
    }
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3", "tickets.created 4"]);
}

#[test]
fn one_short_listing_deletes_nothing() {
    let mut scene = Scene::with_items(items(10));
    for short in [items(5), items(0), items(9)] {
        scene.api.next(Reply::json(&short));
        scene.daemon.wait_for_good_polls("tickets", 3);
    }
    scene.receiver.expect(&[]);
}

#[test]
fn deletions_ring_after_two_listings_without_the_item() {
    let scene = Scene::with_items(items(3));
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.deleted 3"]);
}

#[test]
fn an_empty_listing_after_a_full_one_is_held() {
    let mut scene = Scene::with_items(items(60));
    scene.api.set_items(json!([]));
    let held = |daemon: &Daemon| daemon.metric("doorbell_held_changes", &[("source", "tickets")]);
    let is_held = |daemon: &Daemon| (held(daemon) - 60.0).abs() < 0.5;
    scene.daemon.wait_until("60 held deletions", is_held);
    let listed = scene.daemon.cli(&["held"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains("tickets") && listed.stdout.contains("60"), "{listed:?}");
    // Held are the deletions; everything else goes on.
    scene.api.set_items(json!([item(99)]));
    scene.receiver.expect(&["tickets.created 99"]);
    assert!(is_held(&scene.daemon));

    let released = scene.daemon.cli(&["held", "release", "tickets"]);
    assert_eq!(released.code, Some(0), "{released:?}");
    let deleted = (1..=60).map(|id| format!("tickets.deleted {id}"));
    let story: Vec<_> = deleted.chain(["tickets.created 99".into()]).collect();
    scene.receiver.expect(&story.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn held_items_that_come_back_ring_nothing() {
    let mut scene = Scene::with_items(items(60));
    let held = |daemon: &Daemon| daemon.metric("doorbell_held_changes", &[("source", "tickets")]);
    scene.api.set_items(json!([]));
    scene.daemon.wait_until("held deletions", |daemon| held(daemon) > 59.5);
    scene.api.set_items(items(60));
    scene.daemon.wait_until("no held deletions", |daemon| held(daemon) < 0.5);
    scene.receiver.expect(&[]);
}

/// The receiver refuses `reply` until the second attempt; the delivery's attempts say one of `words`.
#[track_caller]
fn is_retried(scene: &mut Scene, id: usize, case: &str, reply: Reply, words: &[&str]) {
    scene.receiver.always(reply);
    scene.api.set_items(items(id));
    scene.receiver.wait_for_requests(2);
    scene.receiver.heal();
    let delivered = format!("tickets.created {id}");
    scene.receiver.wait_for(case, |ledger| ledger.story().last() == Some(&delivered));
    let shown = wait_for(&format!("{case} as one of {words:?} in `deliveries show`"), || {
        let shown = show_delivery(&scene.daemon, &id.to_string()).to_lowercase();
        words.iter().any(|word| shown.contains(word)).then_some(shown)
    });
    assert!(!shown.contains("/hook"), "{case}: the receiver's path is secret: {shown}");
}

/// What `deliveries show` prints of the delivery of an item's event.
fn show_delivery(daemon: &Daemon, key: &str) -> String {
    let all = daemon.cli_json(&["deliveries"]);
    let id = find_delivery(&all, key).unwrap_or_else(|| panic!("no delivery of {key} in {all}"));
    daemon.cli(&["deliveries", "show", &id, "--json"]).stdout
}

/// The `id` of the first object anywhere inside that has this `key`.
fn find_delivery(value: &Value, key: &str) -> Option<String> {
    if value["key"] == key {
        return Some(value["id"].as_str()?.to_owned());
    }
    match value {
        Value::Array(values) => values.iter().find_map(|value| find_delivery(value, key)),
        Value::Object(members) => members.values().find_map(|value| find_delivery(value, key)),
        _ => None,
    }
}

#[test]
fn receivers_that_refuse_are_asked_again() {
    let mut scene = Scene::with_items(items(1));
    let cases: &[(&str, Reply, &[&str])] = &[
        ("nothing comes", Reply::hang(), &["timed out"]),
        ("half a header", Reply::raw("HTTP/1.1 200 OK\r\nContent-Le"), &["ended before"]),
        ("the connection is reset", Reply::reset(), &["ended before"]),
        ("it is not HTTP", Reply::raw("no idea\r\n\r\n"), &["not valid http"]),
        ("broken", Reply::status(500), &["500"]),
        ("broken, without end", Reply::endless().with_status(500), &["500"]),
        ("moved", Reply::redirect("http://127.0.0.1:1/elsewhere"), &["301"]),
        ("not signed in", Reply::status(401), &["401"]),
        ("not modified", Reply::status(304), &["304"]),
    ];
    for (before, (case, reply, words)) in cases.iter().enumerate() {
        is_retried(&mut scene, before + 2, case, reply.clone(), words);
    }
    scene.receiver.ledger().assert_bodies_never_change();
    assert_eq!(scene.receiver.ledger().accepted().len(), cases.len());
}

#[test]
fn a_receivers_retry_after_is_waited_for() {
    let scene = Scene::with_items(items(1));
    scene.receiver.next(Reply::retry_after(429, "2"));
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    let rings = scene.receiver.ledger().rings;
    let [refused, accepted] = rings.as_slice() else { panic!("not two attempts: {rings:?}") };
    let waited = accepted.received.at - refused.received.at;
    assert!(waited >= Duration::from_secs(2), "rang again after {waited:?}");
}

#[test]
fn a_2xx_counts_whatever_follows_it() {
    let mut scene = Scene::with_items(items(1));
    let answer = || Reply::text("text/plain", "x".repeat(100_000));
    let cases = [
        ("reset", answer().sent(Manner::ResetAfter(10))),
        ("cut", answer().sent(Manner::CutAfter(10))),
        ("endless", answer().sent(Manner::Endless)),
        ("a byte now and then", answer().sent(Manner::Drip(Duration::from_millis(50)))),
        ("chunks without end", answer().sent(Manner::ChunksCut)),
        ("not what it says", answer().header("Content-Encoding", "gzip")),
        ("a bomb", Reply::bomb()),
        ("accepted for later", Reply::status(202)),
        ("no content", Reply::status(204)),
    ];
    for (before, (case, reply)) in cases.iter().enumerate() {
        let id = before + 2;
        scene.receiver.always(reply.clone());
        scene.api.set_items(items(id));
        let delivered = f64::from(u32::try_from(before + 1).unwrap());
        scene.daemon.wait_until(&format!("a delivery in spite of: {case}"), |daemon| {
            let labels = [("endpoint", "desk"), ("outcome", "delivered")];
            daemon.metric("doorbell_deliveries_total", &labels) >= delivered
        });
        let attempts = || scene.receiver.ledger().rings.len();
        stays(&format!("one attempt each: {case}"), || attempts() == before + 1);
    }
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_and_keeps_what_waits() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(410));
    scene.api.set_items(items(2));
    scene.receiver.wait_for_requests_in_all(1);
    scene.daemon.wait_until("the endpoint being disabled", |daemon| {
        daemon.control_json("/v1/endpoints")[0]["condition"] == "disabled"
    });
    scene.receiver.heal();
    scene.api.set_items(items(3));
    scene.daemon.wait_for_good_polls("tickets", 2);
    stays("nothing is sent", || scene.receiver.ledger().rings.len() == 1);

    let resumed = scene.daemon.cli(&["endpoints", "resume", "desk"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3"]);
}

#[test]
fn a_hanging_receiver_delays_neither_other_items_nor_polls() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.for_key("2", Reply::hang());
    scene.api.set_items(items(4));
    scene.receiver.wait_for("the other items", |ledger| {
        ["3", "4"].iter().all(|key| !ledger.of_key(key).is_empty())
    });
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.receiver.heal();
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3", "tickets.created 4"]);
}
