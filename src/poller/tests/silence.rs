//! No change for long is news.

use std::time::Duration;

use super::desk::{Desk, status};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn silence_is_told_once_until_something_changes() {
    let desk = Desk::knowing("silent_after: 1h", "1").await;
    desk.pass(Duration::from_secs(3599));
    desk.expect("1", "").await;
    assert_eq!(desk.newest(9).await, "");
    desk.pass(Duration::from_secs(1));
    desk.expect("1", "").await;
    let silent = "doorbell.source.silent s";
    assert_eq!(desk.newest(9).await, silent);
    desk.pass(HOUR * 5);
    desk.expect("1", "").await;
    assert_eq!(desk.newest(9).await, silent);
    desk.expect("1:b", "updated 1:b").await;
    desk.pass(HOUR);
    // That polls fail is no change either.
    desk.answer([status(500)]).await;
    desk.answer([status(500)]).await;
    assert_eq!(desk.newest(9).await, format!("{silent}, updated 1, {silent}"));
    // An edit is no change, and does not have it told again.
    desk.declare("key: .id, silent_after: 2h, items: '.[]'");
    desk.expect("1:b", "").await;
    desk.pass(HOUR);
    desk.expect("1:b", "").await;
    assert_eq!(desk.newest(9).await, format!("{silent}, updated 1, {silent}"));
}

#[tokio::test]
async fn what_was_never_seen_is_not_silent() {
    let desk = Desk::new("key: .id, silent_after: 1h");
    desk.pass(HOUR * 2);
    desk.answer([status(500)]).await;
    desk.expect("1", "").await;
    assert_eq!(desk.newest(9).await, "");
}
