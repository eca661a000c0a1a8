//! An endpoint: a receiver as declared, validated. Only `config` makes one.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::budget::Rate;
use crate::core::http::route::Route;
use crate::core::ids::EndpointName;
use crate::core::jq::Expression;
use crate::core::signature::{Scheme, SigningSecret, public_key};
use crate::core::template;

/// A receiver. Comparable, so that a reload can tell which endpoints changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) name: EndpointName,
    pub(crate) target: Target,
    /// Which event types it wants.
    pub(crate) subscription: Subscription,
    /// Over the envelope: only the events for which it is true.
    pub(crate) where_: Option<Expression>,
    pub(crate) format: Format,
    /// What it gets in place of the envelope, or of the data in any other format.
    pub(crate) body: Option<Reshaping>,
    /// What its bodies are.
    pub(crate) content_type: HeaderValue,
    pub(crate) method: Method,
    /// Newest first; every one signs while rotating, where the scheme allows it. Empty only for `sign: none` and for sinks that do not sign.
    pub(crate) secrets: Vec<SigningSecret>,
    pub(crate) sign: Scheme,
    pub(crate) retry: RetryPolicy,
    pub(crate) breaker: BreakerPolicy,
    /// For one whole attempt.
    pub(crate) timeout: Duration,
    /// What it wants to be shown, beside the proof.
    pub(crate) auth: Auth,
    /// The operator's own headers.
    pub(crate) headers: HeaderMap,
    /// Requests in flight at once.
    pub(crate) concurrency: usize,
    /// Requests in any period; all of them hold.
    pub(crate) limit: Vec<Rate>,
    pub(crate) order: Order,
    /// Its events wait.
    pub(crate) paused: bool,
    /// Its former name: what waits under that one is its own.
    pub(crate) was: Option<EndpointName>,
    /// Over which connections it is rung; `None` for plain ones.
    pub(crate) route: Option<Arc<Route>>,
}

impl Endpoint {
    /// With which its receivers verify: the public halves of its private keys, newest first.
    pub(crate) fn public_keys(&self) -> Vec<String> {
        if !self.sign.knows_private_keys() {
            return Vec::new();
        }
        self.secrets.iter().filter_map(|secret| public_key(&secret.secret)).collect()
    }
}

/// Where an endpoint's events go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// `https://` or `http://`.
    Http { url: Url },
    /// `stdout:`, one event a line.
    Stdout,
    /// `file:PATH`, one event a line, at the end of the file. The path is absolute.
    File { path: PathBuf },
}

impl Target {
    /// Whether an event is a line of JSON there, rather than a request.
    pub(crate) fn is_lines(&self) -> bool {
        matches!(self, Self::Stdout | Self::File { .. })
    }
}

/// How an event is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The envelope.
    Standard,
    /// CloudEvents 1.0, structured: all of it in the body.
    CloudEvents,
    /// CloudEvents 1.0, binary: the data in the body, the attributes in headers.
    CloudEventsBinary,
}

/// How an envelope becomes the body that a receiver wants.
#[derive(Clone, PartialEq)]
pub(crate) enum Reshaping {
    /// Over the envelope; the output is the body.
    Jq(Expression),
    /// A JSON tree with templates over the envelope.
    Template(template::Node),
}

/// Only of which kind it is: what is typed may be a secret.
impl fmt::Debug for Reshaping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jq(_) => out.write_str("Reshaping(jq)"),
            Self::Template(_) => out.write_str("Reshaping(a template)"),
        }
    }
}

/// What waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// An event waits until the earlier ones of the same item are settled.
    Item,
    /// An event waits until all earlier ones of the endpoint are settled.
    Endpoint,
    /// Nothing waits.
    None,
}

/// When to try again, and when to give up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RetryPolicy {
    pub(crate) backoff: BackoffPolicy,
    /// How long a delivery is tried, not counting the time its endpoint was paused or its breaker open.
    pub(crate) give_up_after: Duration,
}

/// When an endpoint is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerPolicy {
    /// Failures in a row, over more than one item.
    pub(crate) failures: u32,
    /// Without a success for at least this long.
    pub(crate) without_success_for: Duration,
}

/// Which event types an endpoint wants: globs, where `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription(Option<Vec<String>>);

impl Subscription {
    /// Everything but doorbell's own events.
    pub(crate) fn default_types() -> Self {
        Self(None)
    }

    /// The types that match any of `globs`.
    pub(crate) fn to(globs: Vec<String>) -> Self {
        Self(Some(globs))
    }

    /// Whether an event of this type goes to the endpoint. doorbell's own events must be asked for by name:
    /// a glob that does not begin with `doorbell.` never matches them.
    pub(crate) fn wants(&self, event_type: &str) -> bool {
        let own = event_type.starts_with("doorbell.");
        match &self.0 {
            None => !own,
            Some(globs) => globs.iter().any(|glob| {
                (!own || glob.starts_with("doorbell.")) && glob_matches(glob, event_type)
            }),
        }
    }
}

impl Subscription {
    /// A type that it wants, with `test` for what may be anything; `any` if all may be.
    pub(crate) fn example(&self, any: &str) -> String {
        let globs = self.0.as_deref().unwrap_or_default();
        let named = globs.iter().find(|glob| !glob.contains('*')).or(globs.first());
        match named.map(|glob| glob.replace('*', "test")) {
            Some(example) if example != "test" => example,
            _ => any.to_owned(),
        }
    }
}

/// Whether `text` matches `glob`, in which `*` stands for any run of characters, also an empty one.
/// Linear in the product of the lengths: greedy with one backtrack point.
pub(crate) fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g + 1, t));
                g += 1;
            }
            Some(byte) if Some(byte) == text.get(t) => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                g = after_star;
                t = from + 1;
            }
        }
    }
    glob.iter().skip(g).all(|byte| *byte == b'*')
}
