//! What sources share: `defaults` and `apis`, and what the templates of a source become.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Given, read, valid};
use crate::config::load_text;
use crate::config::problem::Severity;
use crate::core::auth::Auth;
use crate::core::json;
use crate::core::plan::{Known, plan};
use crate::core::roster::Roster;
use crate::core::secret::Secret;
use crate::core::source::{Common, Source};
use crate::core::template::Context;

const SHARED: &str = r"
defaults: { every: 1m, timeout: 9s, headers: { Accept: a/default, X-D: d }, query: { v: 0, d: 1 } }
apis:
  company: { timeout: 5s, headers: { X-C: c, ACCEPT: a/company }, query: { v: 1, c: 1 }, ignore: .c }
  desk: { api: company, auth: { bearer: t }, headers: { X-K: k }, query: { k: 1 }, url: https://desk.example/ }
sources:
  all: { api: desk, query: { v: 2, k: null }, headers: { accept: a/own, x-k: own } }
  some: { api: company, url: https://some.example/, timeout: 1s, auth: { bearer: u }, ignore: [.s, .t] }
  none: { url: https://none.example/ }
";

fn source(text: &str, name: &str) -> Source {
    let found = valid(text).sources.into_iter().find(|source| source.name.as_str() == name);
    Arc::unwrap_or_clone(found.unwrap_or_else(|| panic!("no source {name}")))
}

#[test]
fn the_nearest_says_what_holds() {
    let check = |name: &str, expected: (&str, u64, &[&str], &[(&str, &str)])| {
        let source = source(SHARED, name);
        let mut headers: Vec<_> = source
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        let apis: Vec<_> = source.apis.iter().map(String::as_str).collect();
        let (url, seconds, chain, fields) = expected;
        assert_eq!((source.url.as_str(), source.timeout.as_secs()), (url, seconds), "{name}");
        assert_eq!((apis.as_slice(), headers.as_slice()), (chain, fields), "{name}");
        assert_eq!(source.every.max(), Duration::from_mins(1));
    };
    check(
        "all",
        (
            "https://desk.example/?v=2&c=1&d=1",
            5,
            &["desk", "company"],
            &[("accept", "a/own"), ("x-c", "c"), ("x-d", "d"), ("x-k", "own")],
        ),
    );
    check(
        "some",
        (
            "https://some.example/?v=1&c=1&d=1",
            1,
            &["company"],
            &[("accept", "a/company"), ("x-c", "c"), ("x-d", "d")],
        ),
    );
    check(
        "none",
        ("https://none.example/?v=0&d=1", 9, &[], &[("accept", "a/default"), ("x-d", "d")]),
    );
    assert_eq!(source(SHARED, "all").auth, Auth::Bearer(Secret::new("t")));
    assert_eq!(source(SHARED, "some").auth, Auth::Bearer(Secret::new("u")));
    assert_eq!(source(SHARED, "some").ignore.len(), 2);
    assert_eq!(source(SHARED, "all").ignore.len(), 1);
}

#[test]
fn what_is_shared_is_as_if_it_were_typed_in_each() {
    let shared = "defaults: {every: 1m}\napis: {a: {key: .id, items: .x}}\nsources: {s: {api: a, url: http://a/}}";
    let typed = "sources: {s: {every: 1m, key: .id, items: .x, url: http://a/}}";
    let (mut shared, typed) = (source(shared, "s"), source(typed, "s"));
    assert_eq!((shared.identity(), shared.comparison()), (typed.identity(), typed.comparison()));
    shared.common = Arc::new(Common { apis: Vec::new(), ..Common::clone(&shared.common) });
    assert_eq!(shared, typed);
}

#[test]
fn defaults_may_name_an_api_and_other_files_too() {
    let files = Given::default()
        .file("a.yaml", "apis: {a: {query: {a: 1}}}\nsources: {t: {url: http://t/, api: b}}")
        .file("b.yaml", "apis: {b: {query: {b: 1}}}\ndefaults: {api: a}");
    let text = "include: [a.yaml, b.yaml]\nsources: {s: {url: http://s/}}";
    let config = load_text(text, &files).unwrap_or_else(|problems| panic!("{problems}"));
    let urls: Vec<_> = config.sources.iter().map(|source| source.url.as_str()).collect();
    assert_eq!(urls, ["http://s/?a=1", "http://t/?b=1"]);
    let twice = files.file("c.yaml", "defaults: {every: 1m}");
    let problems = load_text("include: [a.yaml, b.yaml, c.yaml]", &twice).unwrap_err();
    assert!(problems.to_string().contains("`defaults` stands in another file"), "{problems}");
}

#[test]
fn a_reload_knows_whom_a_block_concerns() {
    let text = |every: &str| {
        format!(
            "apis: {{a: {{every: {every}}}}}\nsources: {{s: {{api: a, url: http://a/}}, t: {{url: http://b/}}}}"
        )
    };
    let roster = |every| {
        let config = valid(&text(every));
        Roster::new(config.sources, config.endpoints)
    };
    let found = plan(Some(&roster("1m")), &roster("2m"), &Known::default());
    let fates: Vec<_> = found.sources.iter().map(|row| (row.name.as_str(), &*row.keys)).collect();
    assert_eq!(fates, [("s", &["every".to_owned()][..]), ("t", &[])]);
}

#[test]
fn a_secret_shared_by_many_is_kept_once() {
    let mut text = String::from("apis: {a: {auth: {bearer: s3cret-token}}}\nsources:\n");
    for number in 0..1000 {
        writeln!(text, "  s{number}: {{ api: a, url: https://a.example/{number} }}").unwrap();
    }
    let config = valid(&text);
    assert_eq!((config.sources.len(), config.secrets.len()), (1000, 1));
}

#[test]
fn what_multiplies_is_refused() {
    let mut text = format!("defaults: {{ body: [{}] }}\nsources:\n", "1,".repeat(10_000));
    for number in 0..1000 {
        writeln!(text, "  s{number}: {{ url: https://a.example/{number} }}").unwrap();
    }
    let problems = read(&text).unwrap_err();
    assert!(problems.to_string().contains("too many values"), "{problems}");
    let mut chain = String::from("sources: {s: {url: http://a/, api: a0}}\napis:\n");
    for number in 0..20 {
        writeln!(chain, "  a{number}: {{ api: a{} }}", number + 1).unwrap();
    }
    let problems = read(&format!("{chain}  a20: {{}}\n")).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
    assert!(problems.to_string().contains("more than 16 blocks"), "{problems}");
}

#[test]
fn a_word_that_nothing_sets_is_a_warning() {
    let check = |keys: &str, expected: &[&str]| {
        let config = valid(&super::source_text(keys));
        let told: Vec<_> = config.warnings.0.iter().map(|one| one.sentence.as_str()).collect();
        assert_eq!(told, expected, "{keys}");
        assert!(config.warnings.0.iter().all(|one| one.severity == Severity::Warning));
    };
    check("headers: {A: '{{auth}}'}", &[]);
    check("query: {a: '{{page}}'}\npages: link\nkey: .id", &[]);
    check(
        "query: {a: '{{page}}'}\nheaders: {B: '{{key}}'}",
        &[
            "`{{page}}` is always null in a source without `pages`",
            "`{{key}}` is always null in a source without `for_each`",
        ],
    );
}

/// A template is told by what was typed; what is filled in is text, and its digests are those of the text.
#[test]
fn templates_are_read_as_typed() {
    let given = Given::default().variable("BRACES", "{{page}}").variable("PART", "x\\\"y");
    let keys = "query: {a: '${BRACES}', b: '${BRACES}{{page}}', c: '{{page + \"${PART}\"}}'}\nbody: {t: '{{page}}', u: '${BRACES}'}";
    let config = load_text(&super::source_text(keys), &given).unwrap();
    let page = json::text("p&q");
    let context = Context { page: Some(&page), ..Context::default() };
    let source = config.sources.first().unwrap();
    let address = source.address(&context).unwrap();
    assert_eq!(
        address.as_str(),
        "https://a.example/?a=%7B%7Bpage%7D%7D&b=%7B%7Bpage%7D%7Dp%26q&c=p%26qx%22y"
    );
    let request = source.request(&context, &address, None).unwrap();
    assert_eq!(request.body, r#"{"t":"p&q","u":"{{page}}"}"#);
    assert_eq!(request.headers["content-type"], "application/json");
    let identity = |keys: &str| source_of(keys).identity();
    assert_eq!(identity("query: {a: '{{page}}'}"), identity("query: {a: '{{page}}'}"));
    assert_ne!(identity("query: {a: '{{page}}'}"), identity("query: {a: '{{page|.}}'}"));
    assert_ne!(identity("body: {a: '{{page}}'}"), identity("body: {a: '{{since}}'}"));
    assert_eq!(identity("headers: {a: '{{page}}'}"), identity(""));
}

fn source_of(keys: &str) -> Source {
    Arc::unwrap_or_clone(valid(&super::source_text(keys)).sources.remove(0))
}

#[test]
fn what_was_put_into_a_url_is_shown_and_credentials_are_not() {
    let check = |keys: &str, url: &str, expected: &str| {
        let source = source_of(&format!("key: .id\n{keys}"));
        let url = format!("https://a.example/x{url}").parse().unwrap();
        assert_eq!(source.shown(&url), format!("https://a.example/x{expected}"), "{keys}");
    };
    check(
        "pages: {page: page, size: {per_page: 30}}",
        "?page=2&per_page=30&b=c",
        "?page=2&per_page=30&b=c",
    );
    check(
        "query: {page: 1, state: hush}\npages: {page: page}",
        "?page=2&state=hush",
        "?page=2&state=…",
    );
    check("pages: {cursor: .next, param: page_token}", "?page_token=abc", "?page_token=abc");
    check(
        "since: {from: .at, param: after}",
        "?after=2026-11-21T00%3A00",
        "?after=2026-11-21T00%3A00",
    );
    check(
        "query: {of: '{{since}}', x: 'hush{{since}}'}\nsince: {from: .at}",
        "?of=7&x=hush7",
        "?of=7&x=…",
    );
    check("auth: {query: {q: s3cret}}", "?q=s3cret", "?q=…");
    check("auth: {bearer: s3cret}\nquery: {a: '{{auth.bearer}}'}", "?a=s3cret", "?a=…");
    for name in
        ["api_key", "X-Amz-Signature", "access_token", "sig", "key", "PassWord", "client_secret"]
    {
        check("pages: link", &format!("?{name}=hush"), &format!("?{name}=…"));
    }
    let text =
        "sources: {s: {url: 'https://a.example/{{auth.bearer}}/x?y=1', auth: {bearer: s3cret}}}";
    let source = self::source(text, "s");
    let address = source.address(&Context::default()).unwrap();
    assert_eq!(address.as_str(), "https://a.example/s3cret/x?y=1");
    assert_eq!(source.shown(&address), "https://a.example/***?y=…");
    assert_eq!(source.url.shown(), "https://a.example/{{auth.bearer}}/x?…");
}

#[test]
fn sources_that_are_declared_alike_take_room_once() {
    let text = "sources: {a: {url: http://a/, key: .id}, b: {url: http://b/, key: .id}, \
        c: {url: http://c/, key: .x}, d: {url: http://d/, key: .id, events: [default]}}";
    let config = valid(text);
    let [a, b, c, d] = config.sources.as_slice() else { panic!("four sources") };
    for (one, other, expected) in [(a, b, true), (a, c, false), (a, d, true)] {
        assert_eq!(
            Arc::ptr_eq(&one.common, &other.common),
            expected,
            "{} {}",
            one.name,
            other.name
        );
        assert_ne!(one.identity(), other.identity());
        assert_ne!(one, other);
    }
}
