//! What only the real store can meet: locks, damage, full disks, states that went backwards; and how fast it is.

mod damage;
mod speed;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::core::ids::DeliveryId;
use crate::core::snapshot::Standing;
use crate::store::samples::{
    ALL, at, delivered, done, event, item, key, news, page, poll, present, unit,
};
use crate::store::sqlite::copy::restore;
use crate::store::sqlite::mark::Mark;
use crate::store::sqlite::{Opening, SqliteReader, SqliteStore, migrate};
use crate::store::{EventFilter, PollCommit, Read, Store, StoreError, Write};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn try_open(dir: &Path, accept: bool) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir, Opening { accept, steady: Box::new(|| Duration::ZERO) })
}

fn open(dir: &Path) -> SqliteStore {
    try_open(dir, false).expect("it opens")
}

/// Something done to a state directory, or to a copy.
type Harm = fn(&Path);

/// The database itself, past the store.
fn vandal(dir: &Path) -> Connection {
    Connection::open(dir.join("doorbell.db")).expect("it opens")
}

/// Changes what a row says, but not its hash, with every CHECK looking away.
fn vandalise(dir: &Path, sql: &str) {
    let conn = vandal(dir);
    conn.execute_batch("PRAGMA ignore_check_constraints = ON").expect("it looks away");
    assert!(conn.execute(sql, []).expect("it changes") > 0, "{sql}");
}

/// The next event of `tickets`, for one endpoint, in a lane of its own.
fn next_event(store: &dyn Store) -> Write {
    let seq = store.source(&unit("tickets")).expect("it reads").map_or(0, |state| state.last_seq);
    let lane = i64::try_from(seq).expect("small");
    let new = news(event("tickets", "a", seq + 1, 100), &[("agent", Some(lane))]);
    let upserts = vec![present("a", seq + 1)];
    poll(PollCommit { upserts, ..page("tickets", seq, vec![new]) })
}

fn write_events(store: &mut SqliteStore, count: usize) {
    for _ in 0..count {
        let write = next_event(store);
        done(store, write);
    }
}

