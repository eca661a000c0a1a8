//! What answers mean, as data.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Answer, check_shape, judge, validator};
use crate::core::extract::Shape;
use crate::core::fault::Whose;
use crate::core::http::{Response, TransportFault};
use crate::core::source::Validator;
use crate::core::time::Timestamp;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

fn answer(status: u16, pairs: &[(&'static str, &'static str)], conditional: bool) -> Answer {
    let response = Response { status, headers: headers(pairs), body: Bytes::from_static(b"[]") };
    judge(Ok(response), conditional, Timestamp::from_millis(0))
}

const MODIFIED: &str = "Sat, 21 Nov 2026 03:00:00 GMT";

type Headers = &'static [(&'static str, &'static str)];

#[test]
fn only_validators_that_can_be_relied_on_are_kept() {
    let tag = |text: &str| Some(Validator::ETag(text.into()));
    let date = Some(Validator::LastModified(MODIFIED.into()));
    let cases: [(Headers, Option<Validator>); 10] = [
        (&[("etag", "\"a\"")], tag("\"a\"")),
        (&[("etag", "W/\"a\"")], tag("W/\"a\"")),
        (&[("etag", "a")], None),
        (&[("etag", "\"")], None),
        (&[("etag", "\"a\""), ("last-modified", MODIFIED)], tag("\"a\"")),
        (&[("last-modified", MODIFIED)], None),
        (&[("last-modified", MODIFIED), ("date", MODIFIED)], None),
        (&[("last-modified", MODIFIED), ("date", "Sat, 21 Nov 2026 03:00:01 GMT")], date),
        (&[("last-modified", "2026-11-21"), ("date", "Sat, 21 Nov 2026 03:00:09 GMT")], None),
        (&[], None),
    ];
    for (pairs, expected) in cases {
        assert_eq!(validator(&headers(pairs)), expected, "{pairs:?}");
    }
}

#[test]
fn statuses_mean_what_they_say() {
    for status in [200, 201, 299] {
        assert!(matches!(answer(status, &[], false), Answer::Body(_)), "{status}");
    }
    assert!(matches!(answer(304, &[], true), Answer::NotModified(_)));
    let failed = |answer: Answer| match answer {
        Answer::Failed(fault) => fault.code,
        other => panic!("{other:?} is no failure"),
    };
    let codes =
        [(206, "partial_content"), (304, "unasked_304"), (301, "http_301"), (404, "http_404")];
    for (status, code) in codes {
        assert_eq!(failed(answer(status, &[], false)), code);
    }
    assert_eq!(failed(answer(200, &[("content-type", "text/html; charset=utf-8")], false)), "html");
    assert!(matches!(answer(200, &[("content-type", "text/plain")], false), Answer::Body(_)));
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let wait = |answer: Answer| match answer {
        Answer::Throttled { wait, .. } => Some(wait),
        _ => None,
    };
    let after = |text| [("retry-after", text)];
    assert_eq!(wait(answer(429, &after("7"), false)), Some(Duration::from_secs(7)));
    assert_eq!(wait(answer(503, &after("7"), false)), Some(Duration::from_secs(7)));
    assert_eq!(wait(answer(429, &after("soon"), false)), Some(Duration::ZERO));
    assert_eq!(wait(answer(403, &after("7"), false)), Some(Duration::from_secs(7)));
    assert_eq!(wait(answer(403, &[("x-ratelimit-remaining", "0")], false)), Some(Duration::ZERO));
    assert_eq!(wait(answer(403, &[("x-ratelimit-remaining", "9")], false)), None);
    assert_eq!(wait(answer(503, &[], false)), None);
    assert_eq!(wait(answer(500, &after("7"), false)), None);
}

#[test]
fn a_list_stays_a_list() {
    assert!(check_shape(None, Shape::Object).is_ok());
    assert!(check_shape(Some(Shape::List), Shape::List).is_ok());
    assert!(check_shape(Some(Shape::List), Shape::Object).is_err());
    assert!(check_shape(Some(Shape::Object), Shape::List).is_err());
}

#[test]
fn no_answer_is_the_sources_fault_or_ours() {
    let whose = |fault| match judge(Err(fault), false, Timestamp::from_millis(0)) {
        Answer::Failed(fault) => fault.whose,
        other => panic!("{other:?} is no failure"),
    };
    assert_eq!(whose(TransportFault::Cut { detail: String::new() }), Whose::Source);
    assert_eq!(whose(TransportFault::Local { detail: String::new() }), Whose::Us);
}
