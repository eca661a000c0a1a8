//! (event, endpoint) → the bytes that go there, made once, when the event is: whatever the configuration becomes, every
//! attempt and every replay sends the same.
//!
//! Without `body` and in the standard `format` an endpoint gets the event's own bytes, and nothing is kept beside them. What could not be made is a
//! delivery all the same: it is tried once more when its turn comes, under the declaration of then, and if that fails
//! too it ends with the reason – never sent as something else, never lost, and open to a replay.

use std::cell::OnceCell;
use std::sync::Arc;

use http::header::HeaderValue;

use super::cloudevents;
use crate::core::endpoint::{Endpoint, Format, Reshaping};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::json::{self, JsonFault};
use crate::core::limits::MADE_BODY_BYTES_MAX;
use crate::core::template::Words;

/// What bodies are unless an endpoint says otherwise.
pub(crate) const JSON: &str = "application/json";

/// What a delivery sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The event's own bytes.
    Envelope,
    /// Bytes made for its endpoint.
    Made(Made),
    /// Its endpoint's expressions failed. Whoever attempts the delivery has it made, or gives it up.
    Unmade,
}

/// Bytes made for one endpoint, fixed for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// Goes with the bytes: they are no other kind when the endpoint is declared anew.
    pub(crate) media_type: Arc<str>,
    pub(crate) body: Arc<str>,
    /// A CloudEvent in binary mode: its attributes go along as headers.
    pub(crate) is_binary: bool,
}

/// What comes of an event for an endpoint.
enum Making {
    Unwanted,
    AsItIs,
    Anew(Made),
}

/// An event as expressions see it: read when the first of them asks.
pub(crate) struct Envelope<'a> {
    event: &'a Event,
    words: OnceCell<Result<Words, JsonFault>>,
}

impl<'a> Envelope<'a> {
    /// Of an event.
    pub(crate) fn of(event: &'a Event) -> Self {
        Self { event, words: OnceCell::new() }
    }

    /// The event as expressions see it.
    ///
    /// # Errors
    /// What cannot be read of it.
    pub(super) fn words(&self) -> Result<&Words, Fault> {
        let read = || json::read_own(self.event.body.as_str()).map(Words::over);
        self.words.get_or_init(read).as_ref().map_err(|fault| failed("the event", fault))
    }

    /// What the event is to an endpoint; `None` when its `where` does not want it.
    pub(crate) fn content(&self, endpoint: &Endpoint) -> Option<Content> {
        match self.make(endpoint) {
            Ok(Making::Unwanted) => None,
            Ok(Making::AsItIs) => Some(Content::Envelope),
            Ok(Making::Anew(made)) => Some(Content::Made(made)),
            Err(_) => Some(Content::Unmade),
        }
    }

    fn make(&self, endpoint: &Endpoint) -> Result<Making, Fault> {
        if !self.is_wanted(endpoint)? {
            return Ok(Making::Unwanted);
        }
        let is_json = is_json(endpoint);
        let payload = match (&endpoint.body, endpoint.format) {
            (None, Format::Standard) => return Ok(Making::AsItIs),
            (None, _) => self.data()?,
            (Some(reshaping), _) => self.reshaped(reshaping, is_json)?,
        };
        let own = media_type(endpoint);
        let (media_type, body) = match endpoint.format {
            Format::Standard | Format::CloudEventsBinary => (own, payload),
            Format::CloudEvents => {
                let body = cloudevents::structured(self.event, &own, &payload, is_json);
                (cloudevents::STRUCTURED.into(), body)
            }
        };
        if body.len() > MADE_BODY_BYTES_MAX {
            let sentence = format!("the body would have more than {MADE_BODY_BYTES_MAX} bytes");
            return Err(Fault::us("body", sentence));
        }
        let is_binary = endpoint.format == Format::CloudEventsBinary;
        Ok(Making::Anew(Made { media_type, body: body.into(), is_binary }))
    }

    fn is_wanted(&self, endpoint: &Endpoint) -> Result<bool, Fault> {
        let Some(expression) = &endpoint.where_ else { return Ok(true) };
        expression.test(self.words()?.value()).map_err(|fault| failed("`where`", &fault))
    }

    /// The event's data, as it stands in the envelope.
    fn data(&self) -> Result<String, Fault> {
        let Some(entries) = json::entries(self.words()?.value()) else { return Ok(String::new()) };
        let data = entries.into_iter().find(|(name, _)| *name == "data");
        let text = data.map(|(_, data)| json::compact(data)).transpose();
        let text = text.map_err(|fault| failed("the event's data", &fault))?;
        Ok(text.map_or_else(|| String::from("null"), |text| text.as_str().to_owned()))
    }

    fn reshaped(&self, reshaping: &Reshaping, is_json: bool) -> Result<String, Fault> {
        let words = self.words()?;
        let expression = match reshaping {
            Reshaping::Template(node) => return node.json(words),
            Reshaping::Jq(expression) => expression,
        };
        let value = expression.one(words.value()).map_err(|fault| failed("`body`", &fault))?;
        match json::as_text(&value) {
            Some(text) if !is_json => Ok(text.to_owned()),
            _ => {
                let text = json::compact(&value).map_err(|fault| failed("`body`", &fault))?;
                Ok(text.as_str().to_owned())
            }
        }
    }
}

/// Makes what could not be made when the event was, under the declaration of now.
///
/// # Errors
/// Why it cannot be made now either, or that `where` does not want the event after all.
pub(crate) fn make_late(event: &Event, endpoint: &Endpoint) -> Result<Made, Fault> {
    match Envelope::of(event).make(endpoint)? {
        Making::Anew(made) => Ok(made),
        Making::AsItIs => {
            let (media_type, body) = (media_type(endpoint), event.body.as_str().into());
            Ok(Made { media_type, body, is_binary: false })
        }
        Making::Unwanted => Err(Fault::us("where", "`where` does not want it")),
    }
}

/// Whether what is sent to an endpoint is JSON. A line always is.
fn is_json(endpoint: &Endpoint) -> bool {
    endpoint.target.is_lines() || is_json_type(&media_type(endpoint))
}

/// Whether a media type is one of JSON: `application/json`, `application/vnd.x+json`, with any parameters.
pub(crate) fn is_json_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// What an endpoint's bodies are.
fn media_type(endpoint: &Endpoint) -> Arc<str> {
    endpoint.content_type.to_str().unwrap_or(JSON).into()
}

/// The header for bytes as they were made, or for the event's own.
pub(super) fn content_type(made: Option<&Made>, endpoint: &Endpoint) -> HeaderValue {
    let plain = || HeaderValue::from_static(JSON);
    match made {
        Some(made) => HeaderValue::from_str(&made.media_type).unwrap_or_else(|_| plain()),
        // What an endpoint calls the bodies made for it says nothing of the event's own bytes.
        None if endpoint.body.is_some() || endpoint.format != Format::Standard => plain(),
        None => endpoint.content_type.clone(),
    }
}

fn failed(what: &str, fault: &JsonFault) -> Fault {
    Fault::us("body", format!("{what} fails: {}", fault.sentence))
}
