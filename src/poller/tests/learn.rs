//! What polls teach of when a source changes.

use std::time::Duration;

use super::desk::{Desk, status};
use crate::core::schedule::told;
use crate::core::time::Timestamp;

/// A time of the items' day.
fn clock(time: &str) -> Timestamp {
    told::moment(&crate::core::json::text(&format!("2026-11-21T{time}:00Z"))).unwrap()
}

#[tokio::test]
async fn the_items_own_times_are_learned() {
    let desk = Desk::new("key: .id, changed_at: .at");
    // The first answer tells the past, as far as it has any.
    desk.expect("1@00:10 2@01:00 3", "").await;
    let first = desk.state().await.rate;
    assert_eq!((first.born(), first.last_change()), (clock("00:10"), Some(clock("01:00"))));
    // What rings later counts when it happened, though not before the poll that did not see it.
    let seen = desk.state().await.last_success;
    desk.pass(Duration::from_hours(4));
    desk.expect("1@00:10 2:b@07:00 3", "updated 2:b").await;
    assert_eq!(desk.state().await.rate.last_change(), seen);
    // One that does not tell counts as having changed since the poll before.
    let seen = desk.state().await.last_success;
    desk.pass(Duration::from_hours(1));
    desk.expect("1@00:10 2:b@07:00 3:b", "updated 3:b").await;
    assert!(desk.state().await.rate.last_change() > seen);
    // A failed poll teaches nothing, and another baseline forgets nothing.
    let before = desk.state().await.rate;
    desk.pass(Duration::from_hours(1));
    desk.answer([status(500)]).await;
    assert_eq!(desk.state().await.rate, before);
    desk.declare("key: .id, changed_at: .at, items: '.[]'");
    desk.expect("1@00:10 2:b@07:00 3:b", "").await;
    assert_eq!(desk.state().await.rate, before);
}

#[tokio::test]
async fn a_source_without_times_is_learned_from_its_changes() {
    let desk = Desk::knowing("backoff: { first: 1s, max: 1m }", "1").await;
    let quiet = desk.state().await.rate;
    assert_eq!(quiet.last_change(), None);
    desk.pass(Duration::from_mins(10));
    desk.expect("1", "").await;
    assert_eq!(desk.state().await.rate, quiet);
    desk.expect("1:b", "updated 1:b").await;
    assert!(desk.state().await.rate.last_change().is_some());
}
