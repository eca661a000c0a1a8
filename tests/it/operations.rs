//! What an operator counts on when something is wrong: the rest goes on, nothing is lost, and systemd is told.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::scene::{item, items};
use crate::support::wait::{CALM, poll_for, stays, wait_for};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene};

/// Items in a given state.
fn in_status(status: &str, ids: std::ops::RangeInclusive<usize>) -> Value {
    ids.map(|id| json!({ "id": id, "status": status })).collect()
}

#[test]
fn a_receiver_that_is_down_loses_nothing_and_gets_everything_in_order() {
    let mut scene = Scene::with_items(items(5));
    scene.receiver.always(Reply::reset());
    for status in ["open", "waiting", "closed"] {
        scene.api.set_items(in_status(status, 1..=5));
        scene.daemon.wait_for_good_polls("tickets", 2);
    }
    scene.api.set_items(in_status("closed", 1..=6));
    scene.receiver.wait_for_requests_in_all(20);
    assert!(scene.receiver.ledger().accepted().is_empty());
    let pending =
        |daemon: &Daemon| daemon.metric("doorbell_deliveries_pending", &[("endpoint", "desk")]);
    scene.daemon.wait_until("all sixteen waiting", |daemon| pending(daemon) > 15.5);

    scene.receiver.heal();
    let ledger = scene.receiver.wait_for("everything", |ledger| ledger.accepted().len() >= 16);
    for id in 1..=5 {
        let told = ledger.of_key(&id.to_string());
        let statuses: Vec<_> =
            told.iter().map(|ring| ring.event["data"]["status"].clone()).collect();
        assert_eq!(statuses, ["open", "waiting", "closed"], "item {id}");
    }
    scene.daemon.wait_until("nothing waits", |daemon| pending(daemon) < 0.5);
    let rings = scene.receiver.ledger().rings.len();
    stays("nothing is sent again", || scene.receiver.ledger().rings.len() == rings);
    scene.receiver.ledger().assert_bodies_never_change();
}

#[test]
fn a_receiver_that_works_and_answers_late_gets_the_same_id_again() {
    let mut scene = Scene::with_items(items(1));
    // It did its work before it failed to say so.
    for reply in [Reply::status(500), Reply::hang(), Reply::reset()] {
        scene.receiver.next(reply);
    }
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    let ledger = scene.receiver.ledger();
    assert_eq!((ledger.rings.len(), ledger.ids().len()), (4, 1));
    let bare = |ring: &crate::support::receiver::Ring| {
        let names = ["webhook-id", "content-type", "user-agent"];
        names.map(|name| ring.received.header(name).map(str::to_owned))
    };
    assert!(ledger.rings.iter().all(|ring| bare(ring) == bare(&ledger.rings[0])));
    assert_eq!(bare(&ledger.rings[0])[1].as_deref(), Some("application/json"));
    assert!(scene.daemon.term().success());
}

#[test]
fn an_item_that_the_receiver_chokes_on_stops_no_other() {
    let scene = Scene::with_items(items(3));
    scene.receiver.for_key("2", Reply::status(422));
    for status in ["open", "waiting", "closed"] {
        scene.api.set_items(in_status(status, 1..=3));
        scene.receiver.wait_for(status, |ledger| {
            ["1", "3"].iter().all(|key| {
                ledger.of_key(key).last().is_some_and(|ring| ring.event["data"]["status"] == status)
            })
        });
    }
    let ledger = scene.receiver.ledger();
    assert!(ledger.of_key("2").is_empty());
    // Only the first of the three is tried: the later ones wait for it.
    let tried: Vec<_> = ledger.rings.iter().filter(|ring| ring.key() == "2").collect();
    assert!(tried.iter().all(|ring| ring.event["data"]["status"] == "open"));

    scene.receiver.heal();
    let ledger = scene.receiver.wait_for("item 2", |ledger| ledger.of_key("2").len() == 3);
    let told = ledger.of_key("2");
    let statuses: Vec<_> = told.iter().map(|ring| ring.event["data"]["status"].clone()).collect();
    assert_eq!(statuses, ["open", "waiting", "closed"]);
}

