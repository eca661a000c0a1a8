//! The async face of the store.
//!
//! Writes that wait at the same time share one transaction and one fsync: whoever gets the writer takes the whole
//! queue along, and answers each caller after the commit. Reads go to a few connections of their own. What blocks runs on
//! the blocking pool, or where somebody waits for nothing else in their own thread, whose other tasks go elsewhere
//! meanwhile: waking another thread and being woken by it takes as long as a part of the commit. The simulation calls the
//! store directly instead, so that a seed replays.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{block_in_place, spawn_blocking};

use crate::core::ids::EndpointName;
use crate::core::limits::GROUP_WRITES_MAX;
use crate::store::handover::Handover;
use crate::store::sqlite::{SqliteReader, SqliteStore};
use crate::store::{DueDelivery, Read, Refusal, Store, StoreError, Write, Written};

/// What a write came to.
type Answer = Result<Result<Written, Refusal>, StoreError>;

/// The store as the loops see it. Clones share one store.
#[derive(Debug, Clone)]
pub(crate) struct StoreHandle {
    face: Face,
    failed: Arc<watch::Sender<bool>>,
    handover: Handover,
    seed: u64,
}

#[derive(Clone)]
enum Face {
    #[cfg_attr(not(test), expect(dead_code, reason = "the simulation's"))]
    Inline(Arc<Mutex<Box<dyn Store>>>),
    Pooled(Arc<Pool>),
}

impl fmt::Debug for Face {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Inline(_) => "Inline",
            Self::Pooled(_) => "Pooled",
        })
    }
}

struct Pool {
    queue: Mutex<VecDeque<Waiting>>,
    handover: Handover,
    /// `None` once the store is closed.
    writer: Arc<AsyncMutex<Option<SqliteStore>>>,
    readers: Mutex<Vec<SqliteReader>>,
    /// One permit per reader.
    free_readers: Arc<Semaphore>,
}

