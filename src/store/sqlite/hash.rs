//! The hash that each item and event carries: SQLite has no page checksums, and a flipped bit must not ring.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::core::event::Event;
use crate::core::sink::content::Made;

/// Gathers a row's columns and hashes them. Texts are length-prefixed, so that no two rows run together.
#[derive(Debug)]
pub(super) struct RowHash {
    seed: u64,
    columns: Vec<u8>,
}

impl RowHash {
    /// Of a row of the state with this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, columns: Vec::with_capacity(192) }
    }

    /// Adds a text or blob.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.columns.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.columns.extend_from_slice(bytes);
        self
    }

    /// Adds a number.
    pub(super) fn number(mut self, number: i64) -> Self {
        self.columns.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Adds a number that may be absent.
    pub(super) fn optional(self, number: Option<i64>) -> Self {
        self.number(i64::from(number.is_some())).number(number.unwrap_or(0))
    }

    /// The hash as SQLite keeps it: the same 64 bits, signed.
    pub(super) fn finish(self) -> i64 {
        xxh3_64_with_seed(&self.columns, self.seed).cast_signed()
    }
}

/// The hash of a text of its own.
pub(super) fn of_text(text: &str, seed: u64) -> i64 {
    xxh3_64_with_seed(text.as_bytes(), seed).cast_signed()
}

/// The hash of an event's row and body.
pub(super) fn of_event(no: i64, event: &Event, seed: u64) -> i64 {
    let row = RowHash::new(seed)
        .number(no)
        .bytes(event.id.as_str().as_bytes())
        .bytes(event.source.as_str().as_bytes())
        .bytes(event.event_type.as_bytes())
        .bytes(event.key.as_str().as_bytes())
        .number(event.seq.cast_signed())
        .number(event.at.as_millis())
        .number(of_text(event.body.as_str(), seed));
    // Rows older than the column have no entry, and their hash stands.
    let entry = event.entry.as_str().as_bytes();
    if entry.is_empty() { row.finish() } else { row.bytes(entry).finish() }
}

/// The hash of a row of `made`; none was made of what failed.
pub(super) fn of_made(event: i64, endpoint: i64, made: Option<&Made>, seed: u64) -> i64 {
    let row = RowHash::new(seed).number(event).number(endpoint);
    let Some(Made { media_type, body, is_binary }) = made else { return row.finish() };
    let row = row.bytes(media_type.as_bytes()).number(of_text(body, seed));
    row.number(i64::from(*is_binary)).finish()
}
