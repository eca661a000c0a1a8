//! Faults before and in the middle of an answer, and what is no fault.

use std::time::Duration;

use http::Method;
use tokio::net::TcpListener;

use super::server::{Script, Server, Then};
use super::{WHOLE, ask, client, get, within, words};
use crate::core::http::{BodyLimit, Request, TransportFault};
use crate::http::HttpClient;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn every_broken_answer_is_the_right_fault() {
    for (bytes, then, expected) in [
        (OK, Then::Keep, "200 \"hello\""),
        (OK, Then::Close, "200 \"hello\""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Keep, "200 \"\""),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", Then::Keep, "304 \"\""),
        ("HTTP/1.1 204 No Content\r\n\r\n", Then::Keep, "204 \"\""),
        // An answer without a length ends with the connection.
        ("HTTP/1.1 200 OK\r\n\r\nhello", Then::Close, "200 \"hello\""),
        ("HTTP/1.0 200 OK\r\n\r\nhello", Then::Close, "200 \"hello\""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            Then::Keep,
            "200 \"x\"",
        ),
        // A redirect is an answer.
        ("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", Then::Keep, "301 \"\""),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            Then::Keep,
            "302 \"\"",
        ),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", Then::Keep, "500 \"oops\""),
        // More than was promised: the rest is not part of the answer.
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello", Then::Keep, "200 \"hel\""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            Then::Keep,
            "200 \"hello\"",
        ),
        // Less than was promised.
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", Then::Close, "cut: "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", Then::Reset, "cut: "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", Then::Close, "cut: "),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", Then::Close, "cut: "),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Then::Close,
            "cut: ",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Then::Reset,
            "cut: ",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            Then::Close,
            "cut: ",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", Then::Reset, "cut: "),
        ("HTTP/1.1 200 OK\r\nContent-Le", Then::Close, "cut: "),
        ("HTTP/1.1 200 OK\r\nContent-Le", Then::Reset, "cut: "),
        ("", Then::Close, "cut: "),
        ("", Then::Reset, "cut: "),
        // Not HTTP at all.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n",
            Then::Close,
            "protocol: ",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Then::Close, "protocol: "),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            Then::Close,
            "protocol: ",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", Then::Close, "protocol: "),
        ("HTTP/1.1 9999 What\r\n\r\n", Then::Close, "protocol: "),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Then::Close, "protocol: "),
    ] {
        let outcome = within(Duration::from_secs(5), ask(Script::new(bytes, then), WHOLE)).await;
        let outcome = words(&outcome);
        assert!(outcome.starts_with(expected), "{bytes:?} gave {outcome}, not {expected}");
    }
}

