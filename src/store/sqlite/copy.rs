//! Copies of the state: making one while running, putting one back, and looking whether one is whole.

use std::fs;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row};

use crate::store::StoreError;

use super::made;
use super::made::{CONTENT_COLUMNS, MADE_TABLE};
use super::mark::Mark;
use super::open::{DATABASE_NAME, Meta};
use super::row;
use super::row::{EVENT_COLUMNS, ITEM_COLUMNS, ITEM_COLUMNS_COUNT, ItemRow};
use super::{failure, hash, mark, migrate, open};

/// Where a copy is made ready before it takes the database's place.
const NEW_NAME: &str = "doorbell.db.new";

/// What the database is called that a restored one replaced; of several, the later ones are numbered.
const REPLACED_NAME: &str = "doorbell.db.replaced";

/// A backup that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) verified: Verified,
    /// Where the state is that was there before, if there was one.
    pub(crate) replaced: Option<PathBuf>,
}

/// What was looked at and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) items: u64,
    pub(crate) events: u64,
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}

/// Writes a consistent copy of an open database to a new file, for its owner alone, durable when this returns.
///
/// # Errors
/// An existing file is never overwritten. A copy that failed half-way is removed.
pub(super) fn backup(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    // Absolute, so that no name is taken for a URI.
    let to = std::path::absolute(to).map_err(file_error("finding", to))?;
    create_new(&to)?;
    let copied = vacuum_into(conn, &to).and_then(|()| sync_with_directory(&to));
    if copied.is_err()
        && let Err(error) = mark::remove_if_there(&to)
    {
        tracing::warn!(path = %to.display(), %error, "an unfinished backup could not be removed");
    }
    copied
}

fn create_new(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(file_error("creating", path))
}

fn vacuum_into(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    let failed = |error| failure("writing a backup", "backup", error);
    let name = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()));
    let name = name.map_err(failed)?;
    conn.execute("VACUUM INTO ?1", [name]).map(drop).map_err(failed)
}

fn sync_with_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(file_error("syncing", path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    mark::sync_directory(dir).map_err(file_error("syncing", dir))
}

/// Puts a backup in the place of the state in `dir`, which nobody may be using, and takes it on.
///
/// The copy is verified before anything changes, and the state that was there is kept aside: it may hold events that the
/// copy does not. A crash at any point leaves the old state or the new one.
///
/// # Errors
/// [`StoreError::Locked`], [`StoreError::Damaged`] and [`StoreError::NewerSchema`] leave the old state as it was.
pub(crate) fn restore(dir: &Path, from: &Path) -> Result<Restored, StoreError> {
    let _lock = open::lock(dir)?;
    let new = dir.join(NEW_NAME);
    remove_database(&new)?;
    let prepared = prepare(from, &new);
    let (meta, verified) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            remove_database(&new)?;
            return Err(error);
        }
    };
    let database = dir.join(DATABASE_NAME);
    settle_old(&database);
    let replaced = keep_aside(dir, &database)?;
    // Without a mark any state is taken on, so a crash from here on is harmless.
    Mark::remove(dir)?;
    // The old log first: beside another database it would be taken for that one's.
    for side in ["-wal", "-shm"] {
        let path = with_suffix(&database, side);
        mark::remove_if_there(&path).map_err(file_error("removing", &path))?;
    }
    mark::sync_directory(dir).map_err(file_error("syncing", dir))?;
    fs::rename(&new, &database).map_err(file_error("replacing", &database))?;
    mark::sync_directory(dir).map_err(file_error("syncing", dir))?;
    meta.mark().write(dir)?;
    Ok(Restored { verified, replaced })
}

/// Gives a database another name beside its own, and its log, should that not be part of it already, a copy.
fn keep_aside(dir: &Path, database: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !open::has_state(dir)? {
        return Ok(None);
    }
    let numbered = (2..).map(|number| format!("{REPLACED_NAME}-{number}"));
    let names = std::iter::once(REPLACED_NAME.to_owned()).chain(numbered);
    let free = names.map(|name| dir.join(name)).find(|path| !path.exists());
    let aside = free.expect("some number is free");
    let log = with_suffix(database, "-wal");
    if fs::metadata(&log).is_ok_and(|about| about.len() > 0) {
        let kept = with_suffix(&aside, "-wal");
        fs::copy(&log, &kept).map_err(file_error("keeping aside", &log))?;
        File::open(&kept).and_then(|file| file.sync_all()).map_err(file_error("syncing", &kept))?;
    }
    fs::hard_link(database, &aside).map_err(file_error("keeping aside", database))?;
    Ok(Some(aside))
}

