//! Clients around other ones: one writes down what is exchanged, one answers from what was written down. Whoever polls
//! through them cannot tell.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;

use crate::core::fault::Whose;
use crate::core::http::Request;
use crate::core::limits::RECORDING_BYTES_MAX;
use crate::core::recording::{Answered, Asked, Recorded, Recording};
use crate::http::{Exchange, HttpClient};
use crate::telemetry::Redactor;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes of a request's URL what may be shown of it.
pub(crate) type Shown = Arc<dyn Fn(&Url) -> String + Send + Sync>;

/// Passes requests on, and writes down what is asked and answered.
pub(crate) struct Recorder {
    inner: Arc<dyn HttpClient>,
    shown: Shown,
    redactor: Redactor,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    exchanges: Vec<Recorded>,
    bytes: usize,
    left_off: usize,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Around a client; the redactor's secrets are not written down.
    pub(crate) fn new(inner: Arc<dyn HttpClient>, shown: Shown, redactor: Redactor) -> Self {
        Self { inner, shown, redactor, notes: Mutex::default() }
    }

    /// What was exchanged so far.
    pub(crate) fn recording(&self, source: &str, at: String) -> Recording {
        let notes = std::mem::take(&mut *locked(&self.notes));
        Recording {
            doorbell: env!("CARGO_PKG_VERSION").to_owned(),
            source: source.to_owned(),
            recorded: at,
            exchanges: notes.exchanges,
            left_off: notes.left_off,
        }
    }
}

impl HttpClient for Recorder {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let clean = |text: &str| self.redactor.clean(text);
            let asked = Asked::of(&request, &*self.shown, clean);
            let result = self.inner.exchange(request).await;
            let mut notes = locked(&self.notes);
            notes.bytes = notes.bytes.saturating_add(result.as_ref().map_or(0, |it| it.body.len()));
            if notes.bytes > RECORDING_BYTES_MAX {
                notes.left_off += 1;
                return result;
            }
            let (response, fault) = match &result {
                Ok(response) => (Some(Answered::of(response, clean)), None),
                Err(fault) => (None, Some(clean(&fault.to_fault(Whose::Source).sentence))),
            };
            notes.exchanges.push(Recorded { request: Some(asked), response, fault });
            drop(notes);
            result
        })
    }
}

/// Answers from a recording and opens no socket.
pub(crate) struct Replayer {
    left: Mutex<Recording>,
    shown: Shown,
    redactor: Redactor,
}

impl fmt::Debug for Replayer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Replayer").finish_non_exhaustive()
    }
}

impl Replayer {
    /// Over a recording; the redactor's secrets are hidden in requests as they were when it was made.
    pub(crate) fn new(recording: Recording, shown: Shown, redactor: Redactor) -> Self {
        Self { left: Mutex::new(recording), shown, redactor }
    }
}

impl HttpClient for Replayer {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let asked = Asked::of(&request, &*self.shown, |text| self.redactor.clean(text));
            locked(&self.left).take(&asked)
        })
    }
}
