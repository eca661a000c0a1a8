//! How long what happened is kept: events, their deliveries and the attempts at them. What is known of items is no
//! history and stays, but for those that vanished without a word.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::core::time::Timestamp;

/// A clock that is so much ahead of when it was looked at last may be wrong.
const LEAP_MAX: Duration = Duration::from_hours(24);
/// How long it has to stay so until it is believed: a clock that is wrong at the start is set within minutes.
const TRIAL: Duration = Duration::from_hours(1);
/// How often the time that was believed last is kept.
const KEEP_PERIOD: Duration = Duration::from_mins(10);

/// Who forgets what vanished before that forgets nothing.
pub(crate) const NOTHING_FORGOTTEN: Timestamp = Timestamp::from_millis(i64::MIN);

/// What may be kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Since an event was detected, and since the last of its deliveries was settled; since an item vanished that rang no
    /// deletion.
    pub(crate) age_max: Duration,
    /// In the state's file, without what is known of items.
    pub(crate) bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_max: Duration::from_hours(30 * 24), bytes_max: 10 << 30 }
    }
}

/// How many of `count` that take up `used` bytes have to go until the rest takes up `bytes_max`, if they are alike.
pub(crate) fn surplus(count: u64, used: u64, bytes_max: u64) -> usize {
    let over = u128::from(used.saturating_sub(bytes_max));
    let surplus = (over * u128::from(count)).div_ceil(u128::from(used.max(1)));
    usize::try_from(surplus).unwrap_or(usize::MAX)
}

/// The time that ages are counted by. To a clock that is years ahead when the machine starts, everything is old: such a
/// leap is not believed before it has lasted, or else all that waits would be given up before the clock is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reckoning {
    /// The last time that was believed; `None` in a state that has seen none.
    believed: Option<Timestamp>,
    /// The same, as it is kept.
    kept: Option<Timestamp>,
    /// Since when, by the steady clock, it is shown a time too far ahead.
    doubted: Option<Timestamp>,
}

/// What the clocks are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is so late.
    Believed(Timestamp),
    /// The clock is so far ahead of when it was looked at last. Until then nothing is old by it.
    Doubted { ahead: Duration, until: Timestamp },
}

impl Reckoning {
    /// Going on from the time that was kept.
    pub(crate) fn since(kept: Option<Timestamp>) -> Self {
        Self { believed: kept, kept, doubted: None }
    }

    /// Looks at the steady clock and at the wall's. The earlier of them counts: the first cannot be set right, and the
    /// second may be set wrong at any time. Nothing is to be older than `age_max`.
    pub(crate) fn read(
        &mut self,
        (now, wall): (Timestamp, Timestamp),
        age_max: Duration,
    ) -> Reading {
        let shown = now.min(wall);
        let ahead = shown.since(self.believed.unwrap_or(shown));
        let trial = TRIAL.min(age_max);
        let doubted = self.doubted.unwrap_or(now);
        if ahead > LEAP_MAX.min(age_max) && now.since(doubted) < trial {
            self.doubted = Some(doubted);
            return Reading::Doubted { ahead, until: doubted.after(trial) };
        }
        // Also when it is earlier: then that was the leap.
        (self.believed, self.doubted) = (Some(shown), None);
        Reading::Believed(shown)
    }

    /// The time to keep, when it is another than what is kept.
    pub(crate) fn keep(&mut self, age_max: Duration) -> Option<Timestamp> {
        let believed = self.believed?;
        let period = KEEP_PERIOD.min(age_max / 10);
        let is_kept = |kept: Timestamp| kept <= believed && believed.since(kept) < period;
        if self.kept.is_some_and(is_kept) {
            return None;
        }
        self.kept = Some(believed);
        self.kept
    }
}
