//! The async face: groups, order, cancelling, failures.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::core::ids::EventNo;
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::store::samples::{ALL, at, endpoint, event, news, page, poll, source, state, unit};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{EventFilter, Read, Refusal, StoreError, Write, Written};

fn open(dir: &Path) -> SqliteStore {
    let steady = Box::new(|| Duration::ZERO);
    SqliteStore::open(dir, Opening { accept: false, steady }).expect("it opens")
}

fn pooled() -> (StoreHandle, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = StoreHandle::pooled(open(dir.path()), 2).expect("readers open");
    (handle, dir)
}

/// The `seq`-th event of a source of its own.
fn one_event(source_name: &str, seq: u64) -> Write {
    let new = news(event(source_name, "a", seq, 1000), &[("agent", Some(1))]);
    poll(page(source_name, seq - 1, vec![new]))
}

#[tokio::test]
async fn waiting_writes_share_a_transaction() {
    sharing_a_transaction(false).await;
}

/// There, whoever leads does it in their own thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_writes_share_a_transaction_in_many_threads() {
    sharing_a_transaction(true).await;
}

async fn sharing_a_transaction(is_here: bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let before = store.commits();
    let handle = StoreHandle::pooled(store, 1).expect("readers open");
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let handle = handle.clone();
        writers.spawn(async move {
            for seq in 1..=20 {
                let write = one_event(&format!("source-{writer}"), seq);
                let answer = if is_here {
                    handle.write_here(write).await
                } else {
                    handle.write(write).await
                };
                let answer = answer.expect("the store works").expect("nothing is refused");
                assert!(matches!(answer, Written::Events { count: 1, .. }), "{answer:?}");
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("the writer ends");
    }
    handle.close().await;
    let commits = open(dir.path()).commits() - before;
    assert!((20..=320).contains(&commits), "1280 writes took {commits} transactions");
}

/// One task that waits for many writes, in many threads or one: they still share transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_one_task_share_a_transaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let before = store.commits();
    let handle = StoreHandle::pooled(store, 1).expect("readers open");
    let names: Vec<String> = (0..200).map(|number| format!("source-{number}")).collect();
    let answers = join_all(names.iter().map(|name| handle.write(one_event(name, 1)))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))), "{answers:?}");
    handle.close().await;
    let commits = open(dir.path()).commits() - before;
    assert!(commits <= 50, "200 writes took {commits} transactions");
}

#[tokio::test]
async fn writes_begun_in_an_order_happen_in_it() {
    let (handle, _dir) = pooled();
    let answers = join_all((1..=50).map(|seq| handle.write(one_event("tickets", seq)))).await;
    for (no, answer) in (1..).zip(answers) {
        let answer = answer.expect("the store works");
        assert_eq!(answer, Ok(Written::Events { first: EventNo(no), count: 1, due: vec![] }));
    }
}

#[tokio::test]
async fn a_refusal_reaches_its_own_caller_only() {
    let (handle, _dir) = pooled();
    let (first, stale, other) = tokio::join!(
        handle.write(one_event("tickets", 1)),
        handle.write(one_event("tickets", 1)),
        handle.write(one_event("orders", 1)),
    );
    assert!(first.expect("the store works").is_ok());
    let refusal = Refusal::Conflict { unit: unit("tickets") };
    assert_eq!(stale.expect("the store works"), Err(refusal));
    assert!(other.expect("the store works").is_ok());
    assert!(!*handle.failed().borrow());
}

#[tokio::test]
async fn what_is_answered_can_be_read() {
    let (handle, _dir) = pooled();
    for seq in 1..=10 {
        handle.write(one_event("tickets", seq)).await.expect("it works").expect("not refused");
        let read = handle.read(move |store| {
            let state = store.source(&unit("tickets"))?.expect("it was polled");
            Ok((state.last_seq, store.events(&EventFilter::default(), ALL)?.len() as u64))
        });
        assert_eq!(read.await.expect("it reads"), (seq, seq));
    }
}

#[tokio::test]
async fn a_write_given_up_before_it_began_does_not_happen() {
    let (handle, _dir) = pooled();
    let mut given_up = Box::pin(handle.write(one_event("tickets", 1)));
    // Polled once: it is in the queue, and the first `lock` of a free writer is granted at once, so hold the writer.
    let checkpoint = handle.checkpoint();
    tokio::pin!(checkpoint);
    assert!(futures_util::poll!(&mut checkpoint).is_pending());
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    checkpoint.await.expect("it works");
    handle.write(one_event("orders", 1)).await.expect("it works").expect("not refused");
    let sources = handle.read(|store| store.sources()).await.expect("it reads");
    assert_eq!(sources, vec![(source("orders"), state(1))]);
}

#[tokio::test]
async fn a_group_whose_leader_is_dropped_is_finished() {
    let (handle, _dir) = pooled();
    let mut leader = Box::pin(handle.write(one_event("tickets", 1)));
    let mut follower = Box::pin(handle.write(one_event("orders", 1)));
    assert!(futures_util::poll!(&mut leader).is_pending());
    assert!(futures_util::poll!(&mut follower).is_pending());
    drop(leader);
    let answer = tokio::time::timeout(Duration::from_secs(10), follower).await;
    assert!(answer.expect("in time").expect("the store works").is_ok());
}

/// A database that somebody dropped a table of: every group fails.
fn broken() -> (StoreHandle, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let vandal = rusqlite::Connection::open(dir.path().join("doorbell.db")).expect("it opens");
    vandal.execute_batch("DROP TABLE bodies").expect("it drops");
    (StoreHandle::pooled(store, 1).expect("readers open"), dir)
}

