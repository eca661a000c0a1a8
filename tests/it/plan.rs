//! An edit is shown before it is applied, does what was shown, and neither loses nor repeats anything. Sources are
//! developed against saved answers.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::scene::{item, items};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene};

/// Sources with their keys, and an endpoint.
fn config(sources: &[(&str, String)], receiver: &Receiver) -> String {
    let sources: Vec<_> =
        sources.iter().map(|(name, keys)| format!("  {name}: {{ {keys} }}\n")).collect();
    format!(
        "sources:\n{}endpoints:\n  desk: {{ url: '{}', secret: any, retry: {{ first: 50ms, max: 200ms, for: 1h }} }}\n",
        sources.concat(),
        receiver.url()
    )
}

fn keys(api: &ApiServer, more: &str) -> String {
    format!("url: '{}', key: .id, every: 100ms{more}", api.url())
}

/// What a plan says of a source or endpoint.
fn fate<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let rows = ["sources", "endpoints"].into_iter().filter_map(|list| plan[list].as_array());
    rows.flatten().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {plan}"))
}

#[track_caller]
fn reload(daemon: &mut Daemon, config: &str) -> String {
    daemon.write_config(config);
    let log_end = daemon.log_end();
    daemon.hup();
    daemon.wait_until("the reload", |daemon| {
        !daemon.logged_since(log_end, &["is taken on"]).is_empty()
    });
    daemon.log_text().split_off(log_end)
}

fn before_the_edit(api: &ApiServer, receiver: &Receiver) -> String {
    let names = ["gone", "interval", "keyed", "looser", "old", "same"];
    config(&names.map(|name| (name, keys(api, ""))), receiver)
}

fn after_the_edit(api: &ApiServer, receiver: &Receiver) -> String {
    let own = |more: &str| keys(api, more);
    config(
        &[
            ("fresh", own(", first_poll: emit")),
            ("interval", own("").replace("every: 100ms", "every: 1h")),
            ("keyed", own(", items: '.[]'")),
            ("looser", own(", ignore: [.seen]")),
            ("new", own(", was: old")),
            ("same", own("")),
        ],
        receiver,
    )
}

/// Compares rows of a plan with what they should be: name, fate, keys.
#[track_caller]
fn expect_fates(plan: &Value, expected: &[(&str, &str, &[&str])]) {
    for (name, word, keys) in expected {
        let row = fate(plan, name);
        let found = (row["fate"].clone(), row["keys"].clone());
        assert_eq!(found, (json!(word), json!(keys)), "{name}");
    }
}

#[test]
fn a_plan_says_what_an_edit_does_and_why() {
    let (api, receiver) = (ApiServer::with_items(items(3)), Receiver::start());
    let mut daemon = Daemon::new(&before_the_edit(&api, &receiver));
    let first = daemon.cli_json(&["plan"]);
    assert_eq!(fate(&first, "same")["fate"], "added");
    assert_eq!(fate(&first, "same")["first_poll"], "baseline");
    assert!(!daemon.state_path().exists(), "a plan made a state");
    daemon.start();
    for name in ["gone", "interval", "keyed", "looser", "old", "same"] {
        daemon.wait_until_polled(name);
    }
    let calm = daemon.cli(&["plan"]);
    assert_eq!(calm.stdout.trim(), "6 sources and 1 endpoint unchanged", "{calm:?}");

    let other = Receiver::start();
    let after = after_the_edit(&api, &receiver);
    daemon.write_config(&format!("{after}  audit: {{ url: '{}', secret: any }}\n", other.url()));
    let plan = daemon.cli_json(&["plan"]);
    expect_fates(
        &plan,
        &[
            ("fresh", "added", &[]),
            ("gone", "removed", &[]),
            ("interval", "changed", &["every"]),
            ("keyed", "re-baselined", &["items"]),
            ("looser", "compared anew", &["ignore"]),
            ("new", "renamed", &[]),
            ("same", "unchanged", &[]),
            ("audit", "added", &[]),
            ("desk", "unchanged", &[]),
        ],
    );
    assert_eq!(
        (&fate(&plan, "new")["was"], &fate(&plan, "gone")["items"]),
        (&json!("old"), &json!(3))
    );
    let text = daemon.cli(&["plan"]).stdout;
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "`items` changed; a new baseline in silence instead of the 3 items known",
        "3 items kept",
        "was old",
        "event types follow the name: `new.…`",
    ] {
        assert!(flat.contains(words), "no {words:?} in\n{text}");
    }
    assert_eq!(daemon.cli_json(&["events"]), json!([]));
    assert!(daemon.term().success());
}

