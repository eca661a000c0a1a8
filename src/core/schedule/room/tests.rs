//! Where polls go that are planned between others.

use std::time::Duration;

use proptest::prelude::*;

use super::Room;

const MINUTE: Duration = Duration::from_mins(1);

/// The polls of each ten seconds of a minute when `coming` more are planned beside these.
fn filled(planned: &[u64], coming: u32, window: Duration) -> [u32; 6] {
    let planned: Vec<_> = planned.iter().map(|ms| Duration::from_millis(*ms)).collect();
    let room = Room::new(MINUTE, planned.iter().copied(), coming as usize);
    let waits = (0..coming).map(|number| room.wait(f64::from(number) / f64::from(coming), window));
    let mut parts = [0; 6];
    for wait in planned.iter().copied().chain(waits) {
        parts[usize::try_from(wait.as_millis() / 10_000).expect("few").min(5)] += 1;
    }
    parts
}

#[test]
fn what_comes_goes_where_nothing_is() {
    let check = |planned: &[u64], coming: u32, window_s: u64, expected: [u32; 6]| {
        let found = filled(planned, coming, Duration::from_secs(window_s));
        let is_close = |(found, expected): (&u32, &u32)| found.abs_diff(*expected) <= 2;
        assert!(found.iter().zip(&expected).all(is_close), "{found:?} instead of {expected:?}");
    };
    let even = |from: u64, to: u64, count: u64| -> Vec<u64> {
        (0..count).map(|number| from + (to - from) * number / count).collect()
    };
    check(&[], 600, 60, [100; 6]);
    check(&[], 600, 30, [200, 200, 200, 0, 0, 0]);
    // After fifteen seconds away, and after forty-five.
    check(&even(0, 45_000, 4_500), 1_500, 60, [1_000; 6]);
    check(&even(0, 15_000, 1_500), 4_500, 60, [1_000; 6]);
    // More than their part is there already: the others come where there is room.
    check(&even(0, 10_000, 3_000), 3_000, 60, [3_000, 600, 600, 600, 600, 600]);
    // None within what is allowed.
    check(&even(0, 20_000, 4_000), 400, 20, [2_200, 2_200, 0, 0, 0, 0]);
    // Later than the window, and all at one time.
    check(&[90_000, 61_000], 600, 60, [100, 100, 100, 100, 100, 102]);
    check(&[0; 50], 600, 60, [150, 100, 100, 100, 100, 100]);
}

proptest! {
    #[test]
    fn nobody_waits_longer_than_allowed(
        window_ms in 0_u64..200_000,
        planned in proptest::collection::vec(0_u64..200_000, 0..50),
        coming in 0_usize..50,
        part in 0.0..1.0_f64,
        allowed_ms in 0_u64..300_000,
    ) {
        let planned = planned.into_iter().map(Duration::from_millis);
        let room = Room::new(Duration::from_millis(window_ms), planned, coming);
        let allowed = Duration::from_millis(allowed_ms);
        prop_assert!(room.wait(part, allowed) <= allowed);
    }
}
