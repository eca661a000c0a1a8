//! The only writer of events to standard output: the outward effect of `stdout:` endpoints, as [`crate::http`] is of
//! the others.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::core::http::TransportFault;

/// The end of a write to come.
pub(crate) type Written<'a> = Pin<Box<dyn Future<Output = Result<(), TransportFault>> + Send + 'a>>;

/// Writes whole lines, one after the other.
pub(crate) trait LineWriter: Send + Sync {
    /// Writes and flushes a line inside a deadline.
    fn write(&self, line: Bytes, deadline: Duration) -> Written<'_>;
}

/// Standard output.
#[derive(Debug, Default)]
pub(crate) struct StandardOutput {
    /// Held by the one write under way, so that a reader that stopped reading costs one thread and no more.
    gate: Arc<Mutex<()>>,
}

impl LineWriter for StandardOutput {
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
}

fn write_line(line: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line)?;
    out.flush()
}
