//! What becomes of deliveries, and of their endpoints.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::backoff::BackoffPolicy;
use crate::core::delivery::{
    AttemptResult, Breaker, Claim, DeliveryState, EndpointHealth, Started, Trigger, Verdict, lane,
    settle,
};
use crate::core::endpoint::{BreakerPolicy, Order, RetryPolicy};
use crate::core::fault::Fault;
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, ItemKey, SourceName};
use crate::core::limits::ENDPOINT_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

const DAY: u64 = 86_400;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// The policies of an endpoint that says nothing about them.
fn retry() -> RetryPolicy {
    let backoff = BackoffPolicy::try_new(seconds(5), seconds(36_000)).unwrap();
    RetryPolicy { backoff, give_up_after: seconds(3 * DAY) }
}

const BREAKER: BreakerPolicy = BreakerPolicy { failures: 10, without_success_for: seconds(60) };

fn claim(attempts: u32, started: Option<(i64, u64)>) -> Claim {
    let started =
        started.map(|(from, suspended)| Started { at: at(from), suspended: seconds(suspended) });
    Claim { delivery: DeliveryId(1), endpoint: EndpointName::new("agent"), attempts, started }
}

fn refused(status: u16, retry_after: Option<Duration>) -> AttemptResult {
    let fault = Fault::endpoint(&format!("http_{status}"), format!("answered {status}"));
    AttemptResult::Refused { status: Some(status), fault, retry_after, gone: status == 410 }
}

fn failed(fault: Fault) -> AttemptResult {
    AttemptResult::Refused { status: None, fault, retry_after: None, gone: false }
}

fn accepted() -> AttemptResult {
    AttemptResult::Accepted { status: 200 }
}

fn healthy() -> EndpointHealth {
    EndpointHealth::new(at(0))
}

fn open(since: i64, probe_at: i64, probes: u32) -> Breaker {
    Breaker::Open { since: at(since), probe_at: at(probe_at), probes }
}

#[test]
fn a_result_settles_its_delivery() {
    let check = |claim: Claim, result: &AttemptResult, now: i64, expected: Verdict| {
        assert_eq!(settle(claim, result, &retry(), &healthy(), at(now), 0.5), expected);
    };
    let retry_at = |seconds: i64| Verdict::RetryAt(at(seconds));
    let exhausted = |reason: &str| Verdict::Exhausted { reason: reason.to_owned() };
    let failing = refused(500, None);
    check(claim(0, None), &accepted(), 100, Verdict::Delivered);
    check(claim(9, Some((0, 0))), &accepted(), 100, Verdict::Delivered);
    // Backoff: half of 5 s · 2^n, at most half of 10 h.
    check(claim(1, Some((95, 0))), &failing, 100, retry_at(105));
    check(claim(3, Some((0, 0))), &failing, 100, retry_at(120));
    check(claim(40, Some((0, 0))), &failing, 100, retry_at(18_100));
    // Retry-After counts between the step and its cap.
    let asked = |wait: Duration| refused(503, Some(wait));
    check(claim(0, None), &asked(seconds(60)), 100, retry_at(160));
    check(claim(0, None), &asked(seconds(3_600)), 100, retry_at(3_700));
    check(claim(0, None), &asked(seconds(3_601)), 100, retry_at(3_700));
    check(claim(0, None), &asked(Duration::MAX), 100, retry_at(3_700));
    check(claim(3, Some((0, 0))), &asked(seconds(1)), 100, retry_at(120));
    check(claim(3, Some((0, 0))), &asked(Duration::ZERO), 100, retry_at(120));
    check(claim(40, Some((0, 0))), &asked(seconds(60)), 100, retry_at(18_100));
    // Given up when the next attempt would come after three days.
    let end = 3 * DAY.cast_signed();
    check(claim(1, Some((0, 0))), &failing, end - 5, retry_at(end));
    check(claim(1, Some((0, 0))), &failing, end - 4, exhausted("answered 500"));
    check(
        claim(0, None),
        &failing,
        end,
        Verdict::RetryAt(Timestamp::from_millis(end * 1000 + 2_500)),
    );
    // A refusal that no retry can mend.
    let blocked = failed(Fault::endpoint("blocked", "may not be reached").final_());
    check(claim(0, None), &blocked, 100, exhausted("may not be reached"));
    // 410 waits with its endpoint, whatever the time.
    check(claim(1, Some((0, 0))), &refused(410, None), end * 2, retry_at(end * 2 + 5));
    // Our own troubles use up nothing.
    check(
        claim(1, Some((0, 0))),
        &AttemptResult::Interrupted,
        end * 2,
        Verdict::NotCounted { due: at(end * 2) },
    );
    let ours = failed(Fault::us("local", "no descriptors"));
    check(claim(1, Some((0, 0))), &ours, end * 2, Verdict::NotCounted { due: at(end * 2 + 5) });
    let ours = failed(Fault::us("bytes", "the event's hash differs").final_());
    check(claim(1, Some((0, 0))), &ours, 100, exhausted("the event's hash differs"));
}

