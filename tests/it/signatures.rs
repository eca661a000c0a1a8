//! How webhooks are signed: every example of `docs/signatures.md` as it is printed, verified by `doorbell listen`; rotation;
//! what profiles name; test events. What the official libraries say of it is in `real/verifiers.rs`.

use serde_json::{Value, json};

use crate::support::program::Program;
use crate::support::scene::items;
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Receiver, Reply, Script};

/// The book.
pub(crate) const BOOK: &str = include_str!("../../docs/signatures.md");

/// A private key, its public half, and another pair's.
pub(crate) const PRIVATE: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
pub(crate) const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// The endpoints of the book's examples, as they are printed, without the line `endpoints:`.
pub(crate) fn examples() -> Vec<&'static str> {
    let blocks = BOOK.split("```yaml\nendpoints:\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// The example of an endpoint by its name.
pub(crate) fn example(name: &str) -> &'static str {
    let found = examples().into_iter().find(|it| it.starts_with(&format!("  {name}:\n")));
    found.unwrap_or_else(|| panic!("the book has no endpoint {name}"))
}

/// A source that there is, and no more.
const SOURCES: &str = "sources: { orders: { url: 'https://shop.example/orders', paused: true } }";

/// A command that listens, and where.
fn listen(daemon: &Daemon, arguments: &[&str]) -> (Program, String) {
    let arguments = [&["listen"], arguments].concat();
    let listener = Program::start(daemon.command(arguments));
    let greeting = listener.line_with("Listening on ");
    let url = greeting.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
    (listener, url)
}

fn orders(api: &ApiServer) -> String {
    format!("sources:\n  orders: {{ url: '{}', key: .id, every: 100ms }}\n", api.url())
}

