//! One page as a whole: read, noted, committed, and what it leads to.

use super::super::PollError;
use super::long::off_the_loop;
use super::{Next, Place, Turn};
use crate::core::entries::Ending;
use crate::core::extract;
use crate::core::fault::Fault;
use crate::core::format;
use crate::core::http::Response;
use crate::core::limits::COMMIT_ITEMS_MAX;
use crate::core::listing::Listing;
use crate::core::outcome;
use crate::core::pacing::feed;
use crate::core::pages::{self, Answered, KnownPage, Pages, Trail};
use crate::core::refusal;
use crate::core::report::Sample;
use crate::core::snapshot::BodyHash;
use crate::core::source::Source;

impl Turn<'_> {
    /// Takes up a page, commits all of it but the listing's last part.
    pub(super) async fn take_page(
        &mut self,
        (listing, trail): (&mut Listing<'_>, &mut Trail),
        place: &Place,
        response: &Response,
    ) -> Result<Result<Next, Fault>, PollError> {
        let (source, seed) = (self.source, self.ports.store.seed());
        let mut pace = None;
        let read = || {
            let document = format::document(response, source.format.as_ref())?;
            pace = if document.is_feed { feed::pace_of(&response.body) } else { None };
            let response = document.response.as_ref();
            let mut key = source.key.as_slice();
            if document.is_feed && source.format.is_none() {
                listing.proves_no_absence();
                key = if key.is_empty() { format::feed_key() } else { key };
            }
            let doubt =
                refusal::graphql(&source.method, response).map_err(|fault| self.masked(fault))?;
            listing.set_fault(doubt.map(|fault| self.masked(fault)));
            let page = extract::page(&response.body, source.items.as_ref(), key)?;
            let next = match source.pages {
                Pages::One => pages::Next::End,
                _ => follow((source, seed), trail, listing, &page, (place, response))?,
            };
            let noted = listing.note(&page)?;
            let wants_sample = self.shows_events && self.report.sample.is_none();
            let sample = wants_sample.then(|| Sample::of(&page)).flatten();
            match Ending::find(source, &page, seed) {
                Ok(ending) => Ok((next, noted, ending, sample)),
                Err(fault) => {
                    listing.set_fault(Some(fault));
                    Ok((next, noted, None, sample))
                }
            }
        };
        let (next, mut noted, ending, sample) = match off_the_loop(response.body.len(), read) {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(pace) = pace {
            self.state.rate = self.state.rate.clone().paced(pace);
        }
        self.report.pages += 1;
        self.report.sample = self.report.sample.take().or(sample);
        self.ending = self.ending.take().or(ending);
        while noted.len() > COMMIT_ITEMS_MAX {
            let rest = noted.split_off(COMMIT_ITEMS_MAX);
            self.commit_part(listing, std::mem::replace(&mut noted, rest)).await?;
        }
        Ok(Ok(match next {
            pages::Next::Page(token) => {
                self.commit_part(listing, noted).await?;
                Next::Page(token)
            }
            pages::Next::End | pages::Next::Early(_) => {
                Next::End(self.delta(listing, noted).await?)
            }
        }))
    }
}

/// What a page of a listing that has several leads to. What makes the listing doubtful is noted with it.
fn follow(
    (source, seed): (&Source, u64),
    trail: &mut Trail,
    listing: &mut Listing<'_>,
    page: &extract::Page<'_>,
    (place, response): (&Place, &Response),
) -> Result<pages::Next, Fault> {
    source.pages.check_shape(page.shape)?;
    let body = BodyHash::of(&response.body, seed);
    trail.take(page, body, seed)?;
    let (token, address, received) = (&place.token, &place.address, page.count as u64);
    let step = source.pages.next(&Answered { token, address, response, received })?;
    let validator = outcome::validator(&response.headers);
    trail.remember(KnownPage { token: token.clone(), validator, body, received });
    listing.set_fault(trail.announce(step.announced));
    if let pages::Next::Early(fault) = &step.next {
        listing.set_fault(Some(fault.clone()));
    }
    Ok(step.next)
}
