use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Format, Mark, Point, Since, further};
use crate::core::jq::Expression;
use crate::core::json;

fn since(format: Format, overlap: u64) -> Since {
    let from = Expression::parse(".at").expect("it is jq");
    let mark = Mark::From { from, overlap: Duration::from_secs(overlap), format };
    Since { param: None, mark, start: None, sweep: None }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

fn pattern(pattern: &str, name: &str) -> Format {
    Format::Pattern { pattern: pattern.to_owned(), zone: zone(name) }
}

/// What is asked for after items with these `at`, in this order.
#[track_caller]
fn check(since: &Since, items: &[&str], expected: &str) {
    let mut seen = None;
    for item in items {
        let item = json::read(&format!(r#"{{"at":{item}}}"#)).expect("it is JSON");
        seen =
            further(seen, since.point(&item).unwrap_or_else(|fault| panic!("{fault}: {items:?}")));
    }
    let mark = since.reached(None, seen);
    let asked = mark.and_then(|mark| since.value(&mark.text));
    let asked = asked.map_or_else(String::new, |value| {
        json::compact(&value).expect("it is JSON").as_str().to_owned()
    });
    assert_eq!(asked, expected, "{since:?} of {items:?}");
}

#[test]
fn the_greatest_moment_is_asked_for() {
    let plain = since(Format::Rfc3339, 0);
    check(&plain, &[], "");
    check(&plain, &["null"], "");
    check(&plain, &[r#""2026-11-21T03:00:00Z""#], r#""2026-11-21T03:00:00Z""#);
    check(&plain, &[r#""2026-11-21T03:00:00.120Z""#, "null"], r#""2026-11-21T03:00:00.12Z""#);
    // As moments, and not as texts.
    let (berlin, utc) = (r#""2026-11-21T03:30:00+01:00""#, r#""2026-11-21T03:00:00Z""#);
    check(&plain, &[berlin, utc], r#""2026-11-21T03:00:00Z""#);
    check(&plain, &[r#""2026-11-21T03:00:00.000+0100""#], r#""2026-11-21T02:00:00Z""#);
    check(&plain, &[r#""2026-11-21 03:00:00""#], r#""2026-11-21T03:00:00Z""#);
    check(&plain, &[r#""2026-11-21""#], r#""2026-11-21T00:00:00Z""#);
    check(&plain, &[r#""Sat, 21 Nov 2026 03:00:00 GMT""#], r#""2026-11-21T03:00:00Z""#);
    check(&plain, &["1795230000", "1795230000500"], r#""2026-11-21T03:00:00.5Z""#);
    check(&plain, &[r#""1795230000""#], r#""2026-11-21T03:00:00Z""#);
    check(&plain, &["1795230000.25"], r#""2026-11-21T03:00:00.25Z""#);
}

#[test]
fn it_is_written_as_asked_and_rounded_down() {
    let at = &[r#""2026-11-21T03:00:59.999Z""#][..];
    check(&since(Format::Rfc3339, 120), at, r#""2026-11-21T02:58:59.999Z""#);
    check(&since(Format::Unix, 0), at, "1795230059");
    check(&since(Format::Unix, 60), at, "1795229999");
    check(&since(Format::UnixMillis, 0), at, "1795230059999");
    check(&since(pattern("%Y-%m-%d %H:%M", "UTC"), 0), at, r#""2026-11-21 03:00""#);
    check(&since(pattern("%Y/%m/%d %H:%M", "Europe/Berlin"), 0), at, r#""2026/11/21 04:00""#);
    check(&since(pattern("%Y-%m-%d", "America/New_York"), 0), at, r#""2026-11-20""#);
    let local = &[r#""2026/11/21 04:00""#][..];
    check(&since(pattern("%Y/%m/%d %H:%M", "Europe/Berlin"), 60), local, r#""2026/11/21 03:59""#);
}

#[test]
fn an_hour_that_comes_twice_is_asked_for_from_before_it() {
    let berlin = since(pattern("%H:%M", "Europe/Berlin"), 0);
    for (at, expected) in [
        ("2026-10-24T23:59:00Z", "01:59"),
        ("2026-10-25T00:30:00Z", "01:30"),
        ("2026-10-25T01:30:00Z", "01:30"),
        ("2026-10-25T02:00:00Z", "03:00"),
    ] {
        check(&berlin, &[&format!("{at:?}")], &format!("{expected:?}"));
    }
}

#[test]
fn raw_values_go_back_as_they_came() {
    let raw = since(Format::Raw, 0);
    check(&raw, &["9", "10", "2"], "10");
    check(&raw, &["12345678901234567890123", "12345678901234567890124"], "12345678901234567890124");
    check(&raw, &[r#""b-9""#, r#""b-10""#], r#""b-9""#);
    check(&raw, &["1.5", "1.25"], "1.5");
}

#[test]
fn what_is_no_place_is_a_fault() {
    for (format, at) in [
        (Format::Rfc3339, r#""soon""#),
        (Format::Rfc3339, "true"),
        (Format::Raw, "[1]"),
        (Format::Unix, "{}"),
    ] {
        let item = json::read(&format!(r#"{{"at":{at}}}"#)).expect("it is JSON");
        assert!(since(format, 0).point(&item).is_err(), "{at}");
    }
}

#[test]
fn a_watermark_never_goes_back() {
    let plain = since(Format::Rfc3339, 0);
    let point = |text: &str| Some(Point::Moment(text.parse().expect("a moment")));
    let first = plain.reached(None, point("2026-11-21T03:00:00Z"));
    for (seen, expected) in [
        (None, "2026-11-21T03:00:00Z"),
        (point("2026-11-21T02:00:00Z"), "2026-11-21T03:00:00Z"),
        (point("2026-11-21T04:00:00Z"), "2026-11-21T04:00:00Z"),
    ] {
        let next = plain.reached(first.as_ref(), seen).expect("a watermark");
        assert_eq!(next.text, expected);
    }
    // What was kept under another declaration means nothing.
    assert_eq!(since(Format::Raw, 0).reached(first.as_ref(), None), None);
}

#[test]
fn items_before_the_start_are_out_of_scope() {
    let start = |format, start: &str| Since {
        start: Some(json::read(start).expect("it is JSON")),
        ..since(format, 0)
    };
    for (since, at, expected) in [
        (start(Format::Rfc3339, r#""2026-01-01T00:00:00Z""#), r#""2025-12-31T23:59:59Z""#, true),
        (start(Format::Rfc3339, r#""2026-01-01T00:00:00Z""#), r#""2026-01-01T00:00:00Z""#, false),
        (start(Format::Unix, "1767225600"), "1767225599", true),
        (start(Format::Raw, "7"), "6", true),
        (start(Format::Raw, "7"), "10", false),
        (since(Format::Rfc3339, 0), r#""1999-01-01T00:00:00Z""#, false),
    ] {
        let item = json::read(&format!(r#"{{"at":{at}}}"#)).expect("it is JSON");
        assert_eq!(since.is_out_of_scope(&item), expected, "{since:?} {at}");
    }
}
