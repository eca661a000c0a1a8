//! The exchanges of one poll as a file: made by `poll --record`, answered from by `poll --replay`. Nothing secret is in
//! it, and it is meant to be read and edited by people.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::core::http::{
    Request, Response, TransportFault, is_credential, shown_headers, shown_url,
};

/// Where the exchanges of a poll by hand come from.
#[derive(Debug)]
pub(crate) enum Exchanges {
    /// The network.
    Live,
    /// The network, and they are recorded.
    Recorded,
    /// A recording. Such a poll is never kept.
    Replayed(Recording),
}

/// The exchanges of one poll, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// The version that recorded it.
    pub(crate) doorbell: String,
    pub(crate) source: String,
    /// RFC 3339.
    pub(crate) recorded: String,
    pub(crate) exchanges: Vec<Recorded>,
    /// Exchanges beyond the bound, which are not in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) left_off: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Absent: it answers any request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Asked>,
    /// Absent: there was no answer, and `fault` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Answered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

/// A request as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With the values of its query masked that may be secret.
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, Values>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) body: String,
}

/// An answer, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, Values>,
    /// Decompressed, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// If it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body_base64: Option<String>,
}

/// The values of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Values {
    One(String),
    Many(Vec<String>),
}

fn gathered(headers: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Values> {
    let mut gathered: BTreeMap<String, Values> = BTreeMap::new();
    for (name, value) in headers {
        let values = match gathered.remove(&name) {
            None => Values::One(value),
            Some(Values::One(first)) => Values::Many(vec![first, value]),
            Some(Values::Many(mut values)) => {
                values.push(value);
                Values::Many(values)
            }
        };
        gathered.insert(name, values);
    }
    gathered
}

impl Asked {
    /// The request as it may be shown; `shown` makes that of its URL, `clean` takes known secrets out of a text.
    pub(crate) fn of(
        request: &Request,
        shown: impl Fn(&Url) -> String,
        clean: impl Fn(&str) -> String,
    ) -> Self {
        let headers = shown_headers(&request.headers).into_iter();
        Self {
            method: request.method.to_string(),
            url: clean(&shown(&request.url)),
            headers: gathered(headers.map(|(name, value)| (name, clean(&value)))),
            body: clean(&String::from_utf8_lossy(&request.body)),
        }
    }

    /// Whether this recorded request is the `other`, however its query and its JSON are ordered. Headers do not count:
    /// validators and credentials are others each time.
    fn is_same(&self, other: &Self) -> bool {
        let json = |body: &str| serde_json::from_str::<serde_json::Value>(body).ok();
        let same_body = self.body == other.body
            || json(&self.body).is_some_and(|body| json(&other.body).is_some_and(|it| it == body));
        self.method.eq_ignore_ascii_case(&other.method)
            && same_body
            && is_same_url(&self.url, &other.url)
    }
}

/// Whether two URLs ask for the same, as far as both show it: the order of a query is nobody's promise, and a value that
/// one of them hides is any value. One that somebody typed in full is read as one.
fn is_same_url(one: &str, other: &str) -> bool {
    let (one, other) = (plain(one), plain(other));
    let is_same = |((name, value), (other_name, other_value)): (&Pair, &Pair)| {
        name == other_name && (value == other_value || value == HIDDEN || other_value == HIDDEN)
    };
    one.0 == other.0 && one.1.len() == other.1.len() && one.1.iter().zip(&other.1).all(is_same)
}

/// Name and value of a parameter.
type Pair = (String, String);

/// The value of a parameter that is not shown.
const HIDDEN: &str = "…";

/// A URL without its query and user, and the pairs of its query in order.
fn plain(url: &str) -> (String, Vec<Pair>) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let base = Url::parse(base).map_or_else(|_| base.to_owned(), |base| shown_url(&base));
    let mut pairs: Vec<Pair> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.sort_unstable();
    (base, pairs)
}

