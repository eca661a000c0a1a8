//! A source: a polled API as declared, validated. Only `config` makes one.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::time::Duration;

use http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::event::EventRules;
use crate::core::extract::Shape;
use crate::core::fault::Fault;
use crate::core::format::Format;
use crate::core::http::{BodyLimit, OUR_USER_AGENT, Reach, Request};
use crate::core::ids::SourceName;
use crate::core::jq::Expression;
use crate::core::pages::Pages;
use crate::core::parts::Parts;
use crate::core::schedule::{Every, Schedule};
use crate::core::snapshot::BodyHash;
use crate::core::template::{self, Address, Body, Context, Template, Words};
use crate::core::time::Timestamp;

/// A polled API. Comparable, so that a reload can tell which sources changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) method: Method,
    /// With `query` already in it.
    pub(crate) url: Address,
    /// The operator's own headers; values are marked sensitive, because people put tokens there.
    pub(crate) headers: HeaderMap,
    /// Those that are rendered for each request.
    pub(crate) rendered_headers: Vec<(HeaderName, Template)>,
    pub(crate) body: Body,
    pub(crate) auth: Auth,
    /// The blocks of `apis` it shares, its own one first, then the one that names, and so on.
    pub(crate) apis: Vec<String>,
    /// Whether its state is kept and nothing is asked.
    pub(crate) paused: bool,
    /// For one whole exchange, from resolving the name to the last byte.
    pub(crate) timeout: Duration,
    /// Bytes after decompression.
    pub(crate) body_bytes_max: usize,
    /// Over the body: true makes it a failed poll whatever the status.
    pub(crate) fail_when: Option<Expression>,
    pub(crate) every: Every,
    pub(crate) backoff: BackoffPolicy,
    /// What answers are written in; `None` is what they say themselves.
    pub(crate) format: Option<Format>,
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
    /// Its former name: where its state is found if it has none.
    pub(crate) was: Option<SourceName>,
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
    /// Of these parts, in their order.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
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
        let pages = self.pages.identity();
        let fixed = [self.method.as_str(), self.url.as_str(), items, &pages].map(str::as_bytes);
        let keys = self.key.iter().map(|key| key.text().as_bytes());
        let body = self.body.definition();
        let format = Format::identity(self.format.as_ref());
        let format = format.as_ref().map(String::as_bytes);
        Definition::of(fixed.into_iter().chain([body.as_ref()]).chain(keys).chain(format))
    }

    /// What decides whether an item counts as changed. Another comparison keeps the snapshot and compares it anew.
    pub(crate) fn comparison(&self) -> Definition {
        Definition::of(self.ignore.iter().map(|path| path.text().as_bytes()))
    }
}

/// What the server gave to recognise an answer by. Only values that it will understand when they come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Validator {
    /// An entity tag, as given.
    ETag(String),
    /// An HTTP date, as given.
    LastModified(String),
}

/// Whether a first complete listing was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// Not yet. The end of the first complete listing moves it on; until then, `silent` keeps new items from ringing.
    Due {
        silent: bool,
    },
    Taken {
        at: Timestamp,
    },
}

/// What is known of a source beside its items; kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceState {
    /// The number of its last event.
    pub(crate) last_seq: u64,
    /// What it was declared as when this state was made.
    pub(crate) identity: Definition,
    pub(crate) comparison: Definition,
    /// What these two were made of, so that a change can be put down to a key.
    pub(crate) parts: Parts,
    /// List or object; unknown before the first answer.
    pub(crate) shape: Option<Shape>,
    pub(crate) baseline: Baseline,
    /// Sent back for a conditional request. Only that of a complete, faultless, single-page listing.
    pub(crate) validator: Option<Validator>,
    /// The body of that listing: an identical one needs no further look.
    pub(crate) body_hash: Option<BodyHash>,
    /// Whether some item is `Present` with `missing > 0`: then a 304 or an identical body is news.
    pub(crate) has_missing: bool,
    pub(crate) schedule: Schedule,
    pub(crate) last_poll: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_change: Option<Timestamp>,
    /// The failure that the last poll met, and since when polls have been failing; `None` when it went well.
    pub(crate) fault: Option<(Fault, Timestamp)>,
}

