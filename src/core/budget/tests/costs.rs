//! What requests cost, what is left, and what outlasts a restart.

use std::time::Duration;

use proptest::prelude::*;

use super::{allowance, answer, at, backoff, most_in, rate};
use crate::core::budget::{Cost, Free, Gauge, Hold, Holder, Holds, Kept, Ledger, Spent, Tally};
use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::HOLDS_KEPT_MAX;
use crate::core::pacing::Pacing;
use crate::core::schedule::price::Sharers;
use crate::core::schedule::{Every, Stretch};

/// A tally after these answers, one after the other and a second apart: their status and what they say is left until the
/// minute is over. Says which were free.
fn told(answers: &[(u16, Option<u64>)]) -> (Tally, Vec<bool>) {
    let mut tally = Tally::default();
    let mut free = Vec::new();
    for (second, (status, left)) in (0..).zip(answers) {
        let now = at(second * 1000);
        tally.take(now);
        free.push(hear(&mut tally, *status, *left, second).is_some());
    }
    (tally, free)
}

fn hear(tally: &mut Tally, status: u16, left: Option<u64>, second: i64) -> Option<Free> {
    let lines = left.map_or_else(String::new, |left| {
        let reset = 60 - second.rem_euclid(60);
        format!("x-ratelimit-limit: 60\nx-ratelimit-remaining: {left}\nx-ratelimit-reset: {reset}")
    });
    let response = answer(status, &lines);
    let now = at(second * 1000);
    let pacing = Pacing::of(&response, now);
    tally.hear(&response, &pacing, &backoff(), (now, 1.0))
}

#[test]
fn that_304s_are_free_shows_in_figures_alone() {
    let check = |answers: &[(u16, Option<u64>)], expected: bool| {
        assert_eq!(told(answers).1.last(), Some(&expected), "{answers:?}");
    };
    let [full, same] = [200, 304].map(|status| move |left: u64| (status, Some(left)));
    check(&[full(59), full(58), same(58), same(58), same(58)], true);
    check(&[full(59), full(58), same(58), same(58)], false);
    check(&[full(59), same(59), same(59), same(59), full(58), same(58)], true);
    // Nobody saw that anything costs anything.
    check(&[full(59), same(59), same(59), same(59), same(59)], false);
    // They are charged, or somebody else asks too: whoever it is, it is not free for now.
    check(&[full(59), full(58), same(57), same(56), same(55), same(54)], false);
    check(&[full(59), full(58), same(58), same(58), same(58), same(57), same(57)], false);
    // A bucket that leaks.
    check(&[full(59), full(58), full(58), same(58), same(58), same(58)], false);
    check(&[full(59), full(58), same(59), same(59), same(59), same(59)], false);
    // Figures are missing, or of a failure that may have been counted.
    check(&[full(59), full(58), (304, None), same(58), (304, None), same(58), same(58)], true);
    check(&[full(59), full(58), same(58), (500, Some(58)), same(58), same(58)], true);
    check(&[full(59), full(58), same(58), (500, Some(57)), same(57)], false);
    // A refusal ends it.
    check(&[full(59), full(58), same(58), same(58), same(58), (429, Some(58)), same(58)], false);
}

#[test]
fn what_is_under_way_proves_nothing() {
    let (mut tally, _) = told(&[(200, Some(59)), (200, Some(58))]);
    for second in 2..20 {
        // There is always one more on its way.
        tally.take(at(second * 1000));
        tally.take(at(second * 1000));
        assert_eq!(hear(&mut tally, 304, Some(58), second), None);
    }
}

#[test]
fn what_is_free_leaves_as_much_as_there_was() {
    let (mut tally, _) = told(&[(200, Some(59)), (200, Some(58)), (304, Some(58))]);
    // Until it is known, each one counts; then the server's word does.
    assert_eq!(tally.left(at(2000)).map(|(left, _)| left), Some(57));
    for second in 3..50 {
        tally.take(at(second * 1000));
        hear(&mut tally, 304, Some(58), second);
    }
    assert_eq!(tally.left(at(49_000)).map(|(left, _)| left), Some(58));
    let free = hear(&mut tally, 304, Some(58), 50).unwrap();
    assert_eq!((free.limit, free.window), (Some(60), Duration::from_mins(1)));
}

