//! Where redirects lead, and what goes along.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};

use crate::core::fault::Whose;
use crate::core::http::redirect::Journey;
use crate::core::http::{BodyLimit, Reach, Request, Way};

/// A POST with credentials of every kind.
fn request(url: &str, redirects_max: usize) -> Request {
    let fields = [
        ("authorization", "Bearer s3cret"),
        ("cookie", "a=s3cret"),
        ("x-odd", "s3cret"),
        ("x-my-token", "s3cret"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
    ];
    let headers = fields
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Request {
        method: Method::POST,
        url: url.parse().unwrap(),
        headers: HeaderMap::from_iter(headers),
        body: Bytes::from_static(b"{}"),
        deadline: Duration::from_secs(1),
        limit: BodyLimit::Whole { bytes_max: 1 },
        reach: Reach::Anywhere,
        way: Way { redirects_max, credentials: vec![String::from("odd")], ..Way::default() },
    }
}

/// `METHOD URL headers…` after all hops, or what is refused. The headers are those of [`request`], by their first letters.
fn told(request: &mut Request, hops: &[(u16, &str)]) -> String {
    let mut journey = Journey::begin(request).unwrap();
    for (status, location) in hops {
        let mut headers = HeaderMap::new();
        if !location.is_empty() {
            headers.insert(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap());
        }
        match journey.goes_on(request, *status, &headers) {
            Ok(true) => {}
            Ok(false) => return format!("an answer: {status}"),
            Err(fault) => {
                let fault = fault.to_fault(Whose::Source);
                assert!(!fault.sentence.contains("s3cret"), "{fault}");
                assert_eq!(fault.code, "redirect");
                return fault.sentence;
            }
        }
    }
    let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let body = if request.body.is_empty() { "" } else { " body" };
    format!("{} {} {}{body}", request.method, request.url, names.join(" "))
}

const ALL: &str = "accept authorization content-type cookie x-my-token x-odd body";
const NO_BODY: &str = "accept authorization cookie x-my-token x-odd";

#[test]
fn a_redirect_changes_the_method_as_browsers_do() {
    let check = |method: Method, status: u16, expected: &str| {
        let mut request = Request { method, ..request("https://a.example/x", 1) };
        let told = told(&mut request, &[(status, "/y")]);
        assert!(
            told.starts_with(expected)
                && told.ends_with(if expected.starts_with("GET") { NO_BODY } else { ALL }),
            "{told}"
        );
    };
    for status in [301, 302, 303] {
        check(Method::POST, status, "GET https://a.example/y");
    }
    for status in [307, 308] {
        check(Method::POST, status, "POST https://a.example/y");
    }
    check(Method::PUT, 301, "PUT ");
    check(Method::PUT, 303, "GET ");
    check(Method::HEAD, 303, "HEAD ");
    // Others are answers.
    for status in [200, 300, 304, 305, 306, 404] {
        assert_eq!(
            told(&mut request("https://a.example/", 1), &[(status, "/y")]),
            format!("an answer: {status}")
        );
    }
}

#[test]
fn credentials_stay_inside_the_origin_and_do_not_come_back() {
    let check = |hops: &[&str], expected: &str| {
        let hops: Vec<_> = hops.iter().map(|to| (307, *to)).collect();
        let from = "https://a.example/x?odd=s3cret&api_key=s3cret&page=2";
        let mut request = Request { body: Bytes::new(), ..request(from, 9) };
        assert_eq!(told(&mut request, &hops), expected, "{hops:?}");
    };
    let left = "accept";
    let all = ALL.trim_end_matches(" body");
    check(&["/y"], &format!("POST https://a.example/y?odd=s3cret&api_key=s3cret {all}"));
    check(
        &["?page=2"],
        &format!("POST https://a.example/x?page=2&odd=s3cret&api_key=s3cret {all}"),
    );
    check(&["/y?odd=other"], &format!("POST https://a.example/y?odd=other&api_key=s3cret {all}"));
    // Another host, another port, another scheme.
    check(&["https://b.example/"], &format!("POST https://b.example/ {left}"));
    check(&["//b.example/y"], &format!("POST https://b.example/y {left}"));
    check(&["https://a.example:8443/"], &format!("POST https://a.example:8443/ {left}"));
    check(&["https://a.example.b.example/"], &format!("POST https://a.example.b.example/ {left}"));
    // The same origin, spelt otherwise.
    check(
        &["HTTPS://A.EXAMPLE:443/y"],
        &format!("POST https://a.example/y?odd=s3cret&api_key=s3cret {all}"),
    );
    // There and back.
    check(
        &["https://b.example/", "https://a.example/y"],
        &format!("POST https://a.example/y {left}"),
    );
    // A server that passes the query on; what it signed itself stays.
    check(
        &["https://b.example/?odd=s3cret&api_key=s3cret&page=2"],
        &format!("POST https://b.example/?page=2 {left}"),
    );
    check(
        &["https://b.example/?token=theirs&a=%20b"],
        &format!("POST https://b.example/?token=theirs&a=%20b {left}"),
    );
    check(&["https://clerk:pass@b.example/#top"], &format!("POST https://b.example/ {left}"));
}

#[test]
fn a_body_does_not_leave_the_origin() {
    let check = |hops: &[(u16, &str)], expected: &str| {
        assert_eq!(told(&mut request("https://a.example/x", 9), hops), expected, "{hops:?}");
    };
    let refused = "the API answered a redirect to another origin with the body, which may hold credentials: \
                   it was not followed";
    check(&[(307, "/y"), (308, "https://b.example/")], refused);
    check(&[(308, "https://a.example:8443/x")], refused);
    check(&[(303, "https://b.example/")], "GET https://b.example/ accept");
    check(&[(302, "/y"), (308, "https://b.example/")], "GET https://b.example/ accept");
}

#[test]
fn a_host_that_somebody_else_named_is_held_to_public_addresses() {
    let check = |from: &str, to: &str, expected: Reach| {
        let mut request = request(from, 3);
        told(&mut request, &[(303, to)]);
        assert_eq!(request.reach, expected, "{from} {to}");
    };
    check("http://10.0.0.1/", "/y", Reach::Anywhere);
    check("http://10.0.0.1/", "http://10.0.0.1:8080/y", Reach::Anywhere);
    check("http://10.0.0.1/", "http://10.0.0.2/", Reach::Public);
    check("http://a.example/", "http://169.254.169.254/", Reach::Public);
    check("https://a.example/", "https://b.example/", Reach::Public);
}

#[test]
fn what_cannot_be_followed_is_a_fault() {
    let check = |redirects_max: usize, hops: &[(u16, &str)], expected: &str| {
        let told = told(&mut request("https://a.example/x?odd=s3cret", redirects_max), hops);
        assert!(told.contains(expected), "{hops:?}: {told}");
    };
    check(1, &[(307, "/y"), (307, "/z")], "more than 1 in a row");
    check(2, &[(307, "/1"), (307, "/2"), (307, "/3")], "more than 2 in a row");
    check(9, &[(307, "/x")], "in a circle");
    check(9, &[(307, "/y"), (308, "/x")], "in a circle");
    // As a GET it is another request.
    check(9, &[(303, "/x")], "GET https://a.example/x");
    check(9, &[(303, "/x"), (302, "/x")], "in a circle");
    check(9, &[(307, "http://a.example/y")], "from https to http");
    check(9, &[(307, "")], "without `Location`");
    check(9, &[(307, "file:///etc/passwd")], "`file:`");
    check(9, &[(307, "javascript:1")], "`javascript:`");
    check(9, &[(307, "https://")], "not a URL");
    check(9, &[(307, "http://[::1")], "not a URL");
    check(9, &[(307, "\u{fffd}")], "POST https://a.example/%EF%BF%BD");
    assert!(Journey::begin(&request("https://a.example/", 0)).is_none());
}
