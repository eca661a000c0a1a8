//! What becomes of deliveries, and of their endpoints.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::backoff::BackoffPolicy;
use crate::core::delivery::{
    AttemptResult, Breaker, Claim, DeliveryState, EndpointHealth, Outlook, Started, Subject,
    Trigger, Verdict, lane, settle,
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

fn of_item(item: i64) -> Subject {
    Subject { item, order: Order::Item, is_about_it: false }
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
    // What is probably wrong with the request itself is tried again sixteen times as slowly; 429 and 408 are not.
    for status in [400, 401, 404, 413, 422, 301] {
        check(claim(1, Some((95, 0))), &refused(status, None), 100, retry_at(180));
    }
    for status in [408, 425, 429, 503] {
        check(claim(1, Some((95, 0))), &refused(status, None), 100, retry_at(105));
    }
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
    check(claim(40, Some((0, 0))), &ours, 100, Verdict::NotCounted { due: at(130) });
    let ours = failed(Fault::us("bytes", "the event's hash differs").final_());
    check(claim(1, Some((0, 0))), &ours, 100, exhausted("the event's hash differs"));
}

/// While the breaker is open, a delivery waits for the next probe and not for its own long delay.
#[test]
fn what_fails_at_an_open_breaker_waits_for_a_probe() {
    let health = suspended(open(50, 160, 3), 50);
    let check = |attempts: u32, result: &AttemptResult, expected: i64| {
        let verdict = settle(claim(attempts, None), result, &retry(), &health, at(100), 0.5);
        assert_eq!(verdict, Verdict::RetryAt(at(expected)));
    };
    check(40, &refused(500, None), 160);
    check(3, &refused(500, None), 120);
    check(3, &refused(503, Some(seconds(90))), 190);
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
        let is = suspended(breaker, 50);
        check(&is, 0, end * 100, false);
        assert_eq!(is.suspended(at(80)), seconds(30));
        assert_eq!(is.suspended(at(20)), Duration::ZERO);
    }
}

fn suspended(breaker: Breaker, from: i64) -> EndpointHealth {
    EndpointHealth { breaker, suspended_from: Some(at(from)), ..healthy() }
}

/// One attempt: at which second, on which lane, with which result, and the breaker after it.
type Step = (i64, i64, AttemptResult, Breaker);

