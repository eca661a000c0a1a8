//! The only reader of the clock and of randomness.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Mutex;
use std::time::Duration;

use crate::core::time::Timestamp;

/// Time as the loops see it.
pub(crate) trait Clock: Send + Sync {
    /// The wall clock: what goes into events, signatures and the store.
    fn now(&self) -> Timestamp;
    /// A steady clock: never steps, so that durations are true.
    fn steady(&self) -> Duration;
}

/// Randomness as the loops see it.
pub(crate) trait Entropy: Send + Sync {
    /// Uniform in `0.0..1.0`.
    fn unit(&self) -> f64;
}

/// The machine's own clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    started: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose steady side begins at zero.
    pub(crate) fn new() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }

    fn steady(&self) -> Duration {
        self.started.elapsed()
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