/// Copies a backup to `new`, brings it to the present schema and looks at every row.
fn prepare(from: &Path, new: &Path) -> Result<(Meta, Verified), StoreError> {
    // Opened by us first, because SQLite only says that it cannot.
    File::open(from).map(drop).map_err(file_error("opening", from))?;
    create_new(new)?;
    let opened = |source| StoreError::Open { path: from.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(opened)?;
    if migrate::found(&source, from)? == 0 {
        let detail = format!("{} holds no state of doorbell", from.display());
        return Err(StoreError::Damaged { table: "schema", detail });
    }
    let mut copy = open::writable(new)?;
    Backup::new(&source, &mut copy)
        .and_then(|backup| backup.run_to_completion(1024, std::time::Duration::ZERO, None))
        .map_err(|error| failure("copying a backup", "backup", error))?;
    drop(source);
    // A copied file keeps the log mode of the original; one without a log can be renamed as it is.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
        .map_err(|error| failure("copying a backup", "backup", error))?;
    let found = migrate::found(&copy, new)?;
    migrate::migrate(&copy, found)?;
    let meta = Meta::read(&copy).map_err(|error| failure("reading a backup", "meta", error))?;
    let verified = verify(&copy, meta.seed)?;
    drop(copy);
    sync_with_directory(new)?;
    Ok((meta, verified))
}

/// Moves the old log into the old database, as far as that goes: it may be what is broken.
fn settle_old(database: &Path) {
    if !database.exists() {
        return;
    }
    let settled = open::writable(database).and_then(|conn| {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .and_then(|_| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
            .map_err(|error| failure("moving the log into the old database", "log", error))
    });
    if let Err(error) = settled {
        tracing::warn!(%error, "the state that is replaced could not be tidied up");
    }
}

fn remove_database(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = with_suffix(path, suffix);
        mark::remove_if_there(&path).map_err(file_error("removing", &path))?;
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Looks at everything: SQLite's own checks, the hash of every item and event, the counts of every endpoint.
///
/// # Errors
/// [`StoreError::Damaged`] with how much is wrong, and where first.
pub(super) fn verify(conn: &Connection, seed: u64) -> Result<Verified, StoreError> {
    let failed = |table| move |error| failure("verifying the state", table, error);
    let said: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |columns| columns.get(0))
        .map_err(failed("state"))?;
    if said != "ok" {
        return Err(StoreError::Damaged { table: "state", detail: said });
    }
    let items = verify_items(conn, seed).map_err(failed("items"))?;
    let events = verify_events(conn, seed).map_err(failed("events"))?;
    let contents = verify_contents(conn, seed).map_err(failed("made"))?;
    contents.whole_or("made")?;
    let counts = verify_counts(conn).map_err(failed("endpoints"))?;
    Ok(Verified { items: items.whole_or("items")?, events: events.whole_or("events")? })
        .and_then(|verified| counts.whole_or("endpoints").map(|_| verified))
}

/// A count of rows, and of those that are wrong.
#[derive(Debug, Default)]
struct Inspected {
    rows: u64,
    wrong: u64,
    first_wrong: String,
}

impl Inspected {
    fn add(&mut self, is_whole: bool, name: impl FnOnce() -> String) {
        self.rows += 1;
        if !is_whole {
            if self.wrong == 0 {
                self.first_wrong = name();
            }
            self.wrong += 1;
        }
    }

    fn whole_or(self, table: &'static str) -> Result<u64, StoreError> {
        if self.wrong == 0 {
            return Ok(self.rows);
        }
        let Self { rows, wrong, first_wrong } = self;
        let detail = format!("{wrong} of {rows} rows are wrong, the first is {first_wrong}");
        Err(StoreError::Damaged { table, detail })
    }
}

fn inspect(
    conn: &Connection,
    sql: &str,
    mut look: impl FnMut(&Row<'_>, &mut Inspected) -> rusqlite::Result<()>,
) -> rusqlite::Result<Inspected> {
    let mut inspected = Inspected::default();
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(columns) = rows.next()? {
        look(columns, &mut inspected)?;
    }
    Ok(inspected)
}

fn verify_items(conn: &Connection, seed: u64) -> rusqlite::Result<Inspected> {
    let columns = ITEM_COLUMNS.replace(", ", ", i.");
    let sql = format!(
        "SELECT i.{columns}, coalesce(c.content, '') FROM items i LEFT JOIN contents c USING (source, key)"
    );
    inspect(conn, &sql, |columns, inspected| {
        let item = ItemRow::read(columns, seed)?;
        let content = columns.get_ref(ITEM_COLUMNS_COUNT)?.as_str().unwrap_or_default();
        let is_whole = item.is_whole && hash::of_text(content, seed) == item.content_hash;
        inspected.add(is_whole, || format!("item {}", item.key));
        Ok(())
    })
}

fn verify_events(conn: &Connection, seed: u64) -> rusqlite::Result<Inspected> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e LEFT JOIN bodies b ON b.event = e.no WHERE b.body IS NOT ''"
    );
    inspect(conn, &sql, |columns, inspected| {
        let is_whole = row::event(columns, 0, seed)?.is_some();
        let no: i64 = columns.get(0)?;
        inspected.add(is_whole, || format!("event number {no}"));
        Ok(())
    })
}

/// Whether what was made for endpoints is there, for every delivery that sends it.
fn verify_contents(conn: &Connection, seed: u64) -> rusqlite::Result<Inspected> {
    let sql =
        format!("SELECT {CONTENT_COLUMNS}, d.id FROM deliveries d {MADE_TABLE} WHERE d.is_made");
    inspect(conn, &sql, |columns, inspected| {
        let is_whole = made::content(columns, 0, seed)?.is_some();
        let id: i64 = columns.get(7)?;
        inspected.add(is_whole, || format!("what delivery number {id} sends"));
        Ok(())
    })
}

/// Whether the counts of each endpoint are those of its deliveries.
fn verify_counts(conn: &Connection) -> rusqlite::Result<Inspected> {
    let sql = "SELECT p.name, p.waiting = count(*) FILTER (WHERE d.status = 'waiting') \
        AND p.pending = count(*) FILTER (WHERE d.status = 'pending') \
        AND p.delivered = count(*) FILTER (WHERE d.status = 'delivered') \
        AND p.exhausted = count(*) FILTER (WHERE d.status = 'exhausted') \
        AND p.discarded = count(*) FILTER (WHERE d.status = 'discarded') \
        FROM endpoints p LEFT JOIN deliveries d ON d.endpoint = p.id GROUP BY p.id";
    inspect(conn, sql, |columns, inspected| {
        let is_whole: bool = columns.get(1)?;
        let name: String = columns.get(0)?;
        inspected.add(is_whole, || format!("the counts of endpoint {name}"));
        Ok(())
    })
}
