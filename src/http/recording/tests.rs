//! What is exchanged through a recorder is what a replayer answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault, Way, shown_url};
use crate::core::secret::Secret;
use crate::http::recording::{Recorder, Replayer};
use crate::http::{Exchange, HttpClient};
use crate::telemetry::Redactor;

/// Answers with the path of what it is asked; one path is not answered.
struct Echo;

impl HttpClient for Echo {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            match request.url.path() {
                "/down" => Err(TransportFault::Connect { detail: String::from("refused") }),
                path => Ok(Response {
                    status: 200,
                    headers: HeaderMap::new(),
                    body: Bytes::from(format!("{path} hunter2-known")),
                }),
            }
        })
    }
}

fn request(path: &str) -> Request {
    Request {
        method: Method::GET,
        url: format!("http://a.example{path}").parse().expect("a URL"),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: Duration::from_secs(1),
        limit: BodyLimit::Whole { bytes_max: 1000 },
        reach: Reach::Anywhere,
        way: Way::default(),
    }
}

#[tokio::test]
async fn what_was_recorded_is_answered() {
    let redactor = Redactor::default();
    redactor.learn(&[Secret::new("hunter2-known")]);
    let recorder = Recorder::new(Arc::new(Echo), Arc::new(shown_url), redactor.clone());
    for path in ["/a", "/b", "/down"] {
        let expected = Echo.exchange(request(path)).await;
        let found = recorder.exchange(request(path)).await;
        assert_eq!(found.map(|it| it.body), expected.map(|it| it.body), "{path}");
    }
    let recording = recorder.recording("tickets", String::from("now"));
    assert_eq!((recording.exchanges.len(), recording.source.as_str()), (3, "tickets"));
    assert!(!recording.text().contains("hunter2"), "{}", recording.text());
    let replayer = Replayer::new(recording, Arc::new(shown_url), redactor);
    assert_eq!(replayer.exchange(request("/b")).await.expect("an answer").body, "/b •••");
    assert_eq!(replayer.exchange(request("/a")).await.expect("an answer").body, "/a •••");
    assert!(matches!(replayer.exchange(request("/down")).await, Err(TransportFault::Cut { .. })));
    let again = replayer.exchange(request("/a")).await;
    assert!(matches!(again, Err(TransportFault::NotRecorded { .. })), "{again:?}");
}