fn check_steps(what: &str, mut health: EndpointHealth, steps: &[Step]) -> EndpointHealth {
    for (index, (now, lane, result, expected)) in steps.iter().enumerate() {
        health = health.after(result, of_item(*lane), (&BREAKER, &retry()), at(*now), 0.5);
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
    // A minute counts from the first failure: nothing may have been sent for long before it.
    let mut steps = many(1_000..1_060, 2);
    steps.push((1_060, 0, no(), open(1_060, 1_120, 0)));
    check_steps("after a quiet time", healthy(), &steps);
    // Nine failures are too few, however long it has been.
    let mut steps: Vec<Step> =
        (0..9).map(|n| (1_000 + 100 * n, n % 2, no(), Breaker::Closed)).collect();
    steps.push((1_900, 0, no(), open(1_900, 1_960, 0)));
    check_steps("the tenth", healthy(), &steps);
    // One item that the receiver chokes on silences nothing; a second one does.
    let mut steps = many(1_000..1_500, 1);
    steps.push((1_500, 1, no(), open(1_500, 1_560, 0)));
    check_steps("one item", healthy(), &steps);
    // A success in between starts the count and the clock anew.
    let mut steps = many(1_000..1_009, 2);
    steps.push((1_009, 0, accepted(), Breaker::Closed));
    steps.extend(many(1_010..1_070, 2));
    steps.push((1_070, 0, no(), open(1_070, 1_130, 0)));
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
        failures: 10,
        fault: Some(Fault::endpoint("http_500", "answered 500")),
        ..suspended(open(100, 160, 0), 100)
    };
    // What was under way when it opened is no probe; each true one doubles the wait, from half the period to five minutes.
    let steps = [
        (101, 1, no(), open(100, 160, 0)),
        (159, 2, no(), open(100, 160, 0)),
        (160, 1, no(), open(100, 190, 1)),
        (190, 1, no(), open(100, 220, 2)),
        (220, 1, no(), open(100, 250, 3)),
        (250, 1, no(), open(100, 290, 4)),
        (290, 1, no(), open(100, 370, 5)),
        (370, 1, no(), open(100, 530, 6)),
        (530, 1, no(), open(100, 830, 7)),
        (830, 1, no(), open(100, 1_130, 8)),
    ];
    let health = check_steps("probes", failing.clone(), &steps);
    let closed = check_steps("the way back", health, &[(1_200, 1, accepted(), Breaker::Closed)]);
    assert_eq!(
        closed,
        EndpointHealth { suspended_before: seconds(1_100), ..EndpointHealth::new(at(1_200)) }
    );
    assert_eq!(closed.suspended(at(1_500)), seconds(1_100));
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

/// Where all wait for the first, that one alone can tell that the receiver is down; but not that it is refused itself.
#[test]
fn an_endpoint_in_order_opens_by_its_head() {
    let check = |status: Option<u16>, opens: bool| {
        let fault = || Fault::endpoint("f", "f");
        let subject = Subject { order: Order::Endpoint, ..of_item(7) };
        let mut health = healthy();
        for now in 0..70 {
            let result =
                AttemptResult::Refused { status, fault: fault(), retry_after: None, gone: false };
            health = health.after(&result, subject, (&BREAKER, &retry()), at(now), 0.5);
        }
        assert_eq!(health.breaker != Breaker::Closed, opens, "{status:?}");
    };
    for status in [None, Some(500), Some(502), Some(503), Some(429), Some(408)] {
        check(status, true);
    }
    for status in [400, 422, 404, 301] {
        check(Some(status), false);
    }
}

/// What doorbell says of an endpoint moves nothing at that endpoint: no failure and no success counts.
#[test]
fn news_of_an_endpoint_breeds_none_at_it() {
    let about = Subject { is_about_it: true, ..of_item(7) };
    let policies = (&BREAKER, &retry());
    let mut health = healthy();
    for now in 0..500 {
        let other = Subject { item: now, ..about };
        health = health.after(&refused(500, None), other, policies, at(now), 0.5);
    }
    assert_eq!((health.breaker, health.failures), (Breaker::Closed, 0));
    let failing =
        EndpointHealth { failures: 10, told: Some(at(0)), ..suspended(open(1, 60, 0), 1) };
    assert_eq!(failing.after(&accepted(), about, policies, at(70), 0.5), failing);
    let probed = failing.after(&refused(500, None), about, policies, at(70), 0.5);
    assert_eq!((probed.breaker, probed.failures), (open(1, 100, 1), 10));
    let of = |source: &str, key: &str| {
        let item = (&SourceName::new(source), &EntryKey::none(), &ItemKey::new(key));
        Subject::of(item, (&EndpointName::new("agent"), Order::None)).is_about_it
    };
    assert_eq!(
        [of("doorbell", "agent"), of("doorbell", "other"), of("tickets", "agent")],
        [true, false, false]
    );
}

#[test]
fn retry_after_pauses_the_endpoint_within_a_cap() {
    let check = |status: u16, asked: u64, expected: Option<i64>| {
        let health = healthy().after(
            &refused(status, Some(seconds(asked))),
            of_item(1),
            (&BREAKER, &retry()),
            at(100),
            0.5,
        );
        assert_eq!(health.held_until, expected.map(at), "{status} {asked}");
        let admitted = expected.map_or((8, None), |until| (0, Some(at(until))));
        assert_eq!(health.admits(8, at(100)), admitted);
        if let Some(until) = expected {
            assert_eq!(health.admits(8, at(until)), (8, None));
            // Its retry periods stand still meanwhile, and no longer.
            let held = seconds(u64::try_from(until - 100).unwrap());
            assert_eq!(health.suspended(at(until + 50)), held);
        }
    };
    check(429, 30, Some(130));
    check(503, 30, Some(130));
    check(503, 1_000_000, Some(3_700));
    check(429, 0, None);
    check(500, 30, None);
    check(404, 30, None);
    // What was under way meanwhile ends as it ends; the pause stands, and the longest one counts.
    let policies = (&BREAKER, &retry());
    let held = healthy().after(&refused(503, Some(seconds(60))), of_item(1), policies, at(0), 0.5);
    let held = held.after(&refused(503, Some(seconds(10))), of_item(2), policies, at(1), 0.5);
    let held = held.after(&accepted(), of_item(3), policies, at(2), 0.5);
    assert_eq!((held.held_until, held.failures), (Some(at(60)), 0));
    assert_eq!(held.suspended(at(300)), seconds(60));
    assert_eq!(held.resumed(at(30)).admits(8, at(30)), (8, None));
    let after = held.after(&accepted(), of_item(3), policies, at(70), 0.5);
    assert_eq!((after.held_until, after.suspended(at(300))), (None, seconds(60)));
}

#[test]
fn a_pause_lasts_until_its_own_side_ends_it() {
    let (by_hand, in_file) = (healthy().paused(at(10)), healthy().declared(true, at(20)));
    let check = |health: &EndpointHealth, since: Option<i64>| {
        assert_eq!(health.paused_since(), since.map(at));
        let expected = if since.is_some() { (0, None) } else { (8, None) };
        assert_eq!(health.admits(8, at(1_000)), expected);
    };
    check(&by_hand, Some(10));
    check(&in_file, Some(20));
    check(&by_hand.declared(true, at(20)), Some(10));
    check(&by_hand.declared(true, at(20)).resumed(at(30)), Some(20));
    check(&by_hand.declared(true, at(20)).declared(false, at(30)), Some(10));
    check(&by_hand.redeclared(at(30)), Some(10));
    check(&in_file.resumed(at(30)), Some(20));
    check(&in_file.declared(false, at(30)), None);
    check(&by_hand.resumed(at(30)), None);
    assert_eq!(by_hand.resumed(at(30)).suspended(at(99)), seconds(20));
    let twice = by_hand.declared(true, at(20)).paused(at(25)).resumed(at(30));
    assert_eq!(twice.declared(false, at(40)).suspended(at(99)), seconds(30));
}

/// Failing, disabled and back: each is told once, whatever comes between.
#[test]
fn what_becomes_of_an_endpoint_is_told_once() {
    let mut health = healthy();
    let mut told = Vec::new();
    let policies = (&BREAKER, &retry());
    let mut go = |health: &mut EndpointHealth, next: EndpointHealth| {
        told.extend(health.news(&next).map(|news| news.event_type()));
        *health = next;
    };
    for now in 0..200 {
        let next = health.after(&refused(500, None), of_item(now % 3), policies, at(now), 0.5);
        go(&mut health, next);
    }
    // A person's word is no proof: it was told to fail, and is told to be back once it is.
    for now in (200..300).step_by(20) {
        let next = health.resumed(at(now));
        go(&mut health, next);
        for now in now..now + 100 {
            let next = health.after(&refused(500, None), of_item(now % 3), policies, at(now), 0.5);
            go(&mut health, next);
        }
    }
    let next = health.after(&accepted(), of_item(1), policies, at(400), 0.5);
    go(&mut health, next);
    for (now, result) in [(500, accepted()), (600, refused(410, None)), (601, refused(410, None))] {
        let next = health.after(&result, of_item(1), policies, at(now), 0.5);
        go(&mut health, next);
    }
    let next = health.resumed(at(700)).after(&accepted(), of_item(1), policies, at(701), 0.5);
    go(&mut health, next);
    assert_eq!(
        told,
        ["failing", "recovered", "disabled", "recovered"]
            .map(|what| format!("doorbell.endpoint.{what}"))
    );
    assert!(health.is_well());
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
            health = health.after(&result, of_item(lane), (&BREAKER, &retry()), now, 0.5);
            prop_assert_eq!(health.failures, failures);
            let grown = health.suspended(now).checked_sub(before);
            prop_assert!(grown.is_some_and(|grown| grown <= now.since(then)));
            if health.breaker != Breaker::Closed {
                prop_assert!(failures >= BREAKER.failures && health.failing_lane.is_none());
            }
        }
    }
}

