//! When the next poll is due.

mod laws;

use std::time::Duration;

use proptest::prelude::*;

use crate::core::backoff::BackoffPolicy;
use crate::core::limits::{SOURCE_RETRY_AFTER_MAX, START_SPACING};
use crate::core::schedule::{Every, Schedule, Signal};
use crate::core::time::Timestamp;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn range(min: u64, max: u64) -> Every {
    Every::try_new(seconds(min), seconds(max)).unwrap()
}

fn backoff() -> BackoffPolicy {
    BackoffPolicy::try_new(seconds(1), seconds(900)).unwrap()
}

fn plan(interval: u64, due: i64, failures: u32) -> Schedule {
    Schedule { interval: seconds(interval), due: at(due), failures }
}

#[test]
fn bounds_are_read_once() {
    let check = |min: u64, max: u64, expected: Option<Every>| {
        assert_eq!(Every::try_new(seconds(min), seconds(max)), expected);
    };
    check(30, 30, Some(Every::Fixed(seconds(30))));
    check(30, 60, Some(Every::Range { min: seconds(30), max: seconds(60) }));
    check(60, 30, None);
    check(0, 30, None);
    check(0, 0, None);
}

#[test]
fn few_are_due_at_once_and_very_many_over_their_interval() {
    let check = |every: Every, count: usize, unit: f64, expected_ms: i64| {
        let first = Schedule::first(every, count, at(100), unit);
        assert_eq!((first.interval, first.failures), (every.min(), 0));
        assert_eq!(first.due.as_millis() - 100_000, expected_ms);
    };
    check(range(30, 900), 1, 1.0, 0);
    check(range(30, 900), 2, 1.0, 20);
    check(range(30, 900), 11, 0.5, 100);
    check(range(60, 60), 1_001, 0.5, 10_000);
    check(range(60, 60), 100_000, 0.5, 30_000);
    check(range(60, 60), 100_000, 1.0, 60_000);
}

#[test]
fn a_poll_moves_the_plan() {
    let check = |before: Schedule, signal: Signal, every: Every, now: i64, expected: Schedule| {
        assert_eq!(before.after(signal, every, &backoff(), at(now), 0.5), expected, "{signal:?}");
    };
    let adaptive = range(30, 900);
    // An answer sets the interval, inside the bounds; it counts from the poll.
    let answered = |next: u64| Signal::Answered { next: seconds(next) };
    check(plan(200, 0, 0), answered(100), adaptive, 5, plan(100, 105, 0));
    check(plan(200, 0, 0), answered(20), adaptive, 5, plan(30, 35, 0));
    check(plan(800, 0, 0), answered(1_200), adaptive, 5, plan(900, 905, 0));
    check(plan(200, 0, 3), answered(300), adaptive, 5, plan(300, 305, 0));
    // Failures count up and leave the interval alone.
    check(
        plan(200, 0, 0),
        Signal::Failed,
        adaptive,
        5,
        Schedule { due: Timestamp::from_millis(5_500), ..plan(200, 0, 1) },
    );
    check(plan(200, 0, 9), Signal::Failed, adaptive, 5, plan(200, 5 + 256, 10));
    check(plan(200, 0, 99), Signal::Failed, adaptive, 5, plan(200, 5 + 450, 100));
    check(plan(200, 0, u32::MAX), Signal::Failed, adaptive, 5, plan(200, 455, u32::MAX));
    // The server's word counts between the backoff's step and a day.
    let asked = |wait: Duration| Signal::Throttled { wait };
    check(plan(200, 0, 0), asked(seconds(60)), adaptive, 5, plan(200, 65, 1));
    check(plan(200, 0, 9), asked(seconds(60)), adaptive, 5, plan(200, 5 + 256, 10));
    check(plan(200, 0, 9), asked(Duration::ZERO), adaptive, 5, plan(200, 5 + 256, 10));
    let day = 86_400;
    check(plan(200, 0, 0), asked(seconds(7 * 86_400)), adaptive, 5, plan(200, 5 + day, 1));
    check(plan(200, 0, 0), asked(Duration::MAX), adaptive, 5, plan(200, 5 + day, 1));
    // A fixed interval counts from the plan; what was missed is not made up for, nor does it follow a set-back clock.
    let fixed = range(60, 60);
    check(plan(60, 100, 0), answered(9), fixed, 103, plan(60, 160, 0));
    check(plan(60, 100, 0), answered(900), fixed, 159, plan(60, 160, 0));
    check(plan(60, 100, 0), answered(900), fixed, 160, plan(60, 220, 0));
    check(plan(60, 100, 0), answered(900), fixed, 500, plan(60, 560, 0));
    check(plan(60, 100, 2), answered(900), fixed, 103, plan(60, 163, 0));
    check(plan(60, 86_500, 0), answered(900), fixed, 100, plan(60, 160, 0));
    check(plan(30, 100, 0), answered(900), fixed, 103, plan(60, 160, 0));
}

