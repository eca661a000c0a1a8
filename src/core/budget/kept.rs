//! What is remembered of budgets: of a written one, so that a restart neither crosses a window nor forgets what was
//! overspent, and of those that servers keep, whom they asked to leave them alone. As bytes: a version, which is another one
//! for each kind, then numbers in little endian.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Rate;
use crate::core::time::Timestamp;

/// Of [`Spent`]. Another layout gets another number; one that is not known is as if nothing had been kept.
const SPENT: u8 = 1;
/// Of [`Hold`]s.
const HOLDS: u8 = 2;

/// What is remembered under a [`Holder`](super::Holder).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    /// Of a written budget.
    Spent(Spent),
    /// Of all servers.
    Holds(Vec<Hold>),
}

/// A server that asked to be left alone, or says that nothing is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) origin: String,
    /// A digest of who asks; `None` is whoever does.
    pub(crate) credential: Option<u32>,
    pub(crate) until: Timestamp,
}

/// A budget as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spent {
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
        match self {
            Self::Spent(spent) => spent.to_bytes(),
            Self::Holds(holds) => {
                std::iter::once(HOLDS).chain(holds.iter().flat_map(Hold::to_bytes)).collect()
            }
        }
    }

    /// What [`Kept::to_bytes`] gave; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, mut bytes) = bytes.split_first()?;
        match *version {
            SPENT => Spent::from_bytes(bytes).map(Self::Spent),
            HOLDS => {
                let mut holds = Vec::new();
                while !bytes.is_empty() {
                    holds.push(Hold::read(&mut bytes)?);
                }
                Some(Self::Holds(holds))
            }
            _ => None,
        }
    }
}

impl Hold {
    fn to_bytes(&self) -> Vec<u8> {
        // No origin is that long: a host's name is not.
        let length = u16::try_from(self.origin.len()).unwrap_or(u16::MAX);
        let origin = self.origin.as_bytes().iter().take(usize::from(length)).copied();
        let mut bytes = self.until.as_millis().to_le_bytes().to_vec();
        bytes.push(u8::from(self.credential.is_some()));
        bytes.extend(self.credential.unwrap_or_default().to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(origin);
        bytes
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let until = time(bytes)?;
        let [is_of_one] = taken(bytes)?;
        let credential = u32::from_le_bytes(taken(bytes)?);
        let length = usize::from(u16::from_le_bytes(taken(bytes)?));
        let (origin, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let origin = std::str::from_utf8(origin).ok()?.to_owned();
        Some(Self { origin, credential: (is_of_one == 1).then_some(credential), until })
    }
}

impl Spent {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![SPENT];
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

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
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