/// A write in the queue, and whom to tell.
struct Waiting {
    write: Write,
    answer: oneshot::Sender<Answer>,
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreHandle {
    /// A handle that calls the store in place: no threads, no waiting. For the simulation and for tests.
    #[cfg(test)]
    pub(crate) fn inline(store: Box<dyn Store>) -> Self {
        let seed = store.seed();
        Self::new(Face::Inline(Arc::new(Mutex::new(store))), seed)
    }

    /// A handle for the daemon: groups of writes on the blocking pool, and so many connections for reading.
    pub(crate) fn pooled(store: SqliteStore, readers: usize) -> Result<Self, StoreError> {
        let seed = store.seed();
        let connections = (0..readers.max(1))
            .map(|_| SqliteReader::open(store.dir()))
            .collect::<Result<Vec<_>, _>>()?;
        let handover = Handover::default();
        let pool = Pool {
            queue: Mutex::new(VecDeque::new()),
            handover: handover.clone(),
            writer: Arc::new(AsyncMutex::new(Some(store))),
            free_readers: Arc::new(Semaphore::new(connections.len())),
            readers: Mutex::new(connections),
        };
        Ok(Self { handover, ..Self::new(Face::Pooled(Arc::new(pool)), seed) })
    }

    /// A handle that only looks, also while another process has the state: writes are answered with
    /// [`StoreError::Stopped`]. A directory without a state is an empty one.
    pub(crate) fn looking(dir: &Path) -> Result<Self, StoreError> {
        let reader = SqliteReader::open_or_empty(dir)?;
        let seed = reader.seed();
        let pool = Pool {
            queue: Mutex::new(VecDeque::new()),
            handover: Handover::default(),
            writer: Arc::new(AsyncMutex::new(None)),
            readers: Mutex::new(vec![reader]),
            free_readers: Arc::new(Semaphore::new(1)),
        };
        Ok(Self::new(Face::Pooled(Arc::new(pool)), seed))
    }

    fn new(face: Face, seed: u64) -> Self {
        let failed = Arc::new(watch::Sender::new(false));
        Self { face, failed, handover: Handover::default(), seed }
    }

    /// The seed of raw hashes, drawn when the state was made.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Becomes true, for good, when a write failed in a way after which nothing may be acknowledged: the process has
    /// to stop. A full disk is no such failure.
    pub(crate) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Does a write, and returns when it is durable. Writes of one caller happen in the order they were begun.
    ///
    /// Dropping the future before the write has begun means that it does not happen; after that it may or may not.
    ///
    /// # Errors
    /// What [`Store::apply`] said of the whole group.
    pub(crate) async fn write(&self, write: Write) -> Answer {
        self.write_by(write, false).await
    }

    /// The same for who waits for nothing else meanwhile: in this thread, if nobody else writes and the runtime has
    /// others. Of several writes that one task waits for, none would share a transaction.
    ///
    /// # Errors
    /// As [`StoreHandle::write`].
    pub(crate) async fn write_here(&self, write: Write) -> Answer {
        self.write_by(write, may_block_here()).await
    }

    /// What is made for an endpoint from now on and due at once, as soon as it is durable: a short cut, and none of it is
    /// lost if it is not taken. One taker per endpoint, the last that asked.
    pub(crate) fn fresh(&self, endpoint: &EndpointName) -> mpsc::Receiver<DueDelivery> {
        self.handover.taker(endpoint)
    }

    async fn write_by(&self, write: Write, is_here: bool) -> Answer {
        match &self.face {
            Face::Inline(store) => {
                let answers = self.note(locked(store).apply(&[write]))?;
                let answer = answers.into_iter().next().ok_or(StoreError::Stopped)?;
                Ok(answer.map(|written| handed_over(written, &self.handover)))
            }
            Face::Pooled(pool) => self.write_pooled(pool, write, is_here).await,
        }
    }

    /// Reads, several things as of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Read) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.face {
            Face::Inline(store) => read(locked(store).as_ref()),
            Face::Pooled(pool) => with_reader(pool, move |reader| reader.at_one_moment(read)).await,
        }
    }

    /// The same for who waits for nothing else meanwhile: in this thread, where the runtime has others.
    pub(crate) async fn read_here<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Read) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.face {
            Face::Pooled(pool) if may_block_here() => {
                let loan = Loan::take(pool).await?;
                block_in_place(|| loan.reader()?.at_one_moment(read))
            }
            _ => self.read(read).await,
        }
    }

    /// Moves the log into the database; see [`Store::checkpoint`].
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        let result = match &self.face {
            Face::Inline(store) => locked(store).checkpoint(),
            Face::Pooled(pool) => {
                let mut writer = Arc::clone(&pool.writer).lock_owned().await;
                blocking(move || match writer.as_mut() {
                    Some(store) => store.checkpoint(),
                    None => Err(StoreError::Stopped),
                })
                .await
            }
        };
        self.note(result)
    }

    /// Writes a consistent copy of the state to a new file, while writing goes on.
    pub(crate) async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        match &self.face {
            Face::Inline(store) => locked(store).backup(to),
            Face::Pooled(pool) => {
                let to = to.to_owned();
                with_reader(pool, move |reader| reader.backup(&to)).await
            }
        }
    }

    /// Closes the store after the writes that wait, and frees the state directory. Later writes are answered with
    /// [`StoreError::Stopped`].
    pub(crate) async fn close(&self) {
        if let Face::Pooled(pool) = &self.face {
            let mut writer = Arc::clone(&pool.writer).lock_owned().await;
            let (pool, failed) = (Arc::clone(pool), Arc::clone(&self.failed));
            let closed = spawn_blocking(move || {
                lead(&pool, &mut writer, &failed);
                locked(&pool.readers).clear();
                pool.free_readers.close();
                *writer = None;
            });
            if let Err(error) = closed.await {
                tracing::error!(%error, "closing the store");
            }
        }
    }

    async fn write_pooled(&self, pool: &Arc<Pool>, write: Write, is_here: bool) -> Answer {
        if *self.failed.borrow() {
            return Err(StoreError::Stopped);
        }
        let (answer, mut told) = oneshot::channel();
        locked(&pool.queue).push_back(Waiting { write, answer });
        let answer = tokio::select! {
            biased;
            answer = &mut told => answer,
            mut writer = Arc::clone(&pool.writer).lock_owned() => {
                if is_here && self.lead_here(pool, &mut writer) {
                    drop(writer);
                } else {
                    // The guard goes along: if this future is dropped meanwhile, the group is still finished and answered
                    // before anybody else gets the writer. Nothing is left in the queue, so our write is among them.
                    let (pool, failed) = (Arc::clone(pool), Arc::clone(&self.failed));
                    drop(spawn_blocking(move || lead(&pool, &mut writer, &failed)));
                }
                told.await
            }
        };
        answer.unwrap_or_else(|_| {
            tracing::error!("the writer died");
            self.failed.send_replace(true);
            Err(StoreError::Stopped)
        })
    }

    /// Writes one group in this thread. Says whether nothing is left to do for whoever has the writer.
    fn lead_here(&self, pool: &Pool, writer: &mut Option<SqliteStore>) -> bool {
        let group = || {
            write_group(pool, writer, &self.failed);
            locked(&pool.queue).is_empty() && !writer.as_mut().is_some_and(SqliteStore::owes)
        };
        // A panic drops the answers, as it would in another thread: whoever waits for one learns that the writer died.
        catch_unwind(AssertUnwindSafe(|| block_in_place(group))).unwrap_or(true)
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            raise(&self.failed, error);
        }
        result
    }
}

