//! Assertions: what is claimed, and that the signature holds.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::core::auth::jwt::{Assertion, Signer};
use crate::core::secret::Secret;
use crate::core::time::Timestamp;

const RSA: &str = include_str!("../../../../tests/cases/tls/rsa.key");
const RSA_PKCS1: &str = include_str!("../../../../tests/cases/tls/rsa-pkcs1.key");
const RSA_PUBLIC: &str = include_str!("../../../../tests/cases/tls/rsa.pub.b64");
const P256: &str = include_str!("../../../../tests/cases/tls/client.key");
const P256_SEC1: &str = include_str!("../../../../tests/cases/tls/client-sec1.key");
const P256_PUBLIC: &str = include_str!("../../../../tests/cases/tls/client.pub.b64");

fn assertion(pem: &str) -> Assertion {
    Assertion {
        signer: Signer::read(Secret::new(pem)).unwrap(),
        key_id: None,
        issuer: String::from("doorbell"),
        subject: None,
        audience: String::from("https://login.example/token"),
        scope: None,
    }
}

/// Header and claims, if the public key finds the signature right.
fn verified(token: &Secret, public: &str) -> (Value, Value) {
    let (message, signature) = token.expose().rsplit_once('.').unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = BASE64_STANDARD.decode(public).unwrap();
    let told = if public.len() == 65 {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(message.as_bytes(), &signature)
    } else {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(message.as_bytes(), &signature)
    };
    told.expect("the signature holds");
    let (header, claims) = message.split_once('.').unwrap();
    let read =
        |part: &str| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (read(header), read(claims))
}

#[test]
fn an_assertion_says_who_to_whom_and_for_how_long() {
    let now = Timestamp::from_millis(1_800_000_000_999);
    for (pem, public, algorithm) in [
        (RSA, RSA_PUBLIC, "RS256"),
        (RSA_PKCS1, RSA_PUBLIC, "RS256"),
        (P256, P256_PUBLIC, "ES256"),
        (P256_SEC1, P256_PUBLIC, "ES256"),
    ] {
        let (header, claims) = verified(&assertion(pem).signed(now, "one").unwrap(), public);
        assert_eq!(header, json!({ "alg": algorithm, "typ": "JWT" }));
        let expected = json!({
            "iss": "doorbell", "aud": "https://login.example/token", "jti": "one",
            "iat": 1_800_000_000, "exp": 1_800_000_180,
        });
        assert_eq!(claims, expected);
        let full = Assertion {
            key_id: Some(String::from("k1")),
            subject: Some(String::from("clerk@helpdesk.example")),
            scope: Some(String::from("read write")),
            ..assertion(pem)
        };
        let (header, claims) = verified(&full.signed(now, "two").unwrap(), public);
        assert_eq!(header["kid"], "k1");
        assert_eq!(
            (&claims["sub"], &claims["scope"]),
            (&json!("clerk@helpdesk.example"), &json!("read write"))
        );
    }
}

#[test]
fn a_key_that_cannot_sign_is_refused() {
    let certificate = include_str!("../../../../tests/cases/tls/ca.pem");
    for pem in ["", "words", certificate, &RSA.replace("MII", "MIJ")] {
        let flaw = Signer::read(Secret::new(pem)).unwrap_err();
        assert!(
            flaw.starts_with("there is no private key") || flaw.starts_with("it is neither"),
            "{flaw}"
        );
    }
    let signer = Signer::read(Secret::new(RSA)).unwrap();
    assert_eq!(format!("{signer:?}"), "Signer(RS256, …)");
    assert_eq!(signer, signer.clone());
}
