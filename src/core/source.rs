//! A source: a polled API as declared, validated. Only `config` makes one.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::event::EventRules;
use crate::core::ids::SourceName;
use crate::core::jq::Expression;
use crate::core::pages::Pages;
use crate::core::schedule::Every;

/// A polled API. Comparable, so that a reload can tell which sources changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) method: Method,
    /// With `query` already in it.
    pub(crate) url: Url,
    /// The operator's own headers; values are marked sensitive, because people put tokens there.
    pub(crate) headers: HeaderMap,
    /// Empty for none.
    pub(crate) body: Bytes,
    pub(crate) auth: Auth,
    /// For one whole exchange, from resolving the name to the last byte.
    pub(crate) timeout: Duration,
    /// Bytes after decompression.
    pub(crate) body_bytes_max: usize,
    pub(crate) every: Every,
    pub(crate) backoff: BackoffPolicy,
    /// Where the list is; `None` is the document itself.
    pub(crate) items: Option<Expression>,
    /// What identifies an item; empty for a single-object source.
    pub(crate) key: Vec<Expression>,
    /// Paths left out of the comparison.
    pub(crate) ignore: Vec<Expression>,
    pub(crate) pages: Pages,
    pub(crate) first_poll: FirstPoll,
    pub(crate) deletes: Deletes,
    pub(crate) events: EventRules,
}

/// What the first poll of a source does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstPoll {
    /// Everything is known, nothing rings.
    Baseline,
    /// Everything found rings as created.
    Emit,
}

/// When an item that is no longer listed counts as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletes {
    /// Never. Vanished items are remembered, so that a return rings nothing.
    Off,
    /// After so many complete listings in a row without it.
    After { listings: u32, brake: Brake },
}

/// Deletions in one poll are held for a person when **both** limits are exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brake {
    pub(crate) count: usize,
    /// Of the items known before the poll.
    pub(crate) percent: usize,
}

impl Brake {
    /// Whether `deletions` among `known` items need a person.
    pub(crate) fn holds(self, deletions: usize, known: usize) -> bool {
        let exceeds_percent = deletions.saturating_mul(100) > known.saturating_mul(self.percent);
        deletions > self.count && exceeds_percent
    }
}

/// A digest of a part of a declaration: tells whether state was made under the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Definition(pub(crate) [u8; 16]);

impl Definition {
    fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(
            digest.finalize().first_chunk::<16>().expect("SHA-256 gives 32 bytes"),
        );
        Self(short)
    }
}

impl Source {
    /// What decides *which* items there are and what identifies them. Another identity means another baseline:
    /// nothing in the old snapshot can be compared with what is asked now.
    pub(crate) fn identity(&self) -> Definition {
        let items = self.items.as_ref().map_or("", Expression::text);
        let pages = format!("{:?}", self.pages);
        let fixed = [self.method.as_str(), self.url.as_str(), items, &pages].map(str::as_bytes);
        let keys = self.key.iter().map(|key| key.text().as_bytes());
        Definition::of(fixed.into_iter().chain([self.body.as_ref()]).chain(keys))
    }

    /// What decides whether an item counts as changed. Another comparison keeps the snapshot and compares it anew.
    pub(crate) fn comparison(&self) -> Definition {
        Definition::of(self.ignore.iter().map(|path| path.text().as_bytes()))
    }
}
