//! What becomes of what: files read, states as they would be kept, and what a plan says of them.

use std::sync::Arc;

use crate::config::tests::valid;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::plan::{Holding, Known, plan};
use crate::core::roster::Roster;
use crate::core::schedule::Schedule;
use crate::core::source::{Digests, SourceState};
use crate::core::time::Timestamp;

fn roster(sources: &str) -> Roster {
    let config = valid(&format!(
        "sources: {{{sources}}}\nendpoints: {{e: {{url: 'stdout:'}}, f: {{url: http://f/, secret: one}}}}"
    ));
    Roster::new(config.sources, config.endpoints)
}

/// As if everything declared had been polled.
fn polled(roster: &Roster) -> Known {
    let at = Timestamp::from_millis(0);
    let state = |source: &crate::core::source::Source| {
        SourceState::new(source, Schedule::first(source.every, 1, at, 0.0))
    };
    Known {
        sources: roster.sources.iter().map(|(name, it)| (name.clone(), state(it))).collect(),
        endpoints: [(EndpointName::new("e"), 0), (EndpointName::new("gone"), 2)].into(),
    }
}

/// `FATE by KEYS`, or the fate alone.
fn told(old: Option<&Roster>, new: &Roster, known: &Known, name: &str) -> String {
    let plan = plan(old, new, known);
    let name = SourceName::new(name);
    let row = plan.sources.into_iter().find(|row| row.name == name).expect("it is in the plan");
    match row.keys.as_slice() {
        [] => row.fate.as_str().to_owned(),
        keys => format!("{} by {}", row.fate.as_str(), keys.join(", ")),
    }
}

#[test]
fn every_edit_has_its_fate() {
    let check = |before: &str, after: &str, name: &str, with: &str, without: &str| {
        let (old, new) = (roster(before), roster(after));
        let known = polled(&old);
        let found = (told(Some(&old), &new, &known, name), told(None, &new, &known, name));
        assert_eq!(found, (with.to_owned(), without.to_owned()), "{before} → {after}");
    };
    // What a daemon says that has the first in force, and what the state alone tells.
    let a = "a: {url: 'http://a/?x=1', key: .id}";
    check(a, a, "a", "unchanged", "unchanged");
    check(a, "b: {url: http://b/}", "b", "added", "added");
    check(a, "b: {url: http://b/}", "a", "removed", "removed");
    let edits = [
        ("every: 1m", "changed by every", "unchanged"),
        ("auth: {bearer: t}", "changed by auth", "unchanged"),
        ("headers: {X-A: b}, timeout: 2s", "changed by headers, timeout", "unchanged"),
        ("events: [default]", "unchanged", "unchanged"),
        ("events: [{type: x, on: created}]", "changed by events", "unchanged"),
        ("deletes: off, first_poll: emit", "changed by first_poll, deletes", "unchanged"),
        ("ignore: [.seen]", "compared anew by ignore", "compared anew by ignore"),
        ("items: .list", "re-baselined by items", "re-baselined by items"),
        ("pages: link", "re-baselined by pages", "re-baselined by pages"),
        ("format: csv", "re-baselined by format", "re-baselined by format"),
        ("format: json", "changed by format", "unchanged"),
        (
            "method: POST, body: {a: 1}",
            "re-baselined by method, body",
            "re-baselined by method, body",
        ),
        (
            "items: .list, ignore: [.seen], every: 1m",
            "re-baselined by items",
            "re-baselined by items",
        ),
    ];
    for (keys, with, without) in edits {
        check(a, &format!("a: {{url: 'http://a/?x=1', key: .id, {keys}}}"), "a", with, without);
    }
    check(
        a,
        "a: {url: 'http://a/?x=2', key: .id}",
        "a",
        "re-baselined by query",
        "re-baselined by query",
    );
    check(
        a,
        "a: {url: 'http://c/?x=1', key: .id}",
        "a",
        "re-baselined by url",
        "re-baselined by url",
    );
    check(
        a,
        "a: {url: 'http://a/', key: .no}",
        "a",
        "re-baselined by key, query",
        "re-baselined by key, query",
    );
    let b = "b: {url: 'http://a/?x=1', key: .id, was: a}";
    check(a, b, "b", "renamed", "renamed");
    check(a, &b.replace(".id", ".no"), "b", "re-baselined by key", "re-baselined by key");
    check(a, "b: {url: http://b/, was: nobody}", "b", "added", "added");
    // With a state of its own it takes nothing over.
    let both = "a: {url: http://a/}, b: {url: http://b/}";
    check(both, "b: {url: http://b/, was: a}", "b", "changed by was", "unchanged");
    check(both, "b: {url: http://b/, was: a}", "a", "removed", "removed");
}

#[test]
fn a_state_of_an_earlier_version_names_no_keys() {
    let (old, new) = (roster("a: {url: http://a/}"), roster("a: {url: http://b/}"));
    let mut known = polled(&old);
    for state in known.sources.values_mut() {
        let (identity, comparison) = (state.identity(), state.comparison());
        let parts = crate::core::parts::Parts::default();
        state.digests = Arc::new(Digests { identity, comparison, parts });
    }
    assert_eq!(told(None, &new, &known, "a"), "re-baselined");
    let lines = plan(None, &new, &known).lines();
    assert!(lines[0].starts_with("source a re-baselined: what identifies"), "{lines:?}");
}

