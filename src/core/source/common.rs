//! What sources have in common that are declared alike: all but name and URL.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};

use super::{Definition, Deletes, FirstPoll};
use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::budget::Allowance;
use crate::core::entries::ForEach;
use crate::core::event::EventRules;
use crate::core::format::Format;
use crate::core::http::route::Route;
use crate::core::ids::SourceName;
use crate::core::jq::Expression;
use crate::core::pages::Pages;
use crate::core::schedule::Every;
use crate::core::schedule::cron::Cron;
use crate::core::since::Since;
use crate::core::template::{Address, Body, Template};

/// How a source is polled, whatever its name and URL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Common {
    pub(crate) method: Method,
    /// The operator's own headers; values are marked sensitive, because people put tokens there.
    pub(crate) headers: HeaderMap,
    /// Those that are rendered for each request.
    pub(crate) rendered_headers: Vec<(HeaderName, Template)>,
    pub(crate) body: Body,
    pub(crate) auth: Auth,
    /// Trust, client certificate and proxy, when they are not the usual ones.
    pub(crate) route: Option<Arc<Route>>,
    /// Redirects that are followed.
    pub(crate) redirects_max: usize,
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
    /// When it is asked instead: at these times.
    pub(crate) cron: Option<Cron>,
    /// What its requests are paid from, the narrowest first; all of them hold.
    pub(crate) budgets: Arc<[Allowance]>,
    pub(crate) backoff: BackoffPolicy,
    /// What answers are written in; `None` is what they say themselves.
    pub(crate) format: Option<Format>,
    /// Where the list is; `None` is the document itself.
    pub(crate) items: Option<Expression>,
    /// Items for which it is false are not watched.
    pub(crate) where_: Option<Expression>,
    /// What identifies an item; empty for a single-object source.
    pub(crate) key: Vec<Expression>,
    /// Paths left out of the comparison.
    pub(crate) ignore: Vec<Expression>,
    /// What of the rest is compared; `None` is all of it.
    pub(crate) compare: Option<Expression>,
    /// A listed item for which it is true says that it was deleted.
    pub(crate) deleted_when: Option<Expression>,
    pub(crate) pages: Pages,
    pub(crate) first_poll: FirstPoll,
    pub(crate) deletes: Deletes,
    /// Where an item that is no longer listed is asked for by itself: 404 or 410 prove that it is gone.
    pub(crate) check: Option<Address>,
    /// How it is asked for what changed only.
    pub(crate) since: Option<Since>,
    /// More created items than this in one poll are held for a person.
    pub(crate) flood: usize,
    /// Polls a new value must last before it rings.
    pub(crate) settle: u32,
    /// No change for this long is news.
    pub(crate) silent_after: Option<Duration>,
    /// Over an item: when it changed.
    pub(crate) changed_at: Option<Expression>,
    /// Importance relative to others that share its limit.
    pub(crate) weight: u32,
    /// Polled once for each of these instead of once.
    pub(crate) for_each: Option<ForEach>,
    /// Over an item: true ends what is polled.
    pub(crate) until: Option<Expression>,
    pub(crate) events: EventRules,
    /// Its former name: where its state is found if it has none.
    pub(crate) was: Option<SourceName>,
    /// Not declared, but worked out of it.
    pub(crate) askers: WorkedOut<Askers>,
    /// Nor is this.
    pub(crate) digests: WorkedOut<CommonDigests>,
}

/// What all sources that are declared alike have of [`Digests`](super::Digests).
pub(crate) struct CommonDigests {
    pub(super) comparison: Definition,
    pub(super) parts: Arc<str>,
}

/// Digests of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Askers {
    /// See [`Source::credentials`](super::Source::credentials).
    pub(super) declared: u32,
    /// What is sent of it, as far as servers count requests by it.
    pub(super) sent: u32,
}

/// What follows from a declaration, worked out when it is first asked for. It says nothing that the declaration does
/// not, so that all are equal, and a copy begins anew.
pub(crate) struct WorkedOut<T>(OnceLock<T>);

impl<T> WorkedOut<T> {
    /// What was worked out before, or is now.
    pub(super) fn get(&self, work_out: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(work_out)
    }
}

impl<T> Default for WorkedOut<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for WorkedOut<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for WorkedOut<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> fmt::Debug for WorkedOut<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// Declarations that were read lately: those that are the same become one.
#[derive(Debug, Default)]
pub(crate) struct Alike(VecDeque<Arc<Common>>);

/// How many different ones are remembered: each that is read is compared with all of them.
const ALIKE_MAX: usize = 32;

impl Alike {
    /// The declaration that was read before and says the same, or this one.
    pub(crate) fn share(&mut self, common: Common) -> Arc<Common> {
        if let Some(at) = self.0.iter().position(|known| **known == common)
            && let Some(known) = self.0.remove(at)
        {
            self.0.push_front(Arc::clone(&known));
            return known;
        }
        let common = Arc::new(common);
        self.0.truncate(ALIKE_MAX - 1);
        self.0.push_front(Arc::clone(&common));
        common
    }
}
