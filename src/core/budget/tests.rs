//! Budgets are kept, shares are fair, breakers open and close.

mod costs;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

use super::{
    Allowance, Breaker, Gauge, Holder, Ledger, Outage, Passage, Rate, Tally, is_out_of_reach,
};
use crate::core::backoff::BackoffPolicy;
use crate::core::http::{Response, TransportFault};
use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::ORIGIN_FAILURES_MIN;
use crate::core::pacing::Pacing;
use crate::core::schedule::price::Sharers;
use crate::core::schedule::rate::{Found, Rate as Learned};
use crate::core::schedule::{Every, Terms, interval};
use crate::core::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

fn rate(count: u32, period: u64, burst: u32) -> Rate {
    let count = NonZeroU32::new(count).unwrap();
    Rate { count, period: Duration::from_secs(period), burst: NonZeroU32::new(burst) }
}

fn allowance(limit: Vec<Rate>) -> Allowance {
    Allowance { holder: Holder::Api(String::from("a")), limit, concurrency: None }
}

fn backoff() -> BackoffPolicy {
    BackoffPolicy::try_new(Duration::from_secs(1), Duration::from_mins(15)).unwrap()
}

/// When requests go out that are made as early as may be, until `end` milliseconds.
fn greedy(ledger: &mut Ledger, end: i64) -> Vec<i64> {
    let (mut now, mut out, source) = (at(0), Vec::new(), SourceName::new("s"));
    while now <= at(end) {
        let opens = ledger.opens(now);
        if opens > now {
            now = opens;
        } else if ledger.take(&source, now) {
            out.push(now.as_millis());
        } else {
            panic!("what is open can be taken");
        }
    }
    out
}

fn most_in(times: &[i64], window: i64) -> usize {
    let within =
        |from: &i64| times.iter().filter(|at| **at >= *from && **at < from + window).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_written_limit_is_used_at_eighty_per_cent_and_never_crossed() {
    let check = |count: u32, period: u64| {
        let mut ledger = Ledger::new(&allowance(vec![rate(count, period, 0)]), at(0));
        let millis = i64::try_from(period).unwrap() * 1000;
        let out = greedy(&mut ledger, 20 * millis);
        let most = most_in(&out, millis);
        assert!(most <= count as usize, "{count}/{period}s: {most}");
        let planned = f64::from(count) * 0.8 * 20.0;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let ratio = out.len() as f64 / planned;
        assert!((0.93..1.1).contains(&ratio), "{count}/{period}s: {} of {planned}", out.len());
    };
    for (count, period) in
        [(1, 60), (2, 1), (3, 1), (5, 10), (20, 1), (60, 60), (100, 60), (500, 3600)]
    {
        check(count, period);
    }
}

#[test]
fn a_bucket_is_never_fuller_than_it_may_be() {
    let mut ledger = Ledger::new(&allowance(vec![rate(2, 1, 40)]), at(0));
    let mut level = 0.0_f64;
    let mut last = at(0).as_millis();
    for out in greedy(&mut ledger, 120_000) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of two minutes")]
        let passed = (out - last) as f64 / 1000.0;
        level = (level - 2.0 * passed).max(0.0) + 1.0;
        last = out;
        assert!(level <= 40.0, "{level}");
    }
}

#[test]
fn several_windows_all_hold() {
    let mut ledger = Ledger::new(&allowance(vec![rate(100, 60, 0), rate(3, 1, 0)]), at(0));
    let out = greedy(&mut ledger, 180_000);
    assert!(most_in(&out, 60_000) <= 100 && most_in(&out, 1000) <= 3);
    assert!(out.len() >= 220, "{}", out.len());
}

#[test]
fn another_limit_begins_with_nothing_at_hand_and_the_same_goes_on() {
    let source = SourceName::new("s");
    let first = allowance(vec![rate(60, 60, 0)]);
    let mut ledger = Ledger::new(&first, at(0));
    ledger.renew(&first, at(60_000));
    assert!(ledger.take(&source, at(60_000)), "what was at hand still is");
    ledger.renew(&allowance(vec![rate(600, 60, 0)]), at(60_001));
    assert!(ledger.opens(at(60_001)) > at(60_001));
    assert!(ledger.opens(at(60_001)) <= at(60_001).after(Duration::from_millis(130)));
    ledger.renew(&allowance(vec![]), at(60_001));
    assert_eq!((ledger.opens(at(60_001)), ledger.used_ratio(at(60_001))), (at(60_001), None));
}

