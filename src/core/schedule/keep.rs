//! What is learned of a source as bytes, for the store: a version, then numbers in little endian. About 25 bytes for a
//! source that never changed, 680 for one that did.

use std::sync::Arc;

use crate::core::time::Timestamp;

use super::gap::Gaps;
use super::minute::Minutes;
use super::profile::Profile;
use super::rate::{Habits, PACE_S, Rate};

/// Another layout gets another number; one that is not known is learned anew.
const VERSION: u8 = 1;
/// The same with a pace before it.
const PACED_VERSION: u8 = 2;

impl Rate {
    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = if self.pace_s == PACE_S {
            vec![VERSION]
        } else {
            [&[PACED_VERSION][..], &self.pace_s.to_le_bytes()].concat()
        };
        bytes.extend(self.born.as_millis().to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(self.counted.as_millis().to_le_bytes());
        if let Some(habits) = &self.habits {
            bytes.extend(habits.clump.as_millis().to_le_bytes());
            bytes.extend(habits.clump_changes.to_le_bytes());
            let numbers = habits.week.numbers().chain(habits.gaps.numbers());
            bytes.extend(numbers.chain(habits.minutes.numbers()).flat_map(f32::to_le_bytes));
        }
        bytes
    }

    /// What [`Rate::to_bytes`] gave. `None` for anything else: what was learned can be learned again.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, mut bytes) = bytes.split_first()?;
        let pace_s = match *version {
            VERSION => PACE_S,
            PACED_VERSION => number(&mut bytes).filter(|pace_s| *pace_s >= 1.0)?,
            _ => return None,
        };
        let rate = Self {
            pace_s,
            born: time(&mut bytes)?,
            count: number(&mut bytes)?,
            counted: time(&mut bytes)?,
            habits: None,
        };
        if bytes.is_empty() {
            return Some(rate);
        }
        let (clump, clump_changes) = (time(&mut bytes)?, number(&mut bytes)?);
        let mut numbers = std::iter::from_fn(|| taken(&mut bytes).map(f32::from_le_bytes));
        let week = Profile::read(&mut numbers)?;
        let gaps = Gaps::read(&mut numbers)?;
        let minutes = Minutes::read(&mut numbers)?;
        let is_whole = numbers.next().is_none() && bytes.is_empty();
        let habits = Habits { clump, clump_changes, week, gaps, minutes };
        is_whole.then(|| Self { habits: Some(Arc::new(habits)), ..rate })
    }
}

fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn time(bytes: &mut &[u8]) -> Option<Timestamp> {
    taken(bytes).map(|bytes| Timestamp::from_millis(i64::from_le_bytes(bytes)))
}

/// A count: not below zero, and no more than a source can change.
fn number(bytes: &mut &[u8]) -> Option<f64> {
    taken(bytes).map(f64::from_le_bytes).filter(|number| (0.0..1e12).contains(number))
}
