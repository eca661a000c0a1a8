//! How refresh tokens stand in the state: sealed with a key made from the one in the operator's file. So the state and
//! its backups alone open nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use sha2::{Digest as _, Sha256};

use crate::core::auth::oauth2::TokenKey;
use crate::core::secret::Secret;

/// Says what the key is for, so that the same text used elsewhere makes another one.
const PURPOSE: &[u8] = b"doorbell: rotated refresh token, 1";

/// Seals a token; `None` when the library refuses, which it has no reason to.
pub(super) fn seal(token: &Secret, configured: &Secret, key: &TokenKey) -> Option<Vec<u8>> {
    let mut text = token.expose().as_bytes().to_vec();
    let nonce = sealer(configured)?.seal_in_place_append_tag(place(key), &mut text).ok()?;
    Some([nonce.as_ref().as_slice(), &text].concat())
}

/// Opens what [`seal`] made; `None` if it is damaged or another key sealed it.
pub(super) fn open(sealed: &[u8], configured: &Secret, key: &TokenKey) -> Option<Secret> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = text.to_vec();
    let token = sealer(configured)?.open_in_place(nonce, place(key), &mut text).ok()?;
    Some(Secret::new(std::str::from_utf8(token).ok()?))
}

fn sealer(configured: &Secret) -> Option<RandomizedNonceKey> {
    let key = Sha256::new().chain_update(PURPOSE).chain_update(configured.expose()).finalize();
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

/// A row moved to another place is not opened there.
fn place(key: &TokenKey) -> Aad<[u8; 32]> {
    let mut place = [0; 32];
    let (settings, configured) = place.split_at_mut(16);
    settings.copy_from_slice(&key.settings);
    configured.copy_from_slice(&key.configured);
    Aad::from(place)
}

#[cfg(test)]
mod tests;