#[test]
fn a_fixed_interval_does_not_drift() {
    let every = range(60, 60);
    let mut plan = plan(60, 0, 0);
    for round in 1..=1_000 {
        // Each poll starts late and takes its time.
        let ended = plan.due.after(Duration::from_millis(700 + round % 7 * 900));
        plan = plan.after(Signal::Answered { next: every.min() }, every, &backoff(), ended, 0.3);
        assert_eq!(plan.due, at(60 * i64::try_from(round).unwrap()));
    }
}

#[test]
fn a_reload_brings_the_plan_inside_the_new_bounds() {
    let check = |before: Schedule, every: Every, expected: Schedule| {
        assert_eq!(before.under(every, at(1_000)), expected);
    };
    // Shorter bounds bring the poll forward, longer ones do not put off what is planned.
    check(plan(900, 1_800, 0), range(30, 60), plan(60, 1_060, 0));
    check(plan(30, 1_010, 0), range(300, 900), plan(300, 1_010, 0));
    check(plan(100, 1_050, 0), range(30, 900), plan(100, 1_050, 0));
    check(plan(900, 1_800, 0), range(60, 60), plan(60, 1_060, 0));
    check(plan(60, 500, 0), range(30, 900), plan(60, 500, 0));
    // After a failure, the time was set by it or by the server.
    check(plan(900, 5_000, 2), range(30, 60), plan(60, 5_000, 2));
}

fn any_every() -> impl Strategy<Value = Every> {
    (1_u64..1_000_000_000, 0_u64..1_000_000_000).prop_map(|(min, more)| {
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + more));
        Every::try_new(min, max).unwrap()
    })
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        any::<u64>().prop_map(|next| Signal::Answered { next: Duration::from_millis(next) }),
        Just(Signal::Failed),
        any::<u64>().prop_map(|wait| Signal::Throttled { wait: Duration::from_millis(wait) }),
    ]
}

proptest! {
    /// Those that begin together are spread, and none waits longer than the longest interval.
    #[test]
    fn first_polls_are_spread(count in 1_usize..100_000, chance in 0.0..1.0_f64, max_s in 1_u64..9_000) {
        let (now, every) = (at(5), range(1, max_s));
        let plan = Schedule::first(every, count, now, chance);
        let others = u32::try_from(count - 1).expect("few");
        let window = (START_SPACING * others).min(every.max());
        prop_assert!(plan.due >= now && plan.due <= now.after(window));
        prop_assert_eq!((plan.interval, plan.failures), (every.min(), 0));
        prop_assert_eq!(Schedule::first(every, 1, now, chance).due, now);
    }

    /// A poll that was missed is made once, spread; one that is not due yet stays where it was.
    #[test]
    fn missed_polls_are_spread(due in -50_000_i64..50_000, chance in 0.0..1.0_f64) {
        let (now, every) = (at(0), range(30, 900));
        let kept = Schedule { interval: Duration::from_mins(1), due: at(due), failures: 2 };
        let plan = kept.resumed(every, 1_000, now, chance);
        prop_assert_eq!((plan.interval, plan.failures), (kept.interval, kept.failures));
        if due > 0 {
            prop_assert_eq!(plan.due, kept.due);
        } else {
            prop_assert!(plan.due >= now && plan.due <= now.after(START_SPACING * 999));
        }
    }

    /// Over any history: intervals stay inside their bounds, the next poll is never out of reach, nothing panics.
    #[test]
    fn no_history_leads_out_of_bounds(
        everys in proptest::collection::vec(any_every(), 1..4),
        history in proptest::collection::vec((any_signal(), 0_i64..2_000_000, 0.0..1.0_f64), 1..40),
    ) {
        let mut now = at(1_700_000_000);
        let mut plan = Schedule::first(everys[0], 1, now, 0.5);
        let backoff = backoff();
        for (index, (signal, step, unit)) in history.into_iter().enumerate() {
            let every = everys[index % everys.len()];
            plan = plan.under(every, now);
            prop_assert!(every.min() <= plan.interval && plan.interval <= every.max());
            now = now.after(Duration::from_millis(step.unsigned_abs()));
            let failures = plan.failures;
            plan = plan.after(signal, every, &backoff, now, unit);
            let wait = plan.due.since(now);
            prop_assert!(every.min() <= plan.interval && plan.interval <= every.max());
            match signal {
                Signal::Answered { .. } => {
                    prop_assert_eq!(plan.failures, 0);
                    prop_assert!(plan.due > now && wait <= every.max());
                    if let Every::Range { min, .. } = every {
                        prop_assert!(wait >= min);
                    }
                }
                Signal::Failed => {
                    prop_assert_eq!(plan.failures, failures + 1);
                    prop_assert!(wait <= backoff.max());
                }
                Signal::Throttled { wait: asked } => {
                    prop_assert_eq!(plan.failures, failures + 1);
                    prop_assert!(wait <= SOURCE_RETRY_AFTER_MAX);
                    prop_assert!(wait >= asked.min(SOURCE_RETRY_AFTER_MAX));
                }
            }
        }
    }
}
