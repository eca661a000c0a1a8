//! What a request's body tells a person. Reads doorbell's envelope, and of any other JSON object what it can.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What is worth showing of a body. Texts are as they came: make them printable before a terminal sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) event_type: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) seq: Option<String>,
    pub(crate) changes: Vec<Difference>,
}

/// One field that is another than before. Absent sides were not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// `status`, `customer.name`.
    pub(crate) field: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl News {
    /// Reads a body; what is not there or not JSON is simply not told. Numbers stay as they are written.
    pub(crate) fn read(body: &[u8]) -> Self {
        let Ok(fields) = serde_json::from_slice::<Fields<'_>>(body) else { return Self::default() };
        let text = |name: &str| fields.get(name).map(|value| shown(value));
        let changes = fields.get("changes").map(|changes| differences(changes.get()));
        Self {
            // Receivers with a vocabulary of their own tend to say `event_type`.
            event_type: text("type").or_else(|| text("event_type")),
            source: text("source"),
            key: text("key"),
            seq: text("seq"),
            changes: changes.unwrap_or_default(),
        }
    }
}

fn differences(text: &str) -> Vec<Difference> {
    let Ok(entries) = serde_json::from_str::<Vec<Fields<'_>>>(text) else { return Vec::new() };
    entries
        .iter()
        .filter_map(|entry| {
            let side = |name: &str| entry.get(name).map(|value| shown(value));
            let field = side("path")?.trim_start_matches('/').replace('/', ".");
            Some(Difference { field, old: side("old"), new: side("new") })
        })
        .collect()
}

/// A string without its quotes, anything else as it is written.
fn shown(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}
