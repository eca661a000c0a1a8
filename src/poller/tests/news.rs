//! What doorbell says of the sources it watches.

use std::time::Duration;

use super::desk::{Desk, status};
use crate::poller::hold::Decision;

#[tokio::test]
async fn a_failure_that_lasts_is_told_once_and_so_is_its_end() {
    let desk = Desk::knowing("", "1").await;
    for _ in 0..2 {
        desk.answer([status(500)]).await;
    }
    desk.expect("1", "").await;
    assert_eq!(desk.newest(9).await, "", "a blip is no news");
    for _ in 0..5 {
        desk.answer([status(500)]).await;
    }
    assert_eq!(desk.newest(9).await, "", "nor are quick retries");
    desk.pass(Duration::from_mins(1));
    for _ in 0..5 {
        desk.answer([status(500)]).await;
    }
    let failing = "doorbell.source.failing s";
    assert_eq!(desk.newest(9).await, failing);
    let told = desk.data().await;
    assert_eq!(told["fault"], "http_500");
    assert!(told["failing_since"].is_string() && told["sentence"].is_string(), "{told}");
    // Whoever mends it by another declaration hears that, too.
    desk.declare("key: .id, items: '.[]'");
    desk.expect("1", "").await;
    let both = format!("{failing}, doorbell.source.recovered s");
    assert_eq!(desk.newest(9).await, both);
    desk.expect("1", "").await;
    desk.answer([status(500)]).await;
    desk.expect("1", "").await;
    assert_eq!(desk.newest(9).await, both);
}

#[tokio::test]
async fn held_changes_are_told_once_with_why() {
    let desk =
        Desk::knowing("flood: 2, deletes: { after: 1, brake: { count: 1, percent: 1 } }", "1")
            .await;
    desk.expect("1 2 3 4 5", "held 4").await;
    desk.expect("1 2 3 4 5", "").await;
    let held = "doorbell.source.held s";
    assert_eq!(desk.newest(9).await, held);
    let told = desk.data().await;
    assert_eq!((&told["count"], &told["why"]), (&4.into(), &serde_json::json!(["flood"])));
    assert_eq!(told["release"], "doorbell held release s");
    assert_eq!(desk.decide(Decision::Discard).await, 4);
    desk.expect("1", "held 4").await;
    assert_eq!(desk.newest(9).await, format!("{held}, {held}"));
    assert_eq!(desk.data().await["why"], serde_json::json!(["brake"]));
}

/// What is wrong with all entries of a source is told once.
#[tokio::test]
async fn entries_that_fail_together_are_told_once() {
    let desk = Desk::new("for_each: [a, b, c], key: .id");
    for _ in 0..4 {
        desk.pass(Duration::from_mins(1));
        for entry in ["a", "b", "c"] {
            desk.answer_entry(entry, [status(500)]).await;
        }
    }
    let failing = "doorbell.source.failing s";
    assert_eq!(desk.newest(9).await, failing);
    assert_eq!(desk.data().await["entry"], "a");
    for (entry, expected) in [("b", ""), ("a", ""), ("c", ", doorbell.source.recovered s")] {
        desk.answer_entry(entry, [super::desk::text("[]")]).await;
        assert_eq!(desk.newest(9).await, format!("{failing}{expected}"));
    }
}