#[test]
fn a_place_that_is_kept_is_nobody_elses() {
    let mut ledger = Ledger::new(&allowance(vec![rate(20, 60, 0)]), at(0));
    let now = at(30_000);
    assert_eq!(ledger.opens_for_poll(now), now);
    ledger.reserve();
    assert_eq!(ledger.opens_for_poll(now), now, "a burst of two");
    ledger.reserve();
    assert!(ledger.opens_for_poll(now) > now);
    assert_eq!(ledger.opens(now), now, "whoever has a place may take it");
    ledger.release();
    assert_eq!(ledger.opens_for_poll(now), now);
    ledger.set_waiting(true);
    assert!(ledger.opens_for_poll(now) > now, "who waits in the middle of a poll goes first");
}

#[test]
fn who_had_more_than_a_fifth_is_greedy_unless_it_weighs_more() {
    let mut ledger = Ledger::new(&allowance(vec![rate(3600, 1, 0)]), at(0));
    let (noisy, quiet) = (SourceName::new("noisy"), SourceName::new("quiet"));
    for step in 0..100 {
        let source = if step % 2 == 0 { &noisy } else { &SourceName::new(format!("s{step}")) };
        assert!(ledger.take(source, at(1000 + step * 10)));
    }
    assert!(ledger.is_greedy(&noisy, 1.0) && !ledger.is_greedy(&quiet, 1.0));
    assert!(!ledger.is_greedy(&noisy, 4.0));
    assert!(ledger.planned().is_some_and(|rate| (rate - 2880.0).abs() < 1.0));
}

fn answer(status: u16, lines: &str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    Response { status, headers, body: Bytes::new() }
}

fn hear(tally: &mut Tally, status: u16, lines: &str, now: Timestamp) {
    let response = answer(status, lines);
    let pacing = Pacing::of(&response, now);
    tally.hear(&response, &pacing, &backoff(), (now, 1.0));
}

#[test]
fn what_a_server_says_is_left_is_not_exceeded() {
    let seconds = |seconds: i64| at(seconds * 1000);
    let mut tally = Tally::default();
    for _ in 0..3 {
        tally.take(at(0));
    }
    // Two are still under way, and may not be counted yet.
    hear(&mut tally, 200, "x-ratelimit-remaining: 3\nx-ratelimit-reset: 60", at(0));
    assert_eq!(tally.opens(at(1)), at(1));
    tally.take(at(1));
    assert_eq!(tally.opens(at(1)), seconds(60));
    // More than we know of cannot be left in the same window.
    hear(&mut tally, 200, "x-ratelimit-remaining: 9\nx-ratelimit-reset: 59", seconds(1));
    assert_eq!(tally.opens(seconds(1)), seconds(60));
    // The next window: what it allows is not known before the answers that are awaited.
    assert!(tally.opens(seconds(60)) > seconds(60));
    tally.lose();
    assert!(tally.opens(seconds(60)) > seconds(60));
    tally.lose();
    assert_eq!(tally.opens(seconds(60)), seconds(60));
    hear(&mut tally, 200, "x-ratelimit-remaining: 9\nx-ratelimit-reset: 60", seconds(61));
    assert_eq!(tally.opens(seconds(61)), seconds(61));
    assert!(tally.planned(seconds(61)).is_some_and(|rate| rate < 9.0 / 60.0));
    // A wait holds; a shorter one afterwards does not shorten it.
    hear(&mut tally, 429, "retry-after: 30", seconds(62));
    hear(&mut tally, 429, "retry-after: 3", seconds(62));
    assert_eq!(tally.opens(seconds(63)), seconds(92));
    // One for the host or the source is not for the credential.
    let mut tally = Tally::default();
    hear(&mut tally, 503, "retry-after: 30", seconds(0));
    assert_eq!(tally.opens(seconds(1)), seconds(1));
    // Said without a time: by the backoff.
    for (wait, now) in [(1, 0), (2, 1), (4, 3)] {
        hear(&mut tally, 429, "", seconds(now));
        assert_eq!(tally.opens(seconds(now)), seconds(now + wait));
    }
    hear(&mut tally, 200, "x-shopify-shop-api-call-limit: 40/40", seconds(9));
    assert_eq!(tally.opens(seconds(9)), seconds(10));
    hear(&mut tally, 200, "x-shopify-shop-api-call-limit: 10/40", seconds(9));
    assert_eq!(tally.opens(seconds(9)), seconds(9));
}

