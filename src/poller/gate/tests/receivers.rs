//! Requests that no poll makes.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::sleep;

use super::{World, listing, locked};
use crate::core::http::{BodyLimit, Reach, Request, TransportFault, Way};
use crate::http::HttpClient as _;

/// Receivers tell of our own network as well, and it is not put down to them either.
#[tokio::test(start_paused = true)]
async fn our_own_outage_is_not_put_down_to_the_receivers() {
    fn lost(host: &str) -> TransportFault {
        TransportFault::Resolve { host: host.to_owned(), detail: String::new() }
    }
    let text = "sources: { s: { url: 'https://polled.example/s', key: .id, every: 1h } }";
    let world = World::new(text, Box::new(|_, _, _| Ok(listing())));
    sleep(Duration::from_mins(1)).await;
    let ring = async |host: &str| {
        let request = Request {
            method: http::Method::POST,
            url: format!("https://{host}.example/hook").parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: Duration::from_secs(5),
            limit: BodyLimit::First { bytes_max: 10 },
            reach: Reach::Anywhere,
            way: Way::default(),
        };
        world.gate.exchange(request).await.map(|answer| answer.status)
    };
    for host in ["a", "b"] {
        assert_eq!(ring(host).await, Ok(200));
    }
    *locked(&world.server.rule) =
        Box::new(move |_, request, _| Err(lost(request.url.host_str().unwrap_or_default())));
    // One alone may be gone for good; one that never answered may be spelt wrong.
    assert_eq!(ring("never").await, Err(lost("never.example")));
    assert_eq!(ring("a").await, Err(lost("a.example")));
    assert!(matches!(ring("b").await, Err(TransportFault::Offline { .. })));
    assert!(matches!(ring("a").await, Err(TransportFault::Offline { .. })));
    world.end().await;
}
