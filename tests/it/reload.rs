//! A configuration that is read again while the daemon runs: a good one holds at once, a bad one changes nothing.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::scene::{item, items};
use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Receiver, Scene};

/// Whether the last reload went well, as the metric says.
fn is_valid(daemon: &Daemon) -> bool {
    daemon.metric("doorbell_config_last_reload_successful", &[]) > 0.5
}

/// Reloads, and waits until the daemon says how it went; what it said.
#[track_caller]
fn reload(daemon: &mut Daemon, config: &str, good: bool) -> String {
    let log_end = daemon.log_end();
    daemon.write_config(config);
    daemon.hup();
    let words = if good { "is taken on" } else { "the old one stays in force" };
    daemon.wait_until(&format!("a reload: {words}"), |daemon| {
        !daemon.logged_since(log_end, &["configuration", words]).is_empty()
    });
    assert_eq!(is_valid(daemon), good, "the metric");
    daemon.log_text().split_off(log_end)
}

/// A source of that name.
fn source(name: &str, url: &str, more: &str) -> String {
    format!("  {name}: {{ url: '{url}', key: .id, every: 100ms{more} }}\n")
}

/// An endpoint of that name.
fn endpoint(name: &str, receiver: &Receiver) -> String {
    let retry = "{ first: 50ms, max: 200ms, for: 1h }";
    format!("  {name}: {{ url: '{}', secret: any, retry: {retry} }}\n", receiver.url())
}

fn config(sources: &[String], endpoints: &[String]) -> String {
    format!("sources:\n{}endpoints:\n{}", sources.concat(), endpoints.concat())
}

#[test]
fn a_bad_file_changes_nothing() {
    let mut scene = Scene::with_items(items(1));
    let good = scene.config();
    let bad: &[(&str, String, &str)] = &[
        ("an unknown key", good.replace("timeout:", "tiemout:"), "tiemout"),
        ("a duration that is none", good.replace("100ms", "soon"), "soon"),
        (
            "a value that is not there",
            good.replace("secret: any", "secret: '${NO_SUCH}'"),
            "NO_SUCH",
        ),
        ("no YAML", good.replace("sources:", "sources: ]"), "yaml"),
        ("cut off", good.split_at(good.len() / 2).0.to_owned(), ""),
        ("empty", String::new(), ""),
        ("a bad expression", good.replace("key: .id", "key: .id |"), "key"),
        ("not text", good.replace("any", "\u{1}"), ""),
        ("a name twice", format!("{good}endpoints: {{}}\n"), "endpoints"),
    ];
    for (id, (case, text, word)) in bad.iter().enumerate() {
        if text.trim().is_empty() {
            // With the kit's own first line it would be a valid one that declares nothing.
            fs::write(scene.daemon.config_path(), "]").unwrap();
        }
        let said = if text.trim().is_empty() {
            let log_end = scene.daemon.log_end();
            scene.daemon.hup();
            scene.daemon.wait_until(case, |daemon| {
                !daemon.logged_since(log_end, &["the old one stays in force"]).is_empty()
            });
            scene.daemon.log_text().split_off(log_end)
        } else {
            reload(&mut scene.daemon, text, false)
        };
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "{case}: no {word} in {said}");
        assert!(said.contains("sources.yaml"), "{case}: no place in {said}");
        scene.api.set_items(items(id + 2));
        let rang = format!("tickets.created {}", id + 2);
        scene.receiver.wait_for(case, |ledger| ledger.story().last() == Some(&rang));
    }
    reload(&mut scene.daemon, &good, true);
    scene.daemon.wait_for_good_polls("tickets", 2);
    assert_eq!(scene.receiver.ledger().accepted().len(), bad.len());
    assert!(scene.daemon.term().success());
}

#[test]
fn a_bad_file_at_the_start_touches_no_state() {
    let scene = Scene::set(items(1));
    let mut daemon = scene.daemon;
    daemon.write_config("sources: { tickets: { key: .id } }\n");
    daemon.start_with(&[]);
    assert_eq!(daemon.wait_for_exit().code(), Some(2), "{}", daemon.log_text());
    assert!(daemon.log_text().contains("sources.yaml:2:"), "{}", daemon.log_text());
    assert!(!daemon.state_path().exists(), "a state was made");
}

