//! What `listen` takes and prints.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use clap::Parser;

use crate::cli::listen::{ListenArgs, described, json_line, listen};
use crate::cli::receiver::{Answers, Expected, Hit, News, Proof, Receiver};
use crate::clock::SystemClock;
use crate::core::signature::{Labels, Scheme};
use crate::core::time::Timestamp;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ListenArgs,
}

fn parse(line: &str) -> Result<ListenArgs, String> {
    let words = std::iter::once("listen").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|fault| fault.to_string())
}

#[test]
fn arguments_become_rules() {
    let check = |line: &str, expected: Expected, answers: Answers, delay_ms: u64| {
        let rules = parse(line).unwrap().rules();
        assert_eq!((rules.expected, rules.answers), (expected, answers), "{line}");
        assert_eq!(rules.delay, Duration::from_millis(delay_ms), "{line}");
    };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    check("", Expected::Any, Answers::Accept, 0);
    check(
        "--sign standard --delay 200ms",
        Expected::Scheme(Scheme::Standard),
        Answers::Accept,
        200,
    );
    let github = Expected::Scheme(Scheme::Github(Labels::default()));
    check(
        "--sign github --status 503 --delay 1m30s",
        github,
        Answers::Every { nth: 1, status },
        90_000,
    );
    let header = Expected::Header("x-agent-signature".parse().unwrap());
    check(
        "--sign X-Agent-Signature --status 503 --every 3",
        header,
        Answers::Every { nth: 3, status },
        0,
    );
    let args = parse("--secret a --secret b --port 9000 --count 2").unwrap();
    assert_eq!((args.rules().port, args.rules().secrets.len(), args.count), (9000, 2, Some(2)));
    assert!(!format!("{args:?}").contains("\"a\""), "a secret shows in {args:?}");
}

#[test]
fn wrong_arguments_are_told_apart() {
    let check = |line: &str, expected: &str| {
        let found = parse(line).unwrap_err();
        assert!(found.contains(expected), "{line}: {found}");
    };
    check("--sign a:b", "the name of a header");
    check("--status 99", "a status is a number from 200 to 599");
    check("--status ok", "a status is a number from 200 to 599");
    check("--every 3", "--status");
    check("--status 500 --every 0", "1..");
    check("--delay 2", "a duration looks like");
    check("--delay=-2s", "a duration looks like");
    check("--count 0", "1..");
    check("--port 99999", "--port");
}

fn hit(body: &'static str) -> Hit {
    let body = Bytes::from_static(body.as_bytes());
    Hit {
        at: Timestamp::from_millis(1_767_225_600_123),
        method: Method::POST,
        path: String::from("/hook"),
        id: Some(String::from("evt_1")),
        arrival: 1,
        proof: Proof::Verified { scheme: String::from("standard") },
        status: StatusCode::OK,
        news: News::read(&body),
        body,
    }
}

const UPDATED: &str = r#"{"id":"evt_1","type":"ticket.updated","source":"tickets","key":"42","seq":7,"changes":[{"path":"/status","old":"open","new":"closed"},{"path":"/note","new":"a\u001b[2J"}]}"#;

#[test]
fn a_person_reads_a_line_and_its_changes() {
    let check = |hit: &Hit, expected: &str| {
        assert_eq!(anstream::adapter::strip_str(&described(hit)).to_string(), expected);
    };
    check(
        &hit(UPDATED),
        "00:00:00.123  ticket.updated            tickets/42        seq 7     ✓ standard  171 B\n\
         \x20             status: open → closed\n\
         \x20             note: ∅ → a·[2J\n",
    );
    check(
        &Hit {
            arrival: 2,
            status: StatusCode::UNAUTHORIZED,
            proof: Proof::Refused { scheme: None, reason: String::from("there is no x") },
            ..hit("hello")
        },
        "00:00:00.123  POST /hook                                            \
         ✗ there is no x  5 B  again (2)  → 401\n",
    );
    let unchecked = |scheme: Option<&str>| Hit {
        proof: Proof::Unchecked { scheme: scheme.map(str::to_owned) },
        ..hit(r#"{"type":"a.b"}"#)
    };
    let blank = " ".repeat(16 + 8 + 4);
    check(&unchecked(None), &format!("00:00:00.123  {:24}  {blank}unsigned  14 B\n", "a.b"));
    check(
        &unchecked(Some("github")),
        &format!("00:00:00.123  {:24}  {blank}github, unverified  14 B\n", "a.b"),
    );
}

#[test]
fn a_machine_reads_one_line() {
    let check = |hit: &Hit, expected: &str| assert_eq!(json_line(hit), format!("{expected}\n"));
    check(
        &hit(r#"{"type":"a.b","n":1.10}"#),
        r#"{"at":"2026-01-01T00:00:00.123Z","method":"POST","path":"/hook","id":"evt_1","arrival":1,"scheme":"standard","verified":true,"status":200,"body_bytes":23,"body":{"type":"a.b","n":1.10}}"#,
    );
    check(
        &Hit {
            id: None,
            status: StatusCode::UNAUTHORIZED,
            proof: Proof::Refused { scheme: None, reason: String::from("unsigned") },
            ..hit("{\n}")
        },
        r#"{"at":"2026-01-01T00:00:00.123Z","method":"POST","path":"/hook","id":null,"arrival":1,"scheme":null,"verified":false,"reason":"unsigned","status":401,"body_bytes":3,"text":"{\n}"}"#,
    );
}

#[tokio::test]
async fn it_ends_after_the_accepted_count() {
    let args = parse("--count 2 --status 500 --every 2").unwrap();
    let args = ListenArgs { json: true, ..args };
    let receiver = Receiver::start(args.rules(), Arc::new(SystemClock::new())).await.unwrap();
    let url = format!("http://{}", receiver.address);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sender = async {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let answer = client.post(&url).body("{}").send().await.unwrap();
            statuses.push(answer.status().as_u16());
        }
        statuses
    };
    let both = async { tokio::join!(listen(&args, receiver, &mut out, &mut err), sender) };
    let (ended, statuses) =
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends by itself");
    ended.unwrap();
    assert_eq!(statuses, [200, 500, 200]);
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
    let greeting = String::from_utf8(err).unwrap();
    assert!(greeting.contains(&url), "{greeting}");
}
