//! Stripe's shape: `Stripe-Signature: t=SECONDS,v1=HEX` over `SECONDS.BODY`. The secret is the whole text: where Stripe
//! itself says `whsec_…`, that is no mark and nothing is decoded.

use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Mismatch, Received, Signed, held, mac, malformed, put};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("stripe-signature");

/// Every secret signs, as it does while Stripe rolls one.
pub(super) fn sign(secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let timestamp = signed.at.as_seconds().to_string();
    let mut headers = HeaderMap::new();
    if !secrets.is_empty() {
        let digests = secrets.iter().map(|secret| {
            let digest = digest(secret, &timestamp, signed.body);
            format!(",v1={}", Encoding::Hex.encode(&digest))
        });
        let digests: String = digests.collect();
        put(&mut headers, SIGNATURE_HEADER, &format!("t={timestamp}{digests}"));
    }
    headers
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let text = received.header(&SIGNATURE_HEADER)?;
    let fields = || text.split(',').filter_map(|field| field.trim().split_once('='));
    let timestamp = fields().find(|(name, _)| *name == "t").map(|(_, value)| value);
    let mut presented =
        fields().filter(|(name, _)| *name == "v1").map(|(_, value)| value).peekable();
    let (Some(timestamp), Some(_)) = (timestamp, presented.peek()) else {
        return Err(malformed(&SIGNATURE_HEADER, "`t=SECONDS,v1=HEX`"));
    };
    received.is_near(&SIGNATURE_HEADER, timestamp)?;
    let digests: Vec<_> =
        secrets.iter().map(|secret| digest(secret, timestamp, received.body)).collect();
    let holds = presented
        .any(|presented| digests.iter().any(|digest| Encoding::Hex.matches(presented, digest)));
    held(holds, &SIGNATURE_HEADER)
}

fn digest(secret: &Secret, timestamp: &str, body: &[u8]) -> [u8; 32] {
    mac(secret.expose().as_bytes(), &[timestamp.as_bytes(), b".", body])
}
