//! What becomes of an endpoint that fails, refuses, hangs, is paused, limited or renamed: its events wait, everybody else's
//! go on, and doorbell says what happened.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::receiver::Ledger;
use crate::support::scene::{item, items};
use crate::support::wait::{poll_for, stays, wait_for};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene};

const RETRY: &str = "retry: { first: 50ms, max: 200ms, for: 1h }";

/// A daemon with one source, `tickets`, before these endpoints; each is a name, its URL and further keys.
fn daemon(api: &ApiServer, endpoints: &[(&str, String, &str)]) -> Daemon {
    let mut daemon = Daemon::run(&config(api, endpoints));
    daemon.wait_until_polled("tickets");
    daemon
}

fn config(api: &ApiServer, endpoints: &[(&str, String, &str)]) -> String {
    let endpoint = |(name, url, keys): &(&str, String, &str)| {
        format!("  {name}: {{ url: '{url}', secret: any, {keys} }}\n")
    };
    let endpoints = endpoints.iter().map(endpoint).collect::<Vec<_>>().concat();
    format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms, deletes: off }}\nendpoints:\n{endpoints}",
        api.url()
    )
}

/// What `endpoints` shows of one.
fn shown(daemon: &Daemon, name: &str) -> Value {
    let rows = daemon.control_json("/v1/endpoints");
    let mut rows = rows.as_array().into_iter().flatten();
    rows.find(|row| row["name"] == name).cloned().unwrap_or_default()
}

fn condition(daemon: &Daemon, name: &str) -> String {
    shown(daemon, name)["condition"].as_str().unwrap_or_default().to_owned()
}

/// The types of doorbell's own events that were made so far, oldest first.
fn own_events(daemon: &Daemon) -> Vec<String> {
    let rows = daemon.control_json("/v1/events?type=doorbell.*&limit=1000");
    let rows = rows["events"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["event"]["type"].as_str().unwrap_or_default().to_owned()).collect()
}

fn pending(daemon: &Daemon, name: &str) -> f64 {
    daemon.metric("doorbell_deliveries_pending", &[("endpoint", name)])
}

fn accepted_keys(ledger: &Ledger) -> Vec<String> {
    ledger.accepted().iter().map(|ring| ring.key().to_owned()).collect()
}

/// An endpoint that gets doorbell's events and fails hears of its failing, once, when it is back; another one at once. No
/// event breeds the next.
#[test]
fn failing_and_back_are_told_once_and_breed_nothing() {
    let (api, desk, ops) = (ApiServer::with_items(items(1)), Receiver::start(), Receiver::start());
    let breaker = "events: ['*', 'doorbell.*'], breaker: { failures: 3, for: 200ms }";
    let mut daemon = daemon(
        &api,
        &[
            ("desk", desk.url(), &format!("{RETRY}, {breaker}")),
            ("ops", ops.url(), "events: ['doorbell.*']"),
        ],
    );
    desk.always(Reply::status(500));
    api.set_items(items(4));
    let failing = ops.wait_for("the news", |ledger| !ledger.accepted().is_empty());
    let failing = &failing.accepted()[0].event;
    assert_eq!(failing["type"], "doorbell.endpoint.failing");
    assert_eq!((&failing["source"], &failing["key"]), (&json!("doorbell"), &json!("desk")));
    assert_eq!(failing["data"]["fault"], "http_500");
    assert!(!failing.to_string().contains("/hook"), "the receiver's path is secret: {failing}");
    daemon.wait_until("failing", |daemon| condition(daemon, "desk") == "failing");
    // Its next attempt is never shown in the past.
    for _ in 0..20 {
        #[expect(clippy::disallowed_methods, reason = "a test compares with the real clock")]
        let before = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let probe_at = shown(&daemon, "desk")["probe_at"].as_str().unwrap_or("9").to_owned();
        assert!(probe_at >= before, "{probe_at} is before {before}");
    }
    desk.wait_for_requests(4);
    assert_eq!(own_events(&daemon), ["doorbell.endpoint.failing"]);

    desk.heal();
    let told = ops.wait_for("the end of it", |ledger| ledger.accepted().len() >= 2);
    assert_eq!(told.accepted()[1].event_type(), "doorbell.endpoint.recovered");
    desk.wait_for("everything", |ledger| ledger.accepted().len() >= 5);
    let all = ["doorbell.endpoint.failing", "doorbell.endpoint.recovered"];
    stays("two events", || own_events(&daemon) == all);
    daemon.wait_until("nothing waits", |daemon| pending(daemon, "desk") < 0.5);
    let mut story = desk.ledger().story();
    story.sort();
    assert_eq!(story[..2], ["doorbell.endpoint.failing desk", "doorbell.endpoint.recovered desk"]);
    assert_eq!(condition(&daemon, "desk"), "healthy");
}

