//! Polls that ask for what changed only.

use std::time::Duration;

use super::desk::{Desk, listing, status, story, text};
use crate::core::http::Response;

const KEYS: &str = "since: { param: since, from: .at, overlap: 1m }";
const SWEEP: Duration = Duration::from_hours(6);

/// What a poll after these answers asks for.
fn asked(time: &str) -> String {
    format!("/list?since=2026-11-21T{}Z", time.replace(':', "%3A"))
}

#[track_caller]
fn expect_asked(desk: &Desk, expected: &[String]) {
    assert_eq!(desk.asked(), expected);
}

#[tokio::test]
async fn what_changed_is_asked_for_from_the_data_and_with_an_overlap() {
    let desk = Desk::knowing(KEYS, "1@03:00 2@02:00").await;
    expect_asked(&desk, &["/list".into()]);
    // The clock has nothing to do with it.
    desk.pass(Duration::from_hours(1));
    desk.expect("1@03:00", "").await;
    expect_asked(&desk, &[asked("02:59:00")]);
    // What is not shown is as it was, however often; what has one time with the last one is not missed.
    for _ in 0..4 {
        desk.expect("", "").await;
    }
    desk.expect("1@03:00 3@03:00", "created 3").await;
    desk.expect("2:b@03:05", "updated 2:b").await;
    desk.asked();
    // Visible late: older than what was seen, and inside the overlap.
    desk.expect("2:b@03:05 4@03:04", "created 4").await;
    desk.expect("2:b@03:05 4@03:04", "").await;
    expect_asked(&desk, &[asked("03:04:00"), asked("03:04:00")]);
}

#[tokio::test]
async fn a_poll_that_fails_moves_nothing() {
    let desk = Desk::knowing(KEYS, "1@03:00").await;
    desk.asked();
    assert_eq!(desk.answer([status(500)]).await.outcome, "failed");
    let broken = r#"[{"id":1,"v":"b","at":"2026-11-21T05:00:00Z"},{"id":2,"v":"a","at":"soon"}]"#;
    let report = desk.answer([text(broken)]).await;
    assert_eq!((story(&report).as_str(), report.outcome), ("updated 1:b, created 2", "incomplete"));
    assert!(report.fault.expect("a fault").sentence.contains("`from` of `since`"));
    desk.expect("1:b@05:00", "").await;
    desk.expect("", "").await;
    let from = asked("02:59:00");
    expect_asked(&desk, &[from.clone(), from.clone(), from, asked("04:59:00")]);
}

#[tokio::test]
async fn a_sweep_sees_deletions() {
    let desk = Desk::knowing(KEYS, "1@03:00 2@02:00 3@01:00").await;
    desk.expect("", "").await;
    desk.pass(SWEEP);
    desk.asked();
    // The next poll confirms it, and sweeps too.
    desk.expect("1@03:00 3@01:00", "").await;
    desk.expect("1@03:00 3@01:00", "deleted 2").await;
    desk.expect("", "").await;
    expect_asked(&desk, &["/list".into(), "/list".into(), asked("02:59:00")]);
    // It also finds what the polls between could not show.
    desk.pass(SWEEP);
    desk.expect("1@03:00 3:b@01:00 4@00:30", "updated 3:b, created 4").await;
}

#[tokio::test]
async fn a_sweep_that_fails_is_made_again_soon_and_polls_go_on() {
    let desk = Desk::knowing(KEYS, "1@03:00").await;
    desk.pass(SWEEP);
    desk.asked();
    desk.answer([status(500)]).await;
    desk.expect("1:b@03:01", "updated 1:b").await;
    desk.pass(SWEEP / 10);
    desk.expect("1:b@03:01", "").await;
    expect_asked(&desk, &["/list".into(), asked("02:59:00"), "/list".into()]);
}

#[tokio::test]
async fn without_sweeps_nothing_that_is_not_shown_is_deleted() {
    let desk = Desk::knowing(&format!("sweep: off, {KEYS}"), "1@03:00 2@02:00").await;
    desk.asked();
    for _ in 0..3 {
        desk.pass(SWEEP * 10);
        desk.expect("1@03:00", "").await;
    }
    let from = asked("02:59:00");
    expect_asked(&desk, &[from.clone(), from.clone(), from]);
}

