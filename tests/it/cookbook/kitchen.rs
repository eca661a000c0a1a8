//! A recipe out of the book, cooked: the real daemon with the text as it is printed, a receiver, and polls by hand, so
//! that nobody waits for an interval.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::support::polled::Poll;
use crate::support::server::Received;
use crate::support::wait::PATIENCE;
use crate::support::{Daemon, Receiver, Reply, Script};

/// The book.
pub(super) const BOOK: &str = include_str!("../../../docs/cookbook.md");

/// The titles of the recipes: the chapters that hold a configuration.
pub(super) fn recipes() -> Vec<String> {
    let chapters = BOOK.split("\n## ").skip(1).filter(|chapter| chapter.contains("```yaml"));
    chapters.map(|chapter| chapter.lines().next().unwrap().to_owned()).collect()
}

/// The configuration of a recipe, as it is printed.
fn printed(title: &str) -> &'static str {
    let chapter = BOOK.split("\n## ").skip(1).find(|chapter| chapter.lines().next() == Some(title));
    let chapter = chapter.unwrap_or_else(|| panic!("the book has no recipe {title:?}"));
    let (_, rest) = chapter.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// What is needed to cook.
pub(super) struct Kitchen {
    text: String,
    pub(super) daemon: Daemon,
    pub(super) receiver: Receiver,
    /// How long a poll may take.
    patience: Duration,
    /// What rang so far, as `TYPE KEY`.
    told: Vec<String>,
}

/// Before the daemon runs.
impl Kitchen {
    /// Opens the book.
    pub(super) fn of(title: &str) -> Self {
        let text = printed(title).to_owned();
        let (daemon, receiver, told) =
            (Daemon::new("sources: {}\n"), Receiver::start(), Vec::new());
        Self { text, daemon, receiver, patience: PATIENCE, told }
    }

    /// The recipe's host is this server.
    #[track_caller]
    pub(super) fn host(mut self, origin: &str, server: &Script) -> Self {
        assert!(self.text.contains(origin), "the recipe does not name {origin}");
        self.text = self.text.replace(origin, &server.url_of(""));
        self
    }

    /// A secret of the environment.
    #[track_caller]
    pub(super) fn secret(mut self, name: &str, value: &str) -> Self {
        assert!(self.text.contains(&format!("${{{name}}}")), "the recipe does not need {name}");
        self.daemon.set_env(name, value);
        self
    }

    /// Polls that have much to read may take longer on a busy machine.
    pub(super) fn patient(self) -> Self {
        Self { patience: PATIENCE * 4, ..self }
    }

    /// Other words of the recipe, where a test would wait for minutes.
    #[track_caller]
    pub(super) fn instead(mut self, words: &str, other: &str) -> Self {
        assert_eq!(self.text.matches(words).count(), 1, "{words} stands in the recipe once");
        self.text = self.text.replace(words, other);
        self
    }

    /// What follows on the lines that begin so.
    pub(super) fn lines_like(&self, beginning: &str) -> Vec<String> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(beginning));
        lines.map(str::to_owned).collect()
    }

    /// Writes the configuration and starts the daemon; every event there is rings at the receiver.
    #[track_caller]
    pub(super) fn run(mut self) -> Self {
        let asked = self.text.lines().filter(|line| line.contains("url: "));
        for line in asked {
            assert!(!line.contains("https://"), "a host is not replaced: {line}");
        }
        let hook = self.receiver.url();
        let text = &self.text;
        self.daemon.write_config(&format!(
            "{text}\nendpoints:\n  all: {{ url: '{hook}', secret: any, events: ['*', 'doorbell.*'] }}\n"
        ));
        self.daemon.start();
        self
    }
}

/// While it runs.
impl Kitchen {
    /// Polls a source once, which must go well, and waits until exactly these events more, as `TYPE KEY`, have rung.
    #[track_caller]
    pub(super) fn rings(&mut self, source: &str, story: &[&str]) -> Poll {
        let poll = self.daemon.poll_within(self.patience, source);
        assert_eq!(poll.fault(), "", "{poll:?}");
        self.hears(story);
        poll
    }

    /// The same for one entry of a source.
    #[track_caller]
    pub(super) fn rings_of(&mut self, source: &str, entry: &str, story: &[&str]) {
        let report = self.daemon.cli_json(&["poll", source, "--entry", entry, "--commit"]);
        assert_eq!(report["fault"], Value::Null, "{report}");
        self.hears(story);
    }

    /// Polls a source once, which must fail for this reason, and rings nothing.
    #[track_caller]
    pub(super) fn fails(&mut self, source: &str, code: &str) {
        let poll = self.daemon.poll_within(self.patience, source);
        assert_eq!(poll.fault(), code, "{poll:?}");
        self.hears(&[]);
    }

    /// Waits until exactly these events more have rung.
    #[track_caller]
    pub(super) fn hears(&mut self, story: &[&str]) {
        self.told.extend(story.iter().map(ToString::to_string));
        let told: Vec<_> = self.told.iter().map(String::as_str).collect();
        self.receiver.expect(&told);
    }

    /// The data of the newest event of a type.
    #[track_caller]
    pub(super) fn data(&self, event_type: &str) -> Value {
        let ledger = self.receiver.ledger();
        let rings = ledger.accepted();
        let newest = rings.iter().rfind(|ring| ring.event_type() == event_type);
        newest.unwrap_or_else(|| panic!("no {event_type} rang")).event["data"].clone()
    }
}

/// The parameters of a request's query, decoded.
pub(super) fn params(received: &Received) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://host{}", received.target)).unwrap();
    url.query_pairs().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The parameters in a request's body, decoded.
pub(super) fn form(received: &Received) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&received.body)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The body of a request as JSON.
pub(super) fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

/// What nearly every API says to the wrong credentials.
pub(super) fn unauthorized() -> Reply {
    Reply::json(&json!({ "message": "Bad credentials" })).with_status(401)
}

/// What nearly every API says to a request that it does not understand.
pub(super) fn bad_request(why: &str) -> Reply {
    Reply::json(&json!({ "message": why })).with_status(400)
}
