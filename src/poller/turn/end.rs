//! The end of a listing: what it says of the items it did not show, and how to recognise it.

use http::Method;
use tracing::info;

use super::super::PollError;
use super::Turn;
use crate::core::diff::Absent;
use crate::core::extract;
use crate::core::http::Response;
use crate::core::listing::{Delta, Listing};
use crate::core::outcome::{self, PollOutcome};
use crate::core::own::Held;
use crate::core::pages::{KnownPages, Pages, Trail};
use crate::core::since::Since;
use crate::core::snapshot::{BodyHash, Coverage, Standing};
use crate::core::source::Validator;

impl Turn<'_> {
    /// The last complete listing holds again.
    pub(super) async fn same(
        &mut self,
        not_modified: bool,
        validator: Option<Validator>,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let mut delta = Delta::default();
        if self.state.has_missing && (!self.ask.is_partial || self.source.check.is_some()) {
            Box::pin(self.confirm(None, &mut delta)).await?;
        }
        let changed = !delta.events.is_empty();
        Ok((PollOutcome::Same { not_modified, changed, validator }, delta))
    }

    /// The end of a listing was reached: what is absent, and how to recognise the same listing next time.
    pub(super) async fn end(
        &mut self,
        mut listing: Listing<'_>,
        known: KnownPages,
        delta: Delta,
        last: &Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let reached = self.reach(&mut listing, last);
        let delta = self.rest(&mut listing, delta).await?;
        let mut delta = self.ring_last(&mut listing, delta).await?;
        match listing.coverage() {
            Coverage::Complete => {
                listing.forget_unsettled(&mut delta);
                self.take_unlisted(&listing, &mut delta).await?;
            }
            Coverage::Changes if self.state.has_missing && self.source.check.is_some() => {
                self.confirm(Some(&listing), &mut delta).await?;
            }
            Coverage::Changes | Coverage::Shifted | Coverage::Partial => {}
        }
        listing.set_fault(delta.fault.clone());
        if let Some(sentence) = listing.told_shift() {
            info!(source = %self.source.name, "{sentence}");
        }
        self.report.items = listing.items_count();
        self.reached = reached.filter(|_| listing.may_advance());
        let recognise = self.recognise(&listing, known, last);
        let outcome = PollOutcome::Listed {
            coverage: listing.coverage(),
            shape: listing.shape().unwrap_or(extract::Shape::List),
            changed: !delta.events.is_empty() || self.report.has_events(),
            recognise,
            fault: listing.fault().cloned(),
        };
        self.index.put(listing.into_snapshot());
        Ok((outcome, delta))
    }

    /// Reads the first page of a listing once more, and those behind it as long as they show what was not there before.
    pub(super) async fn look_again(
        &mut self,
        (listing, trail): (&mut Listing<'_>, &Trail),
        (delta, last): (Delta, Response),
    ) -> Result<Result<(Delta, Response), PollOutcome>, PollError> {
        self.keep_part(delta).await?;
        listing.look_again();
        let pages = &self.source.pages;
        let first = match self.place(pages.first(), None) {
            Ok(first) => first,
            Err(fault) => return Ok(Err(self.failed(fault))),
        };
        let mut trail = trail.again(pages, &first.address);
        let page = match self.next_page(&first).await {
            Ok(page) => page,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let walked = self.walk((listing, &mut trail), first, page).await?;
        Ok(walked.map(|(delta, _)| (delta, last)))
    }

    /// How to recognise the same listing next time, if it may be skipped then.
    fn recognise(
        &mut self,
        listing: &Listing<'_>,
        mut known: KnownPages,
        last: &Response,
    ) -> Option<(Option<Validator>, BodyHash)> {
        let (source, seed) = (self.source, self.ports.store.seed());
        if !listing.is_whole() || listing.is_settling() || !self.is_asked_again() {
            return None;
        }
        match &source.pages {
            Pages::One => Some((outcome::validator(&last.headers), self.body_hash(last))),
            pages if source.method == Method::GET && known.are_useful(pages) => {
                let hash = known.hash(seed);
                let is_prompt = source.since.as_ref().is_some_and(Since::is_prompt);
                known.set_news_first(is_prompt && listing.is_newest_first());
                self.pages = Some(Box::new(known));
                Some((None, hash))
            }
            _ => None,
        }
    }

    /// Adds what a complete listing says of the items it did not show.
    pub(super) async fn take_absent(
        &mut self,
        absent: Absent,
        delta: &mut Delta,
    ) -> Result<(), PollError> {
        let waits = |standing: &Standing| matches!(standing, Standing::Present { missing: 1.. });
        self.state.has_missing =
            absent.is_open || absent.marks.iter().any(|(_, standing)| waits(standing));
        let held =
            absent.marks.iter().filter(|(_, standing)| matches!(standing, Standing::Held { .. }));
        let held = held.count();
        self.hold(if self.are_credentials_known() {
            Held { brake: held, ..Held::default() }
        } else {
            Held { credentials: held, ..Held::default() }
        });
        delta.marks.extend(absent.marks);
        delta.upserts.extend(absent.dropped);
        if !absent.deleted.is_empty() {
            let unit = self.known_as.clone();
            let items =
                self.ports.store.read(move |store| store.items(&unit, &absent.deleted)).await?;
            let items = self.in_scope(items, delta);
            self.take_number().await?;
            self.ringing().deletions(&items, delta);
            self.leave_number(delta);
        }
        Ok(())
    }
}
