//! Files that events are added to, one a line. Lines that wait at the same time share one write and one sync.
//!
//! Somebody else may rename or empty the file at any time (`logrotate`, in either of its ways): before each write it is
//! looked whether the path still leads to the open file, and what is written goes to wherever the end is then. A line
//! that a crash or a full disk cut short is ended before the next one begins, so that it spoils no other; it comes again
//! whole.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::spawn_blocking;

use crate::core::http::TransportFault;
use crate::core::limits::{SINK_FILE_BYTES_MAX, SINK_FILES_KEPT_MAX};

/// The files in use, by path.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<BTreeMap<PathBuf, Arc<Desk>>>);

/// Where the lines for one file are handed in.
#[derive(Debug)]
struct Desk {
    queue: Mutex<Vec<Waiting>>,
    /// Held by the one write under way.
    journal: Arc<AsyncMutex<Journal>>,
}

/// A line that waits to be written, and whom to tell.
#[derive(Debug)]
struct Waiting {
    line: Bytes,
    told: oneshot::Sender<Result<(), TransportFault>>,
}

impl Files {
    /// Adds a line to the end of a file, which is made if it is missing; returns when it is on disk. A line whose caller
    /// is gone before its turn is not written.
    pub(super) async fn append(&self, path: PathBuf, line: Bytes) -> Result<(), TransportFault> {
        let desk = Arc::clone(
            locked(&self.0).entry(path).or_insert_with_key(|path| Arc::new(Desk::new(path))),
        );
        let (told, mut answer) = oneshot::channel();
        locked(&desk.queue).push(Waiting { line, told });
        let journal = Arc::clone(&desk.journal);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            mut journal = journal.lock_owned() => {
                // Goes on without us if we are dropped, so that the others get their answers.
                drop(spawn_blocking(move || desk.write_all(&mut journal)));
                answer.await
            }
        };
        answer.unwrap_or(Err(TransportFault::Interrupted))
    }
}

impl Desk {
    fn new(path: &Path) -> Self {
        let bounds = Bounds { bytes_max: SINK_FILE_BYTES_MAX, kept_max: SINK_FILES_KEPT_MAX };
        let journal = Journal::new(path.to_owned(), bounds);
        Self { queue: Mutex::default(), journal: Arc::new(AsyncMutex::new(journal)) }
    }

    /// Writes whatever waits.
    fn write_all(&self, journal: &mut Journal) {
        let mut waiting = std::mem::take(&mut *locked(&self.queue));
        waiting.retain(|waiting| !waiting.told.is_closed());
        if waiting.is_empty() {
            return;
        }
        let written = journal.append(waiting.iter().map(|waiting| &*waiting.line));
        let result =
            written.map_err(|error| TransportFault::Unwritten { detail: error.to_string() });
        for Waiting { told, .. } in waiting {
            if told.send(result.clone()).is_err() {
                tracing::debug!("a line is written whose sender is gone");
            }
        }
    }
}

/// When a file is set aside, and how many of those are kept.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes_max: u64,
    kept_max: u32,
}

/// One file.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    bounds: Bounds,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    device: u64,
    inode: u64,
}

impl Journal {
    fn new(path: PathBuf, bounds: Bounds) -> Self {
        Self { path, bounds, open: None }
    }

    /// Adds lines, and makes them durable. After a failure any of them may be in the file, or a part of one.
    fn append<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let added = self.add(lines);
        if added.is_err() {
            // What the system knows of the file after a failed sync is not to be relied on.
            self.open = None;
        }
        added
    }

    fn add<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let (mut batch, mut bytes) = self.begin()?;
        for line in lines {
            let length = line.len() as u64;
            if bytes > 0 && bytes.saturating_add(length) > self.bounds.bytes_max {
                self.flush(&batch)?;
                self.set_aside()?;
                (batch, bytes) = self.begin()?;
            }
            batch.extend_from_slice(line);
            bytes = bytes.saturating_add(length);
        }
        self.flush(&batch)
    }

    /// Opens the file that the path leads to now: what a batch for it begins with, and how long it is.
    fn begin(&mut self) -> io::Result<(Vec<u8>, u64)> {
        let open = self.reopened()?;
        let length = open.file.metadata()?.len();
        let batch = if open.is_torn(length)? { vec![b'\n'] } else { Vec::new() };
        Ok((batch, length))
    }

    fn reopened(&mut self) -> io::Result<&mut Open> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Opening anything else may wait for ever, or do harm.
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Err(io::Error::other("this is not a regular file"));
        }
        let kept = self.open.take().filter(|open| there.as_ref().is_some_and(|it| open.is(it)));
        let open = match kept {
            Some(open) => open,
            None => self.opened(there.is_none())?,
        };
        Ok(self.open.insert(open))
    }

    fn opened(&self, is_new: bool) -> io::Result<Open> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.path)?;
        if is_new {
            self.sync_directory()?;
        }
        let about = file.metadata()?;
        Ok(Open { file, device: about.dev(), inode: about.ino() })
    }

    fn flush(&mut self, batch: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("it is not open")) };
        open.file.write_all(batch)?;
        open.file.sync_data()
    }

    /// Renames the file to `PATH.1`, what was there to `PATH.2`, and so on; the oldest goes.
    fn set_aside(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (0..self.bounds.kept_max).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.sync_directory()
    }

    /// The path of a file set aside; 0 is the one that is written.
    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(self.path.as_os_str());
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// Makes names durable.
    fn sync_directory(&self) -> io::Result<()> {
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Open {
    fn is(&self, there: &Metadata) -> bool {
        (self.device, self.inode) == (there.dev(), there.ino())
    }

    /// Whether the last line has no end.
    fn is_torn(&self, length: u64) -> io::Result<bool> {
        let Some(last) = length.checked_sub(1) else { return Ok(false) };
        let mut byte = [0];
        // Nothing is read when it was emptied just now.
        Ok(self.file.read_at(&mut byte, last)? == 1 && byte != *b"\n")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