fn last_seq(store: &dyn Read) -> u64 {
    store.source(&unit("tickets")).expect("it reads").map_or(0, |state| state.last_seq)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn everything_is_its_owners_alone() {
    let parent = directory();
    let dir = parent.path().join("new/state");
    let mut store = open(&dir);
    write_events(&mut store, 1);
    assert_eq!(mode(&dir), 0o700);
    for name in
        ["doorbell.db", "doorbell.db-wal", "doorbell.db-shm", "doorbell.lock", "doorbell.mark"]
    {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn durability_is_set_up() {
    let dir = directory();
    let store = open(dir.path());
    let said = |pragma: &str| -> String {
        let sql = format!("SELECT CAST(\"{pragma}\" AS TEXT) FROM pragma_{pragma}");
        store.conn.query_row(&sql, [], |row| row.get(0)).expect("it answers")
    };
    for (pragma, expected) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("cell_size_check", "1"),
        ("temp_store", "2"),
    ] {
        assert_eq!(said(pragma), expected, "{pragma}");
    }
}

#[test]
fn a_second_process_is_refused_at_once() {
    let dir = directory();
    let store = open(dir.path());
    let refused = try_open(dir.path(), true);
    assert!(
        matches!(&refused, Err(StoreError::Locked { path }) if path == dir.path()),
        "{refused:?}"
    );
    let copy = dir.path().join("copy");
    assert!(matches!(restore(dir.path(), &copy), Err(StoreError::Locked { .. })));
    drop(store);
    open(dir.path());
}

#[test]
fn a_state_survives_being_closed_and_being_dropped_without_closing() {
    let dir = directory();
    let mut store = open(dir.path());
    let seed = store.seed();
    write_events(&mut store, 3);
    // As a killed process leaves it: the log is not moved, the mark not written.
    store.is_stopped = true;
    drop(store);
    let store = open(dir.path());
    assert_eq!((store.seed(), last_seq(&store)), (seed, 3));
}

/// A state with some commits in the database and some in the log only, as a killed process leaves it.
fn killed(dir: &Path) {
    let mut store = open(dir);
    write_events(&mut store, 3);
    store.checkpoint().expect("it works");
    write_events(&mut store, 3);
    store.write_mark().expect("it writes");
    store.is_stopped = true;
}

#[test]
fn a_state_that_went_backwards_is_refused_until_accepted() {
    let harms: [(&str, Harm, u64); 4] = [
        (
            "the log was removed",
            |dir| fs::remove_file(dir.join("doorbell.db-wal")).expect("it goes"),
            3,
        ),
        (
            "the database is empty",
            |dir| fs::write(dir.join("doorbell.db"), "").expect("it empties"),
            0,
        ),
        (
            "the database is gone",
            |dir| {
                for name in ["doorbell.db", "doorbell.db-wal", "doorbell.db-shm"] {
                    fs::remove_file(dir.join(name)).expect("it goes");
                }
            },
            0,
        ),
        (
            "it is another database",
            |dir| {
                let other = directory();
                write_events(&mut open(other.path()), 2);
                for name in ["doorbell.db-wal", "doorbell.db-shm"] {
                    fs::remove_file(dir.join(name)).expect("it goes");
                }
                fs::copy(other.path().join("doorbell.db"), dir.join("doorbell.db"))
                    .expect("it copies");
            },
            2,
        ),
    ];
    for (what, harm, left) in harms {
        let dir = directory();
        killed(dir.path());
        harm(dir.path());
        for _ in 0..2 {
            let refused = try_open(dir.path(), false);
            assert!(
                matches!(refused, Err(StoreError::WentBackwards { .. })),
                "{what}: {refused:?}"
            );
        }
        let mut store = try_open(dir.path(), true).expect("it is accepted");
        assert_eq!(last_seq(&store), left, "{what}");
        write_events(&mut store, 1);
        drop(store);
        assert_eq!(last_seq(&open(dir.path())), left + 1, "{what}");
    }
}

#[test]
fn an_older_copy_put_back_is_refused() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 2);
    let copy = dir.path().join("copy");
    store.backup(&copy).expect("it copies");
    write_events(&mut store, 2);
    let commits = store.commits();
    drop(store);
    fs::copy(&copy, dir.path().join("doorbell.db")).expect("it copies");
    let refused = try_open(dir.path(), false);
    let Err(StoreError::WentBackwards { found, expected, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((found, expected), (commits - 2, commits));
}

#[test]
fn a_mark_that_says_nothing_is_refused() {
    for text in ["", "doorbell-mark-1 00 7 0\n", "\u{0}\u{0}"] {
        let dir = directory();
        killed(dir.path());
        fs::write(dir.path().join("doorbell.mark"), text).expect("it writes");
        let refused = try_open(dir.path(), false);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{text:?}: {refused:?}");
        assert_eq!(last_seq(&try_open(dir.path(), true).expect("it is accepted")), 6);
        open(dir.path());
    }
}

#[test]
fn a_state_without_a_mark_is_taken_on() {
    let dir = directory();
    killed(dir.path());
    fs::remove_file(dir.path().join("doorbell.mark")).expect("it goes");
    assert_eq!(last_seq(&open(dir.path())), 6);
    assert!(Mark::read(dir.path()).expect("it reads").is_some());
}

#[test]
fn the_mark_follows_at_most_once_a_second_and_at_the_end() {
    let dir = directory();
    let millis = Arc::new(AtomicU64::new(5000));
    let clock = Arc::clone(&millis);
    let steady = Box::new(move || Duration::from_millis(clock.load(Ordering::Relaxed)));
    let mut store =
        SqliteStore::open(dir.path(), Opening { accept: false, steady }).expect("it opens");
    let marked = || Mark::read(dir.path()).expect("it reads").expect("it is there").commits;
    let first = store.commits();
    assert_eq!(marked(), first);
    for (now, expected) in
        [(5100, first), (5999, first), (6000, first + 3), (6999, first + 3), (7500, first + 5)]
    {
        millis.store(now, Ordering::Relaxed);
        write_events(&mut store, 1);
        assert_eq!(marked(), expected, "at {now}");
    }
    write_events(&mut store, 1);
    drop(store);
    assert_eq!(marked(), first + 6);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = directory();
    write_events(&mut open(dir.path()), 1);
    vandal(dir.path()).pragma_update(None, "user_version", migrate::KNOWN + 1).expect("it sets");
    for accept in [false, true] {
        let refused = try_open(dir.path(), accept);
        assert!(
            matches!(refused, Err(StoreError::NewerSchema { found, known, .. }) if found == known + 1),
            "{refused:?}"
        );
    }
    assert!(matches!(SqliteReader::open(dir.path()), Err(StoreError::NewerSchema { .. })));
    vandal(dir.path()).pragma_update(None, "user_version", migrate::KNOWN).expect("it sets");
    assert_eq!(last_seq(&open(dir.path())), 1);
}

/// Rows of a state from before a column have none of it, and their hashes hold.
#[test]
fn what_vanished_before_that_was_noted_is_still_known() {
    let (dir, lost) = (directory(), |since| item("a", 2, Standing::Lost { since }));
    let upserts = vec![lost(None)];
    done(&mut open(dir.path()), poll(PollCommit { upserts, ..page("t", 0, vec![]) }));
    let before = "ALTER TABLE items DROP COLUMN lost_since; PRAGMA user_version = 11";
    vandal(dir.path()).execute_batch(before).expect("it goes back");
    let mut store = open(dir.path());
    let known = |store: &SqliteStore| store.items(&unit("t"), &[key("a")]).expect("it reads");
    assert_eq!(known(&store), [lost(None)]);
    let marks = vec![(key("a"), Standing::Lost { since: Some(at(7)) })];
    done(&mut store, poll(PollCommit { marks, ..page("t", 0, vec![]) }));
    drop(store);
    assert_eq!(known(&open(dir.path())), [lost(Some(at(7)))]);
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let dir = directory();
    fs::write(
        dir.path().join("doorbell.db"),
        "not a database, but long enough to be read as one".repeat(99),
    )
    .expect("it writes");
    let refused = try_open(dir.path(), true);
    assert!(matches!(refused, Err(StoreError::Open { .. })), "{refused:?}");
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 1);
    store.conn.pragma_update(None, "max_page_count", 40).expect("it sets");
    let mut written = 1;
    let refusal = loop {
        let write = next_event(&store);
        match store.apply(&[write]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100_000, "the disk never fills");
    };
    assert!(matches!(&refusal, StoreError::Full { .. }) && refusal.may_pass(), "{refusal:?}");
    assert_eq!(last_seq(&store), written);
    let write = next_event(&store);
    assert!(matches!(store.apply(&[write]), Err(StoreError::Full { .. })));
    // Room again: it goes on by itself, and numbers go on without a gap.
    store.conn.pragma_update(None, "max_page_count", 4000).expect("it sets");
    write_events(&mut store, 5);
    let events = store.events(&EventFilter::default(), ALL).expect("it reads");
    let nos: Vec<u64> = events.iter().map(|record| record.no.0).collect();
    assert_eq!(nos, (1..=written + 5).collect::<Vec<_>>());
    store.verify().expect("all is whole");
    drop(store);
    assert_eq!(last_seq(&open(dir.path())), written + 5);
}

#[test]
fn after_another_failure_nothing_is_acknowledged() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 1);
    vandal(dir.path()).execute_batch("ALTER TABLE bodies RENAME TO corpses").expect("it renames");
    let write = next_event(&store);
    let failed = store.apply(std::slice::from_ref(&write));
    assert!(matches!(failed, Err(StoreError::Sqlite { .. })), "{failed:?}");
    vandal(dir.path()).execute_batch("ALTER TABLE corpses RENAME TO bodies").expect("it renames");
    assert!(matches!(store.apply(&[write]), Err(StoreError::Stopped)));
    assert!(matches!(store.checkpoint(), Err(StoreError::Stopped)));
    drop(store);
    assert_eq!(last_seq(&open(dir.path())), 1);
}

