//! Listings that change while their pages are read.
//!
//! What is put in, or comes to the front, pushes the items behind it over the edges of their pages. Those are seen twice,
//! which does no harm; but what moved may not be seen at all, and so nothing counts as absent then.

use std::collections::HashMap;

use super::{Listing, duplicate, item_fault, shown};
use crate::core::extract::{Found, Page};
use crate::core::ids::ItemKey;
use crate::core::snapshot::{Coverage, IndexEntry, Place, Standing};
use crate::core::source::Deletes;

/// An item that moved while the pages were read.
#[derive(Debug)]
pub(super) enum Shift {
    /// It stands on two pages.
    Twice(ItemKey),
    /// It came to a page that had been read.
    Came(ItemKey),
}

impl Listing<'_> {
    /// Notes an item whose key was shown already: `is_moved` if that was on a page before, and not on this one.
    pub(super) fn note_again(&mut self, found: &Found<'_>, is_same: bool, is_moved: bool) {
        if is_same {
            let is_edge = || self.point(&found.raw).is_ok_and(|at| self.way.is_edge(at.as_ref()));
            if is_moved && !is_edge() {
                self.shifted.get_or_insert_with(|| Shift::Twice(found.key.clone()));
            }
        } else if is_moved && self.is_first {
            // A long first listing of a busy list has many that changed on the way. They are asked for again.
            self.shifted.get_or_insert_with(|| Shift::Twice(found.key.clone()));
            match self.point(&found.raw) {
                Ok(point) => self.way.stop_at(point),
                Err(fault) => self.set_fault(Some(item_fault(&found.key, &fault))),
            }
        } else {
            self.set_fault(Some(duplicate(&found.key)));
        }
    }

    /// Whether the next poll may go on from where this one came to. A list that moved may have passed over items, unless
    /// these can only be newer than all that was shown, or were looked for.
    pub(crate) fn may_advance(&self) -> bool {
        match self.coverage() {
            Coverage::Complete | Coverage::Changes => true,
            Coverage::Shifted => self.is_first || self.way.falls(),
            Coverage::Partial => false,
        }
    }

    /// Whether the first pages should be read once more: before anything counts as absent, and at the end of the first
    /// listing, which says what is not new. What changes goes to the front of many lists, and comes to pages that have
    /// been read then.
    pub(crate) fn needs_second_look(&self) -> bool {
        match self.coverage() {
            Coverage::Complete | Coverage::Shifted if self.is_first => true,
            Coverage::Complete => self.has_unlisted(),
            Coverage::Changes | Coverage::Shifted | Coverage::Partial => false,
        }
    }

    fn has_unlisted(&self) -> bool {
        let is_missed = |(place, _, entry): (Place, &str, &IndexEntry)| {
            matches!(entry.standing, Standing::Present { .. }) && !self.shown.has(place)
        };
        self.source.deletes != Deletes::Off && self.snapshot.iter().any(is_missed)
    }

    /// Pages taken up from here on are those that were read first.
    pub(crate) fn look_again(&mut self) {
        self.is_second_look = true;
    }

    /// Whether a second look has come to a page that showed nothing else than the first one, when `count` items were
    /// known before that page.
    pub(crate) fn has_seen_enough(&self, count: usize) -> bool {
        self.is_second_look && self.shown.count() == count
    }

    /// What there is to say of a listing that moved.
    pub(crate) fn told_shift(&self) -> Option<String> {
        let (key, where_to) = match self.shifted.as_ref()? {
            Shift::Twice(key) => (key, "stands on two of them"),
            Shift::Came(key) => (key, "came to one that had been read"),
        };
        Some(format!(
            "the listing changed while its pages were read: item {} {where_to}; nothing counts as absent",
            shown(key)
        ))
    }
}

/// Where the keys of a page stand in it first.
pub(super) fn places_of<'p>(page: &'p Page<'_>) -> HashMap<&'p ItemKey, usize> {
    let keys = page.items.iter().enumerate();
    keys.rev().map(|(at, found)| (&found.key, at)).collect()
}
