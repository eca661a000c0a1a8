//! What outlives a process, what ends one, and what keeps one from starting.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::scene::{item, items};
use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene};

/// How long a process that must end at once may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Starts the daemon, which must refuse; what it says.
#[track_caller]
fn refuses(daemon: &mut Daemon) -> String {
    let log_end = daemon.log_end();
    daemon.start_with(&[]);
    let began = Instant::now();
    let status = daemon.wait_for_exit();
    assert_eq!(status.code(), Some(1), "{}", daemon.log_text());
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    daemon.log_text().split_off(log_end)
}

#[test]
fn a_second_daemon_is_refused_at_once() {
    let mut scene = Scene::with_items(items(1));
    // By another name it is the same state.
    let mut second = Daemon::new(&scene.config());
    symlink(scene.daemon.state_path(), second.state_path()).unwrap();
    let said = refuses(&mut second);
    assert!(said.contains("another doorbell uses"), "{said}");
    assert!(said.contains(&*second.state_path().to_string_lossy()), "{said}");

    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    assert!(scene.daemon.term().success());
    second.start();
    assert!(second.term().success());
}

#[test]
fn of_ten_started_together_one_runs() {
    let scene = Scene::set(items(1));
    let state = scene.daemon.path("shared");
    let mut daemons: Vec<_> = (0..10).map(|_| Daemon::new(&scene.config())).collect();
    for daemon in &mut daemons {
        symlink(&state, daemon.state_path()).unwrap();
    }
    fs::create_dir(&state).unwrap();
    for daemon in &mut daemons {
        daemon.start_with(&[]);
    }
    let is_over = |daemon: &Daemon| daemon.log_text().contains("another doorbell uses");
    wait_until("nine refusals", || daemons.iter().filter(|it| is_over(it)).count() >= 9);
    let (refused, mut running): (Vec<_>, Vec<_>) = daemons.into_iter().partition(is_over);
    assert_eq!((refused.len(), running.len()), (9, 1));
    for mut daemon in refused {
        assert_eq!(daemon.wait_for_exit().code(), Some(1));
    }
    running[0].wait_until("the one being ready", |daemon| {
        daemon.get("/readyz").is_some_and(|answer| answer.status == 200)
    });
    running[0].wait_for_good_polls("tickets", 2);
    assert!(running[0].term().success());
}

/// A daemon that has done something which is on disk and in the mark beside the database, and is gone.
#[track_caller]
fn ended_after_changes(hard: bool) -> Scene {
    let mut scene = Scene::with_items(items(1));
    let mark = || fs::read(scene.daemon.path("state/doorbell.mark")).unwrap();
    let begun = mark();
    // The mark is written with a commit, but not with every one.
    let mut id = 2;
    wait_until("a newer mark", || {
        scene.api.set_items(items(id));
        scene.api.wait_for_requests(1);
        id += 1;
        mark() != begun
    });
    if hard {
        scene.daemon.kill9();
    } else {
        assert!(scene.daemon.term().success());
    }
    scene
}