/// The JSON objects among the lines that a program printed.
fn hits(listener: &Program) -> Vec<Value> {
    listener.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn every_example_of_the_book_is_verified() {
    const SCHEMES: &[(&str, &str, &str)] = &[
        ("AGENT_SECRET", "standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("PARTNER_KEY", "standard-ed25519", PRIVATE),
        ("BOT_SECRET", "github", "for the bot"),
        ("BILLING_SECRET", "stripe", "whsec_for billing"),
        ("FULFILMENT_SECRET", "shopify", "for fulfilment"),
        ("CHANNEL_SECRET", "slack", "for the channel"),
        ("BANK_SECRET", "http-message-signatures", "for the bank"),
        ("SCRIPT_SECRET", "x-signature", "for the script"),
        ("NEW_SECRET", "standard", "the new one"),
    ];
    let api = ApiServer::with_items(json!([]));
    let mut daemon = Daemon::new("");
    let mut arguments = vec!["--json"];
    for (name, _, secret) in SCHEMES {
        daemon.set_env(name, secret);
        arguments.extend(["--secret", if *secret == PRIVATE { PUBLIC } else { secret }]);
    }
    daemon.set_env("OLD_SECRET", "the old one");
    let (listener, url) = listen(&daemon, &arguments);
    let printed: String = examples().concat();
    assert_eq!(printed.matches("    url: https://").count(), SCHEMES.len());
    let lines = printed.lines().map(|line| match line.split_once("https://") {
        Some((before, there)) => format!("{before}{url}/{}\n", there.split_once('/').unwrap().1),
        None => format!("{line}\n"),
    });
    let endpoints: String = lines.collect();
    daemon.write_config(&format!("{}endpoints:\n{endpoints}", orders(&api)));
    daemon.start();
    daemon.wait_until_polled("orders");
    api.set_items(items(1));
    daemon.wait_until("every endpoint being rung", |_| hits(&listener).len() >= SCHEMES.len());
    let hits = hits(&listener);
    assert_eq!(hits.len(), SCHEMES.len(), "{hits:#?}");
    let at = |path: &str| {
        let found = hits.iter().find(|hit| hit["path"] == format!("/hooks/{path}"));
        found.unwrap_or_else(|| panic!("nothing came to {path}: {hits:#?}"))
    };
    for hit in &hits {
        assert_eq!((&hit["verified"], &hit["status"]), (&json!(true), &json!(200)), "{hit}");
        assert!(SCHEMES.iter().any(|(_, scheme, _)| hit["scheme"] == *scheme), "{hit}");
    }
    for (path, scheme) in [
        ("ed25519", "standard-ed25519"),
        ("messages", "http-message-signatures"),
        ("own", "x-signature"),
    ] {
        assert_eq!(at(path)["scheme"], scheme);
    }
    let event = &at("stripe")["body"];
    assert_eq!((&event["object"], &event["type"]), (&json!("event"), &json!("orders.created")));
    assert_eq!(event["data"], json!({ "object": { "id": 1, "status": "new" } }));
    let created = event["created"].as_i64().unwrap();
    assert_eq!(at("slack")["body"]["event_time"], created);
    let detected = &at("standard")["body"]["timestamp"];
    let detected: jiff::Timestamp = detected.as_str().unwrap().parse().unwrap();
    assert_eq!(detected.as_second(), created);
    assert!(daemon.term().success());
}

/// A daemon with one endpoint that has these keys, and what came of a new order.
fn one_ring(keys: &str) -> (Receiver, Daemon) {
    let (api, receiver) = (ApiServer::with_items(items(1)), Receiver::start());
    let config = orders(&api);
    let url = receiver.url();
    let mut daemon =
        Daemon::run(&format!("{config}endpoints:\n  desk: {{ url: '{url}', {keys} }}\n"));
    daemon.wait_until_polled("orders");
    api.set_items(items(2));
    daemon.wait_until("a settled delivery", |daemon| {
        let rows = daemon.cli_json(&["deliveries"]);
        rows.as_array().unwrap().iter().any(|row| row["status"] != "pending")
    });
    (receiver, daemon)
}

/// Only where a scheme has room for several signatures do several secrets sign, and none after its end.
#[test]
fn secrets_sign_together_where_they_can_and_until_their_end() {
    let check = |secret: &str, sign: &str, header: &str, between: &str, count: usize| {
        let (receiver, _daemon) = one_ring(&format!("secret: {secret}, sign: {sign}"));
        let ledger = receiver.ledger();
        let value = ledger.rings[0].received.header(header).unwrap().to_owned();
        assert_eq!(value.matches(between).count(), count, "{secret} {sign}: {value}");
    };
    let both = "[new, old]";
    check(both, "standard", "webhook-signature", "v1,", 2);
    check("[new, { secret: old, until: 2020-01-01 }]", "standard", "webhook-signature", "v1,", 1);
    check("[new, { secret: old, until: 2099-01-01 }]", "stripe", "stripe-signature", "v1=", 2);
    let private = format!("['{PRIVATE}', old]");
    check(&private, "standard-ed25519", "webhook-signature", "v1a,", 1);
    check(&private, "http-message-signatures", "signature-input", "keyid=", 2);
    check(both, "github", "x-hub-signature-256", "sha256=", 1);
}

/// What a profile names comes out of the event; where that fails, nothing is sent and nothing is lost.
#[test]
fn what_a_profile_names_is_the_events() {
    let sign = |event: &str| format!("secret: any, sign: {{ github: {{ event: '{event}' }} }}");
    let (receiver, _daemon) = one_ring(&sign("{{.data.status}}-{{.data.id}}"));
    let ledger = receiver.ledger();
    assert_eq!(ledger.rings[0].received.header("x-github-event"), Some("new-2"));

    let (receiver, daemon) = one_ring(&sign("{{.data.id.x}}"));
    let rows = daemon.cli_json(&["deliveries"]);
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    let row = &rows[0];
    assert_eq!(row["status"], "exhausted", "{row}");
    let shown = daemon.cli(&["deliveries", "show", row["id"].as_str().unwrap()]);
    assert!(shown.stdout.contains("the header `x-github-event` fails"), "{}", shown.stdout);
    assert!(receiver.ledger().rings.is_empty());
}

#[test]
fn a_secret_is_rotated_by_one_of_its_kind() {
    let made = Daemon::new("").cli_json(&["secret", "--ed25519"]);
    let pair = made["secret"].as_str().unwrap();
    let daemon = Daemon::new(&format!(
        "{SOURCES}\nendpoints:\n  shop: {{ url: 'https://s.example/hook', secret: hush, sign: github }}\n  \
         keys: {{ url: 'https://k.example/hook', secret: '{pair}', sign: standard-ed25519 }}\n  \
         log: {{ url: 'file:rung.ndjson' }}\n"
    ));
    let before = std::fs::read(daemon.config_path()).unwrap();
    for (name, prefix) in [("shop", "whsec_"), ("keys", "whsk_")] {
        let new = daemon.cli(&["endpoints", "rotate-secret", name]);
        assert_eq!((new.code, new.stdout.lines().count()), (Some(0), 1), "{new:?}");
        assert!(new.stdout.starts_with(prefix) && new.stdout.trim() != pair, "{new:?}");
        assert!(new.stderr.contains(&format!("declares {name}, write `secret: [NEW,")), "{new:?}");
        let again = daemon.cli_json(&["endpoints", "rotate-secret", name]);
        assert_ne!(again["secret"].as_str().unwrap(), new.stdout.trim());
    }
    let none = daemon.cli(&["endpoints", "rotate-secret", "log"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("log has no secret"), "{none:?}");
    assert_eq!(std::fs::read(daemon.config_path()).unwrap(), before, "the file is the operator's");
}

#[test]
fn a_pair_of_keys_is_made_and_its_public_half_shown_again() {
    let daemon = Daemon::new("sources: {}\n");
    let made = daemon.cli(&["secret", "--ed25519"]);
    assert_eq!((made.code, made.stdout.lines().count()), (Some(0), 1), "{made:?}");
    let private = made.stdout.trim();
    let public = made.stderr.split_whitespace().find(|word| word.starts_with("whpk_")).unwrap();
    let pair = daemon.cli_json(&["secret", "--ed25519"]);
    assert!(pair["secret"].as_str().unwrap().starts_with("whsk_"));
    assert!(pair["public"].as_str().unwrap().starts_with("whpk_"));
    assert!(daemon.cli_json(&["secret"]).get("public").is_none());
    let keys = format!("secret: '{private}', sign: standard-ed25519");
    daemon.write_config(&format!(
        "{SOURCES}\nendpoints: {{ partner: {{ url: 'https://p.example/hook/token', {keys} }} }}\n"
    ));
    let row = daemon.cli_json(&["endpoints", "show", "partner"]);
    assert_eq!(row["public_keys"], json!([public]));
    assert_eq!(
        (&row["sign"], &row["url"]),
        (&json!("standard-ed25519"), &json!("https://p.example/…"))
    );
    let shown = daemon.cli(&["endpoints", "show", "partner"]);
    assert!(shown.stdout.contains(public) && !shown.stdout.contains(private), "{}", shown.stdout);
    assert_eq!(daemon.cli(&["endpoints", "show", "nobody"]).code, Some(2));
    assert!(!daemon.state_path().exists(), "looking made a state");
}

/// A test event is signed as any other, shows what was asked and answered, and is nobody's business afterwards.
#[test]
fn a_test_event_shows_request_answer_and_timing() {
    let receiver = Script::start(|received| match received.path() {
        "/good/token" => Reply::json(&json!({ "received": true })),
        _ => Reply::status(503),
    });
    let (good, bad) = (receiver.url_of("/good/token"), receiver.url_of("/bad"));
    let mut daemon = Daemon::new(&format!(
        "
{SOURCES}
endpoints:
  good: {{ url: '{good}', secret: s3cret-canary, sign: stripe, events: [order.*], headers: {{ X-Team: a }} }}
  bad: {{ url: '{bad}', secret: s3cret-canary, auth: {{ bearer: t0ken-canary }} }}
  picky: {{ url: '{good}', secret: any, where: .data.n > 1, body: {{ n: '{{{{.data.n + 1}}}}' }} }}
  failing: {{ url: '{good}', secret: any, body: .data.id.x }}
"
    ));
    // Without a daemon and a state, and with both.
    for runs in [false, true] {
        if runs {
            daemon.start();
        }
        let shown = daemon.cli(&["endpoints", "test", "good"]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        for words in [
            "POST http://127.0.0.1:",
            "/…",
            "x-team: a",
            "stripe-signature: t=",
            "→ 200, ",
            " ms",
            "received",
        ] {
            assert!(shown.stdout.contains(words), "no {words:?} in {}", shown.stdout);
        }
        assert!(shown.stdout.contains("\"type\": \"order.test\""), "{}", shown.stdout);
        let shown = daemon.cli(&["endpoints", "test", "bad"]);
        assert_eq!(shown.code, Some(1), "{shown:?}");
        assert!(shown.stdout.contains("authorization: …") && shown.stdout.contains("→ 503"));
        assert!(shown.stderr.contains("the receiver answered 503"), "{}", shown.stderr);
        assert!(!format!("{shown:?}").contains("canary"), "{shown:?}");
        let shown = daemon.cli(&["endpoints", "test", "failing"]);
        assert_eq!(shown.code, Some(1), "{shown:?}");
        assert!(shown.stderr.contains("`body` fails"), "{}", shown.stderr);
        let test = ["endpoints", "test", "picky", "--type", "a.b", "--data", "{\"n\": 1}"];
        let report = daemon.cli_json(&test);
        assert_eq!((&report["accepted"], &report["body"]), (&json!(true), &json!("{\"n\":2}")));
        for wrong in [&["nobody"][..], &["good", "--data", "{"], &[]] {
            let shown = daemon.cli(&[&["endpoints", "test"], wrong].concat());
            assert_eq!(shown.code, Some(2), "{wrong:?}: {shown:?}");
        }
        assert_eq!(daemon.state_path().exists(), runs);
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 6);
    let ids: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 6);
    // Nothing is kept of them, and the receiver that refused one is as well as before.
    assert_eq!(daemon.cli_json(&["deliveries"]), json!([]));
    assert_eq!(daemon.cli_json(&["endpoints", "show", "bad"])["condition"], "healthy");
    assert!(daemon.term().success());
}

/// A receiver that refuses and delays as it is told, until the daemon got through.
#[test]
fn listen_refuses_every_third_and_takes_its_time() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = Daemon::new("");
    let rule =
        ["--status", "500", "--every", "3", "--delay", "20ms", "--count", "4", "--secret", "s"];
    let (mut listener, url) = listen(&daemon, &[&rule[..], &["--sign", "slack"]].concat());
    daemon.write_config(&format!(
        "{}endpoints:\n  desk: {{ url: '{url}/hook', secret: s, sign: slack, concurrency: 1, retry: {{ first: 10ms, max: 50ms, for: 1h }} }}\n",
        orders(&api)
    ));
    daemon.start();
    daemon.wait_until_polled("orders");
    api.set_items(items(5));
    assert!(listener.wait().success(), "{:#?}", listener.lines());
    let lines = listener.lines();
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!((count("✓ slack"), count("→ 500")), (5, 1), "{lines:#?}");
    assert_eq!(count("5 received, 4 accepted"), 1, "{lines:#?}");
    wait_until("all being delivered", || {
        let rows = daemon.cli_json(&["deliveries", "--status", "delivered"]);
        rows.as_array().unwrap().len() == 4
    });
}