#[test]
fn an_edit_does_what_the_plan_said() {
    let (api, receiver) = (ApiServer::with_items(items(3)), Receiver::start());
    let mut daemon = Daemon::run(&before_the_edit(&api, &receiver));
    for name in ["gone", "interval", "keyed", "looser", "old", "same"] {
        daemon.wait_until_polled(name);
    }
    assert!(daemon.term().success());

    // Without a daemon the state alone tells, also which key it was.
    daemon.write_config(&after_the_edit(&api, &receiver));
    expect_fates(
        &daemon.cli_json(&["plan"]),
        &[
            ("fresh", "added", &[]),
            ("gone", "removed", &[]),
            ("interval", "unchanged", &[]),
            ("keyed", "re-baselined", &["items"]),
            ("looser", "compared anew", &["ignore"]),
            ("new", "renamed", &[]),
        ],
    );

    let log_end = daemon.log_end();
    daemon.start();
    for words in ["source keyed re-baselined: `items` changed", "source new renamed: was old"] {
        daemon.wait_for(words, |daemon| daemon.logged_since(log_end, &[words]).pop());
    }
    for name in ["keyed", "looser", "new", "same"] {
        daemon.wait_for_good_polls(name, 2);
    }
    receiver.expect(&["fresh.created 1", "fresh.created 2", "fresh.created 3"]);
    let plan = daemon.cli_json(&["plan"]);
    for row in plan["sources"].as_array().unwrap() {
        let calm = ["unchanged", "removed earlier"].contains(&row["fate"].as_str().unwrap());
        assert!(calm, "{row}");
    }
    assert!(daemon.term().success());
}

#[test]
fn a_plan_shows_problems_as_check_does() {
    let scene = Scene::with_items(items(1));
    scene.daemon.write_config(&scene.config().replace("timeout: 1s", "tiemout: 1s"));
    let (plan, check) = (scene.daemon.cli(&["plan"]), scene.daemon.cli(&["check"]));
    assert_eq!((plan.code, plan.stdout), (Some(2), check.stdout));
    let plan = scene.daemon.cli(&["plan", "--json"]);
    assert_eq!((plan.code, plan.json()["valid"].clone()), (Some(2), json!(false)));
}

#[test]
fn what_waits_for_a_removed_endpoint_is_told() {
    let scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(500));
    scene.api.set_items(items(3));
    scene.receiver.wait_for_requests_in_all(2);
    let other = scene.config().replace("desk:", "other:");
    scene.daemon.write_config(&other);
    let plan = scene.daemon.cli_json(&["plan"]);
    let desk = fate(&plan, "desk");
    assert_eq!((desk["fate"].clone(), desk["waiting"].clone()), (json!("removed"), json!(2)));
    assert_eq!(fate(&plan, "tickets")["waiting"], 2);
}

#[test]
fn interval_rules_and_credentials_neither_lose_nor_replay() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let own = |more: &str| config(&[("tickets", keys(&api, more))], &receiver);
    let mut daemon = Daemon::run(&own(""));
    daemon.wait_until_polled("tickets");
    let edits = [
        ", every: 50ms",
        ", timeout: 3s",
        ", auth: { bearer: abc }",
        ", auth: { bearer: def }, headers: { X-A: b }",
        ", events: [default, { type: tickets.seen, on: updated }]",
        ", backoff: { first: 10ms, max: 50ms }, deletes: { after: 3 }",
        "",
    ];
    let mut expected: Vec<String> = Vec::new();
    for (count, more) in edits.iter().enumerate() {
        let text = own(more).replace(", every: 100ms, every", ", every");
        // Something changes in the same moment.
        api.set_items(items(3 + count));
        expected.push(format!("tickets.created {}", 3 + count));
        let said = reload(&mut daemon, &text);
        let silent = ["re-baselined", "compared anew", "removed"];
        assert!(silent.iter().all(|word| !said.contains(word)), "{more}: {said}");
        let story: Vec<_> = expected.iter().map(String::as_str).collect();
        receiver.expect(&story);
    }
    assert!(daemon.term().success());
}

