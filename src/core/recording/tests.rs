//! Recordings: what they hide, and which answer belongs to which request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use crate::core::http::{
    BodyLimit, Reach, Request, Response, TransportFault, Way, shown_url, shown_url_with,
};
use crate::core::recording::{Answered, Asked, Recorded, Recording};

fn request(method: &str, url: &str, body: &str) -> Request {
    let mut token = HeaderValue::from_static("hunter2-token");
    token.set_sensitive(true);
    Request {
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        url: url.parse().expect("a URL"),
        headers: HeaderMap::from_iter([
            ("x-mine".parse().expect("a name"), token),
            (http::header::COOKIE, HeaderValue::from_static("hunter2-cookie")),
            (http::header::ACCEPT, HeaderValue::from_static("*/*")),
        ]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        deadline: Duration::from_secs(1),
        limit: BodyLimit::Whole { bytes_max: 1 },
        reach: Reach::Anywhere,
        way: Way::default(),
    }
}

fn clean(text: &str) -> String {
    text.replace("hunter2-known", "•••")
}

fn asked(method: &str, url: &str, body: &str) -> Asked {
    Asked::of(&request(method, url, body), shown_url, clean)
}

/// With the values of parameters that are not hidden.
fn shown(url: &str) -> Asked {
    let request = request("GET", url, "");
    Asked::of(&request, |url| shown_url_with(url, |name| name != "hidden"), clean)
}

fn answer(body: &[u8]) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("set-cookie", "hunter2-session"),
        ("link", "<https://a.example/?page=2&key=hunter2-known>; rel=\"next\""),
        ("link", "</last>; rel=\"last\""),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    Response { status: 200, headers, body: Bytes::copy_from_slice(body) }
}

fn recording(exchanges: Vec<(Asked, &[u8])>) -> Recording {
    let exchanges = exchanges.into_iter().map(|(request, body)| Recorded {
        request: Some(request),
        response: Some(Answered::of(&answer(body), clean)),
        fault: None,
    });
    Recording {
        doorbell: String::from("1.0.0"),
        source: String::from("tickets"),
        recorded: String::from("2026-11-21T00:00:00Z"),
        exchanges: exchanges.collect(),
        left_off: 0,
    }
}

#[test]
fn nothing_secret_is_written_and_all_else_comes_back() {
    let url = "https://user:hunter2-pass@a.example/x?token=hunter2-query&a=b";
    let bodies: [&[u8]; 4] = [
        br#"{"id": 1.50, "b": "\u00e9"}"#,
        b"\xff\xfe not text",
        br#"{"access_token": "hunter2-new", "refresh_token": "hunter2-next", "expires_in": 9}"#,
        b"",
    ];
    let body = r#"{"password": "hunter2-known"}"#;
    let made = recording(bodies.iter().map(|answer| (asked("POST", url, body), *answer)).collect());
    let text = made.text();
    assert!(!text.contains("hunter2"), "{text}");
    let mut read = Recording::read(text.as_bytes()).expect("it is a recording");
    assert_eq!(read, made);
    for expected in bodies {
        let response = read.take(&asked("POST", url, body)).expect("an answer");
        assert_eq!(response.status, 200);
        assert_eq!(response.headers.get_all("link").iter().count(), 2);
        assert!(!response.headers.contains_key("set-cookie"));
        if !expected.starts_with(b"{\"access") {
            assert_eq!(response.body, expected);
        }
    }
}

