//! Published vectors of the schemes, and what a receiver makes of wrong ones.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::core::secret::Secret;
use crate::core::signature::{
    Encoding, ID_HEADER, Received, Scheme, Signed, TIMESTAMP_HEADER, detect, detect_in, secret_from,
};
use crate::core::time::Timestamp;

/// The input that vectors without a publisher share.
const BODY: &str =
    r#"{"type":"item.updated","timestamp":"2026-01-01T00:00:00Z","data":{"id":"42"}}"#;
const AT: i64 = 1_767_225_600;
const PLAIN_HEX: &str = "6f8c91257f48126746102fedb4fa4adca8c1b66898fe2cc668d4a5094c5e2bb5";

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().copied().map(Secret::new).collect()
}

fn signed<'a>(id: &'a str, seconds: i64, body: &'a str) -> Signed<'a> {
    Signed {
        id,
        at: Timestamp::from_millis(seconds * 1000 + 999),
        body: body.as_bytes(),
        event_type: "item.updated",
    }
}

fn github() -> Scheme {
    Scheme::Github { event: None }
}

fn custom(
    header: &'static str,
    prefix: &str,
    encoding: Encoding,
    time: Option<&'static str>,
) -> Scheme {
    Scheme::Custom {
        header: HeaderName::from_static(header),
        prefix: prefix.to_owned(),
        encoding,
        timestamp_header: time.map(HeaderName::from_static),
    }
}

fn plain_hex() -> Scheme {
    custom("x-webhook-signature", "", Encoding::Hex, None)
}

/// The headers as a receiver gets them.
fn arriving(scheme: &Scheme, keys: &[Secret], signed: Signed<'_>) -> HeaderMap {
    let mut headers = scheme.sign(keys, signed);
    headers.insert(ID_HEADER, HeaderValue::from_str(signed.id).unwrap());
    headers.insert(TIMESTAMP_HEADER, HeaderValue::from(signed.at.as_seconds()));
    headers
}

/// Signs, compares the headers (in the order of their names), and verifies what a receiver gets.
fn check_vector(scheme: &Scheme, keys: &[&str], signed: Signed<'_>, expected: &[(&str, &str)]) {
    let keys = secrets(keys);
    let headers = scheme.sign(&keys, signed);
    let mut found: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{scheme:?}");
    assert!(headers.values().all(HeaderValue::is_sensitive));

    let headers = arriving(scheme, &keys, signed);
    let received = Received { headers: &headers, body: signed.body, now: signed.at };
    assert_eq!(scheme.verify(&keys, received), Ok(()), "{scheme:?}");
}

#[test]
fn standard_webhooks_vectors() {
    // The specification's own test vector.
    check_vector(
        &Scheme::Standard,
        &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#),
        &[("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")],
    );
    // 32 bytes of 0xab; the same without padding; and both while rotating.
    let key = "whsec_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
    let bare = "whsec_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s";
    let entry = "v1,HGxbWF8kiYR3eq04zx9K/lXEUVvUXWarti2gXsCZuyE=";
    let event = signed("evt_0001", AT, BODY);
    check_vector(&Scheme::Standard, &[key], event, &[("webhook-signature", entry)]);
    let twice = format!("{entry} {entry}");
    check_vector(&Scheme::Standard, &[key, bare], event, &[("webhook-signature", &twice)]);
    check_vector(&Scheme::None, &[], event, &[]);
}

/// From the provider's documentation and the tests of its JavaScript library.
#[test]
fn github_vectors() {
    let check = |scheme: &Scheme, keys: &[&str], body: &str, event: &str, digest: &str| {
        let digest = format!("sha256={digest}");
        let expected = [
            ("x-github-delivery", "evt_0001"),
            ("x-github-event", event),
            ("x-hub-signature-256", &digest),
        ];
        check_vector(scheme, keys, signed("evt_0001", AT, body), &expected);
    };
    check(
        &github(),
        &["It's a Secret to Everybody"],
        "Hello, World!",
        "item.updated",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );
    check(
        &github(),
        &["mysecret"],
        r#"{"foo":"bar"}"#,
        "item.updated",
        "4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3",
    );
    check(&github(), &["test-secret"], BODY, "item.updated", PLAIN_HEX);
    let named = Scheme::Github { event: Some(String::from("issues")) };
    check(&named, &["test-secret", "old"], BODY, "issues", PLAIN_HEX);
}

