//! What valid files mean.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::{Given, endpoint_text, read, source_text, valid};
use crate::config::keys::{self, Key, Shape, Table};
use crate::config::lookup::Surroundings;
use crate::config::problem::Severity;
use crate::config::schema::schema;
use crate::config::server::Listen;
use crate::config::{Config, load, load_text};
use crate::core::auth::Auth;
use crate::core::endpoint::{Endpoint, Format, Order, Reshaping, Target};
use crate::core::entries::ForEach;
use crate::core::event::{EventRule, EventRules};
use crate::core::ids::SourceName;
use crate::core::jq::Expression;
use crate::core::json;
use crate::core::pages::Pages;
use crate::core::schedule::Every;
use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Naming, Scheme, SigningSecret};
use crate::core::source::{Brake, Deletes, FirstPoll, Source};
use crate::core::template::{Body, Node, Words};
use crate::core::time::Timestamp;

#[track_caller]
fn source(keys: &str) -> Source {
    Arc::unwrap_or_clone(valid(&source_text(keys)).sources.remove(0))
}

#[track_caller]
fn endpoint(keys: &str) -> Endpoint {
    valid(&endpoint_text(keys)).endpoints.remove(0)
}

#[test]
fn absent_keys_have_their_defaults() {
    let source = source("");
    assert_eq!(source.method, Method::GET);
    assert_eq!(source.url.as_str(), "https://a.example/");
    assert_eq!(source.every.min(), Duration::from_secs(30));
    assert_eq!(source.every.max(), Duration::from_mins(15));
    assert_eq!(source.timeout, Duration::from_secs(30));
    assert_eq!(source.body_bytes_max, 32 * 1024 * 1024);
    assert_eq!(source.backoff.first(), Duration::from_secs(1));
    assert_eq!(source.backoff.max(), Duration::from_mins(15));
    assert_eq!(source.first_poll, FirstPoll::Baseline);
    let brake = Brake { count: 50, percent: 20 };
    assert_eq!(source.deletes, Deletes::After { listings: 2, brake });
    assert_eq!(
        (source.auth.clone(), source.pages.clone(), source.items.clone()),
        (Auth::None, Pages::One, None)
    );
    assert!(source.headers.is_empty() && source.body == Body::default() && source.key.is_empty());
    assert_eq!(source.events, EventRules::Default);

    let endpoint = endpoint("url: https://b.example/hook\nsecret: s3cret");
    assert_eq!(endpoint.retry.backoff.first(), Duration::from_secs(5));
    assert_eq!(endpoint.retry.backoff.max(), Duration::from_hours(10));
    assert_eq!(endpoint.retry.give_up_after, Duration::from_hours(72));
    assert_eq!(endpoint.breaker.failures, 10);
    assert_eq!(endpoint.breaker.without_success_for, Duration::from_mins(1));
    assert_eq!(endpoint.timeout, Duration::from_secs(15));
    assert_eq!((endpoint.concurrency, endpoint.order), (8, Order::Item));
    assert_eq!(
        (endpoint.sign, endpoint.secrets),
        (Scheme::Standard, vec![Secret::new("s3cret").into()])
    );
    assert!(endpoint.subscription.wants("any.thing") && !endpoint.subscription.wants("doorbell.x"));

    let server = valid(&source_text("")).server;
    assert_eq!(server.listen, Listen::Tcp(([127, 0, 0, 1], 8600).into()));
    assert_eq!(server.token, None);
}

/// The tables' defaults are what the readers use: written out, they change nothing.
#[test]
fn defaults_can_be_written_out() {
    fn written(table: Table) -> String {
        let with_default = table.iter().filter(|key| !key.default.is_empty());
        let lines: Vec<_> =
            with_default.map(|key| format!("{}: {}\n", key.name, key.default)).collect();
        lines.concat()
    }
    assert_eq!(source(&written(keys::SOURCE)), source(""));
    let nested = |name: &str, table: Table| {
        let lines: Vec<_> = written(table).lines().map(str::to_owned).collect();
        format!("{name}: {{{}}}", lines.join(", "))
    };
    assert_eq!(source(&nested("backoff", keys::BACKOFF)), source(""));
    assert_eq!(source(&nested("deletes", keys::DELETES)), source(""));
    let plain = "url: https://b.example/hook\nsecret: s3cret\n";
    let with = |more: &str| endpoint(&format!("{plain}{more}"));
    assert_eq!(with(&written(keys::ENDPOINT)), with(""));
    assert_eq!(with(&nested("retry", keys::RETRY)), with(""));
    assert_eq!(with(&nested("breaker", keys::BREAKER)), with(""));
}