#[tokio::test]
async fn of_a_receiver_the_status_counts_and_the_rest_is_no_fault() {
    let pause = Duration::from_millis(50);
    let drip = Then::Repeat(vec![b'x'], pause);
    let endless = Then::Repeat(vec![b'x'; 65_536], Duration::ZERO);
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 50\r\n\r\nhello";
    let open = "HTTP/1.1 200 OK\r\n\r\nhello";
    for (bytes, then, status, bytes_min, bytes_max) in [
        (OK, Then::Keep, 200, 5, 5),
        (short, Then::Close, 200, 5, 5),
        (short, Then::Reset, 200, 0, 5),
        (short, Then::Hold, 200, 5, 5),
        (gone, Then::Reset, 410, 0, 5),
        (gone, Then::Hold, 410, 5, 5),
        (open, drip, 200, 6, 40),
        (open, endless, 200, 100, 100),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
            Then::Keep,
            200,
            0,
            0,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Then::Hold, 200, 0, 0),
    ] {
        let limit = BodyLimit::First { bytes_max: 100 };
        let asked = ask(Script::new(bytes, then), limit);
        let answer = within(Duration::from_millis(2500), asked).await.expect(bytes);
        assert_eq!(answer.status, status, "{bytes:?}");
        assert!((bytes_min..=bytes_max).contains(&answer.body.len()), "{bytes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn one_deadline_covers_everything_and_says_where_it_struck() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("https://{}", silent.local_addr().unwrap());
    let deadline = Duration::from_millis(400);
    let timed_out = |phase| Err(TransportFault::Timeout { phase, after: deadline });
    let trickle = || Then::Repeat(vec![b'x'; 100], Duration::from_millis(20));
    for (script, limit, expected) in [
        (Script::new("", Then::Hold), WHOLE, "waiting for the answer"),
        (Script::new("HTTP/1.1 200 OK\r\nA", trickle()), WHOLE, "waiting for the answer"),
        (Script::new("", Then::Hold), BodyLimit::First { bytes_max: 9 }, "waiting for the answer"),
        (
            Script::new(
                "",
                Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::from_millis(1)),
            ),
            WHOLE,
            "waiting for the answer",
        ),
        (Script::new("HTTP/1.1 200 OK\r\n\r\n", trickle()), WHOLE, "reading the body"),
        (
            Script::new("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", trickle()),
            WHOLE,
            "reading the body",
        ),
    ] {
        let server = Server::start(vec![script]).await;
        let request = Request { deadline, limit, ..get(&server.url()) };
        let outcome = within(Duration::from_millis(1500), client().exchange(request)).await;
        assert_eq!(outcome.map(|answer| answer.status), timed_out(expected));
    }
    let request = Request { deadline, ..get(&silent) };
    let outcome = within(Duration::from_millis(1500), client().exchange(request)).await;
    assert_eq!(outcome.map(|answer| answer.status), timed_out("connecting"));
}

#[tokio::test]
async fn an_endless_deadline_is_allowed() {
    let server = Server::start(vec![Script::new(OK, Then::Keep)]).await;
    let request = Request { deadline: Duration::MAX, ..get(&server.url()) };
    assert_eq!(words(&client().exchange(request).await), "200 \"hello\"");
}

#[tokio::test]
async fn a_closed_port_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = words(&client().exchange(get(&format!("http://{address}"))).await);
    assert!(outcome.starts_with(&format!("connect: no connection: {address}: ")), "{outcome}");
}

#[tokio::test]
async fn a_kept_connection_that_ends_unused_is_no_fault_of_a_get() {
    for (method, expected, connections) in [
        (Method::GET, "200 \"hello\"", 2),
        (Method::HEAD, "200 \"\"", 2),
        // What may have changed something is not sent twice.
        (Method::POST, "cut: ", 1),
    ] {
        let ok = || match method {
            Method::HEAD => Script::new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Then::Keep),
            _ => Script::new(OK, Then::Keep),
        };
        let server = Server::start(vec![ok(), Script::new("", Then::Close), ok()]).await;
        let client = client();
        let request = Request { method: method.clone(), ..get(&server.url()) };
        client.exchange(request.clone()).await.unwrap();
        let outcome = words(&client.exchange(request).await);
        assert!(outcome.starts_with(expected), "{method}: {outcome}");
        assert_eq!(server.connections(), connections, "{method}");
    }
}

#[tokio::test]
async fn a_fresh_connection_that_ends_is_not_tried_twice() {
    let server = Server::start(vec![Script::new("", Then::Close)]).await;
    let outcome = words(&client().exchange(get(&server.url())).await);
    assert!(outcome.starts_with("cut: "), "{outcome}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn connections_are_used_again_unless_something_was_wrong_with_them() {
    for (first, connections) in [
        (OK, 1),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 1),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello", 2),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", 2),
    ] {
        let scripts = vec![Script::new(first, Then::Keep), Script::new(OK, Then::Keep)];
        let server = Server::start(scripts).await;
        let client = client();
        client.exchange(get(&server.url())).await.unwrap();
        assert_eq!(words(&client.exchange(get(&server.url())).await), "200 \"hello\"", "{first:?}");
        assert_eq!(server.connections(), connections, "{first:?}");
    }
}
