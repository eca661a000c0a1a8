//! Responses → what a poll came to. The only reader of poll status codes.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED};

use crate::core::extract::Shape;
use crate::core::fault::{Fault, Whose};
use crate::core::http::{OFFLINE, Response, TransportFault};
use crate::core::pacing::Pacing;
use crate::core::schedule::rate::{Found, Rate};
use crate::core::schedule::{self, Signal, Terms};
use crate::core::snapshot::{BodyHash, Coverage};
use crate::core::source::{Baseline, Source, SourceState, Validator};
use crate::core::time::Timestamp;

/// What one request came to, before its body is read.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A 2xx whose body is worth reading.
    Body(Response),
    /// 304, and we had asked conditionally. Only its headers are of interest.
    NotModified(Response),
    /// The server wants to be left alone for a while.
    Throttled {
        wait: Duration,
        fault: Fault,
    },
    Failed(Fault),
}

/// Judges a response. `conditional` says whether the request carried a validator.
pub(crate) fn judge(
    result: Result<Response, TransportFault>,
    conditional: bool,
    now: Timestamp,
) -> Answer {
    let response = match result {
        Ok(response) => response,
        Err(TransportFault::NoToken { fault, wait: Some(wait) }) => {
            return Answer::Throttled { wait, fault: *fault };
        }
        Err(TransportFault::Held { fault, wait }) => {
            return Answer::Throttled { wait, fault: *fault };
        }
        Err(fault) => return Answer::Failed(fault.to_fault(Whose::Source)),
    };
    let status = response.status;
    let refuses = matches!(status, 403 | 429 | 503);
    let hold = if refuses { Pacing::of(&response, now).hold } else { None };
    let wait = hold.map(|(_, wait)| wait);
    match (status, wait) {
        (206, _) => Answer::Failed(Fault::source(
            "partial_content",
            "the API answered 206: only a part of the listing, which nobody asked for",
        )),
        (200..=299, _) => match check_type(&response.headers) {
            Ok(()) => Answer::Body(response),
            Err(fault) => Answer::Failed(fault),
        },
        (304, _) if conditional => Answer::NotModified(response),
        (304, _) => Answer::Failed(Fault::source(
            "unasked_304",
            "the API answered 304 although it was not asked conditionally",
        )),
        (429 | 503, Some(wait)) => Answer::Throttled { wait, fault: refusal(status) },
        // So GitHub says that it is asked too often; it does not mean the credentials.
        (403, wait) if wait.is_some() || is_used_up(&response.headers) => {
            let sentence = "the API answered 403: too many requests";
            let fault = Fault::source("http_403", sentence);
            Answer::Throttled { wait: wait.unwrap_or_default(), fault }
        }
        (429, None) => Answer::Throttled { wait: Duration::ZERO, fault: refusal(status) },
        _ => Answer::Failed(refusal(status)),
    }
}

/// Whether the headers say that no requests are left.
fn is_used_up(headers: &HeaderMap) -> bool {
    ["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"]
        .iter()
        .any(|name| headers.get(*name).is_some_and(|left| left.as_bytes() == b"0"))
}

fn refusal(status: u16) -> Fault {
    let code = format!("http_{status}");
    match status {
        301 | 302 | 303 | 307 | 308 => Fault::source(
            &code,
            format!(
                "the API answered {status}, a redirect, which is not followed; write the final URL, or allow it \
                 with `redirects: 1`"
            ),
        ),
        401 | 403 => Fault::source(
            &code,
            format!(
                "the API answered {status}: the credentials are wrong, expired or may not read this"
            ),
        ),
        407 => Fault::source(&code, "the proxy answered 407: it wants other credentials"),
        404 => Fault::source(&code, "the API answered 404: there is nothing at this URL"),
        429 => Fault::source(&code, "the API answered 429: too many requests"),
        500..=599 => {
            Fault::source(&code, format!("the API answered {status}: it has a problem of its own"))
        }
        _ => Fault::source(&code, format!("the API answered {status}")),
    }
}

/// Refuses bodies that cannot be a listing whatever they parse as.
fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "text/html" || essence == "application/xhtml+xml" {
        return Err(Fault::source(
            "html",
            "the API answered a web page (text/html) instead of data: a login, error or captive-portal page?",
        ));
    }
    Ok(())
}

