//! The only reader of the clock and of randomness.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Mutex;
use std::time::Duration;

use crate::core::time::Timestamp;

/// Time as the loops see it.
pub(crate) trait Clock: Send + Sync {
    /// The time to plan by: the wall clock when the process began, and steady from then on. It never steps, so that
    /// nobody who sets the clock moves a poll or a retry.
    fn now(&self) -> Timestamp;
    /// The wall clock: what receivers check signatures against and people read in events.
    fn wall(&self) -> Timestamp;
}

/// Randomness as the loops see it.
pub(crate) trait Entropy: Send + Sync {
    /// Uniform in `0.0..1.0`.
    fn unit(&self) -> f64;
}

/// The machine's own clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    /// Since the machine was booted.
    started: Duration,
    started_at: Timestamp,
}

/// Since the machine was booted, its sleep included: what was due meanwhile is overdue. It never steps.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl SystemClock {
    /// A clock that agrees with the wall now.
    pub(crate) fn new() -> Self {
        Self { started: since_boot(), started_at: wall() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
fn wall() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started_at.after(since_boot().saturating_sub(self.started))
    }

    fn wall(&self) -> Timestamp {
        wall()
    }
}

/// A clock that follows the runtime's, for tests in which that stands still until everybody waits.
#[cfg(test)]
pub(crate) struct Virtual(tokio::time::Instant);

#[cfg(test)]
impl Virtual {
    /// What it shows at first, in milliseconds since 1970.
    const EPOCH: i64 = 1_800_000_000_000;

    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[cfg(test)]
impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Self::EPOCH).after(self.0.elapsed())
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// A generator seeded by the operating system, or by a test.
#[derive(Debug)]
pub(crate) struct Random(Mutex<fastrand::Rng>);

impl Random {
    /// Seeded by the operating system.
    pub(crate) fn from_system() -> Self {
        Self(Mutex::new(fastrand::Rng::new()))
    }

    /// Always the same sequence.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Entropy for Random {
    fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).f64()
    }
}

/// Bytes that nobody can guess, for secrets. From the operating system and never from a seed.
///
/// # Errors
/// When the operating system has none to give.
pub(crate) fn unguessable() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
