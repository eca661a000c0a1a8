//! Where there is room for polls between those that are planned already, so that all of them together come evenly.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// How finely it is looked: a tenth of a second in two minutes.
const SLOTS: usize = 1_200;

/// How much room a stretch of time has left, and where.
#[derive(Debug)]
pub(crate) struct Room {
    window: Duration,
    /// In polls, from the beginning to the end of each slot.
    until: Vec<f64>,
}

impl Room {
    /// The room for `coming` polls in the `window` from now on, in which others are planned after these waits already.
    /// Where many are, there is none.
    pub(crate) fn new(
        window: Duration,
        planned: impl IntoIterator<Item = Duration>,
        coming: usize,
    ) -> Self {
        let mut room = Self { window, until: Vec::new() };
        let mut counts = vec![0_u32; SLOTS];
        for wait in planned {
            if let Some(count) = counts.get_mut(room.slot(wait).0) {
                *count = count.saturating_add(1);
            }
        }
        let level = level(&counts, coming);
        let mut until = 0.0;
        for count in counts {
            until += (level - f64::from(count)).max(0.0);
            room.until.push(until);
        }
        room
    }

    /// How long to wait: going evenly through `0.0..1.0`, `part` goes evenly through the room there is within `window`.
    /// Never longer than that.
    pub(crate) fn wait(&self, part: f64, window: Duration) -> Duration {
        let part = part.clamp(0.0, 1.0);
        let all = self.before(window).max(0.0);
        let wanted = part * all;
        let slot = self.until.partition_point(|until| *until <= wanted);
        let before = self.at_the_end_of(slot.checked_sub(1));
        let Some(until) = self.until.get(slot).filter(|_| all > 0.0) else {
            return window.mul_f64(part);
        };
        let place = (float(slot) + (wanted - before) / (until - before)) / float(SLOTS);
        self.window.mul_f64(place.clamp(0.0, 1.0)).min(window)
    }

    /// The room before a moment, in polls.
    fn before(&self, moment: Duration) -> f64 {
        let (slot, share) = self.slot(moment);
        let before = self.at_the_end_of(slot.checked_sub(1));
        before + share * (self.at_the_end_of(Some(slot)) - before)
    }

    fn at_the_end_of(&self, slot: Option<usize>) -> f64 {
        let known = |slot: usize| self.until.get(slot).or(self.until.last()).copied();
        slot.and_then(known).unwrap_or_default()
    }

    /// The slot that a moment is in, and which part of that slot is before it.
    fn slot(&self, moment: Duration) -> (usize, f64) {
        let (all, whole) = (self.window.as_nanos().max(1), moment.as_nanos());
        let scaled = whole.saturating_mul(SLOTS as u128);
        let rest = Duration::from_nanos(u64::try_from(scaled % all).unwrap_or_default());
        let share = rest.as_secs_f64() / self.window.as_secs_f64();
        (usize::try_from(scaled / all).unwrap_or(usize::MAX), share)
    }
}

/// How high the slots are filled when so many more are added to the emptiest ones.
fn level(counts: &[u32], coming: usize) -> f64 {
    let mut counts = counts.to_vec();
    counts.sort_unstable();
    let (mut sum, mut level) = (float(coming), f64::INFINITY);
    for (many, count) in (1..).zip(counts) {
        if level <= f64::from(count) {
            break;
        }
        sum += f64::from(count);
        level = sum / f64::from(many);
    }
    level
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
