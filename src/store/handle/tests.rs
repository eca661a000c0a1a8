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
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let before = store.commits();
    let handle = StoreHandle::pooled(store, 1).expect("readers open");
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let handle = handle.clone();
        writers.spawn(async move {
            for seq in 1..=20 {
                let answer = handle.write(one_event(&format!("source-{writer}"), seq)).await;
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

#[tokio::test]
async fn writes_begun_in_an_order_happen_in_it() {
    let (handle, _dir) = pooled();
    let answers = join_all((1..=50).map(|seq| handle.write(one_event("tickets", seq)))).await;
    for (no, answer) in (1..).zip(answers) {
        let answer = answer.expect("the store works");
        assert_eq!(answer, Ok(Written::Events { first: EventNo(no), count: 1 }));
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