/// A 410 and a delivery that is given up are told; that the news themselves are refused is not.
#[test]
fn disabled_and_given_up_are_told() {
    let (api, desk, ops) = (ApiServer::with_items(items(1)), Receiver::start(), Receiver::start());
    let short = "retry: { first: 20ms, max: 50ms, for: 300ms }";
    let mut daemon = daemon(
        &api,
        &[
            ("desk", desk.url(), &format!("{short}, breaker: {{ failures: 1000 }}")),
            ("ops", ops.url(), &format!("events: ['doorbell.*'], {RETRY}")),
            ("deaf", format!("{}/deaf", desk.url()), &format!("events: ['doorbell.*'], {short}")),
        ],
    );
    // 413 is tried again, more slowly, and then is a dead letter.
    desk.always(Reply::status(413));
    api.set_items(items(2));
    let told = ops.wait_for("the news", |ledger| !ledger.accepted().is_empty());
    let event = &told.accepted()[0].event;
    assert_eq!(
        (&event["type"], &event["key"]),
        (&json!("doorbell.delivery.exhausted"), &json!("desk"))
    );
    assert_eq!(
        (&event["data"]["key"], &event["data"]["type"]),
        (&json!("2"), &json!("tickets.created"))
    );
    assert!(event["data"]["attempts"].as_u64() > Some(1), "{event}");
    let given_up = |daemon: &Daemon, name: &str| {
        let labels = [("endpoint", name), ("outcome", "exhausted")];
        daemon.metric("doorbell_deliveries_total", &labels)
    };
    daemon.wait_until("the news given up as well", |daemon| given_up(daemon, "deaf") > 0.5);
    stays("one event", || own_events(&daemon).len() == 1);

    desk.always(Reply::status(410));
    api.set_items(items(3));
    let told = ops.wait_for("the 410", |ledger| ledger.accepted().len() >= 2);
    assert_eq!(told.accepted()[1].event_type(), "doorbell.endpoint.disabled");
    daemon.wait_until("disabled", |daemon| condition(daemon, "desk") == "disabled");
    // By hand it is tried again, and that it is back is told once it is.
    desk.heal();
    assert_eq!(daemon.cli(&["endpoints", "resume", "desk"]).code, Some(0));
    let told = ops.wait_for("the way back", |ledger| {
        ledger.accepted().iter().any(|ring| ring.event_type() == "doorbell.endpoint.recovered")
    });
    assert!(told.accepted().iter().all(|ring| ring.event["source"] == "doorbell"));
    let replay = event["data"]["replay"].as_str().unwrap().replace("doorbell ", "") + " --yes";
    let words: Vec<_> = replay.split(' ').collect();
    assert_eq!(daemon.cli(&words).code, Some(0));
    desk.wait_for("what was given up", |ledger| accepted_keys(ledger).contains(&String::from("2")));
}

/// One 429 or 503 with `Retry-After` stops everything to that receiver, not that one event; others go on.
#[test]
fn retry_after_pauses_the_whole_endpoint() {
    for status in [429, 503] {
        let (api, desk, other) =
            (ApiServer::with_items(items(1)), Receiver::start(), Receiver::start());
        let daemon = daemon(&api, &[("desk", desk.url(), RETRY), ("other", other.url(), RETRY)]);
        desk.next(Reply::retry_after(status, "2"));
        api.set_items(items(2));
        desk.wait_for_requests_in_all(1);
        wait_for("the pause being shown", || {
            shown(&daemon, "desk")["held_until"].as_str().map(str::to_owned)
        });
        api.set_items(items(8));
        other.wait_for("everything", |ledger| ledger.accepted().len() == 7);
        let ledger = desk.wait_for("everything", |ledger| ledger.accepted().len() == 7);
        let waited = ledger.rings[1].received.at - ledger.rings[0].received.at;
        assert!(waited >= Duration::from_secs(2), "{status}: the next came after {waited:?}");
        assert_eq!(ledger.rings.len(), 8, "{status}");
    }
}

