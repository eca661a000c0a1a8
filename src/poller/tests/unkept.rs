//! What a failed poll learned is heeded also when the store does not take it, and what it saw is met again.

use std::time::Duration;

use super::desk::{Desk, listing, status, story, text, with};
use crate::core::http::Response;
use crate::core::limits::COMMIT_ITEMS_MAX;

const KEYS: &str = "key: .id, flood: 100000, \
    pages: { cursor: .next, param: at }, items: '.items'";
const WAIT: Duration = Duration::from_mins(10);

/// A page of a listing, and where the next one is.
fn page(items: &str, next: &str) -> Response {
    text(&format!(r#"{{"items":{},"next":{next}}}"#, listing(items)))
}

fn throttled() -> Response {
    with(status(503), "retry-after", "600")
}

/// Items with these ids.
fn items(ids: impl Iterator<Item = usize>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_wait_is_heeded_though_the_disk_is_full() {
    for new in [0, 1, COMMIT_ITEMS_MAX + 1] {
        let desk = Desk::new(KEYS);
        desk.answer([page("1", "null")]).await;
        desk.pass(Duration::from_mins(1));
        desk.fill(true);
        let shown = items(1..=new + 1);
        assert!(desk.look([page(&shown, "2"), throttled()]).await >= WAIT, "{new}");
        assert!(desk.look([page(&shown, "null")]).await >= WAIT, "{new}");
        assert_eq!(desk.asked(), ["/list", "/list", "/list?at=2"], "{new}");
        assert_eq!((desk.newest(1).await, desk.state().await.last_seq), (String::new(), 0));
        desk.fill(false);
        desk.pass(WAIT);
        let report = desk.answer([page(&shown, "null")]).await;
        assert_eq!((report.events.len(), desk.stored().await.len()), (new, new + 1));
        assert_eq!(desk.state().await.last_seq, new as u64);
    }
}

#[tokio::test]
async fn what_was_not_kept_is_not_told() {
    let desk = Desk::new(KEYS);
    desk.answer([page("1", "null")]).await;
    desk.fill(true);
    let report = desk.answer([page("1 2", "2"), throttled()]).await;
    assert_eq!((report.outcome, story(&report)), ("limited", String::new()));
    assert!(report.changes.is_empty() && report.fault.is_some(), "{report:?}");
    let report = desk.answer([page("1 2", "2"), status(500)]).await;
    assert_eq!((report.outcome, story(&report)), ("incomplete", String::new()));
    desk.fill(false);
    // The same answer as last time is not taken for what is known.
    let report = desk.answer([page("1 2", "2"), throttled()]).await;
    assert_eq!(story(&report), "created 2");
    assert_eq!(desk.newest(3).await, "created 2");
    let state = desk.state().await;
    assert_eq!((state.last_seq, state.schedule.failures), (1, 3));
}

#[tokio::test]
async fn a_wait_is_heeded_though_somebody_else_wrote() {
    for new in [0, 1, COMMIT_ITEMS_MAX + 1] {
        let desk = Desk::new(KEYS);
        desk.answer([page("1", "null")]).await;
        desk.pass(Duration::from_mins(1));
        desk.overtake().await;
        let shown = items(1..=new + 1);
        assert!(desk.look([page(&shown, "2"), throttled()]).await >= WAIT, "{new}");
        assert!(desk.look([page(&shown, "null")]).await >= WAIT, "{new}");
        assert_eq!(desk.asked(), ["/list", "/list", "/list?at=2"], "{new}");
        assert_eq!((desk.newest(1).await, desk.state().await.last_seq), (String::new(), 1));
        desk.pass(WAIT);
        desk.look([page(&shown, "null")]).await;
        assert_eq!(desk.stored().await.len(), new + 1);
        assert_eq!(desk.state().await.last_seq, 1 + new as u64);
    }
}
