//! The simulation: the real poller and deliverer over a real store, between an API and receivers that are values, in
//! virtual time. One seed is one hour: everything that happens in it – edits, faults, crashes, reloads – is drawn from
//! the seed, so that a seed that fails fails again.
//!
//! | module | is |
//! |---|---|
//! | `plan` | what is declared, and its reloads |
//! | `truth` | what really is at the API |
//! | `api`, `answers`, `watch` | the API: how it misbehaves, what it says, and what polls of it must come to |
//! | `receivers` | the receivers, their faults, and what arrived |
//! | `witness` | the store as the loops see it: fails when it shall, and shows every commit to the books |
//! | `books` | what must hold after every commit |
//! | `stage` | all of that, joined; the virtual clock; the HTTP client |
//! | `process`, `hour` | one life of the process; one simulated hour of lives |
//! | `audit` | what must hold from time to time, and at the end |
//! | `bugs` | faults planted in the ports, to see that the books find them |
//! | `seeds` | many hours side by side |
//! | `outages` | receivers that are away by arrangement, for long or for ever |
//! | `histories` | one listing at a time, without the loops: thousands of histories against a plain model |

mod answers;
mod api;
mod audit;
mod books;
mod bugs;
mod histories;
mod hour;
mod notes;
mod outages;
mod plan;
mod process;
mod receivers;
mod seeds;
mod stage;
mod truth;
mod watch;
mod witness;

use self::bugs::Bug;
use self::hour::play;
use self::seeds::{
    RARE, SEEDS, SEEDS_FOR_BUG, SEEDS_FOR_RARE, SEEDS_OF_LONG_RUN, asked, play_all, report,
};

#[test]
fn two_hundred_seeds() {
    if let Some(seed) = asked("DOORBELL_SIM_SEED") {
        let played = play(seed, None);
        println!("{}", played.trace);
        assert!(played.broken.is_none(), "{}", report(&played));
        return;
    }
    let seeds = asked("DOORBELL_SIM_SEEDS").unwrap_or(SEEDS);
    let rare = play_all(seeds).unwrap_or_else(|broken| panic!("{broken}"));
    let told: Vec<_> = rare.iter().map(|(what, count)| format!("{count:>9} {what}")).collect();
    println!("{seeds} seeds, an hour each:\n{}", told.join("\n"));
    if seeds >= SEEDS_FOR_RARE {
        let never: Vec<_> = RARE.iter().filter(|what| !rare.contains_key(**what)).collect();
        assert!(never.is_empty(), "in {seeds} seeds this never happened: {never:?}");
    }
}

#[test]
#[ignore = "long: minutes"]
fn a_thousand_seeds() {
    if let Err(broken) = play_all(SEEDS_OF_LONG_RUN) {
        panic!("{broken}");
    }
}

#[test]
fn same_seed_same_trace() {
    // The first of them keeps its state in files.
    for seed in [0, 1, 2] {
        let (once, again) = (play(seed, None), play(seed, None));
        let differs = once.trace.lines().zip(again.trace.lines()).find(|(one, two)| one != two);
        assert_eq!(differs, None, "seed {seed}");
        assert!(once.trace == again.trace, "seed {seed}: one trace is longer");
        assert!(once.trace.lines().count() > 1_000, "seed {seed} did next to nothing");
    }
}

#[test]
fn planted_bugs_are_caught() {
    for bug in Bug::ALL {
        let caught =
            (0..SEEDS_FOR_BUG).find_map(|seed| Some((seed, play(seed, Some(bug)).broken?)));
        let Some((seed, how)) = caught else {
            panic!("{bug:?} was not caught in {SEEDS_FOR_BUG} seeds")
        };
        println!("{bug:?}: caught by seed {seed} {how}");
    }
}
