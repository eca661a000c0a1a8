//! Whom servers asked to leave them alone, as far as that is to outlast the process.

use std::collections::BTreeMap;

use super::tally::is_same_window;
use super::{Hold, Kept};
use crate::core::limits::{HOLD_KEPT_MIN, HOLDS_KEPT_MAX};
use crate::core::time::Timestamp;

/// Origins, each with who is held there; `None` is whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    known: BTreeMap<(String, Option<u32>), Timestamp>,
    is_changed: bool,
}

impl Holds {
    /// Notes until when somebody is held, as of an answer. What is over soon is not remembered: nobody starts so quickly.
    pub(crate) fn note(
        &mut self,
        (origin, credential): (&str, Option<u32>),
        until: Timestamp,
        now: Timestamp,
    ) {
        let is_short = until < now.after(HOLD_KEPT_MIN);
        if is_short && self.known.is_empty() {
            return;
        }
        let who = (origin.to_owned(), credential);
        let known = self.known.get(&who).copied();
        if is_short {
            self.is_changed |= self.known.remove(&who).is_some();
        } else if !known.is_some_and(|known| is_same_window(until, known)) {
            self.known.insert(who, until);
            self.is_changed = true;
            self.limit(now);
        }
    }

    /// Those that end first go first.
    fn limit(&mut self, now: Timestamp) {
        if self.known.len() <= HOLDS_KEPT_MAX {
            return;
        }
        self.known.retain(|_, until| *until > now);
        let soonest = self.known.iter().min_by_key(|(_, until)| **until);
        if let Some(who) = soonest.map(|(who, _)| who.clone())
            && self.known.len() > HOLDS_KEPT_MAX
        {
            self.known.remove(&who);
        }
    }

    /// Whether what is remembered is not what is known.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// What to remember, if it is another than before. What is past is forgotten.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Kept> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        self.known.retain(|_, until| *until > now);
        Some(Kept::Holds(self.all()))
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Hold> {
        let hold = |((origin, credential), until): (&(String, Option<u32>), &Timestamp)| Hold {
            origin: origin.clone(),
            credential: *credential,
            until: *until,
        };
        self.known.iter().map(hold).collect()
    }

    /// Goes on from what was remembered.
    pub(crate) fn resume(&mut self, hold: Hold) {
        self.known.insert((hold.origin, hold.credential), hold.until);
    }
}
