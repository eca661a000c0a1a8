//! HTTP Message Signatures (RFC 9421) over the request and, by way of `Content-Digest` (RFC 9530), its body: by
//! `hmac-sha256`, or by `ed25519` with a private key in the spelling of Standard Webhooks.
//!
//! The path stands in the place of the whole target, which a receiver behind a proxy cannot know. Verifying reads any
//! signature over derived components and header fields without parameters.

mod fields;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method};
use sha2::{Digest as _, Sha256};

use crate::core::secret::{Secret, same_bytes};
use crate::core::signature::http_message::fields::{Input, bytes_of, members};
use crate::core::signature::{Mismatch, Received, Signed, ed25519, held, mac, malformed, put};

pub(super) const INPUT_HEADER: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("signature");
const DIGEST_HEADER: HeaderName = HeaderName::from_static("content-digest");

/// What every signature of ours covers.
const COVERED: [&str; 8] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-type",
    "content-digest",
    "webhook-id",
    "webhook-timestamp",
];

/// How signatures and keys are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    /// Of the newest secret's signature; those of older ones get `-2`, `-3` after it.
    pub(crate) label: String,
    /// `keyid`, one for each secret. Those without one are known by their public key, or as `doorbell`.
    pub(crate) key_ids: Vec<String>,
    /// `tag`, of all.
    pub(crate) tag: Option<String>,
}

impl Default for Naming {
    fn default() -> Self {
        Self { label: String::from("sig1"), key_ids: Vec::new(), tag: None }
    }
}

impl Naming {
    fn label(&self, index: usize) -> String {
        match index {
            0 => self.label.clone(),
            older => format!("{}-{}", self.label, older + 1),
        }
    }

    fn key_id(&self, index: usize, secret: &Secret) -> String {
        let given = self.key_ids.get(index).cloned();
        given.or_else(|| ed25519::public_key(secret)).unwrap_or_else(|| String::from("doorbell"))
    }
}

/// The parts of a request that signatures cover.
struct Message<'a> {
    method: &'a Method,
    authority: Cow<'a, str>,
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
}

impl<'a> Message<'a> {
    fn sent(signed: &Signed<'a>, headers: &'a HeaderMap) -> Self {
        let host = signed.url.host_str().unwrap_or_default();
        let named = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = match (named, signed.url.port()) {
            (Some(named), _) => Cow::Owned(named.to_ascii_lowercase()),
            (None, Some(port)) => Cow::Owned(format!("{host}:{port}")),
            (None, None) => Cow::Borrowed(host),
        };
        let (path, query) = (signed.url.path(), signed.url.query());
        Self { method: signed.method, authority, path, query, headers }
    }

    fn received(received: &Received<'a>) -> Self {
        let of_line = received.uri.authority().map(Authority::as_str);
        let of_host = received.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = of_line.or(of_host).unwrap_or_default().to_ascii_lowercase();
        Self {
            method: received.method,
            authority: Cow::Owned(authority),
            path: received.uri.path(),
            query: received.uri.query(),
            headers: received.headers,
        }
    }

    /// The value of a component (§2.1, §2.2); `None` when it is not there, or not known here.
    fn component(&self, name: &str) -> Option<String> {
        match name {
            "@method" => Some(self.method.as_str().to_owned()),
            "@authority" => Some(self.authority.clone().into_owned()),
            "@path" => Some(self.path.to_owned()),
            "@query" => Some(format!("?{}", self.query.unwrap_or_default())),
            _ => {
                let values = self.headers.get_all(name).iter();
                let values: Option<Vec<&str>> =
                    values.map(|value| value.to_str().ok().map(str::trim)).collect();
                values.filter(|values| !values.is_empty()).map(|values| values.join(", "))
            }
        }
    }

    /// The signature base (§2.5).
    fn base<'n>(
        &self,
        covered: impl IntoIterator<Item = &'n str>,
        parameters: &str,
    ) -> Result<String, &'n str> {
        let line = |name: &'n str| {
            let value = self.component(name).ok_or(name)?;
            Ok::<_, &'n str>(format!("\"{name}\": {value}\n"))
        };
        let lines: String = covered.into_iter().map(line).collect::<Result<_, _>>()?;
        Ok(format!("{lines}\"@signature-params\": {parameters}"))
    }
}

