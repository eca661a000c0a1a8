//! The store in SQLite: one file with one writer, any number of readers, and a mark beside it.
//!
//! Why each setting is as it is stands in `open`; the schema and its reasons in `migrations`. To change the schema,
//! add a numbered file there and name it in `migrate`; a released one never changes.

mod book;
pub(crate) mod copy;
mod delivery;
mod filter;
mod hash;
mod hot;
mod made;
mod mark;
mod migrate;
mod open;
#[cfg(feature = "planted-bugs")]
mod planted;
mod poll;
mod read;
mod rename;
mod retention;
mod row;
mod settling;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, DEFAULT_NAME, ErrorCode, ffi};

use crate::store::{Read, Refusal, Store, StoreError, Write, Written};

use self::book::Book;
use self::hot::Hot;
use self::mark::Mark;
use self::read::Connected;
use self::write::Group;

#[cfg(test)]
use self::copy::Verified;

/// How often the mark is written at most.
const MARK_PERIOD: Duration = Duration::from_secs(1);
/// Pages in the log beyond those already moved, before the writer moves them: 16 MiB.
const LOG_PAGES_MAX: i32 = 4096;
/// Pages in the log altogether, before the writer waits shortly for readers so that it can start over: 64 MiB.
const LOG_PAGES_FULL: i32 = 4 * LOG_PAGES_MAX;
/// How long a checkpoint waits for readers.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(200);

/// A clock that never steps.
pub(crate) type Steady = Box<dyn Fn() -> Duration + Send>;

/// How to open a state directory.
pub(crate) struct Opening {
    /// Take on a state that went backwards, and go on from there.
    pub(crate) accept: bool,
    /// Paces the mark.
    pub(crate) steady: Steady,
}

impl fmt::Debug for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opening").field("accept", &self.accept).finish_non_exhaustive()
    }
}