#[test]
fn a_pause_by_hand_lasts_until_it_is_ended_by_hand() {
    let mut scene = Scene::with_items(items(1));
    assert_eq!(scene.daemon.cli(&["endpoints", "pause", "desk"]).code, Some(0));
    scene.api.set_items(items(4));
    scene.daemon.wait_until("three waiting", |daemon| pending(daemon, "desk") > 2.5);
    stays("nothing is sent", || scene.receiver.count() == 0);
    assert_eq!(condition(&scene.daemon, "desk"), "paused");
    // Neither a reload nor a restart ends it.
    scene
        .daemon
        .write_config(&scene.config().replace("timeout: 1s\n    retry", "timeout: 2s\n    retry"));
    scene.daemon.hup();
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.daemon.kill9();
    scene.daemon.start();
    scene.daemon.wait_for_good_polls("tickets", 2);
    stays("nothing is sent", || scene.receiver.count() == 0);
    assert_eq!(shown(&scene.daemon, "desk")["paused_by"], json!(["hand"]));
    assert_eq!(scene.daemon.cli(&["endpoints", "resume", "desk"]).code, Some(0));
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3", "tickets.created 4"]);
    let unknown = scene.daemon.cli(&["endpoints", "pause", "desks"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("did you mean `desk`"), "{unknown:?}");
}

#[test]
fn a_pause_in_the_file_lasts_until_the_file_ends_it() {
    let mut scene = Scene::set(items(1));
    let (going, paused) = (scene.config(), format!("{}    paused: true\n", scene.config()));
    scene.daemon.write_config(&paused);
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    scene.api.set_items(items(3));
    scene.daemon.wait_until("two waiting", |daemon| pending(daemon, "desk") > 1.5);
    let resumed = scene.daemon.cli(&["endpoints", "resume", "desk"]);
    assert_eq!(resumed.code, Some(1), "{resumed:?}");
    assert!(resumed.stderr.contains("paused in the configuration"), "{resumed:?}");
    stays("nothing is sent", || scene.receiver.count() == 0);
    assert_eq!(shown(&scene.daemon, "desk")["paused_by"], json!(["file"]));
    scene.daemon.write_config(&going);
    let plan = scene.daemon.cli_json(&["plan"]);
    assert_eq!(plan["endpoints"][0]["keys"], json!(["paused"]));
    scene.daemon.hup();
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3"]);
}

/// A renamed endpoint keeps what waits for it, in its order, also when the process is killed in between.
#[test]
fn a_renamed_endpoint_keeps_what_waits() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(503));
    let state = |status: &str| json!([{ "id": 1, "status": status }, item(2)]);
    for status in ["open", "closed"] {
        scene.api.set_items(state(status));
        scene.daemon.wait_for_good_polls("tickets", 2);
    }
    let renamed = scene.config().replace("  desk:\n", "  agent:\n    was: desk\n");
    scene.daemon.write_config(&renamed);
    let plan = scene.daemon.cli_json(&["plan"]);
    let row = &plan["endpoints"][0];
    assert_eq!(
        (&row["name"], &row["fate"], &row["was"]),
        (&json!("agent"), &json!("renamed"), &json!("desk"))
    );
    assert_eq!(
        (row["waiting"].as_u64(), plan["endpoints"].as_array().map(Vec::len)),
        (Some(3), Some(1))
    );
    let log_end = scene.daemon.log_end();
    scene.daemon.hup();
    scene.daemon.wait_until("the new name", |daemon| {
        !daemon.logged_since(log_end, &["renamed: what waits"]).is_empty()
    });
    scene.daemon.kill9();
    scene.api.set_items(state("reopened"));
    scene.daemon.start();
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.receiver.heal();
    let ledger = scene.receiver.wait_for("all four", |ledger| ledger.accepted().len() == 4);
    let told: Vec<_> =
        ledger.of_key("1").iter().map(|ring| ring.event["data"]["status"].clone()).collect();
    assert_eq!(told, ["open", "closed", "reopened"]);
    let rows = scene.daemon.control_json("/v1/endpoints");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");

    let twice = renamed.replace("was: desk", "was: agent");
    scene.daemon.write_config(&twice);
    let refused = scene.daemon.cli(&["check"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stdout.contains("names an endpoint that is declared"), "{refused:?}");
}

/// In no second more than the limit says, and not much less either.
#[test]
fn a_limit_is_kept_evenly() {
    let (api, desk) = (ApiServer::with_items(items(1)), Receiver::start());
    let _daemon = daemon(&api, &[("desk", desk.url(), "limit: 20/s")]);
    api.set_items(items(81));
    let ledger = desk.wait_for("all of them", |ledger| ledger.accepted().len() == 80);
    let times: Vec<Instant> = ledger.rings.iter().map(|ring| ring.received.at).collect();
    for (index, began) in times.iter().enumerate() {
        let within = |at: &&Instant| **at - *began < Duration::from_secs(1);
        let count = times[index..].iter().take_while(within).count();
        assert!(count <= 21, "{count} within a second");
    }
    let took = times[79] - times[0];
    assert!(took > Duration::from_millis(3_900), "80 took {took:?}");
    assert!(took < Duration::from_secs(8), "80 took {took:?}");
}

