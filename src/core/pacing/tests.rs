//! What headers ask for, honest and hostile.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::feed::pace_of;
use super::{Pacing, Quota, Scope};
use crate::core::http::Response;
use crate::core::limits::SOURCE_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: i64 = 784_111_777;
/// A later one, for what is counted since the epoch: numbers this large are moments.
const LATER: i64 = 1_795_000_000;

fn response(status: u16, lines: &str, body: &str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.trim().to_lowercase().as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    Response { status, headers, body: Bytes::from(body.to_owned()) }
}

fn pacing(status: u16, lines: &str, at: i64) -> Pacing {
    Pacing::of(&response(status, lines, ""), Timestamp::from_millis(at * 1000))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_is_asked_to_wait_and_for_how_long() {
    let check = |status: u16, lines: &str, expected: Option<(Scope, u64)>| {
        let expected = expected.map(|(scope, wait)| (scope, seconds(wait)));
        assert_eq!(pacing(status, lines, NOW).hold, expected, "{status} {lines}");
    };
    let day = SOURCE_RETRY_AFTER_MAX.as_secs();
    check(429, "retry-after: 7", Some((Scope::Credential, 7)));
    check(403, "retry-after: 7", Some((Scope::Credential, 7)));
    check(503, "retry-after: 7", Some((Scope::Host, 7)));
    check(200, "retry-after: 7", Some((Scope::Source, 7)));
    check(429, "retry-after: 99999999999999999999", Some((Scope::Credential, day)));
    check(429, "retry-after: -7", None);
    check(429, "retry-after: soon", None);
    check(429, "retry-after: 7\nretry-after: 8", Some((Scope::Credential, 7)));
    check(429, "retry-after: 7\nretry-after: 7", Some((Scope::Credential, 7)));
    check(429, "retry-after: Sun, 06 Nov 1994 08:51:37 GMT", Some((Scope::Credential, 120)));
    // Its clock is two minutes ahead of ours: what it says is counted by it.
    check(
        429,
        "retry-after: Sun, 06 Nov 1994 08:51:47 GMT\ndate: Sun, 06 Nov 1994 08:51:37 GMT",
        Some((Scope::Credential, 10)),
    );
    check(200, "backoff: 30", Some((Scope::Source, 30)));
    check(429, "backoff: 30\nretry-after: 7", Some((Scope::Credential, 30)));
    check(200, "backoff: 0", None);
    check(403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 50", Some((Scope::Credential, 50)));
    check(403, "x-ratelimit-remaining: 1\nx-ratelimit-reset: 50", None);
    check(200, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 50", None);
    // `Retry-After` wins.
    check(429, "ratelimit: \"a\";r=0;t=50\nretry-after: 7", Some((Scope::Credential, 7)));
}

#[test]
fn what_is_left_is_read_in_every_spelling() {
    let check = |lines: &str, expected: Option<(Option<u64>, u64, Option<u64>)>| {
        let found = pacing(200, lines, LATER).quota;
        let found = found.map(|it| (it.limit, it.remaining, it.reset.map(|it| it.as_secs())));
        assert_eq!(found, expected, "{lines}");
    };
    let day = SOURCE_RETRY_AFTER_MAX.as_secs();
    check("ratelimit: \"default\";r=50;t=30", Some((None, 50, Some(30))));
    check(
        "ratelimit: \"default\";r=50;t=30\nratelimit-policy: \"default\";q=100;w=60",
        Some((Some(100), 50, Some(30))),
    );
    check("ratelimit: \"hour\";r=500;t=3000, \"second\";r=3;t=1", Some((None, 3, Some(1))));
    check(
        "ratelimit: \"bytes\";r=0;t=9, \"calls\";r=5\nratelimit-policy: \"bytes\";q=1000;qu=\"content-bytes\", \"calls\";q=9",
        Some((Some(9), 5, None)),
    );
    check("ratelimit: default;r=50;t=30;pk=:aGk=:", Some((None, 50, Some(30))));
    check("ratelimit: \"a\";r=50;t=99999999999", Some((None, 50, Some(day))));
    check("ratelimit: limit=100, remaining=4, reset=50", Some((Some(100), 4, Some(50))));
    for malformed in [
        "\"a\";r=50;",
        "\"a\";r=50,",
        "\"a;r=50",
        "\"a\";r=-1",
        "\"a\";r=1.5",
        "\"a\";r=9999999999999999",
        "\"a\";R=1",
        "\"a\"",
        "remaining=x",
        "remaining=1 2",
        "",
        "🦀",
    ] {
        let mut response = response(200, "", "");
        response
            .headers
            .append("ratelimit", HeaderValue::from_bytes(malformed.as_bytes()).unwrap());
        let found = Pacing::of(&response, Timestamp::from_millis(LATER * 1000)).quota;
        assert_eq!(found, None, "{malformed}");
    }
    check(
        "ratelimit-limit: 100, 100;w=60\nratelimit-remaining: 4\nratelimit-reset: 50",
        Some((Some(100), 4, Some(50))),
    );
    check(
        "x-ratelimit-limit: 60\nx-ratelimit-remaining: 4\nx-ratelimit-reset: 1795000050",
        Some((Some(60), 4, Some(50))),
    );
    check("x-ratelimit-remaining: 4\nx-ratelimit-reset: 1795000050123", Some((None, 4, Some(50))));
    check("x-ratelimit-remaining: 4\nx-ratelimit-reset: 1794999999", Some((None, 4, Some(0))));
    check("x-ratelimit-remaining: 4\nx-ratelimit-reset: 59.7", Some((None, 4, Some(59))));
    check("x-ratelimit-remaining: 4.0\nx-ratelimit-reset: 999999999", Some((None, 4, Some(day))));
    check("x-rate-limit-remaining: 4\nx-rate-limit-reset: NaN", Some((None, 4, None)));
    check("x-ratelimit-remaining: 4\nx-ratelimit-reset: 1e999", Some((None, 4, None)));
    check(
        "x-ratelimit-remaining: 4\nx-ratelimit-reset: 2026-11-18T11:07:20Z",
        Some((None, 4, Some(40))),
    );
    check("x-ratelimit-remaining: -4\nx-ratelimit-reset: 50", None);
    check("x-ratelimit-remaining: none", None);
    check("x-ratelimit-remaining: 4\nx-ratelimit-remaining: 5", None);
    check("x-ratelimit-limit: 60", None);
    check("x-shopify-shop-api-call-limit: 32/40", Some((Some(40), 8, None)));
    check("x-shopify-shop-api-call-limit: 41/40", Some((Some(40), 0, None)));
    check("x-shopify-shop-api-call-limit: 1/0", None);
    check("x-shopify-shop-api-call-limit: a/b", None);
    // The newest spelling counts.
    check("ratelimit: \"a\";r=9\nx-ratelimit-remaining: 4", Some((None, 9, None)));
}

#[test]
fn how_long_a_source_is_left_alone() {
    let check = |lines: &str, interval: Option<u64>, fresh: Option<u64>| {
        let found = pacing(200, lines, NOW);
        let found = (found.interval, found.fresh);
        assert_eq!(found, (interval.map(seconds), fresh.map(seconds)), "{lines}");
    };
    let day = SOURCE_RETRY_AFTER_MAX.as_secs();
    check("x-poll-interval: 60", Some(60), None);
    check("x-poll-interval: 0", None, None);
    check("x-poll-interval: 1e9", None, None);
    check("x-poll-interval: 99999999999", Some(day), None);
    check("cache-control: private, max-age=60, s-maxage=10", None, Some(60));
    check("cache-control: max-age=60\nage: 20", None, Some(40));
    check("cache-control: max-age=60\nage: 70", None, None);
    check("cache-control: max-age=60, no-cache", None, None);
    check("cache-control: no-store, max-age=60", None, None);
    check("cache-control: MAX-AGE=\"60\"", None, Some(60));
    check("cache-control: max-age=60\ncache-control: max-age=50", None, Some(50));
    check("cache-control: max-age=-1", None, None);
    check("cache-control: max-age=soon\nexpires: Sun, 06 Nov 1994 08:51:37 GMT", None, None);
    check("cache-control: max-age=31536000", None, Some(day));
    check("expires: Sun, 06 Nov 1994 08:51:37 GMT", None, Some(120));
    check(
        "expires: Sun, 06 Nov 1994 08:51:37 GMT\ndate: Sun, 06 Nov 1994 08:51:07 GMT",
        None,
        Some(30),
    );
    check("expires: 0", None, None);
    check("expires: Sun, 06 Nov 1994 08:40:37 GMT", None, None);
}

#[test]
fn a_backoff_behind_the_items_is_read_and_one_among_them_is_not() {
    let check = |body: &str, expected: Option<u64>| {
        let found = Pacing::of(&response(200, "", body), Timestamp::from_millis(0)).hold;
        assert_eq!(found, expected.map(|wait| (Scope::Source, seconds(wait))), "{body}");
    };
    check(r#"{"items":[],"backoff":10,"quota_remaining":200}"#, Some(10));
    check(r#"{"items":[], "backoff" : 10, "quota_remaining":200}"#, Some(10));
    check(r#"{"items":[{"backoff":10}]}"#, None);
    check(r#"{"backoff":"soon","quota_remaining":200}"#, None);
    check(r#"{"quota_remaining":200}"#, None);
}

#[test]
fn a_feed_says_how_often_there_is_news() {
    let check = |body: &str, expected: Option<u64>| {
        assert_eq!(
            pace_of(body.as_bytes()),
            expected.map(|minutes| seconds(minutes * 60)),
            "{body}"
        );
    };
    check("<rss><channel><ttl>30</ttl><item/></channel></rss>", Some(30));
    check("<rss><channel><ttl>0</ttl></channel></rss>", None);
    check("<rss><channel><ttl>-5</ttl></channel></rss>", None);
    check("<rss><channel><item><ttl>30</ttl></item></channel></rss>", None);
    check("<channel><sy:updatePeriod> hourly </sy:updatePeriod></channel>", Some(60));
    let twice =
        "<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>2</sy:updateFrequency>";
    check(twice, Some(30));
    let never =
        "<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>0</sy:updateFrequency>";
    check(never, None);
    check("<sy:updatePeriod>always</sy:updatePeriod>", None);
    check("<ttl>", None);
    check("", None);
}

#[test]
fn answers_of_one_poll_add_up() {
    let mut all = pacing(200, "cache-control: max-age=60\nx-poll-interval: 5", NOW);
    all.add(pacing(200, "cache-control: max-age=90\nx-poll-interval: 9\nbackoff: 3", NOW));
    assert_eq!((all.fresh, all.interval), (Some(seconds(60)), Some(seconds(9))));
    assert_eq!((all.hold, all.floor()), (Some((Scope::Source, seconds(3))), Some(seconds(9))));
    all.add(pacing(429, "retry-after: 30\nx-ratelimit-remaining: 0", NOW));
    assert_eq!(all.hold, Some((Scope::Credential, seconds(30))));
    assert_eq!(all.quota, Some(Quota { remaining: 0, ..Quota::default() }));
}

proptest! {
    #[test]
    fn no_header_panics_and_no_wait_is_longer_than_a_day(
        name in 0_usize..12,
        value in "[ -~]{0,40}",
        status in 200_u16..600,
    ) {
        let name = [
            "retry-after", "backoff", "ratelimit", "ratelimit-policy", "ratelimit-reset",
            "x-ratelimit-remaining", "x-ratelimit-reset", "x-poll-interval", "cache-control", "age",
            "expires", "x-shopify-shop-api-call-limit",
        ][name];
        let lines = format!("x-ratelimit-remaining: 1\n{name}: {value}");
        let found = pacing(status, &lines, LATER);
        let waits = [found.floor(), found.fresh, found.quota.and_then(|quota| quota.reset)];
        prop_assert!(waits.into_iter().flatten().all(|wait| wait <= SOURCE_RETRY_AFTER_MAX));
    }
}
