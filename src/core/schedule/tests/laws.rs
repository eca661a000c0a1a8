//! The laws that the adaptive schedule keeps, over any history: its formulas where they have a closed form, its bounds
//! with absurd input.

use std::time::Duration;

use proptest::prelude::*;

use crate::core::schedule::price::{self, Price};
use crate::core::schedule::rate::{Found, Rate};
use crate::core::schedule::wait::{Pending, pending, wait};
use crate::core::schedule::{DAY_S, Every, Terms, interval};
use crate::core::time::Timestamp;

/// A Monday, at noon.
const MONDAY_MS: i64 = 1_777_896_000_000;

fn monday(seconds: f64) -> Timestamp {
    Timestamp::from_millis(MONDAY_MS).after(Duration::from_secs_f64(seconds))
}

fn close(found: f64, expected: f64, within: f64) -> bool {
    (found - expected).abs() <= expected.abs() * within
}

#[test]
fn a_constant_rate_gives_the_square_root_rule() {
    // A source without a known change is expected to change at a constant rate.
    let rate = Rate::new(monday(0.0));
    let constant = rate.stretch(monday(0.0), rate.mean(monday(0.0))).rate;
    for need in [0.001, 1.0, 60.0, 3_600.0, 86_400.0] {
        let found = wait(&rate, need, monday(0.0), Duration::from_hours(24 * 365)).as_secs_f64();
        let expected = (2.0 * need / constant).sqrt();
        assert!(close(found, expected, 0.01), "need {need}: {found}, not {expected}");
    }
}

#[test]
fn a_steady_source_is_learned() {
    for (per_day, changes) in [(0.5, 30), (4.0, 240), (24.0, 1_440), (200.0, 12_000)] {
        let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
        let gap = Duration::from_secs_f64(DAY_S / per_day);
        for _ in 0..changes {
            let then = now.after(gap);
            rate.observe(now, then, Found::ChangesAt(&[then]));
            now = then;
        }
        let found = rate.mean(now) * DAY_S;
        assert!(close(found, per_day, 0.12), "{per_day} a day was taken for {found}");
    }
}

#[test]
fn the_changed_bit_alone_is_nearly_enough() {
    // Each poll covers two expected changes; 1 - 1/e² of them see one at least.
    let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
    let mut chance = 0.5_f64;
    for _ in 0..4_000 {
        let then = now.after(Duration::from_mins(30));
        chance = (chance * 997.0 + 0.123).fract();
        let found = if chance < 1.0 - (-2.0_f64).exp() { Found::Changes } else { Found::Nothing };
        rate.observe(now, then, found);
        now = then;
    }
    let found = rate.mean(now) * 900.0;
    assert!((0.8..1.2).contains(&found), "one change in 900 s was taken for {found}");
}

#[test]
fn silence_wears_a_rate_down_and_a_change_brings_it_back() {
    let mut rate = Rate::new(monday(0.0));
    let fresh = rate.mean(monday(0.0)) * DAY_S;
    let week = rate.mean(monday(7.0 * DAY_S)) * DAY_S;
    assert!(close(fresh, 1.0, 1e-9) && close(week, 0.5 / (0.5 + 5.51), 0.01), "{fresh}, {week}");
    rate.observe(monday(0.0), monday(7.0 * DAY_S), Found::ChangesAt(&[monday(7.0 * DAY_S)]));
    assert!(close(rate.mean(monday(7.0 * DAY_S)) * DAY_S, 1.5 / 6.01, 0.01));
}

#[test]
fn office_hours_are_learned_and_nights_are_left_alone() {
    let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
    for day in 0..56 {
        // Days 5 and 6 after a Monday are the weekend.
        for hour in if day % 7 < 5 { -3..5 } else { 0..0 } {
            let at = monday(f64::from(day) * DAY_S + f64::from(hour + 4) * 3_600.0 + 1_000.0);
            rate.observe(now, at, Found::ChangesAt(&[at]));
            now = at;
        }
    }
    let week = rate.week();
    assert!(week[16] > 2.0 && week[3] < 0.5 && week[24 + 12] < 0.5, "{week:.2?}");
    let need = 600.0;
    let by_day = wait(&rate, need, monday(57.1 * DAY_S), Duration::from_hours(24));
    let by_night = wait(&rate, need, monday(57.6 * DAY_S), Duration::from_hours(24));
    assert!(by_night > by_day * 2, "{by_day:?} at noon, {by_night:?} at midnight");
}