#[tokio::test]
async fn a_sweep_with_check_needs_no_second_one() {
    let keys = format!("{KEYS}, deletes: {{ check: 'http://api.example/item/{{{{key}}}}' }}");
    let desk = Desk::knowing(&keys, "1@03:00 2@02:00 3@02:00").await;
    desk.place("/item/2", 404);
    desk.place("/item/3", 503);
    desk.pass(SWEEP);
    desk.expect("1@03:00", "deleted 2").await;
    // Between sweeps, what is still doubtful is asked for by itself – unless it shows up.
    desk.asked();
    desk.expect("1:b@03:01", "updated 1:b").await;
    expect_asked(&desk, &[asked("02:59:00"), "/item/3".into()]);
    desk.place("/item/3", 404);
    desk.expect("3:b@03:02", "updated 3:b").await;
    expect_asked(&desk, &[asked("03:00:00")]);
    desk.expect("3:b@03:02", "").await;
    assert_eq!(desk.asked().len(), 1);
}

#[tokio::test]
async fn the_first_poll_and_sweeps_begin_at_the_start() {
    let keys = "since: { param: since, from: .at, start: '2026-11-21T01:00:00Z' }, flood: 10";
    let desk = Desk::knowing(keys, "1@03:00 2@01:00").await;
    expect_asked(&desk, &[asked("01:00:00")]);
    // An item whose time is set back before the start is outside of what a sweep shows.
    desk.expect("2:b@00:30", "updated 2:b").await;
    desk.pass(SWEEP);
    for _ in 0..3 {
        desk.expect("1@03:00", "").await;
    }
    expect_asked(
        &desk,
        &[asked("03:00:00"), asked("01:00:00"), asked("01:00:00"), asked("03:00:00")],
    );
    desk.expect("2:b@03:30", "updated 2:b").await;
}

