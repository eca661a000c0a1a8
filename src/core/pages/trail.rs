//! The pages that one poll went through: a listing that comes back to where it was never ends, and one whose own count
//! changes on the way was another listing at its beginning than at its end.

use std::collections::HashSet;

use url::Url;

use crate::core::extract::Page;
use crate::core::fault::Fault;
use crate::core::json::{self, Value};
use crate::core::pages::{KnownPage, KnownPages, Pages};
use crate::core::snapshot::BodyHash;

/// See the module.
#[derive(Debug)]
pub(crate) struct Trail {
    /// What led to the pages, in comparable form.
    ways: HashSet<Vec<u8>>,
    bodies: HashSet<[u8; 16]>,
    /// The pages' item keys.
    contents: HashSet<[u8; 16]>,
    announced: Option<u64>,
    known: KnownPages,
}

impl Trail {
    /// Sets out: `address` is that of the first page.
    pub(crate) fn begin(pages: &Pages, address: &Url) -> Self {
        Self {
            ways: HashSet::from([way(pages, &pages.first(), address)]),
            bodies: HashSet::new(),
            contents: HashSet::new(),
            announced: None,
            known: KnownPages::default(),
        }
    }

    /// Sets out once more, to see what has come meanwhile. What the API counted still has to be so.
    pub(crate) fn again(&self, pages: &Pages, address: &Url) -> Self {
        Self { announced: self.announced, ..Self::begin(pages, address) }
    }

    /// Takes up a page that came. An empty one may come again: some APIs cut their pages first and leave items out of
    /// them later. One whose items have no key is known by its body alone.
    ///
    /// # Errors
    /// `repeated_page` when one before it was the same.
    pub(crate) fn take(&mut self, page: &Page<'_>, body: BodyHash, seed: u64) -> Result<(), Fault> {
        if page.count == 0 {
            return Ok(());
        }
        let keys = page.keys_hash(seed);
        if self.bodies.insert(body.0) && keys.is_none_or(|keys| self.contents.insert(keys.0)) {
            return Ok(());
        }
        let sentence = "a page of the listing came twice, so that its end cannot be reached; does the API know the \
                        parameter that asks for the next one?";
        let keyless = page.faults.first().filter(|_| keys.is_none());
        let why = keyless.map(|fault| format!(" Nor have its items a key: {fault}"));
        Err(Fault::source("repeated_page", format!("{sentence}{}", why.unwrap_or_default())))
    }

    /// Keeps what it takes to recognise the page that was taken up.
    pub(crate) fn remember(&mut self, page: KnownPage) {
        self.known.add(page);
    }

    /// The pages gone through, if all of them were remembered.
    pub(crate) fn into_known(self) -> KnownPages {
        self.known
    }

    /// Goes on to the page that `token` leads to, which lies at `address`.
    ///
    /// # Errors
    /// `repeated_page` or `repeated_token` when the way was gone before, `too_many_pages`.
    pub(crate) fn go_on(
        &mut self,
        pages: &Pages,
        token: &Value,
        address: &Url,
    ) -> Result<(), Fault> {
        if !self.ways.insert(way(pages, token, address)) {
            return Err(match pages {
                Pages::Link { .. } | Pages::NextUrl { .. } => Fault::source(
                    "repeated_page",
                    "the listing leads back to a page that came before, so that its end cannot be reached",
                ),
                _ => Fault::source(
                    "repeated_token",
                    "the token for the next page came twice, so that the end of the listing cannot be reached",
                ),
            });
        }
        let most = pages.pages_max();
        if self.ways.len() > most {
            let sentence = format!("the listing has more than {most} pages (`pages: {{max: …}}`)");
            return Err(Fault::source("too_many_pages", sentence));
        }
        Ok(())
    }

    /// Notes how much there is by the API's own count, and tells when that is not what it was on the page before.
    pub(crate) fn announce(&mut self, announced: Option<u64>) -> Option<Fault> {
        let announced = announced?;
        let before = self.announced.replace(announced).filter(|before| *before != announced)?;
        Some(Fault::source(
            "listing_moved",
            format!(
                "the listing changed while its pages were read: first {before} were announced, then {announced}; \
                 nothing counts as absent"
            ),
        ))
    }
}

/// What a page is recognised by before it is asked for.
fn way(pages: &Pages, token: &Value, address: &Url) -> Vec<u8> {
    match pages {
        Pages::Link { .. } | Pages::NextUrl { .. } => address.as_str().as_bytes().to_vec(),
        _ => json::canonical(token),
    }
}