/// Every example of the tables is valid where it stands, and a wrong kind of value is noticed at every key.
#[test]
fn every_key_is_read() {
    let given = ["HELPDESK_TOKEN", "HELPDESK_PASSWORD", "HELPDESK_KEY", "SUPPORT_AGENT_SECRET"]
        .iter()
        .fold(Given::default(), |given, name| given.variable(name, "filled"))
        .file("internal-ca.pem", include_str!("../../../tests/cases/tls/ca.pem"));
    for key in keys::SOURCE.iter().filter(|key| key.supported && !key.example.is_empty()) {
        let more = if key.name == "pages" { "\nkey: .id" } else { "" };
        let typed = source_text(&format!("{}: {}{more}", key.name, key.example));
        let typed = if key.name == "url" { typed.replacen("    url", "    #", 1) } else { typed };
        let config = load_text(&typed, &given).unwrap_or_else(|problems| panic!("{problems}"));
        assert_ne!(
            config.sources,
            valid(&source_text(more)).sources,
            "`{}` does nothing",
            key.name
        );
    }
    let wrong = |key: &Key| match key.shape {
        Shape::List(_) | Shape::OneOrList(_) | Shape::Either(_) => "false",
        Shape::Anything => "",
        _ => "[[]]",
    };
    for key in keys::SOURCE.iter().filter(|key| key.name != "url") {
        let typed = source_text(&format!("{}: {}", key.name, wrong(key)));
        assert!(read(&typed).is_err(), "{typed}");
    }
    for key in keys::ENDPOINT.iter().filter(|key| key.name != "url") {
        let keys = format!("url: 'stdout:'\n{}: {}", key.name, wrong(key));
        assert!(read(&endpoint_text(&keys)).is_err(), "{keys}");
    }
}

#[test]
fn requests_are_as_typed() {
    let url = |keys: &str| source(keys).url.as_str().to_owned();
    assert_eq!(
        url("query: {q: a b&c, n: 1e3, yes: true, none: null, many: [1, x], z: 012}"),
        "https://a.example/?q=a+b%26c&n=1e3&yes=true&many=1&many=x&z=012"
    );
    assert_eq!(url("query: {}"), "https://a.example/");
    let text = source("method: POST\nbody: 'a=b'");
    assert_eq!((text.method.clone(), text.body.clone()), (Method::POST, Body::Fixed("a=b".into())));
    assert!(text.headers.is_empty());
    let json = source("body: {z: [1, 1.50, \"a\\\"b\", null, true], a: {}, 012x: '012'}");
    let expected = r#"{"z":[1,1.50,"a\"b",null,true],"a":{},"012x":"012"}"#;
    assert_eq!(json.body, Body::Fixed(expected.into()));
    assert_eq!(json.headers["content-type"], "application/json");
    let own = source("body: [1]\nheaders: {Content-Type: application/x-own, X-Number: 7}");
    assert_eq!(own.headers["content-type"], "application/x-own");
    assert_eq!(own.headers["x-number"], "7");
    assert!(own.headers.values().next().unwrap().is_sensitive());
}

#[test]
fn credentials_are_read() {
    let secret = Secret::new;
    assert_eq!(source("auth: {bearer: abc}").auth, Auth::Bearer(secret("abc")));
    let basic = Auth::Basic { user: "me".into(), password: secret("12345") };
    assert_eq!(source("auth: {basic: {user: me, password: 12345}}").auth, basic);
    let header = Auth::Header(vec![("x-key".parse().unwrap(), secret("no"))]);
    assert_eq!(source("auth: {header: {X-Key: no}}").auth, header);
    let query = Auth::Query(vec![("api_key".into(), secret("a&b"))]);
    assert_eq!(source("auth: {query: {api_key: a&b}}").auth, query);
}