#[test]
fn a_state_directory_that_vanishes_stops_the_store() {
    let parent = directory();
    let dir = parent.path().join("state");
    let mut store = open(&dir);
    write_events(&mut store, 1);
    store.steady = Box::new(|| Duration::from_secs(9));
    fs::rename(&dir, parent.path().join("moved")).expect("it moves");
    let write = next_event(&store);
    assert!(store.apply(std::slice::from_ref(&write)).is_err());
    assert!(matches!(store.apply(&[write]), Err(StoreError::Stopped)));
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    // Below a file, because an administrator may write where the mode says nobody can.
    let dir = directory();
    fs::write(dir.path().join("file"), "").expect("it writes");
    let refused = try_open(&dir.path().join("file/state"), true);
    assert!(matches!(refused, Err(StoreError::File { action: "creating", .. })), "{refused:?}");
    let taken = directory();
    fs::create_dir(taken.path().join("doorbell.db")).expect("it makes it");
    let refused = try_open(taken.path(), true);
    assert!(matches!(refused, Err(StoreError::File { action: "opening", .. })), "{refused:?}");
}

#[test]
fn a_locked_database_is_waited_for_and_then_passes() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 1);
    store.conn.busy_timeout(Duration::from_millis(20)).expect("it sets");
    let other = vandal(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let write = next_event(&store);
    let busy = store.apply(std::slice::from_ref(&write)).expect_err("it is locked");
    assert!(busy.may_pass(), "{busy:?}");
    other.execute_batch("ROLLBACK").expect("it unlocks");
    done(&mut store, write);
    assert_eq!(last_seq(&store), 2);
}

