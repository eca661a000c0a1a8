//! What a configuration reads from around it: the environment and files. A trait, so that tests bring their own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The surroundings of a configuration.
pub(crate) trait Lookup {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;

    /// A file's text.
    ///
    /// # Errors
    /// When there is none, or it is longer than `bytes_max`, no UTF-8, or not readable.
    fn file(&self, path: &Path, bytes_max: usize) -> Result<FoundFile, FileFault>;

    /// The files of a directory, in no order.
    ///
    /// # Errors
    /// When there is none or it is not readable.
    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, FileFault>;
}

/// A file that was found.
#[derive(Clone)]
pub(crate) struct FoundFile {
    pub(crate) text: String,
    /// Whether everybody on this machine may read it.
    pub(crate) world_readable: bool,
}

impl std::fmt::Debug for FoundFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "FoundFile({} bytes)", self.text.len())
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FileFault {
    #[error("there is no such file")]
    Missing,
    #[error("it is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::InvalidData => Self::NotText,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

/// The process's own environment and files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings;

impl Lookup for Surroundings {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is looked up")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path, bytes_max: usize) -> Result<FoundFile, FileFault> {
        let file = std::fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(FileFault::Unreadable(String::from("it is a directory")));
        }
        let bytes_max_long = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let too_long = FileFault::TooLong { bytes_max };
        if metadata.len() > bytes_max_long {
            return Err(too_long);
        }
        let mut bytes = Vec::new();
        file.take(bytes_max_long.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(too_long);
        }
        let text = String::from_utf8(bytes).map_err(|_| FileFault::NotText)?;
        Ok(FoundFile { text, world_readable: world_readable(&metadata) })
    }

    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, FileFault> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?.path();
            if entry.is_file() {
                files.push(entry);
            }
        }
        Ok(files)
    }
}

/// What tells a file from another one in its place, or from itself before a change; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print(Option<[i64; 5]>);

impl Print {
    /// Of whatever a path leads to now.
    pub(crate) fn of(path: &Path) -> Self {
        let Ok(about) = std::fs::metadata(path) else { return Self(None) };
        let unsigned = [about.dev(), about.ino(), about.size()].map(u64::cast_signed);
        let [device, inode, bytes] = unsigned;
        Self(Some([device, inode, bytes, about.mtime(), about.mtime_nsec()]))
    }
}

/// The same, noting what every file and directory looked like before it was read, whether it was there or not.
#[derive(Debug, Default)]
pub(crate) struct Noting(RefCell<BTreeMap<PathBuf, Print>>);

impl Noting {
    /// What was looked for.
    pub(crate) fn noted(self) -> BTreeMap<PathBuf, Print> {
        self.0.into_inner()
    }

    fn note(&self, path: &Path) {
        self.0.borrow_mut().entry(path.to_owned()).or_insert_with_key(|path| Print::of(path));
    }
}

impl Lookup for Noting {
    fn variable(&self, name: &str) -> Option<String> {
        Surroundings.variable(name)
    }

    fn file(&self, path: &Path, bytes_max: usize) -> Result<FoundFile, FileFault> {
        self.note(path);
        Surroundings.file(path, bytes_max)
    }

    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, FileFault> {
        self.note(if path.as_os_str().is_empty() { Path::new(".") } else { path });
        Surroundings.directory(path)
    }
}

#[cfg(unix)]
fn world_readable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn world_readable(_metadata: &std::fs::Metadata) -> bool {
    false
}
