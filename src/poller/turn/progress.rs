//! How far a poll came: the watermark, the next sweep, what rings last, and items that are asked for by themselves.

use std::collections::HashMap;

use crate::core::diff;
use crate::core::diff::{Checked, Moment};
use crate::core::fault::{Fault, Whose};
use crate::core::format;
use crate::core::http::Response;
use crate::core::ids::ItemKey;
use crate::core::json;
use crate::core::limits::{CHECKS_MAX, COMMIT_ITEMS_MAX, SWEEP_AGAIN};
use crate::core::listing;
use crate::core::listing::{Delta, Listing};
use crate::core::outcome::PollOutcome;
use crate::core::own::Held;
use crate::core::since::{Ask, Watermark};
use crate::core::snapshot::{Coverage, Settling, Snapshot, Standing, StoredItem};
use crate::core::source::{Baseline, REFUSED, SourceState};
use crate::core::time::Timestamp;
use crate::store::StoreError;

use super::super::PollError;
use super::{Asked, Turn};

/// What asking for one item by itself came to.
enum Seen {
    Gone,
    Found,
    /// The answer proves nothing.
    Unknown,
    /// Whoever answered so will not answer better now.
    Refused,
}

impl Turn<'_> {
    /// Whether those who ask are those who asked for the last complete listing.
    pub(super) fn are_credentials_known(&self) -> bool {
        self.state.credentials.is_none_or(|known| known == self.source.credentials())
    }

    /// The token was too old: everything is asked for, at once.
    pub(super) fn start_anew(&mut self, outcome: &PollOutcome) -> Option<Ask> {
        let since = self.source.since.as_ref().filter(|_| self.ask.is_partial)?;
        match outcome {
            PollOutcome::Failed { fault, pages: 0, .. } if since.is_outdated(&fault.code) => {
                self.state.watermark = None;
                Some(since.sweep())
            }
            _ => None,
        }
    }

    /// How far the listing came, if it turns out to be whole.
    pub(super) fn reach(&self, listing: &mut Listing<'_>, last: &Response) -> Option<Watermark> {
        let since = self.source.since.as_ref()?;
        if !since.goes_by_token() {
            return since.reached(self.state.watermark.as_deref(), listing.furthest());
        }
        let read = format::document(last, self.source.format.as_ref());
        let read = read.as_ref().map_or(last, |document| &document.response);
        match since.token(&read.body) {
            Ok(Some(token)) => Some(token),
            Ok(None) => since.reached(self.state.watermark.as_deref(), listing.furthest()),
            Err(fault) => {
                listing.set_fault(Some(Fault::source(fault.code, fault.sentence)));
                None
            }
        }
    }

    /// Whether the next poll asks for the same again: then its answer may be recognised.
    pub(super) fn is_asked_again(&self) -> bool {
        self.source.since.is_none()
            || (self.ask.is_partial && self.reached.as_ref() == self.state.watermark.as_deref())
    }

    /// Adds new values that had only to last, and are not listed because they did.
    pub(super) async fn rest(
        &mut self,
        listing: &mut Listing<'_>,
        delta: Delta,
    ) -> Result<Delta, PollError> {
        if listing.coverage() != Coverage::Changes {
            return Ok(delta);
        }
        let rested = listing.rested();
        if rested.is_empty() {
            return Ok(delta);
        }
        self.keep_part(delta).await?;
        self.delta(listing, rested).await
    }

    /// Writes down how far the poll came, and when to ask for everything again.
    pub(super) fn advance(&self, next: &mut SourceState, outcome: &PollOutcome, now: Timestamp) {
        let is_complete =
            matches!(outcome, PollOutcome::Listed { coverage: Coverage::Complete, .. });
        let is_first =
            self.state.credentials.is_none() && matches!(next.baseline, Baseline::Taken { .. });
        if is_complete || is_first {
            next.credentials = Some(self.source.credentials());
        } else if next.credentials.is_some() && outcome.refuses_who_asks() {
            next.credentials = Some(REFUSED);
        }
        let Some(since) = &self.source.since else {
            (next.watermark, next.sweep_due) = (None, None);
            return;
        };
        if let Some(reached) = &self.reached {
            next.watermark = Some(Box::new(reached.clone()));
        }
        if self.ask.is_partial {
            return;
        }
        let is_confirmed_soon = next.has_missing && self.source.check.is_none();
        next.sweep_due = since.sweep.map(|period| match is_complete {
            true if is_confirmed_soon => now,
            true => now.after(period),
            false => now.after(period / SWEEP_AGAIN),
        });
    }

    /// Decides what becomes of the items that a complete listing does not show.
    pub(super) async fn take_unlisted(
        &mut self,
        listing: &Listing<'_>,
        delta: &mut Delta,
    ) -> Result<(), PollError> {
        let (now, is_proof) = (self.ports.clock.now(), self.are_credentials_known());
        let absent = if self.source.check.is_some() && is_proof {
            let checked = self.check(listing.unlisted()).await?;
            let others = listing.absent_unasked(now);
            let mut absent = self.verdict(listing.snapshot(), checked);
            absent.marks.extend(others.marks);
            diff::Absent { dropped: others.dropped, ..absent }
        } else {
            listing.absent(now, is_proof)
        };
        self.take_absent(absent, delta).await
    }

    /// Asks again for the items that are missing, but for those that `listing` shows; without `check`, counts another
    /// complete listing without them.
    pub(super) async fn confirm(
        &mut self,
        listing: Option<&Listing<'_>>,
        delta: &mut Delta,
    ) -> Result<(), PollError> {
        let snapshot = self.snapshot().await?;
        let absent = self.confirmed(&snapshot, listing).await?;
        if listing.is_none() {
            self.index.put(snapshot);
        }
        match absent {
            Some(absent) => self.take_absent(absent, delta).await,
            None => Ok(()),
        }
    }

    /// What becomes of the items that are missing; none if nothing can be said.
    async fn confirmed(
        &mut self,
        snapshot: &Snapshot,
        listing: Option<&Listing<'_>>,
    ) -> Result<Option<diff::Absent>, StoreError> {
        let is_proof = self.are_credentials_known();
        if self.source.check.is_none() {
            return Ok(Some(listing::confirmed(self.source, snapshot, self.moment(), is_proof)));
        }
        if !is_proof {
            return Ok(None);
        }
        let mut doubtful = listing::still_unlisted(snapshot);
        doubtful.retain(|(_, key)| !listing.is_some_and(|listing| listing.shows(key)));
        let checked = self.check(doubtful).await?;
        Ok(Some(self.verdict(snapshot, checked)))
    }

    /// Lets ring what had to wait until it was known how much of it there is: created items, and tombstones.
    pub(super) async fn ring_last(
        &mut self,
        listing: &mut Listing<'_>,
        mut delta: Delta,
    ) -> Result<Delta, PollError> {
        if listing.has_arrivals() {
            self.take_number().await?;
        }
        while listing.ring_arrivals(COMMIT_ITEMS_MAX, self.ringing(), &mut delta) {
            self.keep_part(std::mem::take(&mut delta)).await?;
            self.take_number().await?;
        }
        let marked = delta.marks.len();
        let mut departures = listing.departures(self.ports.clock.now(), &mut delta);
        let brake = delta.marks.len() - marked;
        self.hold(Held { flood: listing.flooded_count(), brake, ..Held::default() });
        while !departures.is_empty() {
            let rest = departures.split_off(COMMIT_ITEMS_MAX.min(departures.len()));
            let (name, keys) = (self.known_as.clone(), departures);
            departures = rest;
            let items = self.ports.store.read(move |store| store.items(&name, &keys)).await?;
            self.take_number().await?;
            self.ringing().deletions(&items, &mut delta);
            if !departures.is_empty() {
                self.keep_part(std::mem::take(&mut delta)).await?;
            }
        }
        self.leave_number(&delta);
        Ok(delta)
    }

    /// New values that have to last before they ring.
    pub(super) async fn settling(&self) -> Result<HashMap<ItemKey, Settling>, StoreError> {
        if self.source.settle == 0 {
            return Ok(HashMap::new());
        }
        let name = self.known_as.clone();
        self.ports.store.read(move |store| store.settling(&name)).await
    }

    fn verdict(&self, snapshot: &Snapshot, checked: Checked) -> diff::Absent {
        diff::verdict(snapshot, self.source.deletes, checked, self.moment())
    }

    fn moment(&self) -> Moment {
        Moment { now: self.ports.clock.now(), retained: self.retained() }
    }

    /// What vanished before that, and did not ring, is forgotten.
    pub(super) fn retained(&self) -> Timestamp {
        *self.ports.retained.borrow()
    }

    /// Asks for items by themselves, as many as one poll may.
    async fn check(&mut self, mut doubtful: Vec<(u32, ItemKey)>) -> Result<Checked, StoreError> {
        let rest = doubtful.split_off(CHECKS_MAX.min(doubtful.len()));
        let (name, keys) = (
            self.known_as.clone(),
            doubtful.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>(),
        );
        let items = self.ports.store.read(move |store| store.items(&name, &keys)).await?;
        let mut checked = Checked { unasked: rest, ..Checked::default() };
        let mut is_refused = false;
        for (missing, key) in doubtful {
            let item = items.iter().find(|item| item.key == key).filter(|_| !is_refused);
            match item {
                None => checked.unasked.push((missing, key)),
                Some(item) => match self.look_for(item).await {
                    Seen::Gone => checked.gone.push(key),
                    Seen::Found => checked.found.push((missing, key)),
                    Seen::Unknown => checked.unknown.push((missing, key)),
                    Seen::Refused => {
                        is_refused = true;
                        checked.unknown.push((missing, key));
                    }
                },
            }
        }
        Ok(checked)
    }

    async fn look_for(&mut self, stored: &StoredItem) -> Seen {
        let Ok(item) = json::read(stored.data.as_str()) else { return Seen::Unknown };
        let request = match self.source.check_request(&stored.key, &item) {
            Some(Ok(request)) => request,
            Some(Err(fault)) => {
                tracing::warn!(source = %self.source.name, "`check`: {fault}");
                return Seen::Refused;
            }
            None => return Seen::Unknown,
        };
        match self.exchange(request, Asked::Item).await.map(|(response, _)| response) {
            Ok(Response { status: 404 | 410, .. }) => Seen::Gone,
            Ok(Response { status: 200..=299, .. }) => Seen::Found,
            Ok(Response { status: 429 | 500..=599, .. }) => Seen::Refused,
            Ok(_) => Seen::Unknown,
            Err(fault) => {
                let fault = fault.to_fault(Whose::Source);
                tracing::debug!(source = %self.source.name, "`check`: {fault}");
                Seen::Refused
            }
        }
    }

    /// Of items that are to be deleted, those that a sweep would show: the others are only remembered.
    pub(super) fn in_scope(&self, items: Vec<StoredItem>, delta: &mut Delta) -> Vec<StoredItem> {
        let Some(since) = &self.source.since else { return items };
        let is_outside = |item: &StoredItem| {
            json::read(item.data.as_str()).is_ok_and(|item| since.is_out_of_scope(&item))
        };
        let (outside, inside): (Vec<_>, Vec<_>) = items.into_iter().partition(is_outside);
        let lost = Standing::Lost { since: Some(self.ports.clock.now()) };
        delta.marks.extend(outside.into_iter().map(|item| (item.key, lost)));
        inside
    }
}