#[test]
fn a_renamed_source_goes_on_over_a_reload() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let named = |name: &str, more: &str| config(&[(name, keys(&api, more))], &receiver);
    let mut daemon = Daemon::run(&named("old", ""));
    daemon.wait_until_polled("old");
    receiver.always(Reply::status(503));
    api.set_items(json!([{ "id": 1, "status": "open" }, item(2)]));
    receiver.wait_for_requests_in_all(1);

    let said = reload(&mut daemon, &named("new", ", was: old"));
    assert!(
        said.contains("source new renamed: was old (1 delivery made before keeps the old name)"),
        "{said}"
    );
    daemon.wait_for_good_polls("new", 1);
    // The same item again, under the new name: it stays behind what was there before.
    api.set_items(json!([{ "id": 1, "status": "closed" }, item(2)]));
    daemon.wait_until("the second event", |daemon| {
        daemon.control_json("/v1/events")["events"].as_array().unwrap().len() == 2
    });
    receiver.heal();
    let ledger = receiver.wait_for("both", |ledger| ledger.accepted().len() == 2);
    let rings = ledger.accepted();
    let told: Vec<_> =
        rings.iter().map(|ring| (&ring.event["source"], &ring.event["seq"])).collect();
    assert_eq!(told, [(&json!("old"), &json!(1)), (&json!("new"), &json!(2))]);
    assert_eq!(rings[1].event["previous"]["status"], "open");
    ledger.assert_bodies_never_change();
    assert_eq!(fate(&daemon.cli_json(&["plan"]), "new")["fate"], "unchanged");

    // Left in the file for ever it does nothing more.
    assert!(daemon.term().success());
    daemon.start();
    daemon.wait_for_good_polls("new", 2);
    assert_eq!(receiver.ledger().accepted().len(), 2);
    assert!(daemon.term().success());
}

#[test]
fn a_source_is_renamed_once_whenever_it_is_killed() {
    let (api, receiver) = (ApiServer::with_items(items(40)), Receiver::start());
    let named = |name: &str, more: &str| config(&[(name, keys(&api, more))], &receiver);
    let mut daemon = Daemon::run(&named("n0", ""));
    daemon.wait_until_polled("n0");
    let mut random = fastrand::Rng::with_seed(11);
    for round in 1..=8 {
        let (old, new) = (format!("n{}", round - 1), format!("n{round}"));
        let text = named(&new, &format!(", was: {old}"));
        if round % 2 == 0 {
            daemon.kill9();
            daemon.write_config(&text);
            daemon.start_with(&[]);
        } else {
            daemon.write_config(&text);
            daemon.hup();
        }
        // Somewhere while it is about to rename, or just after.
        std::thread::park_timeout(Duration::from_millis(random.u64(..60)));
        daemon.kill9();
        daemon.start();
        daemon.wait_until_polled(&new);
        api.set_items(items(40 + round));
        receiver.wait_for(&new, |ledger| ledger.accepted().len() >= round);
        let ledger = receiver.ledger();
        let mut seqs: Vec<_> =
            ledger.accepted().iter().map(|ring| ring.event["seq"].as_u64().unwrap()).collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(
            seqs,
            (1..=round as u64).collect::<Vec<_>>(),
            "round {round}: {:?}",
            ledger.story()
        );
        let last = format!("{new}.created {}", 40 + round);
        assert!(ledger.story().contains(&last), "{:?}", ledger.story());
    }
    let sources = daemon.control_json("/v1/sources");
    assert_eq!(sources.as_array().unwrap().len(), 1, "{sources}");
    assert!(daemon.term().success());
}

#[test]
fn a_former_name_that_is_in_use_is_told_at_its_place() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let both = config(&[("old", keys(&api, "")), ("new", keys(&api, ", was: old"))], &receiver);
    let mut daemon = Daemon::new(&both);
    let told = daemon.cli(&["check"]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.stdout.contains("sources.yaml:4:") && told.stdout.contains("was: old"),
        "{told:?}"
    );

    // Both have a state of their own by now: nothing is thrown away for the other.
    daemon.write_config(&both.replace(", was: old", ""));
    daemon.start();
    daemon.wait_until_polled("old");
    daemon.wait_until_polled("new");
    let said = reload(&mut daemon, &config(&[("new", keys(&api, ", was: old"))], &receiver));
    assert!(said.contains("has no effect"), "{said}");
    let plan = daemon.cli_json(&["plan"]);
    assert!(fate(&plan, "new")["sentence"].as_str().unwrap().contains("has no effect"), "{plan}");
    assert_eq!(fate(&plan, "old")["fate"], "removed earlier");
    api.set_items(items(3));
    receiver.expect(&["new.created 3"]);
}

