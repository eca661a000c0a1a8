//! Signatures: what proves to a receiver that a request comes from here and arrived unaltered. One file per scheme.
//!
//! To add a scheme: a file here with `sign` and `verify`, a variant of [`Scheme`] with its arms in [`Scheme::sign`],
//! [`Scheme::verify`] and [`Scheme::name`], a line in [`detect`], a spelling in `config`, and the provider's published
//! vectors in `tests.rs`. A profile is a whole set of headers, not one: look at what the provider's own libraries
//! insist on.
//!
//! Every signature covers the exact bytes that are sent. While secrets rotate, each of them signs where the scheme has room
//! for several signatures (both `standard`, `stripe`, `http-message-signatures`); elsewhere the newest alone does.

mod custom;
mod ed25519;
mod github;
mod http_message;
mod shopify;
mod slack;
mod standard;
mod stripe;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sha2::Sha256;
use url::Url;

pub(crate) use crate::core::signature::ed25519::{
    is_private, pair_from, private_key_flaw, public_key,
};
pub(crate) use crate::core::signature::github::EVENT_HEADER;
pub(crate) use crate::core::signature::http_message::{Naming, is_label};
pub(crate) use crate::core::signature::shopify::{
    API_VERSION_HEADER, SHOP_DOMAIN_HEADER, TOPIC_HEADER,
};

use crate::core::hex::hex;
use crate::core::secret::{Secret, same_bytes};
use crate::core::template::Template;
use crate::core::time::{Timestamp, humane};

/// The event's id: goes with every attempt, whatever the scheme, so that a receiver can drop a repeat.
pub(crate) const ID_HEADER: HeaderName = HeaderName::from_static("webhook-id");
/// Unix seconds of this attempt: goes with every attempt, whatever the scheme.
pub(crate) const TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("webhook-timestamp");
/// How far a signed timestamp may be from now, either way: what every Standard Webhooks library allows.
pub(crate) const TIMESTAMP_TOLERANCE: Duration = Duration::from_mins(5);
/// What marks a secret of the Standard Webhooks kind; base64 follows.
const SECRET_PREFIX: &str = "whsec_";
/// Secrets are pasted with and without their padding.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that signs, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningSecret {
    pub(crate) secret: Secret,
    /// From then on it signs no more.
    pub(crate) until: Option<Timestamp>,
}

impl SigningSecret {
    /// Whether it signs at a time.
    pub(crate) fn signs_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl From<Secret> for SigningSecret {
    fn from(secret: Secret) -> Self {
        Self { secret, until: None }
    }
}

/// Headers by which a profile names something, with what stands there in place of the default: a template over the
/// envelope, and where that gives null, the default.
pub(crate) type Labels = Arc<[(HeaderName, Template)]>;

/// How an endpoint's requests are signed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scheme {
    /// Standard Webhooks 1.0, `v1`.
    Standard,
    /// Standard Webhooks 1.0, `v1a`: whoever verifies could not have signed. Secrets that are no private keys sign as `v1`.
    StandardEd25519,
    /// GitHub's `X-Hub-Signature-256`. A label may stand for the event's name.
    Github(Labels),
    /// Stripe's `Stripe-Signature`.
    Stripe,
    /// Shopify's `X-Shopify-Hmac-Sha256`. Labels may stand for topic, shop and version.
    Shopify(Labels),
    /// Slack's `X-Slack-Signature`.
    Slack,
    /// HTTP Message Signatures, RFC 9421.
    HttpMessage(Naming),
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
    /// The source that the event is of.
    pub(crate) source: &'a str,
    /// When the change was detected.
    pub(crate) detected: Timestamp,
    pub(crate) method: &'a Method,
    /// Where it goes, credentials included.
    pub(crate) url: &'a Url,
    /// What is set so far, [`ID_HEADER`] and [`TIMESTAMP_HEADER`] included.
    pub(crate) headers: &'a HeaderMap,
}

/// What arrived at a receiver, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) method: &'a Method,
    /// As it stands in the request's first line.
    pub(crate) uri: &'a Uri,
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
        self.is_near(name, text)?;
        Ok(text)
    }

    /// Looks at Unix seconds that stand in a header.
    fn is_near(&self, name: &HeaderName, text: &str) -> Result<(), Mismatch> {
        let seconds: i64 = text.parse().map_err(|_| malformed(name, "Unix seconds"))?;
        let at = Timestamp::from_millis(seconds.saturating_mul(1000));
        let (age, lead) = (self.now.since(at), at.since(self.now));
        if age.max(lead) > TIMESTAMP_TOLERANCE {
            return Err(Mismatch::Clock { header: name.clone(), age, lead });
        }
        Ok(())
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
    /// A digest without a key, over another body.
    Body { header: HeaderName },
}

