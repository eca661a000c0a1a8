//! `doorbell explain`: why a source is polled when it is, for people and for scripts.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Reply};

fn config(api: &ApiServer, more: &str) -> String {
    format!("sources:\n  tickets:\n    url: {}\n    key: .id\n{more}", api.url())
}

/// By the clock of the file system: tests do not ask for the time.
fn seconds_now() -> i64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let modified = file.as_file().metadata().unwrap().modified().unwrap();
    modified.duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

fn number(answer: &Value, path: &str) -> f64 {
    answer.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {answer}"))
}

#[test]
fn a_learned_source_is_explained() {
    let api = ApiServer::start();
    // Two a day for three weeks, by the items' own word: the schedule begins warm.
    let now = seconds_now();
    let items: Vec<Value> =
        (0..42).map(|item| json!({ "id": item, "updated_at": now - item * 43_200 - 60 })).collect();
    api.set_items(json!(items));
    let every = "    every: 1m..1h\n    changed_at: .updated_at\n    weight: 2\n";
    let mut daemon = Daemon::run(&config(&api, every));
    daemon.wait_until_polled("tickets");
    let answer = daemon.cli_json(&["explain", "tickets"]);
    assert!((1.0..3.0).contains(&number(&answer, "/rate/per_day")), "{answer}");
    assert!((60.0..3_600.0).contains(&number(&answer, "/interval_s")), "{answer}");
    assert!(number(&answer, "/burst/factor") > 1.0, "{answer}");
    assert_eq!(
        (number(&answer, "/price/weight"), &answer["price"]["budget"]),
        (2.0, &json!("none"))
    );
    // 1 min · 1 h / (2 days) / 2.
    assert!((number(&answer, "/price/need_s") - 0.625).abs() < 0.001, "{answer}");
    let [weekday, weekend] = ["weekday", "weekend"].map(|day| answer["profile"][day].as_array());
    assert_eq!((weekday.unwrap().len(), weekend.unwrap().len()), (24, 24));
    assert_eq!((number(&answer, "/backoff/failures"), &answer["pacing"]), (0.0, &Value::Null));
    assert_eq!(answer["cause"], "price");
    let said = daemon.cli(&["explain", "tickets"]).stdout;
    for words in ["tickets is polled every 1m to 1h", "weekdays", "UTC", "Next poll in", "weight 2"]
    {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // The same without the daemon, after it was killed: what was learned is in the state.
    daemon.kill9();
    let later = daemon.cli_json(&["explain", "tickets"]);
    assert_eq!(later["rate"]["known_since"], answer["rate"]["known_since"]);
    assert!((number(&later, "/rate/per_day") - number(&answer, "/rate/per_day")).abs() < 0.1);
}

#[test]
fn what_is_fixed_failing_or_unknown_is_said() {
    let api = ApiServer::start();
    api.set_items(json!([{ "id": 1 }]));
    let mut daemon =
        Daemon::run(&config(&api, "    every: 100ms\n    backoff: { first: 30s, max: 1m }\n"));
    daemon.wait_until_polled("tickets");
    let answer = daemon.cli_json(&["explain", "tickets"]);
    assert_eq!((&answer["cause"], &answer["every"]["fixed"]), (&json!("fixed"), &json!(true)));
    let said = daemon.cli(&["explain", "tickets"]).stdout;
    assert!(said.contains("tickets is polled every 100ms, which is fixed."), "{said}");
    api.always(Reply::status(500));
    wait_until("it fails", || {
        number(&daemon.cli_json(&["explain", "tickets"]), "/backoff/failures") > 0.0
    });
    let said = daemon.cli(&["explain", "tickets"]).stdout;
    assert!(said.contains("1 poll failed (") && said.contains("500"), "{said}");
    let refused = daemon.cli(&["explain", "nobody"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("there is no source nobody"), "{}", refused.stderr);
}
