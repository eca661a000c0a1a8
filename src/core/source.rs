//! A source: a polled API as declared, validated. Only `config` makes one.

mod common;

use std::cell::LazyCell;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::core::auth::oauth2::OAuth2;
use crate::core::budget::Account;
use crate::core::diff::Comparing;
use crate::core::extract::Shape;
use crate::core::fault::Fault;
use crate::core::format::Format;
use crate::core::http::route::Route;
use crate::core::http::{
    BodyLimit, OUR_USER_AGENT, Reach, Request, Way, is_credential, shown_url, shown_url_with,
    sounds_secret, with_params,
};
use crate::core::ids::{ItemKey, SourceName, UnitName};
use crate::core::jq::Expression;
use crate::core::json;
use crate::core::json::Value;
use crate::core::limits::{SOURCE_RETRY_AFTER_MAX, STATE_FLUSH_PERIOD};
use crate::core::parts::Parts;
use crate::core::schedule::Schedule;
use crate::core::schedule::rate::Rate;
use crate::core::since::Watermark;
use crate::core::snapshot::BodyHash;
use crate::core::template::{self, Address, Context, Words};
use crate::core::time::Timestamp;

pub(crate) use self::common::{Alike, Common, WorkedOut};
use self::common::{Askers, CommonDigests};

/// A polled API. Comparable, so that a reload can tell which sources changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: SourceName,
    /// With `query` already in it.
    pub(crate) url: Address,
    /// All else. Very many sources are declared alike, and those share it.
    pub(crate) common: Arc<Common>,
    digests: WorkedOut<Arc<Digests>>,
}

impl Deref for Source {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
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

/// The digests of a declaration. Hashing it at every poll would cost as much as judging the answer.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Digests {
    /// See [`Source::identity`].
    pub(crate) identity: Definition,
    /// See [`Source::comparison`].
    pub(crate) comparison: Definition,
    /// What these two were made of, so that a change can be put down to a key.
    pub(crate) parts: Parts,
}

impl Source {
    /// A source of this name, asked at this URL.
    pub(crate) fn new(name: SourceName, url: Address, common: Arc<Common>) -> Self {
        Self { name, url, common, digests: WorkedOut::default() }
    }

    /// What decides *which* items there are and what identifies them. Another identity means another baseline:
    /// nothing in the old snapshot can be compared with what is asked now.
    pub(crate) fn identity(&self) -> Definition {
        self.digests().identity
    }

    fn make_identity(&self) -> Definition {
        let items = self.items.as_ref().map_or("", Expression::text);
        let pages = self.pages.identity();
        let fixed = [self.method.as_str(), self.url.as_str(), items, &pages].map(str::as_bytes);
        let keys = self.key.iter().map(|key| key.text().as_bytes());
        let body = self.body.definition();
        let format = Format::identity(self.format.as_ref());
        let format = format.as_ref().map(String::as_bytes);
        // Items from before the start are not asked for.
        let start = self.since.as_ref().and_then(|since| since.start.as_ref());
        let start = start.map(json::canonical);
        let watched = [("where", &self.where_), ("deleted_when", &self.deleted_when)];
        let watched =
            watched.iter().flat_map(|(name, expression)| labelled(name, expression.as_ref()));
        let begun = start.iter().flat_map(|start| [b"\0start".as_slice(), start.as_slice()]);
        let parts = fixed.into_iter().chain([body.as_ref()]).chain(keys).chain(format);
        Definition::of(parts.chain(watched).chain(begun))
    }

    /// What decides whether an item counts as changed. Another comparison keeps the snapshot and compares it anew.
    pub(crate) fn comparison(&self) -> Definition {
        self.digests().comparison
    }

    /// What these two are made of.
    pub(crate) fn parts(&self) -> &Parts {
        &self.digests().parts
    }

    /// All of them, for a state to share.
    pub(crate) fn digests(&self) -> &Arc<Digests> {
        self.digests.get(|| {
            let identity = self.make_identity();
            let of_common = self.common.digests.get(|| self.common.make_digests());
            let parts = Parts::of(&self.url, Arc::clone(&of_common.parts));
            Arc::new(Digests { identity, comparison: of_common.comparison, parts })
        })
    }

    /// A digest of what the source says who asks. Short, because it is kept: it tells that they are others, and is of
    /// no use to whoever wants to know them. Never [`REFUSED`].
    pub(crate) fn credentials(&self) -> u32 {
        self.askers().declared
    }