/// Every secret signs, under a label of its own.
pub(super) fn sign(naming: &Naming, secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let mut covered = signed.headers.clone();
    let digest = BASE64_STANDARD.encode(Sha256::digest(signed.body));
    put(&mut covered, DIGEST_HEADER, &format!("sha-256=:{digest}:"));
    let message = Message::sent(&signed, &covered);
    let names: Vec<String> = COVERED.iter().map(|name| format!("\"{name}\"")).collect();
    let (names, created) = (names.join(" "), signed.at.as_seconds());
    let (mut inputs, mut signatures) = (Vec::new(), Vec::new());
    for (index, secret) in secrets.iter().enumerate() {
        let (label, key_id) = (naming.label(index), naming.key_id(index, secret));
        let algorithm = if ed25519::is_private(secret) { "ed25519" } else { "hmac-sha256" };
        let tag = naming.tag.as_ref().map(|tag| format!(";tag=\"{tag}\"")).unwrap_or_default();
        let parameters =
            format!("({names});created={created};keyid=\"{key_id}\";alg=\"{algorithm}\"{tag}");
        let base = message.base(COVERED, &parameters).ok();
        let signature = base.and_then(|base| signature(secret, base.as_bytes()));
        if let Some(signature) = signature {
            inputs.push(format!("{label}={parameters}"));
            signatures.push(format!("{label}=:{}:", BASE64_STANDARD.encode(signature)));
        }
    }
    let mut headers = HeaderMap::new();
    if !signatures.is_empty() {
        headers.extend(covered.remove(DIGEST_HEADER).map(|digest| (DIGEST_HEADER, digest)));
        put(&mut headers, INPUT_HEADER, &inputs.join(", "));
        put(&mut headers, SIGNATURE_HEADER, &signatures.join(", "));
    }
    headers
}

fn signature(secret: &Secret, base: &[u8]) -> Option<Vec<u8>> {
    if ed25519::is_private(secret) {
        return ed25519::sign(secret, base);
    }
    Some(mac(secret.expose().as_bytes(), &[base]).to_vec())
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let inputs = received.header(&INPUT_HEADER)?;
    let presented: Vec<_> = members(received.header(&SIGNATURE_HEADER)?).collect();
    holds_body(&received)?;
    let message = Message::received(&received);
    let mut verdict = Err(malformed(&INPUT_HEADER, "a signature that `Signature` has, too"));
    for (label, text) in members(inputs) {
        let signature = presented.iter().find(|(other, _)| *other == label);
        let Some(signature) = signature.and_then(|(_, value)| bytes_of(value)) else { continue };
        verdict = verify_one(secrets, &message, text, &signature, &received);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

fn verify_one(
    secrets: &[Secret],
    message: &Message<'_>,
    text: &str,
    signature: &[u8],
    received: &Received<'_>,
) -> Result<(), Mismatch> {
    let expected = "`LABEL=(\"NAME\" …);created=SECONDS`";
    let input = Input::read(text).ok_or_else(|| malformed(&INPUT_HEADER, expected))?;
    let needed = ["content-digest", "@method"];
    if let Some(name) = needed.iter().find(|name| !input.covered.contains(name)) {
        return Err(malformed(&INPUT_HEADER, &format!("a signature over `{name}`")));
    }
    received.is_near(&INPUT_HEADER, input.created)?;
    let base = message.base(input.covered.iter().copied(), text).map_err(|name| {
        let missing = HeaderName::try_from(name).map(|header| Mismatch::Missing { header });
        missing.unwrap_or_else(|_| malformed(&INPUT_HEADER, "over components known here"))
    })?;
    let holds = secrets.iter().any(|secret| {
        if ed25519::is_key(secret) {
            return ed25519::verifies(secret, base.as_bytes(), signature);
        }
        same_bytes(&mac(secret.expose().as_bytes(), &[base.as_bytes()]), signature)
    });
    held(holds, &SIGNATURE_HEADER)
}

/// Whether the digest that is signed in the body's place is the body's.
fn holds_body(received: &Received<'_>) -> Result<(), Mismatch> {
    let digests = members(received.header(&DIGEST_HEADER)?);
    let digest = digests.filter(|(name, _)| *name == "sha-256").find_map(|(_, it)| bytes_of(it));
    let digest = digest.ok_or_else(|| malformed(&DIGEST_HEADER, "`sha-256=:BASE64:`"))?;
    if same_bytes(&Sha256::digest(received.body), &digest) {
        return Ok(());
    }
    Err(Mismatch::Body { header: DIGEST_HEADER })
}

/// Whether a text can be the label of a signature: the key of a dictionary (RFC 9651).
pub(crate) fn is_label(text: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
    let is_next = |byte: u8| is_first(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte);
    text.bytes().next().is_some_and(is_first) && text.bytes().all(is_next)
}
