//! CloudEvents 1.0 over HTTP: the structured mode, where the body is the whole event, and the binary mode, where the body
//! is the data and the attributes are headers.
//!
//! Attributes: `id`, `source` (the source's name), `type`, `time`, `subject` (the item's key), `datacontenttype`, and the
//! extensions `seq` and `entry`. The data is the event's `data`, or what `body` makes of the envelope.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::core::event::Event;
use crate::core::hex::percent_encoded;
use crate::core::json::{JsonText, ObjectWriter, quoted};

/// The media type of the structured mode.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";

/// Which spelling of the specification this is.
const VERSION: &str = "1.0";

/// The attributes of an event in the order they are written, without those that are empty: none may be.
fn attributes(event: &Event) -> impl Iterator<Item = (&'static str, String)> {
    let all = [
        ("specversion", VERSION.to_owned()),
        ("id", event.id.as_str().to_owned()),
        ("source", event.source.as_str().to_owned()),
        ("type", event.event_type.clone()),
        ("time", event.at.to_rfc3339()),
        ("subject", event.key.as_str().to_owned()),
        // As text: their integers have 32 bits.
        ("seq", event.seq.to_string()),
        ("entry", event.entry.as_str().to_owned()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty())
}

/// The body of the structured mode. `payload` is JSON text if `is_json`, any text otherwise.
pub(super) fn structured(event: &Event, media_type: &str, payload: &str, is_json: bool) -> String {
    let mut body = ObjectWriter::new();
    for (name, value) in attributes(event) {
        body.text(name, &value);
    }
    body.text("datacontenttype", media_type);
    let json = if is_json { payload.to_owned() } else { quoted(payload) };
    body.raw("data", &JsonText::trusted(json));
    body.finish().as_str().to_owned()
}

/// The headers of the binary mode.
pub(super) fn headers(event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in attributes(event) {
        let name = HeaderName::try_from(format!("ce-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(header_text(&value))) {
            headers.insert(name, value);
        }
    }
    headers
}

/// A value as a header carries it (HTTP binding, §3.1.3.2): space, double quote, percent and everything outside of
/// printable ASCII percent-encoded, byte by byte.
fn header_text(value: &str) -> String {
    percent_encoded(value, |byte| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%')
}
