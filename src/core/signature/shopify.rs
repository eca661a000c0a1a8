//! Shopify's shape: `X-Shopify-Hmac-Sha256: BASE64` over the body, with the headers without which its own library refuses
//! a right signature.
//!
//! The id, the time and all the names are not covered: that is the scheme's own weakness, and the receiver's to know.

use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{Encoding, Mismatch, Received, Signed, held, mac, put};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-shopify-hmac-sha256");
/// What happened: `orders/create`.
pub(crate) const TOPIC_HEADER: HeaderName = HeaderName::from_static("x-shopify-topic");
/// Whose shop it is; receivers look up their session by it.
pub(crate) const SHOP_DOMAIN_HEADER: HeaderName = HeaderName::from_static("x-shopify-shop-domain");
/// Which version of Shopify's API the body is written in.
pub(crate) const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-shopify-api-version");
const WEBHOOK_ID_HEADER: HeaderName = HeaderName::from_static("x-shopify-webhook-id");
const EVENT_ID_HEADER: HeaderName = HeaderName::from_static("x-shopify-event-id");
const TRIGGERED_AT_HEADER: HeaderName = HeaderName::from_static("x-shopify-triggered-at");

/// The one version of Shopify's that promises nothing about the body.
const API_VERSION: &str = "unstable";

/// Only the newest secret signs: the header holds one digest.
pub(super) fn sign(secrets: &[&Secret], signed: Signed<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(secret) = secrets.first() {
        let digest = mac(secret.expose().as_bytes(), &[signed.body]);
        put(&mut headers, SIGNATURE_HEADER, &Encoding::Base64.encode(&digest));
    }
    put(&mut headers, TOPIC_HEADER, signed.event_type);
    // Receivers look at the ending before they use it.
    put(&mut headers, SHOP_DOMAIN_HEADER, &format!("{}.myshopify.com", signed.source));
    put(&mut headers, API_VERSION_HEADER, API_VERSION);
    put(&mut headers, WEBHOOK_ID_HEADER, signed.id);
    put(&mut headers, EVENT_ID_HEADER, signed.id);
    put(&mut headers, TRIGGERED_AT_HEADER, &signed.detected.to_rfc3339());
    headers
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let presented = received.header(&SIGNATURE_HEADER)?;
    for name in [TOPIC_HEADER, SHOP_DOMAIN_HEADER, API_VERSION_HEADER, WEBHOOK_ID_HEADER] {
        received.header(&name)?;
    }
    let holds = secrets.iter().any(|secret| {
        Encoding::Base64.matches(presented, &mac(secret.expose().as_bytes(), &[received.body]))
    });
    held(holds, &SIGNATURE_HEADER)
}
