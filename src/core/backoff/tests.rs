//! Bounds and growth of delays.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::backoff::{BackoffPolicy, delay};

fn policy(first: Duration, max: Duration) -> BackoffPolicy {
    BackoffPolicy::try_new(first, max).unwrap()
}

#[test]
fn bounds_double_up_to_the_most() {
    let check = |first: Duration, max: Duration, expected: &[(u32, Duration)]| {
        let policy = policy(first, max);
        assert_eq!((policy.first(), policy.max()), (first, max));
        for (failures, bound) in expected {
            assert_eq!(policy.bound(*failures), *bound, "{first:?}..{max:?} after {failures}");
        }
    };
    let seconds = Duration::from_secs;
    let hours = |hours: u64| seconds(hours * 3600);
    check(
        seconds(5),
        hours(10),
        &[
            (0, seconds(5)),
            (1, seconds(10)),
            (2, seconds(20)),
            (12, seconds(20_480)),
            (13, hours(10)),
            (31, hours(10)),
            (32, hours(10)),
            (127, hours(10)),
            (128, hours(10)),
            (u32::MAX, hours(10)),
        ],
    );
    check(seconds(7), seconds(7), &[(0, seconds(7)), (9, seconds(7))]);
    // A tiny first delay goes on doubling past 32 failures.
    let nano = Duration::from_nanos(1);
    check(nano, hours(1), &[(31, nano * (1 << 31)), (40, Duration::from_nanos(1 << 40))]);
    check(nano, Duration::MAX, &[(93, Duration::from_nanos_u128(1 << 93)), (94, Duration::MAX)]);
}

#[test]
fn a_policy_has_two_true_bounds() {
    let check = |first: u64, max: u64, expected: bool| {
        let policy = BackoffPolicy::try_new(Duration::from_secs(first), Duration::from_secs(max));
        assert_eq!(policy.is_some(), expected, "{first}..{max}");
    };
    check(1, 1, true);
    check(1, 2, true);
    check(2, 1, false);
    check(0, 1, false);
    check(0, 0, false);
}

#[test]
fn jitter_is_full() {
    let policy = policy(Duration::from_secs(4), Duration::from_mins(1));
    let check = |failures: u32, unit: f64, expected: u64| {
        assert_eq!(delay(&policy, failures, unit), Duration::from_millis(expected));
    };
    check(0, 0.0, 0);
    check(0, 0.5, 2_000);
    check(1, 0.25, 2_000);
    check(9, 0.5, 30_000);
    check(9, 1.0, 60_000);
    // A broken generator makes long waits, not panics.
    check(0, 7.0, 4_000);
    check(0, -1.0, 0);
    check(0, f64::INFINITY, 4_000);
}

proptest! {
    #[test]
    fn no_delay_leaves_its_bounds(
        first in 1..u64::MAX,
        max in any::<u64>(),
        failures in any::<u32>(),
        unit in 0.0..1.0_f64,
    ) {
        let (first, max) = (Duration::from_micros(first), Duration::from_secs(max));
        prop_assume!(first <= max);
        let policy = policy(first, max);
        let bound = policy.bound(failures);
        prop_assert!(first <= bound && bound <= max);
        prop_assert!(policy.bound(failures.saturating_add(1)) >= bound);
        prop_assert!(delay(&policy, failures, unit) <= bound);
        let _: Duration = delay(&policy, failures, f64::NAN);
    }
}
