//! One window of a limit, kept by governor (the generic cell rate algorithm, ITU-T I.371). Time is an argument: its clock
//! is told what time it is.

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::{Free, KeptWindow, Rate};
use crate::core::time::Timestamp;

/// Of a written limit, this part is planned with, per cent.
const PLANNED_PERCENT: u32 = 80;
/// This part may go out at once, per cent of a window without a burst of its own. With [`PLANNED_PERCENT`] it leaves a
/// tenth for requests that are longer on their way than those after them.
const BURST_PERCENT: u32 = 10;
/// The same of a written burst.
const WRITTEN_BURST_PERCENT: u32 = 90;
/// This part of a rate is used where nobody else spends of it, per cent.
const SMOOTH_PERCENT: f64 = 95.0;
/// What comes due within so little time may go out at once: clocks and timers tell no less apart than a millisecond.
const MOMENT: Duration = Duration::from_millis(20);
/// A window that gives a permit less often than this keeps its first one when it begins: a start must not wait for it.
const PATIENCE_AT_START: Duration = Duration::from_secs(10);
/// How far two clocks may be apart in how long a window is.
const SLACK: Duration = Duration::from_secs(2);

/// A time that was told, in nanoseconds since the limiter was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Told(u64);

impl Add<Nanos> for Told {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for Told {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

#[derive(Debug, Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    type Instant = Told;