#[test]
fn figures_are_of_windows_like_the_servers() {
    let check = |count: u32, period: u64, limit: Option<u64>, window: u64, expected: bool| {
        let gauge = Gauge::written(rate(count, period, 0), at(0));
        let free = Free { limit, window: Duration::from_secs(window) };
        assert_eq!(gauge.is_meant_by(&free), expected, "{count}/{period}s, {free:?}");
    };
    check(5000, 3600, Some(5000), 3599, true);
    check(3000, 3600, Some(5000), 3599, true);
    check(5000, 3600, None, 3601, true);
    // A window within it, a courtesy, or the limit of somebody else.
    check(20, 1, Some(5000), 3599, false);
    check(60, 60, None, 3599, false);
    check(100, 3600, Some(5000), 3599, false);
    check(9000, 3600, Some(5000), 3599, false);
}

#[test]
fn what_is_free_is_given_back_to_the_price_and_the_windows_it_is_of() {
    let mut sharers = Sharers::default();
    sharers.add(Every::Fixed(Duration::from_mins(1)), 1.0, (None, 1.0));
    let source = SourceName::new("s");
    let theta = |limits: Vec<super::Rate>, free: Option<Free>| {
        let mut ledger = Ledger::new(&allowance(limits), at(0));
        ledger.share(sharers, at(0));
        for second in 1..100 {
            let now = at(second * 10_000);
            assert!(ledger.take(&source, now));
            if let Some(free) = &free {
                ledger.give_back(&source, free, (now, now));
            }
        }
        let now = at(1_000_000);
        (ledger.terms(1.0, 1.0, now).unwrap().theta().unwrap(), ledger.used_ratio(now).unwrap())
    };
    let hour = || vec![rate(3600, 3600, 0)];
    let free = Some(Free { limit: Some(3600), window: Duration::from_hours(1) });
    let (charged, used) = theta(hour(), None);
    let (given_back, unused) = theta(hour(), free);
    assert!(given_back < charged && unused < 1e-9 && used > 0.01, "{given_back} {charged}");
    // Nor is it for a narrower window that somebody wrote by themselves.
    let both = || vec![rate(3600, 3600, 0), rate(30, 60, 0)];
    assert_eq!(theta(both(), free).0.to_bits(), theta(both(), None).0.to_bits());
}

#[test]
fn a_poll_is_planned_at_what_it_costs() {
    let mut cost = Cost::default();
    assert!(cost.is_plain());
    for _ in 0..20 {
        cost = cost.with(5);
    }
    assert!((cost.expected() - 5.0).abs() < 0.02 && !cost.is_plain());
    for _ in 0..40 {
        cost = cost.with(0);
    }
    assert!((cost.expected() - 0.05).abs() < 1e-9, "nothing is for nothing");
    let mut ledger = Ledger::new(&allowance(vec![rate(60, 60, 0)]), at(0));
    let mut sharers = Sharers::default();
    let every = Every::Range { min: Duration::from_secs(1), max: Duration::from_hours(1) };
    sharers.add(every, 1.0, (None, 1.0));
    ledger.share(sharers, at(0));
    let need = |cost: f64| ledger.terms(1.0, cost, at(0)).unwrap().need(1e-5, every);
    assert!((need(4.0) / need(1.0) - 4.0).abs() < 1e-9);
}

#[test]
fn what_is_left_is_spread_over_those_who_ask() {
    let every = Every::Range { min: Duration::from_secs(1), max: Duration::from_hours(1) };
    let fixed = Every::Fixed(Duration::from_secs(10));
    let plan = |tally: &mut Tally, unit: &str, every: Every, seconds: u64| {
        let planned = (every, Some(Duration::from_secs(seconds)), 1.0);
        tally.stretch(&UnitName::new(unit), planned, at(0)).map(|it| it.factor)
    };
    let mut tally = Tally::default();
    assert_eq!(plan(&mut tally, "a", every, 1), None, "nothing was said");
    tally.take(at(0));
    hear(&mut tally, 200, Some(30), 0);
    // Four fifths of thirty in a minute are 0.4 a second.
    assert_eq!(plan(&mut tally, "a", every, 10), None);
    assert_eq!(plan(&mut tally, "fixed", fixed, 10), None);
    let both = plan(&mut tally, "b", every, 2).unwrap();
    assert!((both - 0.6 / 0.3).abs() < 1e-9, "{both}");
    // A plan in the place of an earlier one, and one that is no more.
    assert_eq!(plan(&mut tally, "b", every, 100), None);
    plan(&mut tally, "b", every, 2);
    tally.retain(|unit| *unit != UnitName::new("b"));
    assert_eq!(tally.tightness(at(0)), None);
}