#[test]
fn a_reader_sees_whole_groups_as_of_one_moment() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 1);
    let reader = SqliteReader::open(dir.path()).expect("it opens");
    assert_eq!(reader.seed(), store.seed());
    reader
        .at_one_moment(|read| {
            assert_eq!(last_seq(read), 1);
            write_events(&mut store, 3);
            assert_eq!(last_seq(read), 1);
            assert_eq!(read.events(&EventFilter::default(), ALL)?.len(), 1);
            // Nor is the writer's checkpoint held up by it.
            store.checkpoint()
        })
        .expect("it reads");
    assert_eq!(last_seq(&reader), 4);
}

#[test]
fn the_log_stays_bounded() {
    let dir = directory();
    let mut store = open(dir.path());
    let mut longest = 0;
    for batch in 0..30 {
        let items = (0..20).map(|number| {
            let mut item = present(&format!("item-{number}"), batch);
            item.data = crate::core::json::JsonText::trusted(format!("{batch:08}").repeat(6250));
            item
        });
        let upserts = items.collect();
        done(&mut store, poll(PollCommit { upserts, ..page("tickets", 0, vec![]) }));
        longest =
            longest.max(fs::metadata(dir.path().join("doorbell.db-wal")).expect("a log").len());
    }
    assert!((16 << 20..24 << 20).contains(&longest), "{longest} bytes");
    store.checkpoint().expect("it works");
    assert_eq!(fs::metadata(dir.path().join("doorbell.db-wal")).expect("a log").len(), 0);
}

#[test]
fn a_backup_can_be_put_back() {
    let dir = directory();
    let mut store = open(dir.path());
    write_events(&mut store, 3);
    let copy = dir.path().join("copy");
    store.backup(&copy).expect("it copies");
    assert_eq!(mode(&copy), 0o600);
    let again = store.backup(&copy);
    assert!(matches!(again, Err(StoreError::File { action: "creating", .. })), "{again:?}");
    write_events(&mut store, 4);
    done(&mut store, delivered(1, 1, 100));
    store.is_stopped = true;
    drop(store);
    let restored = restore(dir.path(), &copy).expect("it is put back");
    assert_eq!((restored.verified.items, restored.verified.events), (1, 3));
    let mut store = open(dir.path());
    assert_eq!(last_seq(&store), 3);
    assert_eq!(store.attempts(DeliveryId(1)).expect("it reads"), vec![]);
    write_events(&mut store, 1);
    assert_eq!(mode(&dir.path().join("doorbell.db")), 0o600);
    store.verify().expect("all is whole");
    assert!(!dir.path().join("doorbell.db.new").exists());
    // What was there before is kept aside, and can be put back itself.
    store.is_stopped = true;
    drop(store);
    let aside = restored.replaced.expect("there was a state before");
    assert_eq!((aside.clone(), mode(&aside)), (dir.path().join("doorbell.db.replaced"), 0o600));
    let undone = restore(dir.path(), &aside).expect("it is put back, too");
    assert_eq!(undone.verified.events, 7);
    assert_eq!(undone.replaced, Some(dir.path().join("doorbell.db.replaced-2")));
    assert_eq!(last_seq(&open(dir.path())), 7);
}

#[test]
fn a_backup_makes_a_state_elsewhere() {
    let (from, to) = (directory(), directory());
    let mut store = open(from.path());
    write_events(&mut store, 3);
    let copy = from.path().join("copy");
    SqliteReader::open(from.path()).expect("it opens").backup(&copy).expect("it copies");
    let restored = restore(to.path(), &copy).expect("it is put there");
    assert_eq!(restored.replaced, None);
    assert_eq!(last_seq(&open(to.path())), 3);
}

#[test]
fn a_damaged_backup_changes_nothing() {
    let harms: [(&str, Harm); 5] = [
        ("an item", |copy| change(copy, "UPDATE items SET changes = 9")),
        ("an event", |copy| change(copy, "UPDATE bodies SET body = 'x'")),
        ("a newer schema", |copy| {
            change(copy, &format!("PRAGMA user_version = {}", migrate::KNOWN + 1));
        }),
        ("an empty file", |copy| fs::write(copy, "").expect("it empties")),
        ("missing", |copy| fs::remove_file(copy).expect("it goes")),
    ];
    for (what, harm) in harms {
        let dir = directory();
        let mut store = open(dir.path());
        write_events(&mut store, 2);
        let copy = dir.path().join("copy");
        store.backup(&copy).expect("it copies");
        write_events(&mut store, 1);
        drop(store);
        harm(&copy);
        let refused = restore(dir.path(), &copy);
        assert!(refused.is_err(), "{what}: {refused:?}");
        assert_eq!(last_seq(&open(dir.path())), 3, "{what}");
    }
}

fn change(database: &Path, sql: &str) {
    Connection::open(database).expect("it opens").execute_batch(sql).expect("it changes");
}
