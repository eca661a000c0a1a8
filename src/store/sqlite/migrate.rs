//! The schema and its history: numbered steps, each one transaction. A released step never changes.

use std::path::Path;

use rusqlite::Connection;

use crate::store::StoreError;

use super::failure;

/// In order, each with the schema it leads to.
const STEPS: [(i64, &str); 12] = [
    (1, include_str!("migrations/0001_first.sql")),
    (2, include_str!("migrations/0002_parts.sql")),
    (3, include_str!("migrations/0003_changes.sql")),
    (4, include_str!("migrations/0004_entries.sql")),
    (5, include_str!("migrations/0005_tokens.sql")),
    (6, include_str!("migrations/0006_silence.sql")),
    (7, include_str!("migrations/0007_made.sql")),
    (8, include_str!("migrations/0008_rate.sql")),
    (9, include_str!("migrations/0009_budgets.sql")),
    (10, include_str!("migrations/0010_health.sql")),
    (11, include_str!("migrations/0011_seen.sql")),
    (12, include_str!("migrations/0012_lost.sql")),
];

/// The schema this program writes.
pub(super) const KNOWN: i64 = {
    let [.., (last, _)] = STEPS;
    last
};

/// The schema a database has; 0 for an empty one.
///
/// # Errors
/// [`StoreError::NewerSchema`] if it is from a newer program: what that one relies on is not known here.
pub(super) fn found(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found: i64 = conn
        .query_row("PRAGMA user_version", [], |columns| columns.get(0))
        .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    if (0..=KNOWN).contains(&found) {
        return Ok(found);
    }
    Err(StoreError::NewerSchema { path: path.to_owned(), found, known: KNOWN })
}

/// Brings a database from schema `found` to [`KNOWN`]. A crash inside a step leaves the schema before it.
pub(super) fn migrate(conn: &Connection, found: i64) -> Result<(), StoreError> {
    for (number, step) in STEPS.into_iter().filter(|(number, _)| *number > found) {
        let sql = format!(
            "BEGIN IMMEDIATE;\n{step}\nUPDATE meta SET commits = commits + 1;\n\
             PRAGMA user_version = {number};\nCOMMIT;"
        );
        if let Err(error) = conn.execute_batch(&sql) {
            let failed = failure("changing the schema", "schema", error);
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")
                    .map_err(|error| failure("undoing a change of the schema", "schema", error))?;
            }
            return Err(failed);
        }
    }
    Ok(())
}