#[test]
fn what_was_left_over_is_no_news() {
    let (old, new) = (roster("a: {url: http://a/}"), roster("b: {url: http://b/}"));
    let known = polled(&old);
    assert_eq!(told(Some(&new), &new, &known, "a"), "removed earlier");
    let lines = plan(Some(&new), &new, &known).lines();
    assert_eq!(lines, Vec::<String>::new());
    // Declared again, it goes on.
    assert_eq!(told(Some(&new), &old, &known, "a"), "added");
}

#[test]
fn a_plan_is_told_in_sentences() {
    let before = roster(
        "a: {url: http://a/}, b: {url: http://b/}, c: {url: http://c/}, d: {url: http://d/}",
    );
    let after = roster(
        "a: {url: http://x/}, b: {url: http://b/, ignore: [.a], every: 1m}, e: {url: http://d/, was: d}, f: {url: http://f/, first_poll: emit}, g: {url: http://g/}",
    );
    let mut made = plan(Some(&before), &after, &polled(&before));
    for source in &mut made.sources {
        source.holding = Holding { items: 3, waiting: 1 };
    }
    assert_eq!(
        made.lines(),
        [
            "source a re-baselined: `url` changed; a new baseline in silence instead of the 3 items known",
            "source b compared anew: `ignore` changed; 3 items kept, compared anew, nothing rings for that",
            "source c removed: rings nothing; 3 items kept, 1 delivery still on the way",
            "source e renamed: was d (1 delivery made before keeps the old name); 3 items, event numbers and \
             schedule go on; event types follow the name: `e.…`",
            "source f added: its first poll rings for every item (`first_poll: emit`)",
            "source g added: its first poll is a baseline and rings nothing",
        ]
    );
}

#[test]
fn endpoints_are_planned_too() {
    let endpoints = |text: &str| {
        let config = valid(&format!("sources: {{a: {{url: http://a/}}}}\nendpoints: {{{text}}}"));
        Roster::new(config.sources, config.endpoints)
    };
    let old = endpoints("e: {url: 'stdout:'}, f: {url: http://f/, secret: one}");
    let new = endpoints("f: {url: http://g/, secret: two}, h: {url: 'stdout:'}");
    let known = Known {
        endpoints: ["e", "f", "gone"].map(|name| (EndpointName::new(name), 2)).into(),
        ..polled(&old)
    };
    let lines = |old: Option<&Roster>| -> Vec<String> {
        let lines = plan(old, &new, &known).lines().into_iter();
        lines.filter(|line| line.starts_with("endpoint")).collect()
    };
    assert_eq!(
        lines(Some(&old)),
        [
            "endpoint e removed: 2 deliveries wait for it and are kept",
            "endpoint f changed: `url` and `secret` changed; 2 deliveries wait for it and stay",
            "endpoint h added: it gets what rings from now on",
        ]
    );
    assert_eq!(
        lines(None),
        [
            "endpoint e removed: 2 deliveries wait for it and are kept",
            "endpoint gone removed: 2 deliveries wait for it and are kept",
            "endpoint h added: it gets what rings from now on",
        ]
    );
}

#[test]
fn a_renamed_or_paused_endpoint_is_planned() {
    let endpoints = |text: &str| {
        let config = valid(&format!("sources: {{a: {{url: http://a/}}}}\nendpoints: {{{text}}}"));
        Roster::new(config.sources, config.endpoints)
    };
    let check = |before: &str, after: &str, waiting: &[(&str, u64)], expected: &[&str]| {
        let (old, new) = (endpoints(before), endpoints(after));
        let counts = waiting.iter().map(|(name, count)| (EndpointName::new(*name), *count));
        let known = Known { endpoints: counts.collect(), ..polled(&old) };
        let lines = plan(Some(&old), &new, &known).lines().into_iter();
        let lines: Vec<_> = lines.filter(|line| line.starts_with("endpoint")).collect();
        assert_eq!(lines, expected, "{before} → {after}");
    };
    let old = "e: {url: 'stdout:'}";
    let renamed = "f: {url: 'stdout:', was: e}";
    check(
        old,
        renamed,
        &[("e", 3)],
        &["endpoint f renamed: was e; 3 deliveries that wait for it go on"],
    );
    check(
        old,
        renamed,
        &[("e", 1)],
        &["endpoint f renamed: was e; 1 delivery that waits for it goes on"],
    );
    check(old, renamed, &[("e", 0)], &["endpoint f renamed: was e; nothing waits for it"]);
    // Something rang for the new name already.
    check(
        old,
        renamed,
        &[("e", 3), ("f", 1)],
        &["endpoint f renamed: was e; 4 deliveries that wait for it go on"],
    );
    // It was renamed long ago.
    check(renamed, renamed, &[("f", 3)], &[]);
    check(
        old,
        "f: {url: 'stdout:', was: e, concurrency: 1, paused: true}",
        &[("e", 3)],
        &[
            "endpoint f renamed: was e; 3 deliveries that wait for it go on; it is paused; `concurrency` and `paused` changed",
        ],
    );
    check(
        old,
        "e: {url: 'stdout:', paused: true}",
        &[("e", 0)],
        &["endpoint e changed: `paused` changed; it is paused"],
    );
    check(
        old,
        "e: {url: 'stdout:', paused: true}",
        &[("e", 2)],
        &["endpoint e changed: `paused` changed; 2 deliveries wait for it and stay; it is paused"],
    );
    check(
        old,
        "e: {url: 'stdout:'}, g: {url: 'stdout:', paused: true}",
        &[("e", 0)],
        &["endpoint g added: what rings from now on waits"],
    );
}
