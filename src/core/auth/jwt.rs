//! Signed assertions: RFC 7523 over RFC 7519 (JWT) and RFC 7515 (JWS), by RS256 or ES256.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use crate::core::secret::Secret;
use crate::core::time::Timestamp;

/// How long an assertion holds. Servers allow from three minutes (Salesforce) to an hour; it is used at once.
const LIFETIME: Duration = Duration::from_mins(3);

/// A private key that signs assertions. Its kind says by which algorithm.
#[derive(Clone)]
pub(crate) struct Signer {
    pem: Secret,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Rsa(Arc<RsaKeyPair>),
    P256(Arc<EcdsaKeyPair>),
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({}, …)", self.algorithm())
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Signer {
    /// Reads a key in PEM: PKCS#8, PKCS#1 or SEC1; RSA of at least 2048 bits, or P-256.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence. Nothing of the key is in it.
    pub(crate) fn read(pem: Secret) -> Result<Self, &'static str> {
        const KINDS: &str = "it is neither an RSA key of 2048 bits or more nor a P-256 key";
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| "there is no private key in it that can be read")?;
        let rsa = |pair: RsaKeyPair| Pair::Rsa(Arc::new(pair));
        let p256 = |pair: EcdsaKeyPair| Pair::P256(Arc::new(pair));
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(rsa),
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).map(p256)
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                RsaKeyPair::from_pkcs8(der)
                    .map(rsa)
                    .or_else(|_| EcdsaKeyPair::from_pkcs8(algorithm, der).map(p256))
            }
            _ => return Err(KINDS),
        };
        Ok(Self { pem, pair: pair.map_err(|_| KINDS)? })
    }

    /// The key as it was read.
    pub(crate) fn pem(&self) -> &Secret {
        &self.pem
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
        }
    }

    /// `None` when the library refuses, which it has no reason to.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        // RSA of this padding draws nothing; ECDSA draws its nonce inside the library, whatever it is handed.
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Pair::P256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }
}

/// What is asserted, and by whose key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assertion {
    pub(crate) signer: Signer,
    /// `kid`: which of the issuer's keys it is.
    pub(crate) key_id: Option<String>,
    pub(crate) issuer: String,
    /// On whose behalf.
    pub(crate) subject: Option<String>,
    /// Who is to believe it.
    pub(crate) audience: String,
    /// Some servers want the scopes in here.
    pub(crate) scope: Option<String>,
}

impl Assertion {
    /// The assertion, signed, from `now` on the wall clock. `id` must not come again.
    pub(crate) fn signed(&self, now: Timestamp, id: &str) -> Option<Secret> {
        let mut header = json!({ "alg": self.signer.algorithm(), "typ": "JWT" });
        if let (Some(key_id), Value::Object(header)) = (&self.key_id, &mut header) {
            header.insert(String::from("kid"), json!(key_id));
        }
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&Value::Object(self.claims(now, id))));
        let signature = self.signer.sign(message.as_bytes())?;
        Some(Secret::new(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }

    fn claims(&self, now: Timestamp, id: &str) -> Map<String, Value> {
        let claims = [
            ("iss", json!(self.issuer)),
            ("sub", json!(self.subject)),
            ("aud", json!(self.audience)),
            ("scope", json!(self.scope)),
            ("iat", json!(now.as_seconds())),
            ("exp", json!(now.after(LIFETIME).as_seconds())),
            ("jti", json!(id)),
        ];
        let present = claims.into_iter().filter(|(_, value)| !value.is_null());
        present.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
