//! doorbell's own schedule over a trace, in virtual time: the same code as in the daemon, from a cold start, all sources
//! under one budget, each poll seeing the times of the changes that it finds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::core::schedule::price::{self, Price};
use crate::core::schedule::rate::{Found, Rate};
use crate::core::schedule::{Every, Terms, interval};
use crate::core::time::Timestamp;

use super::figures::Tally;
use super::{INTERVAL_MAX, INTERVAL_MIN, Span, Trace};

/// A source while it is replayed.
struct Watched<'trace> {
    /// Changes that no poll has seen yet.
    unseen: &'trace [Timestamp],
    rate: Rate,
    last_poll: Timestamp,
}

impl<'trace> Watched<'trace> {
    /// The changes up to `now`, which are seen from then on.
    fn see(&mut self, now: Timestamp) -> &'trace [Timestamp] {
        let count = self.unseen.partition_point(|at| *at <= now);
        let (seen, unseen) = self.unseen.split_at_checked(count).unwrap_or_default();
        self.unseen = unseen;
        seen
    }
}

/// Replays a trace at `budget` requests a second on average.
pub(crate) fn replay(trace: &Trace, span: Span, budget: f64) -> Tally {
    let bounds = Every::Range { min: INTERVAL_MIN, max: INTERVAL_MAX };
    let count = u32::try_from(trace.sources.len()).unwrap_or(u32::MAX);
    let mut tally = Tally::new(trace.sources.len(), span);
    let mut watched: Vec<_> =
        trace.sources.iter().map(|changes| cold(changes, span.from)).collect();
    let means = watched.iter().map(|source| (1.0, source.rate.mean(span.from)));
    let mut price = Price::new(budget, price::fair(budget, means), span.from);
    let mut due = first_polls(watched.len(), count, budget, span.from);
    while let Some(Reverse((now, index))) = due.pop() {
        let Some(source) = watched.get_mut(index) else { continue };
        if now >= span.to {
            tally.see(index, source.unseen, now);
            continue;
        }
        if let Some(until) = price.stopped_until(1.0, now) {
            due.push(Reverse((until, index)));
            continue;
        }
        price.charge(1.0, now);
        tally.request(now);
        let seen = source.see(now);
        tally.see(index, seen, now);
        let found = if seen.is_empty() { Found::Nothing } else { Found::ChangesAt(seen) };
        source.rate.observe(source.last_poll, now, found);
        source.last_poll = now;
        let terms = Terms::of(&price, count, (1.0, 1.0), now);
        due.push(Reverse((now.after(interval(&source.rate, &terms, bounds, now, 0.0)), index)));
    }
    tally
}

fn cold(changes: &[Timestamp], from: Timestamp) -> Watched<'_> {
    Watched { unseen: changes, rate: Rate::new(from), last_poll: from }
}

/// What first polls are spread over at least.
const FIRST_POLLS_MIN: Duration = Duration::from_secs(5);

/// One after the other, over a minute or the time that the budget needs for them, whichever is less.
fn first_polls(
    sources: usize,
    count: u32,
    budget: f64,
    from: Timestamp,
) -> BinaryHeap<Reverse<(Timestamp, usize)>> {
    let needed = Duration::try_from_secs_f64(f64::from(count) / budget).unwrap_or(Duration::MAX);
    let step = needed.min(Duration::from_mins(1)).max(FIRST_POLLS_MIN) / count.max(1);
    let at =
        |index: usize| from.after(step.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX)));
    (0..sources).map(|index| Reverse((at(index), index))).collect()
}