    /// A digest of who asks, whatever else the headers say.
    fn credential(&self) -> u32 {
        self.askers().sent
    }

    fn askers(&self) -> Askers {
        *self.askers.get(|| Askers { declared: self.make_credentials(), sent: self.make_sent() })
    }

    fn make_credentials(&self) -> u32 {
        let (mut url, mut headers) = (nowhere(), self.headers.clone());
        self.auth.apply(&mut url, &mut headers);
        let fields =
            headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
        let granted = self.auth.oauth2().map(|oauth2| oauth2.identity());
        let granted = granted.as_ref().map(<[u8; 16]>::as_slice);
        let shown = self.route.as_deref().and_then(Route::identity);
        let shown = shown.map(|identity| identity.certificates.as_bytes());
        let parts = fields.chain([url.as_str().as_bytes()]).chain(granted).chain(shown);
        let Definition([a, b, c, d, ..]) = Definition::of(parts);
        u32::from_le_bytes([a, b, c, d]).max(REFUSED + 1)
    }

    /// What of an item is compared.
    pub(crate) fn comparing(&self) -> Comparing<'_> {
        Comparing { ignore: &self.ignore, compare: self.compare.as_ref(), key: &self.key }
    }
}

/// Stands for the credentials of the last complete listing when the API refused some since: whoever is let in again may
/// see less.
pub(crate) const REFUSED: u32 = 0;

fn nowhere() -> Url {
    Url::parse("http://nowhere.invalid/").expect("this is a URL")
}

impl Common {
    fn make_digests(&self) -> CommonDigests {
        let ignored = self.ignore.iter().map(|path| path.text().as_bytes());
        let compared = labelled("compare", self.compare.as_ref());
        let until = labelled("until", self.until.as_ref());
        let comparison = Definition::of(ignored.chain(compared).chain(until));
        CommonDigests { comparison, parts: Parts::of_common(self) }
    }
}

/// A key and its expression, as parts of a digest; nothing where it is not declared, so that no digest changes by a key
/// that is not used. No expression looks like the label.
fn labelled<'a>(
    name: &'a str,
    expression: Option<&'a Expression>,
) -> impl Iterator<Item = &'a [u8]> {
    let label = "\0key".as_bytes();
    expression.into_iter().flat_map(move |text| [label, name.as_bytes(), text.text().as_bytes()])
}

/// What the server gave to recognise an answer by. Only values that it will understand when they come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Validator {
    /// An entity tag, as given.
    ETag(Box<str>),
    /// An HTTP date, as given.
    LastModified(Box<str>),
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
    /// The number of its last event, which the entries of a source share; for an entry, of the last one of its own.
    pub(crate) last_seq: u64,
    /// What it was declared as when this state was made; the source's own while it is still declared so.
    pub(crate) digests: Arc<Digests>,
    /// List or object; unknown before the first answer.
    pub(crate) shape: Option<Shape>,
    pub(crate) baseline: Baseline,
    /// Sent back for a conditional request. Only that of a complete, faultless, single-page listing.
    pub(crate) validator: Option<Validator>,
    /// The body of that listing: an identical one needs no further look.
    pub(crate) body_hash: Option<BodyHash>,
    /// Whether some item is `Present` with `missing > 0`: then a 304 or an identical body is news.
    pub(crate) has_missing: bool,
    /// How far the last complete poll came.
    pub(crate) watermark: Option<Box<Watermark>>,
    /// When everything is to be listed again; `None` at the next poll, if ever.
    pub(crate) sweep_due: Option<Timestamp>,
    /// See [`Source::credentials`]: those that the last complete listing was asked for with.
    pub(crate) credentials: Option<u32>,
    pub(crate) schedule: Schedule,
    /// Before that, the server does not want to be asked, or would give the same answer.
    pub(crate) not_before: Option<Timestamp>,
    /// When it changes, as far as was learned.
    pub(crate) rate: Rate,
    pub(crate) last_poll: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_change: Option<Timestamp>,
    /// When it was last told that nothing changes.
    pub(crate) silent: Option<Timestamp>,
    /// The failure that the last poll met, and since when polls have been failing; `None` when it went well.
    pub(crate) fault: Option<Box<(Fault, Timestamp)>>,
    /// When its item became what `until` waits for: since then it is not polled.
    pub(crate) ended: Option<Timestamp>,
    /// Of an entry: when it was found to be one no more. What is known of it waits for its return.
    pub(crate) left: Option<Timestamp>,
}