#[tokio::test]
async fn a_failure_reaches_every_caller_and_is_final() {
    let (handle, _dir) = broken();
    let mut failed = handle.failed();
    let names: Vec<String> = (0..8).map(|number| format!("source-{number}")).collect();
    let answers = join_all(names.iter().map(|name| handle.write(one_event(name, 1)))).await;
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Group(_))), "{answer:?}");
    }
    failed.wait_for(|failed| *failed).await.expect("the handle lives");
    let later = handle.write(one_event("tickets", 1)).await;
    assert!(matches!(later, Err(StoreError::Stopped)), "{later:?}");
}

#[tokio::test]
async fn closing_frees_the_state_directory() {
    let (handle, dir) = pooled();
    handle.write(one_event("tickets", 1)).await.expect("it works").expect("not refused");
    handle.close().await;
    assert!(matches!(handle.write(one_event("tickets", 2)).await, Err(StoreError::Group(_))));
    assert!(matches!(handle.read(|store| Ok(store.seed())).await, Err(StoreError::Stopped)));
    assert!(open(dir.path()).source(&unit("tickets")).expect("it reads").is_some());
}

#[tokio::test]
async fn a_backup_is_made_beside_the_writer() {
    let (handle, dir) = pooled();
    handle.write(one_event("tickets", 1)).await.expect("it works").expect("not refused");
    let copy = dir.path().join("copy");
    handle.backup(&copy).await.expect("it copies");
    let conn = rusqlite::Connection::open(copy).expect("it opens");
    let events: i64 =
        conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("it counts");
    assert_eq!(events, 1);
}

#[tokio::test]
async fn readers_are_given_back_after_a_panic() {
    let (handle, _dir) = pooled();
    let mut readers = JoinSet::new();
    for _ in 0..5 {
        let handle = handle.clone();
        readers.spawn(async move { handle.read::<()>(|_| panic!("a reader's own fault")).await });
    }
    while let Some(reading) = readers.join_next().await {
        assert!(reading.is_err());
    }
    assert!(handle.read(|store| store.sources()).await.expect("it reads").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_this_thread_what_is_answered_can_be_read() {
    let (handle, _dir) = pooled();
    for seq in 1..=10 {
        handle.write_here(one_event("tickets", seq)).await.expect("it works").expect("not refused");
        let read = handle.read_here(|store| store.last_seq(&source("tickets")));
        assert_eq!(read.await.expect("it reads"), seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_this_thread_readers_are_given_back_after_a_panic() {
    let (handle, _dir) = pooled();
    let mut readers = JoinSet::new();
    for _ in 0..5 {
        let handle = handle.clone();
        let panics =
            async move { handle.read_here::<()>(|_| panic!("a reader's own fault")).await };
        readers.spawn(panics);
    }
    while let Some(reading) = readers.join_next().await {
        assert!(reading.is_err());
    }
    assert!(handle.read_here(|store| store.sources()).await.expect("it reads").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_this_thread_a_failure_is_final() {
    let (handle, _dir) = broken();
    let names: Vec<String> = (0..8).map(|number| format!("source-{number}")).collect();
    let answers = join_all(names.iter().map(|name| handle.write_here(one_event(name, 1)))).await;
    assert!(matches!(answers.first(), Some(Err(StoreError::Group(_)))), "{answers:?}");
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(*handle.failed().borrow());
    let later = handle.write_here(one_event("tickets", 1)).await;
    assert!(matches!(later, Err(StoreError::Stopped)), "{later:?}");
}

/// The mark is written for each commit here: whoever leads leaves it to another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_this_thread_what_is_owed_after_a_commit_is_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let hours = std::sync::atomic::AtomicU64::new(0);
    let hour = move || hours.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let steady = Box::new(move || Duration::from_hours(hour()));
    let store = SqliteStore::open(dir.path(), Opening { accept: false, steady }).expect("it opens");
    let handle = StoreHandle::pooled(store, 1).expect("readers open");
    let mark = || std::fs::read_to_string(dir.path().join("doorbell.mark")).expect("a mark");
    let first = mark();
    handle.write_here(one_event("tickets", 1)).await.expect("it works").expect("not refused");
    let written = async {
        while mark() == first {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("it is written soon");
}

#[tokio::test(start_paused = true)]
async fn inline_needs_no_threads_and_no_time() {
    let handle = StoreHandle::inline(Box::new(MemoryStore::new(7)));
    let begun = tokio::time::Instant::now();
    let endpoint_known = Write::Endpoint { name: endpoint("agent"), now: at(5) };
    assert_eq!(handle.write(endpoint_known).await.expect("it works"), Ok(Written::Done));
    handle.write(one_event("tickets", 1)).await.expect("it works").expect("not refused");
    let refusal = handle.write(one_event("tickets", 1)).await.expect("it works");
    assert_eq!(refusal, Err(Refusal::Conflict { unit: unit("tickets") }));
    assert_eq!(handle.read(|store| Ok(store.seed())).await.expect("it reads"), 7);
    handle.checkpoint().await.expect("it works");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn inline_does_not_group_but_fails_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = StoreHandle::inline(Box::new(open(dir.path())));
    let vandal = rusqlite::Connection::open(dir.path().join("doorbell.db")).expect("it opens");
    vandal.execute_batch("DROP TABLE bodies").expect("it drops");
    assert!(handle.write(one_event("tickets", 1)).await.is_err());
    assert!(*handle.failed().borrow());
}
