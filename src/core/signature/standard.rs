//! Standard Webhooks 1.0.0, symmetric (`v1`): HMAC-SHA256 over `ID.TIMESTAMP.BODY`, base64, one entry per secret.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{
    Encoding, ID_HEADER, Mismatch, Received, SECRET_PREFIX, Signed, TIMESTAMP_HEADER, mac, put,
};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("webhook-signature");

/// Secrets are pasted with and without their padding.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Every secret signs, so that receivers may change theirs while both are listed. Entries are separated by one space;
/// a reference library fails on any entry without a comma, so nothing else may stand here.
pub(super) fn sign(secrets: &[Secret], signed: Signed<'_>) -> HeaderMap {
    let timestamp = signed.at.as_seconds().to_string();
    let entries: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let digest = digest(secret, signed.id, &timestamp, signed.body);
            format!("v1,{}", Encoding::Base64.encode(&digest))
        })
        .collect();
    let mut headers = HeaderMap::new();
    if !entries.is_empty() {
        put(&mut headers, SIGNATURE_HEADER, &entries.join(" "));
    }
    headers
}

pub(super) fn verify(secrets: &[Secret], received: Received<'_>) -> Result<(), Mismatch> {
    let entries = received.header(&SIGNATURE_HEADER)?;
    let id = received.header(&ID_HEADER)?;
    let timestamp = received.timestamp(&TIMESTAMP_HEADER)?;
    let digests: Vec<_> =
        secrets.iter().map(|secret| digest(secret, id, timestamp, received.body)).collect();
    let mut entries = entries.split(' ').filter_map(|entry| entry.strip_prefix("v1,")).peekable();
    if entries.peek().is_none() {
        let expected = String::from("a list of `v1,BASE64`");
        return Err(Mismatch::Malformed { header: SIGNATURE_HEADER, expected });
    }
    let holds =
        entries.any(|entry| digests.iter().any(|digest| Encoding::Base64.matches(entry, digest)));
    if holds { Ok(()) } else { Err(Mismatch::Digest { header: SIGNATURE_HEADER }) }
}

fn digest(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    // Without the mark, the text is the key as it is. So is what is no base64 behind it, though configurations refuse that.
    let decoded = secret
        .expose()
        .strip_prefix(SECRET_PREFIX)
        .and_then(|text| PADDED_OR_NOT.decode(text).ok());
    match decoded {
        Some(key) => mac(&key, &parts),
        None => mac(secret.expose().as_bytes(), &parts),
    }
}