#[test]
fn what_does_not_last_is_planned_beyond_the_window_at_its_rate() {
    let check = |(factor, after): (f64, f64), interval: u64, expected: f64| {
        let stretch = Stretch { factor, after, until: at(60_000) };
        let found = stretch.floor(Duration::from_secs(interval), at(0)).since(at(0)).as_secs_f64();
        assert!((found - expected).abs() < 0.002, "{factor} {after} {interval}: {found}");
    };
    check((3.0, 2.0), 10, 30.0);
    check((3.0, 2.0), 20, 60.0);
    // Twenty of the forty seconds are over with the window, and the rest takes twice as long.
    check((3.0, 2.0), 40, 100.0);
    check((3.0, 1.0), 40, 80.0);
    // Nothing is left at all.
    check((f64::INFINITY, 2.0), 10, 80.0);
    check((1e300, 1.0), 0, 0.0);
}

#[test]
fn a_slow_window_goes_on_after_a_restart_and_a_fast_one_begins_empty() {
    let source = SourceName::new("s");
    let slow = allowance(vec![rate(10, 3600, 0), rate(100, 60, 0)]);
    let mut ledger = Ledger::new(&slow, at(0));
    assert!(ledger.is_slow());
    let first = ledger.opens(at(0));
    assert!(ledger.take(&source, first));
    let kept = ledger.kept(first).unwrap();
    let again = Kept::from_bytes(&Kept::Spent(kept.clone()).to_bytes());
    assert_eq!(again, Some(Kept::Spent(kept.clone())));
    // 8 an hour are 450 s apart.
    let next = first.after(Duration::from_secs(450));
    for minutes in [0, 1, 5, 7] {
        let now = first.after(Duration::from_mins(minutes));
        let opens = Ledger::resumed(&slow, &kept, now).opens(now);
        assert!(opens >= next && opens <= next.after(Duration::from_millis(1)), "{opens}");
    }
    let late = next.after(Duration::from_mins(1));
    assert!(Ledger::resumed(&slow, &kept, late).opens(late) <= late.after(Duration::from_secs(1)));
    // The clock was set back, or another limit was written meanwhile.
    let early = at(-3_600_000);
    let opens = Ledger::resumed(&slow, &kept, early).opens(early);
    assert!(opens >= early.after(Duration::from_secs(450)) && opens < first);
    let other = allowance(vec![rate(20, 3600, 0)]);
    assert!(
        Ledger::resumed(&other, &kept, late).opens(late) >= late.after(Duration::from_secs(225))
    );
    assert_eq!(Ledger::new(&allowance(vec![]), at(0)).kept(at(0)), None);
}

#[test]
fn what_was_overspent_is_made_up_for_after_a_restart_and_what_was_saved_is_not_saved_on() {
    let mut sharers = Sharers::default();
    sharers.add(Every::Fixed(Duration::from_mins(1)), 1.0, (None, 1.0));
    let limit = allowance(vec![rate(3600, 3600, 0)]);
    let theta =
        |ledger: &Ledger, millis: i64| ledger.terms(1.0, 1.0, at(millis)).unwrap().theta().unwrap();
    let check = |overdraft_s: f64, hours: i64, expected_s: f64| {
        let kept = Spent { at: at(0), overdraft_s, windows: Vec::new() };
        let now = at(hours * 3_600_000);
        let mut ledger = Ledger::resumed(&limit, &kept, now);
        let mut fresh = Ledger::new(&limit, now);
        ledger.share(sharers, now);
        fresh.share(sharers, now);
        let millis = hours * 3_600_000;
        let found = (theta(&ledger, millis) / theta(&fresh, millis)).ln() / 2.0 * 86_400.0;
        assert!((found - expected_s).abs() < 1.0, "{overdraft_s} s, {hours} h later: {found}");
        assert!((ledger.kept(now).unwrap().overdraft_s - expected_s).abs() < 1.0);
    };
    check(7_200.0, 0, 7_200.0);
    check(7_200.0, 1, 3_600.0);
    check(7_200.0, 9, 0.0);
    check(-7_200.0, 9, -7_200.0);
    check(1e12, 0, 3.0 * 86_400.0);
}