#[test]
fn a_dry_poll_of_a_renamed_source_renames_nothing() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let mut daemon = Daemon::run(&config(&[("old", keys(&api, ""))], &receiver));
    daemon.wait_until_polled("old");
    assert!(daemon.term().success());
    daemon.write_config(&config(&[("new", keys(&api, ", was: old"))], &receiver));
    api.set_items(items(3));
    for _ in 0..2 {
        let dry = daemon.cli_json(&["poll", "new"]);
        assert_eq!((dry["created"].clone(), dry["baseline"].clone()), (json!(1), json!(null)));
        assert_eq!(dry["events"][0]["type"], "new.created");
        assert_eq!(fate(&daemon.cli_json(&["plan"]), "new")["fate"], "renamed");
    }
    let done = daemon.cli_json(&["poll", "new", "--commit"]);
    assert_eq!(done["events"].as_array().unwrap().len(), 1);
    assert_eq!(fate(&daemon.cli_json(&["plan"]), "new")["fate"], "unchanged");
}

#[test]
fn a_poll_shows_what_it_asked_and_found() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let own = format!(
        "url: '{}', query: {{ team: s3cret-team }}, key: .id, every: 1h, auth: {{ bearer: s3cret-token }}, headers: {{ X-Trace: s3cret-trace }}",
        api.url()
    );
    let daemon = Daemon::new(&config(&[("tickets", own)], &receiver));
    let first = daemon.cli(&["poll", "tickets"]);
    assert!(first.stdout.contains("first poll: 2 items would be known silently"), "{first:?}");
    daemon.cli_json(&["poll", "tickets", "--commit"]);
    api.set_items(json!([{ "z": 1.50, "id": 1, "a": "x" }, item(2), item(3)]));
    let told = daemon.cli(&["poll", "tickets"]);
    assert!(told.stdout.contains("3 items: 1 unchanged, 1 created, 1 updated"), "{told:?}");
    for words in [
        "?team=…",
        "authorization: …",
        "x-trace: …",
        "user-agent: doorbell/",
        "if-none-match: ",
        "→ 200, ",
        " ms",
        "next poll would be at",
    ] {
        assert!(told.stdout.contains(words), "no {words:?} in {}", told.stdout);
    }
    assert!(!told.stdout.contains("s3cret"), "{told:?}");
    // The envelope's keys come in their order, the item's too.
    let order = [
        "\"id\": \"evt_",
        "\"type\"",
        "\"timestamp\"",
        "\"source\"",
        "\"key\"",
        "\"seq\"",
        "\"data\"",
    ];
    let (_, event) = told.stdout.split_once("{\n").unwrap();
    let places: Vec<_> = order.iter().map(|key| event.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{event}");
    let raw = daemon.cli(&["poll", "tickets", "--json"]).stdout;
    let places: Vec<_> = [
        "\"id\":\"evt_",
        "\"type\":",
        "\"timestamp\":",
        "\"source\":\"tickets\",\"key\"",
        "\"seq\":",
    ]
    .iter()
    .map(|key| raw.find(key).unwrap())
    .collect();
    assert!(places.is_sorted(), "{raw}");
}