#[test]
fn vectors_of_headers_of_ones_own() {
    let check = |scheme: &Scheme, expected: &[(&str, &str)]| {
        check_vector(scheme, &["test-secret", "old"], signed("evt_0001", AT, BODY), expected);
    };
    check(&plain_hex(), &[("x-webhook-signature", PLAIN_HEX)]);
    check(
        &custom("x-provider-signature", "sha256=", Encoding::Hex, None),
        &[("x-provider-signature", &format!("sha256={PLAIN_HEX}"))],
    );
    // The digest of Shopify's scheme.
    check(
        &custom("x-shopify-hmac-sha256", "", Encoding::Base64, None),
        &[("x-shopify-hmac-sha256", "b4yRJX9IEmdGEC/ttPpK3KjBtmiY/izGaNSlCUxeK7U=")],
    );
    // The digest of Stripe's scheme: `TIMESTAMP.BODY`, the secret not decoded.
    let digest = "78620018e76f1a5012b74e76acd86e86481da8a22695c9756f950b1431484c5c";
    check(
        &custom("x-agent-signature", "", Encoding::Hex, Some("x-agent-timestamp")),
        &[("x-agent-signature", digest), ("x-agent-timestamp", "1767225600")],
    );
}

#[test]
fn a_mark_counts_only_for_standard() {
    let event = signed("evt_0001", AT, BODY);
    let (marked, plain) = (secrets(&["whsec_q6urqw=="]), secrets(&["q6urqw=="]));
    for scheme in [github(), plain_hex(), Scheme::Standard] {
        assert_ne!(scheme.sign(&marked, event), scheme.sign(&plain, event), "{scheme:?}");
    }
    // What is not base64 after the mark is taken as it is: configurations refuse it, the API may still hold one.
    let odd = secrets(&["whsec_not base64"]);
    assert_eq!(Scheme::Standard.sign(&odd, event).len(), 1);
}

/// Changes the headers that arrive, or the moment they arrive in, and looks at the reason given.
#[test]
fn a_wrong_signature_says_why() {
    type Change<'a> = &'a dyn Fn(&mut HeaderMap);
    let keys = secrets(&["new", "old"]);
    let check = |scheme: &Scheme, change: Change<'_>, late: i64, body: &str, expected: &str| {
        let event = signed("evt_0001", AT, BODY);
        let mut headers = arriving(scheme, &keys[..1], event);
        change(&mut headers);
        let now = Timestamp::from_millis((AT + late) * 1000);
        let received = Received { headers: &headers, body: body.as_bytes(), now };
        let found = scheme.verify(&keys, received).map_err(|mismatch| mismatch.to_string());
        assert_eq!(found, if expected.is_empty() { Ok(()) } else { Err(expected.to_owned()) });
    };
    let none: Change<'_> = &|_| {};
    let timed = custom("x-agent-signature", "v0=", Encoding::Base64, Some("x-agent-timestamp"));
    for scheme in [Scheme::Standard, github(), plain_hex(), timed.clone()] {
        check(&scheme, none, 0, BODY, "");
        let name = match &scheme {
            Scheme::Standard => "webhook-signature",
            Scheme::Github { .. } => "x-hub-signature-256",
            other => other.name(),
        };
        let digest = format!("{name} was made with another secret, or over another body");
        check(&scheme, none, 0, "{}", &digest);
        let without: Change<'_> = &|headers: &mut HeaderMap| drop(headers.remove(name));
        check(&scheme, without, 0, BODY, &format!("there is no {name}"));
    }
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    // Time is judged where it is covered, to the second.
    for (scheme, header) in
        [(&Scheme::Standard, "webhook-timestamp"), (&timed, "x-agent-timestamp")]
    {
        check(scheme, none, 300, BODY, "");
        check(scheme, none, -300, BODY, "");
        check(scheme, none, 301, BODY, &format!("{header} is 5m 1s old; 5m is allowed"));
        check(scheme, none, -301, BODY, &format!("{header} is 5m 1s in the future; 5m is allowed"));
        let expected = format!("{header} is not Unix seconds");
        check(scheme, &set(header, "2026-01-01"), 0, BODY, &expected);
        let far = &set(header, "9223372036854775807");
        check(
            scheme,
            far,
            0,
            BODY,
            &format!("{header} is 106751970713d 7h in the future; 5m is allowed"),
        );
    }
    check(&github(), none, 100_000, BODY, "");
    // Entries of other versions are passed over; a list with none of ours is malformed.
    let foreign = &set("webhook-signature", "v1a,xx v2,yy");
    let expected = "webhook-signature is not a list of `v1,BASE64`";
    check(&Scheme::Standard, foreign, 0, BODY, expected);
    let id = &set("webhook-id", "evt_0002");
    let expected = "webhook-signature was made with another secret, or over another body";
    check(&Scheme::Standard, id, 0, BODY, expected);
    let missing: Change<'_> = &|headers: &mut HeaderMap| drop(headers.remove("webhook-id"));
    check(&Scheme::Standard, missing, 0, BODY, "there is no webhook-id");
    let sha1 = &set("x-hub-signature-256", "sha1=00");
    check(&github(), sha1, 0, BODY, "x-hub-signature-256 is not `sha256=HEX`");
    let bare = &set("x-agent-signature", "00");
    check(&timed, bare, 0, BODY, "x-agent-signature is not `v0=BASE64`");
}