#[test]
fn fifty_endpoints_cost_one_loop_of_polls() {
    let (api, receivers) =
        (ApiServer::with_items(items(1)), (0..5).map(|_| Receiver::start()).collect::<Vec<_>>());
    let endpoint =
        |n: usize| format!("  e{n}: {{ url: '{}/{n}', secret: any }}\n", receivers[n % 5].url());
    let endpoints = (0..50).map(endpoint).collect::<Vec<_>>().concat();
    let mut daemon = Daemon::run(&format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{endpoints}",
        api.url()
    ));
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    for receiver in &receivers {
        let ledger = receiver.wait_for("ten endpoints", |ledger| ledger.rings.len() >= 10);
        assert_eq!(ledger.ids().len(), 1);
    }
    daemon.wait_for_good_polls("tickets", 3);
    let polls = daemon.metric("doorbell_polls_total", &[]);
    let asked = u32::try_from(api.asked()).unwrap();
    assert!((f64::from(asked) - polls).abs() < 2.5, "{asked} requests for {polls} polls");
    stays("each rings once", || receivers.iter().all(|it| it.ledger().rings.len() == 10));
    assert!(daemon.term().success());
}

#[test]
fn what_hangs_delays_nothing_else() {
    let (stuck, api) = (ApiServer::with_items(items(1)), ApiServer::with_items(items(1)));
    let (dead, receiver) = (Receiver::start(), Receiver::start());
    stuck.always(Reply::hang());
    dead.always(Reply::hang());
    let source = |name: &str, url: String| {
        format!("  {name}: {{ url: '{url}', key: .id, every: 100ms, timeout: 1m }}\n")
    };
    let endpoint = |name: &str, url: String| {
        format!("  {name}: {{ url: '{url}', secret: any, timeout: 1m }}\n")
    };
    let stuck_ones: String = (0..20).map(|n| source(&format!("stuck{n}"), stuck.url())).collect();
    let dead_ones: String = (0..5).map(|n| endpoint(&format!("dead{n}"), dead.url())).collect();
    let mut daemon = Daemon::run(&format!(
        "sources:\n{stuck_ones}{}endpoints:\n{dead_ones}{}",
        source("tickets", api.url()),
        endpoint("desk", receiver.url())
    ));
    daemon.wait_for_good_polls("tickets", 1);
    crate::support::wait::wait_until("every stuck source", || stuck.asked() >= 20);
    for id in 2..=20 {
        api.set_items(items(id));
        let shown = Instant::now();
        let rang = format!("tickets.created {id}");
        receiver.wait_for(&rang, |ledger| ledger.story().last() == Some(&rang));
        let delay = shown.elapsed();
        // Polled every 100 ms; the rest is for busy machines.
        assert!(delay < Duration::from_secs(3), "item {id} rang after {delay:?}");
    }
    assert!(dead.ledger().rings.len() <= 5 * 8, "more in flight than `concurrency` says");
    assert!(dead.ledger().rings.len() > 5, "the dead ones are sent to as well");
}

#[test]
fn a_desk_where_nothing_happens_costs_only_304s() {
    let mut scene = Scene::with_items(items(3));
    scene.api.set_items(items(4));
    scene.receiver.expect(&["tickets.created 4"]);
    scene.daemon.wait_for_good_polls("tickets", 1);
    let outcomes = |daemon: &Daemon| {
        ["changed", "unchanged", "not_modified", "failed"].map(|it| daemon.polls("tickets", it))
    };
    let before = outcomes(&scene.daemon);
    let asked = scene.api.asked();
    scene.api.wait_for_requests(10);
    let after = outcomes(&scene.daemon);
    assert_eq!((before[0], before[1], before[3]), (after[0], after[1], after[3]));
    let conditional = |it: &crate::support::server::Received| it.header("if-none-match").is_some();
    assert!(scene.api.requests()[asked..].iter().all(conditional));
    assert!(after[2] >= before[2] + 8.0);
}

