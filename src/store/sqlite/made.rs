//! What endpoints are sent in place of the envelope.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::core::ids::{EndpointName, EventNo};
use crate::core::sink::content::{Content, Made};
use crate::store::Written;

use super::hash;
use super::row;
use super::write::{Answer, Group};

/// The columns of [`content`], of the tables `d` and `m`.
pub(super) const CONTENT_COLUMNS: &str =
    "d.is_made, d.event, d.endpoint, m.media_type, m.body, m.row_hash, m.is_binary";

/// The rows of what was made, beside those of deliveries.
pub(super) const MADE_TABLE: &str =
    "LEFT JOIN made m ON d.is_made AND m.event = d.event AND m.endpoint = d.endpoint";

/// What a delivery sends, in the order of [`CONTENT_COLUMNS`] from column `first` on; `None` if it fails its hash, or is
/// not there.
pub(super) fn content(
    columns: &Row<'_>,
    first: usize,
    seed: u64,
) -> rusqlite::Result<Option<Content>> {
    if columns.get_ref(first)?.as_i64() == Ok(0) {
        return Ok(Some(Content::Envelope));
    }
    let (event, endpoint) = (columns.get(first + 1)?, columns.get(first + 2)?);
    let made = match columns.get_ref(first + 3)?.as_str_or_null() {
        Ok(Some(media_type)) => {
            let body = row::lossy(columns, first + 4)?.into();
            let is_binary = columns.get_ref(first + 6)?.as_i64() != Ok(0);
            Some(Made { media_type: media_type.into(), body, is_binary })
        }
        _ => None,
    };
    let expected = hash::of_made(event, endpoint, made.as_ref(), seed);
    let is_whole = columns.get_ref(first + 5)?.as_i64() == Ok(expected);
    Ok(is_whole.then(|| made.map_or(Content::Unmade, Content::Made)))
}

/// What a delivery sends; `None` if there is no such delivery.
pub(super) fn of_delivery(
    conn: &Connection,
    id: i64,
    seed: u64,
) -> rusqlite::Result<Option<Content>> {
    let sql = format!("SELECT {CONTENT_COLUMNS} FROM deliveries d {MADE_TABLE} WHERE d.id = ?1");
    conn.prepare_cached(&sql)?
        .query_row([id], |columns| {
            let whole = content(columns, 0, seed)?;
            whole.ok_or_else(|| row::damaged(5, String::from("what it sends fails its hash")))
        })
        .optional()
}

impl Group<'_> {
    /// Keeps what an endpoint is sent of an event; says whether there was anything to keep.
    pub(super) fn keep_content(
        &self,
        event: i64,
        endpoint: i64,
        content: &Content,
    ) -> rusqlite::Result<bool> {
        let made = match content {
            Content::Envelope => return Ok(false),
            Content::Made(made) => Some(made),
            Content::Unmade => None,
        };
        let sql = "INSERT OR IGNORE INTO made (event, endpoint, media_type, body, row_hash, is_binary) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.conn.prepare_cached(sql)?.execute(params![
            event,
            endpoint,
            made.map(|made| &made.media_type),
            made.map(|made| &made.body),
            hash::of_made(event, endpoint, made, self.seed),
            made.is_some_and(|made| made.is_binary),
        ])?;
        Ok(true)
    }

    /// Fixes what could not be made before.
    pub(super) fn made_late(
        &self,
        event: EventNo,
        endpoint: &EndpointName,
        made: &Made,
    ) -> rusqlite::Result<Answer> {
        let Some(endpoint) = self.book.endpoint(endpoint) else { return Ok(Ok(Written::Count(0))) };
        let event = row::count(event.0);
        let sql = "UPDATE made SET media_type = ?3, body = ?4, row_hash = ?5, is_binary = ?6 \
            WHERE event = ?1 AND endpoint = ?2 AND body IS NULL";
        let fixed = self.conn.prepare_cached(sql)?.execute(params![
            event,
            endpoint,
            made.media_type,
            made.body,
            hash::of_made(event, endpoint, Some(made), self.seed),
            made.is_binary,
        ])?;
        Ok(Ok(Written::Count(fixed as u64)))
    }
}
