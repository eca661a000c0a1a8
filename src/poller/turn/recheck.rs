//! Asking for pages: those of the last complete listing again, each with its own validator, and new ones.

use super::{Place, Turn};
use crate::core::fault::Fault;
use crate::core::http::Response;
use crate::core::json;
use crate::core::outcome::{Answer, PollOutcome};
use crate::core::pages::{KnownPages, Pages};

/// What that came to.
pub(super) enum Recheck {
    /// The last complete listing holds again; `not_modified` if no page had to be sent for that.
    Same { not_modified: bool },
    /// It does not, or cannot be told so. If the first page showed it, here is that page.
    Changed(Option<Response>),
    /// The poll ends here.
    Ended(PollOutcome),
}

impl Turn<'_> {
    /// The pages to ask for again, unless the snapshot has moved on since they were read.
    fn usable_pages(&mut self) -> Option<Box<KnownPages>> {
        let known = self.pages.take()?;
        let is_current = self.is_comparable()
            && self.source.pages != Pages::One
            && self.state.body_hash == Some(known.hash(self.ports.store.seed()));
        (is_current && known.are_useful(&self.source.pages)).then_some(known)
    }

    /// Asks for one known page after the other, as long as they are as they were. `first` is where the first one is.
    pub(super) async fn recheck(&mut self, first: &Place) -> Recheck {
        let Some(mut known) = self.usable_pages() else { return Recheck::Changed(None) };
        let (source, seed) = (self.source, self.ports.store.seed());
        let mut is_all_304 = true;
        for at in 0..known.count() {
            let token = known.token(at).cloned().unwrap_or_else(json::null);
            let Ok(place) = self.place(token, Some(&first.address)) else {
                return Recheck::Changed(None);
            };
            let validator = known.validator(&source.pages, at).cloned();
            let response = match self.fetch(&place, validator.as_ref()).await {
                Answer::NotModified(response) => response,
                Answer::Body(response) => {
                    is_all_304 = false;
                    response
                }
                Answer::Throttled { wait, fault } => {
                    self.pages = Some(known);
                    return Recheck::Ended(self.throttled(wait, fault));
                }
                // What leads to a later page may have run out, as tokens do. The first page tells, whoever is to blame.
                Answer::Failed(_) if at > 0 => return Recheck::Changed(None),
                Answer::Failed(fault) => return Recheck::Ended(self.failed(fault)),
            };
            if !known.confirm(&source.pages, (at, &place.address), &response, seed) {
                let is_first = at == 0 && response.status != 304;
                return Recheck::Changed(is_first.then_some(response));
            }
            if self.ask.is_partial && known.is_news_first() {
                break;
            }
        }
        self.pages = Some(known);
        Recheck::Same { not_modified: is_all_304 }
    }

    /// A page asked for without conditions.
    pub(super) async fn next_page(&mut self, place: &Place) -> Result<Response, PollOutcome> {
        match self.fetch(place, None).await {
            Answer::Body(page) => Ok(page),
            Answer::Throttled { wait, fault } => Err(self.throttled(wait, fault)),
            Answer::Failed(fault) => Err(self.failed(fault)),
            Answer::NotModified(_) => {
                let fault = Fault::source("unasked_304", "a page answered 304 unasked");
                Err(self.failed(fault))
            }
        }
    }
}
