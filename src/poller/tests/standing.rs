//! What is watched, what counts as another value, what has to last, and what waits for a person.

use std::collections::BTreeSet;
use std::time::Duration;

use super::desk::{Desk, listing, status, story, text, with};
use crate::core::ids::ItemKey;
use crate::core::limits::COMMIT_BYTES_MAX;
use crate::core::snapshot::Standing;
use crate::poller::hold::Decision;

/// Polls a source with these keys: first a baseline, then listings, each with what rings.
async fn check(keys: &str, baseline: &str, steps: &[(&str, &str)]) -> Desk {
    let desk = Desk::knowing(keys, baseline).await;
    for (number, (items, expected)) in steps.iter().enumerate() {
        let report = desk.answer([text(&listing(items))]).await;
        let fault = report.fault.as_ref();
        assert_eq!(story(&report), *expected, "{keys}: step {number}, {items:?}: {fault:?}");
    }
    desk
}

#[tokio::test]
async fn what_leaves_the_watch_is_not_deleted() {
    let keys = "where: '.v != \"x\"'";
    check(
        keys,
        "1 2:x",
        &[
            ("1:b 2:x", "updated 1:b"),
            ("1:x 2:x", ""),
            // Gone for good, but nobody watches it.
            ("2:x", ""),
            ("2:x", ""),
            ("2:x", ""),
            ("1:b 2:x", ""),
            ("1:x 2:x", ""),
            ("1:c 2:x", "updated 1:c"),
            ("1:c 2:a", "created 2"),
            ("2:a", ""),
            ("2:a", "deleted 1"),
            ("1:x 2:a", ""),
            ("1:c 2:a", "created 1"),
        ],
    )
    .await;
}

/// Lists what is there, then lets an hour pass in a world that forgets after two.
async fn hours(keys: &str, baseline: &str, steps: &[(&str, &str)]) -> Desk {
    let desk = Desk::knowing(keys, baseline).await;
    for (number, (items, expected)) in steps.iter().enumerate() {
        desk.retain(Duration::from_hours(2));
        let report = desk.answer([text(&listing(items))]).await;
        assert_eq!(story(&report), *expected, "{keys}: hour {number}, {items:?}");
        desk.pass(Duration::from_hours(1));
    }
    desk
}

