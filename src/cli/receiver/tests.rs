//! A receiver, asked over real sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::cli::receiver::{
    Answers, Difference, Expected, Hit, News, Proof, Receiver, Register, Rules,
};
use crate::clock::{Clock as _, SystemClock};
use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Labels, Naming, Scheme, Signed, pair_from, public_key};
use crate::core::time::Timestamp;

const BODY: &[u8] = br#"{"type":"ticket.created","data":1}"#;

fn rules(secrets: &[&str], expected: Expected, answers: Answers) -> Rules {
    let secrets = secrets.iter().copied().map(Secret::new).collect();
    Rules { port: 0, secrets, expected, answers, delay: Duration::ZERO }
}

/// Sends one request; gives the answer and what the receiver tells.
async fn send(receiver: &mut Receiver, headers: HeaderMap) -> (StatusCode, String, Hit) {
    let url = format!("http://{}/webhook/new-ticket?token=t", receiver.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(url).headers(headers).body(BODY).send();
    let answer = tokio::time::timeout(Duration::from_secs(10), sent).await.unwrap().unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let hit = receiver.hits.recv().await.unwrap();
    assert_eq!(hit.status, status);
    assert_eq!((hit.path.as_str(), hit.body.as_ref()), ("/webhook/new-ticket", BODY));
    (status, text, hit)
}

fn headers(scheme: &Scheme, secret: &str, at: Timestamp) -> HeaderMap {
    headers_to("http://127.0.0.1/", scheme, secret, at)
}

/// Of a request that is made to a URL.
fn headers_to(url: &str, scheme: &Scheme, secret: &str, at: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_static("evt_1"));
    headers.insert("webhook-timestamp", HeaderValue::from(at.as_seconds()));
    let signed = Signed {
        id: "evt_1",
        at,
        body: BODY,
        event_type: "ticket.created",
        source: "tickets",
        detected: at,
        method: &Method::POST,
        url: &url.parse().unwrap(),
        headers: &headers,
    };
    let proof = scheme.sign(&[&Secret::new(secret)], signed);
    headers.extend(proof);
    headers
}

