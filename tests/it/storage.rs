//! When what the state lies on fails: a full disk, a locked or removed database, damaged rows, no descriptors left.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::ask;
use crate::support::scene::items;
use crate::support::wait::{poll_for, stays};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene};

fn database(daemon: &Daemon) -> Connection {
    Connection::open(daemon.state_path().join("doorbell.db")).unwrap()
}

#[test]
fn a_database_that_somebody_locks_is_waited_for() {
    let mut scene = Scene::with_items(items(1));
    let other = database(&scene.daemon);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let log_end = scene.daemon.log_end();
    scene.api.set_items(items(2));
    // Longer than the patience of any one write.
    scene.daemon.wait_until("a write that gave up", |daemon| {
        !daemon.logged_since(log_end, &["could not be kept"]).is_empty()
    });
    assert!(scene.receiver.ledger().rings.is_empty(), "it rang of what is not stored");
    assert!(scene.daemon.get("/healthz").is_some(), "the process goes on");
    other.execute_batch("ROLLBACK").unwrap();
    scene.receiver.expect(&["tickets.created 2"]);
    assert!(scene.daemon.logged_since(log_end, &["could not be kept"]).len() < 5, "a busy loop");
    assert!(scene.daemon.term().success());
}

#[test]
fn a_state_that_is_removed_ends_the_process() {
    let mut scene = Scene::with_items(items(1));
    fs::remove_dir_all(scene.daemon.state_path()).unwrap();
    // Changes go on until the mark is due, which cannot be written any more.
    let mut id = 2;
    let ended = poll_for(Duration::from_secs(20), || {
        scene.api.set_items(items(id));
        id += 1;
        scene.daemon.log_text().contains("ending").then_some(())
    });
    assert!(ended.is_some(), "it goes on without a state: {}", scene.daemon.log_text());
    assert_eq!(scene.daemon.wait_for_exit().code(), Some(1));
    let log = scene.daemon.log_text();
    assert!(log.contains("the store cannot go on") && log.contains("doorbell.mark"), "{log}");
}

#[test]
fn a_damaged_event_is_never_sent() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(503));
    scene.api.set_items(items(3));
    scene.receiver.wait_for_requests_in_all(2);
    scene.daemon.kill9();
    let changed = database(&scene.daemon)
        .execute("UPDATE bodies SET body = replace(body, 'new', 'odd') WHERE body LIKE '%\"key\":\"2\"%'", ())
        .unwrap();
    assert_eq!(changed, 1);
    let rung = scene.receiver.ledger().rings.len();
    scene.receiver.heal();
    scene.daemon.start();
    scene.receiver.expect(&["tickets.created 3"]);
    let ledger = scene.receiver.ledger();
    assert!(ledger.rings[rung..].iter().all(|ring| ring.key() == "3"), "{:?}", ledger.story());
    let rows = scene.daemon.control_json("/v1/deliveries?status=exhausted");
    assert_eq!((rows[0]["key"].clone(), rows.as_array().unwrap().len()), (json!("2"), 1));
    assert!(rows[0]["reason"].as_str().unwrap().contains("damaged"), "{rows}");
    let log = scene.daemon.log_text();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("damaged")), "{log}");
    assert!(scene.daemon.term().success());
}

#[test]
fn a_damaged_item_is_not_told_of() {
    let mut scene = Scene::with_items(items(2));
    assert!(scene.daemon.term().success());
    let changed = database(&scene.daemon)
        .execute("UPDATE contents SET content = replace(content, 'new', 'odd') WHERE key = '1'", ())
        .unwrap();
    assert_eq!(changed, 1);
    scene.daemon.start();
    let open = |id: usize, status: &str| json!({ "id": id, "status": status });
    scene.api.set_items(json!([open(1, "open"), open(2, "open")]));
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.api.set_items(json!([open(1, "closed"), open(2, "closed")]));
    let ledger = scene.receiver.wait_for("both being closed", |ledger| {
        ["1", "2"].iter().all(|key| {
            let told = ledger.of_key(key);
            told.last().is_some_and(|ring| ring.event["data"]["status"] == "closed")
        })
    });
    assert!(ledger.rings.iter().all(|ring| ring.event["previous"]["status"] != "odd"));
    assert_eq!(ledger.of_key("2").len(), 2);
    let log = scene.daemon.log_text();
    assert!(log.lines().any(|line| line.contains("hash") || line.contains("damaged")), "{log}");
    assert!(scene.daemon.term().success());
}

