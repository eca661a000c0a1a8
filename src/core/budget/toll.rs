//! Whether a server charges for the answer that nothing changed, told by its own figures.
//!
//! GitHub, for one, does not count a 304 to whoever is logged in. Nobody says so in a header: it shows only in that what is
//! left did not fall. That proves little by itself. A bucket that leaks looks the same, an answer under way may be counted
//! or not, and others may ask with the same credential. So figures are compared only when nothing else was under way, only
//! within one fixed window, and they count only after full answers were seen to cost exactly one each. Whatever does not
//! fit takes the proof away, and a refusal does so for a while.

use std::time::Duration;

use super::tally::is_same_window;
use crate::core::time::Timestamp;

/// So many comparisons in a row have to say that a 304 is free.
const PROOFS_MIN: u32 = 3;
/// After a refusal, nothing is taken to be free for this long.
const DOUBT: Duration = Duration::from_hours(1);

/// What answers were seen to cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Toll {
    /// What was told to be left when nothing was under way, and until when.
    told: Option<(u64, Timestamp)>,
    /// Full answers since then, and those that nothing changed.
    full: u64,
    unchanged: u64,
    /// Whether full answers were seen to cost one each.
    is_counted: bool,
    proofs: u32,
    doubted_until: Timestamp,
}

impl Toll {
    /// An answer came, with what it said is left, and until when; `None` while others are under way, or when it said
    /// nothing.
    pub(crate) fn hear(&mut self, status: u16, told: Option<(u64, Timestamp)>) {
        match status {
            200..300 => self.full += 1,
            304 => self.unchanged += 1,
            // Some count failures and some do not.
            _ => self.blur(),
        }
        let Some((left, until)) = told else { return };
        if let Some((before, known)) = self.told
            && is_same_window(until, known)
        {
            self.compare(before.checked_sub(left));
        }
        (self.told, self.full, self.unchanged) = (Some((left, until)), 0, 0);
    }

    /// `fall` is by how much less is left; `None` if it is more.
    fn compare(&mut self, fall: Option<u64>) {
        match fall {
            Some(fall) if fall == self.full => {
                self.is_counted |= self.full > 0;
                self.proofs += u32::from(self.unchanged > 0);
            }
            // They count, or somebody else asks too.
            Some(fall) if fall > self.full => {
                self.proofs = if self.unchanged > 0 { 0 } else { self.proofs };
            }
            // No plain count within a window.
            _ => (self.is_counted, self.proofs) = (false, 0),
        }
    }

    /// A request came to nothing, or to something that may or may not count.
    pub(crate) fn blur(&mut self) {
        self.told = None;
    }

    /// The server refused to answer more.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        *self = Self { doubted_until: now.after(DOUBT), ..Self::default() };
    }

    /// Whether a 304 costs nothing.
    pub(crate) fn is_free(&self, now: Timestamp) -> bool {
        self.is_counted && self.proofs >= PROOFS_MIN && self.doubted_until <= now
    }
}
