//! `doorbell simulate`: what it answers, that it is fair to its rivals, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Daemon;

/// 28 public repositories over eight weeks.
fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/traces/repositories.csv");
    path.to_str().unwrap().to_owned()
}

fn written(daemon: &Daemon, text: &[u8]) -> PathBuf {
    let path = daemon.path("changes.csv");
    fs::write(&path, text).unwrap();
    path
}

fn figure(answer: &Value, policy: &str, name: &str) -> f64 {
    let found = &answer["policies"][policy][name];
    found.as_f64().unwrap_or_else(|| panic!("no {name} of {policy} in {answer}"))
}

#[test]
fn a_trace_is_replayed_beside_its_rivals() {
    let daemon = Daemon::new("");
    let (from, to) = ("1777680000", "1780099200");
    let args = ["simulate", "--events", &sample(), "--budget", "28/h", "--from", from, "--to", to];
    let said = daemon.cli(&[&args[..], &["--json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&answer["budget"], &answer["sources"]), (&"28/h".into(), &28.into()));
    assert!(answer["events"].as_u64().unwrap() > 1_000, "{answer}");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&answer), ["budget", "events", "from", "policies", "sources", "to"]);
    assert_eq!(names(&answer["policies"]), ["doorbell", "fixed", "halve_grow"]);
    for policy in ["doorbell", "fixed", "halve_grow"] {
        assert_eq!(
            names(&answer["policies"][policy]),
            ["busiest_hour", "mean_s", "p50_s", "p95_s", "per_source_mean_s", "requests"]
        );
    }
    let requests = figure(&answer, "doorbell", "requests");
    let planned = 28.0 * 28.0 * 24.0;
    assert!((requests / planned - 1.0).abs() < 0.01, "{requests} requests of {planned}");
    for rival in ["fixed", "halve_grow"] {
        let theirs = figure(&answer, rival, "requests");
        assert!((theirs / requests - 1.0).abs() < 0.01, "{rival}: {theirs}, not {requests}");
    }
    for policy in ["doorbell", "fixed", "halve_grow"] {
        let [p50, p95] = ["p50_s", "p95_s"].map(|name| figure(&answer, policy, name));
        assert!(0.0 < p50 && p50 < p95 && figure(&answer, policy, "per_source_mean_s") > 0.0);
    }
    assert!(figure(&answer, "doorbell", "busiest_hour") <= 28.0 * 1.25);
    assert!(figure(&answer, "doorbell", "mean_s") < 0.6 * figure(&answer, "fixed", "mean_s"));
    assert!(figure(&answer, "doorbell", "mean_s") < 0.8 * figure(&answer, "halve_grow", "mean_s"));
    // The same twice, and for people.
    assert_eq!(daemon.cli(&[&args[..], &["--json"]].concat()).stdout, said.stdout);
    let said = daemon.cli(&args).stdout;
    assert!(said.contains("28 sources") && said.contains("times what a fixed interval"), "{said}");
}

#[test]
fn neither_configuration_nor_state_is_wanted() {
    let daemon = Daemon::new("this is: [no configuration");
    let trace = written(&daemon, b"door,1000\nwindow,\n");
    let said = daemon.cli(&["simulate", "--events", trace.to_str().unwrap(), "--budget", "1/m"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout.contains("2 sources, 1 change, 1.0 days from 1970-01-01"),
        "{}",
        said.stdout
    );
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let daemon = Daemon::new("");
    let check = |text: &[u8], more: &[&str], expected: &str| {
        let trace = written(&daemon, text);
        let args = ["simulate", "--events", trace.to_str().unwrap()];
        let said = daemon.cli(&[&args[..], more].concat());
        assert_eq!(said.code, Some(2), "{more:?}: {said:?}");
        assert!(said.stderr.contains(expected), "{more:?}: {}", said.stderr);
    };
    let good = b"source_id,unix_seconds\na,1777680000\n";
    let hour = ["--budget", "82/h"];
    check(b"source_id,unix_seconds\na,1\nb\n", &hour, "changes.csv: line 3: `b` has no comma");
    check(b"a,soon\n", &hour, "line 1: `soon` is not a time");
    check(b"a,1777680000000\n", &hour, "milliseconds");
    check(b"", &hour, "names no source");
    check(b"a,\n", &hour, "nothing changes in this trace");
    check(good, &["--budget", "82"], "has no unit of time");
    check(good, &["--budget", "82/w"], "has no unit of time that is known");
    check(good, &["--budget", "/h"], "has no number");
    check(good, &["--budget", "0/h"], "allows no request");
    check(good, &["--budget", "inf/h"], "has no number");
    check(good, &["--budget", "82/h", "--to", "5"], "end before it begins");
    check(good, &["--budget", "9/s", "--to", "9999999999999999"], "million requests");
    check(good, &[], "--budget");
    let said = daemon.cli(&["simulate", "--events", "nowhere.csv", "--budget", "1/h"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("reading nowhere.csv"), "{}", said.stderr);
}
