//! Sources that adapt under a limit, as the API that is polled and the person who asks see them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::reply::Reply;
use crate::support::wait::wait_until;
use crate::support::{Daemon, Script, Shared};

#[expect(clippy::disallowed_methods, reason = "a server that counts in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Whether more than `most` requests came in a `period`, with one more now.
fn is_too_many(lately: &mut VecDeque<Instant>, most: usize, period: Duration) -> bool {
    let now = now();
    while lately.front().is_some_and(|at| now - *at >= period) {
        lately.pop_front();
    }
    lately.push_back(now);
    lately.len() > most
}

fn sharing(api: &Script, limit: &str, names: &[&str], every: &str) -> String {
    let mut config = format!("apis:\n  desk: {{ limit: {limit} }}\nsources:\n");
    for name in names {
        let url = api.url_of(&format!("/{name}"));
        writeln!(config, "  {name}: {{ api: desk, url: '{url}', key: .id, every: {every} }}")
            .unwrap();
    }
    config
}

fn number(answer: &Value, path: &str) -> f64 {
    answer.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {answer}"))
}

#[test]
fn the_busy_one_is_polled_more_often_and_the_limit_holds() {
    let counts = Shared::new((VecDeque::new(), 0_usize, 0_u64));
    let counted = counts.clone();
    let api = Script::start(move |received| {
        counted.with(|(lately, refused, changes)| {
            if is_too_many(lately, 20, Duration::from_secs(2)) {
                *refused += 1;
                return Reply::status(429);
            }
            // One changes whenever it is looked at, the others never.
            *changes += u64::from(received.path() == "/busy");
            let at = if received.path() == "/busy" { *changes } else { 0 };
            Reply::json(&json!([{ "id": 1, "at": at }]))
        })
    });
    let names = ["busy", "a", "b", "c", "d", "e", "f", "g"];
    let mut daemon = Daemon::run(&sharing(&api, "20/2s", &names, "50ms..1h"));
    let asked = |name: &str| {
        let path = format!("/{name}");
        api.requests().iter().filter(|received| received.path() == path).count()
    };
    wait_until("a fifth of what is planned", || asked("busy") >= 16);
    assert_eq!(counts.with(|(_, refused, _)| *refused), 0);
    let idle: usize = names.iter().skip(1).map(|name| asked(name)).sum();
    assert!(asked("busy") * 7 * 10 > idle * 13, "{} and {idle} of seven", asked("busy"));
    assert!(names.iter().all(|name| asked(name) > 0));

    let answer = daemon.cli_json(&["explain", "busy"]);
    let price = &answer["price"];
    assert_eq!((&price["budget"], &price["cost"]), (&json!("shared"), &json!(1.0)));
    assert!(number(&answer, "/price/theta_s") > 0.0 && number(&answer, "/price/need_s") > 0.0);
    let budget = &price["budgets"][0];
    assert_eq!((&budget["name"], &budget["sharers"]), (&json!("desk"), &json!(8)));
    assert!((number(&answer, "/price/budgets/0/planned_per_s") - 8.0).abs() < 0.01, "{answer}");
    let share = number(&answer, "/price/budgets/0/share");
    assert!((0.05..=0.5).contains(&share), "{answer}");
    assert!((0.0..=1.0).contains(&number(&answer, "/price/budgets/0/used_ratio")));
    assert!(answer["next_poll"].is_string() && answer["cause"].is_string(), "{answer}");
    let said = daemon.cli(&["explain", "busy"]).stdout.replace('\n', " ");
    for words in [
        "The price of its budget is",
        "The limit of desk is planned at 8.0 requests a second for 8 in all",
        "of what was spent went to this source.",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    assert!(said.contains("Next poll in") || said.contains("The next poll is due"), "{said}");
    assert!(daemon.term().success());
}

#[test]
fn what_the_server_does_not_charge_for_is_noticed() {
    // 1200 in ten minutes; a 304 is free.
    let counts = Shared::new((0_usize, 0_usize));
    let counted = counts.clone();
    let began = now();
    let api = Script::start(move |received| {
        let is_same = received.header("if-none-match").is_some();
        counted.with(|(charged, refused)| {
            *charged += usize::from(!is_same);
            *refused += usize::from(*charged > 1200);
            let reply =
                if is_same { Reply::status(304) } else { Reply::json(&json!([{ "id": 1 }])) };
            let left = 600_u64.saturating_sub(began.elapsed().as_secs());
            reply
                .header("ETag", "\"x\"")
                .header("RateLimit-Policy", "\"default\";q=1200;w=600")
                .header("RateLimit", &format!("\"default\";r={};t={left}", 1200 - *charged))
        })
    });
    let mut daemon = Daemon::run(&sharing(&api, "1200/10m", &["a", "b", "c", "d"], "50ms..1h"));
    daemon.wait_until_polled("a");
    let explained = || daemon.control_json("/v1/sources/a/explain");
    wait_until("the figures told", || explained()["pacing"]["unchanged_free"] == json!(true));
    let said = daemon.cli(&["explain", "a"]).stdout.replace('\n', " ");
    assert!(said.contains("It does not charge for the answer that nothing changed."), "{said}");
    wait_until("a poll costs less than a request", || number(&explained(), "/price/cost") < 0.9);
    assert_eq!(counts.with(|(_, refused)| *refused), 0);
    assert!(daemon.term().success());
}

#[test]
fn a_slow_window_outlasts_a_kill() {
    let api = Script::start(|_| Reply::json(&json!([{ "id": 1 }])));
    let mut daemon = Daemon::run(&sharing(&api, "10/h", &["rare"], "100ms"));
    daemon.wait_until_polled("rare");
    assert_eq!(api.requests().len(), 1);
    daemon.kill9();
    daemon.start();
    let waits = || daemon.control_json("/v1/sources/rare/explain")["waiting"]["for"].clone();
    wait_until("it waits for its budget", || waits() == json!("budget"));
    assert_eq!(api.requests().len(), 1);
    assert!(daemon.term().success());
}