/// A listing must be of the kind it was before: an error object is not an empty list.
pub(crate) fn check_shape(known: Option<Shape>, found: Shape) -> Result<(), Fault> {
    match (known, found) {
        (Some(Shape::List), Shape::Object) => Err(Fault::source(
            "shape",
            "the answer is an object, but it used to be a list: is it an error message?",
        )),
        (Some(Shape::Object), Shape::List) => {
            Err(Fault::source("shape", "the answer is a list, but it used to be an object"))
        }
        _ => Ok(()),
    }
}

/// The validator to send next time: an entity tag if it is well formed, else a last-modified date that can be relied on.
///
/// A date tells seconds apart, no more: what changes again within its second has the same one, and would be missed for
/// ever. So it counts only when the answer was made at least a second later (RFC 9110 §8.8.2.2).
pub(crate) fn validator(headers: &HeaderMap) -> Option<Validator> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let tag = text(ETAG).filter(|tag| {
        let opaque = opaque(tag);
        opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"')
    });
    if let Some(tag) = tag {
        return Some(Validator::ETag(tag.into()));
    }
    let modified = text(LAST_MODIFIED)?;
    let at = httpdate::parse_http_date(modified).ok()?;
    let answered = httpdate::parse_http_date(text(DATE)?).ok()?;
    let age = answered.duration_since(at).ok()?;
    (age >= Duration::from_secs(1)).then(|| Validator::LastModified(modified.into()))
}

/// The validator to send after a 304 to `sent`; `None` when it names another version than that one: what it confirms is
/// not what we hold, so that the next request has to ask for the whole. Most name none (RFC 9110 §15.4.5).
pub(crate) fn confirmed(sent: Option<Validator>, headers: &HeaderMap) -> Option<Validator> {
    let differs = match (&sent, &validator(headers)) {
        (Some(Validator::ETag(sent)), Some(Validator::ETag(named))) => {
            opaque(sent) != opaque(named)
        }
        (Some(Validator::LastModified(sent)), Some(Validator::LastModified(named))) => {
            sent != named
        }
        _ => false,
    };
    sent.filter(|_| !differs)
}

/// An entity tag without its mark of weakness: in a condition, weak tags are as good as strong ones.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What a whole poll came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PollOutcome {
    /// All pages were read.
    Listed {
        coverage: Coverage,
        shape: Shape,
        changed: bool,
        /// To recognise the same listing next time; `None` when this one may not be skipped.
        recognise: Option<(Option<Validator>, BodyHash)>,
        /// An item that could not be used.
        fault: Option<Fault>,
    },
    /// 304, or the very bytes of last time. The validator is the one to send from here on.
    Same { not_modified: bool, changed: bool, validator: Option<Validator> },
    /// There is nothing at the entry's URL: not yet, or no longer.
    Absent { changed: bool },
    /// As for `Failed`; the server says how long to wait.
    Throttled { wait: Duration, fault: Fault, changed: bool },
    /// Nothing came of it from here on; pages read before stand. `pages` counts them.
    Failed { fault: Fault, pages: usize, changed: bool },
}

impl PollOutcome {
    /// The word in metrics and logs.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Listed { fault: Some(_), .. }
            | Self::Listed { coverage: Coverage::Partial | Coverage::Shifted, .. } => "incomplete",
            Self::Listed { changed: true, .. }
            | Self::Same { changed: true, .. }
            | Self::Absent { changed: true } => "changed",
            Self::Listed { .. } | Self::Same { not_modified: false, .. } | Self::Absent { .. } => {
                "unchanged"
            }
            Self::Same { .. } => "not_modified",
            Self::Throttled { .. } => "limited",
            Self::Failed { pages: 0, .. } => "failed",
            Self::Failed { .. } => "incomplete",
        }
    }

    /// Whether the API, or the server of its tokens, no longer takes who asks for what it took it for.
    pub(crate) fn refuses_who_asks(&self) -> bool {
        let Self::Failed { fault, .. } = self else { return false };
        matches!(fault.code.as_str(), "http_401" | "http_403")
            || fault.code.starts_with("oauth2_invalid_")
            || fault.code == "oauth2_unauthorized_client"
    }

    /// Whether events were made.
    pub(crate) fn changed(&self) -> bool {
        match self {
            Self::Listed { changed, .. }
            | Self::Same { changed, .. }
            | Self::Absent { changed }
            | Self::Throttled { changed, .. }
            | Self::Failed { changed, .. } => *changed,
        }
    }

    /// Says that the poll made an event after all else.
    pub(crate) fn set_changed(&mut self) {
        match self {
            Self::Listed { changed, .. }
            | Self::Same { changed, .. }
            | Self::Absent { changed }
            | Self::Throttled { changed, .. }
            | Self::Failed { changed, .. } => *changed = true,
        }
    }

    /// Says that something of the listing could not be used, unless something worse went wrong.
    pub(crate) fn set_fault(&mut self, met: Fault) {
        if let Self::Listed { fault, .. } = self {
            fault.get_or_insert(met);
        }
    }

    /// Says that the next answer is to be read even if it is this one again.
    pub(crate) fn unrecognise(&mut self) {
        if let Self::Listed { recognise, .. } = self {
            *recognise = None;
        }
    }

    /// Whether nothing was learned of the items, or no more than the pages that stand.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Failed { .. })
    }

    /// What went wrong, if anything.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Listed { fault, .. } => fault.as_ref(),
            Self::Same { .. } | Self::Absent { .. } => None,
            Self::Throttled { fault, .. } | Self::Failed { fault, .. } => Some(fault),
        }
    }

    /// Whether our own network was down, so that nothing is to be put down to the source.
    pub(crate) fn is_our_outage(&self) -> bool {
        self.fault().is_some_and(|fault| fault.code == OFFLINE)
    }

    fn signal(&self, next: Duration) -> Signal {
        match self {
            Self::Throttled { wait, .. } => Signal::Throttled { wait: *wait },
            Self::Failed { .. } => Signal::Failed,
            _ => Signal::Answered { next },
        }
    }
}

