//! What is written down of a run: its trace, the rare things that happened, the first broken promise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The record of one seed.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Milliseconds since the hour began.
    pub(super) now: u64,
    /// The wall clock, in milliseconds since the epoch.
    pub(super) wall: i64,
    /// When an API refused somebody last: others whom it serves may wait for that too, in the middle of a poll.
    pub(super) refused: Option<u64>,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    pub(super) trace: String,
    pub(super) rare: BTreeMap<&'static str, u64>,
    pub(super) broken: Option<String>,
}

impl Notes {
    /// Adds a line to the trace.
    pub(super) fn line(&mut self, line: &str) {
        writeln!(self.trace, "{:>9} {line}", self.now).unwrap();
    }

    /// Counts something that must happen sometimes.
    pub(super) fn sometimes(&mut self, what: &'static str) {
        *self.rare.entry(what).or_default() += 1;
    }

    /// Counts more of it.
    pub(super) fn add(&mut self, what: &'static str, count: u64) {
        *self.rare.entry(what).or_default() += count;
    }

    /// A promise does not hold. The first one is kept.
    pub(super) fn broken(&mut self, promise: &str, how: &str) {
        self.line(&format!("BROKEN {promise}: {how}"));
        if self.broken.is_none() {
            self.broken = Some(format!("at {} ms: {promise}: {how}", self.now));
        }
    }

    /// Checks a promise; `how` says how it is broken.
    pub(super) fn hold(&mut self, holds: bool, promise: &str, how: impl FnOnce() -> String) {
        if !holds {
            self.broken(promise, &how());
        }
    }

    /// The last lines of the trace.
    pub(super) fn tail(&self, lines: usize) -> String {
        let all: Vec<_> = self.trace.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
