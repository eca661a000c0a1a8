//! What a source sends: bytes, or a text or JSON tree with templates in it.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{Spot, Template, Words, scalar};
use crate::core::fault::Fault;
use crate::core::json::{Value, as_text, compact, quote};

/// The body of a source's requests.
#[derive(Clone, PartialEq)]
pub(crate) enum Body {
    /// Empty for none.
    Fixed(Bytes),
    /// A text: sent as it is. One that is a template alone may give JSON, or nothing.
    Text(Template),
    /// Sent as JSON.
    Json(Node),
}

/// A value in a JSON body.
#[derive(Clone, PartialEq)]
pub(crate) enum Node {
    /// JSON text.
    Fixed(String),
    Template(Template),
    List(Vec<Node>),
    /// Names as they were typed, in their order.
    Map(Vec<(String, Node)>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Fixed(Bytes::new())
    }
}

impl Body {
    /// Whether a template in it uses a word.
    pub(crate) fn uses(&self, word: &str) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(template) => template.uses(word),
            Self::Json(node) => node.uses(word),
        }
    }

    /// What was typed, for digests; without templates the body itself.
    pub(crate) fn definition(&self) -> Bytes {
        match self {
            Self::Fixed(bytes) => bytes.clone(),
            Self::Text(template) => Bytes::from(template.text()),
            Self::Json(node) => {
                let mut typed = String::new();
                node.type_out(&mut typed);
                Bytes::from(typed)
            }
        }
    }

    /// The body to send; `words` are made when a template needs them. What is JSON only once it is rendered says so in `headers`, unless they say otherwise.
    ///
    /// # Errors
    /// A fault when a template fails or gives what JSON cannot express.
    pub(crate) fn bytes(
        &self,
        words: &impl Deref<Target = Words>,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, Fault> {
        let template = match self {
            Self::Fixed(bytes) => return Ok(bytes.clone()),
            Self::Json(node) => return node.json(words).map(Bytes::from),
            Self::Text(template) => template,
        };
        let value = template.value(words, Spot::Body)?;
        if value == Value::Null {
            return Ok(Bytes::new());
        }
        if let Some(text) = as_text(&value) {
            return Ok(Bytes::copy_from_slice(text.as_bytes()));
        }
        let json = written(&value)?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        Ok(Bytes::from(json))
    }
}

impl Node {
    fn uses(&self, word: &str) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Template(template) => template.uses(word),
            Self::List(nodes) => nodes.iter().any(|node| node.uses(word)),
            Self::Map(entries) => entries.iter().any(|(_, node)| node.uses(word)),
        }
    }

    /// The tree with its templates as strings.
    fn type_out(&self, json: &mut String) {
        match self {
            Self::Fixed(fixed) => json.push_str(fixed),
            Self::Template(template) => quote(&template.text(), json),
            Self::List(nodes) => {
                json.push('[');
                for node in nodes {
                    node.type_out(json);
                    json.push(',');
                }
                json.push(']');
            }
            Self::Map(entries) => {
                json.push('{');
                for (name, node) in entries {
                    quote(name, json);
                    json.push(':');
                    node.type_out(json);
                    json.push(',');
                }
                json.push('}');
            }
        }
    }

    /// The JSON text, rendered.
    ///
    /// # Errors
    /// A fault when a template fails or gives what JSON cannot express.
    pub(crate) fn json(&self, words: &Words) -> Result<String, Fault> {
        let mut json = String::new();
        self.render(words, &mut json)?;
        Ok(json)
    }

    fn render(&self, words: &Words, json: &mut String) -> Result<(), Fault> {
        match self {
            Self::Fixed(fixed) => json.push_str(fixed),
            Self::Template(template) => {
                json.push_str(&written(&template.value(words, Spot::Body)?)?);
            }
            Self::List(nodes) => {
                json.push('[');
                for (index, node) in nodes.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { "," });
                    node.render(words, json)?;
                }
                json.push(']');
            }
            Self::Map(entries) => {
                json.push('{');
                let before = json.len();
                for (name, node) in entries {
                    let value = match node {
                        Self::Template(template) => match template.value(words, Spot::Body)? {
                            Value::Null => continue,
                            value => Some(value),
                        },
                        _ => None,
                    };
                    json.push_str(if json.len() == before { "" } else { "," });
                    quote(name, json);
                    json.push(':');
                    match value {
                        Some(value) => json.push_str(&written(&value)?),
                        None => node.render(words, json)?,
                    }
                }
                json.push('}');
            }
        }
        Ok(())
    }
}

/// A value as JSON text.
fn written(value: &Value) -> Result<String, Fault> {
    // The commonest, without going round.
    if let (Value::Bool(_) | Value::Num(_), Some(scalar)) = (value, scalar(value)) {
        return Ok(scalar);
    }
    compact(value).map(|json| json.as_str().to_owned()).map_err(|fault| {
        let sentence = format!("a template in {} gives no JSON: {}", Spot::Body, fault.sentence);
        Fault::us("template", sentence)
    })
}

/// Only how long it is: anything may stand in it.
impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(out, "Body({} bytes)", bytes.len()),
            Self::Text(_) | Self::Json(_) => out.write_str("Body(a template)"),
        }
    }
}
