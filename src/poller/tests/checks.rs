//! Items that are no longer listed are asked for by themselves.

use super::desk::{Desk, listing, story, text};
use crate::poller::hold::Decision;

const KEYS: &str =
    "deletes: { check: 'http://api.example/item/{{key}}', brake: { count: 2, percent: 20 } }";

#[tokio::test]
async fn only_404_and_410_prove_a_deletion() {
    for (code, proves) in [
        (404, true),
        (410, true),
        (200, false),
        (204, false),
        (301, false),
        (401, false),
        (403, false),
        (429, false),
        (500, false),
    ] {
        let desk = Desk::knowing(KEYS, "1 2 3").await;
        desk.place("/item/3", code);
        let expected = if proves { "deleted 3" } else { "" };
        desk.expect("1 2", expected).await;
        assert_eq!(desk.asked(), ["/list", "/list", "/item/3"], "{code}");
        desk.expect("1 2:b", "updated 2:b").await;
        // It is asked for again as long as it is not listed.
        let asked = if proves { vec!["/list"] } else { vec!["/list", "/item/3"] };
        assert_eq!(desk.asked(), asked, "{code}");
        desk.expect("1 2:b 3", if proves { "created 3" } else { "" }).await;
    }
}

#[tokio::test]
async fn an_identical_answer_asks_again_for_what_is_missing() {
    let desk = Desk::knowing(KEYS, "1 2").await;
    desk.place("/item/2", 503);
    desk.expect("1", "").await;
    desk.expect("1", "").await;
    desk.place("/item/2", 404);
    desk.expect("1", "deleted 2").await;
    desk.asked();
    desk.expect("1", "").await;
    assert_eq!(desk.asked(), ["/list"]);
}

#[tokio::test]
async fn a_mass_that_is_proven_is_held_all_the_same() {
    let desk = Desk::knowing(KEYS, "1 2 3 4").await;
    for id in 2..=4 {
        desk.place(&format!("/item/{id}"), 404);
    }
    desk.expect("1", "held 3").await;
    desk.expect("1", "").await;
    assert_eq!(desk.decide(Decision::Release).await, 3);
    assert_eq!(desk.newest(3).await, "deleted 2, deleted 3, deleted 4");
}

#[tokio::test]
async fn few_are_asked_for_in_one_poll_and_the_rest_later() {
    let many = (1..=130).map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
    let keys = KEYS.replace("count: 2", "count: 1000");
    let desk = Desk::knowing(&keys, &many).await;
    for id in 2..=130 {
        desk.place(&format!("/item/{id}"), 404);
    }
    let mut deleted = 0;
    for expected in [50, 50, 29, 0] {
        desk.asked();
        let report = desk.answer([text(&listing("1"))]).await;
        assert_eq!(report.events.len(), expected, "{}", story(&report));
        assert_eq!(desk.asked().len(), expected + 1);
        deleted += report.events.len();
    }
    assert_eq!(deleted, 129);
}

#[tokio::test]
async fn whoever_refuses_once_is_left_alone_for_this_poll() {
    let desk = Desk::knowing(KEYS, "1 2 3 4").await;
    desk.place("/item/2", 500);
    desk.asked();
    desk.expect("1", "").await;
    assert_eq!(desk.asked(), ["/list", "/item/2"]);
}
