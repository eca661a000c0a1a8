//! JSON values with exact numbers and kept key order. A stub to be replaced.
#![allow(dead_code, unused_variables, missing_docs)]
use std::fmt;
pub(crate) type Value = jaq_json::Val;

/// Compact UTF-8 JSON text, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct JsonText(std::sync::Arc<str>);
impl JsonText {
    pub(crate) fn empty() -> Self {
        Self("".into())
    }
    /// Text that is known to be compact JSON: what `compact` once wrote, read back from the store.
    pub(crate) fn trusted(text: impl Into<std::sync::Arc<str>>) -> Self {
        Self(text.into())
    }
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
/// Why a JSON text or a jq expression over it gave nothing usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonFault {
    pub(crate) code: &'static str,
    pub(crate) sentence: String,
}
impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

pub(crate) fn read(text: &str) -> Result<Value, JsonFault> {
    todo!()
}
pub(crate) fn compact(value: &Value) -> Result<JsonText, JsonFault> {
    todo!()
}
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    todo!()
}
pub(crate) fn null() -> Value {
    todo!()
}
pub(crate) fn text(text: &str) -> Value {
    todo!()
}
pub(crate) fn array(values: Vec<Value>) -> Value {
    todo!()
}
pub(crate) fn object(entries: Vec<(&str, Value)>) -> Value {
    todo!()
}
pub(crate) fn entries(value: &Value) -> Option<Vec<(&str, &Value)>> {
    todo!()
}

/// Writes one JSON object, field by field, in the order given.
pub(crate) struct ObjectWriter(String);
impl ObjectWriter {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        todo!()
    }
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        todo!()
    }
    pub(crate) fn raw(&mut self, name: &str, value: &JsonText) {
        todo!()
    }
    pub(crate) fn finish(self) -> JsonText {
        todo!()
    }
}