/// The writer. Holds the lock of its state directory until it is dropped.
pub(crate) struct SqliteStore {
    conn: Connection,
    dir: PathBuf,
    /// `None` after a failure, until it is read anew.
    book: Option<Book>,
    seed: u64,
    /// What the mark says, and what it should.
    marked: Mark,
    committed: u64,
    marked_at: Duration,
    steady: Steady,
    /// Set by a failure after which nothing may be acknowledged.
    is_stopped: bool,
    /// Last, so that the database is closed before another process may open it.
    _lock: File,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqliteStore")
            .field("dir", &self.dir)
            .field("committed", &self.committed)
            .field("is_stopped", &self.is_stopped)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the state in `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process uses it, [`StoreError::WentBackwards`] if it is behind its mark,
    /// [`StoreError::NewerSchema`] if a newer program wrote it.
    pub(crate) fn open(dir: &Path, opening: Opening) -> Result<Self, StoreError> {
        let lock = open::lock(dir)?;
        let (conn, meta) = open::database(dir, opening.accept)?;
        let mut store = Self {
            conn,
            dir: dir.to_owned(),
            book: None,
            seed: meta.seed,
            marked: meta.mark(),
            committed: meta.commits,
            marked_at: (opening.steady)(),
            steady: opening.steady,
            is_stopped: false,
            _lock: lock,
        };
        // What a killed process left in the log is moved now, and a file system that cannot do that is met now.
        store.checkpoint()?;
        Ok(store)
    }

    /// The state directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Write transactions in the life of this state.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.committed
    }

    /// Looks at every row; see [`Verified`].
    #[cfg(test)]
    pub(crate) fn verify(&self) -> Result<Verified, StoreError> {
        copy::verify(&self.conn, self.seed)
    }

    fn group(&mut self, writes: &[Write]) -> rusqlite::Result<Vec<Result<Written, Refusal>>> {
        let conn = &self.conn;
        let book = match &mut self.book {
            Some(book) => book,
            none => none.insert(Book::load(conn)?),
        };
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut group = Group { conn, hot: Hot::prepare(conn)?, book, seed: self.seed };
        let answers = writes.iter().map(|write| group.one(write)).collect::<Result<_, _>>()?;
        group.book.write_back(conn)?;
        let commits = group.book.commits;
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.committed = commits;
        Ok(answers)
    }

    /// Undoes a group that failed. What cannot be undone, or is no passing condition, stops the store.
    fn undo(&mut self, error: rusqlite::Error) -> StoreError {
        self.book = None;
        let is_undone = self.conn.is_autocommit() || self.conn.execute_batch("ROLLBACK").is_ok();
        let error = failure("writing the state", "state", error);
        self.is_stopped |= !(is_undone && error.may_pass());
        error
    }

    /// As [`Store::apply`], but for what is owed after it: whoever waits for the commit need not wait for that.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub(crate) fn commit(
        &mut self,
        writes: &[Write],
    ) -> Result<Vec<Result<Written, Refusal>>, StoreError> {
        if self.is_stopped {
            return Err(StoreError::Stopped);
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.group(writes).map_err(|error| self.undo(error))
    }

    /// The mark and the log, after commits that stand.
    ///
    /// # Errors
    /// A failure after which the store is stopped.
    pub(crate) fn tend(&mut self) -> Result<(), StoreError> {
        if self.is_stopped {
            return Ok(());
        }
        let tended = self.mark_if_due().and_then(|()| self.bound_log());
        self.note(tended)
    }

    /// Whether there is something to [`tend`](Self::tend).
    pub(crate) fn owes(&mut self) -> bool {
        let is_long = |(pages, moved): (i32, i32)| pages - moved >= LOG_PAGES_MAX;
        !self.is_stopped
            && (self.is_mark_due()
                || self.run_checkpoint(CheckpointMode::NOOP).map_or(true, is_long))
    }

    fn is_mark_due(&self) -> bool {
        (self.steady)().saturating_sub(self.marked_at) >= MARK_PERIOD
    }

    fn mark_if_due(&mut self) -> Result<(), StoreError> {
        if !self.is_mark_due() {
            return Ok(());
        }
        self.marked_at = (self.steady)();
        self.write_mark()
    }

    fn write_mark(&mut self) -> Result<(), StoreError> {
        let mark = Mark { commits: self.committed, ..self.marked };
        if mark != self.marked {
            mark.write(&self.dir)?;
            self.marked = mark;
        }
        Ok(())
    }

    fn bound_log(&mut self) -> Result<(), StoreError> {
        let (pages, moved) = self.run_checkpoint(CheckpointMode::NOOP)?;
        if pages - moved < LOG_PAGES_MAX {
            return Ok(());
        }
        let mode =
            if pages < LOG_PAGES_FULL { CheckpointMode::PASSIVE } else { CheckpointMode::TRUNCATE };
        self.run_checkpoint(mode).map(drop)
    }

    /// Pages in the log, and how many of them are in the database by now. Readers that are in the way are no failure:
    /// the next checkpoint moves the rest.
    fn run_checkpoint(&mut self, mode: CheckpointMode) -> Result<(i32, i32), StoreError> {
        let failed = |error| failure("moving the log into the database", "log", error);
        let waits = matches!(mode, CheckpointMode::TRUNCATE);
        if waits {
            self.conn.busy_timeout(CHECKPOINT_TIMEOUT).map_err(failed)?;
        }
        let result = self.conn.wal_checkpoint_v2(DEFAULT_NAME, mode);
        if waits {
            self.conn.busy_timeout(open::BUSY_TIMEOUT).map_err(failed)?;
        }
        match result {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok((0, 0)),
            result => result.map_err(failed),
        }
    }

    /// Passes a result on, stopping the store if it is a failure that does not pass. A full disk is none here: what
    /// was committed stands, and the mark and the log catch up later.
    fn note(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "the mark or the log could not be written: trying again later");
                Ok(())
            }
            Err(error) => {
                self.is_stopped = true;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Connected for SqliteStore {
    fn connection(&self) -> &Connection {
        &self.conn
    }

    fn state_seed(&self) -> u64 {
        self.seed
    }
}

impl Store for SqliteStore {
    fn apply(&mut self, writes: &[Write]) -> Result<Vec<Result<Written, Refusal>>, StoreError> {
        let answers = self.commit(writes)?;
        self.tend()?;
        Ok(answers)
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.is_stopped {
            return Err(StoreError::Stopped);
        }
        // Passive first: it moves what it can even when a reader keeps the log from being emptied.
        let moved = self
            .run_checkpoint(CheckpointMode::PASSIVE)
            .and_then(|_| self.run_checkpoint(CheckpointMode::TRUNCATE))
            .and_then(|_| self.write_mark());
        self.note(moved)
    }

    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        copy::backup(&self.conn, to)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if self.is_stopped {
            return;
        }
        if let Err(error) = self.checkpoint() {
            tracing::error!(%error, "closing the store");
        }
    }
}

/// A reader: sees whole groups only, and never delays the writer.
pub(crate) struct SqliteReader {
    conn: Connection,
    seed: u64,
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqliteReader").finish_non_exhaustive()
    }
}

impl SqliteReader {
    /// Opens the state in `dir` for reading; it must exist, and have the present schema.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let (conn, meta) = open::readable(dir)?;
        Ok(Self { conn, seed: meta.seed })
    }

    /// The same, but a directory without a state is an empty one. Nothing is written into it.
    pub(crate) fn open_or_empty(dir: &Path) -> Result<Self, StoreError> {
        if open::has_state(dir)? {
            return Self::open(dir);
        }
        let failed = |source| StoreError::Open { path: dir.to_owned(), source };
        let conn = Connection::open_in_memory().map_err(failed)?;
        migrate::migrate(&conn, 0)?;
        let meta = open::Meta::read(&conn).map_err(failed)?;
        Ok(Self { conn, seed: meta.seed })
    }

    /// Reads several things as they stood at one moment.
    pub(crate) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&dyn Read) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |error| failure("reading the state", "state", error);
        let moment = self.conn.unchecked_transaction().map_err(failed)?;
        let result = read(self);
        moment.rollback().map_err(failed)?;
        result
    }

    /// As [`Store::backup`], without occupying the writer.
    pub(crate) fn backup(&self, to: &Path) -> Result<(), StoreError> {
        copy::backup(&self.conn, to)
    }
}

impl Connected for SqliteReader {
    fn connection(&self) -> &Connection {
        &self.conn
    }

    fn state_seed(&self) -> u64 {
        self.seed
    }
}

/// Tells a full disk and damaged rows from other failures.
fn failure(action: &'static str, table: &'static str, error: rusqlite::Error) -> StoreError {
    match &error {
        rusqlite::Error::SqliteFailure(cause, _)
            if cause.code == ErrorCode::DiskFull
                // The index of the log could not grow: also a full disk.
                || cause.extended_code == ffi::SQLITE_IOERR_SHMSIZE =>
        {
            StoreError::Full { source: error }
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => {
            StoreError::Damaged { table, detail: error.to_string() }
        }
        _ => StoreError::Sqlite { action, source: error },
    }
}
