//! The high-water mark: a small file beside the database that says how many commits were acknowledged.
//!
//! SQLite cannot notice that its log was removed or that an older copy was put in its place; a database behind its
//! mark can. The mark is written after a commit, so it is never ahead of what is durable.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::StoreError;

const NAME: &str = "doorbell.mark";
const NEW_NAME: &str = "doorbell.mark.new";
const MAGIC: &str = "doorbell-mark-1";

/// Which database, and how far it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) instance: u128,
    pub(super) commits: u64,
}

impl Mark {
    /// Reads the mark of a state directory. `None` if there is none: the state is new, or was taken from elsewhere.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::File { action: "reading", path, source }),
        };
        Self::parse(&text).map(Some).ok_or_else(|| StoreError::Damaged {
            table: NAME,
            detail: String::from(
                "it says nothing about how far the state was; if the state is known to be good, \
                 start once with `run --accept-state`",
            ),
        })
    }

    /// Replaces the mark: whole or not at all, and durable when this returns.
    pub(super) fn write(self, dir: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::File { action: "writing", path: dir.join(NAME), source };
        self.replace(dir).map_err(failed)
    }

    /// Removes the mark, durably.
    pub(super) fn remove(dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(NAME);
        remove_if_there(&path)
            .and_then(|()| sync_directory(dir))
            .map_err(|source| StoreError::File { action: "removing", path, source })
    }

    fn replace(self, dir: &Path) -> io::Result<()> {
        let new = dir.join(NEW_NAME);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, dir.join(NAME))?;
        sync_directory(dir)
    }

    fn text(self) -> String {
        let said = format!("{MAGIC} {:032x} {}", self.instance, self.commits);
        format!("{said} {:016x}\n", xxh3_64(said.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (magic, instance, commits) = (words.next()?, words.next()?, words.next()?);
        let mark = Self {
            instance: u128::from_str_radix(instance, 16).ok()?,
            commits: commits.parse().ok()?,
        };
        (magic == MAGIC && mark.text() == text).then_some(mark)
    }
}

/// Makes a directory's entries durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a file, if it is there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
