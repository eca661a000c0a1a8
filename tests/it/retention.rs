//! What happened is kept for a while and within bounds; nothing that was not delivered goes without an entry.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::scene::items;
use crate::support::wait::stays;
use crate::support::{ApiServer, Daemon, Receiver, Reply, Script, Shared};

fn config(api: &ApiServer, receivers: &[(&str, &Receiver)], retention: &str) -> String {
    let endpoint = |(name, receiver): &(&str, &Receiver)| {
        format!(
            "  {name}: {{ url: '{}', sign: none, retry: {{ first: 500ms, max: 2s }} }}\n",
            receiver.url()
        )
    };
    format!(
        "retention: {retention}\nsources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{}",
        api.url(),
        receivers.iter().map(endpoint).collect::<String>()
    )
}

fn deliveries(daemon: &Daemon, filter: &str) -> Vec<Value> {
    let path = format!("/v1/deliveries?limit=1000&{filter}");
    daemon.control_json(&path).as_array().unwrap().clone()
}

fn events(daemon: &Daemon) -> usize {
    daemon.control_json("/v1/events?limit=1000")["events"].as_array().unwrap().len()
}

#[test]
fn what_is_old_goes_and_what_was_not_delivered_becomes_an_entry_first() {
    let api = ApiServer::with_items(items(1));
    let (well, ill) = (Receiver::start(), Receiver::start());
    ill.always(Reply::status(500));
    let receivers = [("well", &well), ("ill", &ill)];
    let mut daemon = Daemon::run(&config(&api, &receivers, "{ for: 4s }"));
    daemon.wait_until_polled("tickets");
    api.set_items(items(4));
    well.wait_for("three events", |ledger| ledger.accepted().len() == 3);
    daemon.wait_until("the entries", |daemon| deliveries(daemon, "status=exhausted").len() == 3);
    for row in deliveries(&daemon, "status=exhausted") {
        let reason = row["reason"].as_str().unwrap();
        assert!(
            row["endpoint"] == "ill" && reason.starts_with("expired: not delivered within 4s"),
            "{row}"
        );
    }
    daemon.wait_until("the metric", |daemon| {
        daemon.metric("doorbell_deliveries_total", &[("outcome", "exhausted")]) > 2.5
    });
    daemon.wait_until("the log", |daemon| {
        !daemon.logged_since(0, &["given up undelivered", "\"count\":3", "ill"]).is_empty()
    });
    // The entries had their time, too.
    daemon.wait_until("nothing being left", |daemon| {
        events(daemon) == 0 && deliveries(daemon, "").is_empty()
    });
    // What is known of the items is no history.
    let rings = well.count();
    daemon.wait_for_good_polls("tickets", 3);
    stays("silence", || well.count() == rings);
    assert!(daemon.term().success());
    let copy = daemon.path("copy.db");
    let copied = daemon.cli(&["backup", copy.to_str().unwrap()]);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let restored = daemon.cli(&["restore", copy.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "every row and count is verified: {restored:?}");
}

/// Whoever listens to doorbell hears of what was given up, once for each endpoint, however much it is. What nobody tells
/// is that the news themselves were.
#[test]
fn what_is_given_up_undelivered_rings_once_for_each_endpoint() {
    let api = ApiServer::with_items(items(1));
    let (ill, ops) = (Receiver::start(), Receiver::start());
    let keys = "sign: none, paused: true";
    let config = format!(
        "retention: {{ for: 4s }}\nsources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n  \
         ill: {{ url: '{url}', {keys} }}\n  other: {{ url: '{url}', {keys} }}\n  \
         deaf: {{ url: '{url}', {keys}, events: ['*', 'doorbell.*'] }}\n  \
         ops: {{ url: '{}', sign: none, events: ['doorbell.*'] }}\n",
        api.url(),
        ops.url(),
        url = ill.url(),
    );
    let mut daemon = Daemon::run(&config);
    daemon.wait_until_polled("tickets");
    api.set_items(items(41));
    let ledger = ops.wait_for("the news", |ledger| ledger.accepted().len() >= 3);
    let mut told: Vec<_> = ledger.accepted().iter().map(|ring| ring.event.clone()).collect();
    told.sort_by_key(|event| event["key"].as_str().unwrap().to_owned());
    for (event, endpoint) in told.iter().zip(["deaf", "ill", "other"]) {
        let data = &event["data"];
        assert_eq!(event["type"], "doorbell.delivery.exhausted");
        assert_eq!((&event["key"], &data["count"]), (&json!(endpoint), &json!(40)), "{event}");
        assert!(data["reason"].as_str().unwrap().starts_with("expired: not delivered within 4s"));
        let replay = format!("doorbell replay --endpoint {endpoint} --status exhausted");
        assert_eq!(data["replay"], replay);
        let entry = daemon.cli_json(&["deliveries", "show", data["delivery"].as_str().unwrap()]);
        assert_eq!(entry["delivery"]["status"], "exhausted", "{entry}");
    }
    // That is given up as well, in its time.
    daemon.wait_until("the news given up", |daemon| {
        let labels = [("endpoint", "deaf"), ("outcome", "exhausted")];
        daemon.metric("doorbell_deliveries_total", &labels) > 42.5
    });
    stays("nothing about that", || ops.count() == 3);
}

/// A clock that is far ahead at the start makes nothing old at once: it may be set right in a minute.
#[test]
fn a_leap_of_the_clock_gives_nothing_up_before_it_has_lasted() {
    let (api, ill) = (ApiServer::with_items(items(1)), Receiver::start());
    let paused =
        config(&api, &[("ill", &ill)], "{ for: 6s }").replace("retry:", "paused: true, retry:");
    let mut daemon = Daemon::run(&paused);
    daemon.wait_until_polled("tickets");
    api.set_items(items(4));
    daemon.wait_until("three waiting", |daemon| deliveries(daemon, "status=pending").len() == 3);
    let database = Connection::open(daemon.state_path().join("doorbell.db")).unwrap();
    daemon.wait_until("a look at the clock", |_| {
        database.query_row("SELECT seen_at IS NOT NULL FROM meta", [], |row| row.get(0)).unwrap()
    });
    daemon.kill9();
    // As if the clock were a year ahead from here on.
    let year: i64 = 365 * 86_400_000;
    for sql in [
        "UPDATE meta SET seen_at = seen_at - ?1",
        "UPDATE deliveries SET created_at = created_at - ?1",
    ] {
        assert!(database.execute(sql, [year]).unwrap() > 0, "{sql}");
    }
    drop(database);
    daemon.start();
    daemon.wait_until("the warning", |daemon| {
        !daemon.logged_since(0, &["the clock is 365d", "ahead"]).is_empty()
    });
    stays("all of it waits", || deliveries(&daemon, "status=pending").len() == 3);
    // It stays so: then a year has passed.
    daemon.wait_until("the entries", |daemon| deliveries(daemon, "status=exhausted").len() == 3);
}

#[test]
fn the_state_stays_within_its_size_and_what_waits_goes_last() {
    const EVENTS: usize = 400;
    let long = |version: u64| -> Value {
        (0..20)
            .map(|id| json!({ "id": id, "version": version, "text": "x".repeat(8000) }))
            .collect()
    };
    let api = ApiServer::with_items(long(0));
    let (well, ill) = (Receiver::start(), Receiver::start());
    ill.always(Reply::status(500));
    let endless = [("ill", &ill)];
    let mut daemon = Daemon::run(&config(&api, &[("well", &well)], "{ for: 30d }"));
    daemon.wait_until_polled("tickets");
    let changes = |from: u64, daemon: &mut Daemon| {
        for version in from..from + EVENTS as u64 / 20 {
            api.set_items(long(version));
            daemon.wait_until("the change", |daemon| {
                daemon
                    .control_json("/v1/events?order=newest&limit=1")
                    .to_string()
                    .contains(&format!("\"version\":{version}}}"))
            });
        }
    };
    changes(1, &mut daemon);
    well.wait_for("all", |ledger| ledger.accepted().len() == EVENTS);
    assert_eq!(events(&daemon), EVENTS);
    let reload = |daemon: &mut Daemon, config: &str| {
        let log_end = daemon.log_end();
        daemon.write_config(config);
        daemon.hup();
        daemon
            .wait_until("room", |daemon| !daemon.logged_since(log_end, &["made room"]).is_empty());
    };
    reload(&mut daemon, &config(&api, &[("well", &well)], "{ size: 4MiB }"));
    let left = events(&daemon);
    assert!((20..EVENTS).contains(&left), "{left} events are left");
    let newest = daemon.control_json("/v1/events?order=newest&limit=1").to_string();
    assert!(newest.contains("\"version\":20}"), "the oldest went first");
    daemon.write_config(&config(&api, &endless, "{ for: 30d }"));
    daemon.hup();
    daemon.wait_until("the reload", |daemon| {
        daemon.control_json("/v1/endpoints").to_string().contains("ill")
    });
    changes(21, &mut daemon);
    // What waits is given up, and leaves its entry and no more.
    reload(&mut daemon, &config(&api, &endless, "{ size: 4MiB }"));
    let lost = deliveries(&daemon, "endpoint=ill&status=exhausted");
    let kept = deliveries(&daemon, "endpoint=ill").len() - lost.len();
    assert!(
        lost.len() >= 100 && kept >= 100 && lost.len() + kept == EVENTS,
        "{} and {kept}",
        lost.len()
    );
    let reason = lost[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("expired: no room"), "{reason}");
    let shown = daemon.cli_json(&["deliveries", "show", lost[0]["id"].as_str().unwrap()]);
    assert!(
        shown["event"].is_null() && !shown["attempts"].as_array().unwrap().is_empty(),
        "{shown}"
    );
    ill.always(Reply::status(204));
    // What was on its way when it was given up may arrive, too.
    ill.wait_for("the rest", |ledger| ledger.accepted().len() >= kept);
    // Room that was made is used again: the file has not grown by all that ever was in it, 13 MB.
    assert!(daemon.term().success());
    let bytes = fs::metadata(daemon.state_path().join("doorbell.db")).unwrap().len();
    assert!(bytes < 12_000_000, "{bytes}");
}

#[test]
fn entries_that_left_are_forgotten_and_begin_anew_if_they_come_back() {
    let (orders, receiver) = (ApiServer::with_items(items(3)), Receiver::start());
    let state = Shared::new("packed");
    let now = state.clone();
    let carrier = Script::start(move |_| Reply::json(&json!({ "state": now.get() })));
    let mut daemon = Daemon::run(&format!(
        "retention: {{ for: 2s }}\nsources:\n  orders: {{ url: '{}', key: .id, every: 100ms }}\n  \
         parcels: {{ url: '{}/{{{{key}}}}', for_each: {{ source: orders }}, every: 100ms }}\n\
         endpoints:\n  desk: {{ url: '{}', sign: none, events: [parcels.*] }}\n",
        orders.url(),
        carrier.url_of(""),
        receiver.url()
    ));
    let asked = |key: &str| {
        let path = format!("/{key}");
        carrier.requests().iter().filter(|request| request.path() == path).count()
    };
    daemon.wait_until("all three", |_| ["1", "2", "3"].iter().all(|key| asked(key) > 1));
    // One event, so that one of those that stay has the number to go on from.
    state.set("shipped");
    receiver.wait_for("three events", |ledger| ledger.accepted().len() == 3);
    orders.set_items(json!([items(1)[0], items(2)[1]]));
    orders.wait_for_requests(2);
    orders.set_items(items(1));
    // The number to go on from is that of the one that stays, as soon as it has rung.
    daemon.wait_for_good_polls("orders", 3);
    state.set("lost");
    receiver.wait_for("the next event", |ledger| ledger.accepted().len() == 4);
    daemon.wait_until("both being forgotten", |daemon| {
        let told = daemon.logged_since(0, &["forgot entries that left"]);
        let counts = told
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["entries"].as_u64());
        counts.sum::<u64>() == 2
    });
    let before = (asked("2"), asked("3"));
    orders.set_items(items(3));
    daemon
        .wait_until("all three again", |_| asked("2") > before.0 + 1 && asked("3") > before.1 + 1);
    state.set("found");
    receiver.wait_for("three more", |ledger| ledger.accepted().len() == 7);
    let seqs: Vec<_> = receiver
        .ledger()
        .accepted()
        .iter()
        .map(|ring| ring.event["seq"].as_u64().unwrap())
        .collect();
    let mut sorted = seqs.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=7).collect::<Vec<_>>(), "numbers go on without a gap");
}

