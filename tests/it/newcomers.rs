//! What somebody meets who tries doorbell for the first time, and each thing that once sent such a person astray.

use std::fs;

use serde_json::json;

use crate::misbehaviour::{json_text, tickets};
use crate::support::scene::items;
use crate::support::{ApiServer, Daemon, Script};

/// No number of an API is too large or too long to be looked at, and none is rounded on the way.
#[test]
fn numbers_beyond_a_float_are_shown_as_they_came() {
    let body = r#"[{"id":"a","w":1e400,"n":12345678901234567890123}]"#;
    let api = Script::start(move |_| json_text(body));
    let daemon = Daemon::new(&format!(
        "{}endpoints: {{ desk: {{ url: 'stdout:', secret: any }} }}\n",
        tickets(&api.url_of("/"), "first_poll: emit")
    ));
    assert_eq!(daemon.cli(&["poll", "tickets", "--commit"]).code, Some(0));
    for arguments in [
        &["events", "--json"][..],
        &["events"],
        &["deliveries", "show", "dlv_1", "--json"],
        &["deliveries", "show", "dlv_1"],
        &["held"],
        &["held", "--json"],
    ] {
        let told = daemon.cli(arguments);
        assert_eq!(told.code, Some(0), "{arguments:?}: {told:?}");
        if arguments.contains(&"--json") && arguments[0] != "held" {
            for number in ["\"w\":1e400", "\"n\":12345678901234567890123"] {
                assert!(told.stdout.contains(number), "{arguments:?}: no {number} in {told:?}");
            }
        }
    }
}