#[test]
fn time_in_suspension_does_not_count_against_a_delivery() {
    let end = 3 * DAY.cast_signed();
    let check = |health: &EndpointHealth, suspended_at_start: u64, now: i64, given_up: bool| {
        let claim = claim(1, Some((0, suspended_at_start)));
        let verdict = settle(claim, &refused(500, None), &retry(), health, at(now), 0.0);
        let expected = if given_up {
            Verdict::Exhausted { reason: String::from("answered 500") }
        } else {
            Verdict::RetryAt(at(now))
        };
        assert_eq!(verdict, expected);
    };
    check(&healthy(), 0, end, false);
    check(&healthy(), 0, end + 1, true);
    // Suspended for a hundred seconds since, or before it began.
    let was = EndpointHealth { suspended_before: seconds(100), ..healthy() };
    check(&was, 0, end + 100, false);
    check(&was, 0, end + 101, true);
    check(&was, 100, end + 1, true);
    // Suspended since its second 50: only those fifty count.
    for breaker in [open(50, 60, 1), Breaker::Disabled { since: at(50) }] {
        let is = EndpointHealth { breaker, ..healthy() };
        check(&is, 0, end * 100, false);
        assert_eq!(is.suspended(at(80)), seconds(30));
        assert_eq!(is.suspended(at(20)), Duration::ZERO);
    }
}

/// One attempt: at which second, on which lane, with which result, and the breaker after it.
type Step = (i64, i64, AttemptResult, Breaker);

fn check_steps(what: &str, mut health: EndpointHealth, steps: &[Step]) -> EndpointHealth {
    for (index, (now, lane, result, expected)) in steps.iter().enumerate() {
        health = health.after(result, *lane, (&BREAKER, &retry()), at(*now), 0.5);
        assert_eq!(health.breaker, *expected, "{what}, step {index}");
    }
    health
}

