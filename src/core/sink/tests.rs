//! What goes out, and what an answer to it means.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use url::Url;

use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::delivery::AttemptResult;
use crate::core::endpoint::{
    BreakerPolicy, Endpoint, Format, Order, Reshaping, RetryPolicy, Subscription, Target,
};
use crate::core::event::Event;
use crate::core::fault::{Fault, Retry, Whose};
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault};
use crate::core::ids::{EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::core::jq::Expression;
use crate::core::json::JsonText;
use crate::core::secret::Secret;
use crate::core::signature::{
    EVENT_HEADER, Labels, Naming, Received, Scheme, SigningSecret, TOPIC_HEADER,
};
use crate::core::sink::content::{Content, Envelope, JSON, Made, make_late};
use crate::core::sink::sample::{Wanted, sample};
use crate::core::sink::{Outbound, Parcel, judge, outbound};
use crate::core::template::{Formula, Node, Part, Template};
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
        where_: None,
        format: Format::Standard,
        body: None,
        content_type: HeaderValue::from_static(JSON),
        method: Method::POST,
        secrets: vec![Secret::new("new").into(), Secret::new("old").into()],
        sign,
        retry: RetryPolicy {
            backoff: BackoffPolicy::try_new(Duration::from_secs(5), day).unwrap(),
            give_up_after: day,
        },
        breaker: BreakerPolicy { failures: 10, without_success_for: Duration::from_mins(1) },
        timeout: Duration::from_secs(15),
        auth: Auth::None,
        headers: map,
        concurrency: 8,
        limit: Vec::new(),
        paused: false,
        was: None,
        order: Order::Item,
        route: None,
    }
}

fn http_target() -> Target {
    Target::Http { url: Url::parse("http://127.0.0.1:9/hook?token=t").unwrap() }
}

fn request(endpoint: &Endpoint) -> Request {
    match outbound(Parcel { event: &event(), made: None, is_replay: false }, endpoint, NOW) {
        Outbound::Http(request) => *request,
        other => panic!("{other:?} for an endpoint with a URL"),
    }
}