#[test]
fn a_burst_is_followed_closely_and_left_again() {
    let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
    for day in 1..20 {
        let at = monday(f64::from(day) * DAY_S);
        rate.observe(now, at, Found::ChangesAt(&[at]));
        now = at;
    }
    let after = |seconds: f64| {
        wait(&rate, 600.0, now.after(Duration::from_secs_f64(seconds)), Duration::from_hours(24))
    };
    let [at_once, hour, half_day] = [0.0, 3_600.0, 43_200.0].map(after);
    assert!(at_once < hour && hour < half_day, "{at_once:?}, {hour:?}, {half_day:?}");
}

#[test]
fn a_robot_is_met_at_its_minute() {
    let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
    for hour in 0..24 * 14 {
        let at = monday(f64::from(hour) * 3_600.0 + 612.0);
        rate.observe(now, at, Found::ChangesAt(&[at]));
        now = at;
    }
    assert_eq!(rate.factors(now).minute.map(|(minute, _)| minute), Some(10));
    // Polled at twenty past, it is due when the next change is, not after half an hour.
    let since = now.after(Duration::from_mins(10));
    let due = since.after(wait(&rate, 90.0, since, Duration::from_hours(24)));
    let late = due.as_seconds().rem_euclid(3_600) - 612;
    assert!((-12..60).contains(&late), "polled {late} s after its minute");
}

#[test]
fn an_import_is_no_habit() {
    let mut rate = Rate::new(monday(0.0));
    let at = vec![monday(DAY_S); 100_000];
    rate.observe(monday(0.0), monday(DAY_S), Found::ChangesAt(&at));
    assert!(rate.mean(monday(DAY_S)) * DAY_S < 20.0);
}

#[test]
fn a_warm_start_knows_what_the_items_tell() {
    let past: Vec<_> = (0..40).map(|day| monday(f64::from(day) * DAY_S / 2.0)).collect();
    let now = monday(20.0 * DAY_S);
    let warm = Rate::warm(now, &past).mean(now) * DAY_S;
    assert!(close(warm, 2.0, 0.1), "two a day were taken for {warm}");
    assert_eq!(Rate::warm(now, &[]), Rate::new(now));
    // A listing that is touched all at once, or dated in the future, says little.
    assert!(Rate::warm(now, &vec![now; 5_000]).mean(now) * DAY_S < 50.0);
    assert!(Rate::warm(now, &[monday(1e9)]).mean(now) * DAY_S < 10.0);
}

#[test]
fn the_fair_price_spends_the_budget() {
    // Sources of constant rates, polled by the square-root rule at the fair price, spend the budget, by its closed form.
    let means = [0.03, 0.5, 3.0, 24.0, 400.0].map(|per_day| per_day / DAY_S);
    let budget = 5.0 / 900.0;
    let theta = price::fair(budget, means.iter().map(|mean| (1.0, *mean)));
    let spent: f64 =
        means.iter().map(|mean| (0.8 * mean / (2.0 * price::need(theta, 1.0, *mean))).sqrt()).sum();
    assert!(close(spent, budget, 1e-6), "{spent}, not {budget}");
    // Four times the weight halves the interval.
    assert!(close(price::need(theta, 4.0, 1e-5) * 4.0, price::need(theta, 1.0, 1e-5), 1e-9));
}

/// Sources that are polled by the square-root rule for `days`; the price began wrong by `factor`. The requests of the
/// last ten days over their budget.
fn spending(factor: f64, days: f64) -> f64 {
    let means = [0.1, 0.5, 1.0, 5.0, 20.0, 60.0].map(|per_day| per_day / DAY_S);
    let budget = 6.0 / 900.0;
    let fair = price::fair(budget, means.iter().map(|mean| (1.0, *mean)));
    let mut price = Price::new(budget, fair * factor, monday(0.0));
    let mut due = means.map(|_| 0.0_f64);
    let mut late = 0.0;
    loop {
        let index = (0..due.len()).min_by(|a, b| due[*a].total_cmp(&due[*b])).unwrap();
        let now = due[index];
        if now > days * DAY_S {
            return late / (budget * 10.0 * DAY_S);
        }
        price.charge(1.0, monday(now));
        late += if now > (days - 10.0) * DAY_S { 1.0 } else { 0.0 };
        let need = price::need(price.theta(monday(now)), 1.0, means[index]);
        due[index] = now + (2.0 * need / means[index]).sqrt();
    }
}

#[test]
fn spending_finds_the_budget_however_wrong_the_first_price_was() {
    for factor in [1.0, 10.0, 0.1, 100.0, 0.01] {
        let found = spending(factor, 40.0);
        assert!(close(found, 1.0, 0.01), "a price wrong by {factor} came to {found} of the budget");
    }
}

