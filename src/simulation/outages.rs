//! Outages that are staged and not drawn: one receiver of a hundred that hangs for ever, and one that is down for an hour.
//! All that must hold in a simulated hour must hold here as well.

use super::hour::{Hour, Played, play_staged};
use super::receivers::Receiver;
use super::seeds::report;
use super::stage::World;

const MINUTE_MS: u64 = 60_000;

/// The 99th percentile.
fn p99(mut delays: Vec<u64>) -> u64 {
    delays.sort_unstable();
    delays[delays.len() * 99 / 100]
}

/// A hundred endpoints that want everything, beside those that were drawn.
fn crowd(world: &mut World) {
    let like = world.plan.endpoints["main"].clone();
    for number in 0..100 {
        let name: &'static str = Box::leak(format!("crowd{number}").into_boxed_str());
        let endpoint = super::plan::EndpointPlan { name, ..like.clone() };
        world.plan.endpoints.insert(name, endpoint);
        world.receivers.all.insert(name, Receiver::new());
    }
}

/// From commit to arrival at all receivers but the first of the crowd, which may hang.
fn others_p99(seed: u64, hangs: bool) -> u64 {
    let mut found = 0;
    let arrange = |hour: &mut Hour| {
        hour.quieten(3 * MINUTE_MS);
        let world = &mut *hour.stage.world();
        crowd(world);
        if hangs {
            world.receivers.all.get_mut("crowd0").unwrap().hang(0..3 * MINUTE_MS);
        }
    };
    let played = play_staged(seed, None, arrange, |world| {
        let others = world.receivers.all.iter().filter(|(name, _)| **name != "crowd0");
        let delays: Vec<_> = others.flat_map(|(_, other)| other.delays.iter().copied()).collect();
        assert!(delays.len() > 1_000, "{} arrivals", delays.len());
        found = p99(delays);
    });
    assert!(played.broken.is_none(), "{}", report(&played));
    found
}

#[test]
fn one_hung_of_a_hundred_receivers_delays_no_other() {
    let (alone, beside) = (others_p99(3, false), others_p99(3, true));
    println!("p99 from commit to arrival: {alone} ms without, {beside} ms with one that hangs");
    assert!(beside * 10 <= alone * 12, "{alone} ms became {beside} ms");
}

fn dead_for_an_hour(seed: u64) -> Played {
    let arrange = |hour: &mut Hour| {
        hour.quieten(75 * MINUTE_MS);
        let world = &mut *hour.stage.world();
        for name in ["main", "audit"] {
            let down = 5 * MINUTE_MS..65 * MINUTE_MS;
            world.receivers.all.get_mut(name).unwrap().go_down(down);
        }
    };
    play_staged(seed, None, arrange, |world| {
        for name in ["main", "audit"] {
            let receiver = &world.receivers.all[name];
            assert!(receiver.caught_up > 0, "{name}: nothing waited");
            assert!(receiver.caught_up < 8 * MINUTE_MS, "{name}: {} ms", receiver.caught_up);
        }
    })
}

/// Retries are given up after minutes, and the outage lasts an hour: nothing is given up, all of it comes in order, soon
/// after the receiver is back. One of the two sends everything in one order.
#[test]
fn a_receiver_that_is_dead_for_an_hour_gets_everything_when_it_is_back() {
    for seed in [1, 2] {
        let played = dead_for_an_hour(seed);
        assert!(played.broken.is_none(), "{}", report(&played));
        assert_eq!(played.rare.get("exhausted"), None);
        assert!(played.rare.contains_key("breaker: closed by a probe"));
        assert!(played.rare.contains_key("doorbell says something itself"));
    }
}
