//! Keys of Ed25519 (RFC 8032) in the spelling of Standard Webhooks: `whsk_` and base64 for a private one, of its 32-byte
//! seed alone or with the public key after it; `whpk_` and base64 of 32 bytes for a public one.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::core::secret::Secret;
use crate::core::signature::PADDED_OR_NOT;

const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
const SEED_BYTES: usize = 32;

/// Whether a secret is spelled as a private key.
pub(crate) fn is_private(secret: &Secret) -> bool {
    secret.expose().starts_with(PRIVATE_PREFIX)
}

/// Whether it is spelled as a key of either kind.
pub(super) fn is_key(secret: &Secret) -> bool {
    is_private(secret) || secret.expose().starts_with(PUBLIC_PREFIX)
}

/// A new private key with its public half, from bytes that nobody can guess.
pub(crate) fn pair_from(seed: &[u8; SEED_BYTES]) -> Secret {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed");
    let bytes = [seed.as_slice(), pair.public_key().as_ref()].concat();
    Secret::new(format!("{PRIVATE_PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

/// The public key to a private one, as receivers want it; `None` for any other secret.
pub(crate) fn public_key(secret: &Secret) -> Option<String> {
    let pair = pair(secret).ok()?;
    Some(format!("{PUBLIC_PREFIX}{}", BASE64_STANDARD.encode(pair.public_key())))
}

/// What is wrong with a secret as a private key, as a sentence; `None` for a good one.
pub(crate) fn private_key_flaw(secret: &Secret) -> Option<&'static str> {
    pair(secret).err()
}

/// `None` for what is no private key.
pub(super) fn sign(secret: &Secret, message: &[u8]) -> Option<Vec<u8>> {
    Some(pair(secret).ok()?.sign(message).as_ref().to_vec())
}

/// Whether `signature` is by the private key `key`, or by the one to the public key that it is.
pub(super) fn verifies(key: &Secret, message: &[u8], signature: &[u8]) -> bool {
    let public = match key.expose().strip_prefix(PUBLIC_PREFIX) {
        Some(text) => PADDED_OR_NOT.decode(text).ok(),
        None => pair(key).ok().map(|pair| pair.public_key().as_ref().to_vec()),
    };
    public.is_some_and(|public| {
        UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    })
}

fn pair(secret: &Secret) -> Result<Ed25519KeyPair, &'static str> {
    let text = secret.expose().strip_prefix(PRIVATE_PREFIX);
    let text = text.ok_or("a private key begins with `whsk_`")?;
    let bytes = PADDED_OR_NOT.decode(text).map_err(|_| "what follows `whsk_` is not base64")?;
    match bytes.split_at_checked(SEED_BYTES) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) if public.len() == SEED_BYTES => {
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
        }
        _ => return Err("what follows `whsk_` is not base64 of 32 or 64 bytes"),
    }
    .map_err(|_| "what follows `whsk_` is not a seed and its own public key")
}