#[test]
fn a_process_short_of_descriptors_recovers() {
    let (stuck, api, receiver) =
        (ApiServer::with_items(items(1)), ApiServer::with_items(items(1)), Receiver::start());
    let source = |name: &str, url: String| {
        format!(
            "  {name}: {{ url: '{url}', key: .id, every: 200ms, timeout: 1m, backoff: {{ first: 100ms, max: 300ms }} }}\n"
        )
    };
    let crowd = (0..60).map(|n| source(&format!("s{n}"), stuck.url())).collect::<Vec<_>>();
    let mut daemon = Daemon::new(&format!(
        "sources:\n{}{}endpoints:\n  desk: {{ url: '{}', secret: any, retry: {{ first: 50ms, max: 200ms }} }}\n",
        crowd.concat(),
        source("tickets", api.url()),
        receiver.url()
    ));
    let few = "ulimit -n 64 && exec \"$0\" \"$@\"";
    daemon.set_program(&["sh", "-c", few, env!("CARGO_BIN_EXE_doorbell")]);
    stuck.always(Reply::hang());
    daemon.start_with(&[]);
    daemon.wait_until("no descriptor being left", |daemon| {
        daemon.log_text().to_lowercase().contains("too many open files")
    });
    // No busy loop: neither in the log nor in the processor.
    let lines = daemon.log_text().lines().count();
    stays("a quiet log", || daemon.log_text().lines().count() < lines + 300);

    // Those that hang are reset, and everybody works again.
    stuck.always(Reply::reset());
    drop(stuck);
    let rang = |ledger: &crate::support::receiver::Ledger| !ledger.of_key("2").is_empty();
    daemon
        .wait_until("readiness", |daemon| daemon.get("/readyz").is_some_and(|it| it.status == 200));
    daemon.wait_for_good_polls("tickets", 1);
    api.set_items(items(2));
    receiver.wait_for("the new item", rang);
    assert!(daemon.term().success());
}

/// Whether a process can have mounts of its own here.
fn has_own_mounts() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_pauses_the_work_and_loses_nothing() {
    if !has_own_mounts() {
        println!("SKIPPED: no mount namespaces here, so that no small disk can be made");
        return;
    }
    let mut scene = Scene::set(items(1));
    // The state lies on a small disk, most of which is taken.
    let (state, ballast) = (scene.daemon.state_path(), "ballast");
    fs::create_dir(&state).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=3m none {0} && head -c 1900000 /dev/zero > {0}/{ballast} && exec \"$0\" \"$@\"",
        state.display()
    );
    let doorbell = env!("CARGO_BIN_EXE_doorbell");
    let unshare =
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, doorbell];
    scene.daemon.set_program(&unshare);
    scene.daemon.start();
    // The control socket is on that disk, too: it is reached through the process.
    let inside = format!("/proc/{}/root{}", scene.daemon.pid(), state.display());
    let good_polls = |daemon: &Daemon| {
        let metrics = daemon.get("/metrics").unwrap().text;
        ask::sum(&metrics, "doorbell_polls_total", &[("source", "tickets")])
    };
    scene.daemon.wait_until("polls", |daemon| good_polls(daemon) >= 2.0);

    // Each round rewrites large items, until there is no room for a change and its events.
    let large = |round: usize| -> Value {
        (1..=20).map(|id| json!({ "id": id, "round": round, "text": "x".repeat(2500) })).collect()
    };
    let mut round = 0;
    let full = poll_for(Duration::from_secs(30), || {
        round += 1;
        scene.api.set_items(large(round));
        scene.api.wait_for_requests(2);
        scene.daemon.log_text().contains("disk is full").then_some(())
    });
    assert!(full.is_some(), "the disk is never full");
    assert!(scene.daemon.get("/healthz").is_some(), "the process goes on");

    fs::remove_file(Path::new(&inside).join(ballast)).unwrap();
    let last = large(round);
    scene.receiver.wait_for("the last state of every item", |ledger| {
        (1..=20).all(|id: usize| {
            let of_item = ledger.of_key(&id.to_string());
            of_item.last().is_some_and(|ring| ring.event["data"] == last[id - 1])
        })
    });
    scene.receiver.ledger().assert_bodies_never_change();
    // Each change starts from the last one that rang: none was lost in between.
    for id in 1..=20_usize {
        let ledger = scene.receiver.ledger();
        let of_item = ledger.of_key(&id.to_string());
        let links = of_item.windows(2);
        assert!(links.into_iter().all(|pair| pair[0].event["data"] == pair[1].event["previous"]));
    }
    assert!(scene.daemon.term().success());
}