#[test]
fn a_scheme_is_known_by_its_headers() {
    let check = |headers: &[(&'static str, &str)], expected: Option<Scheme>| {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        assert_eq!(detect(&map), expected, "{headers:?}");
    };
    let b64 = "b4yRJX9IEmdGEC/ttPpK3KjBtmiY/izGaNSlCUxeK7U=";
    let prefixed = format!("sha256={PLAIN_HEX}");
    let plain = ("x-webhook-signature", PLAIN_HEX);
    check(&[], None);
    check(&[("content-type", "application/json"), ("webhook-id", "1")], None);
    check(&[("webhook-signature", "v1,x"), plain], Some(Scheme::Standard));
    check(&[("x-hub-signature-256", "sha256=x"), plain], Some(github()));
    check(&[plain, ("webhook-timestamp", "1")], Some(plain_hex()));
    check(
        &[("x-myplatform-signature", &prefixed)],
        Some(custom("x-myplatform-signature", "sha256=", Encoding::Hex, None)),
    );
    check(
        &[("x-shopify-hmac-sha256", b64)],
        Some(custom("x-shopify-hmac-sha256", "", Encoding::Base64, None)),
    );
    check(
        &[("x-agent-signature", PLAIN_HEX), ("x-agent-timestamp", "1")],
        Some(custom("x-agent-signature", "", Encoding::Hex, Some("x-agent-timestamp"))),
    );
    // Half of a SHA-512, a list, something short, and a provider whose recipe is another one.
    let long = format!("{PLAIN_HEX}{PLAIN_HEX}");
    let list = format!("t=1,v1={PLAIN_HEX}");
    let slack = format!("v0={PLAIN_HEX}");
    check(&[("x-webhook-signature", &long)], None);
    check(&[("stripe-signature", &list)], None);
    check(&[("x-webhook-signature", "sha256=12")], None);
    check(&[("x-slack-signature", &slack)], None);

    let mut headers = HeaderMap::new();
    headers.insert("x-seal", HeaderValue::from_static(PLAIN_HEX));
    let named = detect_in(&headers, &HeaderName::from_static("x-seal"));
    assert_eq!(named, Some(custom("x-seal", "", Encoding::Hex, None)));
    assert_eq!(detect(&headers), None);
}

#[test]
fn a_new_secret_is_a_standard_one() {
    let secret = secret_from(&[0xab; 32]);
    assert_eq!(secret.expose(), "whsec_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
}

proptest! {
    /// Whatever is signed is detected and verifies with any of the secrets a receiver keeps, and with no other.
    #[test]
    fn what_is_signed_verifies(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        id in "evt_[0-9a-f]{32}",
        seconds in 0_i64..4_000_000_000,
        key in "[ -~]{1,80}",
        other in "[ -~]{1,80}",
        which in 0..4_usize,
    ) {
        prop_assume!(key != other);
        let scheme = [
            Scheme::Standard,
            github(),
            plain_hex(),
            custom("x-agent-signature", "v0=", Encoding::Base64, Some("x-agent-timestamp")),
        ][which].clone();
        let signed = Signed { id: &id, at: Timestamp::from_millis(seconds * 1000), body: &body, event_type: "a.b" };
        let headers = arriving(&scheme, &secrets(&[&key]), signed);
        prop_assert_eq!(detect(&headers), Some(scheme.clone()));
        let received = Received { headers: &headers, body: &body, now: signed.at };
        prop_assert_eq!(scheme.verify(&secrets(&[&other, &key]), received), Ok(()));
        prop_assert!(scheme.verify(&secrets(&[&other]), received).is_err());
        prop_assert!(scheme.verify(&[], received).is_err());
    }
}
