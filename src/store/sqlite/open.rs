//! Opening a state directory: one process at a time, a safe SQLite, no state that went backwards.

use std::fs;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

use super::mark::Mark;
use super::{failure, mark, migrate};

/// The database's name in the state directory.
pub(crate) const DATABASE_NAME: &str = "doorbell.db";
/// Held while a process uses the state directory.
const LOCK_NAME: &str = "doorbell.lock";
/// 3.7.0 to 3.51.2 can corrupt a WAL database when two connections write and checkpoint at once.
const LEAST_SQLITE: (i32, &str) = (3_051_003, "3.51.3");
/// How long to wait for another process – a person's `sqlite3`, say – that has the database locked.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More statements than there are, so that none is compiled twice.
const STATEMENTS_MAX: usize = 128;
/// Memory for pages, in KiB. The system keeps the file's pages at hand as well, and what is full once stays so.
const WRITER_CACHE_KIB: i32 = 4 * 1024;
const READER_CACHE_KIB: i32 = 2 * 1024;

/// What a database says about itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) instance: u128,
    pub(super) seed: u64,
    pub(super) commits: u64,
}

impl Meta {
    /// Reads it. The columns named here are in every schema.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        conn.query_row("SELECT instance, seed, commits FROM meta", [], |columns| {
            Ok(Self {
                instance: u128::from_be_bytes(columns.get(0)?),
                seed: columns.get::<_, i64>(1)?.cast_unsigned(),
                commits: columns.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
    }

    pub(super) fn mark(self) -> Mark {
        Mark { instance: self.instance, commits: self.commits }
    }
}

/// Takes the lock of a state directory, which is made if it is missing. The lock is free when the file is dropped.
///
/// # Errors
/// [`StoreError::Locked`], at once, if another process has it.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::File { action, path, source }
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            io::Error::new(error.kind(), "there is a file; the state is a directory (--state)")
        }
        _ => error,
    })
    .map_err(failed("creating", dir))?;
    let path = dir.join(LOCK_NAME);
    let file = private_file(&path).map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(StoreError::File { action: "locking", path, source })
        }
    }
}

/// Opens a file for its owner alone, made if it is missing.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Opens the database of a locked state directory for writing, checked against its mark, with the present schema.
pub(super) fn database(dir: &Path, accept: bool) -> Result<(Connection, Meta), StoreError> {
    let version = rusqlite::version_number();
    if version < LEAST_SQLITE.0 {
        let found = rusqlite::version().to_owned();
        return Err(StoreError::OldSqlite { found, least: LEAST_SQLITE.1 });
    }
    let path = dir.join(DATABASE_NAME);
    // Made here, because SQLite would give it the mode that the umask allows. A log of an earlier database that is
    // gone would be taken for one of this one, but SQLite removes it when the database is empty.
    private_file(&path).map(drop).map_err(|source| StoreError::File {
        action: "opening",
        path: path.clone(),
        source,
    })?;
    let conn = writable(&path)?;
    let schema = migrate::found(&conn, &path)?;
    if !accept {
        refuse_if_behind(dir, &conn, schema)?;
    }
    set_up(&conn, &path)?;
    migrate::migrate(&conn, schema)?;
    let meta = Meta::read(&conn).map_err(|error| failure("reading the state", "meta", error))?;
    let synced = mark::sync_directory(dir);
    synced.map_err(|source| StoreError::File { action: "syncing", path: dir.into(), source })?;
    meta.mark().write(dir)?;
    Ok((conn, meta))
}

/// Opens a database file for writing, without changing anything in it.
pub(super) fn writable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(path, flags)?;
    // Closing would checkpoint in passing and throw the result away.
    let set = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    set.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    Ok(conn)
}

/// Whether a state directory holds a state.
pub(super) fn has_state(dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join(DATABASE_NAME);
    match fs::metadata(&path) {
        Ok(about) => Ok(about.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::File { action: "looking for", path, source }),
    }
}

/// Opens the database of a state directory for reading.
pub(super) fn readable(dir: &Path) -> Result<(Connection, Meta), StoreError> {
    let path = dir.join(DATABASE_NAME);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(&path, flags)?;
    let schema = migrate::found(&conn, &path)?;
    let set = conn.pragma_update(None, "cache_size", -READER_CACHE_KIB);
    set.map_err(|source| StoreError::Open { path: path.clone(), source })?;
    if schema < migrate::KNOWN {
        let detail = match schema {
            0 => format!("{} has no state yet", path.display()),
            _ => format!(
                "{} was written by an older doorbell: start this one once, it brings the state up to date",
                path.display()
            ),
        };
        return Err(StoreError::Damaged { table: "schema", detail });
    }
    let meta = Meta::read(&conn).map_err(|error| failure("reading the state", "meta", error))?;
    Ok((conn, meta))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Else some statements are compiled anew for each value that is bound to them.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "cell_size_check", true)?;
        conn.pragma_update(None, "temp_store", "memory")?;
        Ok(conn)
    };
    open().map_err(|source| StoreError::Open { path: PathBuf::from(path), source })
}

/// What durability rests on. Each is read back: a pragma that is not understood is silent.
fn set_up(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let set = || {
        let mode: String =
            conn.query_row("PRAGMA journal_mode = WAL", [], |columns| columns.get(0))?;
        // FULL: with NORMAL, replayed power losses lost acknowledged commits. No automatic checkpoint: it hides its
        // errors, so the writer calls it and looks at what it says.
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
        conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        let full: i64 = conn.query_row("PRAGMA synchronous", [], |columns| columns.get(0))?;
        let auto: i64 =
            conn.query_row("PRAGMA wal_autocheckpoint", [], |columns| columns.get(0))?;
        Ok((mode, full, auto))
    };
    let (mode, full, auto) =
        set().map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    if mode == "wal" && full == 2 && auto == 0 {
        return Ok(());
    }
    let said = format!(
        "journal_mode is {mode}, synchronous {full}, wal_autocheckpoint {auto}: not durable here"
    );
    let source = rusqlite::Error::InvalidParameterName(said);
    Err(StoreError::Open { path: path.to_owned(), source })
}

fn refuse_if_behind(dir: &Path, conn: &Connection, schema: i64) -> Result<(), StoreError> {
    let Some(mark) = Mark::read(dir)? else { return Ok(()) };
    let meta = match schema {
        0 => None,
        _ => Some(Meta::read(conn).map_err(|error| failure("reading the state", "meta", error))?),
    };
    let found = meta.map_or(0, |meta| meta.commits);
    let is_same = meta.is_some_and(|meta| meta.instance == mark.instance);
    if is_same && found >= mark.commits {
        return Ok(());
    }
    Err(StoreError::WentBackwards { path: dir.to_owned(), found, expected: mark.commits })
}