#[test]
fn a_recorded_poll_is_replayed_offline() {
    let (api, receiver) = (ApiServer::with_items(items(5)), Receiver::start());
    api.set_items_per_page(2);
    let own = format!(
        "url: '{}', query: {{ b: s3cret-query, a: x }}, key: .id, every: 1h, pages: link, auth: {{ bearer: s3cret-token }}",
        api.url()
    );
    let daemon = Daemon::new(&config(&[("tickets", own.clone())], &receiver));
    let file = daemon.path("answers.json");
    let file = file.to_str().unwrap();
    api.next(
        Reply::json(&json!([item(1), item(2)]))
            .header("Set-Cookie", "s3cret=cookie")
            .header("Link", "</items?page=2>; rel=\"next\""),
    );
    let live = daemon.cli_json(&["poll", "tickets", "--record", file]);
    // The first page twice: a first listing looks once more for what came to the front meanwhile.
    assert_eq!((live["items"].clone(), live["pages"].clone()), (json!(5), json!(4)));
    assert!(live["recording"].is_object(), "{live}");
    let text = fs::read_to_string(file).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    let lines: Vec<_> = text.lines().take(3).collect();
    assert!(
        lines[1].contains("\"doorbell\"") && lines[2].contains("\"source\": \"tickets\""),
        "{lines:?}"
    );
    let recording: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(recording["exchanges"].as_array().unwrap().len(), 4);
    assert_eq!(recording["exchanges"][0]["request"]["headers"]["authorization"], "…");

    let asked = api.asked();
    let replayed = daemon.cli_json(&["poll", "tickets", "--replay", file]);
    for field in ["outcome", "items", "pages", "created", "unchanged", "baseline", "committed"] {
        assert_eq!(replayed[field], live[field], "{field}");
    }
    let text = daemon.cli(&["poll", "tickets", "--replay", file]).stdout;
    assert!(text.contains("first poll: 5 items would be known silently"), "{text}");
    // The query's order is nobody's promise.
    let turned = own.replace("b: s3cret-query, a: x", "a: x, b: other");
    daemon.write_config(&config(&[("tickets", turned)], &receiver));
    assert_eq!(daemon.cli_json(&["poll", "tickets", "--replay", file])["items"], 5);
    // Another request is not in the file.
    let moved = own.replace("/items", "/others");
    daemon.write_config(&config(&[("tickets", moved)], &receiver));
    let told = daemon.cli(&["poll", "tickets", "--replay", file]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("not_recorded") && told.stderr.contains("/others?"), "{told:?}");
    assert_eq!(api.asked(), asked, "a replay asked the API");

    for wrong in [&["--commit"][..], &["--record", "x.json"]] {
        let told = daemon.cli(&[&["poll", "tickets", "--replay", file], wrong].concat());
        assert_eq!(told.code, Some(2), "{told:?}");
    }
    let told = daemon.cli(&["poll", "tickets", "--replay", "missing.json"]);
    assert!(told.code == Some(2) && told.stderr.contains("missing.json"), "{told:?}");
}

#[test]
fn a_saved_answer_shows_what_it_would_ring() {
    let mut scene = Scene::with_items(items(2));
    let saved = scene.daemon.path("saved.json");
    let file = saved.to_str().unwrap();
    fs::write(
        &saved,
        "[{\"status\": \"open\", \"id\": 1}, {\"id\": 2, \"status\": \"new\"}, {\"id\": 9}]",
    )
    .unwrap();
    let asked = |scene: &Scene| scene.api.asked();
    // While the daemon runs, with the file as it is now and not as it is in force.
    let edited = scene.config().replace(
        "key: .id",
        "key: .id\n    events: [{ type: ticket.opened, on: updated, changed: .status }]",
    );
    scene.daemon.write_config(&edited);
    for runs in [true, false] {
        if !runs {
            assert!(scene.daemon.term().success());
        }
        let before = asked(&scene);
        let report = scene.daemon.cli_json(&["poll", "tickets", "--replay", file]);
        let types: Vec<_> =
            report["events"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
        assert_eq!(types, ["ticket.opened"], "{report}");
        assert_eq!(
            (&report["unchanged"], &report["created"], &report["updated"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert!(runs || asked(&scene) == before);
    }
    assert_eq!(scene.daemon.cli_json(&["events"]), json!([]));
    fs::write(&saved, "<!doctype html><p>Sign in").unwrap();
    let told = scene.daemon.cli(&["poll", "tickets", "--replay", file]);
    assert!(told.code == Some(1) && told.stderr.contains("web page"), "{told:?}");
    fs::write(&saved, "{\"doorbell\": \"1\", \"exchanges\": [{\"response\": 7}]}").unwrap();
    let told = scene.daemon.cli(&["poll", "tickets", "--replay", file]);
    assert!(told.code == Some(2) && told.stderr.contains("not a recording"), "{told:?}");
}

#[test]
fn a_poll_that_counts_is_recorded_through_the_daemon() {
    let scene = Scene::with_items(items(1));
    let file = scene.daemon.path("recorded.json");
    scene.daemon.write_config(&scene.config());
    let report =
        scene.daemon.cli_json(&["poll", "tickets", "--commit", "--record", file.to_str().unwrap()]);
    // Nothing changed, and yet the whole answer is there.
    assert_eq!(
        (&report["committed"], &report["items"], &report["unchanged"]),
        (&json!(true), &json!(1), &json!(1))
    );
    let recording: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(recording["exchanges"][0]["response"]["status"], 200);
    assert_eq!(recording["exchanges"][0]["response"]["body"], items(1).to_string());
}