#[test]
fn a_new_source_is_baselined_in_silence_and_a_removed_one_is_silent() {
    let (old, new, receiver) =
        (ApiServer::with_items(items(3)), ApiServer::with_items(items(4)), Receiver::start());
    let ring = [endpoint("desk", &receiver)];
    let (one, other) = (source("old", &old.url(), ""), source("new", &new.url(), ""));
    let mut daemon = Daemon::run(&config(std::slice::from_ref(&one), &ring));
    daemon.wait_until_polled("old");

    reload(&mut daemon, &config(&[one.clone(), other.clone()], &ring), true);
    daemon.wait_for_good_polls("new", 2);
    receiver.expect(&[]);
    new.set_items(items(5));
    receiver.expect(&["new.created 5"]);

    reload(&mut daemon, &config(std::slice::from_ref(&other), &ring), true);
    old.set_items(items(9));
    let asked = old.asked();
    daemon.wait_for_good_polls("new", 3);
    assert!(old.asked() <= asked + 1, "the removed source is polled");
    receiver.expect(&["new.created 5"]);

    // Declared again, it goes on from what it knew.
    old.set_items(items(4));
    reload(&mut daemon, &config(&[one, other], &ring), true);
    receiver.expect(&["new.created 5", "old.created 4"]);
    assert!(daemon.term().success());
}

#[test]
fn another_interval_holds_at_once() {
    let mut scene = Scene::with_items(items(1));
    let fast = scene.config();
    let slow = fast.replace("every: 100ms", "every: 1h");
    reload(&mut scene.daemon, &slow, true);
    // One poll may be due still from before.
    let asked = scene.api.asked() + 2;
    stays("no polls for an hour", || scene.api.asked() <= asked);
    reload(&mut scene.daemon, &fast, true);
    scene.daemon.wait_for_good_polls("tickets", 3);
}

#[test]
fn an_added_endpoint_gets_what_comes_from_then_on() {
    let mut scene = Scene::with_items(items(1));
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    let late = Receiver::start();
    let both = format!("{}{}", scene.config(), endpoint("late", &late));
    reload(&mut scene.daemon, &both, true);
    late.expect(&[]);
    scene.api.set_items(items(3));
    late.expect(&["tickets.created 3"]);
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3"]);

    // Removed, it hears nothing more.
    let one = scene.config();
    reload(&mut scene.daemon, &one, true);
    scene.api.set_items(items(4));
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3", "tickets.created 4"]);
    late.expect(&["tickets.created 3"]);
}

#[test]
fn another_address_of_an_endpoint_takes_what_waits() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(crate::support::Reply::status(410));
    scene.api.set_items(items(3));
    scene.receiver.wait_for_requests_in_all(1);
    scene.daemon.wait_until("the endpoint being disabled", |daemon| {
        daemon.control_json("/v1/endpoints")[0]["condition"] == "disabled"
    });
    let moved = Receiver::start();
    let config = scene.config().replace(&scene.receiver.url(), &moved.url());
    reload(&mut scene.daemon, &config, true);
    moved.expect(&["tickets.created 2", "tickets.created 3"]);
}

#[test]
fn another_ignore_neither_loses_nor_repeats() {
    let item = |seen: u32, status: &str| json!([{ "id": 1, "seen": seen, "status": status }]);
    let mut scene = Scene::with_items(item(1, "new"));
    let plain = scene.config();
    let ignoring = plain.replace("key: .id", "key: .id\n    ignore: [.seen]");
    reload(&mut scene.daemon, &ignoring, true);
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.receiver.expect(&[]);
    scene.api.set_items(item(2, "new"));
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.receiver.expect(&[]);
    scene.api.set_items(item(2, "open"));
    scene.receiver.expect(&["tickets.updated 1"]);

    reload(&mut scene.daemon, &plain, true);
    scene.daemon.wait_for_good_polls("tickets", 2);
    scene.receiver.expect(&["tickets.updated 1"]);
    scene.api.set_items(item(3, "open"));
    scene.receiver.expect(&["tickets.updated 1", "tickets.updated 1"]);

    // What changes in the same moment as the declaration is not lost in it.
    scene.api.set_items(item(4, "closed"));
    reload(&mut scene.daemon, &ignoring, true);
    let last = scene.receiver.wait_for("the last status", |ledger| {
        ledger.accepted().last().is_some_and(|ring| ring.event["data"]["status"] == "closed")
    });
    assert_eq!(last.accepted().len(), 3);
    assert!(scene.daemon.term().success());
}

