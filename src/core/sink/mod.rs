//! (event, endpoint, now) → what goes out; and what an answer to it means, in [`judge`].
//!
//! To add a sink: a variant of [`Target`] and of [`Outbound`], an arm in [`outbound`], a spelling in `config`, and a way
//! to send it in the deliverer.

mod answer;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

pub(crate) use crate::core::sink::answer::{judge, judge_line};

use crate::core::endpoint::{Endpoint, Target};
use crate::core::event::Event;
use crate::core::http::{BodyLimit, OUR_USER_AGENT, Reach, Request, Way};
use crate::core::limits::RECEIVER_ANSWER_BYTES_MAX;
use crate::core::signature::{ID_HEADER, Signed, TIMESTAMP_HEADER};
use crate::core::time::Timestamp;

/// What is sent, and by which way.
#[derive(Debug, Clone)]
pub(crate) enum Outbound {
    Http(Box<Request>),
    /// One line for standard output, newline included.
    Line(Bytes),
}

/// Shapes and signs an event for an endpoint. Attempts of one event differ only in timestamp and signature.
pub(crate) fn outbound(event: &Event, endpoint: &Endpoint, now: Timestamp) -> Outbound {
    match &endpoint.target {
        Target::Http { url } => Outbound::Http(Box::new(request(event, endpoint, url, now))),
        Target::Stdout => {
            let mut line = event.body.as_bytes().to_vec();
            line.push(b'\n');
            Outbound::Line(Bytes::from(line))
        }
    }
}

fn request(event: &Event, endpoint: &Endpoint, url: &Url, now: Timestamp) -> Request {
    let body = Bytes::copy_from_slice(event.body.as_bytes());
    Request {
        method: Method::POST,
        url: url.clone(),
        headers: headers(event, endpoint, &body, now),
        body,
        deadline: endpoint.timeout,
        limit: BodyLimit::First { bytes_max: RECEIVER_ANSWER_BYTES_MAX },
        // Only the operator's own file names endpoints so far.
        reach: Reach::Anywhere,
        way: Way::default(),
    }
}

/// Ours first, then the operator's over them, then what no one may override: identity and proof.
fn headers(event: &Event, endpoint: &Endpoint, body: &[u8], now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
    lay_over(&mut headers, endpoint.headers.clone());
    let id = event.id.as_str();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(ID_HEADER, id);
    }
    headers.insert(TIMESTAMP_HEADER, HeaderValue::from(now.as_seconds()));
    let signed = Signed { id, at: now, body, event_type: &event.event_type };
    lay_over(&mut headers, endpoint.sign.sign(&endpoint.secrets, signed));
    headers
}

/// Puts every header of `upper` in the place of its namesakes, keeping repeated ones.
fn lay_over(headers: &mut HeaderMap, upper: HeaderMap) {
    for name in upper.keys() {
        headers.remove(name);
    }
    let mut last = None;
    for (name, value) in upper {
        // A repeated header comes with its name only the first time.
        last = name.or(last);
        if let Some(name) = &last {
            headers.append(name, value);
        }
    }
}