#[tokio::test]
async fn a_signature_is_found_checked_and_answered() {
    let clock = Arc::new(SystemClock::new());
    let header = HeaderName::from_static("x-agent-signature");
    let hex = Scheme::Custom {
        header: header.clone(),
        prefix: String::new(),
        encoding: Encoding::Hex,
        timestamp_header: None,
    };
    let now = clock.now();
    let github = Scheme::Github(Labels::default());
    let asked = Expected::Header(header);
    let check = async |keys: &[&str], expected: &Expected, headers: HeaderMap, says: Proof| {
        let rules = rules(keys, expected.clone(), Answers::Accept);
        let mut receiver = Receiver::start(rules, Arc::new(SystemClock::new())).await.unwrap();
        let (status, text, hit) = send(&mut receiver, headers).await;
        match &says {
            Proof::Refused { reason, .. } => {
                assert_eq!((status, text), (StatusCode::UNAUTHORIZED, format!("{reason}\n")));
            }
            _ => assert_eq!((status, text.as_str()), (StatusCode::OK, "")),
        }
        assert_eq!(hit.proof, says);
        receiver.stop().await;
    };
    let verified = |scheme: &str| Proof::Verified { scheme: scheme.to_owned() };
    let unchecked = |scheme: Option<&str>| Proof::Unchecked { scheme: scheme.map(str::to_owned) };
    let refused = |scheme: Option<&str>, reason: &str| Proof::Refused {
        scheme: scheme.map(str::to_owned),
        reason: reason.to_owned(),
    };
    for (scheme, name) in [
        (&Scheme::Standard, "standard"),
        (&github, "github"),
        (&Scheme::Stripe, "stripe"),
        (&Scheme::Shopify(Labels::default()), "shopify"),
        (&Scheme::Slack, "slack"),
        (&hex, "x-agent-signature"),
    ] {
        check(&["new", "s"], &Expected::Any, headers(scheme, "s", now), verified(name)).await;
        check(&[], &Expected::Any, headers(scheme, "s", now), unchecked(Some(name))).await;
    }
    let unsigned = || headers(&Scheme::None, "s", now);
    check(&[], &Expected::Any, unsigned(), unchecked(None)).await;
    let unknown = "there is no signature header that is known here";
    check(&["s"], &Expected::Any, unsigned(), refused(None, unknown)).await;
    let standard = Expected::Scheme(Scheme::Standard);
    let missing = refused(Some("standard"), "there is no webhook-signature");
    check(&["s"], &standard, headers(&github, "s", now), missing).await;
    check(&["s"], &asked, headers(&hex, "s", now), verified("x-agent-signature")).await;
    check(&["s"], &asked, unsigned(), refused(None, "there is no x-agent-signature")).await;
    let mut odd = unsigned();
    odd.insert("x-agent-signature", HeaderValue::from_static("12"));
    let no_digest = "x-agent-signature holds no HMAC-SHA256 in hex or base64";
    check(&["s"], &asked, odd, refused(None, no_digest)).await;
    let wrong = "x-hub-signature-256 was made with another secret, or over another body";
    check(&["t"], &Expected::Any, headers(&github, "s", now), refused(Some("github"), wrong)).await;
    let old = Timestamp::from_millis(now.as_millis() - 3_600_000);
    let stale = refused(Some("standard"), "webhook-timestamp is 1h old; 5m is allowed");
    // The exact age depends on the moment: one second of play at most.
    let rules = rules(&["s"], Expected::Any, Answers::Accept);
    let mut receiver = Receiver::start(rules, clock).await.unwrap();
    let (status, _, hit) = send(&mut receiver, headers(&Scheme::Standard, "s", old)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let Proof::Refused { reason, .. } = &hit.proof else {
        panic!("{:?} is not {stale:?}", hit.proof)
    };
    assert!(reason.starts_with("webhook-timestamp is 1h"), "{reason}");
}

/// What covers where a request goes, too, and what is verified with a public key.
#[tokio::test]
async fn signatures_of_keys_and_of_whole_requests_are_checked() {
    let private = pair_from(&[7; 32]);
    let public = public_key(&private).unwrap();
    let messages = Scheme::HttpMessage(Naming::default());
    for (scheme, secret, own) in [
        (&messages, "s", "s"),
        (&messages, private.expose(), &public),
        (&Scheme::StandardEd25519, private.expose(), &public),
    ] {
        for (keys, status) in [(own, 200), ("other", 401)] {
            let clock = Arc::new(SystemClock::new());
            let now = clock.now();
            let rules = rules(&[keys], Expected::Any, Answers::Accept);
            let mut receiver = Receiver::start(rules, clock).await.unwrap();
            let url = format!("http://{}/webhook/new-ticket?token=t", receiver.address);
            let headers = headers_to(&url, scheme, secret, now);
            let (found, text, hit) = send(&mut receiver, headers).await;
            assert_eq!(found, status, "{scheme:?}: {text}");
            let verified = Proof::Verified { scheme: scheme.name().to_owned() };
            assert_eq!(hit.proof == verified, status == 200);
            receiver.stop().await;
        }
    }
}

#[tokio::test]
async fn answers_follow_their_rule_and_repeats_are_counted() {
    let check = async |answers: Answers, expected: &[u16]| {
        let rules = rules(&[], Expected::Any, answers);
        let mut receiver = Receiver::start(rules, Arc::new(SystemClock::new())).await.unwrap();
        let mut arrival = 0;
        for status in expected {
            let headers = headers(&Scheme::None, "", Timestamp::default());
            let (found, _, hit) = send(&mut receiver, headers).await;
            arrival += 1;
            assert_eq!((found.as_u16(), hit.arrival), (*status, arrival), "{answers:?}");
            assert_eq!(hit.is_accepted(), *status == 200);
        }
        receiver.stop().await;
    };
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    check(Answers::Accept, &[200, 200]).await;
    check(Answers::Every { nth: 1, status }, &[500, 500]).await;
    check(Answers::Every { nth: 3, status }, &[200, 200, 500, 200, 200, 500]).await;
    check(Answers::First { first: 2, status }, &[500, 500, 200, 200]).await;
}

#[test]
fn the_register_forgets_the_oldest() {
    let mut register = Register::default();
    assert_eq!(register.enter(Some("a")), (1, 1));
    assert_eq!(register.enter(None), (2, 1));
    assert_eq!(register.enter(Some("a")), (3, 2));
    for number in 0..10_000 {
        register.enter(Some(&number.to_string()));
    }
    assert_eq!(register.enter(Some("9999")).1, 2);
    assert_eq!(register.enter(Some("a")).1, 1);
    assert_eq!((register.ids.len(), register.arrivals.len()), (10_000, 10_000));
}

#[test]
fn a_body_tells_what_it_can() {
    let check = |body: &str, expected: News| assert_eq!(News::read(body.as_bytes()), expected);
    let some = |text: &str| Some(text.to_owned());
    check("", News::default());
    check("[1]", News::default());
    check("{", News::default());
    check(r#"{"a":1}"#, News::default());
    check(r#"{"event_type":"x"}"#, News { event_type: some("x"), ..News::default() });
    check(r#"{"type":7,"changes":7}"#, News { event_type: some("7"), ..News::default() });
    let change = |field: &str, old: Option<&str>, new: Option<&str>| Difference {
        field: field.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    };
    check(
        r#"{"type":"t.u","source":"t","key":"4/2","seq":18446744073709551617,"changes":[
            {"path":"/status","old":"open","new":"clos\u0065d"},
            {"path":"/a/b","new":1.10},
            {"path":"/tags","old":[1, 2]},
            {"old":1},
            {"path":"","old":null,"new":{}}]}"#,
        News {
            event_type: some("t.u"),
            source: some("t"),
            key: some("4/2"),
            seq: some("18446744073709551617"),
            changes: vec![
                change("status", some("open").as_deref(), Some("closed")),
                change("a.b", None, Some("1.10")),
                change("tags", Some("[1, 2]"), None),
                change("", Some("null"), Some("{}")),
            ],
        },
    );
}