#[test]
fn what_costs_nothing_makes_the_price_fall() {
    let mut price = Price::new(0.01, 100.0, monday(0.0));
    let free: Vec<_> = (1..5_i32)
        .map(|day| {
            price.charge(0.0, monday(f64::from(day) * DAY_S));
            price.theta(monday(f64::from(day) * DAY_S))
        })
        .collect();
    assert!(free.is_sorted_by(|a, b| a >= b) && free[0] < 15.0 && free[3] > 0.0, "{free:?}");
}

#[test]
fn without_a_limit_the_bounds_set_the_price() {
    let every = Every::try_new(Duration::from_secs(30), Duration::from_mins(15)).unwrap();
    let next = |rate: &Rate, now: Timestamp| {
        interval(rate, &Terms::Unshared { weight: 1.0 }, every, now, 0.0).as_secs()
    };
    // A new source is looked at closely, then left alone more and more.
    let rate = Rate::new(monday(0.0));
    let ages = [0.0, 30.0, 60.0, 90.0, 200.0, 1_000.0, 86_400.0, 14.0 * DAY_S];
    let found = ages.map(|age| next(&rate, monday(age)));
    assert_eq!((found[0], found[3], found[7]), (30, 45, 900));
    assert!(found.is_sorted() && (200..800).contains(&found[6]), "{found:?}");
    // One that changes every twenty minutes is polled at MIN, one that changes daily in between.
    let steady = |gap_s: f64| {
        let (mut rate, mut now) = (Rate::new(monday(0.0)), monday(0.0));
        while now < monday(14.0 * DAY_S) {
            let then = now.after(Duration::from_secs_f64(gap_s));
            rate.observe(now, then, Found::ChangesAt(&[then]));
            now = then;
        }
        next(&rate, now.after(Duration::from_secs_f64(gap_s * 0.95)))
    };
    let (busy, daily) = (steady(1_200.0), steady(80_000.0));
    assert!(busy <= 60 && (45..400).contains(&daily), "{busy} s, {daily} s");
}

#[test]
fn what_is_kept_is_read_again_and_nothing_else() {
    let mut rate = Rate::new(monday(0.0));
    assert_eq!(Rate::from_bytes(&rate.to_bytes()), Some(rate.clone()));
    let paced = rate.clone().paced(Duration::from_hours(1));
    assert_eq!(Rate::from_bytes(&paced.to_bytes()), Some(paced.clone()));
    assert_ne!(paced, rate);
    for hour in 1..200 {
        let at = monday(f64::from(hour) * 3_600.0 + 601.0);
        rate.observe(monday(0.0), at, Found::ChangesAt(&[at]));
    }
    let bytes = rate.to_bytes();
    assert_eq!(Rate::from_bytes(&bytes), Some(rate));
    assert!(bytes.len() < 700, "{}", bytes.len());
    for cut in 0..bytes.len() {
        // A source that never changed is a sound beginning of one that did.
        let read = Rate::from_bytes(&bytes[..cut]);
        assert!(read.is_none() || cut == 25, "{cut} bytes were read");
    }
    assert_eq!(Rate::from_bytes(&[&bytes[..], &[0]].concat()), None);
    assert_eq!(Rate::from_bytes(&[&[9], &bytes[1..]].concat()), None);
    assert_eq!(Rate::from_bytes(&[1; 681]), None);
}

#[test]
fn nobody_takes_more_than_a_fifth_of_what_many_share() {
    let check = |sources: u32, weight: f64, expected: f64| {
        assert!(close(1.0 / price::interval_min_s(1.0, sources, weight), expected, 1e-9));
    };
    check(1, 1.0, 1.0);
    check(2, 1.0, 2.0 / 3.0);
    check(5, 1.0, 1.0 / 3.0);
    check(6, 1.0, 0.2);
    check(1_000, 1.0, 0.2);
    check(1_000, 3.0, 0.6);
    check(1_000, 50.0, 1.0);
    // Little weight is no reason to be held back twice.
    check(1_000, 0.1, 0.2);
}

/// Numbers that no sane caller hands over, beside those that do happen.
fn absurd() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(f64::MAX),
        0.0..1e9_f64,
        0.0..1.0_f64,
    ]
}

/// Moments that hardly ever happen, beside those that do.
fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        -10_000_000_000_i64..10_000_000_000,
        MONDAY_MS..MONDAY_MS + 10_000_000_000,
    ]
    .prop_map(Timestamp::from_millis)
}

/// A rate with any history, by polls at these moments.
fn rate_of(history: &[(Timestamp, u8)]) -> Rate {
    let born = history.first().map_or(monday(0.0), |(at, _)| *at);
    let (mut rate, mut since) = (Rate::new(born), born);
    for (index, (now, changes)) in history.iter().enumerate() {
        let times: Vec<_> = history
            .iter()
            .map(|(at, _)| *at)
            .cycle()
            .skip(index)
            .take(usize::from(*changes))
            .collect();
        let found = match changes % 3 {
            0 => Found::Nothing,
            1 => Found::Changes,
            _ => Found::ChangesAt(&times),
        };
        rate.observe(since, *now, found);
        since = *now;
    }
    rate
}

