//! A PLANTED BUG, to prove that the tests would notice it: only under the feature `planted-bugs`, which no build that
//! anyone uses has. See `crash::a_split_transaction_is_noticed`.

use std::time::Duration;

use rusqlite::Connection;

use super::book::Book;

/// How long the snapshot stands without its events.
const GAP: Duration = Duration::from_millis(3);

/// BUG, ON PURPOSE: the snapshot is committed before its events, and a kill in between loses them for ever.
pub(super) fn split_transaction(conn: &Connection, book: &mut Book) -> rusqlite::Result<()> {
    book.write_back(conn)?;
    conn.execute_batch("COMMIT")?;
    std::thread::park_timeout(GAP);
    conn.execute_batch("BEGIN IMMEDIATE")
}
