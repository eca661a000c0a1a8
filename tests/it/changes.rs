//! What counts as a change: asked for since the last one, watched or not, lasting, proven, held – as a person meets it,
//! over many lives of the process.

use serde_json::{Value, json};

use crate::support::scene::{item, items};
use crate::support::script::{Script, Shared};
use crate::support::{ApiServer, Daemon, Receiver, Reply};

/// A daemon, not running, with a source `tickets` of a list with `.id`.
fn tickets(url: &str, keys: &str) -> Daemon {
    Daemon::new(&config(url, keys))
}

fn config(url: &str, keys: &str) -> String {
    format!("sources:\n  tickets: {{ url: '{url}', key: .id, {keys} }}\n")
}

/// A ticket changed at a minute of an hour.
fn at(id: u32, status: &str, minute: u32) -> Value {
    json!({ "id": id, "status": status, "updated_at": format!("2026-11-21T03:{minute:02}:00Z") })
}

/// An API that shows what changed at or after `updated_since`, in minutes as it writes them.
fn incremental(items: &Shared<Vec<Value>>) -> Script {
    let items = items.clone();
    Script::start(move |received| {
        let since = received.query("updated_since").map(|text| text.replace("%3A", ":"));
        let is_asked = |item: &Value| {
            since.as_deref().is_none_or(|since| item["updated_at"].as_str().unwrap() >= since)
        };
        Reply::json(&items.with(|items| items.iter().filter(|it| is_asked(it)).cloned().collect()))
    })
}

#[test]
fn only_what_changed_is_asked_for_and_sweeps_see_what_is_gone() {
    let known = Shared::new(vec![at(1, "new", 10), at(2, "new", 5), at(3, "new", 1)]);
    let api = incremental(&known);
    let since = "since: { param: updated_since, from: .updated_at, overlap: 2m }";
    let daemon = tickets(&api.url_of("/v1"), since);
    daemon.poll("tickets").rang(&[]);
    known.set(vec![at(1, "new", 10), at(2, "open", 11), at(4, "new", 10)]);
    daemon.poll("tickets").rang(&["tickets.created 4", "tickets.updated 2"]);
    // One that becomes visible late.
    known.with(|items| items.push(at(5, "new", 9)));
    daemon.poll("tickets").rang(&["tickets.created 5"]);
    daemon.poll("tickets").rang(&[]);
    let from = |minute: u32| format!("/v1?updated_since=2026-11-21T03%3A{minute:02}%3A00Z");
    assert_eq!(api.take_targets(), ["/v1".to_owned(), from(8), from(9), from(9)]);
    // Ticket 3 is gone, which only a sweep can tell; another period is no other question.
    daemon.write_config(&config(&api.url_of("/v1"), &format!("{since}, sweep: 1ms")));
    daemon.poll("tickets").rang(&[]);
    daemon.poll("tickets").rang(&["tickets.deleted 3"]);
    assert_eq!(api.take_targets(), ["/v1", "/v1"]);
}

#[test]
fn a_time_is_asked_for_as_the_api_writes_it() {
    let known = Shared::new(vec![json!({ "id": 1, "updated": "2026/07/01 14:30" })]);
    let items = known.clone();
    let api = Script::start(move |_| Reply::json(&Value::Array(items.get())));
    let daemon = tickets(
        &api.url_of("/search"),
        "method: POST, body: { jql: '{{ if since then \"updated >= ''\\(since)''\" else \"\" end }}' },
    since: { from: .updated, overlap: 1m, format: '%Y/%m/%d %H:%M', zone: Europe/Berlin }",
    );
    daemon.poll("tickets").rang(&[]);
    known.with(|items| items.push(json!({ "id": 2, "updated": "2026/07/01 14:30" })));
    daemon.poll("tickets").rang(&["tickets.created 2"]);
    let bodies: Vec<_> =
        api.requests().into_iter().map(|it| String::from_utf8(it.body).unwrap()).collect();
    assert_eq!(bodies, [r#"{"jql":""}"#, r#"{"jql":"updated >= '2026/07/01 14:29'"}"#]);
}

#[test]
fn a_flood_is_held_until_a_person_decides() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let endpoints = format!("endpoints:\n  desk: {{ url: '{}', secret: any }}\n", receiver.url());
    let mut daemon =
        Daemon::run(&format!("{}{endpoints}", config(&api.url(), "every: 100ms, flood: 3")));
    daemon.wait_until_polled("tickets");
    api.set_items(items(7));
    let held = |daemon: &Daemon| daemon.metric("doorbell_held_changes", &[("source", "tickets")]);
    daemon.wait_until("held creations", |daemon| held(daemon) > 4.5);
    // The rest goes on, and what is held is remembered over a restart.
    api.set_items((1..=8).map(item).collect());
    receiver.expect(&["tickets.created 8"]);
    daemon.kill9();
    daemon.start();
    let listed = daemon.cli_json(&["held"]);
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|it| (&it["kind"], &it["key"])).collect();
    let created = json!("created");
    assert_eq!(
        listed,
        ["3", "4", "5", "6", "7"]
            .map(json_text)
            .iter()
            .map(|key| (&created, key))
            .collect::<Vec<_>>()
    );
    assert_eq!(daemon.cli_json(&["held", "release", "tickets"])["count"], 5);
    receiver.expect(&[
        "tickets.created 8",
        "tickets.created 3",
        "tickets.created 4",
        "tickets.created 5",
        "tickets.created 6",
        "tickets.created 7",
    ]);
    assert!(held(&daemon) < 0.5);
    assert!(daemon.term().success());
}

