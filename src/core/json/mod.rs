//! JSON values with exact numbers and kept key order.
//!
//! [`read()`] takes strict JSON (RFC 8259) and nothing else, [`compact`] writes it, [`canonical()`] says whether two values
//! are the same. Numbers keep the text they came with, because a float would make two long identifiers equal and print
//! `1.10` as `1.1`. Of a name that an object holds twice the last value counts, as in most readers.

mod canonical;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jaq_json::Map;

use crate::core::limits::JSON_DEPTH_MAX;

pub(crate) use canonical::{canonical, number_text};
pub(crate) use read::{read, read_own};
pub(crate) use write::{compact, quoted, string as quote};

/// Any JSON value. Objects keep the order of their names, numbers their text.
pub(crate) type Value = jaq_json::Val;

/// Nesting of a value in memory: an answer may be put into a context, and what an expression builds may be a little
/// deeper than what it was given. Every recursion over a value stays within this.
pub(crate) const VALUE_DEPTH_MAX: usize = 2 * JSON_DEPTH_MAX;

/// Compact UTF-8 JSON text, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct JsonText(Arc<str>);

impl JsonText {
    /// No text at all: what a tombstone keeps of its item.
    pub(crate) fn empty() -> Self {
        Self("".into())
    }

    /// Text that is known to be compact JSON: what `compact` once wrote, read back from the store.
    pub(crate) fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's bytes, as they are signed and sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Why a JSON text or a jq expression over it gave nothing usable. The sentence holds nothing of the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonFault {
    /// Stable, lower case with underscores: `not_json`, `too_deep`, `jq`.
    pub(crate) code: &'static str,
    pub(crate) sentence: String,
}

impl JsonFault {
    /// A fault with its code and sentence.
    pub(crate) fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.sentence)
    }
}

/// JSON's `null`.
pub(crate) fn null() -> Value {
    Value::Null
}

/// A string.
pub(crate) fn text(text: &str) -> Value {
    Value::utf8_str(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

/// A whole number.
pub(crate) fn integer(number: usize) -> Value {
    Value::from(isize::try_from(number).unwrap_or(isize::MAX))
}

/// An array.
pub(crate) fn array(values: Vec<Value>) -> Value {
    Value::Arr(values.into())
}

/// An object, in the order given; of a name given twice the last value counts.
pub(crate) fn object(entries: Vec<(&str, Value)>) -> Value {
    let mut map = Map::default();
    for (name, value) in entries {
        map.insert(text(name), value);
    }
    Value::obj(map)
}

/// An object's names and values, in order; `None` for anything else, and for an object that JSON cannot express.
pub(crate) fn entries(value: &Value) -> Option<Vec<(&str, &Value)>> {
    let Value::Obj(map) = value else { return None };
    map.iter().map(|(name, value)| Some((as_text(name)?, value))).collect()
}

/// A string's text; `None` for anything else.
pub(crate) fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::TStr(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// What kind of value it is, with its article, for sentences: `a string`.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Num(_) => "a number",
        Value::TStr(_) | Value::BStr(_) => "a string",
        Value::Arr(_) => "an array",
        Value::Obj(_) => "an object",
    }
}

/// Writes one JSON object, field by field, in the order given.
#[derive(Debug)]
pub(crate) struct ObjectWriter(String);

impl ObjectWriter {
    /// An object without fields.
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a string.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write::string(value, &mut self.0);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.0.push_str(&value.to_string());
    }

    /// Adds a value that is JSON text already.
    pub(crate) fn raw(&mut self, name: &str, value: &JsonText) {
        self.name(name);
        self.0.push_str(value.as_str());
    }

    /// The finished text.
    pub(crate) fn finish(mut self) -> JsonText {
        self.0.push('}');
        JsonText::trusted(self.0)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write::string(name, &mut self.0);
        self.0.push(':');
    }
}
