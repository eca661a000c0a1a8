//! Many seeds: played side by side, told in numbers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hour::{Played, play};

/// Seeds of one run, unless `DOORBELL_SIM_SEEDS` says otherwise.
pub(super) const SEEDS: u64 = 200;
/// Seeds of the long run.
pub(super) const SEEDS_OF_LONG_RUN: u64 = 1_000;
/// From so many seeds on, every rare thing must have happened.
pub(super) const SEEDS_FOR_RARE: u64 = 200;
/// A planted bug is found within so many seeds.
pub(super) const SEEDS_FOR_BUG: u64 = 12;
/// Seeds are independent: this many run side by side.
const THREADS: usize = 2;

/// What must happen sometimes, or the seeds prove nothing about it.
pub(super) const RARE: &[&str] = &[
    "attempts",
    "breaker: closed by a probe",
    "breaker: opened",
    "breaker: probe",
    "breaker: still open",
    "conflict",
    "crash",
    "crash: after a commit",
    "crash: before a commit",
    "crash: between acceptance and commit",
    "crash: during a poll",
    "crash: files reopened",
    "deleted",
    "deletion confirmed by a 304",
    "delivered",
    "disabled by 410",
    "doorbell says something itself",
    "edited back",
    "endpoint paused",
    "events",
    "exhausted",
    "fingerprinted anew",
    "held by the brake",
    "held: discarded",
    "held: released",
    "polled by hand",
    "polls",
    "re-created after deletion",
    "rebaselined",
    "receiver: Retry-After",
    "receiver: answer lost",
    "receiver: repeated",
    "redeclared after 410",
    "reload: endpoint added",
    "reload: identity",
    "reload: ignore",
    "reload: interval",
    "reload: source back",
    "reload: source removed",
    "remembered as lost",
    "replayed",
    "reshaped",
    "retried",
    "source: 304",
    "source: 304 unasked",
    "source: Retry-After",
    "source: duplicate key",
    "source: empty list",
    "source: half a list",
    "source: hangs",
    "source: html",
    "source: later page fails",
    "source: missing key",
    "source: repeated page",
    "source: slow",
    "source: truncated",
    "source: wrong shape",
    "start: with another clock",
    "stopped in order",
    "store: attempt refused",
    "store: poll refused",
    "wall clock set",
];

#[expect(clippy::disallowed_methods, reason = "a failing seed is replayed by hand")]
pub(super) fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(super) fn report(played: &Played) -> String {
    let Played { seed, broken, tail, .. } = played;
    format!(
        "seed {seed}: {}\n\nreplay it with: DOORBELL_SIM_SEED={seed} cargo test --lib simulation::two_hundred_seeds\n\n{tail}",
        broken.as_deref().unwrap_or("nothing is broken"),
    )
}

/// Plays seeds side by side; gives what happened in all, or the first that is broken.
pub(super) fn play_all(seeds: u64) -> Result<BTreeMap<&'static str, u64>, String> {
    let next = AtomicU64::new(0);
    let found = Mutex::new((BTreeMap::<&'static str, u64>::new(), Vec::<Played>::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || !found.lock().unwrap().1.is_empty() {
                        return;
                    }
                    let played = play(seed, None);
                    let (rare, broken) = &mut *found.lock().unwrap();
                    for (what, count) in &played.rare {
                        *rare.entry(*what).or_default() += count;
                    }
                    if played.broken.is_some() {
                        broken.push(played);
                    }
                }
            });
        }
    });
    let (rare, broken) = found.into_inner().unwrap();
    match broken.iter().min_by_key(|played| played.seed) {
        Some(played) => Err(report(played)),
        None => Ok(rare),
    }
}
