//! Reading `Retry-After`; where requests go; what is shown of headers.

use std::time::Duration;

use url::Url;

use crate::core::http::{origin, parse_retry_after, shown_headers};
use crate::core::time::Timestamp;

#[test]
fn an_origin_is_scheme_host_and_port() {
    let check = |text: &str, expected: &str| {
        let url = Url::parse(text).expect("a URL");
        assert_eq!(origin(&url), expected, "{text}");
        assert_eq!(url.origin().ascii_serialization(), expected, "{text}, by RFC 6454");
    };
    check("https://a.example", "https://a.example");
    check("https://A.Example:443/x?q=1#f", "https://a.example");
    check("http://a.example:8080/x@y:z", "http://a.example:8080");
    check("http://a.example:443?q=/", "http://a.example:443");
    check("https://user@a.example/x", "https://a.example");
    check("https://:word@a.example:81/x", "https://a.example:81");
    check("https://@a.example/x", "https://a.example");
    check("http://[::1]:80/x", "http://[::1]");
    check("http://127.1/x", "http://127.0.0.1");
    check("https://bücher.example/x", "https://xn--bcher-kva.example");
    check("file:///etc/hosts", "null");
    check("data:text/plain,x", "null");
}

#[test]
fn retry_after_is_seconds_or_a_date_and_nothing_else() {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let now = Timestamp::from_millis(784_111_777_000);
    let check = |text: &str, expected: Option<u64>| {
        let found = parse_retry_after(text, now);
        assert_eq!(found, expected.map(Duration::from_secs), "{text:?}");
    };
    let clamped = Some(u64::from(u32::MAX));
    check("0", Some(0));
    check("120", Some(120));
    check(" 120 ", Some(120));
    check("0120", Some(120));
    check("4294967295", clamped);
    check("4294967296", clamped);
    check("9223372036854775808", clamped);
    check("99999999999999999999999999999999", clamped);
    check("1.0", Some(1));
    check("1.5", Some(2));
    check("0.25", Some(1));
    check("-1", None);
    check("+1", None);
    check("1.", None);
    check(".5", None);
    check("1.5.1", None);
    check("1e3", None);
    check("0x10", None);
    check("", None);
    check("soon", None);
    check("120, 120", None);
    check("١٢٠", None);
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
    check("Sun, 06 Nov 1994 08:51:37 GMT", Some(120));
    check("Sunday, 06-Nov-94 08:51:37 GMT", Some(120));
    check("Sun Nov  6 08:51:37 1994", Some(120));
    check("Sun, 06 Nov 1994 08:47:37 GMT", Some(0));
    check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
    check("Fri, 31 Dec 9999 23:59:59 GMT", clamped);
    check("Sun, 06 Nov 99999 08:49:37 GMT", None);
    check("1994-11-06T08:51:37Z", None);
}

#[test]
fn headers_are_shown_without_credentials() {
    let check = |name: &'static str, sensitive: bool, expected: &str| {
        let mut value = http::HeaderValue::from_static("a value");
        value.set_sensitive(sensitive);
        let headers = http::HeaderMap::from_iter([(http::HeaderName::from_static(name), value)]);
        assert_eq!(shown_headers(&headers), [(name.to_owned(), expected.to_owned())]);
    };
    check("accept", false, "a value");
    check("accept", true, "…");
    check("authorization", false, "…");
    check("cookie", false, "…");
    check("x-api-key", false, "…");
    check("if-none-match", false, "a value");
}