#[test]
fn the_breaker_opens_only_for_the_endpoints_own_lasting_failure() {
    let no = || refused(500, None);
    let many = |seconds: std::ops::Range<i64>, lanes: i64| -> Vec<Step> {
        seconds.map(|now| (now, now % lanes, no(), Breaker::Closed)).collect()
    };
    // Ten failures over two items, but a success a moment ago; the first failure after a minute opens it.
    let mut steps = many(0..60, 2);
    steps.push((60, 0, no(), open(60, 120, 0)));
    let health = check_steps("lasting failure", healthy(), &steps);
    assert_eq!(health.failures, 61);
    assert_eq!(health.fault.map(|fault| fault.code), Some(String::from("http_500")));
    // Nine failures are too few, however long it has been.
    let mut steps = many(1_000..1_009, 2);
    steps.push((1_009, 0, no(), open(1_009, 1_069, 0)));
    check_steps("the tenth", healthy(), &steps);
    // One item that the receiver chokes on silences nothing; a second one does.
    let mut steps = many(1_000..1_500, 1);
    steps.push((1_500, 1, no(), open(1_500, 1_560, 0)));
    check_steps("one item", healthy(), &steps);
    // A success in between starts the count and the clock anew.
    let mut steps = many(1_000..1_009, 2);
    steps.push((1_009, 0, accepted(), Breaker::Closed));
    steps.extend(many(1_010..1_069, 2));
    steps.push((1_069, 0, no(), open(1_069, 1_129, 0)));
    check_steps("a success", healthy(), &steps);
    // What is not the endpoint's doing does not count.
    let ours = || failed(Fault::us("local", "no descriptors"));
    let steps: Vec<Step> = (1_000..2_000)
        .map(|now| {
            (
                now,
                now,
                if now % 2 == 0 { ours() } else { AttemptResult::Interrupted },
                Breaker::Closed,
            )
        })
        .collect();
    assert_eq!(check_steps("our own faults", healthy(), &steps), healthy());
}

#[test]
fn a_probe_closes_the_breaker_or_puts_it_off() {
    let no = || refused(500, None);
    let failing = EndpointHealth {
        breaker: open(100, 160, 0),
        failures: 10,
        fault: Some(Fault::endpoint("http_500", "answered 500")),
        ..healthy()
    };
    // What was under way when it opened is no probe; each true one doubles the wait, never below half the period.
    let steps = [
        (101, 1, no(), open(100, 160, 0)),
        (159, 2, no(), open(100, 160, 0)),
        (160, 1, no(), open(100, 190, 1)),
        (190, 1, no(), open(100, 220, 2)),
        (220, 1, no(), open(100, 250, 3)),
        (250, 1, no(), open(100, 290, 4)),
        (290, 1, no(), open(100, 370, 5)),
    ];
    let health = check_steps("probes", failing.clone(), &steps);
    let closed = check_steps("the way back", health, &[(400, 1, accepted(), Breaker::Closed)]);
    assert_eq!(
        closed,
        EndpointHealth { suspended_before: seconds(300), ..EndpointHealth::new(at(400)) }
    );
    assert_eq!(closed.suspended(at(500)), seconds(300));
    // A success of an attempt that was under way closes it as well.
    check_steps("a late success", failing.clone(), &[(101, 1, accepted(), Breaker::Closed)]);
    // Our own trouble during a probe leaves it due.
    let steps = [(170, 1, AttemptResult::Interrupted, open(100, 160, 0))];
    assert_eq!(check_steps("interrupted", failing.clone(), &steps), failing);
}

#[test]
fn a_410_disables_until_somebody_moves_it_on() {
    let gone = || refused(410, None);
    let off = |since: i64| Breaker::Disabled { since: at(since) };
    let steps = [
        (50, 1, gone(), off(50)),
        (51, 2, refused(500, None), off(50)),
        (52, 3, gone(), off(50)),
        // Under way when the 410 came.
        (53, 4, accepted(), off(50)),
    ];
    let health = check_steps("at once", healthy(), &steps);
    assert_eq!(health.last_success, at(53));
    assert_eq!(health.suspended(at(150)), seconds(100));
    assert!(health.fault.is_some());
    // From an open breaker the suspension goes on.
    let failing = EndpointHealth { breaker: open(100, 160, 0), failures: 10, ..healthy() };
    check_steps("as a probe's answer", failing, &[(170, 1, gone(), off(100))]);
}

#[test]
fn a_breaker_admits_all_one_or_none() {
    let check = |breaker: Breaker, now: i64, expected: (usize, Option<i64>)| {
        let health = EndpointHealth { breaker, ..healthy() };
        assert_eq!(health.admits(8, at(now)), (expected.0, expected.1.map(at)));
    };
    check(Breaker::Closed, 0, (8, None));
    check(open(0, 60, 0), 59, (0, Some(60)));
    check(open(0, 60, 0), 60, (1, None));
    check(open(0, 60, 0), 6_000, (1, None));
    check(Breaker::Disabled { since: at(0) }, 6_000, (0, None));
}

