//! Which times are believed.

use std::time::Duration;

use crate::core::retention::{Reading, Reckoning, surplus};
use crate::core::time::Timestamp;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// The clocks are looked at, one after the other; each look says which time is believed, in seconds.
fn check(kept: Option<i64>, age_max: i64, looks: &[((i64, i64), Option<i64>)]) {
    let mut reckoning = Reckoning::since(kept.map(at));
    let age_max = Duration::from_secs(age_max.cast_unsigned());
    for ((now, wall), believed) in looks {
        let reading = reckoning.read((at(*now), at(*wall)), age_max);
        let told = match reading {
            Reading::Believed(time) => Some(time),
            Reading::Doubted { .. } => None,
        };
        assert_eq!(told, believed.map(at), "{looks:?}: at {now}, {wall}: {reading:?}");
    }
}

#[test]
fn a_leap_of_the_clock_is_believed_once_it_has_lasted() {
    const MONTH: i64 = 30 * DAY;
    // A new state knows no other time.
    check(None, MONTH, &[((YEAR, YEAR), Some(YEAR))]);
    // It goes on; so it does after a night, and when the clock is set back.
    check(Some(0), MONTH, &[((60, 60), Some(60)), ((DAY, DAY), Some(DAY)), ((DAY, 5), Some(5))]);
    // Too far ahead, until it has lasted for an hour.
    let far = 73 * YEAR;
    check(
        Some(0),
        MONTH,
        &[
            ((far, far), None),
            ((far + HOUR - 1, far + HOUR - 1), None),
            ((far + HOUR, far + HOUR), Some(far + HOUR)),
            ((far + HOUR + 60, far + HOUR + 60), Some(far + HOUR + 60)),
        ],
    );
    // Set right meanwhile. The steady clock stays ahead; the next leap is doubted as the first was.
    check(
        Some(0),
        MONTH,
        &[
            ((far, far), None),
            ((far + 60, 90), Some(90)),
            ((far + 2 * HOUR, 2 * HOUR), Some(2 * HOUR)),
            ((far + 3 * HOUR, far), None),
            ((far + 3 * HOUR + 60, 3 * HOUR), Some(3 * HOUR)),
        ],
    );
    // A clock that began in 1970 is believed, and the right one after it only in time.
    check(Some(far), MONTH, &[((0, 0), Some(0)), ((60, far), Some(60))]);
    check(Some(60), MONTH, &[((far, far), None), ((far + HOUR, far + HOUR), Some(far + HOUR))]);
    // What is kept for a short time only is doubted sooner, and for no longer.
    check(Some(0), 10, &[((10, 10), Some(10)), ((21, 21), None), ((31, 31), Some(31))]);
}

#[test]
fn what_is_believed_is_kept_now_and_then() {
    let age_max = Duration::from_hours(24 * 30);
    let mut reckoning = Reckoning::since(None);
    let mut kept = Vec::new();
    for seconds in [0, 60, 599, 600, 601, 1300, 5, 700, 100 * DAY] {
        reckoning.read((at(seconds), at(seconds)), age_max);
        kept.extend(reckoning.keep(age_max));
    }
    assert_eq!(kept, [0, 600, 1300, 5, 700].map(at));
}

#[test]
fn doubt_says_how_far_and_for_how_long() {
    let mut reckoning = Reckoning::since(Some(at(0)));
    let clocks = (at(2 * YEAR), at(YEAR));
    let told = reckoning.read(clocks, Duration::from_hours(24 * 30));
    let ahead = Duration::from_secs(YEAR.cast_unsigned());
    assert_eq!(told, Reading::Doubted { ahead, until: at(2 * YEAR + HOUR) });
}

#[test]
fn as_many_go_as_take_up_too_much() {
    for (count, used, bytes_max, expected) in [
        (0, 0, 0, 0),
        (10, 100, 100, 0),
        (10, 100, 99, 1),
        (10, 100, 50, 5),
        (10, 100, 0, 10),
        (u64::MAX, u64::MAX, 1, usize::MAX - 1),
    ] {
        assert_eq!(surplus(count, used, bytes_max), expected, "{count} {used} {bytes_max}");
    }
}