    fn now(&self) -> Told {
        Told(self.0.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Hands, StateInformationMiddleware>;

/// A window with what was taken of it.
pub(crate) struct Gauge {
    rate: Rate,
    limiter: Limiter,
    hands: Hands,
    /// When the limiter was made.
    began: Timestamp,
    /// How far apart permits come once the burst is used up.
    spacing: Duration,
    burst: u32,
    /// When a permit was last taken, and how many were left at once then: governor tells no more.
    taken: (Timestamp, u32),
    /// Permits of requests that cost nothing after all. With those that governor has they are never more than the burst.
    returned: u32,
    /// Requests of about the last period, fading with its length, as of `faded`.
    used: f64,
    faded: Timestamp,
}

impl Gauge {
    /// Keeps a written rate: below it in any window. Begins with nothing at hand, because what was asked before is not
    /// known.
    pub(crate) fn written(rate: Rate, now: Timestamp) -> Self {
        let spacing = rate.period.mul_f64(100.0 / f64::from(rate.count.get() * PLANNED_PERCENT));
        let burst = match rate.burst {
            Some(burst) => u64::from(burst.get()) * u64::from(WRITTEN_BURST_PERCENT) / 100,
            None => u64::from(rate.count.get()) * u64::from(BURST_PERCENT) / 100,
        };
        let mut gauge = Self::new(rate, spacing, u32::try_from(burst).unwrap_or(u32::MAX), now);
        if !gauge.is_slow() {
            gauge.drain(now);
        }
        gauge
    }

    /// Keeps a written rate where nobody else spends of it: as evenly as the clock can tell, a twentieth below it, so that
    /// requests that take differently long do not cross it where they arrive. Begins with nothing at hand, as
    /// [`Gauge::written`].
    pub(crate) fn smooth(rate: Rate, now: Timestamp) -> Self {
        let spacing = rate.period.mul_f64(100.0 / f64::from(rate.count.get()) / SMOOTH_PERCENT);
        let of_a_moment = MOMENT.as_nanos() / spacing.as_nanos().max(1);
        let burst = rate.burst.map_or(1, NonZeroU32::get);
        let burst = burst.max(u32::try_from(of_a_moment).unwrap_or(u32::MAX));
        let mut gauge = Self::new(rate, spacing, burst, now);
        if gauge.spacing < PATIENCE_AT_START {
            gauge.drain(now);
        }
        gauge
    }

    /// Keeps a written rate, with nothing at hand however seldom permits come.
    pub(crate) fn drained(rate: Rate, now: Timestamp) -> Self {
        let mut gauge = Self::written(rate, now);
        gauge.drain(now);
        gauge
    }

    /// Goes on with a rate that was kept before. What was taken of a slow one is known to the last permit; of a fast one
    /// it is not, and it begins with nothing at hand.
    pub(crate) fn resumed(kept: &KeptWindow, now: Timestamp) -> Self {
        let (at, left) = kept.taken;
        let mut gauge = Self::written(kept.rate, at);
        // A clock that was set back says nothing of when that was.
        if !gauge.is_slow() || at > now {
            return Self::drained(kept.rate, now);
        }
        let gone = NonZeroU32::new(gauge.burst.saturating_sub(left));
        if let Some(Ok(Ok(_))) = gone.map(|gone| gauge.limiter.check_n(gone)) {
            gauge.taken = (at, left);
        }
        gauge
    }

    /// What to remember of it.
    pub(crate) fn kept(&self) -> KeptWindow {
        KeptWindow { rate: self.rate, taken: self.taken }
    }

    /// Whether permits come so seldom that each one has to be remembered.
    pub(crate) fn is_slow(&self) -> bool {
        self.spacing >= PATIENCE_AT_START
    }

    /// Keeps a rate as a courtesy: with its burst at hand.
    pub(crate) fn courteous(rate: Rate, now: Timestamp) -> Self {
        let burst = rate.burst.map_or(1, NonZeroU32::get);
        Self::new(rate, rate.period / rate.count.get(), burst, now)
    }

    fn new(rate: Rate, spacing: Duration, burst: u32, now: Timestamp) -> Self {
        // A clock of whole milliseconds rounds down: one more, so that nothing is early by less than one.
        let spacing = spacing.max(Duration::from_nanos(1));
        let most = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(spacing).map(|quota| quota.allow_burst(most));
        let quota = quota.expect("a spacing of at least a nanosecond");
        let hands = Hands::default();
        let limiter = RateLimiter::direct_with_clock(quota, hands.clone());
        let limiter = limiter.with_middleware::<StateInformationMiddleware>();
        let (burst, taken, returned, used) = (most.get(), (now, most.get()), 0, 0.0);
        Self { rate, limiter, hands, began: now, spacing, burst, taken, returned, used, faded: now }
    }

    /// Takes all that is at hand.
    pub(crate) fn drain(&mut self, now: Timestamp) {
        self.set_hands(now);
        let burst = NonZeroU32::new(self.burst).unwrap_or(NonZeroU32::MIN);
        if let Ok(Ok(_)) = self.limiter.check_n(burst) {
            self.taken = (now, 0);
        }
        self.returned = 0;
    }

    /// What it was made for.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    fn set_hands(&self, now: Timestamp) {
        let nanos = u64::try_from(now.since(self.began).as_nanos()).unwrap_or(u64::MAX / 2);
        self.hands.0.fetch_max(nanos, Ordering::Relaxed);
    }

    /// How many permits are certainly there.
    fn free(&self, now: Timestamp) -> u32 {
        self.come(now).saturating_add(self.returned(now))
    }

    /// Of those that were given back, the ones that are still worth something. Governor's next one is as good as there: a
    /// window without room for both keeps none beside.
    fn returned(&self, now: Timestamp) -> u32 {
        let come = self.come(now).saturating_add(1);
        self.returned.min(self.burst.saturating_sub(come))
    }

    /// Those that governor has.
    fn come(&self, now: Timestamp) -> u32 {
        let (at, left) = self.taken;
        let come = now.since(at).as_nanos() / self.spacing.as_nanos().max(1);
        left.saturating_add(u32::try_from(come).unwrap_or(u32::MAX)).min(self.burst)
    }

    /// When there are permits for one more than `reserved` requests; a moment that is past means now.
    pub(crate) fn opens(&self, reserved: u32, now: Timestamp) -> Timestamp {
        let needed = reserved.saturating_add(1);
        if self.free(now) >= needed.min(self.burst) && reserved < self.burst {
            return now;
        }
        let (at, left) = self.taken;
        let missing = needed.saturating_sub(left).saturating_sub(self.returned(now)).max(1);
        // Rounded up to the clock's milliseconds.
        at.after(self.spacing.saturating_mul(missing)).after(Duration::from_millis(1)).max(
            // Reserved beyond the burst: whoever holds a reservation goes first.
            if reserved < self.burst { now } else { now.after(self.spacing) },
        )
    }

    /// Takes a permit; `false` if there is none after all.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        self.set_hands(now);
        self.returned = self.returned(now);
        if self.returned > 0 {
            self.returned -= 1;
            self.count(now, 1.0);
            return true;
        }
        let Ok(left) = self.limiter.check() else { return false };
        self.count(now, 1.0);
        self.taken = (now, left.remaining_burst_capacity());
        true
    }

    /// Takes a permit back that was taken at `paid`, of a request that cost nothing.
    ///
    /// Where one permit is all that is ever at hand, it was there before, whole: unless another was taken since, all is as
    /// if this one had never been, and those that cost something stay as far apart. If another was taken, that one waited
    /// for as long as it would have had to anyway, and nothing is left to give back.
    pub(crate) fn give_back(&mut self, paid: Timestamp, now: Timestamp) {
        if self.burst > 1 {
            self.returned = self.returned(now).saturating_add(1);
        } else if self.taken == (paid, 0) {
            let Self { limiter, hands, began, taken, .. } =
                Self::new(self.rate, self.spacing, self.burst, now);
            (self.limiter, self.hands, self.began, self.taken) = (limiter, hands, began, taken);
        }
        self.count(now, -1.0);
    }

    /// Whether figures of a server are of this window: it is no shorter than that of the server, and a person who wrote
    /// less than half of what the server allows meant something else by it.
    pub(crate) fn is_meant_by(&self, free: &Free) -> bool {
        let count = u64::from(self.rate.count.get());
        let is_near = |limit: u64| count <= limit && count.saturating_mul(2) >= limit;
        self.rate.period.saturating_add(SLACK) >= free.window && free.limit.is_none_or(is_near)
    }

    fn count(&mut self, now: Timestamp, requests: f64) {
        self.fade(now);
        self.used = (self.used + requests).max(0.0);
        self.faded = now;
    }

    fn fade(&mut self, now: Timestamp) {
        let passed = now.since(self.faded).as_secs_f64();
        self.used *= (-passed / self.rate.period.as_secs_f64().max(1e-3)).exp();
    }

    /// How much of it is in use, `1.0` being all that was written.
    pub(crate) fn used_ratio(&self, now: Timestamp) -> f64 {
        let passed = now.since(self.faded).as_secs_f64();
        let used = self.used * (-passed / self.rate.period.as_secs_f64().max(1e-3)).exp();
        used / f64::from(self.rate.count.get())
    }

    /// Requests a second to plan with.
    pub(crate) fn planned(&self) -> f64 {
        1.0 / self.spacing.as_secs_f64()
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gauge")
            .field("rate", &self.rate)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