#[test]
fn a_lane_is_an_item_an_endpoint_or_nothing() {
    let lane = |order: Order, source: &str, key: &str| {
        lane(order, &SourceName::new(source), &EntryKey::none(), &ItemKey::new(key))
    };
    // Stored: this number may never change.
    assert_eq!(lane(Order::Item, "tickets", "42"), Some(TICKETS_42));
    assert_eq!(lane(Order::Endpoint, "tickets", "42"), Some(0));
    assert_eq!(lane(Order::None, "tickets", "42"), None);
    let different = [("tickets", "43"), ("orders", "42"), ("ticket", "s42"), ("tickets42", "")];
    for (source, key) in different {
        assert_ne!(lane(Order::Item, source, key), Some(TICKETS_42), "{source} {key}");
    }
}

const TICKETS_42: i64 = 4_941_684_684_470_110_399;

#[test]
fn states_have_their_words() {
    let states = [
        DeliveryState::Waiting,
        DeliveryState::Pending { due: at(0) },
        DeliveryState::Delivered { at: at(0) },
        DeliveryState::Exhausted { at: at(0), reason: String::new() },
        DeliveryState::Discarded { at: at(0) },
    ];
    assert_eq!(states.map(|state| state.as_str()), DeliveryState::WORDS);
    assert_eq!([Trigger::Change, Trigger::Replay].map(Trigger::as_str), ["change", "replay"]);
}

proptest! {
    /// Never earlier than now, never later than the bounds allow, and nothing panics.
    #[test]
    fn no_verdict_leaves_its_bounds(
        attempts in any::<u32>(),
        started in proptest::option::of((-1_000_000_000_i64..1_000_000_000, 0_u64..1_000_000_000)),
        asked in proptest::option::of(any::<u64>()),
        status in 300_u16..600,
        now in -1_000_000_000_i64..1_000_000_000,
        unit in 0.0..1.0_f64,
    ) {
        let result = refused(status, asked.map(Duration::from_secs));
        let claim = claim(attempts, started);
        match settle(claim, &result, &retry(), &healthy(), at(now), unit) {
            Verdict::RetryAt(due) => {
                let longest = retry().backoff.max().max(ENDPOINT_RETRY_AFTER_MAX);
                prop_assert!(due >= at(now) && due.since(at(now)) <= longest);
            }
            Verdict::Exhausted { .. } => prop_assert!(started.is_some()),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// Over any history: failures are those since the last success, suspended time only grows, and never faster than
    /// the clock.
    #[test]
    fn health_is_sound_over_any_history(
        history in proptest::collection::vec((0_u8..6, 0_i64..4, 0_u64..300), 1..200),
    ) {
        let mut health = healthy();
        let mut now = at(0);
        let mut failures = 0;
        for (kind, lane, step) in history {
            let then = now;
            now = now.after(seconds(step));
            let result = match kind {
                0 => accepted(),
                1 => AttemptResult::Interrupted,
                2 => failed(Fault::us("local", "no descriptors")),
                _ => refused(500, None),
            };
            failures = match kind {
                0 => 0,
                1 | 2 => failures,
                _ => failures + 1,
            };
            let before = health.suspended(then);
            health = health.after(&result, lane, (&BREAKER, &retry()), now, 0.5);
            prop_assert_eq!(health.failures, failures);
            let grown = health.suspended(now).checked_sub(before);
            prop_assert!(grown.is_some_and(|grown| grown <= now.since(then)));
            if health.breaker != Breaker::Closed {
                prop_assert!(failures >= BREAKER.failures && health.failing_lane.is_none());
            }
        }
    }
}