#[test]
fn sources_are_read() {
    let every = |text: &str| source(&format!("every: {text}")).every;
    assert_eq!(every("5m"), Every::Fixed(Duration::from_mins(5)));
    assert_eq!(every("5m..5m"), Every::Fixed(Duration::from_mins(5)));
    let range = Every::Range { min: Duration::from_secs(90), max: Duration::from_hours(2) };
    assert_eq!(every("1m30s..2h"), range);
    let listed = source("key: [.a, .b]\nitems: .tickets\nignore: .seen\npages: link");
    let texts = |expressions: &[crate::core::jq::Expression]| -> Vec<String> {
        expressions.iter().map(|expression| expression.text().to_owned()).collect()
    };
    assert_eq!(texts(&listed.key), [".a", ".b"]);
    assert_eq!(texts(&listed.ignore), [".seen"]);
    assert_eq!(listed.items.clone().unwrap().text(), ".tickets");
    assert!(matches!(listed.pages, Pages::Link { pages_max: 10_000 }));
    let few = source("key: .id\npages: {link: true, max: 3}");
    assert_eq!(few.pages, Pages::Link { pages_max: 3 });
    assert_eq!(source("deletes: off").deletes, Deletes::Off);
    let brake = Brake { count: 0, percent: 20 };
    let deletes = source("deletes: {after: 3, brake: {count: 0}}").deletes;
    assert_eq!(deletes, Deletes::After { listings: 3, brake });
    assert_eq!(source("first_poll: emit").first_poll, FirstPoll::Emit);
    assert_eq!(source("max_body: 500KB").body_bytes_max, 500_000);
}

#[test]
fn event_rules_are_read() {
    use crate::core::diff::ChangeKind::{Created, Deleted, Updated};
    let rule = |event_type: &str, on: &[_]| EventRule {
        event_type: event_type.to_owned(),
        on: on.to_vec(),
        changed: Vec::new(),
        when: None,
        data: None,
    };
    let events = source(
        "events: [default, {type: a, on: created}, {type: b, on: [updated, deleted]}, {type: c}]",
    );
    let mut rules = EventRules::default_rules(&SourceName::new("s"));
    rules.extend([rule("a", &[Created]), rule("b", &[Updated, Deleted])]);
    rules.push(rule("c", &[Created, Updated, Deleted]));
    assert_eq!(events.events, EventRules::Declared(rules));
}