#[test]
fn an_origin_that_fails_is_asked_by_one_probe_at_a_time() {
    let (one, two) = (UnitName::new("one"), UnitName::new("two"));
    let mut breaker = Breaker::default();
    for _ in 0..2 * ORIGIN_FAILURES_MIN {
        assert!(!breaker.fail(&one, &backoff(), (at(0), 1.0)), "one source backs off by itself");
    }
    assert!(breaker.fail(&two, &backoff(), (at(0), 1.0)));
    let until = at(32_000);
    assert_eq!(breaker.passage(at(1)), Passage::Barred(until));
    assert_eq!(breaker.passage(until), Passage::Probe);
    breaker.probe(&two);
    assert_eq!(breaker.passage(until), Passage::Barred(until));
    // What was under way before says nothing new.
    assert!(!breaker.fail(&one, &backoff(), (until, 1.0)));
    assert!(!breaker.fail(&two, &backoff(), (until, 1.0)));
    assert_eq!(breaker.passage(until), Passage::Barred(at(96_000)));
    assert_eq!(breaker.passage(at(96_000)), Passage::Probe);
    breaker.probe(&one);
    breaker.over(&one);
    assert_eq!(breaker.passage(at(96_000)), Passage::Probe, "the probe asked nothing");
    for round in 0_i64..40 {
        let now = at(100_000 + round * 900_000);
        breaker.probe(&one);
        breaker.fail(&one, &backoff(), (now, 1.0));
        assert_eq!(breaker.passage(now.after(Duration::from_mins(15))), Passage::Probe);
    }
    assert!(breaker.succeed());
    assert_eq!(breaker.passage(at(0)), Passage::Free);
}

#[test]
fn our_own_outage_is_when_what_worked_stops_at_once() {
    let mut outage = Outage::default();
    for host in ["a", "b", "c"] {
        outage.unreached(host, at(0));
    }
    assert!(!outage.is_on(at(0)), "names that never answered may be wrong");
    for host in ["a", "b"] {
        outage.answered(host);
    }
    outage.unreached("a", at(1000));
    outage.unreached("a", at(2000));
    assert!(!outage.is_on(at(2000)), "it is a");
    outage.unreached("b", at(3000));
    assert!(outage.is_on(at(3000)));
    assert!(!outage.is_on(at(600_000)));
    outage.answered("c");
    assert!(!outage.is_on(at(3000)));

    let check =
        |fault: TransportFault, expected: bool| assert_eq!(is_out_of_reach(&fault), expected);
    let detail = |text: &str| String::from(text);
    check(TransportFault::Resolve { host: detail("a"), detail: detail("") }, true);
    check(
        TransportFault::Connect { detail: detail("a: Connection refused (os error 111)") },
        false,
    );
    check(TransportFault::Connect { detail: detail("a: No route to host (os error 113)") }, true);
    check(TransportFault::Timeout { phase: "connecting", after: Duration::ZERO }, true);
    check(TransportFault::Timeout { phase: "reading the body", after: Duration::ZERO }, false);
    check(TransportFault::Cut { detail: detail("") }, false);
}

proptest! {
    #[test]
    fn no_window_is_crossed_whenever_requests_come(
        count in 1_u32..200,
        period in 1_u64..90,
        waits in prop::collection::vec(0_i64..20_000, 1..400),
    ) {
        let mut gauge = Gauge::written(rate(count, period, 0), at(0));
        let (mut now, mut out) = (at(0), Vec::new());
        for wait in waits {
            // Most come at once, some after a pause.
            now = now.max(at(0)).after(Duration::from_millis(u64::try_from(if wait > 19_000 { wait } else { wait % 50 }).unwrap()));
            if gauge.opens(0, now) <= now {
                prop_assert!(gauge.take(now));
                out.push(now.as_millis());
            }
        }
        prop_assert!(most_in(&out, i64::try_from(period).unwrap() * 1000) <= count as usize);
    }
}

/// A source that changes at random moments.
struct Restless {
    per_second: f64,
    rate: Learned,
    last: Timestamp,
    next_change: Timestamp,
    polls: usize,
}

