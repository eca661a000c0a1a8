//! What is remembered of a written budget, so that a restart neither crosses a window nor forgets what was overspent. As
//! bytes: a version, then numbers in little endian.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Rate;
use crate::core::time::Timestamp;

/// Another layout gets another number; one that is not known is as if nothing had been kept.
const VERSION: u8 = 1;

/// A budget as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    /// When that was.
    pub(crate) at: Timestamp,
    /// How long the whole budget would have to rest to make up for what was spent beyond it, in seconds.
    pub(crate) overdraft_s: f64,
    pub(crate) windows: Vec<KeptWindow>,
}

/// One of its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptWindow {
    pub(crate) rate: Rate,
    /// When a permit was last taken, and how many were left at once then.
    pub(crate) taken: (Timestamp, u32),
}

impl Kept {
    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.at.as_millis().to_le_bytes());
        bytes.extend(self.overdraft_s.to_le_bytes());
        for KeptWindow { rate, taken: (at, left) } in &self.windows {
            let period = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX);
            bytes.extend(rate.count.get().to_le_bytes());
            bytes.extend(period.to_le_bytes());
            bytes.extend(rate.burst.map_or(0, NonZeroU32::get).to_le_bytes());
            bytes.extend(at.as_millis().to_le_bytes());
            bytes.extend(left.to_le_bytes());
        }
        bytes
    }

    /// What [`Kept::to_bytes`] gave; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, mut bytes) = bytes.split_first()? else { return None };
        let at = time(&mut bytes)?;
        let overdraft_s = f64::from_le_bytes(taken(&mut bytes)?);
        let mut windows = Vec::new();
        while !bytes.is_empty() {
            windows.push(window(&mut bytes)?);
        }
        overdraft_s.is_finite().then_some(Self { at, overdraft_s, windows })
    }
}

fn window(bytes: &mut &[u8]) -> Option<KeptWindow> {
    let count = NonZeroU32::new(u32::from_le_bytes(taken(bytes)?))?;
    let period = Duration::from_nanos(u64::from_le_bytes(taken(bytes)?));
    let burst = NonZeroU32::new(u32::from_le_bytes(taken(bytes)?));
    let at = time(bytes)?;
    let left = u32::from_le_bytes(taken(bytes)?);
    let rate = Rate { count, period, burst };
    (!period.is_zero()).then_some(KeptWindow { rate, taken: (at, left) })
}

fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn time(bytes: &mut &[u8]) -> Option<Timestamp> {
    taken(bytes).map(|bytes| Timestamp::from_millis(i64::from_le_bytes(bytes)))
}