#[test]
fn a_source_that_falls_silent_says_so_to_whoever_asked() {
    let (api, receiver, other) =
        (ApiServer::with_items(items(1)), Receiver::start(), Receiver::start());
    let endpoints = format!(
        "endpoints:\n  ops: {{ url: '{}', secret: any, events: ['doorbell.*'] }}\n  desk: {{ url: '{}', secret: any }}\n",
        receiver.url(),
        other.url()
    );
    let source = config(&api.url(), "every: 100ms, silent_after: 300ms");
    let mut daemon = Daemon::run(&format!("{source}{endpoints}"));
    receiver.expect(&["doorbell.source.silent tickets"]);
    let event = receiver.ledger().rings[0].event.clone();
    assert_eq!((&event["source"], &event["seq"]), (&json!("doorbell"), &json!(1)));
    assert_eq!(event["data"]["silent_after"], "300ms");
    let names = daemon.control_json("/v1/sources");
    assert_eq!(names.as_array().unwrap().len(), 1, "{names}");
    api.set_items(items(2));
    receiver.expect(&["doorbell.source.silent tickets", "doorbell.source.silent tickets"]);
    other.expect(&["tickets.created 2"]);
    assert!(daemon.term().success());
}

fn json_text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn a_value_has_to_last_over_restarts_and_a_tombstone_does_not() {
    let api = ApiServer::with_items(json!([at(1, "new", 0), at(2, "new", 0), at(3, "draft", 0)]));
    let daemon = tickets(
        &api.url(),
        "settle: 1, where: '.status != \"draft\"', deleted_when: '.status == \"deleted\"', compare: .status",
    );
    daemon.poll("tickets").rang(&[]);
    api.set_items(json!([at(1, "open", 1), at(2, "deleted", 1), at(3, "draft", 1)]));
    daemon.poll("tickets").rang(&["tickets.deleted 2"]);
    api.set_items(json!([at(1, "open", 2), at(2, "deleted", 2), at(3, "new", 2)]));
    daemon.poll("tickets").rang(&["tickets.updated 1"]);
    daemon.poll("tickets").rang(&["tickets.created 3"]);
    // It leaves the watch, comes back, and is then really gone.
    api.set_items(json!([at(1, "draft", 3), at(3, "new", 2)]));
    daemon.poll("tickets").rang(&[]);
    api.set_items(json!([at(1, "open", 4), at(3, "new", 2)]));
    daemon.poll("tickets").rang(&[]);
    api.set_items(json!([at(3, "new", 2)]));
    daemon.poll("tickets").rang(&[]);
    daemon.poll("tickets").rang(&["tickets.deleted 1"]);
}

#[test]
fn another_token_that_sees_less_deletes_nothing() {
    let api = ApiServer::with_items(items(5));
    let with = |token: &str| config(&api.url(), &format!("auth: {{ bearer: {token} }}"));
    let daemon = Daemon::new(&with("of-the-desk"));
    daemon.poll("tickets").rang(&[]);
    daemon.write_config(&with("of-nobody"));
    api.set_items(items(3));
    for _ in 0..3 {
        daemon.poll("tickets").rang(&[]);
    }
    assert_eq!(daemon.cli_json(&["held"]).as_array().unwrap().len(), 2);
    daemon.write_config(&with("of-the-desk"));
    api.set_items(items(5));
    daemon.poll("tickets").rang(&[]);
    assert!(daemon.cli_json(&["held"]).as_array().unwrap().is_empty());
}

#[test]
fn who_was_refused_and_then_sees_less_deletes_nothing() {
    for status in [401, 403] {
        let api = ApiServer::with_items(items(5));
        let daemon = Daemon::new(&config(&api.url(), "auth: { bearer: of-the-desk }"));
        daemon.poll("tickets").rang(&[]);
        api.always(Reply::status(status));
        assert_eq!(daemon.poll("tickets").fault(), format!("http_{status}"));
        api.heal();
        api.set_items(items(3));
        for _ in 0..3 {
            daemon.poll("tickets").rang(&[]);
        }
        assert_eq!(daemon.cli_json(&["held"]).as_array().unwrap().len(), 2);
        // What goes from then on is seen to go.
        api.set_items(items(2));
        daemon.poll("tickets").rang(&[]);
        daemon.poll("tickets").rang(&["tickets.deleted 3"]);
        // And what is there again was never gone.
        api.set_items(items(5));
        daemon.poll("tickets").rang(&["tickets.created 3"]);
        assert!(daemon.cli_json(&["held"]).as_array().unwrap().is_empty());
    }
}

#[test]
fn a_missing_item_is_asked_for_by_itself() {
    let api = ApiServer::with_items(json!([{ "id": "a/b" }, { "id": "c" }, { "id": "d" }]));
    let check = api.url_of("/items/{{key}}");
    let daemon = tickets(
        &api.url(),
        &format!("deletes: {{ check: '{check}' }}, headers: {{ X-Team: desk }}"),
    );
    daemon.poll("tickets").rang(&[]);
    // It is not listed any more, and is still there.
    api.next(Reply::json(&json!([{ "id": "d" }])));
    api.next(Reply::json(&json!({ "id": "a/b", "status": "closed" })));
    api.next(Reply::status(404));
    let poll = daemon.poll("tickets");
    poll.rang(&["tickets.deleted c"]);
    let asked: Vec<_> = api
        .requests()
        .iter()
        .map(|it| (it.target.clone(), it.header("x-team").map(str::to_owned)))
        .collect();
    let team = || Some(String::from("desk"));
    assert_eq!(asked[2..], [("/items/a%2Fb".to_owned(), team()), ("/items/c".to_owned(), team())]);
}
