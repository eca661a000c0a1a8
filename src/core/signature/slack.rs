//! Slack's shape: `X-Slack-Signature: v0=HEX` over `v0:SECONDS:BODY`, the seconds in a header beside it.

use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Mismatch, Received, Signed, held, mac, malformed, put};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-slack-signature");
const REQUEST_TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
const PREFIX: &str = "v0=";

/// Only the newest secret signs: the header holds one digest.
pub(super) fn sign(secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let timestamp = signed.at.as_seconds().to_string();
    let mut headers = HeaderMap::new();
    if let Some(secret) = secrets.first() {
        let digest = Encoding::Hex.encode(&digest(secret, &timestamp, signed.body));
        put(&mut headers, SIGNATURE_HEADER, &format!("{PREFIX}{digest}"));
    }
    put(&mut headers, REQUEST_TIMESTAMP_HEADER, &timestamp);
    headers
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let presented = received
        .header(&SIGNATURE_HEADER)?
        .strip_prefix(PREFIX)
        .ok_or_else(|| malformed(&SIGNATURE_HEADER, "`v0=HEX`"))?;
    let timestamp = received.timestamp(&REQUEST_TIMESTAMP_HEADER)?;
    let holds = secrets
        .iter()
        .any(|secret| Encoding::Hex.matches(presented, &digest(secret, timestamp, received.body)));
    held(holds, &SIGNATURE_HEADER)
}

fn digest(secret: &Secret, timestamp: &str, body: &[u8]) -> [u8; 32] {
    mac(secret.expose().as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", body])
}
