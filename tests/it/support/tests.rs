//! The kit is tested too: a test that waits for a server that misbehaves wrongly proves nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::reply::Manner;
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Receiver, Reply};

/// Sends a request on a connection of its own; what came back before a pause, and how it ended.
fn exchange(url: &str, method: &str, headers: &str, body: &str) -> (String, &'static str) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let (mut heard, mut step) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut step) {
            Ok(0) => break "closed",
            Ok(_) if heard.len() > 1_000_000 => break "endless",
            Ok(length) => heard.extend_from_slice(&step[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break "reset",
            Err(_) => break "open",
        }
    };
    (String::from_utf8_lossy(&heard).into_owned(), end)
}

#[test]
fn the_api_serves_items_tags_and_pages() {
    let api = ApiServer::with_items(json!([{ "id": 1 }, { "id": "b" }, { "id": 3 }]));
    let (first, _) = exchange(&api.url(), "GET", "", "");
    assert!(first.ends_with(r#"[{"id":1},{"id":"b"},{"id":3}]"#), "{first}");
    let etag = first.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    let (again, _) = exchange(&api.url(), "GET", &format!("if-none-match: {etag}\r\n"), "");
    assert!(again.starts_with("HTTP/1.1 304 "), "{again}");

    api.set_items_per_page(2);
    let (page, _) = exchange(&api.url(), "GET", "", "");
    assert!(page.contains("Link: </items?page=2>; rel=\"next\"\r\n"), "{page}");
    let (page, _) = exchange(&api.url_of("/items?page=2"), "GET", "", "");
    assert!(page.ends_with(r#"[{"id":3}]"#) && !page.contains("Link"), "{page}");

    for (path, status) in [("/items/1", 200), ("/items/b", 200), ("/items/2", 404)] {
        let (item, _) = exchange(&api.url_of(path), "GET", "", "");
        assert!(item.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {item}");
    }
    assert_eq!(api.asked(), 7);
    assert_eq!(api.requests()[3].query("page"), Some("2"));
}

#[test]
fn every_manner_is_what_it_says() {
    let api = ApiServer::start();
    let reply = || Reply::text("text/plain", "hello");
    for (reply, contains, end) in [
        (reply(), "Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello", "open"),
        (Reply::status(304), "HTTP/1.1 304 Scripted\r\n\r\n", "open"),
        (Reply::hang(), "", "open"),
        (Reply::reset(), "", "reset"),
        (
            reply().sent(Manner::Understated(2)),
            "Length: 3\r\nContent-Type: text/plain\r\n\r\nhello",
            "open",
        ),
        (
            reply().sent(Manner::CutAfter(2)),
            "Length: 5\r\nContent-Type: text/plain\r\n\r\nhe",
            "closed",
        ),
        (reply().sent(Manner::ChunksCut), "\r\n\r\n5\r\nhello\r\n", "closed"),
        (reply().sent(Manner::Drip(Duration::from_millis(20))), "\r\n\r\nhello", "open"),
        (reply().sent(Manner::Drip(Duration::from_secs(1))), "text/plain\r\n\r\n", "open"),
        (Reply::endless(), "\r\n\r\n[[[[", "endless"),
        (Reply::raw("what"), "what", "closed"),
    ] {
        api.next(reply.clone());
        let (heard, ended) = exchange(&api.url(), "GET", "", "");
        assert!(heard.contains(contains) && (ended == end), "{reply:?}: {ended} {heard:.200}");
    }
    api.next(reply().sent(Manner::ResetAfter(2)));
    // How much of it arrives before the reset is a matter of luck.
    assert_eq!(exchange(&api.url(), "GET", "", "").1, "reset");
}

#[test]
fn the_receiver_remembers_attempts_and_tells_the_story() {
    let receiver = Receiver::start();
    receiver.next(Reply::status(500));
    receiver.for_key("7", Reply::hang());
    let ring = |id: &str, key: &str| {
        let event = json!({ "type": "x.created", "key": key }).to_string();
        exchange(&receiver.url(), "POST", &format!("webhook-id: {id}\r\n"), &event);
    };
    for (id, key) in [("a", "7"), ("b", "8"), ("b", "8"), ("b", "8")] {
        ring(id, key);
    }
    receiver.heal();
    ring("a", "7");
    receiver.expect(&["x.created 7", "x.created 8"]);
    let ledger = receiver.ledger();
    assert_eq!(ledger.story(), ["x.created 8", "x.created 7"]);
    let attempts: Vec<_> = ledger.attempts("b").iter().map(|ring| ring.status).collect();
    assert_eq!(attempts, [Some(500), Some(200), Some(200)]);
    assert_eq!(ledger.attempts("a")[0].status, None);
}

#[test]
fn commands_run_and_are_heard() {
    let daemon = Daemon::new("sources: {}\n");
    let output = daemon.cli(&["--version"]);
    assert!(output.code.is_some(), "{output:?}");
    wait_until("the configuration", || daemon.config_path().exists());
}
