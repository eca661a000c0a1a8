//! A body too long for memory, in a file that nobody else sees: it is unlinked as soon as it is open, and gone with us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::snapshot::{BodyHash, BodyHasher};

const BUFFER_BYTES: usize = 256 * 1024;

/// A body in a file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    pub(crate) bytes: usize,
    pub(crate) hash: BodyHash,
}

impl Spool {
    /// Its bytes, from the first one on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn reader(&self) -> io::Result<&File> {
        (&self.file).seek(SeekFrom::Start(0))?;
        Ok(&self.file)
    }
}

/// A body on its way into a file.
pub(super) struct Spooling {
    file: BufWriter<File>,
    bytes: usize,
    hash: BodyHasher,
}

impl Spooling {
    /// Into a directory that only we read.
    pub(super) fn begin(directory: &Path, seed: u64) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("body-{}-{number}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { file, bytes: 0, hash: BodyHasher::new(seed) })
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hash.update(chunk);
        self.bytes += chunk.len();
        self.file.write_all(chunk)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn finish(self) -> io::Result<Spool> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Spool { file, bytes: self.bytes, hash: self.hash.hash() })
    }
}
