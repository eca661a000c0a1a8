//! The ready-made sources in `sources.d/` against the answers that their APIs' documentation shows, before and after a
//! change: `tests/cases/sources.d/NAME/`. No network; the host is replaced by a server here.
//!
//! `expected` holds the request, the type of the answers, and after an empty line the events: `TYPE KEY DATA`, sorted.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::polled::Poll;
use crate::support::{Daemon, Reply, Script, Shared};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text with `https://HOST` of its only URL to ask replaced by the server's.
fn moved(config: &str, server: &str) -> String {
    let line = config.lines().find(|line| line.trim_start().starts_with("url: https://")).unwrap();
    let url = line.trim_start().strip_prefix("url: ").unwrap();
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    config.replace(&format!("url: {origin}"), &format!("url: {server}"))
}

/// `TYPE KEY DATA` of each event, sorted; a single object has no key.
fn told(poll: &Poll) -> Vec<String> {
    let line = |event: &Value| {
        let word = |name: &str| event[name].as_str().unwrap_or_default();
        let key = word("key");
        let blank = if key.is_empty() { "" } else { " " };
        format!("{}{blank}{key} {}", word("type"), event["data"])
    };
    let mut told: Vec<_> = poll.events().iter().map(line).collect();
    told.sort();
    told
}

/// The file that begins so in an example's directory.
fn answer(directory: &Path, name: &str) -> Vec<u8> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut named = entries.filter(|path| path.file_stem().is_some_and(|stem| stem == name));
    fs::read(named.next().unwrap_or_else(|| panic!("no {name} in {directory:?}"))).unwrap()
}

#[track_caller]
fn check(name: &str) {
    let directory = at("tests/cases/sources.d").join(name);
    let expected = fs::read_to_string(directory.join("expected")).unwrap();
    let (head, events) = expected.split_once("\n\n").unwrap();
    let (request, content_type) = head.split_once("\nContent-Type: ").unwrap();

    let shown = Shared::new(answer(&directory, "before"));
    let (content_type, body) = (content_type.to_owned(), shown.clone());
    let api = Script::start(move |_| Reply::text(&content_type, body.get()));
    let config = fs::read_to_string(at("sources.d").join(format!("{name}.yaml"))).unwrap();
    let daemon = Daemon::new(&moved(&config, &api.url_of("")));
    let checked = daemon.cli(&["check"]);
    assert_eq!(checked.code, Some(0), "{name}: {checked:?}");
    let config: Vec<_> = config.lines().filter(|line| line.starts_with("  ")).collect();
    let source = config[0].trim().trim_end_matches(':');

    daemon.poll(source).rang(&[]);
    daemon.poll(source).rang(&[]);
    shown.set(answer(&directory, "after"));
    // A deletion takes two listings.
    let mut story = Vec::new();
    for _ in 0..3 {
        let poll = daemon.poll(source);
        assert_eq!(poll.fault(), "", "{name}: {poll:?}");
        story.extend(told(&poll));
    }
    story.sort();
    assert_eq!(story, events.lines().collect::<Vec<_>>(), "{name}");
    for received in api.requests() {
        assert_eq!(format!("{} {}", received.method, received.target), request, "{name}");
    }
}

#[test]
fn earthquakes() {
    check("earthquakes");
}

#[test]
fn weather_alerts() {
    check("weather-alerts");
}

#[test]
fn pypi() {
    check("pypi");
}

#[test]
fn exchange_rates() {
    check("exchange-rates");
}

#[test]
fn statuspage() {
    check("statuspage");
}

#[test]
fn releases() {
    check("releases");
}

/// An example without a test is a promise that nobody keeps.
#[test]
fn every_example_is_tested() {
    let code = include_str!("examples.rs");
    for entry in fs::read_dir(at("sources.d")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(code.contains(&format!("check(\"{name}\")")), "{path:?} has no test");
    }
}