/// An API that does not know the parameter that asks for the next page, and items without a key.
#[test]
fn pages_without_keys_come_to_an_end() {
    let api = Script::start(|_| json_text(r#"{"tickets":[{"a":1}],"pages":9}"#));
    let keys = "items: .tickets, pages: { page: page, size: { per_page: 30 }, last: .pages }";
    let daemon = Daemon::new(&tickets(&api.url_of("/"), keys));
    let poll = daemon.poll("tickets");
    assert_eq!((poll.fault(), api.requests().len()), ("repeated_page", 2), "{poll:?}");
    assert!(poll.sentence().contains("item 1 has no key"), "{poll:?}");
}

/// Says what it prints, on both streams.
fn said(daemon: &Daemon, code: i32, arguments: &[&str]) -> String {
    let told = daemon.cli(arguments);
    assert_eq!(told.code, Some(code), "{arguments:?}: {told:?}");
    format!("{}{}", told.stdout, told.stderr)
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

/// The first look at an API: what one item is, what its key is, what was asked; and nothing is made on the disk.
#[test]
fn a_first_poll_shows_an_item_and_makes_no_state() {
    let api = ApiServer::with_items(items(2));
    let daemon = Daemon::new(&tickets(
        &api.url(),
        "pages: { page: page, size: { per_page: 30 }, last: 'true' }",
    ));
    let text = said(&daemon, 0, &["poll", "tickets"]);
    says(
        &text,
        &["?page=1&per_page=30", "with the key 1", "\"status\": \"new\"", "2 items would be known"],
    );
    assert!(!daemon.state_path().exists(), "looking made a state");
    let answer = daemon.path("answer.json");
    fs::write(&answer, "[{\"id\": 7}]").unwrap();
    says(
        &said(&daemon, 0, &["poll", "tickets", "--replay", &answer.to_string_lossy()]),
        &["key 7"],
    );
    assert!(!daemon.state_path().exists(), "a replay made a state");
    // A recording takes the place of no file.
    says(
        &said(&daemon, 2, &["poll", "tickets", "--record", &answer.to_string_lossy()]),
        &["exists already"],
    );
    let shown = daemon.cli_json(&["poll", "tickets"]);
    assert_eq!(shown["sample"], json!({ "key": "1", "item": { "id": 1, "status": "new" } }));
    says(&said(&daemon, 2, &["poll", "ticket"]), &["did you mean `tickets`?"]);
}

/// What is held says why, and how a person decides; a broken configuration is what is told, not what follows from it.
#[test]
fn held_changes_say_why_and_how_to_decide() {
    let api = ApiServer::with_items(items(9));
    let keys = "flood: 1, deletes: { after: 1, brake: { count: 1, percent: 1 } }";
    let daemon = Daemon::new(&tickets(&api.url(), keys));
    let config = fs::read_to_string(daemon.config_path()).unwrap();
    said(&daemon, 0, &["poll", "tickets", "--commit"]);
    api.set_items(items(4));
    said(&daemon, 0, &["poll", "tickets", "--commit"]);
    let rows = daemon.cli_json(&["held"]);
    let whys: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["why"].clone()).collect();
    assert_eq!(
        whys,
        [json!("brake"), json!("brake"), json!("brake"), json!("brake"), json!("brake")]
    );
    says(&said(&daemon, 0, &["held"]), &["brake", "`doorbell held discard SOURCE`", "tickets/9"]);
    let told = daemon.cli_json(&["events", "--type", "doorbell.source.held"]);
    assert_eq!(
        (&told[0]["data"]["count"], &told[0]["data"]["why"]),
        (&json!(5), &json!(["brake"]))
    );
    fs::write(
        daemon.config_path(),
        format!("{config}endpoints: {{ a: {{ url: '${{UNSET_HERE}}', secret: x }} }}\n"),
    )
    .unwrap();
    for decision in ["release", "discard"] {
        says(&said(&daemon, 2, &["held", decision, "tickets"]), &["UNSET_HERE", "sources.yaml:"]);
    }
    fs::write(daemon.config_path(), config).unwrap();
    says(&said(&daemon, 0, &["held", "discard", "tickets"]), &["5 held changes of tickets"]);
}

/// A source that is fed by another one: what to do first is said first.
#[test]
fn a_fed_source_says_what_feeds_it() {
    let api = ApiServer::with_items(items(2));
    let url = api.url();
    let daemon = Daemon::new(&format!(
        "sources:\n  boards: {{ url: '{url}', key: .id }}\n  cards: {{ url: '{url}/{{{{key}}}}', for_each: {{ source: boards }} }}\n"
    ));
    let text = said(&daemon, 2, &["poll", "cards"]);
    says(&text, &["no entry of it is known yet: `doorbell poll boards --commit` first"]);
    assert!(!text.contains("nothing was changed"), "{text}");
    said(&daemon, 0, &["poll", "boards", "--commit"]);
    says(&said(&daemon, 2, &["poll", "cards"]), &["say which one with `--entry`, such as 1, 2"]);
}

/// Wrong words are refused where they stand, with what to write instead.
#[test]
fn what_cannot_be_meant_is_refused_with_a_hint() {
    let api = ApiServer::with_items(items(1));
    let daemon = Daemon::new(&tickets(&api.url(), ""));
    says(&said(&daemon, 2, &["check", "--log", "loud"]), &["\"loud\" is no level", "debug"]);
    assert!(
        said(&daemon, 0, &["check", "--log", "doorbell=debug,json"])
            .contains("1 source, 0 endpoints")
    );
    fs::write(daemon.state_path(), "").unwrap();
    says(&said(&daemon, 1, &["events"]), &["the state is a directory", "--state"]);
    fs::remove_file(daemon.state_path()).unwrap();
    said(&daemon, 0, &["poll", "tickets", "--commit"]);
    assert_eq!(daemon.cli_json(&["events", "--since", "2026-11-21"]), json!([]));
    says(&said(&daemon, 2, &["events", "--since", "yesterday"]), &["2026-11-21T03:00:00Z"]);
    assert!(daemon.cli_json(&["secret"])["secret"].as_str().unwrap().starts_with("whsec_"));
    for (keys, words) in [
        ("method: FETCH", "not a method to poll with"),
        (
            "auth: { oauth2: { token_url: 'https://a.example/t', grant: jwt_bearer, issuer: me, private_key: missing.pem } }",
            "\"missing.pem\"",
        ),
    ] {
        daemon.write_config(&tickets(&api.url(), keys));
        says(&said(&daemon, 2, &["check"]), &[words]);
    }
    fs::remove_file(daemon.config_path()).unwrap();
    fs::create_dir(daemon.config_path()).unwrap();
    says(
        &said(&daemon, 2, &["check"]),
        &["the configuration cannot be read: it is a directory", "--config FILE"],
    );
    fs::write(
        daemon.state_path().join("doorbell.db"),
        "no database, but long enough to be looked at",
    )
    .unwrap();
    says(&said(&daemon, 1, &["events"]), &["doorbell restore FILE"]);
}

/// What a copy replaces is not lost.
#[test]
fn a_restored_copy_leaves_what_it_replaces() {
    let api = ApiServer::with_items(items(1));
    let daemon = Daemon::new(&tickets(&api.url(), "first_poll: emit"));
    said(&daemon, 0, &["poll", "tickets", "--commit"]);
    let copy = daemon.path("copy.db").to_string_lossy().into_owned();
    said(&daemon, 0, &["backup", &copy]);
    api.set_items(items(2));
    said(&daemon, 0, &["poll", "tickets", "--commit"]);
    let count = |daemon: &Daemon| daemon.cli_json(&["events"]).as_array().unwrap().len();
    assert_eq!(count(&daemon), 2);
    says(&said(&daemon, 0, &["restore", &copy]), &["doorbell.db.replaced"]);
    assert_eq!(count(&daemon), 1);
    let aside = daemon.state_path().join("doorbell.db.replaced");
    let undone = daemon.cli_json(&["restore", &aside.to_string_lossy()]);
    assert!(undone["replaced"].as_str().unwrap().ends_with("doorbell.db.replaced-2"), "{undone}");
    assert_eq!(count(&daemon), 2);
}

/// Whoever follows and goes away ends the command, also when nothing rings.
#[test]
fn a_follower_that_goes_away_ends_the_command() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = Daemon::new(&tickets(&api.url(), "first_poll: emit"));
    daemon.start();
    daemon.wait_until_polled("tickets");
    for what in ["events", "deliveries"] {
        let mut command = daemon.command([what, "--follow", "--json"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        if what == "events" {
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        }
        drop(child.stdout.take());
        let ended = crate::support::wait::poll_for(crate::support::wait::PATIENCE, || {
            child.try_wait().unwrap()
        });
        if ended.is_none() {
            child.kill().unwrap();
        }
        assert!(ended.is_some_and(|status| status.success()), "{what}: {ended:?}");
    }
}
