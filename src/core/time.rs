//! Instants as data: milliseconds since the Unix epoch, with arithmetic that saturates and never panics.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// A moment on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
///
/// It is held shifted, so that it is never zero and `None` in its place takes no room: many of them are in what is
/// remembered of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Timestamp(NonZeroU64);

/// What the least number of milliseconds is shifted to zero by.
const SHIFT: u64 = 1 << 63;

impl Timestamp {
    /// From milliseconds since the epoch.
    pub(crate) const fn from_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SHIFT) {
            Some(shifted) => Self(shifted),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds since the epoch.
    pub(crate) const fn as_millis(self) -> i64 {
        (self.0.get() ^ SHIFT).cast_signed()
    }

    /// Whole seconds since the epoch, rounded down.
    pub(crate) const fn as_seconds(self) -> i64 {
        self.as_millis().div_euclid(1000)
    }

    /// This moment and `wait` later.
    #[must_use]
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_add(millis(wait)))
    }

    /// This moment and `wait` earlier.
    #[must_use]
    pub(crate) fn before(self, wait: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_sub(millis(wait)))
    }

    /// The first moment from this one on that is a whole number of `step`s since the epoch.
    #[must_use]
    pub(crate) fn rounded_up(self, step: Duration) -> Self {
        let step = millis(step).max(1);
        let missing = (step - self.as_millis().rem_euclid(step)).rem_euclid(step);
        Self::from_millis(self.as_millis().saturating_add(missing))
    }

    /// How long ago `earlier` was; zero if it is in the future.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(
            u64::try_from(self.as_millis().saturating_sub(earlier.as_millis())).unwrap_or(0),
        )
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-21T03:00:00.123Z`.
    pub(crate) fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(time) => format!("{time:.3}"),
            Err(_) => String::from("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Timestamp({})", self.as_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_rfc3339())
    }
}

/// A duration as whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as people write it: `200ms`, `30s`, `5m`, `1h 30m`, `2d`.
pub(crate) fn humane(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{}ms", duration.as_millis());
    }
    let mut left = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if left >= seconds && parts.len() < 2 {
            parts.push(format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    parts.join(" ")
}