/// In strict order, the first event alone tells that the receiver is down: it is not given up, however short `for` is.
#[test]
fn an_outage_exhausts_nothing_in_strict_order() {
    let (api, desk) = (ApiServer::with_items(items(1)), Receiver::start());
    let keys = "order: endpoint, retry: { first: 20ms, max: 100ms, for: 2s }, breaker: { failures: 3, for: 300ms }";
    let mut daemon = daemon(&api, &[("desk", desk.url(), keys)]);
    desk.always(Reply::status(500));
    for count in 2..=5 {
        api.set_items(items(count));
        daemon.wait_for_good_polls("tickets", 2);
    }
    daemon.wait_until("failing", |daemon| condition(daemon, "desk") == "failing");
    // Longer than `for`.
    let began = Instant::now();
    desk.wait_for_requests(8);
    poll_for(Duration::from_secs(3), || {
        (began.elapsed() > Duration::from_millis(2_900)).then_some(())
    });
    desk.heal();
    let ledger = desk.wait_for("all four", |ledger| ledger.accepted().len() == 4);
    assert_eq!(accepted_keys(&ledger), ["2", "3", "4", "5"]);
    assert_eq!(own_events(&daemon), ["doorbell.endpoint.failing", "doorbell.endpoint.recovered"]);
}

/// After an outage a receiver is not met by everything at once, and what waited the longest comes first.
#[test]
fn what_waited_comes_gently_and_all_of_it() {
    let (api, desk) = (ApiServer::with_items(items(1)), Receiver::start());
    let keys = format!("{RETRY}, breaker: {{ failures: 5, for: 300ms }}, concurrency: 64");
    let mut daemon = daemon(&api, &[("desk", desk.url(), &keys)]);
    desk.always(Reply::reset());
    api.set_items(items(301));
    daemon.wait_until("failing", |daemon| condition(daemon, "desk") == "failing");
    desk.heal();
    let ledger = desk.wait_for("all of it", |ledger| ledger.accepted().len() == 300);
    let accepted = ledger.accepted();
    let since = |index: usize| accepted[index].received.at - accepted[0].received.at;
    // The first ones come one by one and two by two.
    assert!(since(63) > since(0), "{:?}", since(63));
    assert_eq!(ledger.ids().len(), 300);
    assert!(own_events(&daemon).iter().all(|what| !what.contains("exhausted")));
    // Over few connections, kept open.
    let connections = accepted.iter().map(|ring| ring.received.connection);
    let connections: std::collections::BTreeSet<_> = connections.collect();
    assert!(connections.len() <= 100, "{} connections for 300 events", connections.len());
}

/// Of a hundred receivers one takes requests and never answers: the others do not notice.
#[test]
fn one_hung_of_a_hundred_delays_no_other() {
    let api = ApiServer::with_items(items(1));
    let (hung, others) = (Receiver::start(), Receiver::start());
    let mut endpoints: Vec<(String, String)> =
        (0..99).map(|n| (format!("e{n}"), format!("{}/{n}", others.url()))).collect();
    endpoints.push((String::from("hung"), hung.url()));
    let endpoints: Vec<_> =
        endpoints.iter().map(|(name, url)| (name.as_str(), url.clone(), "timeout: 1m")).collect();
    let daemon = daemon(&api, &endpoints);
    let mut count = 1;
    let mut round = || {
        let before = others.count();
        count += 1;
        api.set_items(items(count));
        let began = Instant::now();
        others.wait_for("ninety-nine", |ledger| ledger.rings.len() >= before + 99);
        let mut delays: Vec<_> = others.ledger().rings[before..]
            .iter()
            .map(|ring| ring.received.at.saturating_duration_since(began))
            .collect();
        delays.sort();
        delays[97]
    };
    let median = |mut rounds: Vec<Duration>| {
        rounds.sort();
        rounds[rounds.len() / 2]
    };
    let well = median((0..5).map(|_| round()).collect());
    hung.always(Reply::hang());
    round();
    let beside = median((0..5).map(|_| round()).collect());
    println!("p99 of 99 receivers: {well:?}, and {beside:?} beside one that hangs");
    // A fifth, and the grain of polling every 100 ms on a busy machine.
    assert!(beside <= well.mul_f64(1.2) + Duration::from_millis(150), "{well:?} became {beside:?}");
    assert!(hung.count() <= 5 + 8, "more in flight than `concurrency` says");
    drop(daemon);
}

/// Interim answers do not count, however many; the final one does.
#[test]
fn interim_answers_are_no_answers() {
    let mut scene = Scene::with_items(items(1));
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    let fine = format!("{flood}HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    scene.receiver.next(Reply::raw(fine));
    scene.api.set_items(items(2));
    scene.daemon.wait_until("the delivery", |daemon| {
        let labels = [("endpoint", "desk"), ("outcome", "delivered")];
        daemon.metric("doorbell_deliveries_total", &labels) > 0.5
    });
    assert_eq!(scene.receiver.count(), 1);
    // Only interim ones, and then nothing: that is a time-out.
    scene.receiver.next(Reply::raw(flood));
    scene.api.set_items(items(3));
    scene.receiver.wait_for("the second attempt", |ledger| ledger.rings.len() == 3);
    scene.receiver.ledger().assert_bodies_never_change();
}