#[tokio::test]
async fn a_token_goes_back_as_it_came_and_starts_anew_when_it_is_too_old() {
    let page = |items: &str, token: &str| {
        text(&format!(r#"{{"items":{},"next":{token}}}"#, listing(items)))
    };
    let desk =
        Desk::new("key: .id, items: .items, since: { param: token, token: .next }, settle: 0");
    desk.answer([page("1 2", r#""a b/c""#)]).await;
    let told = story(&desk.answer([page("2:b", "17")]).await);
    assert_eq!(told, "updated 2:b");
    // No token is no news: the last one holds.
    assert_eq!(story(&desk.answer([page("3", "null")]).await), "created 3");
    let expected = ["/list", "/list?token=a+b%2Fc", "/list?token=17"];
    assert_eq!(desk.asked(), expected);
    // 410: everything is listed at once, and only what is news rings.
    let report = desk.answer([status(410), page("1 2:c 3", r#""z""#)]).await;
    assert_eq!(story(&report), "updated 2:c");
    assert_eq!(desk.asked(), ["/list?token=17", "/list"]);
    desk.answer([page("", r#""z""#)]).await;
    assert_eq!(desk.asked(), ["/list?token=z"]);
    // Any other failure keeps it.
    desk.answer([status(404)]).await;
    desk.answer([page("", r#""z""#)]).await;
    assert_eq!(desk.asked(), ["/list?token=z", "/list?token=z"]);
}

#[tokio::test]
async fn an_edit_neither_loses_nor_replays() {
    let desk = Desk::knowing(KEYS, "1@03:00 2@02:00").await;
    desk.asked();
    let with = |since: &str| format!("key: .id, since: {{ {since} }}");
    desk.declare(&with("param: after, from: .at, overlap: 5m, format: unix"));
    desk.expect("3@03:01", "created 3").await;
    // What a watermark means is another thing when it is taken from elsewhere: everything is listed.
    desk.declare(&with("param: after, from: .id, format: raw"));
    desk.expect("1@03:00 2:b@02:00 3@03:01", "updated 2:b").await;
    desk.expect("4@04:00", "created 4").await;
    // Without `since` at all, and back.
    desk.declare("key: .id");
    desk.expect("1@03:00 2:b@02:00 3@03:01 4:b@04:00", "updated 4:b").await;
    desk.declare(&format!("key: .id, {KEYS}"));
    desk.expect("1@03:00 2:b@02:00 3@03:01 4:b@04:00 5@05:00", "created 5").await;
    desk.expect("5:b@05:00", "updated 5:b").await;
    let expected =
        ["/list?after=1795229700", "/list", "/list?after=3", "/list", "/list", &asked("04:59:00")];
    assert_eq!(desk.asked(), expected);
}

#[tokio::test]
async fn other_credentials_list_everything_first() {
    let desk = Desk::knowing(&format!("{KEYS}, auth: {{ bearer: one }}"), "1@03:00").await;
    desk.declare(&format!("key: .id, {KEYS}, auth: {{ bearer: two }}"));
    desk.asked();
    desk.expect("1@03:00 2@01:00", "created 2").await;
    desk.expect("", "").await;
    expect_asked(&desk, &["/list".into(), asked("02:59:00")]);
}

#[tokio::test]
async fn a_value_that_is_not_shown_again_lasts() {
    let desk = Desk::knowing(&format!("settle: 2, {KEYS}"), "1@03:00 2@02:00").await;
    desk.expect("1:b@03:05 3@03:05", "").await;
    desk.expect("", "").await;
    desk.expect("", "updated 1:b, created 3").await;
    // A newer value begins anew.
    desk.expect("1:c@03:06", "").await;
    desk.expect("1:d@03:07", "").await;
    desk.expect("", "").await;
    desk.expect("", "updated 1:d").await;
}

#[tokio::test]
async fn the_same_answer_to_the_same_question_is_recognised() {
    let desk = Desk::knowing(KEYS, "1@03:00").await;
    let tagged = || super::desk::with(text(&listing("1@03:00")), "etag", "\"x\"");
    desk.answer([tagged()]).await;
    let report = desk.answer([status(304)]).await;
    assert_eq!((report.outcome, report.requests[0].conditional), ("not_modified", true));
    // A sweep asks another question.
    desk.pass(SWEEP);
    let report = desk.answer([text(&listing("1@03:00"))]).await;
    assert!(!report.requests[0].conditional && report.items == 1);
}

/// A page that another one follows.
fn followed(items: &str, next: &str) -> Response {
    let link = format!("<http://api.example/list?page={next}>; rel=\"next\"");
    super::desk::with(text(&listing(items)), "link", &link)
}

#[tokio::test]
async fn a_listing_that_moves_while_it_is_read_moves_no_watermark() {
    let desk = Desk::knowing(&format!("pages: link, {KEYS}"), "1@03:00 2@02:00 3@01:00").await;
    desk.asked();
    // 1 was pushed to the second page by an item that was put in before it, and is not seen.
    let report = desk.answer([followed("1@03:00", "2"), text(&listing("1@03:00 2:b@04:00"))]).await;
    assert_eq!((story(&report).as_str(), report.outcome), ("updated 2:b", "incomplete"));
    let both = || [followed("2:b@04:00", "2"), text(&listing("1@03:00 3:b@03:30"))];
    assert_eq!(story(&desk.answer(both()).await), "updated 3:b");
    assert_eq!(story(&desk.answer(both()).await), "");
    let (old, new) = (asked("02:59:00"), asked("03:59:00"));
    let second = || String::from("/list?page=2");
    expect_asked(&desk, &[old.clone(), second(), old, second(), new, second()]);
}

#[tokio::test]
async fn pages_of_the_same_question_are_asked_for_conditionally() {
    let desk = Desk::knowing(&format!("pages: link, {KEYS}"), "1@03:00 2@02:59 3@03:00").await;
    let tagged = |response, tag: &str| super::desk::with(response, "etag", tag);
    let first = || tagged(followed("1@03:00 3@03:00", "2"), "\"a\"");
    let second = || tagged(text(&listing("2@02:59")), "\"b\"");
    desk.answer([first(), second()]).await;
    let report = desk.answer([with_link(status(304)), status(304)]).await;
    assert_eq!((report.outcome, report.requests.len()), ("not_modified", 2));
    assert!(report.requests.iter().all(|request| request.conditional));
    // A change on the second page is found.
    let changed = tagged(text(&listing("2:b@02:59")), "\"c\"");
    let report =
        desk.answer([with_link(status(304)), changed, first(), text(&listing("2:b@02:59"))]).await;
    assert_eq!(story(&report), "updated 2:b");
    // A sweep is another question.
    desk.pass(SWEEP);
    let report = desk.answer([text(&listing("1@03:00 2:b@02:59 3@03:00"))]).await;
    assert!(!report.requests[0].conditional);
}

fn with_link(response: Response) -> Response {
    super::desk::with(response, "link", "<http://api.example/list?page=2>; rel=\"next\"")
}
