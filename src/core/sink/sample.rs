//! A made-up event, to see whether an endpoint takes what it would be sent.

use crate::core::endpoint::Endpoint;
use crate::core::event::Event;
use crate::core::hex::hex;
use crate::core::ids::{EntryKey, EventId, ItemKey, SourceName};
use crate::core::json::{JsonText, ObjectWriter};
use crate::core::own::OWN_SOURCE;
use crate::core::time::Timestamp;

/// What stands in the place of an item.
const DATA: &str =
    r#"{"id":"test","message":"This is a test; `doorbell endpoints test` sent it."}"#;

/// What the event is to look like; what is absent is made up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) event_type: Option<String>,
    pub(crate) data: Option<JsonText>,
}

/// An event of a type that the endpoint wants, with an id that no other has.
pub(crate) fn sample(
    endpoint: &Endpoint,
    wanted: Wanted,
    now: Timestamp,
    random: &[u8; 32],
) -> Event {
    let id = format!("evt_test_{}", hex(random.first_chunk::<8>().expect("32 bytes have 8")));
    let event_type =
        wanted.event_type.unwrap_or_else(|| endpoint.subscription.example("doorbell.test"));
    let data = wanted.data.unwrap_or_else(|| JsonText::trusted(DATA));
    let (source, key) = (OWN_SOURCE, "test");
    let mut body = ObjectWriter::new();
    body.text("id", &id);
    body.text("type", &event_type);
    body.text("timestamp", &now.to_rfc3339());
    body.text("source", source);
    body.text("key", key);
    body.number("seq", 0);
    body.raw("data", &data);
    Event {
        id: EventId::new(id),
        event_type,
        source: SourceName::new(source),
        entry: EntryKey::none(),
        key: ItemKey::new(key),
        seq: 0,
        at: now,
        body: body.finish(),
    }
}
