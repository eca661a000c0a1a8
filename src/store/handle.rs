//! The async face of the store: groups the writes that are waiting into one transaction, and reads beside the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::core::limits::GROUP_WRITES_MAX;
use crate::store::sqlite::{Opening, SqliteReader, SqliteStore};
use crate::store::{Read, Refusal, Store, StoreError, Write, Written};

const READERS: usize = 4;

type Answer = Result<Result<Written, Refusal>, Arc<StoreError>>;

struct Job {
    write: Write,
    answer: oneshot::Sender<Answer>,
}

struct Inner {
    writer: Arc<Mutex<Box<dyn Store>>>,
    turn: tokio::sync::Mutex<()>,
    queue: Mutex<Vec<Job>>,
    readers: Mutex<Vec<SqliteReader>>,
    permits: Option<tokio::sync::Semaphore>,
    failed: watch::Sender<Option<Arc<StoreError>>>,
    seed: u64,
}

/// The store, from async code. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StoreHandle(Arc<Inner>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("StoreHandle")
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreHandle {
    pub(crate) fn open(dir: &Path, accept: bool) -> Result<Self, StoreError> {
        let started = tokio::time::Instant::now();
        let store = SqliteStore::open(
            dir,
            Opening { accept, steady: Box::new(move || started.elapsed()) },
        )?;
        let readers =
            (0..READERS).map(|_| SqliteReader::open(dir)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(Box::new(store), readers))
    }
    pub(crate) fn inline(store: Box<dyn Store>) -> Self {
        Self::new(store, Vec::new())
    }
    fn new(store: Box<dyn Store>, readers: Vec<SqliteReader>) -> Self {
        let seed = store.seed();
        let permits = (!readers.is_empty()).then(|| tokio::sync::Semaphore::new(readers.len()));
        Self(Arc::new(Inner {
            writer: Arc::new(Mutex::new(store)),
            turn: tokio::sync::Mutex::new(()),
            queue: Mutex::default(),
            readers: Mutex::new(readers),
            permits,
            failed: watch::channel(None).0,
            seed,
        }))
    }
    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }
    fn fail(&self, error: StoreError) -> Arc<StoreError> {
        let error = Arc::new(error);
        if !matches!(*error, StoreError::Full { .. }) {
            self.0.failed.send_if_modified(|f| {
                if f.is_none() {
                    *f = Some(Arc::clone(&error));
                    true
                } else {
                    false
                }
            });
        }
        error
    }
    pub(crate) async fn failed(&self) -> Arc<StoreError> {
        let mut failed = self.0.failed.subscribe();
        loop {
            if let Some(error) = failed.borrow_and_update().clone() {
                return error;
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
    pub(crate) async fn write(&self, write: Write) -> Answer {
        if self.0.permits.is_none() {
            let mut done = lock(&self.0.writer)
                .apply(std::slice::from_ref(&write))
                .map_err(|e| self.fail(e))?;
            return Ok(done.remove(0));
        }
        let (answer, mut answered) = oneshot::channel();
        lock(&self.0.queue).push(Job { write, answer });
        let turn = tokio::select! { biased; got = &mut answered => return got.unwrap_or_else(|_| Err(Arc::new(StoreError::Stopped))), turn = self.0.turn.lock() => turn };
        if let Ok(got) = answered.try_recv() {
            return got;
        }
        loop {
            let jobs: Vec<Job> = {
                let mut q = lock(&self.0.queue);
                let n = q.len().min(GROUP_WRITES_MAX);
                q.drain(..n).collect()
            };
            if jobs.is_empty() {
                break;
            }
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.apply(jobs)).await;
            if let Ok(got) = answered.try_recv() {
                drop(turn);
                return got;
            }
        }
        drop(turn);
        answered.await.unwrap_or_else(|_| Err(Arc::new(StoreError::Stopped)))
    }
    fn apply(&self, jobs: Vec<Job>) {
        let (writes, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|j| (j.write, j.answer)).unzip();
        let result = lock(&self.0.writer).apply(&writes);
        match result {
            Ok(done) => {
                for (a, d) in answers.into_iter().zip(done) {
                    let _ = a.send(Ok(d));
                }
            }
            Err(e) => {
                let e = self.fail(e);
                for a in answers {
                    let _ = a.send(Err(Arc::clone(&e)));
                }
            }
        }
    }
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&dyn Read) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Arc<StoreError>> {
        let Some(permits) = &self.0.permits else {
            let store = lock(&self.0.writer);
            return f(&**store).map_err(Arc::new);
        };
        let _permit = permits.acquire().await.map_err(|_| Arc::new(StoreError::Stopped))?;
        let Some(reader) = lock(&self.0.readers).pop() else {
            return Err(Arc::new(StoreError::Stopped));
        };
        let (reader, result) = tokio::task::spawn_blocking(move || {
            let r = reader.at_one_moment(|r| f(r));
            (reader, r)
        })
        .await
        .map_err(|_| Arc::new(StoreError::Stopped))?;
        lock(&self.0.readers).push(reader);
        result.map_err(Arc::new)
    }
    async fn writer<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Arc<StoreError>> {
        let writer = Arc::clone(&self.0.writer);
        tokio::task::spawn_blocking(move || f(&mut **lock(&writer)))
            .await
            .map_err(|_| Arc::new(StoreError::Stopped))?
            .map_err(|e| self.fail(e))
    }
    pub(crate) async fn checkpoint(&self) -> Result<(), Arc<StoreError>> {
        self.writer(|s| s.checkpoint()).await
    }
    pub(crate) async fn backup(&self, to: PathBuf) -> Result<(), Arc<StoreError>> {
        self.writer(move |s| s.backup(&to)).await
    }
    pub(crate) async fn close(&self) -> Result<(), Arc<StoreError>> {
        self.checkpoint().await
    }
}
