//! Where a listing goes on. To add a style: a file beside this one, a variant, an arm in [`Pages::next`].

mod link;

use url::Url;

use crate::core::fault::Fault;
use crate::core::http::Response;

/// How a source's listing is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pages {
    /// One answer is the whole listing.
    One,
    /// RFC 8288 `Link: <…>; rel="next"`, at most so many pages.
    Link { pages_max: usize },
}

impl Pages {
    /// The URL of the page after `response`, which answered `url`; `None` when the end is reached.
    ///
    /// # Errors
    /// A fault when the next page lies on another origin: credentials are not carried there.
    pub(crate) fn next(&self, url: &Url, response: &Response) -> Result<Option<Url>, Fault> {
        match self {
            Self::One => Ok(None),
            Self::Link { .. } => link::next(url, response),
        }
    }

    /// How many pages one poll may read.
    pub(crate) fn pages_max(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Link { pages_max } => *pages_max,
        }
    }
}
