//! Signatures: what proves to a receiver that a request comes from here and arrived unaltered. One file per scheme.
//!
//! To add a scheme: a file here with `sign` and `verify`, a variant of [`Scheme`] with its arms in [`Scheme::sign`],
//! [`Scheme::verify`] and [`Scheme::name`], a line in [`detect`], a spelling in `config`, and the provider's published
//! vectors in `tests.rs`. A profile is a whole set of headers, not one: look at what the provider's own libraries
//! insist on.
//!
//! Every HMAC covers the exact bytes that are sent.

mod custom;
mod github;
mod standard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::core::hex::hex;
use crate::core::secret::{Secret, same_bytes};
use crate::core::time::{Timestamp, humane};

/// The event's id: goes with every attempt, whatever the scheme, so that a receiver can drop a repeat.
pub(crate) const ID_HEADER: HeaderName = HeaderName::from_static("webhook-id");
/// Unix seconds of this attempt: goes with every attempt, whatever the scheme.
pub(crate) const TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("webhook-timestamp");
/// How far a signed timestamp may be from now, either way: what every Standard Webhooks library allows.
pub(crate) const TIMESTAMP_TOLERANCE: Duration = Duration::from_mins(5);
/// What marks a secret of the Standard Webhooks kind; base64 follows.
const SECRET_PREFIX: &str = "whsec_";

/// How an endpoint's requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Standard Webhooks 1.0, `v1`.
    Standard,
    /// GitHub's `X-Hub-Signature-256`.
    Github {
        /// `X-GitHub-Event`; the event's type when absent.
        event: Option<String>,
    },
    /// A header of one's own. Covers the body, or `TIMESTAMP.BODY` with a timestamp header.
    Custom {
        header: HeaderName,
        /// Stands before the digest: `sha256=`.
        prefix: String,
        encoding: Encoding,
        timestamp_header: Option<HeaderName>,
    },
    /// Not at all.
    None,
}

/// How a digest becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// RFC 4648 §4, padded.
    Base64,
}

impl Encoding {
    /// Writes a digest.
    pub(crate) fn encode(self, digest: &[u8]) -> String {
        match self {
            Self::Hex => hex(digest),
            Self::Base64 => BASE64_STANDARD.encode(digest),
        }
    }

    /// Whether `presented` is the text of `digest`. Hexadecimal may come in capitals.
    fn matches(self, presented: &str, digest: &[u8]) -> bool {
        let presented = match self {
            Self::Hex => presented.to_ascii_lowercase(),
            Self::Base64 => presented.to_owned(),
        };
        same_bytes(presented.as_bytes(), self.encode(digest).as_bytes())
    }
}

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The event's id, the same on every attempt.
    pub(crate) id: &'a str,
    /// When this attempt is made.
    pub(crate) at: Timestamp,
    /// The bytes that are sent.
    pub(crate) body: &'a [u8],
    pub(crate) event_type: &'a str,
}

/// What arrived at a receiver, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The bytes as they came.
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

impl Received<'_> {
    /// A header that the scheme needs, as text.
    fn header(&self, name: &HeaderName) -> Result<&str, Mismatch> {
        let missing = || Mismatch::Missing { header: name.clone() };
        self.headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(missing)
    }

    /// A header that holds Unix seconds near now; gives its text, which is what the signature covers.
    fn timestamp(&self, name: &HeaderName) -> Result<&str, Mismatch> {
        let text = self.header(name)?;
        let seconds: i64 = text.parse().map_err(|_| Mismatch::Malformed {
            header: name.clone(),
            expected: String::from("Unix seconds"),
        })?;
        let at = Timestamp::from_millis(seconds.saturating_mul(1000));
        let (age, lead) = (self.now.since(at), at.since(self.now));
        if age.max(lead) > TIMESTAMP_TOLERANCE {
            return Err(Mismatch::Clock { header: name.clone(), age, lead });
        }
        Ok(text)
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// A header that belongs to the scheme is not there, or is not text.
    Missing { header: HeaderName },
    /// A header is not written as the scheme says.
    Malformed { header: HeaderName, expected: String },
    /// The signed time is too far from now. One of the two durations is zero.
    Clock { header: HeaderName, age: Duration, lead: Duration },
    /// No secret gives this signature: another secret, or another body.
    Digest { header: HeaderName },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { header } => write!(out, "there is no {header}"),
            Self::Malformed { header, expected } => write!(out, "{header} is not {expected}"),
            Self::Clock { header, age, lead } => {
                let (by, side) =
                    if lead.is_zero() { (age, "old") } else { (lead, "in the future") };
                let allowed = humane(TIMESTAMP_TOLERANCE);
                write!(out, "{header} is {} {side}; {allowed} is allowed", humane(*by))
            }
            Self::Digest { header } => {
                write!(out, "{header} was made with another secret, or over another body")
            }
        }
    }
}

impl Scheme {
    /// The headers that prove where a body comes from. Every secret signs, where the scheme allows several; else the
    /// newest. Values are marked sensitive where they could be replayed.
    pub(crate) fn sign(&self, secrets: &[Secret], signed: Signed<'_>) -> HeaderMap {
        match self {
            Self::Standard => standard::sign(secrets, signed),
            Self::Github { event } => github::sign(event.as_deref(), secrets, signed),
            Self::Custom { header, prefix, encoding, timestamp_header } => custom::sign(
                &custom::Shape {
                    header,
                    prefix,
                    encoding: *encoding,
                    timestamp_header: timestamp_header.as_ref(),
                },
                secrets,
                signed,
            ),
            Self::None => HeaderMap::new(),
        }
    }

    /// Whether one of `secrets` signed what was received.
    ///
    /// # Errors
    /// Why not, in words for the receiver's author.
    pub(crate) fn verify(
        &self,
        secrets: &[Secret],
        received: Received<'_>,
    ) -> Result<(), Mismatch> {
        match self {
            Self::Standard => standard::verify(secrets, received),
            Self::Github { .. } => github::verify(secrets, received),
            Self::Custom { header, prefix, encoding, timestamp_header } => custom::verify(
                &custom::Shape {
                    header,
                    prefix,
                    encoding: *encoding,
                    timestamp_header: timestamp_header.as_ref(),
                },
                secrets,
                received,
            ),
            Self::None => Ok(()),
        }
    }

    /// The word for people.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Standard => "standard",
            Self::Github { .. } => "github",
            Self::Custom { header, .. } => header.as_str(),
            Self::None => "none",
        }
    }
}

/// The scheme that a request's headers speak of. Schemes with names of their own come first, because doorbell and others
/// send plain ones beside them.
pub(crate) fn detect(headers: &HeaderMap) -> Option<Scheme> {
    if headers.contains_key(standard::SIGNATURE_HEADER) {
        return Some(Scheme::Standard);
    }
    if headers.contains_key(github::SIGNATURE_HEADER) {
        return Some(Scheme::Github { event: None });
    }
    let mut names: Vec<&HeaderName> = headers.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names
        .into_iter()
        .filter(|name| custom::is_likely_name(name))
        .find_map(|name| detect_in(headers, name))
}

/// The scheme of one header, read off the shape of its value.
pub(crate) fn detect_in(headers: &HeaderMap, header: &HeaderName) -> Option<Scheme> {
    custom::detect(headers, header)
}

/// A new secret in the spelling of Standard Webhooks, from bytes that nobody can guess.
pub(crate) fn secret_from(random: &[u8; 32]) -> Secret {
    Secret::new(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random)))
}

/// HMAC-SHA256 over the parts, one after the other.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Adds a signature header. What cannot stand in a header was refused when the configuration was read.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