/// Whether a receiver of Standard Webhooks that has this secret takes it.
fn is_proven_by(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let (method, uri) = (&Method::POST, &Uri::default());
    let received = Received { method, uri, headers, body, now: NOW };
    Scheme::Standard.verify(&[Secret::new(secret)], received) == Ok(())
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
    assert!(is_proven_by("old", &request.headers, &request.body));
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
    for scheme in [Scheme::Standard, Scheme::Github(Labels::default()), Scheme::None] {
        check(scheme, &[], &always);
    }
    check(
        Scheme::Github(Labels::default()),
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
    let endpoint = endpoint(Scheme::None, Target::Stdout, &[]);
    match outbound(Parcel { event: &event(), made: None, is_replay: false }, &endpoint, NOW) {
        Outbound::Line(line) => assert_eq!(line, format!("{BODY}\n")),
        other => panic!("{other:?} for standard output"),
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

/// An endpoint with a body, of this content type.
fn reshaping(body: Reshaping, content_type: Option<&'static str>) -> Endpoint {
    Endpoint {
        body: Some(body),
        content_type: HeaderValue::from_static(content_type.unwrap_or(JSON)),
        ..endpoint(Scheme::Standard, http_target(), &[])
    }
}

fn jq(text: &str) -> Reshaping {
    Reshaping::Jq(Expression::parse(text).unwrap())
}

/// A text that is one template.
fn sole(jq: &str) -> Node {
    Node::Template(Template::new(vec![Part::Jq(Formula::parse_over(jq).unwrap())]))
}

fn map(entries: Vec<(&str, Node)>) -> Reshaping {
    let entries = entries.into_iter().map(|(name, node)| (name.to_owned(), node));
    Reshaping::Template(Node::Map(entries.collect()))
}

fn made(media_type: &str, body: &str) -> Content {
    Content::Made(Made { media_type: media_type.into(), body: body.into(), is_binary: false })
}

#[test]
fn a_body_is_what_the_expressions_give() {
    let check = |body: Reshaping, content_type: Option<&'static str>, expected: &str| {
        let endpoint = reshaping(body, content_type);
        let found = Envelope::of(&event()).content(&endpoint);
        let media_type = content_type.unwrap_or("application/json");
        assert_eq!(found, Some(made(media_type, expected)), "{expected}");
    };
    check(jq(".data"), None, r#"{"n":1.10}"#);
    check(jq("."), None, BODY);
    check(jq(".type"), None, r#""ticket.created""#);
    check(jq(".nothing"), None, "null");
    check(jq("{z: .id, a: .data.n}"), None, r#"{"z":"evt_1","a":1.10}"#);
    check(jq("{u: \"ü\\u2028\"}"), None, "{\"u\":\"ü\u{2028}\"}");
    check(jq(".type"), Some("application/vnd.x+json; v=1"), r#""ticket.created""#);
    check(jq(".type"), Some("Text/Plain; charset=utf-8"), "ticket.created");
    check(jq("\"id=\\(.id|@uri)\""), Some("application/x-www-form-urlencoded"), "id=evt_1");
    check(jq(".data"), Some("text/plain"), r#"{"n":1.10}"#);
    // A text that is one template keeps its type; null drops its key.
    let words = Template::new(vec![
        Part::Text(String::from("about ")),
        Part::Jq(Formula::parse_over(".id").unwrap()),
    ]);
    let entries = vec![
        ("n", sole(".data.n")),
        ("all", sole(".data")),
        ("none", sole(".data.none")),
        ("about", Node::Template(words)),
        ("fixed", Node::Fixed(String::from("[1,null]"))),
        ("list", Node::List(vec![sole(".none"), sole(".type")])),
    ];
    let expected = r#"{"n":1.10,"all":{"n":1.10},"about":"about evt_1","fixed":[1,null],"list":[null,"ticket.created"]}"#;
    check(map(entries), None, expected);
    check(map(Vec::new()), None, "{}");
}

#[test]
fn a_line_is_json_whatever_the_content_type() {
    let line = Endpoint { target: Target::Stdout, ..reshaping(jq(".type"), Some("text/plain")) };
    let found = Envelope::of(&event()).content(&line);
    assert_eq!(found, Some(made("text/plain", r#""ticket.created""#)));
}

#[test]
fn where_says_which_events_an_endpoint_gets() {
    let check = |text: &str, expected: Option<Content>| {
        let where_ = Some(Expression::parse(text).unwrap());
        let endpoint = Endpoint { where_, ..endpoint(Scheme::None, http_target(), &[]) };
        assert_eq!(Envelope::of(&event()).content(&endpoint), expected, "{text}");
    };
    check(".data.n > 1", Some(Content::Envelope));
    check(".data", Some(Content::Envelope));
    check(".data.n > 2", None);
    check(".nothing", None);
    // Neither wanted nor unwanted: it is not sent, and not lost.
    for failing in ["error(\"x\")", ".data | keys | .a", "empty", "1, 2", ".id.x"] {
        check(failing, Some(Content::Unmade));
    }
}

#[test]
fn what_cannot_be_made_says_why_and_is_made_once_it_can() {
    let failing = |body: Reshaping, why: &str| {
        let endpoint = reshaping(body, None);
        assert_eq!(Envelope::of(&event()).content(&endpoint), Some(Content::Unmade), "{why}");
        let fault = make_late(&event(), &endpoint).unwrap_err();
        assert!(fault.sentence.contains(why), "{why:?} is not in {:?}", fault.sentence);
        assert_eq!(fault.whose, Whose::Us);
    };
    failing(jq("error(\"no\")"), "`body` fails");
    failing(jq("empty"), "no output");
    failing(jq("1, 2"), "more than one output");
    failing(jq("nan"), "JSON cannot express");
    failing(map(vec![("a", sole(".id.x"))]), "{{.id.x}}");
    let words = vec![
        Part::Text(String::from("about ")),
        Part::Jq(Formula::parse_over(".data.title").unwrap()),
    ];
    let text = Node::Template(Template::new(words));
    failing(map(vec![("a", text)]), "`{{.data.title}}` in `body` is null");

    let mended = reshaping(jq(".data"), None);
    let found = make_late(&event(), &mended).map(Content::Made);
    assert_eq!(found, Ok(made("application/json", r#"{"n":1.10}"#)));
    let without = Endpoint { body: None, ..mended.clone() };
    assert_eq!(
        make_late(&event(), &without).map(Content::Made),
        Ok(made("application/json", BODY))
    );
    let unwanted = Endpoint { where_: Some(Expression::parse("false").unwrap()), ..mended };
    let fault = make_late(&event(), &unwanted).unwrap_err();
    assert_eq!(fault.sentence, "`where` does not want it");
}

#[test]
fn what_was_made_is_sent_and_signed_as_it_was_made() {
    let (media_type, body) = ("text/plain".into(), "as it was".into());
    let frozen = Made { media_type, body, is_binary: false };
    // Declared anew since.
    let endpoint = Endpoint { method: Method::PUT, ..reshaping(jq(".data"), None) };
    let parcel = Parcel { event: &event(), made: Some(&frozen), is_replay: false };
    let Outbound::Http(request) = outbound(parcel, &endpoint, NOW) else { panic!("a line") };
    assert_eq!((request.method, &request.body[..]), (Method::PUT, &b"as it was"[..]));
    assert_eq!(request.headers["content-type"], "text/plain");
    assert!(is_proven_by("new", &request.headers, &request.body));
    // What was there before `body` is the envelope, and goes as what it is.
    let endpoint = reshaping(jq(".data"), Some("text/plain"));
    let parcel = Parcel { event: &event(), made: None, is_replay: false };
    let Outbound::Http(request) = outbound(parcel, &endpoint, NOW) else { panic!("a line") };
    assert_eq!(request.body, BODY);
    assert_eq!(request.headers["content-type"], "application/json");
}

/// What an endpoint of this format is sent of an event.
fn in_format(event: &Event, format: Format, keys: Endpoint) -> Request {
    let endpoint = Endpoint { format, ..keys };
    let found = Envelope::of(event).content(&endpoint);
    let Some(Content::Made(made)) = found else { panic!("{found:?}") };
    match outbound(Parcel { event, made: Some(&made), is_replay: false }, &endpoint, NOW) {
        Outbound::Http(request) => *request,
        other => panic!("{other:?} for an endpoint with a URL"),
    }
}

/// An event with everything that headers cannot hold as it is.
fn odd_event() -> Event {
    Event {
        entry: EntryKey::new("a/b"),
        key: ItemKey::new("Euro € \"100%\"\n😀"),
        seq: 5_000_000_000,
        ..event()
    }
}

#[test]
fn a_cloudevent_is_whole_in_its_body() {
    let check = |keys: Endpoint, kind: &str, data: &str| {
        let request = in_format(&odd_event(), Format::CloudEvents, keys);
        let expected = format!(
            r#"{{"specversion":"1.0","id":"evt_1","source":"tickets","type":"ticket.created","time":"{}","subject":"Euro € \"100%\"\n😀","seq":"5000000000","entry":"a/b","datacontenttype":"{kind}","data":{data}}}"#,
            NOW.to_rfc3339()
        );
        assert_eq!(String::from_utf8_lossy(&request.body), expected);
        assert_eq!(request.headers["content-type"], "application/cloudevents+json");
        assert!(!request.headers.keys().any(|name| name.as_str().starts_with("ce-")));
        assert!(is_proven_by("new", &request.headers, &request.body));
    };
    check(endpoint(Scheme::Standard, http_target(), &[]), JSON, r#"{"n":1.10}"#);
    check(reshaping(jq("{id, n: .data.n}"), None), JSON, r#"{"id":"evt_1","n":1.10}"#);
    check(reshaping(jq(".type"), None), JSON, r#""ticket.created""#);
    check(reshaping(jq(".id + \"\\n\""), Some("text/plain")), "text/plain", r#""evt_1\n""#);
    // A single object has no key, and no attribute may be empty.
    let single = Event { key: ItemKey::new(""), ..event() };
    let keys = endpoint(Scheme::None, http_target(), &[]);
    let request = in_format(&single, Format::CloudEvents, keys);
    assert!(!String::from_utf8_lossy(&request.body).contains("subject"));
}

#[test]
fn the_attributes_of_a_binary_cloudevent_are_headers() {
    let keys = endpoint(Scheme::Standard, http_target(), &[("ce-id", "forged")]);
    let request = in_format(&odd_event(), Format::CloudEventsBinary, keys);
    assert_eq!(&request.body[..], br#"{"n":1.10}"#);
    for (name, expected) in [
        ("content-type", JSON),
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_1"),
        ("ce-source", "tickets"),
        ("ce-type", "ticket.created"),
        ("ce-time", &NOW.to_rfc3339()),
        // The example of the HTTP binding, §3.1.3.2, and more.
        ("ce-subject", "Euro%20%E2%82%AC%20%22100%25%22%0A%F0%9F%98%80"),
        ("ce-seq", "5000000000"),
        ("ce-entry", "a/b"),
        ("webhook-id", "evt_1"),
    ] {
        let found: Vec<_> = request.headers.get_all(name).iter().collect();
        assert_eq!(found, [expected], "{name}");
    }
    assert!(is_proven_by("new", &request.headers, &request.body));
    let keys = reshaping(jq(".id"), Some("text/plain; charset=utf-8"));
    let request = in_format(&event(), Format::CloudEventsBinary, keys);
    assert_eq!(&request.body[..], b"evt_1");
    assert_eq!(request.headers["content-type"], "text/plain; charset=utf-8");
    // Frozen with the bytes: declared anew, it goes as it was made.
    let made = Made { media_type: JSON.into(), body: "1".into(), is_binary: true };
    let parcel = Parcel { event: &event(), made: Some(&made), is_replay: false };
    let plain = endpoint(Scheme::None, http_target(), &[]);
    let Outbound::Http(request) = outbound(parcel, &plain, NOW) else { panic!("a line") };
    assert_eq!(request.headers["ce-type"], "ticket.created");
}

#[test]
fn credentials_go_along_over_the_operators_headers_and_under_the_proof() {
    let check = |auth: Auth, query: &str, header: (&str, &str)| {
        let headers = [("authorization", "of old"), ("x-key", "of old")];
        let endpoint = Endpoint { auth, ..endpoint(Scheme::Standard, http_target(), &headers) };
        let request = request(&endpoint);
        assert_eq!(request.url.query(), Some(query));
        assert_eq!(request.headers[header.0], header.1);
        assert!(is_proven_by("new", &request.headers, &request.body));
        request
    };
    let secret = || Secret::new("s3");
    check(Auth::Bearer(secret()), "token=t", ("authorization", "Bearer s3"));
    let basic = Auth::Basic { user: String::from("u"), password: secret() };
    check(basic, "token=t", ("authorization", "Basic dTpzMw=="));
    let name = HeaderName::from_static("x-key");
    check(Auth::Header(vec![(name, secret())]), "token=t", ("x-key", "s3"));
    let query = Auth::Query(vec![(String::from("k y"), secret())]);
    let request = check(query, "token=t&k+y=s3", ("authorization", "of old"));
    assert_eq!(request.way.credentials, ["k y"]);
    let forged = Auth::Header(vec![(HeaderName::from_static("webhook-id"), secret())]);
    check(forged, "token=t", ("webhook-id", "evt_1"));
}

#[test]
fn a_replay_says_so_and_is_the_same_otherwise() {
    let (endpoint, event) = (endpoint(Scheme::Standard, http_target(), &[]), event());
    let sent =
        |is_replay| match outbound(Parcel { event: &event, made: None, is_replay }, &endpoint, NOW)
        {
            Outbound::Http(request) => *request,
            other => panic!("{other:?} for an endpoint with a URL"),
        };
    let (first, mut again) = (sent(false), sent(true));
    assert_eq!(again.headers.remove("webhook-replay").unwrap(), "true");
    assert_eq!((first.headers, first.body, first.url), (again.headers, again.body, again.url));
}

/// A label as it is declared: text, and jq over the envelope.
fn label(name: HeaderName, parts: &[&str]) -> (HeaderName, Template) {
    let part = |text: &&str| match text.strip_prefix("{{") {
        Some(jq) => Part::Jq(Formula::parse_over(jq.trim_end_matches('}')).unwrap()),
        None => Part::Text((*text).to_owned()),
    };
    (name, Template::new(parts.iter().map(part).collect()))
}

#[test]
fn labels_stand_in_for_what_a_profile_says_by_itself() {
    let check = |name: HeaderName, parts: &[&str], expected: &str| {
        let labels: Labels = [label(name.clone(), parts)].into();
        let github = name == EVENT_HEADER;
        let scheme = if github { Scheme::Github(labels) } else { Scheme::Shopify(labels) };
        let request = request(&endpoint(scheme, http_target(), &[]));
        assert_eq!(request.headers[&name], expected);
        assert_eq!(request.headers.get_all(&name).iter().count(), 1);
    };
    check(EVENT_HEADER, &["issues"], "issues");
    check(TOPIC_HEADER, &["orders/create"], "orders/create");
    check(TOPIC_HEADER, &["orders/", "{{.data.n}}"], "orders/1.10");
    let by_type = r#"{{{"ticket.created": "tickets/create"}[.type]}"#;
    check(TOPIC_HEADER, &[by_type], "tickets/create");
    check(TOPIC_HEADER, &["{{.data.absent}}"], "ticket.created");
}

#[test]
fn a_label_that_fails_sends_nothing() {
    let check = |parts: &[&str], expected: &str| {
        let scheme = Scheme::Shopify([label(TOPIC_HEADER, parts)].into());
        let endpoint = endpoint(scheme, http_target(), &[]);
        match outbound(Parcel { event: &event(), made: None, is_replay: false }, &endpoint, NOW) {
            Outbound::Unready(fault) => {
                assert_eq!((fault.whose, fault.retry), (Whose::Us, Retry::Never));
                assert!(fault.sentence.contains(expected), "{fault}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(&["{{.data.n.x}}"], "in the header `x-shopify-topic` fails");
    check(&["a", "{{.data}}"], "is an object, and only text fits there");
    check(&[r#"{{"a\nb"}}"#], "would hold a line break");
}

#[test]
fn a_secret_whose_time_is_over_signs_no_more() {
    let check = |until: i64, expected: bool| {
        let until = Some(Timestamp::from_millis(NOW.as_millis() + until));
        let old = SigningSecret { secret: Secret::new("old"), until };
        let secrets = vec![Secret::new("new").into(), old];
        let endpoint = Endpoint { secrets, ..endpoint(Scheme::Standard, http_target(), &[]) };
        let request = request(&endpoint);
        assert!(is_proven_by("new", &request.headers, &request.body));
        assert_eq!(is_proven_by("old", &request.headers, &request.body), expected);
    };
    check(1, true);
    check(0, false);
}

#[test]
fn a_signature_covers_where_it_goes() {
    let auth = Auth::Query(vec![(String::from("key"), Secret::new("s3"))]);
    let scheme = Scheme::HttpMessage(Naming::default());
    let endpoint = Endpoint {
        auth,
        method: Method::PUT,
        ..endpoint(scheme.clone(), http_target(), &[("signature", "forged")])
    };
    let mut request = request(&endpoint);
    request.headers.insert("host", HeaderValue::from_static("127.0.0.1:9"));
    for (method, uri, holds) in [
        (Method::PUT, "/hook?token=t&key=s3", true),
        (Method::POST, "/hook?token=t&key=s3", false),
        (Method::PUT, "/hook?token=t", false),
    ] {
        let (uri, headers) = (uri.parse().unwrap(), &request.headers);
        let received =
            Received { method: &method, uri: &uri, headers, body: &request.body, now: NOW };
        assert_eq!(scheme.verify(&[Secret::new("new")], received).is_ok(), holds, "{method} {uri}");
    }
}

#[test]
fn a_test_event_is_of_a_type_that_is_wanted() {
    let check = |globs: &[&str], wanted: Wanted, expected_type: &str, data: &str| {
        let globs: Vec<String> = globs.iter().copied().map(String::from).collect();
        let all = Subscription::default_types();
        let subscription = if globs.is_empty() { all } else { Subscription::to(globs) };
        let endpoint = Endpoint { subscription, ..endpoint(Scheme::None, http_target(), &[]) };
        let event = sample(&endpoint, wanted, NOW, &[7; 32]);
        let expected = format!(
            r#"{{"id":"evt_test_0707070707070707","type":"{expected_type}","timestamp":"{}","source":"doorbell","key":"test","seq":0,"data":{data}}}"#,
            NOW.to_rfc3339()
        );
        assert_eq!(event.body.as_str(), expected);
        assert_eq!(event.event_type, expected_type);
    };
    let data = r#"{"id":"test","message":"This is a test; `doorbell endpoints test` sent it."}"#;
    check(&[], Wanted::default(), "doorbell.test", data);
    check(&["*"], Wanted::default(), "doorbell.test", data);
    check(&["ticket.*"], Wanted::default(), "ticket.test", data);
    check(&["*.x", "ticket.created"], Wanted::default(), "ticket.created", data);
    let wanted = Wanted {
        event_type: Some(String::from("a.b")),
        data: Some(JsonText::trusted(r#"{"b":1,"a":2.0}"#)),
    };
    check(&["ticket.*"], wanted, "a.b", r#"{"b":1,"a":2.0}"#);
}