/// The state is refused until a person accepts it; then the daemon works on, and starts again by itself.
#[track_caller]
fn is_refused_until_accepted(scene: &mut Scene) {
    let said = refuses(&mut scene.daemon);
    for words in ["went backwards", "--accept-state", &scene.daemon.state_path().to_string_lossy()]
    {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // Looking at it takes on nothing.
    scene.daemon.cli(&["events"]);
    refuses(&mut scene.daemon);

    scene.daemon.start_with(&["--accept-state"]);
    scene.daemon.wait_until("readiness", |daemon| {
        daemon.get("/readyz").is_some_and(|answer| answer.status == 200)
    });
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.api.set_items(json!([item(500)]));
    scene.receiver.wait_for("a new item", |ledger| !ledger.of_key("500").is_empty());
    scene.daemon.kill9();
    scene.daemon.start();
    assert!(scene.daemon.term().success());
}

#[test]
fn a_state_without_its_log_is_refused() {
    let mut scene = ended_after_changes(true);
    fs::remove_file(scene.daemon.path("state/doorbell.db-wal")).unwrap();
    is_refused_until_accepted(&mut scene);
}

#[test]
fn an_emptied_state_is_refused() {
    let mut scene = ended_after_changes(false);
    fs::write(scene.daemon.path("state/doorbell.db"), "").unwrap();
    is_refused_until_accepted(&mut scene);
}

#[test]
fn a_vanished_state_is_refused() {
    let mut scene = ended_after_changes(false);
    fs::remove_file(scene.daemon.path("state/doorbell.db")).unwrap();
    is_refused_until_accepted(&mut scene);
}

#[test]
fn an_older_copy_of_the_state_is_refused() {
    let mut scene = Scene::with_items(items(1));
    assert!(scene.daemon.term().success());
    let (database, older) = (scene.daemon.path("state/doorbell.db"), scene.daemon.path("older"));
    fs::copy(&database, &older).unwrap();
    scene.daemon.start();
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    assert!(scene.daemon.term().success());
    fs::copy(&older, &database).unwrap();
    is_refused_until_accepted(&mut scene);
    // The change was found once more, and is the same event.
    let ledger = scene.receiver.ledger();
    assert_eq!(ids_of(&scene, "2").len(), 1, "{:?}", ledger.story());
}

/// The ids of all that rang about an item.
fn ids_of(scene: &Scene, key: &str) -> Vec<String> {
    let ledger = scene.receiver.ledger();
    let mut ids: Vec<_> =
        ledger.rings.iter().filter(|ring| ring.key() == key).map(|ring| ring.id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn after_a_restored_backup_the_same_change_is_the_same_event() {
    let mut scene = Scene::with_items(items(3));
    scene.api.set_items(items(4));
    scene.receiver.expect(&["tickets.created 4"]);
    let copy = scene.daemon.path("copy.db").to_string_lossy().into_owned();
    let made = scene.daemon.cli(&["backup", &copy]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(scene.daemon.cli(&["backup", &copy]).code, Some(2), "it overwrites a file");

    // One is updated, one deleted, one created: after the copy.
    let after = json!([{ "id": 1, "status": "closed" }, item(3), item(4), item(5)]);
    let story =
        ["tickets.created 4", "tickets.updated 1", "tickets.deleted 2", "tickets.created 5"];
    scene.api.set_items(after);
    scene.receiver.expect(&story);
    let rung = scene.receiver.ledger().rings.len();

    let early = scene.daemon.cli(&["restore", &copy]);
    assert_eq!(early.code, Some(1), "a state in use is replaced: {early:?}");
    assert!(early.stderr.contains("another doorbell uses"), "{early:?}");
    assert!(scene.daemon.term().success());
    let restored = scene.daemon.cli(&["restore", &copy]);
    assert_eq!(restored.code, Some(0), "{restored:?}");

    scene.daemon.start();
    scene.receiver.wait_for_requests_in_all(rung + 3);
    stays("nothing else rings", || scene.receiver.ledger().rings.len() == rung + 3);
    for key in ["1", "2", "5"] {
        assert_eq!(ids_of(&scene, key).len(), 1, "item {key} rang under several ids");
    }
    assert!(scene.daemon.term().success());
}

#[test]
fn a_copy_that_is_none_is_not_restored() {
    let mut scene = Scene::with_items(items(1));
    assert!(scene.daemon.term().success());
    let before = fs::read(scene.daemon.path("state/doorbell.db")).unwrap();
    for (name, content) in
        [("empty", ""), ("text", "SELECT 1;"), ("half", "SQLite format 3\0 and no more")]
    {
        fs::write(scene.daemon.path(name), content).unwrap();
        let refused = scene.daemon.cli(&["restore", name]);
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
    }
    assert_eq!(scene.daemon.cli(&["restore", "nowhere"]).code, Some(2));
    assert!(before == fs::read(scene.daemon.path("state/doorbell.db")).unwrap(), "it changed");
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
}

/// A scene whose timeouts are longer than this test waits.
fn patient_scene(every: &str) -> Scene {
    let (api, receiver) = (ApiServer::with_items(items(1)), Receiver::start());
    let daemon = Daemon::new(&format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: {every}, timeout: 1m }}
endpoints:
  desk: {{ url: '{}', secret: any, timeout: 1m, retry: {{ first: 1h, max: 1h, for: 1d }} }}
",
        api.url(),
        receiver.url()
    ));
    Scene { api, receiver, daemon }
}

/// Ends it with SIGTERM; how long that took.
#[track_caller]
fn ends_well(daemon: &mut Daemon) -> Duration {
    let began = Instant::now();
    let status = daemon.term();
    assert!(status.success(), "{status}: {}", daemon.log_text());
    began.elapsed()
}

#[test]
fn a_hung_api_delays_no_end() {
    let mut scene = patient_scene("100ms");
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    scene.api.always(Reply::hang());
    scene.api.wait_for_requests(1);
    let took = ends_well(&mut scene.daemon);
    assert!(took < AT_ONCE, "it took {took:?}");
}

#[test]
fn a_hung_receiver_delays_the_end_for_a_while_and_no_attempt_is_counted() {
    let mut scene = patient_scene("100ms");
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    scene.receiver.always(Reply::hang());
    scene.api.set_items(items(2));
    scene.receiver.wait_for_requests_in_all(1);
    let took = ends_well(&mut scene.daemon);
    assert!(took < Duration::from_secs(15), "it took {took:?}");

    scene.receiver.heal();
    scene.daemon.start();
    scene.receiver.expect(&["tickets.created 2"]);
    let rings = scene.receiver.ledger().rings;
    assert_eq!(rings.len(), 2);
    assert_eq!(rings[0].id, rings[1].id);
    scene.daemon.wait_until("the delivery", |daemon| {
        let rows = daemon.control_json("/v1/deliveries");
        rows[0]["status"] == "delivered" && rows[0]["attempts"] == 1
    });
}

#[test]
fn what_is_sent_when_the_end_comes_is_finished() {
    let mut scene = patient_scene("100ms");
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    // The answer takes a while: its status comes at once, and the rest is not waited for long.
    scene.receiver.always(
        Reply::text("text/plain", "x".repeat(20))
            .sent(crate::support::reply::Manner::Drip(Duration::from_millis(20))),
    );
    scene.api.set_items(items(6));
    scene.receiver.wait_for_requests_in_all(1);
    ends_well(&mut scene.daemon);
    let rung = scene.receiver.ledger().rings.len();
    scene.receiver.heal();
    scene.daemon.start();
    let all: Vec<_> = (2..=6).map(|id| format!("tickets.created {id}")).collect();
    scene.receiver.expect(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let rings = scene.receiver.ledger().rings.len();
    assert_eq!(rings, 5, "{rung} were sent before the end, and some of them again");
}

#[test]
fn a_schedule_and_what_waits_outlive_the_process() {
    let mut scene = patient_scene("1h");
    scene.receiver.always(Reply::status(503));
    scene.daemon.start();
    scene.daemon.wait_until_polled("tickets");
    scene.api.set_items(items(2));
    assert_eq!(scene.daemon.cli(&["poll", "tickets", "--commit"]).code, Some(0));
    scene.receiver.wait_for_requests_in_all(1);
    let plan = |daemon: &Daemon| {
        let source = daemon.control_json("/v1/sources/tickets");
        let delivery = daemon.control_json("/v1/deliveries");
        (
            source["next_poll"].clone(),
            delivery[0]["due_at"].clone(),
            delivery[0]["attempts"].clone(),
        )
    };
    scene.daemon.wait_until("a counted attempt", |daemon| plan(daemon).2 == 1);
    let (planned, asked) = (plan(&scene.daemon), scene.api.asked());
    for hard in [true, false] {
        if hard {
            scene.daemon.kill9();
        } else {
            ends_well(&mut scene.daemon);
        }
        scene.daemon.start();
        stays("nothing is done before its time", || {
            scene.api.asked() == asked && scene.receiver.ledger().rings.len() == 1
        });
        assert_eq!(plan(&scene.daemon), planned, "after a hard end: {hard}");
    }
}

#[test]
fn pending_deliveries_outlive_the_process() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(503));
    scene.api.set_items(items(5));
    scene.receiver.wait_for_requests_in_all(8);
    for hard in [true, false, true] {
        if hard {
            scene.daemon.kill9();
        } else {
            ends_well(&mut scene.daemon);
        }
        scene.daemon.start();
        scene.receiver.wait_for_requests(4);
    }
    scene.receiver.heal();
    let all: Vec<_> = (2..=5).map(|id| format!("tickets.created {id}")).collect();
    scene.receiver.expect(&all.iter().map(String::as_str).collect::<Vec<_>>());
}