impl SourceState {
    /// The state after a poll that ended at `now`. `last_seq` and `has_missing` are the commit's to set. `times` are those
    /// of the changes, or at first of the items, as far as they tell; `terms` those on which the next poll is planned.
    #[must_use]
    pub(crate) fn after(
        &self,
        outcome: &PollOutcome,
        source: &Source,
        (times, terms): (&[Timestamp], &Terms),
        now: Timestamp,
        unit: f64,
    ) -> Self {
        if outcome.is_our_outage() {
            let schedule = self.schedule.passed_over(now, unit);
            return Self { schedule, last_poll: Some(now), ..self.clone() };
        }
        let rate = self.learned(outcome, times, now);
        let next = schedule::interval(&rate, terms, source.every, now, unit);
        let signal = outcome.signal(next);
        let schedule = self.schedule.after(signal, source.every, &source.backoff, now, unit);
        let since = self.fault.as_deref().map_or(now, |(_, since)| *since);
        let fault = outcome.fault().map(|fault| Box::new((fault.clone(), since)));
        let mut next = Self { schedule, rate, last_poll: Some(now), fault, ..self.clone() };
        if outcome.changed() {
            next.last_change = Some(now);
        }
        match outcome {
            PollOutcome::Listed { coverage, shape, recognise, .. } => {
                next.last_success = Some(now);
                // An error object met first must not pass for what the source is from then on.
                if *coverage != Coverage::Partial {
                    next.shape = Some(*shape);
                }
                next.digests = Arc::clone(source.digests());
                if *coverage != Coverage::Partial && matches!(next.baseline, Baseline::Due { .. }) {
                    next.baseline = Baseline::Taken { at: now };
                }
                (next.validator, next.body_hash) = match recognise {
                    Some((validator, body_hash)) => (validator.clone(), Some(*body_hash)),
                    None => (None, None),
                };
            }
            PollOutcome::Same { validator, .. } => {
                next.last_success = Some(now);
                next.validator.clone_from(validator);
            }
            PollOutcome::Absent { .. } => {
                next.last_success = Some(now);
                (next.validator, next.body_hash) = (None, None);
            }
            // A validator that a server chokes on must not make every later poll fail.
            PollOutcome::Failed { .. } => next.validator = None,
            PollOutcome::Throttled { .. } => {}
        }
        next
    }

    /// What is known of when the source changes, after a poll. One that failed teaches nothing: the next that does not
    /// covers the longer stretch.
    fn learned(&self, outcome: &PollOutcome, times: &[Timestamp], now: Timestamp) -> Rate {
        let mut rate = self.rate.clone();
        match self.last_success {
            _ if outcome.is_failure() => {}
            // Another baseline of a source that is known.
            None if rate.last_change().is_some() => {}
            None if times.is_empty() => rate = Rate::new(now).paced_as(&self.rate),
            None => rate = Rate::warm(now, times).paced_as(&self.rate),
            Some(since) if outcome.changed() && times.is_empty() => {
                rate.observe(since, now, Found::Changes);
            }
            Some(since) if outcome.changed() => rate.observe(since, now, Found::ChangesAt(times)),
            Some(_) => {}
        }
        rate
    }
}
