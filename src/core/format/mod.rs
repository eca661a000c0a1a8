//! What an answer is written in → JSON, so that everything behind this point knows one language only.
//!
//! The format is what the source declares, else what `Content-Type` says, else JSON. A web page is none of them: it was
//! refused before. Nothing in here guesses: what cannot be read to its end is a fault that names the place.

mod charset;
mod csv;
mod cut;
mod feed;
mod markup;
mod ndjson;
mod xml;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::core::fault::Fault;
use crate::core::http::Response;

pub(crate) use charset::Charset;
pub(crate) use csv::{Csv, Header};
pub(crate) use cut::{Begun, Cutter};
pub(crate) use feed::key as feed_key;

/// What a listing is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// A JSON value per line.
    Ndjson,
    Xml,
    /// RSS 2.0, RSS 1.0, Atom or JSON Feed.
    Feed,
    Csv(Csv),
}

impl Format {
    /// The `Accept` header of a request for it.
    pub(crate) fn accept(declared: Option<&Self>) -> &'static str {
        match declared {
            None | Some(Self::Json) => "application/json, */*;q=0.5",
            Some(Self::Ndjson) => "application/x-ndjson, application/jsonl;q=0.9, */*;q=0.5",
            Some(Self::Xml) => "application/xml, text/xml;q=0.9, */*;q=0.5",
            Some(Self::Feed) => {
                "application/atom+xml, application/rss+xml, application/feed+json, \
                 application/rdf+xml;q=0.9, application/xml;q=0.8, */*;q=0.5"
            }
            Some(Self::Csv(_)) => "text/csv, */*;q=0.5",
        }
    }

    /// What belongs into a source's identity: another format finds other items. Nothing for JSON, declared or not.
    pub(crate) fn identity(declared: Option<&Self>) -> Option<String> {
        let declared = declared.filter(|format| **format != Self::Json)?;
        Some(format!("\0format {declared:?}"))
    }
}

/// An answer whose body is JSON.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The answer itself if it was JSON already.
    pub(crate) response: Cow<'a, Response>,
    /// Whether it was a feed: a window on the latest entries, where to be absent means nothing.
    pub(crate) is_feed: bool,
}

/// Reads an answer in the format that was `declared`, or that its headers tell.
///
/// # Errors
/// A fault of the source that says where the answer is not what it should be.
pub(crate) fn document<'a>(
    response: &'a Response,
    declared: Option<&Format>,
) -> Result<Document<'a>, Fault> {
    let typed = ContentType::of(&response.headers);
    let format = declared.map_or_else(|| typed.format(), Cow::Borrowed);
    let charset = charset::declared(typed.charset.as_deref())?;
    let body = &response.body;
    let (text, is_feed) = match format.as_ref() {
        Format::Json => match charset::json(body, charset)? {
            None => return Ok(Document { response: Cow::Borrowed(response), is_feed: false }),
            Some(text) => (text, false),
        },
        Format::Ndjson => {
            let may_be_empty = matches!(typed.format().as_ref(), Format::Ndjson);
            (ndjson::read(&charset::text(body, charset)?, may_be_empty)?, false)
        }
        Format::Xml => {
            let text = charset::xml(body, charset)?;
            if declared.is_none() && feed::is_one(&text) {
                (feed::read(&text)?, true)
            } else {
                (xml::read(&text)?, false)
            }
        }
        Format::Feed => (feed::read(&charset::xml(body, charset)?)?, true),
        Format::Csv(csv) => (csv.read(&charset::text(body, csv.charset.or(charset))?)?, false),
    };
    let response = Response { body: Bytes::from(text), ..response.clone() };
    Ok(Document { response: Cow::Owned(response), is_feed })
}

/// What `Content-Type` says.
struct ContentType {
    /// Lower case, without parameters; empty for none.
    essence: String,
    charset: Option<String>,
}

impl ContentType {
    fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or("").to_ascii_lowercase();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty())
                .then(|| value.to_owned())
        });
        Self { essence, charset }
    }

    fn format(&self) -> Cow<'static, Format> {
        Cow::Owned(match self.essence.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "text/x-ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json-lines"
            | "text/jsonl" => Format::Ndjson,
            "application/rss+xml"
            | "application/atom+xml"
            | "application/rdf+xml"
            | "application/feed+json" => Format::Feed,
            "application/xml" | "text/xml" => Format::Xml,
            "text/csv" | "application/csv" | "text/comma-separated-values" => {
                Format::Csv(Csv::default())
            }
            "text/tab-separated-values" => Format::Csv(Csv { delimiter: b'\t', ..Csv::default() }),
            other if other.ends_with("+xml") => Format::Xml,
            _ => Format::Json,
        })
    }
}

/// Where a byte of a text stands, for people.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The fault of a body without anything in it.
fn empty(code: &str, what: &str) -> Fault {
    Fault::source(code, format!("the answer is empty, and no {what}"))
}
