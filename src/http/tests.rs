//! Every way an exchange can fail, met on real sockets. The servers are scripts of raw bytes.

mod bodies;
mod faults;
mod public;
mod routes;
mod server;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::core::fault::Whose;
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault, Way};
use crate::http::HttpClient;
use crate::http::body::LeastRate;
use crate::http::client::ReqwestClient;
use server::{Script, Server};

/// Bytes that a test's bodies may have unless it says otherwise.
const WHOLE: BodyLimit = BodyLimit::Whole { bytes_max: 1_000_000 };

/// A client to whom ten bytes in 300 ms are fast enough.
fn client() -> ReqwestClient {
    ReqwestClient::with_least_rate(LeastRate { bytes_min: 10, period: Duration::from_millis(300) })
        .unwrap()
}

/// A GET with things in it that no fault may show.
fn get(address: &str) -> Request {
    Request {
        method: Method::GET,
        url: format!("{address}/hidden-path?token=hidden-query").parse().unwrap(),
        headers: HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            http::HeaderValue::from_static("Bearer hidden-header"),
        )]),
        body: Bytes::new(),
        deadline: Duration::from_secs(20),
        limit: WHOLE,
        reach: Reach::Anywhere,
        way: Way::default(),
    }
}

/// Sends a GET to a server with this script.
async fn ask(script: Script, limit: BodyLimit) -> Result<Response, TransportFault> {
    let server = Server::start(vec![script]).await;
    client().exchange(Request { limit, ..get(&server.url()) }).await
}

/// An outcome in a few words: `200 "body"`, or a fault's code and sentence.
fn words(outcome: &Result<Response, TransportFault>) -> String {
    match outcome {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            format!("{} {body:?}", answer.status)
        }
        Err(fault) => {
            let shown = format!("{fault:?} {}", fault.to_fault(Whose::Source));
            assert!(!shown.contains("hidden"), "a fault shows what it must not: {shown}");
            let fault = fault.to_fault(Whose::Source);
            format!("{}: {}", fault.code, fault.sentence)
        }
    }
}

/// Awaits what is bound to end well within `most`.
async fn within<T>(most: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = tokio::time::timeout(Duration::from_mins(1), work).await.expect("it never ends");
    assert!(started.elapsed() < most, "took {:?}, not under {most:?}", started.elapsed());
    done
}
