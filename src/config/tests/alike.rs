//! Sources that say the same are read once, and nobody can tell.

use crate::config::tests::{Given, read, valid};
use crate::config::{Config, load};

const FIRST: &str = "{url: https://a.example/1, every: 1m, key: .id}";

/// The second of two sources, and what it is when it stands alone.
#[test]
fn what_is_like_another_is_read_as_if_it_stood_alone() {
    let check = |first: &str, second: &str| {
        let both = valid(&format!("sources:\n  a: {first}\n  b: {second}\n"));
        let alone = valid(&format!("sources:\n  b: {second}\n"));
        assert_eq!(both.sources.get(1), alone.sources.first(), "{first} before {second}");
    };
    for second in [
        "{url: https://b.example/2, every: 1m, key: .id}",
        "{every: 1m, url: https://b.example/2, key: .id}",
        "{url: https://b.example/2, every: 60s, key: .id}",
        "{url: https://b.example/2, every: 1m, key: [.id]}",
        "{url: https://b.example/2, every: 1m, key: .number}",
        "{url: https://b.example/2, every: 1m}",
        "{url: https://b.example/2, every: 1m, key: .id, items: '.all[]'}",
        "{url: 'https://b.example/{{ 1 + 1 }}', every: 1m, key: .id}",
        "{url: 'file:list.json', every: 1m, key: .id}",
        "{url: 'https://b.example/?b=2', every: 1m, key: .id}",
    ] {
        check(FIRST, second);
        check(second, FIRST);
    }
    for keys in [
        "query: {page: 1}",
        "limit: 5/h",
        "concurrency: 2",
        "events: [default, {type: x.made, on: [created]}]",
        "headers: {Accept: text/csv}",
        "auth: {bearer: abc}",
        "first_poll: emit",
        "deletes: {after: 3, check: 'https://b.example/{{key}}'}",
        "since: {param: since, from: .at}",
        "paused: true",
    ] {
        let [first, second] = [1, 2].map(|number| {
            format!("{{url: 'https://{number}.example/', every: 1m, key: .id, {keys}}}")
        });
        check(&first, &second);
    }
}

#[test]
fn values_from_outside_and_files_are_told_apart() {
    let sources = |name: &str, url: &str| {
        format!("{name}: {{url: '{url}', auth: {{bearer: '${{TOKEN}}'}}, tls: {{ca: ca.pem}}}}")
    };
    let text = format!(
        "include: other/more.yaml\nsources:\n  {}\n  {}\n",
        sources("a", "https://a.example/"),
        sources("b", "https://b.example/"),
    );
    let more = format!("sources:\n  {}\n", sources("c", "https://c.example/"));
    let pem = include_str!("../../../tests/cases/tls/ca.pem");
    let given = Given::default()
        .variable("TOKEN", "a-long-secret")
        .file("sources.yaml", &text)
        .file("other/more.yaml", &more)
        .file("ca.pem", pem)
        .file("other/ca.pem", &format!("{pem}{pem}"));
    let read = |given: &Given| -> Config {
        load("sources.yaml".as_ref(), given).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let config = read(&given);
    let [a, b, c] = config.sources.as_slice() else { panic!("three are declared") };
    assert_eq!(a.common, b.common);
    assert_ne!(a.common.route, c.common.route);
    assert_eq!(config.secrets.len(), 1);
    let other = read(&given.variable("TOKEN", "another-secret"));
    assert_ne!(other.sources.first().map(|a| &a.auth), Some(&a.auth));
}

#[test]
fn what_is_wrong_is_told_as_if_all_were_read_one_by_one() {
    let check = |second: &str, expected: &str| {
        let text = format!("sources:\n  a: {FIRST}\n  b: {second}\n");
        let problems = read(&text).expect_err("something is wrong").to_string();
        assert!(problems.contains(expected), "{problems}\ndoes not say\n{expected}");
    };
    check(
        "{url: 'ftp://b.example/2', every: 1m, key: .id}",
        "b: {url: 'ftp://b.example/2', every: 1m, key: .id}",
    );
    check("{every: 1m, key: .id}", "the key `url` is missing");
    check("{url: https://b.example/, url: x, every: 1m}", "stands here twice");
    check("{url: https://b.example/, every: 1x, key: .id}", "every: 1x, key: .id}");
}
