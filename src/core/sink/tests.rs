//! What goes out, and what an answer to it means.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::core::backoff::BackoffPolicy;
use crate::core::delivery::AttemptResult;
use crate::core::endpoint::{BreakerPolicy, Endpoint, Order, RetryPolicy, Subscription, Target};
use crate::core::event::Event;
use crate::core::fault::{Fault, Retry, Whose};
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault};
use crate::core::ids::{EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::core::json::JsonText;
use crate::core::secret::Secret;
use crate::core::signature::{Received, Scheme};
use crate::core::sink::{Outbound, judge, outbound};
use crate::core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_999);
const BODY: &str = r#"{"id":"evt_1","type":"ticket.created","data":{"n":1.10}}"#;

fn event() -> Event {
    Event {
        id: EventId::new("evt_1"),
        event_type: String::from("ticket.created"),
        source: SourceName::new("tickets"),
        entry: EntryKey::none(),
        key: ItemKey::new("42"),
        seq: 1,
        at: NOW,
        body: JsonText::trusted(BODY),
    }
}

fn endpoint(sign: Scheme, target: Target, headers: &[(&'static str, &'static str)]) -> Endpoint {
    let day = Duration::from_hours(24);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Endpoint {
        name: EndpointName::new("agent"),
        target,
        subscription: Subscription::default_types(),
        secrets: vec![Secret::new("new"), Secret::new("old")],
        sign,
        retry: RetryPolicy {
            backoff: BackoffPolicy::try_new(Duration::from_secs(5), day).unwrap(),
            give_up_after: day,
        },
        breaker: BreakerPolicy { failures: 10, without_success_for: Duration::from_mins(1) },
        timeout: Duration::from_secs(15),
        headers: map,
        concurrency: 8,
        order: Order::Item,
    }
}

fn http_target() -> Target {
    Target::Http { url: Url::parse("http://127.0.0.1:9/hook?token=t").unwrap() }
}

fn request(endpoint: &Endpoint) -> Request {
    match outbound(&event(), endpoint, NOW) {
        Outbound::Http(request) => *request,
        Outbound::Line(_) => panic!("a line for an endpoint with a URL"),
    }
}

#[test]
fn a_request_carries_the_frozen_bytes() {
    let request = request(&endpoint(Scheme::Standard, http_target(), &[]));
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.url.as_str(), "http://127.0.0.1:9/hook?token=t");
    assert_eq!(request.body, BODY);
    assert_eq!(request.deadline, Duration::from_secs(15));
    assert_eq!(request.limit, BodyLimit::First { bytes_max: 16 * 1024 });
    assert_eq!(request.reach, Reach::Anywhere);
    let secrets = [Secret::new("old")];
    let received = Received { headers: &request.headers, body: &request.body, now: NOW };
    assert_eq!(Scheme::Standard.verify(&secrets, received), Ok(()));
}

#[test]
fn the_operators_headers_override_everything_but_identity_and_proof() {
    let check = |sign: Scheme, own: &[(&'static str, &'static str)], expected: &[(&str, &str)]| {
        let request = request(&endpoint(sign, http_target(), own));
        for (name, value) in expected {
            let found: Vec<&str> =
                request.headers.get_all(*name).iter().map(|v| v.to_str().unwrap()).collect();
            assert_eq!(found.join("|"), *value, "{name}");
        }
    };
    let version = concat!("doorbell/", env!("CARGO_PKG_VERSION"));
    let always = [
        ("content-type", "application/json"),
        ("user-agent", version),
        ("webhook-id", "evt_1"),
        ("webhook-timestamp", "1767225600"),
    ];
    for scheme in [Scheme::Standard, Scheme::Github { event: None }, Scheme::None] {
        check(scheme, &[], &always);
    }
    check(
        Scheme::Github { event: None },
        &[
            ("content-type", "application/vnd.x+json"),
            ("user-agent", "mine/1"),
            ("x-many", "a"),
            ("x-many", "b"),
            ("webhook-id", "forged"),
            ("webhook-timestamp", "0"),
            ("x-github-event", "forged"),
        ],
        &[
            ("content-type", "application/vnd.x+json"),
            ("user-agent", "mine/1"),
            ("x-many", "a|b"),
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", "1767225600"),
            ("x-github-event", "ticket.created"),
            ("webhook-signature", ""),
        ],
    );
}

#[test]
fn standard_output_gets_a_line() {
    match outbound(&event(), &endpoint(Scheme::None, Target::Stdout, &[]), NOW) {
        Outbound::Line(line) => assert_eq!(line, format!("{BODY}\n")),
        Outbound::Http(_) => panic!("a request for standard output"),
    }
}

#[test]
fn an_answer_is_accepted_only_with_a_2xx() {
    let check = |status: u16, retry_after: &'static str, expected: Option<(&str, Option<u64>)>| {
        let mut headers = HeaderMap::new();
        if !retry_after.is_empty() {
            headers.insert("retry-after", HeaderValue::from_static(retry_after));
        }
        let body = Bytes::from_static(b"the secret is hunter2");
        let found = judge(Ok(&Response { status, headers, body }), NOW);
        let Some((code, wait)) = expected else {
            assert_eq!(found, AttemptResult::Accepted { status });
            return;
        };
        let AttemptResult::Refused { status: found, fault, retry_after, gone } = found else {
            panic!("{status} is no refusal: {found:?}");
        };
        assert_eq!((found, fault.code.as_str()), (Some(status), code));
        assert_eq!(retry_after.map(|wait| wait.as_secs()), wait, "{status}");
        assert_eq!(gone, status == 410);
        assert_eq!((fault.whose, fault.retry), (Whose::Endpoint, Retry::Later));
        assert!(fault.sentence.contains(&status.to_string()) && !fault.sentence.contains("hunter"));
    };
    for status in [200, 201, 202, 204, 299] {
        check(status, "60", None);
    }
    for status in [300, 301, 302, 304, 307, 308] {
        check(status, "", Some(("redirect", None)));
    }
    check(199, "", Some(("http_199", None)));
    check(400, "", Some(("http_400", None)));
    check(401, "", Some(("http_401", None)));
    check(404, "", Some(("http_404", None)));
    check(410, "60", Some(("http_410", Some(60))));
    check(429, "60", Some(("http_429", Some(60))));
    check(429, "-1", Some(("http_429", None)));
    check(500, "", Some(("http_500", None)));
    check(503, "Thu, 01 Jan 2026 00:02:00 GMT", Some(("http_503", Some(119))));
    check(599, "", Some(("http_599", None)));
}

#[test]
fn no_answer_is_the_endpoints_fault_or_ours() {
    let refused = |fault: Fault| AttemptResult::Refused {
        status: None,
        fault,
        retry_after: None,
        gone: false,
    };
    let check = |fault: TransportFault, expected: AttemptResult| {
        assert_eq!(judge(Err(&fault), NOW), expected);
    };
    check(TransportFault::Interrupted, AttemptResult::Interrupted);
    let refusal = || TransportFault::Connect { detail: String::from("refused") };
    check(refusal(), refused(Fault::endpoint("connect", "no connection: refused")));
    let local = TransportFault::Local { detail: String::from("no descriptors") };
    let sentence = "this machine could not make the request: no descriptors";
    check(local, refused(Fault::us("local", sentence)));
}
