//! The guard at work: what a URL from somebody else reaches.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::Resolve;

use super::server::{Script, Server, Then};
use super::{client, get, words};
use crate::core::http::{Reach, Request};
use crate::http::HttpClient;
use crate::http::fault::Carried;
use crate::http::resolver::Resolver;

#[tokio::test]
async fn a_private_host_is_never_dialled_for_somebody_else() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let server = Server::start(vec![Script::new(ok, Then::Keep)]).await;
    let client = client();
    // The operator's own request leaves a connection in the pool, which is not for others.
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}", server.port());
        assert_eq!(words(&client.exchange(get(&url)).await), "200 \"hello\"");
    }
    let before = server.connections();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "0x7f.1", "[::ffff:127.0.0.1]", "0"] {
        let url = format!("http://{host}:{}", server.port());
        let request = Request { reach: Reach::Public, ..get(&url) };
        let outcome = words(&client.exchange(request).await);
        assert!(outcome.starts_with("blocked: "), "{host}: {outcome}");
    }
    assert_eq!(server.connections(), before);
}

/// Loopback, as it can be spelt: with the server's port, each of these would reach it.
const LOOPBACK: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.1.",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "0x7f.0.1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "2130706433",
    "127.0.0x1",
    "127.0.01",
    "000000000177.0.0.1",
    "0x000000007f.1",
    "127.0.0.2",
    "127.255.255.254",
    "%31%32%37.0.0.1",
    "%31%32%37%2E0%2E0%2E1",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "①②⑦.0.0.1",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[fe80::1]",
    "user@127.0.0.1",
    "a:b@127.1",
];

/// The address where clouds tell whoever asks their secrets, and its neighbours.
const METADATA: &[&str] = &[
    "169.254.169.254",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.169.254.",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "１６９.２５４.１６９.２５４",
    "%31%36%39.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
];

#[tokio::test]
async fn no_spelling_reaches_what_is_not_public() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let server = Server::start(vec![Script::new(ok, Then::Keep)]).await;
    let client = client();
    for host in LOOPBACK.iter().chain(METADATA) {
        let url = format!("http://{host}:{}/latest/meta-data", server.port());
        // What is no URL at all cannot be written down, either.
        if url::Url::parse(&url).is_err() {
            continue;
        }
        let request = Request { reach: Reach::Public, ..get(&url) };
        let outcome = words(&client.exchange(request).await);
        // A name may also lead nowhere at all.
        let is_refused = ["blocked: ", "resolve: "].iter().any(|word| outcome.starts_with(word));
        assert!(is_refused, "{host}: {outcome}");
    }
    assert_eq!(server.connections(), 0);
    assert!(LOOPBACK.len() + METADATA.len() >= 60);
}

/// Resolves with scripted answers.
async fn resolve(reach: Reach, lookup: fn(&str) -> io::Result<Vec<SocketAddr>>) -> String {
    let resolver = Resolver::with_lookup(reach, lookup);
    match resolver.resolve("name.example".parse().unwrap()).await {
        Ok(addresses) => {
            addresses.map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
        }
        Err(error) => {
            let Carried(fault) = error.downcast_ref().expect("our own fault");
            words(&Err(fault.clone()))
        }
    }
}

fn addresses(list: &str) -> Vec<SocketAddr> {
    list.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
}

#[tokio::test]
async fn names_are_judged_by_the_addresses_they_lead_to() {
    let blocked = "blocked: name.example may not be reached: the name leads to no public address";
    for (lookup, public, anywhere) in [
        (
            (|_| Ok(addresses("8.8.8.8 2600::1"))) as fn(&str) -> _,
            "8.8.8.8 2600::1",
            "8.8.8.8 2600::1",
        ),
        (|_| Ok(addresses("127.0.0.1")), blocked, "127.0.0.1"),
        (|_| Ok(addresses("::ffff:10.0.0.1 fe80::1")), blocked, "::ffff:10.0.0.1 fe80::1"),
        // A mixed answer: only what is public is dialled.
        (|_| Ok(addresses("10.0.0.1 8.8.8.8 ::1")), "8.8.8.8", "10.0.0.1 8.8.8.8 ::1"),
        (
            |_| Ok(Vec::new()),
            "resolve: the name name.example does not resolve: it has no address",
            "resolve: the name name.example does not resolve: it has no address",
        ),
        (
            |_| Err(io::Error::other("no such name")),
            "resolve: the name name.example does not resolve: no such name",
            "resolve: the name name.example does not resolve: no such name",
        ),
    ] {
        assert_eq!(resolve(Reach::Public, lookup).await, public);
        assert_eq!(resolve(Reach::Anywhere, lookup).await, anywhere);
    }
}

#[tokio::test]
async fn a_name_that_flips_is_judged_each_time() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let resolver = Resolver::with_lookup(Reach::Public, |_| {
        let first = ASKED.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(addresses(if first { "8.8.8.8" } else { "169.254.169.254" }))
    });
    let name = || "flips.example".parse().unwrap();
    assert!(resolver.resolve(name()).await.is_ok());
    assert!(resolver.resolve(name()).await.is_err());
}
