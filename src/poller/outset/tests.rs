//! How a start with very many sources is spread, and how little room each takes.

use std::time::Duration;

use super::turns;
use crate::core::schedule::{Every, Schedule};
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;
use crate::poller::Memory;

/// The most first polls in a tenth of a second, over the mean.
fn peak(every: Every, count: usize, turns: impl Iterator<Item = f64>) -> f64 {
    let now = Timestamp::from_millis(0);
    let mut slices = vec![0_u32; 1 + usize::try_from(every.max().as_millis()).expect("few") / 100];
    let mut polls = 0_u32;
    for turn in turns {
        let due = Schedule::first(every, count, now, turn).due.as_millis();
        slices[usize::try_from(due).expect("after the start") / 100] += 1;
        polls += 1;
    }
    let used = slices.iter().rposition(|polls| *polls > 0).expect("some") + 1;
    let most = slices.iter().copied().max().expect("some");
    f64::from(most) / (f64::from(polls) / f64::from(u32::try_from(used).expect("few")))
}

#[test]
fn a_start_is_flat() {
    let check = |seconds: u64, count: usize, first: f64| {
        let every = Every::Fixed(Duration::from_secs(seconds));
        let all = peak(every, count, turns(first).take(count));
        assert!(all <= 1.5, "{count} sources every {seconds} s: {all}");
        // Those of one API follow each other by name.
        let some = peak(every, count, turns(first).skip(count / 3).take(count / 4));
        assert!(some <= 2.0, "some of {count} sources every {seconds} s: {some}");
    };
    for first in [0.0, 0.25, 0.999] {
        check(60, 100_000, first);
        check(60, 20_000, first);
        check(300, 1_000_000, first);
        check(3_600, 50_000, first);
    }
}

#[test]
fn what_is_remembered_of_a_source_is_small() {
    for (what, bytes, bytes_max) in [
        ("the declaration", size_of::<Source>(), 176),
        ("the state", size_of::<SourceState>(), 304),
        ("the place in memory", size_of::<Memory>(), 64),
    ] {
        assert!(bytes <= bytes_max, "{what}: {bytes} bytes");
    }
}
