//! What outlasts the process, or a name: budgets as they were, and whom servers asked to leave them alone.

use super::Book;
use crate::core::budget::{Account, Allowance, Hold, Holder, Kept, Tally};
use crate::core::ids::SourceName;
use crate::core::limits::SOURCE_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

impl Book {
    /// Goes on as it was before a restart.
    pub(in super::super) fn resume(
        &mut self,
        kept: impl IntoIterator<Item = (Holder, Kept)>,
        now: Timestamp,
    ) {
        for (holder, kept) in kept {
            match kept {
                Kept::Spent(spent) => drop(self.kept.insert(holder, spent)),
                Kept::Holds(holds) => {
                    // The clock may have been set back since.
                    let latest = now.after(SOURCE_RETRY_AFTER_MAX);
                    let holds = holds.into_iter().filter(|hold| hold.until > now);
                    holds.for_each(|hold| {
                        self.holds.resume(Hold { until: hold.until.min(latest), ..hold });
                    });
                }
            }
        }
    }

    /// See [`Gate::carry`](super::super::Gate::carry). A poll that is still under way under the former name goes on with
    /// that one's.
    pub(in super::super) fn carry(
        &mut self,
        was: &SourceName,
        allowance: &Allowance,
        now: Timestamp,
    ) {
        let own = &allowance.holder;
        if self.budgets.contains_key(own) || self.kept.contains_key(own) {
            return;
        }
        let was = Holder::Source(was.clone());
        let spent = self.budgets.get(&was).and_then(|budget| budget.ledger.kept(now));
        if let Some(spent) = spent.or_else(|| self.kept.get(&was).cloned()) {
            self.kept.insert(own.clone(), spent);
            // To be remembered under this name, too.
            self.budget(allowance, now).is_spent = true;
        }
    }

    /// Leaves alone whom an earlier process was asked to.
    pub(in super::super) fn heed_holds(&mut self, now: Timestamp) {
        for Hold { origin, credential, until } in self.holds.all() {
            let origin = self.origin(&origin, now);
            match credential {
                Some(credential) => origin.tallies.entry(credential).or_default().resume(until),
                None => origin.hold_until(until),
            }
        }
    }

    /// Notes what the last answer came to: whom the server asks to leave it alone.
    pub(in super::super) fn note_holds(&mut self, account: &Account, origin: &str, now: Timestamp) {
        let place = self.origin(origin, now);
        let of_all = place.held_until;
        let own = place.tallies.get(&account.credential).map_or(now, Tally::shut_until);
        self.holds.note((origin, None), of_all, now);
        self.holds.note((origin, Some(account.credential)), own, now);
    }

    /// Whether there is to remember what servers asked for.
    pub(in super::super) fn has_new_holds(&self) -> bool {
        self.holds.is_changed()
    }

    /// What to remember of it, if that is another than before.
    pub(in super::super) fn take_holds(&mut self, now: Timestamp) -> Option<(Holder, Kept)> {
        self.holds.take(now).map(|holds| (Holder::Servers, holds))
    }
}
