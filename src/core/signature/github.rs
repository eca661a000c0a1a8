//! GitHub's shape: `X-Hub-Signature-256: sha256=HEX` over the body, with the headers its receivers' libraries ask for.
//!
//! The id and the time are not covered: that is the scheme's own weakness, and the receiver's to know.

use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Mismatch, Received, Signed, held, mac, malformed, put};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");
pub(crate) const EVENT_HEADER: HeaderName = HeaderName::from_static("x-github-event");
const DELIVERY_HEADER: HeaderName = HeaderName::from_static("x-github-delivery");
const PREFIX: &str = "sha256=";

/// Only the newest secret signs: the header holds one digest.
pub(super) fn sign(secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(secret) = secrets.first() {
        let digest = mac(secret.expose().as_bytes(), &[signed.body]);
        put(&mut headers, SIGNATURE_HEADER, &format!("{PREFIX}{}", Encoding::Hex.encode(&digest)));
    }
    put(&mut headers, EVENT_HEADER, signed.event_type);
    put(&mut headers, DELIVERY_HEADER, signed.id);
    headers
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let presented = received
        .header(&SIGNATURE_HEADER)?
        .strip_prefix(PREFIX)
        .ok_or_else(|| malformed(&SIGNATURE_HEADER, "`sha256=HEX`"))?;
    let holds = secrets.iter().any(|secret| {
        Encoding::Hex.matches(presented, &mac(secret.expose().as_bytes(), &[received.body]))
    });
    held(holds, &SIGNATURE_HEADER)
}