fn malformed(header: &HeaderName, expected: &str) -> Mismatch {
    Mismatch::Malformed { header: header.clone(), expected: expected.to_owned() }
}

/// The verdict on a signature in a header.
fn held(holds: bool, header: &HeaderName) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(Mismatch::Digest { header: header.clone() }) }
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
            Self::Body { header } => write!(out, "{header} is not that of the body"),
        }
    }
}

impl Scheme {
    /// The scheme that a word stands for, as it is spelled in `sources.yaml` and on the command line.
    pub(crate) fn named(word: &str) -> Option<Self> {
        let schemes = [
            Self::Standard,
            Self::StandardEd25519,
            Self::Github(Labels::default()),
            Self::Stripe,
            Self::Shopify(Labels::default()),
            Self::Slack,
            Self::HttpMessage(Naming::default()),
            Self::None,
        ];
        schemes.into_iter().find(|scheme| scheme.name() == word)
    }

    /// The headers that prove where a body comes from. Every secret signs, where the scheme allows several; else the
    /// newest. Values are marked sensitive where they could be replayed. [`Scheme::labels`] go over them.
    pub(crate) fn sign(&self, secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
        match self {
            Self::Standard | Self::StandardEd25519 => standard::sign(secrets, signed, self.kinds()),
            Self::Github(_) => github::sign(secrets, signed),
            Self::Stripe => stripe::sign(secrets, signed),
            Self::Shopify(_) => shopify::sign(secrets, signed),
            Self::Slack => slack::sign(secrets, signed),
            Self::HttpMessage(naming) => http_message::sign(naming, secrets, signed),
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

    /// Whether one of `secrets` – or the private one to a public key among them – signed what was received.
    ///
    /// # Errors
    /// Why not, in words for the receiver's author.
    pub(crate) fn verify(
        &self,
        secrets: &[Secret],
        received: Received<'_>,
    ) -> Result<(), Mismatch> {
        match self {
            Self::Standard | Self::StandardEd25519 => {
                standard::verify(secrets, received, self.kinds())
            }
            Self::Github(_) => github::verify(secrets, received),
            Self::Stripe => stripe::verify(secrets, received),
            Self::Shopify(_) => shopify::verify(secrets, received),
            Self::Slack => slack::verify(secrets, received),
            Self::HttpMessage(_) => http_message::verify(secrets, received),
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

    /// What the declaration names in headers of the profile.
    pub(crate) fn labels(&self) -> &[(HeaderName, Template)] {
        match self {
            Self::Github(labels) | Self::Shopify(labels) => labels,
            _ => &[],
        }
    }

    /// Whether it signs with private keys, spelled `whsk_…`.
    pub(crate) fn knows_private_keys(&self) -> bool {
        matches!(self, Self::StandardEd25519 | Self::HttpMessage(_))
    }

    /// The word for people.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Standard => "standard",
            Self::StandardEd25519 => "standard-ed25519",
            Self::Github(_) => "github",
            Self::Stripe => "stripe",
            Self::Shopify(_) => "shopify",
            Self::Slack => "slack",
            Self::HttpMessage(_) => "http-message-signatures",
            Self::Custom { header, .. } => header.as_str(),
            Self::None => "none",
        }
    }

    fn kinds(&self) -> standard::Kinds {
        match self {
            Self::StandardEd25519 => standard::Kinds::Both,
            _ => standard::Kinds::Shared,
        }
    }
}

/// The scheme that a request's headers speak of. Schemes with names of their own come first, because doorbell and others
/// send plain ones beside them.
pub(crate) fn detect(headers: &HeaderMap) -> Option<Scheme> {
    let known = [
        (standard::SIGNATURE_HEADER, standard::detect(headers)),
        (github::SIGNATURE_HEADER, Scheme::Github(Labels::default())),
        (stripe::SIGNATURE_HEADER, Scheme::Stripe),
        (shopify::SIGNATURE_HEADER, Scheme::Shopify(Labels::default())),
        (slack::SIGNATURE_HEADER, Scheme::Slack),
        (http_message::INPUT_HEADER, Scheme::HttpMessage(Naming::default())),
    ];
    if let Some((_, scheme)) = known.into_iter().find(|(name, _)| headers.contains_key(name)) {
        return Some(scheme);
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

/// Checks the signature of a scheme that was read off a request's headers, which may hold more than one time.
///
/// # Errors
/// What does not hold, of the likeliest reading.
pub(crate) fn verify_detected(
    found: &Scheme,
    secrets: &[Secret],
    received: Received<'_>,
) -> Result<(), Mismatch> {
    found.verify(secrets, received).or_else(|mismatch| {
        let others = custom::timed_otherwise(found, received.headers);
        let holds = others.iter().any(|other| other.verify(secrets, received).is_ok());
        if holds { Ok(()) } else { Err(mismatch) }
    })
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
