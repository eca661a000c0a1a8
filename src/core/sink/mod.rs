//! (event, endpoint, now) → what goes out; and what an answer to it means, in [`judge`]. Which bytes those are was decided
//! when the event was made, in [`content`].
//!
//! To add a sink: a variant of [`Target`] and of [`Outbound`], an arm in [`outbound`], a spelling in `config`, and a way
//! to send it in the deliverer.

mod answer;
mod cloudevents;
pub(crate) mod content;
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

pub(crate) use crate::core::sink::answer::{judge, judge_line};

use crate::core::endpoint::{Endpoint, Target};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::http::{BodyLimit, OUR_USER_AGENT, Reach, Request, Way};
use crate::core::json;
use crate::core::limits::RECEIVER_ANSWER_BYTES_MAX;
use crate::core::secret::Secret;
use crate::core::signature::{ID_HEADER, Signed, TIMESTAMP_HEADER};
use crate::core::sink::content::{Envelope, Made};
use crate::core::template;
use crate::core::time::Timestamp;

/// What is sent, and by which way.
#[derive(Debug, Clone)]
pub(crate) enum Outbound {
    Http(Box<Request>),
    /// One line for standard output, newline included.
    Line(Bytes),
    /// One line for the end of a file, newline included.
    FileLine {
        path: PathBuf,
        line: Bytes,
    },
    /// Nothing: what a header names could not be told from the event. No later attempt would fare better.
    Unready(Fault),
}

/// An event on its way, with the bytes made for its endpoint, if there are such.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) event: &'a Event,
    pub(crate) made: Option<&'a Made>,
    /// Somebody asked for it again: receivers are told, the bytes are the same.
    pub(crate) is_replay: bool,
}

/// Marks what is sent again by a person's word.
pub(crate) const REPLAY_HEADER: HeaderName = HeaderName::from_static("webhook-replay");

impl Parcel<'_> {
    /// The bytes that are signed and sent.
    fn body(&self) -> Bytes {
        let own = self.event.body.as_bytes();
        Bytes::copy_from_slice(self.made.map_or(own, |made| made.body.as_bytes()))
    }
}

/// Addresses and signs an event for an endpoint. Attempts of one event differ only in timestamp and signature.
pub(crate) fn outbound(parcel: Parcel<'_>, endpoint: &Endpoint, now: Timestamp) -> Outbound {
    match &endpoint.target {
        Target::Http { url } => match request(parcel, endpoint, url, now) {
            Ok(request) => Outbound::Http(Box::new(request)),
            Err(fault) => Outbound::Unready(fault.final_()),
        },
        Target::Stdout => Outbound::Line(line(parcel)),
        Target::File { path } => Outbound::FileLine { path: path.clone(), line: line(parcel) },
    }
}

fn line(parcel: Parcel<'_>) -> Bytes {
    let mut line = parcel.body().to_vec();
    line.push(b'\n');
    Bytes::from(line)
}

fn request(
    parcel: Parcel<'_>,
    endpoint: &Endpoint,
    url: &Url,
    now: Timestamp,
) -> Result<Request, Fault> {
    let body = parcel.body();
    let mut url = url.clone();
    let mut headers = headers(parcel, (endpoint, &mut url), now);
    prove(&mut headers, parcel, (endpoint, &url), &body, now)?;
    Ok(Request {
        method: endpoint.method.clone(),
        url,
        headers,
        body,
        deadline: endpoint.timeout,
        limit: BodyLimit::First { bytes_max: RECEIVER_ANSWER_BYTES_MAX },
        // Only the operator's own file names endpoints so far.
        reach: Reach::Anywhere,
        way: Way {
            oauth2: endpoint.auth.oauth2().cloned(),
            credentials: endpoint.auth.parameters().map(str::to_owned).collect(),
            route: endpoint.route.clone(),
            ..Way::default()
        },
    })
}

/// Ours first, then the operator's over them, then what no one may override: credentials and identity. Credentials may go
/// into the URL, too.
fn headers(
    parcel: Parcel<'_>,
    (endpoint, url): (&Endpoint, &mut Url),
    now: Timestamp,
) -> HeaderMap {
    let Parcel { event, made, is_replay } = parcel;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content::content_type(made, endpoint));
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
    lay_over(&mut headers, endpoint.headers.clone());
    endpoint.auth.apply(url, &mut headers);
    if let Ok(id) = HeaderValue::from_str(event.id.as_str()) {
        headers.insert(ID_HEADER, id);
    }
    headers.insert(TIMESTAMP_HEADER, HeaderValue::from(now.as_seconds()));
    if is_replay {
        headers.insert(REPLAY_HEADER, HeaderValue::from_static("true"));
    }
    if made.is_some_and(|made| made.is_binary) {
        lay_over(&mut headers, cloudevents::headers(event));
    }
    headers
}

/// Last of all the proof, which may cover everything else, and what its profile names.
fn prove(
    headers: &mut HeaderMap,
    parcel: Parcel<'_>,
    (endpoint, url): (&Endpoint, &Url),
    body: &[u8],
    now: Timestamp,
) -> Result<(), Fault> {
    let event = parcel.event;
    let signing = endpoint.secrets.iter().filter(|secret| secret.signs_at(now));
    let secrets: Vec<&Secret> = signing.map(|signing| &signing.secret).collect();
    let signed = Signed {
        id: event.id.as_str(),
        at: now,
        body,
        event_type: &event.event_type,
        source: event.source.as_str(),
        detected: event.at,
        method: &endpoint.method,
        url,
        headers,
    };
    let proof = endpoint.sign.sign(&secrets, signed);
    lay_over(headers, proof);
    let labels = endpoint.sign.labels();
    if labels.is_empty() {
        return Ok(());
    }
    let nothing = template::Words::over(json::null());
    if labels.iter().all(|(_, label)| label.is_fixed()) {
        return template::add_headers(labels, &nothing, headers);
    }
    template::add_headers(labels, Envelope::of(event).words()?, headers)
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
