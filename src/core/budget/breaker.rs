//! Whether an origin fails: after several failures in a row, for more than one source, it is asked by one probe at a time.

use crate::core::backoff::{BackoffPolicy, delay};
use crate::core::ids::UnitName;
use crate::core::limits::ORIGIN_FAILURES_MIN;
use crate::core::time::Timestamp;

/// What an origin's last exchanges came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Who met the first of them; another one has to meet one too.
    first: Option<UnitName>,
    is_shared: bool,
    open: Option<Open>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    /// Probes that failed.
    rounds: u32,
    until: Timestamp,
    probe: Option<UnitName>,
}

/// Whether a poll may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Free,
    /// One may, to see whether the origin is back.
    Probe,
    /// Not before; at the next look, if that is past.
    Barred(Timestamp),
}

impl Breaker {
    /// Whether a poll may begin now.
    pub(crate) fn passage(&self, now: Timestamp) -> Passage {
        match &self.open {
            None => Passage::Free,
            Some(open) if open.until > now || open.probe.is_some() => Passage::Barred(open.until),
            Some(_) => Passage::Probe,
        }
    }

    /// This poll is the probe.
    pub(crate) fn probe(&mut self, unit: &UnitName) {
        if let Some(open) = &mut self.open {
            open.probe = Some(unit.clone());
        }
    }

    /// The poll is over, whatever it came to.
    pub(crate) fn over(&mut self, unit: &UnitName) {
        if let Some(open) = &mut self.open
            && open.probe.as_ref() == Some(unit)
        {
            open.probe = None;
        }
    }

    /// Whether so many failures came in a row that few polls at once are enough.
    pub(crate) fn is_strained(&self) -> bool {
        self.failures >= ORIGIN_FAILURES_MIN
    }

    /// The origin answered. Says whether that closes it.
    pub(crate) fn succeed(&mut self) -> bool {
        std::mem::take(self).open.is_some()
    }

    /// An exchange failed, by the origin's or the connection's fault. `unit` is uniform in `0.0..1.0`. Says whether that
    /// opens it.
    pub(crate) fn fail(
        &mut self,
        who: &UnitName,
        backoff: &BackoffPolicy,
        (now, unit): (Timestamp, f64),
    ) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.is_shared |= self.first.as_ref().is_some_and(|first| first != who);
        self.first.get_or_insert_with(|| who.clone());
        match &mut self.open {
            Some(open) if open.probe.as_ref() == Some(who) => {
                open.rounds = open.rounds.saturating_add(1);
                open.until = now.after(delay(backoff, open.rounds, unit));
                open.probe = None;
                false
            }
            Some(_) => false,
            None if self.failures >= ORIGIN_FAILURES_MIN && self.is_shared => {
                let rounds = ORIGIN_FAILURES_MIN;
                let until = now.after(delay(backoff, rounds, unit));
                self.open = Some(Open { rounds, until, probe: None });
                true
            }
            None => false,
        }
    }
}