/// Says that the process has to stop, unless the failure may pass. The reason is logged here, where it is sure to be:
/// whoever waited for the write may be gone before its answer.
fn raise(failed: &watch::Sender<bool>, error: &StoreError) {
    if !error.may_pass() && failed.send_if_modified(|failed| !std::mem::replace(failed, true)) {
        let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        tracing::error!(reason = causes.join(": "), "the store cannot go on");
    }
}

/// Writes groups until the queue is empty, and does what is owed after them.
fn lead(pool: &Pool, writer: &mut Option<SqliteStore>, failed: &watch::Sender<bool>) {
    loop {
        let is_last = !write_group(pool, writer, failed);
        if let Some(Err(error)) = writer.as_mut().map(SqliteStore::tend) {
            raise(failed, &error);
        }
        if is_last {
            return;
        }
    }
}

/// Writes a group and answers those who wait for it; says whether there was one.
fn write_group(
    pool: &Pool,
    writer: &mut Option<SqliteStore>,
    failed: &watch::Sender<bool>,
) -> bool {
    let (writes, answers) = take_group(pool);
    if writes.is_empty() {
        return false;
    }
    let result = match writer.as_mut() {
        Some(store) => store.commit(&writes),
        None => Err(StoreError::Stopped),
    };
    match result {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                tell(answer, Ok(result.map(|written| handed_over(written, &pool.handover))));
            }
        }
        Err(error) => {
            raise(failed, &error);
            let error = Arc::new(error);
            for answer in answers {
                tell(answer, Err(StoreError::Group(Arc::clone(&error))));
            }
        }
    }
    true
}

/// Hands over what a write made that is due.
fn handed_over(mut written: Written, to: &Handover) -> Written {
    if let Written::Events { due, .. } = &mut written {
        to.offer(std::mem::take(due));
    }
    written
}

/// Takes what waits from the queue, up to a bound, without the writes whose callers are gone.
fn take_group(pool: &Pool) -> (Vec<Write>, Vec<oneshot::Sender<Answer>>) {
    let mut queue = locked(&pool.queue);
    let (mut writes, mut answers) = (Vec::new(), Vec::new());
    while writes.len() < GROUP_WRITES_MAX
        && let Some(waiting) = queue.pop_front()
    {
        if !waiting.answer.is_closed() {
            writes.push(waiting.write);
            answers.push(waiting.answer);
        }
    }
    (writes, answers)
}

fn tell(caller: oneshot::Sender<Answer>, answer: Answer) {
    if caller.send(answer).is_err() {
        tracing::debug!("a write is done whose caller is gone");
    }
}

/// Runs on the blocking pool. A panic goes on in the caller.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Stopped),
    }
}

/// Whether this thread may block: its runtime has others, which take its tasks over meanwhile.
fn may_block_here() -> bool {
    let has_others = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    Handle::try_current().is_ok_and(has_others)
}

/// A reader on loan; goes back when dropped, also by a panic.
struct Loan {
    pool: Arc<Pool>,
    reader: Option<SqliteReader>,
    /// Free again when the reader is back.
    _permit: OwnedSemaphorePermit,
}

impl Loan {
    /// Waits for a reader that is free.
    async fn take(pool: &Arc<Pool>) -> Result<Self, StoreError> {
        let free = Arc::clone(&pool.free_readers).acquire_owned().await;
        let permit = free.map_err(|_| StoreError::Stopped)?;
        let reader = locked(&pool.readers).pop();
        Ok(Self { pool: Arc::clone(pool), reader, _permit: permit })
    }

    fn reader(&self) -> Result<&SqliteReader, StoreError> {
        self.reader.as_ref().ok_or(StoreError::Stopped)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        locked(&self.pool.readers).extend(self.reader.take());
    }
}

async fn with_reader<T: Send + 'static>(
    pool: &Arc<Pool>,
    work: impl FnOnce(&SqliteReader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let loan = Loan::take(pool).await?;
    blocking(move || work(loan.reader()?)).await
}