proptest! {
    /// Waiting grows with age, and so do the unseen changes, whatever was learned.
    #[test]
    fn waiting_never_shrinks(
        history in proptest::collection::vec((moment(), any::<u8>()), 0..30),
        ages in proptest::collection::vec(0_u64..200_000, 1..12),
    ) {
        let rate = rate_of(&history);
        let mut ages = ages;
        ages.sort_unstable();
        let mut before = Pending::default();
        for age in ages {
            let now = pending(&rate, monday(0.0), Duration::from_secs(age));
            prop_assert!(now.waiting >= before.waiting * (1.0 - 1e-9), "{now:?} after {before:?}");
            prop_assert!(now.unseen >= before.unseen * (1.0 - 1e-9));
            prop_assert!(now.waiting.is_finite() && now.unseen.is_finite());
            before = now;
        }
    }

    /// What `wait` answers is where `pending` reaches the need.
    #[test]
    fn the_poll_comes_when_the_price_is_reached(
        history in proptest::collection::vec((MONDAY_MS - 3_000_000_000..MONDAY_MS, 0_u8..9), 0..30),
        need in 0.1..100_000.0_f64,
    ) {
        let mut history: Vec<_> =
            history.into_iter().map(|(at, changes)| (Timestamp::from_millis(at), changes)).collect();
        history.sort_unstable();
        let rate = rate_of(&history);
        let max = Duration::from_hours(24);
        let age = wait(&rate, need, monday(0.0), max);
        let found = pending(&rate, monday(0.0), age).waiting;
        prop_assert!(age <= max);
        prop_assert!(age == max || close(found, need, 0.01), "{found} at {age:?}, not {need}");
    }

    /// Bounds hold and nothing panics, whatever the numbers and the clock.
    #[test]
    fn bounds_hold_with_absurd_input(
        history in proptest::collection::vec((moment(), any::<u8>()), 0..20),
        (theta, weight, least) in (absurd(), absurd(), absurd()),
        (min, more) in (1_u64..1_000_000_000_000, 0_u64..1_000_000_000_000),
        now in moment(),
    ) {
        let rate = rate_of(&history);
        let every = Every::try_new(Duration::from_millis(min), Duration::from_millis(min + more)).unwrap();
        for terms in [Terms::Shared { theta, weight, cost: 1.0, interval_min_s: least }, Terms::Unshared { weight }] {
            let found = interval(&rate, &terms, every, now, theta);
            prop_assert!(every.min() <= found && found <= every.max(), "{terms:?}: {found:?}");
        }
        prop_assert_eq!(Rate::from_bytes(&rate.to_bytes()), Some(rate.clone()));
        let mean = rate.mean(now);
        prop_assert!(mean.is_finite() && mean > 0.0, "{mean}");
    }

    /// A price stays a number that can be paid, and no clock hour is overspent.
    #[test]
    fn a_price_survives_absurd_input(
        (rate, start) in (absurd(), absurd()),
        charges in proptest::collection::vec((moment(), absurd()), 0..40),
    ) {
        let mut price = Price::new(rate, start, monday(0.0));
        for (now, cost) in charges {
            price.charge(cost, now);
            let theta = price.theta(now);
            prop_assert!(theta.is_finite() && theta > 0.0, "{theta}");
            if let Some(until) = price.stopped_until(1.0, now) {
                prop_assert!(until > now || now.as_millis() > i64::MAX - 3_600_000);
            }
        }
    }

    /// However polls crowd, those that the hard stop lets pass stay below 1.25 times the average in any clock hour.
    #[test]
    fn the_hard_stop_is_never_crossed(
        per_hour in 1.0..200.0_f64,
        steps in proptest::collection::vec(0_u64..120_000, 1..400),
    ) {
        let mut price = Price::new(per_hour / 3_600.0, 10.0, monday(0.0));
        let (mut now, mut hours) = (monday(0.0), std::collections::HashMap::<i64, f64>::new());
        for step in steps {
            now = now.after(Duration::from_millis(step));
            if price.stopped_until(1.0, now).is_none() {
                price.charge(1.0, now);
                *hours.entry(now.as_seconds().div_euclid(3_600)).or_default() += 1.0;
            }
        }
        let most = hours.values().copied().fold(0.0, f64::max);
        prop_assert!(most <= (per_hour * 1.25).max(1.0), "{most} requests in an hour of {per_hour}");
    }
}