#[test]
fn those_who_share_a_limit_go_by_its_price_and_spend_four_fifths_of_it() {
    let every = Every::Range { min: Duration::from_secs(1), max: Duration::from_hours(24) };
    let mut chance = fastrand::Rng::with_seed(7);
    let mut gap = |per_second: f64| Duration::from_secs_f64(-chance.f64().ln() / per_second);
    // Five change four times as often as the other five.
    let mut sources: Vec<_> = (0..10)
        .map(|number| {
            let per_second = if number < 5 { 16.0 } else { 4.0 } / 86_400.0;
            let (rate, next_change) = (Learned::new(at(0)), at(0).after(gap(per_second)));
            Restless { per_second, rate, last: at(0), next_change, polls: 0 }
        })
        .collect();
    let mut ledger = Ledger::new(&allowance(vec![rate(60, 3600, 0)]), at(0));
    let share = |ledger: &mut Ledger, sources: &[Restless], now: Timestamp| {
        let mut sharers = Sharers::default();
        for source in sources {
            sharers.add(every, 1.0, (Some(source.rate.mean(now)), 1.0));
        }
        ledger.share(sharers, now);
    };
    share(&mut ledger, &sources, at(0));
    let mut due: BTreeSet<_> = (0..10).map(|number| (at(0), number, at(0))).collect();
    let (mut intervals, end) = ([Duration::from_mins(5); 10], at(30 * 86_400_000));
    let mut shared = at(0);
    while let Some((now, number, since)) = due.pop_first().filter(|(now, ..)| *now < end) {
        if now.since(shared) > Duration::from_hours(1) {
            share(&mut ledger, &sources, now);
            shared = now;
        }
        let opens = ledger.opens(now);
        if opens > now {
            due.insert((opens, number, since));
            continue;
        }
        ledger.charge_waiting(now.since(since), intervals[number], now);
        assert!(ledger.take(&SourceName::new(format!("s{number}")), now));
        let source = &mut sources[number];
        let mut changes = Vec::new();
        while source.next_change <= now {
            changes.push(source.next_change);
            source.next_change = source.next_change.after(gap(source.per_second));
        }
        let found = if changes.is_empty() { Found::Nothing } else { Found::ChangesAt(&changes) };
        source.rate.observe(source.last, now, found);
        source.last = now;
        source.polls += usize::from(now >= at(15 * 86_400_000));
        let terms = ledger.terms(1.0, 1.0, now).unwrap();
        intervals[number] = interval(&source.rate, &terms, every, now, 0.5);
        let next = now.after(intervals[number]);
        due.insert((next, number, next));
    }
    let of = |range: std::ops::Range<usize>| {
        sources[range].iter().map(|source| source.polls).sum::<usize>()
    };
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let (busy, calm) = (of(0..5) as f64, of(5..10) as f64);
    let spent = (busy + calm) / (48.0 * 24.0 * 15.0);
    assert!((0.93..1.01).contains(&spent), "{spent} of what is planned");
    // By the fourth part of the rate to the power (1 - 0.55) / 2: 4^0.225 = 1.37.
    assert!((1.15..1.6).contains(&(busy / calm)), "{busy} and {calm}");
}

#[test]
fn a_price_needs_a_limit_and_several_are_paid_together() {
    let mut sharers = Sharers::default();
    sharers.add(Every::Fixed(Duration::from_secs(20)), 1.0, (None, 1.0));
    sharers.add(
        Every::Range { min: Duration::from_secs(1), max: Duration::from_hours(1) },
        1.0,
        (None, 1.0),
    );
    let priced = |count: u32| {
        let mut ledger = Ledger::new(&allowance(vec![rate(count, 60, 0)]), at(0));
        ledger.share(sharers, at(0));
        ledger.terms(1.0, 1.0, at(0)).unwrap()
    };
    let (narrow, wide) = (priced(10), priced(60));
    let theta = |terms: Terms| terms.theta().unwrap();
    assert!(theta(narrow) > theta(wide));
    let both = Terms::Unshared { weight: 1.0 }.and(narrow).and(wide);
    assert!((theta(both) - theta(narrow) - theta(wide)).abs() < 1e-9);
    let mut ledger = Ledger::new(&allowance(vec![rate(10, 60, 0)]), at(0));
    assert_eq!(ledger.terms(1.0, 1.0, at(0)), None, "nobody said who shares it");
    ledger.share(sharers, at(0));
    for second in 0..600 {
        ledger.take(&SourceName::new("s"), at(second * 10_000));
    }
    let before = theta(ledger.terms(1.0, 1.0, at(6_000_000)).unwrap());
    ledger.charge_waiting(Duration::from_hours(1), Duration::from_mins(10), at(6_000_000));
    assert!(theta(ledger.terms(1.0, 1.0, at(6_000_000)).unwrap()) > before, "what waits raises it");
    ledger.renew(&allowance(vec![]), at(6_000_000));
    ledger.share(sharers, at(6_000_000));
    assert_eq!(ledger.terms(1.0, 1.0, at(6_000_000)), None);
}