#[tokio::test]
async fn what_vanished_without_a_word_is_remembered_for_a_while() {
    let off = "deletes: off";
    // Back in time, as it was and as another; too late; and again.
    hours(off, "1 2", &[("2", ""), ("2", ""), ("1 2", ""), ("2", ""), ("1:b 2", "updated 1:b")])
        .await;
    let desk =
        hours(off, "1 2", &[("2", ""), ("2", ""), ("2", ""), ("2", ""), ("1 2", "created 1")])
            .await;
    desk.expect("1:b 2", "updated 1:b").await;
    // The same answer again and again: it is forgotten all the same.
    let mut steps = vec![("2", ""); 4];
    steps.push(("1 2 3", "created 1, created 3"));
    hours(off, "1 2", &steps).await;
    // What is left of it is what its next event's id is made of.
    let desk = hours(
        off,
        "1 2",
        &[("2", ""), ("2:b", "updated 2:b"), ("2:c", "updated 2:c"), ("2:d", "updated 2:d")],
    )
    .await;
    let left = desk.stored().await;
    let left = &left[&ItemKey::new("1")];
    assert_eq!((left.entry.standing, left.data.as_str()), (Standing::Deleted, ""));
    // A listing that proves nothing shows what is new all the same.
    let desk = hours(off, "1 2", &[("2", ""), ("2", ""), ("2", ""), ("2", "")]).await;
    desk.retain(Duration::from_hours(2));
    let report = desk.answer([text(r#"[{"id":1,"v":"a"},{"v":"no key"}]"#)]).await;
    assert_eq!((story(&report).as_str(), report.outcome), ("created 1", "incomplete"));
}

#[tokio::test]
async fn what_is_listed_has_not_vanished() {
    let keys = "where: '.v != \"x\"', deletes: off";
    let off = [("1:x 2", ""); 5];
    let desk = hours(keys, "1 2", &off).await;
    desk.expect("1:b 2", "updated 1:b").await;
    // From here on it is away.
    desk.expect("1:x 2", "").await;
    for (items, expected) in [("2", ""), ("1:x 2:b", "updated 2:b"), ("2:b", "")] {
        desk.retain(Duration::from_hours(2));
        desk.expect(items, expected).await;
        desk.pass(Duration::from_mins(90));
    }
    desk.retain(Duration::from_hours(2));
    desk.expect("1:c 2:b", "updated 1:c").await;
}

#[tokio::test]
async fn a_discarded_deletion_is_remembered_for_a_while() {
    let keys = "deletes: { after: 1, brake: { count: 0, percent: 0 } }";
    for (hours, expected) in [(1, ""), (3, "created 1")] {
        let desk = Desk::knowing(keys, "1 2").await;
        desk.expect("2", "held 1").await;
        assert_eq!(desk.decide(Decision::Discard).await, 1);
        desk.pass(Duration::from_hours(hours));
        desk.retain(Duration::from_hours(2));
        desk.expect("1 2", expected).await;
    }
}

/// A clock that was ahead when it vanished keeps nothing for years.
#[tokio::test]
async fn what_vanishes_in_the_future_vanishes_now() {
    let desk = Desk::knowing("deletes: off", "1 2").await;
    let years = Duration::from_hours(24 * 365 * 5);
    desk.pass(years);
    desk.expect("2", "").await;
    desk.turn_back(years);
    desk.expect("2:b", "updated 2:b").await;
    desk.pass(Duration::from_hours(3));
    desk.retain(Duration::from_hours(2));
    desk.expect("1 2:b", "created 1").await;
}

#[tokio::test]
async fn a_condition_that_fails_is_a_fault_of_its_item_and_deletes_nothing() {
    for keys in ["where: '.v | tonumber > 0'", "deleted_when: '.v | tonumber < 0'"] {
        let desk = Desk::knowing(keys, "1:1 2:2 3:3").await;
        for _ in 0..3 {
            let report = desk.answer([text(&listing("1:9 2:oops"))]).await;
            let fault = report.fault.clone().expect("a fault");
            assert!(fault.sentence.starts_with("item \"2\": `"), "{fault:?}");
            assert_eq!(report.outcome, "incomplete");
            assert!(story(&report).is_empty() || story(&report) == "updated 1:9");
        }
        desk.expect("1:9 2:2 3:3", "").await;
    }
}

#[tokio::test]
async fn only_what_compare_gives_is_compared() {
    let desk = check(
        "compare: '{v: (.v | ascii_downcase)}'",
        "1 2",
        &[("1:A 2@03:00", ""), ("1:B 2", "updated 1:B"), ("1:b 2", ""), ("1:a 2", "updated 1:a")],
    )
    .await;
    // Another comparison is no change by itself, and holds from then on.
    desk.declare("key: .id, compare: .at");
    desk.expect("1:z 2", "").await;
    desk.expect("1:z@04:00 2", "updated 1:z").await;
}

#[tokio::test]
async fn a_value_that_goes_and_comes_back_is_two_changes() {
    let steps = [("1:b", "updated 1:b"), ("1:a", "updated 1:a"), ("1:b", "updated 1:b")];
    let desk = check("settle: 0", "1", &steps).await;
    let report = desk.answer([text(&listing("1:a"))]).await;
    let ids: BTreeSet<_> = report.events.iter().map(|event| event.id.clone()).collect();
    assert_eq!((ids.len(), desk.newest(9).await.matches("updated 1").count()), (1, 4));
}

#[tokio::test]
async fn a_new_value_has_to_last() {
    check(
        "settle: 1",
        "1",
        &[
            ("1:b", ""),
            ("1:b", "updated 1:b"),
            // It goes and comes back: nothing lasted.
            ("1:c", ""),
            ("1:b", ""),
            ("1:c", ""),
            ("1:d", ""),
            ("1:d", "updated 1:d"),
            ("1:d", ""),
            ("1:d 2", ""),
            ("1:d 2", "created 2"),
            // A new item that is gone before it lasted begins anew.
            ("1:d 2 3", ""),
            ("1:d 2", ""),
            ("1:d 2 3", ""),
            ("1:d 2 3", "created 3"),
            // A deletion waits for its proof only.
            ("1:d 2", ""),
            ("1:d 2", "deleted 3"),
        ],
    )
    .await;
    check(
        "settle: 3",
        "1",
        &[("1:b", ""), ("1:b", ""), ("1:b", ""), ("1:b", "updated 1:b"), ("1:b", "")],
    )
    .await;
}

#[tokio::test]
async fn a_tombstone_is_a_deletion() {
    check(
        "deleted_when: '.v == \"gone\"'",
        "1 2 3:gone",
        &[
            ("1:gone 2 3:gone 4:gone", "deleted 1"),
            ("1:gone 2 3:gone", ""),
            ("1:gone 2 3:gone", ""),
            ("1 2", "created 1"),
            ("1:b 2:gone", "updated 1:b, deleted 2"),
        ],
    )
    .await;
    // Also where absence says nothing.
    let keys = "deletes: off, deleted_when: '.v == \"gone\"'";
    check(keys, "1 2 3", &[("1:gone", "deleted 1"), ("2 3", ""), ("2:gone 3", "deleted 2")]).await;
}

#[tokio::test]
async fn the_brake_holds_tombstones_too() {
    let keys =
        "deleted_when: '.v == \"gone\"', deletes: { brake: { count: 2, percent: 20 } }, settle: 0";
    let mass = "1:gone 2:gone 3:gone 4 5:b";
    let desk = check(
        keys,
        "1 2 3 4 5",
        &[(mass, "updated 5:b, held 3"), (mass, ""), ("1 2:gone 3:gone 4 5:b", "")],
    )
    .await;
    assert_eq!(desk.decide(Decision::Release).await, 2);
    assert_eq!(desk.newest(2).await, "deleted 2, deleted 3");
    desk.expect("1:c 2:gone 4 5:b", "updated 1:c").await;
}

#[tokio::test]
async fn a_flood_waits_for_a_person() {
    let keys = "flood: 2";
    let steps = [
        ("1 2 3", "created 2, created 3"),
        ("1 2 3 4 5 6", "held 3"),
        ("1:b 2 3 4:b 5 6", "updated 1:b"),
        ("1:b 2 3 4:b 5 6 7", "created 7"),
        // One of them is gone again: nobody ever knew of it.
        ("1:b 2 3 4:b 5 7", ""),
    ];
    let desk = check(keys, "1", &steps).await;
    assert_eq!(desk.decide(Decision::Release).await, 2);
    assert_eq!(desk.newest(2).await, "created 4, created 5");
    desk.expect("1:b 2 3 4:c 5 6 7", "updated 4:c, created 6").await;
    assert_eq!(desk.decide(Decision::Release).await, 0);

    let desk = check(keys, "1", &[("1 2 3 4", "held 3")]).await;
    assert_eq!(desk.decide(Decision::Discard).await, 3);
    desk.expect("1 2 3 4", "").await;
    desk.expect("1 2:b 3 4", "updated 2:b").await;
    desk.expect("1 2:b 3", "").await;
    desk.expect("1 2:b 3", "deleted 4").await;

    // Zero holds every one.
    check("flood: 0", "1", &[("1 2", "held 1"), ("1:b 2", "updated 1:b")]).await;
}

#[tokio::test]
async fn what_a_listing_that_breaks_off_showed_rings_once() {
    let desk = Desk::knowing("pages: link, flood: 2, deleted_when: '.v == \"gone\"'", "1 2").await;
    let first = |items| {
        let next = "<http://api.example/list?page=2>; rel=\"next\"";
        with(text(&listing(items)), "link", next)
    };
    let report = desk.answer([first("1:b 2:gone 3"), status(500)]).await;
    assert_eq!(story(&report), "updated 1:b, created 3, deleted 2");
    let report = desk.answer([first("1:b 2:gone 3"), text(&listing("4 5"))]).await;
    assert_eq!(story(&report), "created 4, created 5");
    let wait = with(status(429), "retry-after", "60");
    desk.pass(Duration::from_secs(1));
    let report = desk.answer([first("1:c"), wait]).await;
    assert_eq!((story(&report), report.outcome), ("updated 1:c".into(), "limited"));
    let state = desk.state().await;
    assert_eq!(state.last_change, state.last_poll);
    // As many as were found before it broke off.
    assert_eq!(story(&desk.answer([first("6 7 8"), status(500)]).await), "held 3");
}

#[tokio::test]
async fn after_a_long_answer_that_breaks_off_the_one_before_it_is_news() {
    let desk = Desk::knowing("deletes: { after: 2 }", "1").await;
    let long = "x".repeat(COMMIT_BYTES_MAX / 8);
    let items: Vec<_> = (2..20).map(|id| format!(r#"{{"id":{id},"v":"{long}"}}"#)).collect();
    let report = desk.answer([text(&format!("[{},", items.join(",")))]).await;
    let created = report.events.len();
    assert!(report.outcome == "failed" && created > 0, "{report:?}");
    desk.expect("1", "").await;
    let report = desk.answer([text(&listing("1"))]).await;
    assert_eq!(report.changes, [("deleted", created as u64)]);
}

#[tokio::test]
async fn other_credentials_delete_nothing_by_themselves() {
    let (one, two) = ("auth: { bearer: one }", "key: .id, auth: { bearer: two }");
    let desk = Desk::knowing(one, "1 2 3 4").await;
    desk.expect("1 2 3", "").await;
    desk.declare(two);
    // They see less: that is no deletion. What was missing before begins anew.
    desk.expect("1", "held 2").await;
    desk.expect("1", "deleted 4").await;
    desk.expect("1", "").await;
    desk.declare(&format!("key: .id, {one}"));
    desk.expect("1 2 3", "").await;
    let standings: Vec<_> =
        desk.stored().await.into_values().map(|item| item.entry.standing).collect();
    let present = Standing::Present { missing: 0 };
    assert_eq!(standings, [present, present, present, Standing::Deleted]);
    desk.expect("1 2", "").await;
    desk.expect("1 2", "deleted 3").await;
}
