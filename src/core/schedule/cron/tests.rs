//! Times of a calendar, across months, leap years and changes of the clock.

use super::Cron;
use crate::core::time::Timestamp;

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"));
    Timestamp::from_millis(at.as_millisecond())
}

#[test]
fn the_next_time_comes_after_a_moment() {
    let check = |cron: &str, after: &str, expected: &[&str]| {
        let cron = Cron::parse(cron).unwrap_or_else(|problem| panic!("{cron}: {problem:?}"));
        let mut after = at(after);
        for expected in expected {
            after = cron.next(after).unwrap();
            assert_eq!(after, at(expected), "{} {after}", cron.as_str());
        }
    };
    check("0 2 * * *", "2026-11-21T02:00:00Z", &["2026-11-22T02:00:00Z"]);
    check("0 2 * * *", "2026-11-21T01:59:59Z", &["2026-11-21T02:00:00Z"]);
    check("0 2 * * * Europe/Berlin", "2026-11-21T12:00:00Z", &["2026-11-22T01:00:00Z"]);
    check(
        "*/20 * * * *",
        "2026-11-21T12:30:10Z",
        &["2026-11-21T12:40:00Z", "2026-11-21T13:00:00Z"],
    );
    check(
        "5,10-12/2 9 * * *",
        "2026-11-21T09:05:00Z",
        &["2026-11-21T09:10:00Z", "2026-11-21T09:12:00Z"],
    );
    check("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    check("0 0 31 * *", "2026-04-01T00:00:00Z", &["2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z"]);
    check("0 9 * * mon-fri", "2026-11-20T10:00:00Z", &["2026-11-23T09:00:00Z"]);
    check("0 9 * * 7", "2026-11-20T10:00:00Z", &["2026-11-22T09:00:00Z"]);
    check("0 9 * * 5-7", "2026-11-20T10:00:00Z", &["2026-11-21T09:00:00Z", "2026-11-22T09:00:00Z"]);
    // Either of the two days, when both are limited.
    check(
        "0 0 13 * fri",
        "2026-11-01T00:00:00Z",
        &["2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z"],
    );
    check("0 0 1 JAN *", "2026-11-21T00:00:00Z", &["2027-01-01T00:00:00Z"]);
    check("@daily", "2026-11-21T00:00:00Z", &["2026-11-22T00:00:00Z"]);
    check("@hourly Asia/Kolkata", "2026-11-21T00:00:00Z", &["2026-11-21T00:30:00Z"]);
}

#[test]
fn changes_of_the_clock_neither_lose_nor_repeat_a_time() {
    let check = |cron: &str, after: &str, expected: &[&str]| {
        let cron = Cron::parse(cron).unwrap();
        let mut after = at(after);
        for expected in expected {
            after = cron.next(after).unwrap();
            assert_eq!(after, at(expected), "{}", cron.as_str());
        }
    };
    // On 29 March 2026 there is no 02:30 in Berlin, on 25 October two.
    let spring = ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"];
    check("30 2 * * * Europe/Berlin", "2026-03-28T00:00:00Z", &spring);
    let autumn = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    check("30 2 * * * Europe/Berlin", "2026-10-24T12:00:00Z", &autumn);
    let through = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
    check("*/30 * * * * Europe/Berlin", "2026-10-25T00:00:00Z", &through);
    let over = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"];
    check("*/30 * * * * Europe/Berlin", "2026-03-29T00:10:00Z", &over);
}

#[test]
fn what_is_no_calendar_is_told_with_its_place() {
    let check = |text: &str, at: std::ops::Range<usize>, sentence: &str| {
        let problem = Cron::parse(text).unwrap_err();
        assert!(problem.sentence.contains(sentence), "{text}: {problem:?}");
        assert_eq!(problem.at, at, "{text}: {problem:?}");
        assert!(!problem.hint.is_empty());
    };
    check("", 0..0, "five fields");
    check("0 2 * *", 0..7, "five fields");
    check("60 2 * * *", 0..2, "`60` is no minute");
    check("0 2,24 * * *", 4..6, "`24` is no hour");
    check("0 2 0 * *", 4..5, "day of the month");
    check("0 2 * foo *", 6..9, "month");
    check("0 2 * * 8", 8..9, "day of the week");
    check("0 5-2 * * *", 2..5, "hour");
    check("*/0 2 * * *", 0..3, "minute");
    check("*/-1 2 * * *", 0..4, "minute");
    check("+5 2 * * *", 0..2, "minute");
    check("0 2 * * * Europe/Berlim", 10..23, "no time zone");
    check("0 2 * * * UTC please", 14..20, "more than a time zone");
    check("0 0 31 2 *", 0..10, "never");
    check("0 0 31 4,6 *", 0..12, "never");
    check("@sometimes", 0..10, "five fields");
}