#[test]
fn a_request_finds_its_answer() {
    let check = |recorded: (&str, &str, &str), now: (&str, &str, &str), is_same: bool| {
        let ((method, url, body), (now_method, now_url, now_body)) = (recorded, now);
        let mut file = recording(vec![(asked(method, url, body), b"[]")]);
        let found = file.take(&asked(now_method, now_url, now_body));
        assert_eq!(found.is_ok(), is_same, "{recorded:?} {now:?}");
    };
    let plain = ("GET", "http://a/x?b=1&c=2", "");
    check(plain, plain, true);
    check(plain, ("GET", "http://a/x?c=3&b=4", ""), true);
    check(plain, ("GET", "http://a/x?b=1", ""), false);
    check(plain, ("GET", "http://a/y?b=1&c=2", ""), false);
    check(plain, ("POST", "http://a/x?b=1&c=2", ""), false);
    check(plain, ("GET", "https://a/x?b=1&c=2", ""), false);
    check(plain, ("GET", "http://u:p@a/x?b=1&c=2", ""), true);
    check(
        ("POST", "http://a/", r#"{"a":1,"b":2}"#),
        ("POST", "http://a/", r#"{"b":2, "a":1}"#),
        true,
    );
    check(("POST", "http://a/", r#"{"a":1}"#), ("POST", "http://a/", r#"{"a":2}"#), false);
    check(("POST", "http://a/", "a=1"), ("POST", "http://a/", "a=1"), true);
    check(("POST", "http://a/", "hunter2-known"), ("POST", "http://a/", "•••"), true);
}

#[test]
fn values_that_are_shown_are_compared() {
    let check = |recorded: Asked, now: Asked, is_same: bool| {
        let told = format!("{recorded:?} {now:?}");
        let found = recording(vec![(recorded, b"[]")]).take(&now);
        assert_eq!(found.is_ok(), is_same, "{told}");
    };
    check(shown("http://a/?page=1&hidden=1"), shown("http://a/?hidden=2&page=1"), true);
    check(shown("http://a/?page=1"), shown("http://a/?page=2"), false);
    check(shown("http://a/?at=a%20b"), shown("http://a/?at=a+b"), true);
    check(shown("http://a/?a=1&a=2"), shown("http://a/?a=2&a=1"), true);
    check(shown("http://a/?a=1&a=2"), shown("http://a/?a=2&a=2"), false);
    // One that was recorded when all values were hidden.
    check(asked("GET", "http://a/?page=1&hidden=1", ""), shown("http://a/?page=2&hidden=3"), true);
}

#[test]
fn the_same_request_again_gets_the_next_answer() {
    let page = |number: usize| asked("GET", &format!("http://a/?page={number}"), "");
    let mut file = recording(vec![(page(1), b"[1]"), (page(2), b"[2]"), (page(3), b"[3]")]);
    for expected in ["[1]", "[2]", "[3]"] {
        assert_eq!(file.take(&page(7)).expect("an answer").body, expected);
    }
    let fault = file.take(&page(4)).expect_err("none is left");
    let request = String::from("GET http://a/?page=…");
    assert_eq!(fault, TransportFault::NotRecorded { request });
}

#[test]
fn a_url_that_somebody_typed_in_full_is_found() {
    let text = r#"{"doorbell": "", "source": "", "recorded": "", "exchanges": [
        {"request": {"method": "get", "url": "http://a/?page=1"}, "response": {"status": 404}},
        {"request": {"method": "GET", "url": "http://a/?page=2"}, "fault": "it hung up"}]}"#;
    let mut file = Recording::read(text.as_bytes()).expect("it is a recording");
    let page = asked("GET", "http://a/?page=9", "");
    assert_eq!(file.take(&page).expect("an answer").status, 404);
    let fault = file.take(&page).expect_err("a fault");
    assert_eq!(fault, TransportFault::Cut { detail: String::from("it hung up") });
}

#[test]
fn a_saved_answer_is_taken_for_what_it_is() {
    let check = |body: &str, expected: Option<&str>| {
        let mut file = Recording::read(body.as_bytes()).expect("any document will do");
        let response = file.take(&asked("GET", "http://anywhere/", "")).expect("an answer");
        assert_eq!(
            (response.header("content-type"), &response.body[..]),
            (expected, body.as_bytes())
        );
        assert!(file.take(&asked("GET", "http://anywhere/", "")).is_err());
    };
    check("[]", Some("application/json"));
    check("\n {\"doorbell\": 1}", Some("application/json"));
    check("{\"exchanges\": []}", Some("application/json"));
    check("{\"a\":1}\n{\"a\":2}\n", Some("application/x-ndjson"));
    check("<?xml version=\"1.0\"?><rss/>", Some("application/xml"));
    check("<!DOCTYPE html><p>", Some("text/html"));
    check("<html>", Some("text/html"));
    check("id,name\n1,a\n", None);
    check("", None);
    for wrong in [
        r#"{"doorbell": "1", "exchanges": 7}"#,
        r#"{"doorbell": "1", "exchanges": [{"response": 1}]}"#,
    ] {
        assert!(Recording::read(wrong.as_bytes()).is_err(), "{wrong}");
    }
}
