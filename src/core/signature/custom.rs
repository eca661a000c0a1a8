//! A header of one's own: what receivers written by hand check, and what most providers without a standard send.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::core::secret::Secret;
use crate::core::signature::{
    Encoding, Mismatch, Received, Scheme, Signed, TIMESTAMP_HEADER, held, mac, malformed, put,
};

/// Until the year 2286.
const UNIX_SECONDS_DIGITS: usize = 10;

/// How such a header is written.
pub(super) struct Shape<'a> {
    pub(super) header: &'a HeaderName,
    pub(super) prefix: &'a str,
    pub(super) encoding: Encoding,
    pub(super) timestamp_header: Option<&'a HeaderName>,
}

impl Shape<'_> {
    fn digest(&self, secret: &Secret, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let key = secret.expose().as_bytes();
        match self.timestamp_header {
            Some(_) => mac(key, &[timestamp.as_bytes(), b".", body]),
            None => mac(key, &[body]),
        }
    }

    fn spelling(&self) -> String {
        let encoding = match self.encoding {
            Encoding::Hex => "HEX",
            Encoding::Base64 => "BASE64",
        };
        format!("`{}{encoding}`", self.prefix)
    }
}

/// Only the newest secret signs: the header holds one digest.
pub(super) fn sign(shape: &Shape<'_>, secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let timestamp = signed.at.as_seconds().to_string();
    if let Some(secret) = secrets.first() {
        let digest = shape.encoding.encode(&shape.digest(secret, &timestamp, signed.body));
        put(&mut headers, shape.header.clone(), &format!("{}{digest}", shape.prefix));
    }
    if let Some(name) = shape.timestamp_header {
        put(&mut headers, name.clone(), &timestamp);
    }
    headers
}

pub(super) fn verify(
    shape: &Shape<'_>,
    secrets: &[Secret],
    received: Received<'_>,
) -> Result<(), Mismatch> {
    let presented = received
        .header(shape.header)?
        .strip_prefix(shape.prefix)
        .ok_or_else(|| malformed(shape.header, &shape.spelling()))?;
    let timestamp = match shape.timestamp_header {
        Some(name) => received.timestamp(name)?,
        None => "",
    };
    let holds = secrets.iter().any(|secret| {
        shape.encoding.matches(presented, &shape.digest(secret, timestamp, received.body))
    });
    held(holds, shape.header)
}

/// Whether a header's name says that it holds a signature.
pub(super) fn is_likely_name(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("-signature") || name.ends_with("-256") || name.contains("-hmac-")
}

/// Reads prefix and encoding off a header's value. Beside a timestamp of its own, the time is taken as signed too.
pub(super) fn detect(headers: &HeaderMap, header: &HeaderName) -> Option<Scheme> {
    let value = headers.get(header)?.to_str().ok()?;
    let (prefix, encoding) = hex_tail(value)
        .map(|prefix| (prefix, Encoding::Hex))
        .or_else(|| base64_tail(value).map(|prefix| (prefix, Encoding::Base64)))?;
    let timestamp_header = headers
        .keys()
        .find(|name| name.as_str().ends_with("-timestamp") && **name != TIMESTAMP_HEADER);
    Some(Scheme::Custom {
        header: header.clone(),
        prefix: prefix.to_owned(),
        encoding,
        timestamp_header: timestamp_header.cloned(),
    })
}

/// The same header with the time in another one, or none: not every name tells which time is signed.
pub(super) fn timed_otherwise(scheme: &Scheme, headers: &HeaderMap) -> Vec<Scheme> {
    let Scheme::Custom { header, prefix, encoding, .. } = scheme else { return Vec::new() };
    let is_time = |value: &HeaderValue| {
        let digits = value.as_bytes();
        digits.len() == UNIX_SECONDS_DIGITS && digits.iter().all(u8::is_ascii_digit)
    };
    let times = headers.iter().filter(|(_, value)| is_time(value)).map(|(name, _)| name.clone());
    let with = |timestamp_header| Scheme::Custom {
        header: header.clone(),
        prefix: prefix.clone(),
        encoding: *encoding,
        timestamp_header,
    };
    std::iter::once(None).chain(times.map(Some)).map(with).collect()
}

/// What stands before 64 hexadecimal digits.
fn hex_tail(value: &str) -> Option<&str> {
    let (prefix, digits) = value.split_at_checked(value.len().checked_sub(64)?)?;
    (is_prefix(prefix) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(prefix)
}

/// What stands before 32 bytes in base64.
fn base64_tail(value: &str) -> Option<&str> {
    let (prefix, digits) = value.split_at_checked(value.len().checked_sub(44)?)?;
    let is_digest = BASE64_STANDARD.decode(digits).is_ok_and(|bytes| bytes.len() == 32);
    (is_prefix(prefix) && is_digest).then_some(prefix)
}

/// A prefix ends in a sign (`sha256=`), else it would be a part of a longer digest; and it is not a list.
fn is_prefix(text: &str) -> bool {
    !text.ends_with(|last: char| last.is_ascii_alphanumeric()) && !text.contains([',', ' '])
}
