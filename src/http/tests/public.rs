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

/// Loopback, and the addresses where clouds tell whoever asks their secrets, as they can be spelt.
const NOT_PUBLIC: &str = include_str!("../../../tests/cases/not_public.txt");

#[tokio::test]
async fn no_spelling_reaches_what_is_not_public() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let server = Server::start(vec![Script::new(ok, Then::Keep)]).await;
    let client = client();
    let hosts: Vec<_> = NOT_PUBLIC.lines().filter(|line| !line.starts_with('#')).collect();
    for host in &hosts {
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
    assert!(hosts.len() >= 60);
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