impl SourceState {
    /// A state in which nothing is known yet, of no declaration.
    pub(crate) fn blank(baseline: Baseline, schedule: Schedule) -> Self {
        Self {
            last_seq: 0,
            digests: Arc::default(),
            shape: None,
            baseline,
            validator: None,
            body_hash: None,
            has_missing: false,
            watermark: None,
            sweep_due: None,
            credentials: None,
            schedule,
            not_before: None,
            rate: Rate::new(schedule.due),
            last_poll: None,
            last_success: None,
            last_change: None,
            silent: None,
            fault: None,
            ended: None,
            left: None,
        }
    }

    /// A source never polled before.
    pub(crate) fn new(source: &Source, schedule: Schedule) -> Self {
        let baseline = Baseline::Due { silent: source.first_poll == FirstPoll::Baseline };
        Self { digests: Arc::clone(source.digests()), ..Self::blank(baseline, schedule) }
    }

    /// What decides which items there are, as it was when this state was made.
    pub(crate) fn identity(&self) -> Definition {
        self.digests.identity
    }

    /// What decides whether an item counts as changed, as it was when this state was made.
    pub(crate) fn comparison(&self) -> Definition {
        self.digests.comparison
    }

    /// Shares the digests of a declaration, if they say the same. Earlier versions kept no parts.
    pub(crate) fn share_digests(&mut self, source: &Source) {
        let own = source.digests();
        let is_same = self.identity() == own.identity && self.comparison() == own.comparison;
        if is_same && !Arc::ptr_eq(&self.digests, own) {
            self.digests = Arc::clone(own);
        }
    }

    /// The same source declared with another identity: its event numbers and schedule go on, a new baseline is taken
    /// in silence whatever `first_poll` says. Only one that was to ring at its first poll and found nothing so far still
    /// does: a URL that was mistyped at first takes nothing from the first poll.
    #[must_use]
    pub(crate) fn rebaselined(&self, source: &Source) -> Self {
        let fresh = Self::new(source, self.schedule);
        // Silence may be that of an earlier change of identity: it says nothing of what was found before.
        let is_fresh = self.last_seq == 0 && self.baseline == Baseline::Due { silent: false };
        let baseline = if is_fresh { fresh.baseline } else { Baseline::Due { silent: true } };
        let Self { last_seq, last_change, silent, ended, left, .. } = *self;
        let rate = self.rate.clone();
        Self { last_seq, baseline, rate, last_change, silent, ended, left, ..fresh }
    }

    /// The same, but the next answer is read even if it is the last one again: the snapshot no longer shows what that
    /// one said.
    pub(crate) fn unrecognised(&self) -> Self {
        Self { validator: None, body_hash: None, ..self.clone() }
    }

    /// Whether losing `newer` in a crash would cost more than a poll that comes sooner or works harder. That it comes
    /// sooner than the server asked for is more, unless it asked for so little that it is over before it is written.
    pub(crate) fn must_be_kept(&self, newer: &Self) -> bool {
        let is_asked_for = newer.not_before > self.not_before
            && newer.not_before > newer.last_poll.map(|last| last.after(STATE_FLUSH_PERIOD));
        is_asked_for || self.essence() != newer.essence()
    }

    /// A plan, but no sooner than the server wants to be asked. That is never more than a day away, unless the clock was
    /// set back.
    pub(crate) fn left_alone(&self, plan: Schedule, now: Timestamp) -> Schedule {
        let latest = now.after(SOURCE_RETRY_AFTER_MAX);
        let floor = self.not_before.map_or(plan.due, |floor| floor.min(latest));
        Schedule { due: plan.due.max(floor), ..plan }
    }

    /// All but what the next poll finds out again.
    fn essence(&self) -> impl PartialEq {
        let Self {
            last_seq,
            digests,
            shape,
            baseline,
            validator: _,
            body_hash: _,
            has_missing,
            watermark,
            sweep_due,
            credentials,
            // When polls fail, how long to wait is the server's word or the backoff's: that is kept.
            schedule: Schedule { interval: _, due: _, failures },
            // See `must_be_kept`.
            not_before: _,
            // It changes with the items alone, and with them it is kept.
            rate: _,
            last_poll: _,
            last_success: _,
            last_change,
            silent,
            fault,
            ended,
            left,
        } = self;
        (
            (last_seq, digests, shape, baseline),
            (has_missing, failures, last_change, fault, ended, left),
            (watermark, sweep_due, credentials, silent),
        )
    }
}