#[test]
fn nothing_else_is_taken_for_what_was_kept() {
    let spent = Ledger::new(&allowance(vec![rate(3, 60, 9)]), at(0)).kept(at(5)).unwrap();
    let kept = Kept::Spent(spent);
    let bytes = kept.to_bytes();
    assert_eq!(Kept::from_bytes(&bytes), Some(kept));
    for cut in 0..bytes.len() {
        assert!(Kept::from_bytes(&bytes[..cut]).is_none() || cut == 17, "{cut}");
    }
    assert_eq!(Kept::from_bytes(&[&[9], &bytes[1..]].concat()), None);
    let hold = |origin: &str, credential, millis| Hold {
        origin: origin.to_owned(),
        credential,
        until: at(millis),
    };
    let holds = vec![hold("https://é.example:8443", Some(u32::MAX), -1), hold("", None, 9)];
    let kept = Kept::Holds(holds);
    let bytes = kept.to_bytes();
    assert_eq!(Kept::from_bytes(&bytes), Some(kept));
    for cut in 0..bytes.len() {
        // Behind the first, nothing is missing.
        let is_whole = cut == 1 || cut == bytes.len() - 15;
        assert_eq!(Kept::from_bytes(&bytes[..cut]).is_some(), is_whole, "{cut}");
    }
    assert_eq!(
        Kept::from_bytes(&Kept::Holds(Vec::new()).to_bytes()),
        Some(Kept::Holds(Vec::new()))
    );
    let holders =
        [Holder::Api(String::from("a b")), Holder::Source(SourceName::new("c")), Holder::Servers];
    for holder in holders {
        assert_eq!(Holder::from_text(&holder.to_text()), Some(holder));
    }
    assert_eq!((Holder::from_text("api"), Holder::from_text("x y")), (None, None));
}

#[test]
fn whom_servers_asked_for_peace_is_known_within_bounds_and_until_it_is_over() {
    let until = |holds: &mut Holds, now: i64| match holds.take(at(now)) {
        Some(Kept::Holds(kept)) => {
            Some(kept.iter().map(|hold| hold.until.as_millis() - at(0).as_millis()).collect())
        }
        other => other.map(|_| Vec::new()),
    };
    let (a, all) = (("https://a", Some(1)), ("https://a", None));
    let mut holds = Holds::default();
    assert!(!holds.is_changed());
    // Too short.
    holds.note(a, at(4_999), at(0));
    assert_eq!(until(&mut holds, 0), None);
    holds.note(a, at(60_000), at(0));
    holds.note(all, at(30_000), at(0));
    assert!(holds.is_changed());
    assert_eq!(until(&mut holds, 0), Some(vec![30_000, 60_000]));
    // The same once more, told a little later.
    holds.note(a, at(60_900), at(900));
    assert_eq!(until(&mut holds, 900), None);
    // There is more after all.
    holds.note(a, at(1_000), at(1_000));
    assert_eq!(until(&mut holds, 1_000), Some(vec![30_000]));
    // What is past is forgotten with the next.
    holds.note(a, at(90_000), at(31_000));
    assert_eq!(until(&mut holds, 31_000), Some(vec![90_000]));
    for number in 0..2_000 {
        let credential = u32::try_from(number % 1_500).unwrap();
        holds.note(("https://b", Some(credential)), at(100_000 + number * 3_000), at(32_000));
    }
    let kept: Vec<i64> = until(&mut holds, 32_000).unwrap();
    assert_eq!(kept.len(), HOLDS_KEPT_MAX);
    assert!(kept.iter().min() >= Some(&1_000_000), "{:?}", kept.iter().min());
}