impl Answered {
    /// An answer as it may be kept.
    pub(crate) fn of(response: &Response, clean: impl Fn(&str) -> String) -> Self {
        let harmless = response.headers.iter().filter(|(name, _)| !is_credential(name.as_str()));
        let headers = harmless.map(|(name, value)| {
            (name.to_string(), clean(&String::from_utf8_lossy(value.as_bytes())))
        });
        let (body, body_base64) = match std::str::from_utf8(&response.body) {
            Ok(text) => (Some(without_tokens(clean(text))), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&response.body))),
        };
        Self { status: response.status, headers: gathered(headers), body, body_base64 }
    }

    /// As it comes back.
    fn response(&self) -> Result<Response, TransportFault> {
        let broken = |what: &str| TransportFault::Protocol {
            detail: format!("the replay file holds {what}"),
        };
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values.as_slice(),
            };
            for value in values {
                let name = HeaderName::from_bytes(name.as_bytes());
                let name = name.map_err(|_| broken("a header with an impossible name"))?;
                let value = HeaderValue::from_bytes(value.as_bytes());
                let value = value.map_err(|_| broken("a header with an impossible value"))?;
                headers.append(name, value);
            }
        }
        let body = match (&self.body, &self.body_base64) {
            (_, Some(code)) => BASE64_STANDARD
                .decode(code)
                .map_err(|_| broken("a `body_base64` that is no base64"))?
                .into(),
            (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
            (None, None) => Bytes::new(),
        };
        Ok(Response { status: self.status, headers, body })
    }
}

/// What a token endpoint hands out is a credential, though nobody knew it before.
fn without_tokens(body: String) -> String {
    const NAMES: &[&str] = &["access_token", "refresh_token", "id_token"];
    if !NAMES.iter().any(|name| body.contains(name)) {
        return body;
    }
    match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(serde_json::Value::Object(mut fields)) if fields.contains_key("access_token") => {
            for name in NAMES {
                if let Some(token) = fields.get_mut(*name) {
                    *token = serde_json::Value::from("…");
                }
            }
            serde_json::Value::Object(fields).to_string()
        }
        _ => body,
    }
}

impl Recording {
    /// Reads a recording, or a bare document – an answer that somebody saved – which answers the first request.
    ///
    /// # Errors
    /// A sentence, when it begins as a recording and is none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            #[expect(dead_code, reason = "that it is there tells recordings from other documents")]
            doorbell: String,
            #[expect(dead_code, reason = "as above")]
            exchanges: serde::de::IgnoredAny,
        }
        if serde_json::from_slice::<Head>(bytes).is_err() {
            return Ok(Self::of_document(bytes));
        }
        serde_json::from_slice(bytes).map_err(|error| format!("it is not a recording: {error}"))
    }

    fn of_document(bytes: &[u8]) -> Self {
        let response = Response {
            status: 200,
            headers: media_type(bytes)
                .map(|kind| (http::header::CONTENT_TYPE, HeaderValue::from_static(kind)))
                .into_iter()
                .collect(),
            body: Bytes::copy_from_slice(bytes),
        };
        let answer = Answered::of(&response, str::to_owned);
        Self {
            doorbell: String::new(),
            source: String::new(),
            recorded: String::new(),
            exchanges: vec![Recorded { request: None, response: Some(answer), fault: None }],
            left_off: 0,
        }
    }

    /// As it is written to a file: its first lines say what it is.
    ///
    /// # Errors
    /// None that can happen: all of it is text.
    pub(crate) fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("texts and numbers are JSON");
        text + "\n"
    }

    /// Takes out the answer to a request: the first that is left of those to the same one.
    ///
    /// # Errors
    /// The fault that was met when it was recorded, or that there is no answer.
    pub(crate) fn take(&mut self, asked: &Asked) -> Result<Response, TransportFault> {
        let is_it = |recorded: &Recorded| {
            recorded.request.as_ref().is_none_or(|request| request.is_same(asked))
        };
        let Some(at) = self.exchanges.iter().position(is_it) else {
            let body = if asked.body.is_empty() { "" } else { " with this body" };
            let request = format!("{} {}{body}", asked.method, asked.url);
            return Err(TransportFault::NotRecorded { request });
        };
        let Recorded { response, fault, .. } = self.exchanges.remove(at);
        match response {
            Some(response) => response.response(),
            None => Err(TransportFault::Cut {
                detail: fault.unwrap_or_else(|| String::from("as it was recorded")),
            }),
        }
    }
}

/// What a saved answer probably was.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Some("application/json");
    }
    let start: String = text.chars().take(14).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Some("text/html");
    }
    if start.starts_with('<') {
        return Some("application/xml");
    }
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_json = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    lines.next().is_some_and(is_json).then_some("application/x-ndjson")
}