#[test]
fn the_outlook_is_what_settling_does() {
    let policy = RetryPolicy {
        backoff: BackoffPolicy::try_new(seconds(5), seconds(60)).unwrap(),
        give_up_after: seconds(1000),
    };
    let health = EndpointHealth { suspended_before: seconds(300), ..EndpointHealth::new(at(0)) };
    let outlook = |attempts, started| Outlook::of(attempts, started, &policy, &health, at(400));
    let expected = |delays: [u64; 6], gives_up: Option<i64>| Outlook {
        delays: delays.map(seconds).to_vec(),
        gives_up: gives_up.map(at),
    };
    assert_eq!(outlook(0, None), expected([5, 10, 20, 40, 60, 60], None));
    let started = Started { at: at(10), suspended: seconds(100) };
    assert_eq!(outlook(3, Some(started)), expected([40, 60, 60, 60, 60, 60], Some(1210)));
}

/// What was written by a clock that was years ahead holds for no longer than it would have by a right one.
#[test]
fn a_clock_that_was_ahead_silences_no_endpoint() {
    const AHEAD: i64 = 70 * 365 * 86_400;
    let open = |since, probe_at| Breaker::Open { since, probe_at, probes: 3 };
    for (breaker, held_until, admits_within) in [
        (open(at(AHEAD), at(AHEAD + 60)), None, 3_600),
        (Breaker::Closed, Some(at(AHEAD + 60)), 3_605),
        (open(at(0), at(30)), None, 30),
        (Breaker::Closed, Some(at(20)), 20),
    ] {
        let written = EndpointHealth {
            breaker,
            held_until,
            failures: 20,
            failing_since: Some(at(AHEAD)),
            suspended_from: Some(at(AHEAD)),
            ..EndpointHealth::new(at(AHEAD))
        };
        let found = written.found(&BREAKER, at(5));
        assert!(found.admits(8, at(5)).0 == 0, "{written:?}");
        assert!(found.admits(8, at(admits_within)).0 > 0, "{written:?}");
        assert_eq!(found.failing_since, Some(at(5)));
    }
}

/// What was under way when its endpoint was paused, and is refused: it waits for longer than it may still be tried, but of that
/// period nothing passes meanwhile.
#[test]
fn a_wait_in_suspension_is_no_part_of_the_period() {
    let policy = RetryPolicy { give_up_after: seconds(60), ..retry() };
    let result = refused(503, Some(seconds(3_600)));
    let going = EndpointHealth::new(at(0));
    for (health, is_kept) in [(going.clone(), false), (going.paused(at(10)), true)] {
        let verdict = settle(claim(3, Some((0, 0))), &result, &policy, &health, at(20), 0.5);
        assert_eq!(matches!(verdict, Verdict::RetryAt(_)), is_kept, "{health:?}: {verdict:?}");
    }
}