#[test]
fn a_mass_deletion_waits_for_a_person_who_may_drop_it() {
    let mut scene = Scene::with_items(items(60));
    scene.api.set_items(json!([]));
    let held = |daemon: &Daemon| daemon.metric("doorbell_held_changes", &[("source", "tickets")]);
    scene.daemon.wait_until("held deletions", |daemon| held(daemon) > 59.5);
    assert_eq!(scene.daemon.cli_json(&["held"]).as_array().unwrap().len(), 60);
    let dropped = scene.daemon.cli_json(&["held", "discard", "tickets"]);
    assert_eq!(dropped["count"], 60);
    assert!(held(&scene.daemon) < 0.5);
    // They are remembered, so that their return is no news.
    scene.api.set_items(items(61));
    scene.receiver.expect(&["tickets.created 61"]);
    assert_eq!(scene.daemon.cli(&["held", "release", "nobody"]).code, Some(2));
}

#[test]
fn health_is_told_without_a_token_and_numbers_with_one() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = Daemon::run(&format!(
        "server: {{ listen: 127.0.0.1:0, token: t0ken-of-the-server }}\nsources:\n  tickets: {{ url: '{}', key: .id }}\n",
        api.url()
    ));
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 401), ("/v1/events", 404)]
    {
        let answer = daemon.get(path).expect(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status >= 400 {
            assert_eq!(answer.content_type, "application/problem+json", "{path}");
        }
    }
    let answer = daemon.ask("POST", "/healthz", None).expect("an answer");
    assert_eq!((answer.status, answer.content_type.as_str()), (405, "application/problem+json"));
    let metrics = daemon.control("GET", "/metrics", None).expect("an answer");
    assert_eq!(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let described: Vec<_> =
        metrics.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(described.contains(&"doorbell_polls_total counter"), "{described:?}");
    for line in described {
        let (name, kind) = line.split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
    }
    assert!(!metrics.text.contains("# EOF") && !metrics.text.contains("# UNIT"));
    assert!(daemon.term().success());
}

/// What systemd would hear.
struct Systemd {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Systemd {
    /// Waits for a message with a line that begins so.
    #[track_caller]
    fn hears(&mut self, line: &str) {
        let has = |message: &String| message.lines().any(|it| it.starts_with(line));
        wait_for(&format!("{line} among {:?}", self.heard), || {
            let mut bytes = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut bytes) {
                self.heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            let at = self.heard.iter().position(has)?;
            self.heard.drain(..=at);
            Some(())
        });
    }
}

#[test]
fn systemd_is_told_what_goes_on() {
    let mut scene = Scene::set(items(1));
    let path = scene.daemon.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut systemd = Systemd { socket, heard: Vec::new() };
    scene.daemon.set_env("NOTIFY_SOCKET", &path.to_string_lossy());
    scene.daemon.set_env("WATCHDOG_USEC", "600000");
    scene.daemon.start();
    systemd.hears("READY=1");
    systemd.hears("STATUS=1 source, 1 endpoint");
    for _ in 0..3 {
        systemd.hears("WATCHDOG=1");
    }
    scene.daemon.hup();
    systemd.hears("RELOADING=1");
    systemd.hears("READY=1");
    scene.daemon.write_config("sources: nonsense\n");
    scene.daemon.hup();
    systemd.hears("RELOADING=1");
    systemd.hears("READY=1");
    scene.daemon.signal("TERM");
    systemd.hears("STOPPING=1");
    assert!(scene.daemon.wait_for_exit().success());
}

#[test]
fn a_stopped_process_goes_on_without_a_burst() {
    let mut scene = Scene::with_items(items(1));
    scene.daemon.signal("STOP");
    let frozen = scene.api.asked();
    assert!(poll_for(CALM * 2, || None::<()>).is_none());
    scene.api.set_items(json!([item(1), item(2)]));
    scene.daemon.signal("CONT");
    scene.receiver.expect(&["tickets.created 2"]);
    // Ten polls were missed. They are not made up for.
    let gaps: Vec<_> =
        scene.api.requests()[frozen..].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let rushed = gaps.iter().filter(|gap| **gap < Duration::from_millis(40)).count();
    assert!(rushed <= 2, "{gaps:?}");
    assert!(scene.daemon.term().success());
}
