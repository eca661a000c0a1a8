//! The pages of the last complete listing. Asked for again one by one, each with its own validator, they tell that
//! nothing has changed without anything being read.
//!
//! A page that did change ends that, and the whole listing is read anew without validators: what a 304 leaves out would
//! have to be put together from what was kept of another time, and a listing that is partly of now and partly of then
//! proves nothing about what is absent from it.

use url::Url;

use crate::core::http::Response;
use crate::core::json::{self, Value};
use crate::core::limits::KNOWN_PAGES_MAX;
use crate::core::outcome;
use crate::core::pages::{Answered, Next, Pages};
use crate::core::snapshot::BodyHash;
use crate::core::source::Validator;

/// A page as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownPage {
    /// What led to it.
    pub(crate) token: Value,
    pub(crate) validator: Option<Validator>,
    pub(crate) body: BodyHash,
    /// The items it held, usable or not.
    pub(crate) received: u64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KnownPages {
    pages: Vec<KnownPage>,
    /// News are on the first page and nowhere else: as long as that one is as it was, there are none.
    news_first: bool,
}

impl KnownPages {
    /// Notes the next page. One more than [`KNOWN_PAGES_MAX`] makes them useless.
    pub(crate) fn add(&mut self, page: KnownPage) {
        if self.pages.len() <= KNOWN_PAGES_MAX {
            self.pages.push(page);
        }
    }

    /// Notes that news are on the first page and nowhere else.
    pub(crate) fn set_news_first(&mut self, news_first: bool) {
        self.news_first = news_first;
    }

    /// Whether the first page alone tells if there are news.
    pub(crate) fn is_news_first(&self) -> bool {
        self.news_first
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.pages.len()
    }

    /// What led to the page at `at`, counted from zero.
    pub(crate) fn token(&self, at: usize) -> Option<&Value> {
        self.pages.get(at).map(|page| &page.token)
    }

    /// Whether it is worth asking for them again: every page has a validator, and what leads on is known to stay as it
    /// is when that holds.
    pub(crate) fn are_useful(&self, pages: &Pages) -> bool {
        let told = pages.is_told_by_body() || matches!(pages, Pages::Link { .. });
        let validated = self.pages.iter().all(|page| page.validator.is_some());
        told && validated && (1..=KNOWN_PAGES_MAX).contains(&self.pages.len())
    }

    /// What the listing is recognised by in the source's state.
    pub(crate) fn hash(&self, seed: u64) -> BodyHash {
        let mut whole = Vec::new();
        for page in &self.pages {
            whole.extend_from_slice(&page.body.0);
            whole.extend_from_slice(&json::canonical(&page.token));
        }
        BodyHash::of(&whole, seed)
    }

    /// What to ask for the page at `at` with. Nothing for a last page that may be full, if a header says whether there
    /// are more: servers make entity tags of the body alone, and 304 would hide the page that has come after it.
    pub(crate) fn validator(&self, pages: &Pages, at: usize) -> Option<&Validator> {
        let page = self.pages.get(at)?;
        let is_last = at + 1 == self.pages.len();
        if is_last && !pages.is_told_by_body() && self.may_be_full(page.received) {
            return None;
        }
        page.validator.as_ref()
    }

    /// Whether a last page of so many items may have no room for more. Of a single page only the size that it would
    /// have is known to be round, as all that people choose.
    fn may_be_full(&self, received: u64) -> bool {
        match self.pages.as_slice() {
            [] | [_] => [5, 8, 12].iter().any(|round| received.is_multiple_of(*round)),
            [first, ..] => received >= first.received,
        }
    }

    /// Whether an answer says that the page at `at`, and what comes after it, are as they were. If so, its validator
    /// is the one to send from here on.
    pub(crate) fn confirm(
        &mut self,
        pages: &Pages,
        (at, address): (usize, &Url),
        response: &Response,
        seed: u64,
    ) -> bool {
        let expected = self.token(at + 1).cloned().map_or(Next::End, Next::Page);
        let Some(page) = self.pages.get_mut(at) else { return false };
        let is_not_modified = response.status == 304;
        // RFC 9110 lets a 304 leave out all but what identifies it.
        let says_next = !is_not_modified
            || (matches!(pages, Pages::Link { .. }) && response.headers.contains_key("link"));
        if !is_not_modified && BodyHash::of(&response.body, seed) != page.body {
            return false;
        }
        if says_next {
            let (token, received) = (&page.token, page.received);
            let next = pages.next(&Answered { token, address, response, received });
            if next.map(|step| step.next) != Ok(expected) {
                return false;
            }
        }
        page.validator = if is_not_modified {
            outcome::confirmed(page.validator.take(), &response.headers)
        } else {
            outcome::validator(&response.headers)
        };
        true
    }
}

impl Pages {
    /// Whether a page's body alone says what comes after it.
    fn is_told_by_body(&self) -> bool {
        match self {
            Self::NextUrl { .. }
            | Self::Cursor { .. }
            | Self::Number { .. }
            | Self::Offset { .. } => true,
            // What an expression over the whole answer looks at is anybody's guess.
            Self::One | Self::Link { .. } | Self::General { .. } => false,
        }
    }
}