#[test]
fn endpoints_say_what_they_are_sent() {
    let with = |keys: &str| endpoint(&format!("url: http://b.example/\nsign: none\n{keys}"));
    assert_eq!(with("").method, Method::POST);
    assert_eq!((with("").body, with("").where_), (None, None));
    assert_eq!(with("").content_type, "application/json");
    assert_eq!(with("method: PUT").method, Method::PUT);
    assert_eq!(with("method: PATCH").method, Method::PATCH);
    for (word, format) in [
        ("standard", Format::Standard),
        ("cloudevents", Format::CloudEvents),
        ("cloudevents-binary", Format::CloudEventsBinary),
    ] {
        assert_eq!(with(&format!("format: {word}")).format, format);
    }
    let jq = |text: &str| Some(Expression::parse(text).unwrap());
    assert_eq!(with("where: .data.n > 1").where_, jq(".data.n > 1"));
    assert_eq!(with("body: .data").body, jq(".data").map(Reshaping::Jq));
    assert_eq!(with("body: '{a: .type}'").body, jq("{a: .type}").map(Reshaping::Jq));
    let tree = |keys: &str| match with(keys).body {
        Some(Reshaping::Template(node)) => node,
        other => panic!("{keys}: {other:?}"),
    };
    let fixed = Node::Fixed(String::from(r#"{"a":1.10,"b":["x",null]}"#));
    assert!(tree("body: {a: 1.10, b: [x, null]}") == fixed);
    let rendered = |keys: &str| {
        let event = json::read(r#"{"type":"t","data":{"n":1.10}}"#).unwrap();
        tree(keys).json(&Words::over(event)).unwrap()
    };
    let spelt = "body: { z: '{{.data.n}}', a: 'is {{.type}}', none: '{{.x}}', each: ['{{.data}}'], '{': 1 }";
    assert_eq!(rendered(spelt), r#"{"z":1.10,"a":"is t","each":[{"n":1.10}],"{":1}"#);
    assert_eq!(rendered("body: ['{{.type}}']"), r#"["t"]"#);
    let typed = with("content_type: text/plain; charset=utf-8").content_type;
    assert_eq!(typed, "text/plain; charset=utf-8");
    // One place for it, whichever way it was typed.
    let among = with("headers: {Content-Type: application/x+json, X-A: b}");
    assert_eq!(among.content_type, "application/x+json");
    assert_eq!(among.headers.len(), 1);
}

#[test]
fn what_is_filled_into_a_body_is_a_secret() {
    let given = Given::default().variable("PD", "rou\"ting-k3y").variable("PLAIN", "pl4in-k3y");
    let secrets = |body: &str| {
        let text = endpoint_text(&format!("url: http://b.example/\nsign: none\nbody: {body}"));
        load_text(&text, &given).unwrap().secrets
    };
    let map = "{ routing_key: '${PD}', token: literal-t0ken-x, key: hello-everyone, note: hello-everybody }";
    for (body, secret, expected) in [
        (map, "rou\"ting-k3y", true),
        // As it stands in JSON.
        (map, r#"rou\"ting-k3y"#, true),
        (map, "literal-t0ken-x", true),
        (map, "hello-everyone", false),
        (map, "hello-everybody", false),
        ("'{k: \"${PLAIN}\"}'", "pl4in-k3y", true),
    ] {
        let found = secrets(body).iter().any(|known| known.expose() == secret);
        assert_eq!(found, expected, "{secret}");
    }
}

#[test]
fn endpoints_are_read() {
    let stdout = endpoint("url: 'stdout:'");
    assert_eq!((stdout.target, stdout.secrets.len()), (Target::Stdout, 0));
    let sign =
        |text: &str| endpoint(&format!("url: http://b.example/\nsecret: abc\nsign: {text}")).sign;
    assert_eq!(sign("none"), Scheme::None);
    for word in keys::SIGN_WORDS.iter().filter(|word| word.text != "standard-ed25519") {
        assert_eq!(sign(word.text).name(), word.text);
    }
    let labels = |typed: &str| {
        let scheme = sign(typed);
        let labels = scheme.labels().iter().map(|(name, it)| (name.to_string(), it.is_fixed()));
        labels.collect::<Vec<_>>()
    };
    assert_eq!(labels("github"), []);
    assert_eq!(labels("{github: {event: issues}}"), [("x-github-event".into(), true)]);
    let typed =
        "{shopify: {topic: '{{.type}}s', shop_domain: a.myshopify.com, api_version: 2026-10}}";
    let expected = [("topic", false), ("shop-domain", true), ("api-version", true)]
        .map(|(name, fixed)| (format!("x-shopify-{name}"), fixed));
    assert_eq!(labels(typed), expected);
    let naming = |label: &str, key_ids: &[&str]| {
        let key_ids = key_ids.iter().copied().map(String::from).collect();
        Scheme::HttpMessage(Naming { label: label.into(), key_ids, tag: None })
    };
    assert_eq!(sign("http-message-signatures"), naming("sig1", &[]));
    assert_eq!(sign("{http-message-signatures: {keyid: a}}"), naming("sig1", &["a"]));
    assert_eq!(sign("{http-message-signatures: {label: bell}}"), naming("bell", &[]));
    let custom = Scheme::Custom {
        header: "x-signature".parse().unwrap(),
        prefix: "sha256=".into(),
        encoding: Encoding::Base64,
        timestamp_header: Some("x-time".parse().unwrap()),
    };
    let typed =
        "{header: X-Signature, prefix: sha256=, encoding: base64, timestamp_header: X-Time}";
    assert_eq!(sign(typed), custom);
    let secrets = endpoint("url: http://b.example/\nsecret: [new, old]").secrets;
    assert_eq!(secrets, [Secret::new("new").into(), Secret::new("old").into()]);
    for (until, millis) in [
        ("2026-12-01", 1_796_083_200_000),
        ("2026-12-01T08:00:00.5Z", 1_796_112_000_500),
        ("2026-12-01T08:00:00+02:00", 1_796_104_800_000),
    ] {
        let typed =
            format!("url: http://b.example/\nsecret: [new, {{secret: old, until: {until}}}]");
        let old = endpoint(&typed).secrets.pop().unwrap();
        let until = Some(Timestamp::from_millis(millis));
        assert_eq!(old, SigningSecret { secret: Secret::new("old"), until });
    }
    let only = endpoint("url: 'stdout:'\nevents: ticket.*").subscription;
    assert!(only.wants("ticket.created") && !only.wants("order.created"));
    endpoint("url: http://b.example/\nsecret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    endpoint("url: http://b.example/\nsecret: whsec_not base64\nsign: github");
    // A private key that is taken as a text is worth a word.
    let typed = endpoint_text("url: http://b.example/\nsecret: whsk_abc");
    assert_eq!(valid(&typed).warnings.0.len(), 1);
    endpoint("url: http://b.example/\nsign: none");
}

#[test]
fn listen_addresses_are_read() {
    let listen = |text: &str| {
        valid(&format!("server: {{listen: '{text}'}}\n{}", source_text(""))).server.listen
    };
    assert_eq!(listen("off"), Listen::Off);
    assert_eq!(
        listen("unix:/run/doorbell/api.sock"),
        Listen::Unix("/run/doorbell/api.sock".into())
    );
    assert_eq!(listen("localhost:1"), Listen::Tcp(([127, 0, 0, 1], 1).into()));
    assert_eq!(listen("[::1]:0"), Listen::Tcp("[::1]:0".parse().unwrap()));
    let open = format!("server: {{listen: '0.0.0.0:80', token: abc}}\n{}", source_text(""));
    assert_eq!(valid(&open).server.token, Some(Secret::new("abc")));
}

#[test]
fn values_are_filled_in_from_outside() {
    let given = Given::default()
        .variable("HOST", "a.example")
        .variable("EMPTY", "")
        .variable("N", "3")
        .variable("STRUCTURE", "x, timeout: 1s}\nendpoints: {")
        .variable("CREDENTIALS_DIRECTORY", "/creds")
        .file("conf/token.txt", "s3cret-token\r\n")
        .file("/creds/key", "s3cret-key\n")
        .file("/abs/world", "readable\n")
        .file("conf/sources.yaml", "sources:\n  s:\n    url: https://${HOST}/${env:EMPTY}${EMPTY:-dflt}?a=$HOST\n    method: PO${STRUCTURE:-X}\n    headers: {A: '${STRUCTURE:-}', B: '${file:/abs/world}'}\n    auth: {header: {T: '${file:token.txt}', K: '${cred:key}'}}\n    deletes: {after: \"${N}\"}\n");
    let problems = load(Path::new("conf/sources.yaml"), &given).unwrap_err();
    assert!(problems.0.iter().all(|problem| problem.line == 4 || problem.line == 5), "{problems}");
    let given = given.variable("STRUCTURE", "ST");
    let config = load(Path::new("conf/sources.yaml"), &given).unwrap();
    let source = &config.sources[0];
    assert_eq!(source.url.as_str(), "https://a.example/dflt?a=$HOST");
    assert_eq!(source.method.as_str(), "POST");
    let Auth::Header(fields) = &source.auth else { panic!("{:?}", source.auth) };
    let texts: Vec<_> = fields.iter().map(|(_, secret)| secret.expose()).collect();
    assert_eq!(texts, ["s3cret-token", "s3cret-key"]);
    for secret in ["s3cret-token", "s3cret-key", "a.example"] {
        assert!(config.secrets.contains(&Secret::new(secret)), "{secret} is not redacted");
    }
    let debug = format!("{config:?}");
    assert!(!debug.contains("s3cret"), "{debug}");
    let [warning] = config.warnings.0.as_slice() else { panic!("{}", config.warnings) };
    assert_eq!((warning.severity, warning.line), (Severity::Warning, 5));
}

#[test]
fn literal_secrets_are_redacted_too() {
    let text = endpoint_text(
        "url: http://b.example/\nsecret: [new-s3cret, old-s3cret]\nheaders: {X-Token: tok-s3cret}",
    )
    .replace(
        "a.example/}",
        "a.example/, auth: {bearer: bearer-s3cret}, query: {api_key: key-s3cret}}",
    );
    let config = valid(&text);
    for secret in ["new", "old", "tok", "bearer", "key"] {
        let secret = Secret::new(format!("{secret}-s3cret"));
        assert!(config.secrets.contains(&secret), "{} is not redacted", secret.expose());
    }
}

#[test]
fn merge_keys_and_aliases_are_expanded() {
    let config = valid(
        "sources:\n  a: &a {url: http://a/, every: &pace 5m, timeout: 1s}\n  b: {<<: *a, timeout: 2s}\n  c: {url: http://c/, every: *pace}\n  d: {timeout: 9s, <<: [{every: 1m}, *a]}\n",
    );
    let facts: Vec<_> =
        config.sources.iter().map(|s| (s.every.min().as_secs(), s.timeout.as_secs())).collect();
    assert_eq!(facts, [(300, 1), (300, 2), (300, 30), (60, 9)]);
}

fn of_the_project() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sources.yaml");
    load(&path, &Surroundings).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_example_is_valid_and_polite() {
    let config = of_the_project();
    assert_eq!(config.sources.len(), 3);
    for source in &config.sources {
        assert!(source.every.min() >= Duration::from_mins(5), "{} is asked too often", source.name);
        assert!(source.url.as_str().starts_with("https://"));
    }
    assert!(config.endpoints.iter().any(|endpoint| endpoint.target == Target::Stdout));
    assert!(config.warnings.0.is_empty());
}

/// Word by word, so that `for` in a comment's prose does not count for the key: a key is followed by a colon.
#[test]
fn pages_are_as_typed() {
    let check = |typed: &str, expected: &str| {
        let query = if typed.contains("next:") { "query: {p: \"{{page}}\"}\n" } else { "" };
        let pages = source(&format!("{query}key: .id\npages: {typed}")).pages.clone();
        assert_eq!(format!("{pages:?}"), expected, "{typed}");
    };
    check("link", "Link { pages_max: 10000 }");
    check("{next: .body.next, max: 7}", "General { next: .body.next, pages_max: 7 }");
    check("{next_url: .next}", "NextUrl { next_url: .next, pages_max: 10000 }");
    check(
        "{cursor: .next, param: after}",
        "Cursor { cursor: Cursor { cursor: .next, param: \"after\" }, pages_max: 10000 }",
    );
    check(
        "{page: p}",
        "Number { number: Number { param: \"p\", start: 1, size: None, last: None }, pages_max: 10000 }",
    );
    check(
        "{page: p, start: 0, size: {per: 5}, last: .last}",
        "Number { number: Number { param: \"p\", start: 0, size: Some(Size { param: \"per\", count: 5 }), \
         last: Some(.last) }, pages_max: 10000 }",
    );
    check(
        "{offset: o}",
        "Offset { offset: Offset { param: \"o\", start: 0, limit: None, total: None }, pages_max: 10000 }",
    );
    check(
        "{offset: o, start: 1, limit: {n: \"20\"}, total: .all}",
        "Offset { offset: Offset { param: \"o\", start: 1, limit: Some(Size { param: \"n\", count: 20 }), \
         total: Some(.all) }, pages_max: 10000 }",
    );
}

/// Larger pages, or more of them, are the same listing; another way through it may be another one.
#[test]
fn the_size_of_pages_is_no_part_of_the_identity() {
    let identity = |pages: &str| {
        let typed = format!("query: {{p: \"{{{{page}}}}\"}}\nkey: .id\npages: {pages}");
        source(&typed).identity()
    };
    assert_eq!(identity("link"), identity("{link: true, max: 3}"));
    let sized = "{page: p, size: {per_page: 50}, max: 3}";
    assert_eq!(identity("{page: p, size: {per_page: 100}}"), identity(sized));
    assert_eq!(identity("{offset: o}"), identity("{offset: o, limit: {limit: 9}}"));
    let others = ["link", "{next: .a}", "{next_url: .a}", "{cursor: .a, param: p}", "{page: p}"];
    let others = others.iter().chain(&["{page: p, start: 0}", "{page: q}", "{offset: o}"]);
    let all: Vec<_> = others.map(|pages| identity(pages)).collect();
    for (at, one) in all.iter().enumerate() {
        assert!(!all.iter().take(at).any(|other| other == one), "number {at} is like one before");
    }
}

#[test]
fn the_example_mentions_every_key_and_word() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sources.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let words: BTreeSet<&str> =
        text.split(|c: char| c.is_whitespace() || "{}[](),`\"'".contains(c)).collect();
    for table in keys::TABLES {
        for key in table.iter().filter(|key| key.supported) {
            let typed = format!("{}:", key.name);
            assert!(words.contains(typed.as_str()), "sources.yaml does not mention `{typed}`");
        }
    }
    let words_of = [
        keys::PAGES_WORDS,
        keys::DELETES_WORDS,
        keys::FIRST_POLL,
        keys::RULE_WORDS,
        keys::CHANGES,
        keys::SIGN_WORDS,
        keys::ENCODINGS,
        keys::ORDER,
    ];
    for word in words_of.iter().copied().flatten().filter(|word| word.supported) {
        assert!(words.contains(word.text), "sources.yaml does not mention `{}`", word.text);
    }
}

#[test]
fn the_schema_has_every_supported_key_and_no_other() {
    fn names(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
            assert_eq!(schema["additionalProperties"], false);
            for property in properties.values() {
                assert!(property["description"].as_str().is_some_and(|doc| !doc.is_empty()));
            }
        }
        let inner: Vec<&serde_json::Value> = match schema {
            serde_json::Value::Object(entries) => entries.values().collect(),
            serde_json::Value::Array(entries) => entries.iter().collect(),
            _ => Vec::new(),
        };
        for schema in inner {
            names(schema, found);
        }
    }
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut found = BTreeSet::new();
    names(&schema, &mut found);
    let supported: BTreeSet<String> = keys::TABLES
        .iter()
        .copied()
        .flatten()
        .filter(|key| key.supported)
        .map(|key| key.name.to_owned())
        .collect();
    assert_eq!(found, supported);
    let source = &schema["properties"]["sources"]["additionalProperties"];
    assert_eq!(source["required"], serde_json::json!(["url"]));
    assert_eq!(source["properties"]["every"]["default"], "30s..15m");
    let text = schema.to_string();
    assert!(text.contains("stripe") && text.contains("oauth2"), "{text}");
}

#[test]
fn entries_are_read() {
    let each =
        |typed: &str| source(&format!("for_each: {typed}")).for_each.clone().expect("it is set");
    let of_list = |typed: &str| match each(typed) {
        ForEach::List(list) => list
            .iter()
            .map(|(key, item)| (key.to_string(), item.as_str().to_owned()))
            .collect::<Vec<_>>(),
        other @ ForEach::Source { .. } => panic!("{other:?}"),
    };
    let pairs = |list: &[(&str, &str)]| {
        list.iter().map(|(key, item)| ((*key).to_owned(), (*item).to_owned())).collect::<Vec<_>>()
    };
    for (typed, expected) in [
        ("[b, a]", &[("a", r#""a""#), ("b", r#""b""#)][..]),
        ("[1, 2.50, '007']", &[("007", r#""007""#), ("1", "1"), ("2.5", "2.50")]),
        ("{list: [{id: 1, at: x}], key: .id}", &[("1", r#"{"id":1,"at":"x"}"#)]),
        ("{list: [a/b]}", &[("a/b", r#""a/b""#)]),
    ] {
        assert_eq!(of_list(typed), pairs(expected), "{typed}");
    }
    let text = "sources:\n  orders: {url: http://a/, key: .id}\n  parcels: {url: 'http://a/{{key}}', for_each: {source: orders, where: .open}}";
    let config = valid(text);
    let parcels = config.sources.iter().find(|source| source.name.as_str() == "parcels").unwrap();
    let Some(ForEach::Source { name, condition: Some(condition) }) = &parcels.for_each else {
        panic!("{:?}", parcels.for_each)
    };
    assert_eq!((name.as_str(), condition.text()), ("orders", ".open"));
    assert!(config.warnings.0.is_empty());
    let until = valid("sources: {jobs: {url: http://a/, key: .id, until: .done}}");
    assert_eq!(until.warnings.0.len(), 1);
    let file = source("until: .done").url;
    assert!(file.as_str().starts_with("https:"));
    let file = valid("sources: {list: {url: 'file:/srv/list.json', key: .}}");
    assert_eq!(file.sources[0].url.as_str(), "file:///srv/list.json");
}

#[test]
fn half_a_backoff_moves_the_other_half() {
    let check = |written: &str, first: Duration, max: Duration| {
        let backoff = source(&format!("backoff: {{ {written} }}")).backoff;
        assert_eq!((backoff.first(), backoff.max()), (first, max), "{written}");
    };
    check("max: 500ms", Duration::from_millis(500), Duration::from_millis(500));
    check("max: 1h", Duration::from_secs(1), Duration::from_hours(1));
    check("first: 20m", Duration::from_mins(20), Duration::from_mins(20));
    check("first: 2s", Duration::from_secs(2), Duration::from_mins(15));
}
