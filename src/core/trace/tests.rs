//! Replays: reading traces, counting, and how the schedule does beside its rivals.

use std::time::Duration;

use crate::core::time::Timestamp;
use crate::core::trace::read::read;
use crate::core::trace::replay::replay;
use crate::core::trace::{Span, Trace, rivals};

const SAMPLE: &str = include_str!("../../../tests/cases/traces/repositories.csv");

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn span(from: i64, to: i64) -> Span {
    Span::try_new(at(from), at(to)).unwrap()
}

#[test]
fn traces_are_read() {
    let check = |text: &str, expected: &[&[i64]]| {
        let found = read(text.as_bytes()).unwrap();
        let expected: Vec<Vec<_>> = expected
            .iter()
            .map(|times| times.iter().map(|at| Timestamp::from_millis(*at)).collect())
            .collect();
        assert_eq!(found.sources, expected, "{text:?}");
    };
    check("", &[]);
    check("source_id,unix_seconds\na,\na,2\na,1\nb,\n", &[&[1_000, 2_000], &[]]);
    check("a,1\r\nb,2\r\n\r\na,3", &[&[1_000, 3_000], &[2_000]]);
    check("\u{feff}Source_ID,Unix_Seconds\n a , 1.5 \n# a remark\na,-2", &[&[-2_000, 1_500]]);
    check("a,1\na,1", &[&[1_000, 1_000]]);
}

#[test]
fn what_is_no_trace_is_refused_with_its_line() {
    let check = |text: &[u8], expected: &str| {
        let found = read(text).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    };
    check(b"source_id,unix_seconds\na 1", "line 2: `a 1` has no comma");
    check(b"a,1\n,2", "line 2: the source has no name");
    check(b"a,1,2", "line 1: `a,1,2` has more than two columns");
    check(b"a,1\nb,now", "line 2: `now` is not a time");
    check(b"name,time", "line 1: `time` is not a time");
    check(b"a,1e5", "line 1: `1e5` is not a time");
    check(b"a,nan", "line 1: `nan` is not a time");
    check(b"a,1-2", "line 1: `1-2` is not a time");
    check(
        b"a,1777680000000",
        "line 1: `1777680000000` is too great for seconds; are these milliseconds?",
    );
    check(b"a,1\n\xff,2", "line 2: this is not UTF-8");
}

#[test]
fn a_trace_covers_whole_days() {
    let trace = |times: &[&[i64]]| Trace {
        sources: times.iter().map(|times| times.iter().map(|time| at(*time)).collect()).collect(),
    };
    assert_eq!(trace(&[&[90_000], &[180_000, 200_000]]).days(), Some(span(86_400, 259_200)));
    assert_eq!(trace(&[&[-5]]).days(), Some(span(-86_400, 0)));
    assert_eq!(trace(&[&[]]).days(), None);
    let cut = trace(&[&[10, 20, 30], &[5]]).within(span(10, 30));
    assert_eq!((cut.changes(), cut.sources.len()), (2, 2));
}

#[test]
fn delays_are_counted_to_the_poll_that_sees() {
    let trace = read(b"a,100\na,190\na,500\nb,").unwrap();
    // Every 100 s from 0 and from 50 on; the change at 500 is seen by the poll that comes after the end.
    let found = rivals::fixed(&trace, span(0, 501), 11).figures();
    assert_eq!(found.requests, 11);
    assert!(found.mean_s < 100.0 && found.p50_s <= found.p95_s, "{found:?}");
    assert_eq!(found.busiest_hour, 11);
    let nothing = rivals::fixed(&read(b"a,").unwrap(), span(0, 1_000), 10).figures();
    assert!(nothing.mean_s.abs() < 1e-9 && nothing.p95_s.abs() < 1e-9, "{nothing:?}");
}

#[test]
fn every_change_is_seen_within_the_longest_interval() {
    let trace = read(SAMPLE.as_bytes()).unwrap();
    let days = trace.days().unwrap();
    let week = Span::try_new(days.from, days.from.after(Duration::from_hours(24 * 7))).unwrap();
    let trace = trace.within(week);
    // So little budget that the hard stop, which lets one request pass an hour, is what sets the pace.
    let found = replay(&trace, week, 0.5 / 3_600.0).figures();
    assert!(found.requests > 0 && found.busiest_hour <= 1, "{found:?}");
    let rich = replay(&trace, week, 1e6).figures();
    assert!(rich.p95_s <= 10.0, "{rich:?}");
}

/// The goals of the project, on a sample that is small enough for every run of the tests. `benches/schedule.rs` has all
/// figures.
#[test]
fn the_sample_is_seen_sooner_for_the_same_requests() {
    let trace = read(SAMPLE.as_bytes()).unwrap();
    let days = trace.days().unwrap();
    let budget = f64::from(u32::try_from(trace.sources.len()).unwrap()) / 3_600.0;
    let ours = replay(&trace, days, budget).figures();
    let fixed = rivals::fixed(&trace, days, ours.requests).figures();
    let spent =
        f64::from(u32::try_from(ours.requests).unwrap()) / (budget * days.length().as_secs_f64());
    assert!((0.99..1.01).contains(&spent), "{spent} of the budget was spent");
    assert!(ours.requests.abs_diff(fixed.requests) * 100 <= ours.requests, "{ours:?}, {fixed:?}");
    assert!(f64::from(ours.busiest_hour) <= 1.25 * budget * 3_600.0, "{ours:?}");
    assert!(ours.mean_s <= 0.55 * fixed.mean_s, "{ours:?}, {fixed:?}");
    assert!(ours.p95_s <= 0.85 * fixed.p95_s, "{ours:?}, {fixed:?}");
}