impl Source {
    /// Who pays for the requests of one of its units.
    pub(crate) fn account(&self, unit: &UnitName) -> Account {
        Account {
            source: self.name.clone(),
            unit: unit.clone(),
            budgets: Arc::clone(&self.budgets),
            credential: self.credential(),
            backoff: self.backoff,
        }
    }

    fn make_sent(&self) -> u32 {
        let (mut url, mut headers) = (nowhere(), self.headers.clone());
        self.auth.apply(&mut url, &mut headers);
        let shown = headers.iter().filter(|(name, _)| is_credential(name.as_str()));
        let fields = shown.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
        let granted = self.auth.oauth2().map(|oauth2| oauth2.identity());
        let granted = granted.as_ref().map(<[u8; 16]>::as_slice);
        let Definition([a, b, c, d, ..]) =
            Definition::of(fields.chain([url.as_str().as_bytes()]).chain(granted));
        u32::from_le_bytes([a, b, c, d])
    }

    fn way(&self) -> Way {
        let credentials = if self.redirects_max == 0 {
            Vec::new()
        } else {
            let rendered = self.url.parameters_using("auth");
            self.auth.parameters().chain(rendered).map(str::to_owned).collect()
        };
        Way {
            redirects_max: self.redirects_max,
            route: self.route.clone(),
            oauth2: self.auth.oauth2().cloned(),
            credentials,
            account: None,
        }
    }

    /// What to ask for, without the credentials. For a page that the API itself gave the address of, that one counts.
    ///
    /// # Errors
    /// A fault when a template gives nothing that can stand in a URL.
    pub(crate) fn address(&self, context: &Context<'_>) -> Result<Url, Fault> {
        let url = self.url.url(&LazyCell::new(|| Words::new(context, &self.auth)))?;
        let param = self.since.as_ref().and_then(|since| since.param.as_deref());
        match (param, context.since) {
            (Some(param), Some(value)) => {
                let text = json::number_text(value);
                let text = text.as_deref().or_else(|| json::as_text(value)).unwrap_or_default();
                Ok(with_params(&url, &[(param, text)]))
            }
            _ => Ok(url),
        }
    }

    /// Where an item is asked for by itself.
    ///
    /// # Errors
    /// As [`Source::address`]; `None` when nobody said where.
    pub(crate) fn check_request(
        &self,
        key: &ItemKey,
        item: &Value,
    ) -> Option<Result<Request, Fault>> {
        let check = self.check.as_ref()?;
        let key = json::text(key.as_str());
        let context = Context { key: Some(&key), item: Some(item), ..Context::default() };
        let made = check.url(&LazyCell::new(|| Words::new(&context, &self.auth))).and_then(|url| {
            let request = self.request(&context, &url, None)?;
            Ok(Request { method: Method::GET, body: Bytes::new(), ..request })
        });
        Some(made)
    }

    /// Whether a template of its requests uses a word.
    pub(crate) fn uses(&self, word: &str) -> bool {
        let in_headers = self.rendered_headers.iter().any(|(_, template)| template.uses(word));
        in_headers || self.url.uses(word) || self.body.uses(word)
    }

    /// An address of its requests as it may be shown: with the values that doorbell or the API put there – pages, how far
    /// it came, an entry – and without those that were typed out or made of the credentials, or whose names sound like
    /// some.
    pub(crate) fn shown(&self, address: &Url) -> String {
        let mut noted = address.clone();
        if self.url.path_uses("auth") {
            noted.set_path("/***");
            return shown_url(&noted);
        }
        let is_of_tokens = |oauth2: &OAuth2| oauth2.token_url.path() == address.path();
        if self.auth.oauth2().is_some_and(|oauth2| is_of_tokens(oauth2)) {
            return shown_url(&noted);
        }
        let ours: Vec<&str> = self
            .pages
            .parameters()
            .chain(self.since.iter().filter_map(|it| it.param.as_deref()))
            .collect();
        let mut typed = self.url.parameters();
        typed.extend(self.check.iter().flat_map(Address::parameters));
        let made: Vec<&str> = self
            .auth
            .parameters()
            .chain(self.url.parameters_using("auth"))
            .chain(self.check.iter().flat_map(|it| it.parameters_using("auth")))
            .collect();
        shown_url_with(&noted, |name| {
            let is_typed = typed.iter().any(|(typed, is_template)| typed == name && !is_template);
            !made.contains(&name) && (ours.contains(&name) || !(is_typed || sounds_secret(name)))
        })
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
            way: self.way(),
        })
    }
}
