//! PLANTED BUGS, to prove that the tests would notice them: only under the feature `planted-bugs`, which no build that
//! anyone uses has, and of those only the one that the environment names. See `crash::planted_bugs_are_noticed`.

use std::time::Duration;

use rusqlite::Connection;

use super::book::Book;

/// How long the snapshot stands without its events.
const POLL_GAP: Duration = Duration::from_millis(3);
/// How long an endpoint's news stand without its condition. Longer, because news are rare.
const ATTEMPT_GAP: Duration = Duration::from_millis(40);

#[expect(clippy::disallowed_methods, reason = "nobody uses a build that has this")]
fn is_planted(bug: &str) -> bool {
    std::env::var("PLANTED_BUG").is_ok_and(|planted| planted == bug)
}

/// BUG, ON PURPOSE: the snapshot is committed before its events, and a kill in between loses them for ever.
pub(super) fn split_poll(conn: &Connection, book: &mut Book) -> rusqlite::Result<()> {
    if is_planted("split-poll") { split(conn, book, POLL_GAP) } else { Ok(()) }
}

/// BUG, ON PURPOSE: what there is to tell of an endpoint is committed before its condition, and told twice after a kill.
pub(super) fn split_attempt(conn: &Connection, book: &mut Book) -> rusqlite::Result<()> {
    if is_planted("split-attempt") { split(conn, book, ATTEMPT_GAP) } else { Ok(()) }
}

/// BUG, ON PURPOSE: nothing waits for what is before it in its lane.
pub(super) fn forgets_lanes() -> bool {
    is_planted("no-lanes")
}

fn split(conn: &Connection, book: &mut Book, gap: Duration) -> rusqlite::Result<()> {
    book.write_back(conn)?;
    conn.execute_batch("COMMIT")?;
    std::thread::park_timeout(gap);
    conn.execute_batch("BEGIN IMMEDIATE")
}