#[test]
fn another_key_or_url_takes_a_new_baseline_in_silence() {
    let coded = |count: usize| -> Value {
        (1..=count).map(|id| json!({ "id": id, "code": format!("c{id}") })).collect()
    };
    let mut scene = Scene::with_items(coded(3));
    let by_id = scene.config();
    let by_code = by_id.replace("key: .id", "key: .code");
    reload(&mut scene.daemon, &by_code, true);
    scene.daemon.wait_for_good_polls("tickets", 3);
    scene.receiver.expect(&[]);
    scene.api.set_items(coded(4));
    scene.receiver.expect(&["tickets.created c4"]);

    let elsewhere =
        ApiServer::with_items(json!([{ "id": 9, "code": "c9" }, { "id": 1, "code": "c1" }]));
    let moved = by_code.replace(&scene.api.url(), &elsewhere.url());
    reload(&mut scene.daemon, &moved, true);
    scene.daemon.wait_for_good_polls("tickets", 3);
    scene.receiver.expect(&["tickets.created c4"]);
    elsewhere.set_items(json!([{ "id": 9, "code": "c9" }]));
    scene.receiver.expect(&["tickets.created c4", "tickets.deleted c1"]);
    assert!(scene.daemon.term().success());
}

#[test]
fn included_files_are_read_again_too() {
    let (scene, more) = (Scene::set(items(1)), ApiServer::with_items(items(1)));
    let mut daemon = scene.daemon;
    let first = format!("include: sources.d/*.yaml\n{}", config_of(&scene.api, &scene.receiver));
    fs::create_dir(daemon.path("sources.d")).unwrap();
    daemon.write_config(&first);
    daemon.start();
    daemon.wait_until_polled("tickets");

    let included = daemon.path("sources.d/more.yaml");
    fs::write(&included, format!("sources:\n{}", source("more", &more.url(), ""))).unwrap();
    reload(&mut daemon, &first, true);
    daemon.wait_for_good_polls("more", 2);
    scene.receiver.expect(&[]);
    more.set_items(items(2));
    scene.receiver.expect(&["more.created 2"]);

    fs::write(&included, format!("sources:\n{}", source("tickets", &more.url(), ""))).unwrap();
    let said = reload(&mut daemon, &first, false);
    assert!(said.contains("more.yaml:2:"), "a name twice: {said}");
    fs::write(&included, "sources: { more: { uri: x } }").unwrap();
    let said = reload(&mut daemon, &first, false);
    assert!(said.contains("more.yaml:1:") && said.contains("uri"), "an unknown key: {said}");
    daemon.wait_for_good_polls("more", 2);
    fs::remove_file(&included).unwrap();
    reload(&mut daemon, &first, true);
    scene.receiver.expect(&["more.created 2"]);
    assert!(daemon.term().success());
}

fn config_of(api: &ApiServer, receiver: &Receiver) -> String {
    config(&[source("tickets", &api.url(), "")], &[endpoint("desk", receiver)])
}

/// The text with something wrong with it, or not; never another port or address, which might be somebody's.
fn mutated(text: &str, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(..bytes.len());
        match random.u8(..4) {
            0 => bytes.truncate(at.max(1)),
            _ if bytes[at].is_ascii_digit() => {}
            1 => bytes[at] = *random.choice(b"\x00\xff\n:{}[]'\"&*!%#|> -zA").unwrap(),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *random.choice(b" \n:-x'\"{").unwrap()),
        }
    }
    bytes
}

#[test]
fn a_storm_of_reloads_with_broken_files_harms_nothing() {
    let mut scene = Scene::with_items(items(1));
    let good = format!("server: {{ listen: 127.0.0.1:0 }}\n{}", scene.config());
    let (pid, began) = (scene.daemon.pid(), Instant::now());
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        fs::write(scene.daemon.config_path(), mutated(&good, &mut random)).unwrap();
        scene.daemon.hup();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    fs::write(scene.daemon.config_path(), &good).unwrap();
    scene.daemon.hup();
    scene.daemon.wait_until("a good reload", is_valid);
    scene.daemon.wait_for_good_polls("tickets", 3);
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    assert_eq!(scene.daemon.pid(), pid);
    let log = scene.daemon.log_text();
    assert!(!log.contains("panic"), "a panic: {log}");

    // Some of the files were valid, and may have declared something else for a while. Now it is as it was.
    scene.api.set_items(json!([item(1), item(77)]));
    wait_until("the new item", || {
        scene.receiver.ledger().story().contains(&"tickets.created 77".to_owned())
    });
    assert!(scene.daemon.term().success());
}