impl SourceState {
    /// A source never polled before.
    pub(crate) fn new(source: &Source, schedule: Schedule) -> Self {
        Self {
            last_seq: 0,
            identity: source.identity(),
            comparison: source.comparison(),
            parts: Parts::of(source),
            shape: None,
            baseline: Baseline::Due { silent: source.first_poll == FirstPoll::Baseline },
            validator: None,
            body_hash: None,
            has_missing: false,
            schedule,
            last_poll: None,
            last_success: None,
            last_change: None,
            fault: None,
        }
    }

    /// The same source declared with another identity: its event numbers and schedule go on, a new baseline is taken
    /// in silence whatever `first_poll` says. Only one that found nothing so far begins as if it were new: a URL that
    /// was mistyped at first takes nothing from the first poll.
    #[must_use]
    pub(crate) fn rebaselined(&self, source: &Source) -> Self {
        let fresh = Self::new(source, self.schedule);
        let found_nothing = self.last_seq == 0 && matches!(self.baseline, Baseline::Due { .. });
        let baseline = if found_nothing { fresh.baseline } else { Baseline::Due { silent: true } };
        Self { last_seq: self.last_seq, last_change: self.last_change, baseline, ..fresh }
    }

    /// The same, but the next answer is read even if it is the last one again: the snapshot no longer shows what that
    /// one said.
    pub(crate) fn unrecognised(&self) -> Self {
        Self { validator: None, body_hash: None, ..self.clone() }
    }

    /// Whether losing `newer` in a crash would cost more than a poll that comes sooner or works harder.
    pub(crate) fn must_be_kept(&self, newer: &Self) -> bool {
        self.essence() != newer.essence()
    }

    /// All but what the next poll finds out again.
    fn essence(&self) -> impl PartialEq {
        let Self {
            last_seq,
            identity,
            comparison,
            parts,
            shape,
            baseline,
            validator: _,
            body_hash: _,
            has_missing,
            // When polls fail, how long to wait is the server's word or the backoff's: that is kept.
            schedule: Schedule { interval: _, due: _, failures },
            last_poll: _,
            last_success: _,
            last_change,
            fault,
        } = self;
        (
            (last_seq, identity, comparison, parts, shape, baseline),
            (has_missing, failures, last_change, fault),
        )
    }
}

impl Source {
    /// What to ask for, without the credentials. For a page that the API itself gave the address of, that one counts.
    ///
    /// # Errors
    /// A fault when a template gives nothing that can stand in a URL.
    pub(crate) fn address(&self, context: &Context<'_>) -> Result<Cow<'_, Url>, Fault> {
        self.url.url(&LazyCell::new(|| Words::new(context, &self.auth)))
    }

    /// Whether a template of its requests uses a word.
    pub(crate) fn uses(&self, word: &str) -> bool {
        let in_headers = self.rendered_headers.iter().any(|(_, template)| template.uses(word));
        in_headers || self.url.uses(word) || self.body.uses(word)
    }

    /// An address of its requests as it may be noted: without what templates made of the credentials.
    pub(crate) fn noted(&self, address: &Url) -> Url {
        let mut noted = address.clone();
        if self.url.path_uses("auth") {
            noted.set_path("/***");
        }
        noted
    }

    /// The request for one page at `address`: [`Source::address`], or what the page before it named. `validator` makes
    /// it conditional.
    ///
    /// # Errors
    /// A fault when a template gives nothing that can be sent.
    pub(crate) fn request(
        &self,
        context: &Context<'_>,
        address: &Url,
        validator: Option<&Validator>,
    ) -> Result<Request, Fault> {
        let words = LazyCell::new(|| Words::new(context, &self.auth));
        let mut url = address.clone();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static(Format::accept(self.format.as_ref())));
        let conditional = validator.map(|validator| match validator {
            Validator::ETag(tag) => (IF_NONE_MATCH, tag),
            Validator::LastModified(date) => (IF_MODIFIED_SINCE, date),
        });
        if let Some((name, Ok(value))) =
            conditional.map(|(name, text)| (name, HeaderValue::from_str(text)))
        {
            headers.insert(name, value);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if !self.rendered_headers.is_empty() {
            template::add_headers(&self.rendered_headers, &words, &mut headers)?;
        }
        let body = self.body.bytes(&words, &mut headers)?;
        self.auth.apply(&mut url, &mut headers);
        Ok(Request {
            method: self.method.clone(),
            url,
            headers,
            body,
            deadline: self.timeout,
            limit: BodyLimit::Whole { bytes_max: self.body_bytes_max },
            reach: Reach::Anywhere,
        })
    }
}
