//! Standard Webhooks 1.0.0 over `ID.TIMESTAMP.BODY`, base64, one entry per secret: symmetric (`v1`, HMAC-SHA256) and
//! asymmetric (`v1a`, Ed25519).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};

use crate::core::secret::Secret;
use crate::core::signature::{
    Encoding, ID_HEADER, Mismatch, PADDED_OR_NOT, Received, SECRET_PREFIX, Scheme, Signed,
    TIMESTAMP_HEADER, ed25519, held, mac, malformed, put,
};

pub(super) const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("webhook-signature");

/// Which kinds of signature there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// By shared secrets.
    Shared,
    /// By private keys, and by shared secrets beside them.
    Both,
}

/// What is signed.
#[derive(Clone, Copy)]
struct Message<'a> {
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn parts(self) -> [&'a [u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body]
    }

    fn digest(self, secret: &Secret) -> [u8; 32] {
        // Without the mark, the text is the key as it is. So is what is no base64 behind it, though configurations refuse that.
        let decoded = secret
            .expose()
            .strip_prefix(SECRET_PREFIX)
            .and_then(|text| PADDED_OR_NOT.decode(text).ok());
        match decoded {
            Some(key) => mac(&key, &self.parts()),
            None => mac(secret.expose().as_bytes(), &self.parts()),
        }
    }

    fn entry(self, secret: &Secret, kinds: Kinds) -> Option<String> {
        if kinds == Kinds::Both && ed25519::is_private(secret) {
            let signature = ed25519::sign(secret, &self.parts().concat())?;
            return Some(format!("v1a,{}", BASE64_STANDARD.encode(signature)));
        }
        Some(format!("v1,{}", Encoding::Base64.encode(&self.digest(secret))))
    }

    fn holds(self, entry: &str, secrets: &[Secret], kinds: Kinds) -> bool {
        let has_keys = kinds == Kinds::Both;
        match entry.split_once(',') {
            Some(("v1", digest)) => secrets
                .iter()
                .filter(|secret| !(has_keys && ed25519::is_key(secret)))
                .any(|secret| Encoding::Base64.matches(digest, &self.digest(secret))),
            Some(("v1a", signature)) if has_keys => {
                let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
                let message = self.parts().concat();
                secrets.iter().any(|key| ed25519::verifies(key, &message, &signature))
            }
            _ => false,
        }
    }
}

/// Every secret signs, so that receivers may change theirs while both are listed. Entries are separated by one space;
/// a reference library fails on any entry without a comma, so nothing else may stand here.
pub(super) fn sign(secrets: &[&Secret], signed: Signed<'_>, kinds: Kinds) -> HeaderMap {
    let timestamp = signed.at.as_seconds().to_string();
    let message = Message { id: signed.id, timestamp: &timestamp, body: signed.body };
    let entries: Vec<String> =
        secrets.iter().filter_map(|secret| message.entry(secret, kinds)).collect();
    let mut headers = HeaderMap::new();
    if !entries.is_empty() {
        put(&mut headers, SIGNATURE_HEADER, &entries.join(" "));
    }
    headers
}

pub(super) fn verify(
    secrets: &[Secret],
    received: Received<'_>,
    kinds: Kinds,
) -> Result<(), Mismatch> {
    let entries = received.header(&SIGNATURE_HEADER)?;
    let id = received.header(&ID_HEADER)?;
    let timestamp = received.timestamp(&TIMESTAMP_HEADER)?;
    let is_known = |entry: &&str| {
        entry.starts_with("v1,") || (kinds == Kinds::Both && entry.starts_with("v1a,"))
    };
    let mut entries = entries.split(' ').filter(is_known).peekable();
    if entries.peek().is_none() {
        let expected = match kinds {
            Kinds::Shared => "a list of `v1,BASE64`",
            Kinds::Both => "a list of `v1a,BASE64`",
        };
        return Err(malformed(&SIGNATURE_HEADER, expected));
    }
    let message = Message { id, timestamp, body: received.body };
    held(entries.any(|entry| message.holds(entry, secrets, kinds)), &SIGNATURE_HEADER)
}

/// Which of the two the entries are of. One `v1a` is enough, as shared secrets may sign beside private keys.
pub(super) fn detect(headers: &HeaderMap) -> Scheme {
    let entries = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let mut entries = entries.unwrap_or_default().split(' ');
    if entries.any(|entry| entry.starts_with("v1a,")) {
        Scheme::StandardEd25519
    } else {
        Scheme::Standard
    }
}
