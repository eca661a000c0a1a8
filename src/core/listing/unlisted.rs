//! What the end of a complete listing says of the items that are not in it.

use super::Listing;
use crate::core::diff::{self, Absent, Moment};
use crate::core::ids::ItemKey;
use crate::core::snapshot::{Coverage, IndexEntry, Place, Snapshot, Standing};
use crate::core::source::Source;
use crate::core::time::Timestamp;

impl Listing<'_> {
    /// What the end of the listing says about items it did not show. Only a complete one proves anything.
    pub(crate) fn absent(&self, now: Timestamp, is_proof: bool) -> Absent {
        assert_eq!(self.coverage(), Coverage::Complete, "a partial listing proves no absence");
        let listed = |place: Place, _: &IndexEntry| self.shown.has(place);
        let moment = Moment { now, retained: self.retained };
        diff::absent(&self.snapshot, self.deletes, (moment, is_proof), listed)
    }

    /// The same where items that are missing are asked for by themselves: what becomes of the others.
    pub(crate) fn absent_unasked(&self, now: Timestamp) -> Absent {
        let Absent { mut marks, dropped, .. } = self.absent(now, true);
        let is_lost = |entry: &IndexEntry| matches!(entry.standing, Standing::Lost { .. });
        marks.retain(|(key, _)| self.snapshot.get(key).is_some_and(is_lost));
        Absent { marks, dropped, ..Absent::default() }
    }

    /// What it says of items that are asked for by themselves, before that.
    pub(crate) fn unlisted(&self) -> Vec<(u32, ItemKey)> {
        diff::unlisted(&self.snapshot, |place, _| self.shown.has(place))
    }
}

/// What a 304 or an identical body says: the last complete listing holds again, for listed and missing items alike.
pub(crate) fn confirmed(
    source: &Source,
    snapshot: &Snapshot,
    moment: Moment,
    is_proof: bool,
) -> Absent {
    let listed = |_: Place, entry: &IndexEntry| {
        matches!(
            entry.standing,
            Standing::Present { missing: 0 }
                | Standing::HeldNew { .. }
                | Standing::Lost { since: None }
        )
    };
    diff::absent(snapshot, source.deletes, (moment, is_proof), listed)
}

/// What a 304 or an identical body says of items that are asked for by themselves: they are still missing.
pub(crate) fn still_unlisted(snapshot: &Snapshot) -> Vec<(u32, ItemKey)> {
    diff::unlisted(snapshot, |_, entry| entry.standing == Standing::Present { missing: 0 })
}