/// With `deletes: off`, a key that comes back soon rings nothing. One that was away for longer than history is kept is new.
#[test]
fn what_vanished_without_a_word_is_remembered_as_long_as_history() {
    let api = ApiServer::with_items(items(2));
    let desk = Receiver::start();
    let text = config(&api, &[("desk", &desk)], "{ for: 4s }");
    let text = text.replace("every: 100ms", "every: 100ms, deletes: off");
    let mut daemon = Daemon::run(&text);
    daemon.wait_until_polled("tickets");
    let gone = |version: u32| api.set_items(json!([{ "id": 1, "status": version }]));
    gone(0);
    daemon.wait_for_good_polls("tickets", 2);
    api.set_items(items(2));
    daemon.wait_for_good_polls("tickets", 2);
    assert_eq!(desk.ledger().of_key("2").len(), 0, "it was away for a moment");
    let version = AtomicU32::new(1);
    daemon.wait_until("nothing being known of it", |daemon| {
        // Only a listing that is another one is looked at.
        gone(version.fetch_add(1, Ordering::Relaxed));
        let known = daemon.control_json("/v1/sources/tickets/items");
        known.as_array().unwrap().iter().all(|item| item["key"] != "2")
    });
    api.set_items(items(2));
    let ledger = desk.wait_for("its return", |ledger| ledger.of_key("2").len() == 1);
    assert!(ledger.story().contains(&String::from("tickets.created 2")), "{ledger:?}");
}
