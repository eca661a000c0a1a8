//! What an answer asks of whoever polls: its headers, read as data. Heeding it is others' business.
//!
//! | signal | holds | heeded |
//! |---|---|---|
//! | `Retry-After`, `Backoff`, `backoff` in an answer of Stack Exchange | with 429 or 403 the credential, with 503 the host, else the source | always |
//! | nothing left, and when there is more | the credential | always |
//! | `RateLimit`, `RateLimit-*`, `X-RateLimit-*`, `32/40` | the credential, as a smaller budget | always |
//! | `X-Poll-Interval` | the source | always, beyond its longest interval too |
//! | `Cache-Control: max-age` less `Age`, `Expires` less `Date` | the source | up to its longest interval; a fixed one and a calendar are the person's word |
//! | `ttl` and `sy:updatePeriod` of feeds | nothing | a hint at how often there is news, until that is known |
//!
//! What cannot be read is as if it were not there, and no wait is longer than [`SOURCE_RETRY_AFTER_MAX`].

mod caching;
pub(crate) mod feed;
mod fields;
mod quota;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};

pub(crate) use self::quota::Quota;

use crate::core::http::{Response, parse_retry_after};
use crate::core::limits::SOURCE_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

static BACKOFF: HeaderName = HeaderName::from_static("backoff");
static POLL_INTERVAL: HeaderName = HeaderName::from_static("x-poll-interval");

/// How much of a body's end is looked at for a field that stands behind its items.
const TAIL_BYTES: usize = 512;

/// Whom a wait is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Who asked for this.
    Source,
    /// Whoever asks with the same credential.
    Credential,
    /// Whoever asks this host.
    Host,
}

/// What an answer asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pacing {
    /// Not to be asked again for so long, and by whom.
    pub(crate) hold: Option<(Scope, Duration)>,
    /// What was asked for is not to be asked for again for so long, even if all went well.
    pub(crate) interval: Option<Duration>,
    /// A cache may go on giving the same answer for so long.
    pub(crate) fresh: Option<Duration>,
    /// How much may still be asked.
    pub(crate) quota: Option<Quota>,
}

impl Pacing {
    /// Of an answer that came at `now` by the wall clock.
    pub(crate) fn of(response: &Response, now: Timestamp) -> Self {
        let headers = &response.headers;
        // What the server counts by its own clock is read by that one.
        let now = date(headers).unwrap_or(now);
        let quota = Quota::of(headers, now);
        Self {
            hold: hold(response, quota.as_ref(), now),
            interval: seconds(headers, &POLL_INTERVAL),
            fresh: caching::fresh_for(headers, now),
            quota,
        }
    }

    /// Until when its source is to be left alone, from `now` on, whatever a person wrote.
    pub(crate) fn floor(&self) -> Option<Duration> {
        self.hold.map(|(_, wait)| wait).max(self.interval)
    }

    /// Adds what another answer of the same poll asks for. How long a cache keeps it is said by the first: it is the
    /// first page where news shows.
    pub(crate) fn add(&mut self, other: Self) {
        self.hold = self.hold.max_by_wait(other.hold);
        self.interval = self.interval.max(other.interval);
        self.fresh = self.fresh.or(other.fresh);
        self.quota = other.quota.or(self.quota.take());
    }
}

/// The longer one of two waits.
trait MaxByWait {
    fn max_by_wait(self, other: Self) -> Self;
}

impl MaxByWait for Option<(Scope, Duration)> {
    fn max_by_wait(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(two)) => Some(if two.1 > one.1 { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

/// How long a refusal is to be heeded: its own word first, else when there is more to be had.
fn hold(response: &Response, quota: Option<&Quota>, now: Timestamp) -> Option<(Scope, Duration)> {
    let headers = &response.headers;
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = after.and_then(|text| parse_retry_after(text, now));
    let asked = asked.map(|wait| wait.min(SOURCE_RETRY_AFTER_MAX));
    let asked = asked.max(seconds(headers, &BACKOFF)).max(backoff_field(&response.body));
    let is_limit = matches!(response.status, 403 | 429);
    let used_up = quota.filter(|quota| is_limit && quota.remaining == 0);
    let scope = match response.status {
        403 | 429 => Scope::Credential,
        503 => Scope::Host,
        _ => Scope::Source,
    };
    Some((scope, asked.or(used_up.and_then(|quota| quota.reset))?))
}

/// When an answer was made, by the clock of whoever made it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(text(headers, &DATE)?).ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).after(since_epoch))
}

/// A header's value; `None` when it is absent, not text, or there twice with different values.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.all(|other| other == first).then(|| first.to_str().ok().map(str::trim))?
}

/// A header that holds seconds.
fn seconds(headers: &HeaderMap, name: &HeaderName) -> Option<Duration> {
    let wait = whole_seconds(text(headers, name)?)?;
    (!wait.is_zero()).then_some(wait)
}

/// Digits and nothing else, as seconds.
fn whole_seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| text.parse().unwrap_or(u64::MAX))?;
    Some(Duration::from_secs(seconds).min(SOURCE_RETRY_AFTER_MAX))
}

/// `"backoff": 10` beside `"quota_remaining"` behind the items of an answer, as the API of Stack Exchange writes it.
fn backoff_field(body: &[u8]) -> Option<Duration> {
    let tail = body.get(body.len().saturating_sub(TAIL_BYTES)..)?;
    memchr::memmem::find(tail, b"\"quota_remaining\"")?;
    let name = b"\"backoff\"";
    let after = tail.get(memchr::memmem::find(tail, name)? + name.len()..)?;
    let after = std::str::from_utf8(after).ok()?.trim_start().strip_prefix(':')?.trim_start();
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    whole_seconds(digits)
}
