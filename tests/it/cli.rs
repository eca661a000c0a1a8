//! The command line as people and scripts use it: what works, what is refused, and with which exit code.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::scene::{item, items};
use crate::support::wait::{poll_for, stays, wait_until};
use crate::support::{ApiServer, Daemon, Program, Receiver, Reply, Scene};

/// Every command there is, by `--help`.
fn commands() -> Vec<String> {
    let scene = Daemon::new("");
    let help = scene.cli(&["--help"]);
    assert_eq!(help.code, Some(0), "{help:?}");
    assert!(help.stdout.contains("Examples:"), "{}", help.stdout);
    let listed = help.stdout.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

/// A scene in which one of each has happened: an item was created, updated and deleted.
fn eventful() -> Scene {
    let scene = Scene::with_items(items(2));
    scene.api.set_items(json!([{ "id": 1, "status": "open" }, item(3)]));
    scene.receiver.expect(&["tickets.updated 1", "tickets.created 3", "tickets.deleted 2"]);
    wait_until("all of it kept", || {
        scene.daemon.control_json("/v1/deliveries?status=delivered").as_array().unwrap().len() == 3
    });
    scene
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let daemon = Daemon::new("");
    for command in commands() {
        let help = daemon.cli(&[&command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}: {help:?}");
        let has_example = help.stdout.contains("Example");
        assert!(has_example && help.stdout.contains("Usage:"), "{command}:\n{}", help.stdout);
    }
    let version = daemon.cli(&["--version"]);
    assert_eq!(version.stdout.trim(), concat!("doorbell ", env!("CARGO_PKG_VERSION")));
}

/// Every one of these is wrong usage.
const WRONG: &[&[&str]] = &[
    &["nonsense"],
    &["--nonsense"],
    &["poll"],
    &["poll", "nobody"],
    &["poll", "tickets", "--dry-run", "--commit"],
    &["deliveries", "show"],
    &["deliveries", "show", "dlv_999"],
    &["deliveries", "show", "17 or so/../?x=1"],
    &["deliveries", "--status", "lost"],
    &["events", "--since", "yesterday"],
    &["events", "--until", "2026-13-01T00:00:00Z"],
    &["events", "--limit", "many"],
    &["events", "more"],
    &["endpoints", "pause"],
    &["endpoints", "resume"],
    &["endpoints", "resume", "nobody"],
    &["endpoints", "show"],
    &["endpoints", "show", "nobody"],
    &["endpoints", "test", "nobody"],
    &["endpoints", "rotate-secret"],
    &["endpoints", "rotate-secret", "nobody"],
    &["held", "keep"],
    &["held", "release"],
    &["held", "release", "nobody"],
    &["held", "discard", "nobody"],
    &["replay"],
    &["replay", "--status", "lost", "--dry-run"],
    &["replay", "--since", "then", "--yes"],
    &["listen", "--status", "99"],
    &["listen", "--port", "70000"],
    &["listen", "--every", "3"],
    &["listen", "--sign", "no good"],
    &["listen", "--delay", "a while"],
    &["backup"],
    &["restore"],
    &["restore", "nowhere.db"],
    &["check", "more"],
    &["schema", "more"],
    &["secret", "more"],
    &["events", "--log", "doorbell=loud"],
];

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    let mut scene = eventful();
    for runs in [true, false] {
        for arguments in WRONG {
            let told = scene.daemon.cli(arguments);
            assert_eq!(told.code, Some(2), "running {runs}: {arguments:?}: {told:?}");
            assert!(told.stdout.is_empty(), "{arguments:?} talks on stdout: {told:?}");
            let said = told.stderr.trim();
            assert!(said.len() > 10 && !said.contains("panic"), "{arguments:?}: {told:?}");
        }
        if runs {
            assert!(scene.daemon.term().success());
        }
    }
}

/// Listings whose answer is an array.
const LISTINGS: &[&[&str]] = &[
    &["events"],
    &["events", "--type", "tickets.*", "--source", "tickets", "--key", "1", "--limit", "1"],
    &["events", "--since", "2020-01-01T00:00:00Z", "--until", "2200-01-01T00:00:00Z"],
    &["deliveries"],
    &["deliveries", "--status", "delivered", "--endpoint", "desk", "--type", "*.deleted"],
    &["held"],
    &["held", "list"],
    &["endpoints"],
];

/// Other commands whose answer is an object.
const ANSWERS: &[&[&str]] = &[
    &["check"],
    &["poll", "tickets"],
    &["poll", "tickets", "--dry-run"],
    &["replay", "--dry-run"],
    &["deliveries", "show", "dlv_1"],
    &["schema"],
];

#[test]
fn listings_are_the_same_with_and_without_a_daemon() {
    let mut scene = eventful();
    let listed = |daemon: &Daemon| -> Vec<Value> {
        LISTINGS.iter().map(|arguments| daemon.cli_json(arguments)).collect()
    };
    let while_running = listed(&scene.daemon);
    let lengths: Vec<_> = while_running.iter().map(|rows| rows.as_array().unwrap().len()).collect();
    assert_eq!(lengths, [3, 1, 3, 3, 1, 0, 0, 1]);
    for arguments in ANSWERS {
        assert!(scene.daemon.cli_json(arguments).is_object(), "{arguments:?}");
    }
    // For people, too, and without colours when nobody looks.
    let texts = |daemon: &Daemon| -> Vec<String> {
        LISTINGS.iter().map(|arguments| daemon.cli(arguments).stdout).collect()
    };
    let read = texts(&scene.daemon);
    assert!(
        read[0].contains("tickets.updated") && read[0].contains("/status: new → open"),
        "{read:?}"
    );
    assert!(read[3].contains("delivered") && read[3].contains("tickets/2"), "{read:?}");
    assert!(read.iter().all(|text| !text.contains('\u{1b}')), "{read:?}");

    assert!(scene.daemon.term().success());
    assert_eq!(listed(&scene.daemon), while_running);
    assert_eq!(texts(&scene.daemon), read);
    for arguments in ANSWERS {
        assert!(scene.daemon.cli_json(arguments).is_object(), "{arguments:?}");
    }
    // Nor does it take a configuration to look at a state.
    fs::remove_file(scene.daemon.config_path()).unwrap();
    let (endpoints, others) = while_running.split_last().unwrap();
    let (undeclared, same) =
        listed(&scene.daemon).split_last().map(|(a, b)| (a.clone(), b.to_vec())).unwrap();
    assert_eq!(same, others);
    assert_eq!(
        (&endpoints[0]["declared"], &undeclared[0]["declared"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(scene.daemon.cli(&["poll", "tickets"]).code, Some(2));
}

#[test]
fn a_delivery_is_shown_with_every_attempt() {
    let scene = Scene::with_items(items(1));
    scene.receiver.next(Reply::text("text/plain", "out of \u{1b}[31mpaper").with_status(503));
    scene.receiver.next(Reply::reset());
    scene.api.set_items(items(2));
    scene.receiver.expect(&["tickets.created 2"]);
    let shown = || scene.daemon.cli_json(&["deliveries", "show", "dlv_1"]);
    wait_until("three attempts", || shown()["attempts"].as_array().unwrap().len() == 3);
    let detail = shown();
    assert_eq!(detail["delivery"]["status"], "delivered");
    assert_eq!(detail["event"]["key"], "2");
    let attempts = detail["attempts"].as_array().unwrap();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(statuses, [json!(503), json!(null), json!(200)]);
    assert!(attempts[0]["answer"].as_str().unwrap().contains("paper"));
    let text = scene.daemon.cli(&["deliveries", "show", "dlv_1"]).stdout;
    for words in ["#1", "#2", "#3", "503", "delivered", "paper"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "the receiver writes to the terminal: {text:?}");
}

#[test]
fn eight_mistakes_are_told_at_once_with_places_and_hints() {
    let daemon = Daemon::new("");
    let text = fs::read_to_string("tests/cases/config/eight-mistakes.yaml").unwrap();
    fs::write(daemon.config_path(), &text).unwrap();
    let told = daemon.cli(&["check"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    for words in [
        "unknown key `ur1`",
        "did you mean `url`?",
        "the key `url` is missing",
        "did you mean `30s..15m`?",
        "the number 30 needs a unit",
        "did you mean `30s`?",
        "must begin with `https://` or `http://`",
        "`token` is missing",
        "the key `secret` is missing",
        "the name `doorbell` is taken",
    ] {
        assert!(told.stdout.contains(words), "no {words:?} in {}", told.stdout);
    }
    let places = told.stdout.lines().filter(|line| line.contains("sources.yaml:")).count();
    assert!(places >= 8, "{}", told.stdout);
    let listed = daemon.cli(&["check", "--json"]);
    assert_eq!(listed.code, Some(2));
    let listed = listed.json();
    assert_eq!(
        (listed["valid"].clone(), listed["problems"].as_array().unwrap().len()),
        (json!(false), places)
    );
    for problem in listed["problems"].as_array().unwrap() {
        let line = problem["line"].as_u64().unwrap();
        let place = format!("sources.yaml:{line}:{}: ", problem["column"]);
        assert!(told.stdout.contains(&place), "{place} of {problem} in {}", told.stdout);
    }
    // The daemon refuses it in the same words.
    let refused = daemon.cli(&["run"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("unknown key `ur1`"), "{refused:?}");
}

#[test]
fn the_example_in_the_repository_is_valid() {
    let daemon = Daemon::new("");
    fs::copy("sources.yaml", daemon.config_path()).unwrap();
    let checked = daemon.cli(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("is valid: 3 sources, 1 endpoint"), "{checked:?}");
}

#[test]
fn where_nothing_is_a_sentence_says_so() {
    let daemon = Daemon::new("");
    fs::remove_file(daemon.config_path()).unwrap();
    for arguments in [&["run"][..], &[], &["check"], &["poll", "tickets"]] {
        let told = daemon.cli(arguments);
        assert_eq!(told.code, Some(2), "{arguments:?}: {told:?}");
        let said = format!("{}{}", told.stdout, told.stderr);
        assert!(
            said.contains("sources.yaml") && said.contains("no such file"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("--config"), "{arguments:?} says not how to name another: {said}");
    }
    for arguments in
        [&["events"][..], &["deliveries"], &["held"], &["replay", "--dry-run"], &["backup", "x"]]
    {
        let told = daemon.cli(arguments);
        assert_eq!(told.code, Some(2), "{arguments:?}: {told:?}");
        assert!(told.stderr.contains("no state") && told.stderr.contains("--state"), "{told:?}");
    }
    assert!(!daemon.state_path().exists(), "looking made a state");
}

#[test]
fn a_dry_poll_changes_nothing_and_a_committed_one_counts() {
    let (api, receiver) = (ApiServer::with_items(items(2)), Receiver::start());
    let mut daemon = Daemon::new(&format!(
        "sources: {{ tickets: {{ url: '{}', key: .id, every: 1h }} }}\nendpoints: {{ desk: {{ url: '{}', secret: any }} }}\n",
        api.url(),
        receiver.url()
    ));
    // Without a daemon first: a baseline, then a look at what changed.
    let first = daemon.cli_json(&["poll", "tickets", "--commit"]);
    assert_eq!((first["committed"].clone(), first["items"].clone()), (json!(true), json!(2)));
    api.set_items(json!([{ "id": 1, "status": "open" }, item(2), item(3)]));
    let types = |report: &Value| -> Vec<String> {
        let events = report["events"].as_array().unwrap();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let snapshot = |daemon: &Daemon| daemon.control_json("/v1/sources/tickets/items");
    for runs in [false, true] {
        if runs {
            daemon.start();
        }
        let before = runs.then(|| snapshot(&daemon));
        for _ in 0..2 {
            let dry = daemon.cli_json(&["poll", "tickets", "--dry-run"]);
            assert_eq!(types(&dry), ["tickets.updated", "tickets.created"]);
            assert_eq!(dry["committed"], false);
        }
        let text = daemon.cli(&["poll", "tickets"]);
        assert!(text.stdout.contains("GET http://127.0.0.1:"), "{text:?}");
        assert!(
            text.stdout.contains("\"tickets.created\"") && text.stderr.contains("--commit"),
            "{text:?}"
        );
        assert_eq!(daemon.cli_json(&["events"]), json!([]));
        assert_eq!(before, runs.then(|| snapshot(&daemon)));
    }
    assert!(receiver.ledger().rings.is_empty());

    let counted = daemon.cli_json(&["poll", "tickets", "--commit"]);
    assert_eq!(types(&counted), ["tickets.updated", "tickets.created"]);
    receiver.expect(&["tickets.updated 1", "tickets.created 3"]);
    assert_eq!(snapshot(&daemon).as_array().unwrap().len(), 3);
    // What a poll says it found is what rang.
    let said: Vec<_> =
        counted["events"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    let ledger = receiver.ledger();
    assert!(said.iter().all(|id| ledger.ids().contains(id.as_str().unwrap())));

    api.always(Reply::status(500));
    let failed = daemon.cli(&["poll", "tickets"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("500"), "{failed:?}");
}

#[test]
fn events_are_followed_until_the_follower_is_interrupted() {
    let scene = eventful();
    let mut plain = Program::start(scene.daemon.command(["events", "--follow"]));
    let mut json = Program::start(scene.daemon.command([
        "events",
        "--follow",
        "--json",
        "--type",
        "*.created",
    ]));
    plain.line_with("tickets.deleted");
    json.line_with("tickets.created");
    scene.api.set_items(json!([item(3), item(44)]));
    plain.line_with("tickets/44");
    let line = json.line_with("\"44\"");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["data"], item(44));
    for program in [&mut plain, &mut json] {
        program.signal("INT");
        assert!(program.wait().success());
    }
    assert!(json.lines().iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn old_events_are_sent_again_under_their_ids() {
    let mut scene = eventful();
    let first = scene.receiver.ledger();
    let count = |arguments: &[&str]| {
        let all = [&["replay", "--dry-run"], arguments].concat();
        scene.daemon.cli_json(&all)["count"].as_u64().unwrap()
    };
    let id = first.of_key("2")[0].id.clone();
    for (arguments, expected) in [
        (&[][..], 3),
        (&["--endpoint", "desk"], 3),
        (&["--endpoint", "nobody"], 0),
        (&["--type", "*.deleted"], 1),
        (&["--type", "tickets.*", "--key", "1"], 1),
        (&["--key", "nothing"], 0),
        (&["--source", "tickets", "--since", "2020-01-01T00:00:00Z"], 3),
        (&["--until", "2020-01-01T00:00:00Z"], 0),
        (&["--status", "delivered"], 3),
        (&["--status", "exhausted"], 0),
        (&["--event", &id], 1),
    ] {
        assert_eq!(count(arguments), expected, "{arguments:?}");
    }
    stays("counting sends nothing", || scene.receiver.ledger().rings.len() == first.rings.len());

    // Without a person to ask, it wants `--yes`.
    let refused = scene.daemon.cli(&["replay", "--event", &id]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    let done = scene.daemon.cli_json(&["replay", "--event", &id, "--yes"]);
    assert_eq!(done["count"], 1);
    scene.receiver.wait_for_requests_in_all(first.rings.len() + 1);
    let again = scene.receiver.ledger();
    assert_eq!(again.attempts(&id).len(), 2);
    again.assert_bodies_never_change();
    wait_until("a second delivery", || {
        let rows = scene.daemon.cli_json(&["deliveries", "--event", &id, "--status", "delivered"]);
        let triggers: Vec<_> =
            rows.as_array().unwrap().iter().map(|row| row["trigger"].clone()).collect();
        triggers == ["change", "replay"]
    });

    // Without a daemon it is sent when one starts.
    assert!(scene.daemon.term().success());
    let done = scene.daemon.cli(&["replay", "--type", "*.created", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    scene.daemon.start();
    scene.receiver.wait_for("item 3 again", |ledger| {
        ledger.rings.iter().filter(|ring| ring.key() == "3").count() == 2
    });
}

#[test]
fn listen_verifies_what_the_daemon_sends() {
    let schemes = [
        ("standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "standard"),
        ("github", "any secret", "github"),
        ("{ header: X-Desk-Signature, encoding: base64 }", "other", "x-desk-signature"),
    ];
    for (sign, secret, expected) in schemes {
        let api = ApiServer::with_items(items(1));
        let mut daemon = Daemon::new("");
        let arguments =
            ["listen", "--secret", secret, "--sign", expected, "--count", "2", "--json"];
        let mut listener = Program::start(daemon.command(arguments));
        let greeting = listener.line_with("Listening on ");
        let url = greeting.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        daemon.write_config(&format!(
            "sources: {{ tickets: {{ url: '{}', key: .id, every: 100ms }} }}
endpoints: {{ desk: {{ url: '{url}/hook', secret: '{secret}', sign: {sign} }} }}
",
            api.url()
        ));
        daemon.start();
        daemon.wait_until_polled("tickets");
        api.set_items(items(3));
        assert!(listener.wait().success(), "{sign}: {:#?}", listener.lines());
        let hits: Vec<Value> =
            listener.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(hits.len(), 2, "{sign}: {:#?}", listener.lines());
        for hit in hits {
            assert_eq!(
                (hit["verified"].clone(), hit["status"].clone()),
                (json!(true), json!(200)),
                "{hit}"
            );
            assert_eq!(hit["body"]["type"], "tickets.created", "{hit}");
        }
    }
}

#[test]
fn listen_refuses_what_is_signed_with_another_secret() {
    let scene = Scene::set(items(1));
    let mut daemon = scene.daemon;
    let mut listener = Program::start(daemon.command(["listen", "--secret", "another"]));
    let greeting = listener.line_with("Listening on ");
    let url = greeting.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
    let config = fs::read_to_string(daemon.config_path()).unwrap();
    fs::write(daemon.config_path(), config.replace(&scene.receiver.url(), &url)).unwrap();
    daemon.start();
    daemon.wait_until_polled("tickets");
    scene.api.set_items(items(2));
    let line = listener.line_with("✗");
    assert!(line.contains("401"), "{line}");
    assert!(daemon.control_json("/v1/deliveries")[0]["status"] != "delivered");
    listener.signal("INT");
    assert!(listener.wait().success());
}

#[test]
fn the_demo_shows_the_whole_thing() {
    let daemon = Daemon::new("");
    let told = daemon.cli(&["demo"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for words in
        ["created", "updated", "deleted", "again", "✓ Everything rang as it should.", "304"]
    {
        assert!(told.stdout.contains(words), "no {words:?} in {}", told.stdout);
    }
    assert!(!daemon.state_path().exists(), "the demo leaves a state behind");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scene = eventful();
    for arguments in [
        &["events"][..],
        &["events", "--json"],
        &["events", "--follow"],
        &["deliveries"],
        &["schema"],
        &["poll", "tickets"],
        &["check"],
        &["demo"],
        &["secret"],
        &["--help"],
    ] {
        let mut command = scene.daemon.command(arguments);
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        drop(child.stdout.take());
        // A follower writes again only when there is news.
        scene.api.set_items(json!([item(3)]));
        scene.api.set_items(json!([{ "id": 3, "status": "open" }]));
        let status = poll_for(crate::support::wait::PATIENCE, || child.try_wait().unwrap());
        let mut said = String::new();
        if status.is_none() {
            child.kill().unwrap();
        }
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.is_some_and(|it| it.success()), "{arguments:?}: {status:?} {said}");
        assert!(!said.contains("panic"), "{arguments:?}: {said}");
    }
}

#[test]
fn secrets_are_made_and_the_schema_is_one() {
    let daemon = Daemon::new("");
    let secrets = [daemon.cli(&["secret"]), daemon.cli(&["secret"])];
    assert!(secrets.iter().all(|it| it.code == Some(0) && it.stdout.starts_with("whsec_")));
    assert_ne!(secrets[0].stdout, secrets[1].stdout);
    let schema = daemon.cli(&["schema"]).json();
    assert!(schema["properties"]["sources"].is_object(), "{schema}");
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{schema}");
}

/// What comes from outside never moves the cursor of whoever looks at it.
#[test]
fn text_from_outside_is_harmless_on_a_terminal() {
    let scene = Scene::with_items(json!([]));
    scene.api.set_items(json!([{ "id": "\u{1b}[2J\u{202e}evil", "name": "\u{7}" }]));
    wait_until("the event", || scene.receiver.ledger().accepted().len() == 1);
    for arguments in
        [&["events"][..], &["deliveries"], &["deliveries", "show", "dlv_1"], &["poll", "tickets"]]
    {
        let told = scene.daemon.cli(arguments);
        assert_eq!(told.code, Some(0), "{told:?}");
        let evil = |c: char| matches!(c, '\u{1b}' | '\u{202e}' | '\u{7}');
        assert!(!told.stdout.contains(evil), "{arguments:?}: {told:?}");
    }
}

/// `doorbell` as somebody types it who has read nothing.
#[test]
fn the_executable_alone_runs_the_daemon() {
    let scene = Scene::set(items(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.current_dir(scene.daemon.path(""));
    let mut program = Program::start(command);
    program.line_with("ready");
    scene.api.wait_for_requests(1);
    program.signal("INT");
    assert!(program.wait().success(), "{:#?}", program.lines());
}