proptest! {
    /// However answers that cost nothing and those that cost one follow each other, the latter cross no window.
    #[test]
    fn what_is_given_back_crosses_no_window(
        count in 2_u32..200,
        period in 1_u64..90,
        steps in prop::collection::vec((0_i64..3_000, 0_i64..2_000, any::<bool>()), 1..400),
    ) {
        let mut gauge = Gauge::written(rate(count, period, 0), at(0));
        let (mut now, mut charged, mut under_way) = (at(0), Vec::new(), Vec::new());
        for (wait, took, is_free) in steps {
            now = now.after(Duration::from_millis(u64::try_from(wait % 60).unwrap()));
            under_way.retain(|(paid, ends, is_free)| {
                if *ends <= now && *is_free {
                    gauge.give_back(*paid, now);
                }
                *ends > now
            });
            let opens = gauge.opens(0, now);
            prop_assert!(opens > now || gauge.take(now), "what is open can be taken");
            if opens <= now {
                // Few are on their way for as long as a window lasts.
                let ends = now.after(Duration::from_millis(u64::try_from(took % 100).unwrap()));
                under_way.push((now, ends, is_free));
                if !is_free {
                    charged.push(now.as_millis());
                }
            }
        }
        let most = most_in(&charged, i64::try_from(period).unwrap() * 1000);
        prop_assert!(most <= count as usize, "{most}");
    }

    /// The same where one permit is all that is ever at hand, with answers that take longer than it takes for the next one:
    /// those that cost something stay as far apart as without the others.
    #[test]
    fn what_is_given_back_to_a_window_of_one_brings_none_closer(
        (count, burst) in prop_oneof![(1_u32..20, Just(0)), (20_u32..200, Just(1))],
        period in 1_u64..90,
        steps in prop::collection::vec((0.0..1.5, 0.0..2.5, any::<bool>()), 1..200),
    ) {
        let mut gauge = Gauge::written(rate(count, period, burst), at(0));
        let spacing = Duration::from_secs_f64(1.0 / gauge.planned());
        let (mut now, mut charged, mut under_way) = (at(0), Vec::new(), Vec::new());
        for (wait, took, is_free) in steps {
            now = now.after(spacing.mul_f64(wait));
            under_way.retain(|(paid, ends, is_free)| {
                if *ends <= now && *is_free {
                    gauge.give_back(*paid, now);
                }
                *ends > now
            });
            let opens = gauge.opens(0, now);
            prop_assert!(opens > now || gauge.take(now), "what is open can be taken");
            if opens <= now {
                under_way.push((now, now.after(spacing.mul_f64(took)), is_free));
                if !is_free {
                    charged.push(now.as_millis());
                }
            }
        }
        for pair in charged.windows(2) {
            let apart = Duration::from_millis(u64::try_from(pair[1] - pair[0]).unwrap());
            prop_assert!(apart + Duration::from_micros(1) >= spacing, "{apart:?} are less than {spacing:?}");
        }
        let most = most_in(&charged, i64::try_from(period).unwrap() * 1000);
        prop_assert!(most <= count as usize, "{most}");
    }
}

#[test]
fn a_window_of_one_gets_it_back_unless_it_was_used_since() {
    // One in two and a half seconds.
    let mut gauge = Gauge::drained(rate(1, 2, 0), at(0));
    let opens = |gauge: &Gauge, millis: i64| {
        let opens = gauge.opens(0, at(millis)).as_millis() - at(0).as_millis();
        opens.max(millis)
    };
    assert_eq!(opens(&gauge, 0), 2_501);
    // As often as it costs nothing, and as if it had never been.
    for millis in [2_501, 2_600, 2_700] {
        assert!(gauge.take(at(millis)));
        assert_eq!(opens(&gauge, millis), millis + 2_501);
        gauge.give_back(at(millis), at(millis + 50));
        assert_eq!(opens(&gauge, millis + 50), millis + 50);
        assert!(gauge.used_ratio(at(millis + 50)) < 0.1);
    }
    // The next one was taken before the answer came.
    assert!(gauge.take(at(3_000)) && gauge.take(at(5_501)));
    gauge.give_back(at(3_000), at(6_000));
    assert_eq!(opens(&gauge, 6_000), 5_501 + 2_501);
    gauge.give_back(at(5_501), at(6_100));
    assert_eq!(opens(&gauge, 6_100), 6_100);
    assert!(gauge.take(at(6_100)) && !gauge.take(at(6_100)));
}
