//! The only writer of events to standard output and to files: the outward effect of `stdout:` and `file:` endpoints, as
//! [`crate::http`] is of the others.

mod file;

use std::io::Write as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::core::http::TransportFault;

use file::Files;

/// The end of a write to come.
pub(crate) type Written<'a> = Pin<Box<dyn Future<Output = Result<(), TransportFault>> + Send + 'a>>;

/// Writes whole lines, one after the other.
pub(crate) trait LineWriter: Send + Sync {
    /// Writes a line to standard output and flushes it, inside a deadline.
    fn write(&self, line: Bytes, deadline: Duration) -> Written<'_>;

    /// Adds a line to the end of a file, inside a deadline. It is on disk when this succeeds.
    fn append(&self, path: PathBuf, line: Bytes, deadline: Duration) -> Written<'_>;
}

/// Standard output, and the file system.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Held by the one write under way, so that a reader that stopped reading costs one thread and no more.
    gate: Arc<Mutex<()>>,
    files: Files,
}

impl LineWriter for Lines {
    fn write(&self, line: Bytes, deadline: Duration) -> Written<'_> {
        Box::pin(async move {
            let write = async {
                let turn = Arc::clone(&self.gate).lock_owned().await;
                let written = tokio::task::spawn_blocking(move || {
                    let result = write_line(&line);
                    drop(turn);
                    result
                });
                written.await.map_err(|_| TransportFault::Interrupted)
            };
            match tokio::time::timeout(deadline, write).await {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(error))) => Err(TransportFault::Connect { detail: error.to_string() }),
                Ok(Err(fault)) => Err(fault),
                Err(_) => Err(TransportFault::Timeout {
                    phase: "writing to standard output",
                    after: deadline,
                }),
            }
        })
    }

    fn append(&self, path: PathBuf, line: Bytes, deadline: Duration) -> Written<'_> {
        Box::pin(async move {
            match tokio::time::timeout(deadline, self.files.append(path, line)).await {
                Ok(written) => written,
                Err(_) => {
                    Err(TransportFault::Timeout { phase: "writing to the file", after: deadline })
                }
            }
        })
    }
}

fn write_line(line: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line)?;
    out.flush()
}
