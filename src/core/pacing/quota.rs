//! What a server says of how much may still be asked.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::fields::{self, Bare};
use super::text;
use crate::core::http::parse_retry_after;
use crate::core::limits::SOURCE_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Three headers that say it together.
struct Three {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

/// In any of these spellings.
static THREE: [Three; 3] = [
    Three {
        limit: HeaderName::from_static("ratelimit-limit"),
        remaining: HeaderName::from_static("ratelimit-remaining"),
        reset: HeaderName::from_static("ratelimit-reset"),
    },
    Three {
        limit: HeaderName::from_static("x-ratelimit-limit"),
        remaining: HeaderName::from_static("x-ratelimit-remaining"),
        reset: HeaderName::from_static("x-ratelimit-reset"),
    },
    Three {
        limit: HeaderName::from_static("x-rate-limit-limit"),
        remaining: HeaderName::from_static("x-rate-limit-remaining"),
        reset: HeaderName::from_static("x-rate-limit-reset"),
    },
];

/// Numbers beyond this are moments, in seconds since the epoch, not spans.
const EPOCH_MIN: f64 = 1e9;
/// Numbers beyond this are such moments in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e11;

/// How much may still be asked with a credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Quota {
    /// Requests in one window.
    pub(crate) limit: Option<u64>,
    /// Requests that are left of it.
    pub(crate) remaining: u64,
    /// How long until there are more.
    pub(crate) reset: Option<Duration>,
    /// The length of the window.
    pub(crate) window: Option<Duration>,
}

impl Quota {
    /// Of an answer that came at `now`, by the server's clock. The newest way to say it counts.
    pub(super) fn of(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        structured(headers)
            .or_else(|| dictionary(headers))
            .or_else(|| THREE.iter().find_map(|names| three(headers, names, now)))
            .or_else(|| call_limit(headers))
    }
}

fn capped(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(SOURCE_RETRY_AFTER_MAX)
}

/// `RateLimit: "name";r=12;t=30` with `RateLimit-Policy: "name";q=100;w=60`
/// (draft-ietf-httpapi-ratelimit-headers-08 and later). Of several, the one that is used up first.
fn structured(headers: &HeaderMap) -> Option<Quota> {
    let policies = text(headers, &RATE_LIMIT_POLICY).and_then(fields::list).unwrap_or_default();
    let counts_requests = |name: &Bare| {
        let policy = policies.iter().find(|policy| policy.bare == *name);
        let unit = policy.and_then(|policy| policy.text("qu"));
        unit.is_none_or(|unit| unit == "requests")
    };
    let told = fields::list(text(headers, &RATE_LIMIT)?)?;
    let quotas = told.into_iter().filter(|item| counts_requests(&item.bare)).filter_map(|item| {
        let policy = policies.iter().find(|policy| policy.bare == item.bare);
        Some(Quota {
            limit: policy.and_then(|policy| policy.number("q")),
            remaining: item.number("r")?,
            reset: item.number("t").map(capped),
            window: policy.and_then(|policy| policy.number("w")).map(capped),
        })
    });
    quotas.min_by_key(|quota| (quota.remaining, std::cmp::Reverse(quota.reset)))
}

/// `RateLimit: limit=100, remaining=4, reset=50` (drafts 06 and 07).
fn dictionary(headers: &HeaderMap) -> Option<Quota> {
    let told = fields::dictionary(text(headers, &RATE_LIMIT)?)?;
    let number = |name: &str| {
        let (_, number) = told.iter().find(|(known, _)| known == name)?;
        u64::try_from(*number).ok()
    };
    Some(Quota {
        limit: number("limit"),
        remaining: number("remaining")?,
        reset: number("reset").map(capped),
        window: None,
    })
}

/// What is left, of how much, and until when, each by itself.
fn three(headers: &HeaderMap, names: &Three, now: Timestamp) -> Option<Quota> {
    let remaining = whole(text(headers, &names.remaining)?)?;
    // Older drafts let the policies follow: `100, 100;w=60`.
    let limit = text(headers, &names.limit);
    let limit = limit.map(|text| text.split([',', ';']).next().unwrap_or(text));
    Some(Quota {
        limit: limit.and_then(whole),
        remaining,
        reset: text(headers, &names.reset).and_then(|text| until(text, now)),
        window: None,
    })
}

/// A whole number; some write it with a fraction.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    (are_digits(whole) && are_digits(fraction)).then(|| whole.parse().ok())?
}

/// How long until there is more: a span, a moment in seconds since the epoch, or a date.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(wait) = span(text, now) {
        return Some(wait.min(SOURCE_RETRY_AFTER_MAX));
    }
    let date = text.parse::<jiff::Timestamp>().ok();
    let date = date.map(|at| Timestamp::from_millis(at.as_millisecond()).since(now));
    let wait = date.or_else(|| parse_retry_after(text, now))?;
    Some(wait.min(SOURCE_RETRY_AFTER_MAX))
}

fn span(text: &str, now: Timestamp) -> Option<Duration> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = text.parse::<f64>().ok().filter(|number| is_number && number.is_finite())?;
    let seconds = if number > EPOCH_MILLIS_MIN { number / 1000.0 } else { number };
    if number <= EPOCH_MIN {
        return Some(Duration::try_from_secs_f64(number).unwrap_or(SOURCE_RETRY_AFTER_MAX));
    }
    let at = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Timestamp::from_millis(0).after(at).since(now))
}

/// `32/40`: of a bucket that holds forty, thirty-two are used. It leaks; how fast is not said.
fn call_limit(headers: &HeaderMap) -> Option<Quota> {
    let is_meant = |name: &str| name.ends_with("call-limit") || name.ends_with("call_limit");
    let name = headers.keys().find(|name| is_meant(name.as_str()))?;
    let (used, limit) = text(headers, name)?.split_once('/')?;
    let (used, limit) = (whole(used)?, whole(limit)?);
    (limit > 0).then(|| Quota {
        limit: Some(limit),
        remaining: limit.saturating_sub(used),
        ..Quota::default()
    })
}
