//! Published vectors of the schemes, and what a receiver makes of wrong ones.

use std::sync::LazyLock;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use proptest::prelude::*;
use url::Url;

use crate::core::secret::Secret;
use crate::core::signature::{
    Encoding, ID_HEADER, Labels, Naming, Received, Scheme, Signed, SigningSecret, TIMESTAMP_HEADER,
    detect, detect_in, pair_from, private_key_flaw, public_key, secret_from, verify_detected,
};
use crate::core::time::Timestamp;

/// The input that vectors without a publisher share.
const BODY: &str =
    r#"{"type":"item.updated","timestamp":"2026-01-01T00:00:00Z","data":{"id":"42"}}"#;
const AT: i64 = 1_767_225_600;
static URL: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://Agent.example:8443/a%20b/hook?token=t&x").unwrap());
static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
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
        source: "items",
        detected: Timestamp::from_millis((AT - 60) * 1000),
        method: &Method::POST,
        url: &URL,
        headers: &NO_HEADERS,
    }
}

fn github() -> Scheme {
    Scheme::Github(Labels::default())
}

fn shopify() -> Scheme {
    Scheme::Shopify(Labels::default())
}

fn http_message() -> Scheme {
    Scheme::HttpMessage(Naming::default())
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
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ID_HEADER, HeaderValue::from_str(signed.id).unwrap());
    headers.insert(TIMESTAMP_HEADER, HeaderValue::from(signed.at.as_seconds()));
    let keys: Vec<&Secret> = keys.iter().collect();
    let proof = scheme.sign(&keys, Signed { headers: &headers, ..signed });
    headers.extend(proof);
    headers.insert(HOST, HeaderValue::from_static("AGENT.example:8443"));
    headers
}

/// What a receiver makes of it.
fn verify(
    scheme: &Scheme,
    keys: &[Secret],
    (headers, body): (&HeaderMap, &[u8]),
    now: Timestamp,
) -> Result<(), String> {
    let uri = Uri::from_static("/a%20b/hook?token=t&x");
    let received = Received { method: &Method::POST, uri: &uri, headers, body, now };
    scheme.verify(keys, received).map_err(|mismatch| mismatch.to_string())
}

/// Signs, compares the headers (in the order of their names), and verifies what a receiver gets.
fn check_vector(scheme: &Scheme, keys: &[&str], signed: Signed<'_>, expected: &[(&str, &str)]) {
    let keys = secrets(keys);
    let headers = scheme.sign(&keys.iter().collect::<Vec<_>>(), signed);
    let mut found: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{scheme:?}");
    assert!(headers.values().all(HeaderValue::is_sensitive));

    let headers = arriving(scheme, &keys, signed);
    assert_eq!(verify(scheme, &keys, (&headers, signed.body), signed.at), Ok(()), "{scheme:?}");
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
    check(&github(), &["test-secret", "old"], BODY, "item.updated", PLAIN_HEX);
}

/// From the tests of the scheme's first implementation; the second key is 32 bytes of 0xcd, its seed alone.
#[test]
fn standard_webhooks_vectors_with_private_keys() {
    let event = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
    let private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    let entry = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
    let shared = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let both = format!("{entry} v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    check_vector(&Scheme::StandardEd25519, &[private], event, &[("webhook-signature", entry)]);
    // Moving over from shared secrets: receivers of either kind find theirs.
    let keys = [private, shared];
    check_vector(&Scheme::StandardEd25519, &keys, event, &[("webhook-signature", &both)]);
    let headers = arriving(&Scheme::StandardEd25519, &secrets(&keys), event);
    for (scheme, key, holds) in [
        (Scheme::StandardEd25519, public, true),
        (Scheme::StandardEd25519, private, true),
        (Scheme::StandardEd25519, shared, true),
        (Scheme::Standard, shared, true),
        (Scheme::Standard, public, false),
        (Scheme::StandardEd25519, "whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic=", false),
    ] {
        let found = verify(&scheme, &secrets(&[key]), (&headers, event.body), event.at);
        assert_eq!(found.is_ok(), holds, "{scheme:?} {key}: {found:?}");
    }
    let seed = "whsk_zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=";
    let entry = "v1a,KPQW4HdIRKx5f5YuJ5dJ8yjxzDJ5NR+nfnHm0yQecHuT+AAR0XiUU+lTmWWzxfvt4/3sjFr5dbfjTNOMPqwaCQ==";
    let event = signed("evt_0001", AT, BODY);
    check_vector(&Scheme::StandardEd25519, &[seed], event, &[("webhook-signature", entry)]);
}

#[test]
fn private_keys_are_read_and_made() {
    let check = |key: &str, expected: Result<&str, &str>| {
        let key = Secret::new(key);
        assert_eq!(private_key_flaw(&key), expected.err());
        assert_eq!(public_key(&key).as_deref(), expected.ok());
    };
    let public = "whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic=";
    check("whsk_zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=", Ok(public));
    check("whsk_zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0", Ok(public));
    let made = pair_from(&[0xcd; 32]);
    assert_eq!(made.expose().len(), "whsk_".len() + 88);
    check(made.expose(), Ok(public));
    check("abc", Err("a private key begins with `whsk_`"));
    check("whsk_!", Err("what follows `whsk_` is not base64"));
    check("whsk_zc3N", Err("what follows `whsk_` is not base64 of 32 or 64 bytes"));
    // Another key's public half.
    let other = pair_from(&[1; 32]);
    let (seed, _) = made.expose().split_at(47);
    let (_, public) = other.expose().split_at(47);
    let mixed = format!("{seed}{public}");
    check(&mixed, Err("what follows `whsk_` is not a seed and its own public key"));
}

#[test]
fn stripe_vectors() {
    let event = signed("evt_0001", AT, BODY);
    let digest = "78620018e76f1a5012b74e76acd86e86481da8a22695c9756f950b1431484c5c";
    let header = format!("t=1767225600,v1={digest}");
    check_vector(&Scheme::Stripe, &["test-secret"], event, &[("stripe-signature", &header)]);
    // While it is rolled.
    let keys = secrets(&["new", "test-secret"]);
    let headers = arriving(&Scheme::Stripe, &keys, event);
    let both = headers["stripe-signature"].to_str().unwrap();
    assert!(both.starts_with("t=1767225600,v1=") && both.ends_with(&format!(",v1={digest}")));
    for key in keys {
        assert_eq!(verify(&Scheme::Stripe, &[key], (&headers, event.body), event.at), Ok(()));
    }
}

#[test]
fn shopify_vectors() {
    check_vector(
        &shopify(),
        &["test-secret", "old"],
        signed("evt_0001", AT, BODY),
        &[
            ("x-shopify-api-version", "unstable"),
            ("x-shopify-event-id", "evt_0001"),
            ("x-shopify-hmac-sha256", "b4yRJX9IEmdGEC/ttPpK3KjBtmiY/izGaNSlCUxeK7U="),
            ("x-shopify-shop-domain", "items.myshopify.com"),
            ("x-shopify-topic", "item.updated"),
            ("x-shopify-triggered-at", "2025-12-31T23:59:00.000Z"),
            ("x-shopify-webhook-id", "evt_0001"),
        ],
    );
}

/// The first from the provider's documentation, with the body of its Python library's tests.
#[test]
fn slack_vectors() {
    let check = |key: &str, seconds: i64, body: &str, digest: &str| {
        let (digest, seconds_text) = (format!("v0={digest}"), seconds.to_string());
        let expected =
            [("x-slack-request-timestamp", &*seconds_text), ("x-slack-signature", &*digest)];
        check_vector(&Scheme::Slack, &[key, "old"], signed("evt_0001", seconds, body), &expected);
    };
    check(
        "8f742231b10e8888abcd99yyyzzz85a5",
        1_531_420_618,
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    );
    check(
        "test-secret",
        AT,
        BODY,
        "850363dca7801805af969467bdfe718e0969251d48e4aea9c1f0f7f46a9ad3c5",
    );
}

#[test]
fn a_secret_signs_until_its_end() {
    let secret = Secret::new("a");
    let check = |until: Option<i64>, expected: bool| {
        let until = until.map(Timestamp::from_millis);
        let secret = SigningSecret { secret: secret.clone(), until };
        assert_eq!(secret.signs_at(Timestamp::from_millis(1000)), expected, "{until:?}");
    };
    check(None, true);
    check(Some(1001), true);
    check(Some(1000), false);
    check(Some(0), false);
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
        &custom("x-body-hmac-sha256", "", Encoding::Base64, None),
        &[("x-body-hmac-sha256", "b4yRJX9IEmdGEC/ttPpK3KjBtmiY/izGaNSlCUxeK7U=")],
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
    let stripe = Scheme::Stripe;
    for scheme in [github(), plain_hex(), stripe, shopify(), Scheme::Slack, Scheme::Standard] {
        let (marked, plain) = (scheme.sign(&[&marked[0]], event), scheme.sign(&[&plain[0]], event));
        assert_ne!(marked, plain, "{scheme:?}");
    }
    // What is not base64 after the mark is taken as it is: configurations refuse it, the API may still hold one.
    let odd = Secret::new("whsec_not base64");
    assert_eq!(Scheme::Standard.sign(&[&odd], event).len(), 1);
}

/// What is done to the headers that arrive.
type Change<'a> = &'a dyn Fn(&mut HeaderMap);

const NO_CHANGE: Change<'static> = &|_| {};

fn set(name: &'static str, value: &'static str) -> impl Fn(&mut HeaderMap) {
    move |headers| {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Changes what arrives, or the moment it arrives in (in seconds), and looks at the reason given; none is empty.
#[track_caller]
fn check_reason(scheme: &Scheme, change: Change<'_>, (late, body): (i64, &str), expected: &str) {
    let keys = secrets(&["new", "old"]);
    let mut headers = arriving(scheme, &keys[..1], signed("evt_0001", AT, BODY));
    change(&mut headers);
    let now = Timestamp::from_millis((AT + late) * 1000);
    let found = verify(scheme, &keys, (&headers, body.as_bytes()), now);
    assert_eq!(found, if expected.is_empty() { Ok(()) } else { Err(expected.to_owned()) });
}

fn timed() -> Scheme {
    custom("x-agent-signature", "v0=", Encoding::Base64, Some("x-agent-timestamp"))
}

#[test]
fn a_wrong_signature_says_why() {
    for (scheme, name) in [
        (Scheme::Standard, "webhook-signature"),
        (github(), "x-hub-signature-256"),
        (plain_hex(), "x-webhook-signature"),
        (timed(), "x-agent-signature"),
        (Scheme::Stripe, "stripe-signature"),
        (shopify(), "x-shopify-hmac-sha256"),
        (Scheme::Slack, "x-slack-signature"),
    ] {
        check_reason(&scheme, NO_CHANGE, (0, BODY), "");
        let digest = format!("{name} was made with another secret, or over another body");
        check_reason(&scheme, NO_CHANGE, (0, "{}"), &digest);
        let without: Change<'_> = &|headers: &mut HeaderMap| drop(headers.remove(name));
        check_reason(&scheme, without, (0, BODY), &format!("there is no {name}"));
    }
}

/// Time is judged where it is covered, to the second.
#[test]
fn a_signature_holds_for_five_minutes() {
    for (scheme, header) in [
        (&Scheme::Standard, "webhook-timestamp"),
        (&timed(), "x-agent-timestamp"),
        (&Scheme::Slack, "x-slack-request-timestamp"),
        (&Scheme::Stripe, "stripe-signature"),
    ] {
        let late = |late: i64, expected: &str| {
            check_reason(scheme, NO_CHANGE, (late, BODY), expected);
        };
        late(300, "");
        late(-300, "");
        late(301, &format!("{header} is 5m 1s old; 5m is allowed"));
        late(-301, &format!("{header} is 5m 1s in the future; 5m is allowed"));
        if header.ends_with("-timestamp") {
            let expected = format!("{header} is not Unix seconds");
            check_reason(scheme, &set(header, "2026-01-01"), (0, BODY), &expected);
            let far = &set(header, "9223372036854775807");
            let expected = format!("{header} is 106751970713d 7h in the future; 5m is allowed");
            check_reason(scheme, far, (0, BODY), &expected);
        }
    }
    check_reason(&github(), NO_CHANGE, (100_000, BODY), "");
    check_reason(&shopify(), NO_CHANGE, (100_000, BODY), "");
}

#[test]
fn what_is_written_otherwise_is_told() {
    let check = |scheme: &Scheme, name: &'static str, value: &'static str, expected: &str| {
        check_reason(scheme, &set(name, value), (0, BODY), &format!("{name} {expected}"));
    };
    // Entries of other versions are passed over; a list with none of ours is malformed.
    let (signature, both) = ("webhook-signature", &Scheme::StandardEd25519);
    check(&Scheme::Standard, signature, "v1a,xx v2,yy", "is not a list of `v1,BASE64`");
    check(both, signature, "v2,yy", "is not a list of `v1a,BASE64`");
    check(&github(), "x-hub-signature-256", "sha1=00", "is not `sha256=HEX`");
    check(&Scheme::Stripe, "stripe-signature", "v1=00", "is not `t=SECONDS,v1=HEX`");
    check(&Scheme::Slack, "x-slack-signature", "v1=00", "is not `v0=HEX`");
    check(&timed(), "x-agent-signature", "00", "is not `v0=BASE64`");
    let other = "webhook-signature was made with another secret, or over another body";
    check_reason(&Scheme::Standard, &set("webhook-id", "evt_0002"), (0, BODY), other);
    // Its own library insists on the topic.
    for (scheme, name) in [(&Scheme::Standard, "webhook-id"), (&shopify(), "x-shopify-topic")] {
        let without: Change<'_> = &|headers: &mut HeaderMap| drop(headers.remove(name));
        check_reason(scheme, without, (0, BODY), &format!("there is no {name}"));
    }
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
        &[("x-body-hmac-sha256", b64)],
        Some(custom("x-body-hmac-sha256", "", Encoding::Base64, None)),
    );
    check(&[("webhook-signature", "v1,x v1a,y"), plain], Some(Scheme::StandardEd25519));
    check(&[("x-shopify-hmac-sha256", b64)], Some(shopify()));
    check(&[("stripe-signature", "t=1,v1=x"), plain], Some(Scheme::Stripe));
    check(&[("x-slack-signature", "v0=x"), plain], Some(Scheme::Slack));
    check(&[("signature-input", "a=()"), ("signature", "a=:x:")], Some(http_message()));
    check(
        &[("x-agent-signature", PLAIN_HEX), ("x-agent-timestamp", "1")],
        Some(custom("x-agent-signature", "", Encoding::Hex, Some("x-agent-timestamp"))),
    );
    // Half of a SHA-512, a list and something short.
    let long = format!("{PLAIN_HEX}{PLAIN_HEX}");
    let list = format!("t=1,v1={PLAIN_HEX}");
    check(&[("x-webhook-signature", &long)], None);
    check(&[("x-signature", &list)], None);
    check(&[("x-webhook-signature", "sha256=12")], None);

    let mut headers = HeaderMap::new();
    headers.insert("x-seal", HeaderValue::from_static(PLAIN_HEX));
    let named = detect_in(&headers, &HeaderName::from_static("x-seal"));
    assert_eq!(named, Some(custom("x-seal", "", Encoding::Hex, None)));
    assert_eq!(detect(&headers), None);
}

/// Whatever the header is called, and whatever other numbers stand beside it.
#[test]
fn the_time_that_is_signed_may_stand_anywhere() {
    let key = Secret::new("s3");
    for time in [None, Some("x-t"), Some("x-sent-timestamp"), Some("webhook-timestamp")] {
        let scheme = custom("x-seal", "v1=", Encoding::Hex, time);
        let mut headers = arriving(&scheme, std::slice::from_ref(&key), signed("evt_1", AT, "{}"));
        headers.insert("x-account", HeaderValue::from_static("1234567890"));
        headers.insert("x-other-timestamp", HeaderValue::from_static("1234567890"));
        let found = detect_in(&headers, &HeaderName::from_static("x-seal")).expect("a digest");
        let check = |key: &Secret, body: &[u8]| {
            let uri = Uri::from_static("/hook");
            let now = Timestamp::from_millis(AT * 1000);
            let headers = &headers;
            let received = Received { method: &Method::POST, uri: &uri, headers, body, now };
            verify_detected(&found, std::slice::from_ref(key), received).is_ok()
        };
        assert!(check(&key, b"{}"), "{time:?}");
        assert!(!check(&Secret::new("s4"), b"{}"), "{time:?}");
        assert!(!check(&key, b"{ }"), "{time:?}");
    }
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
        which in 0..9_usize,
        seed in any::<[u8; 32]>(),
    ) {
        prop_assume!(key != other);
        let scheme = [
            Scheme::Standard,
            github(),
            plain_hex(),
            custom("x-agent-signature", "v0=", Encoding::Base64, Some("x-agent-timestamp")),
            Scheme::Stripe,
            shopify(),
            Scheme::Slack,
            http_message(),
            Scheme::StandardEd25519,
        ][which].clone();
        let key = if scheme == Scheme::StandardEd25519 { pair_from(&seed) } else { Secret::new(key) };
        let signed = Signed { at: Timestamp::from_millis(seconds * 1000), body: &body, ..signed(&id, 0, "") };
        let headers = arriving(&scheme, std::slice::from_ref(&key), signed);
        prop_assert_eq!(detect(&headers), Some(scheme.clone()));
        let verify = |keys: &[Secret]| verify(&scheme, keys, (&headers, &body), signed.at);
        let other = Secret::new(other);
        prop_assert_eq!(verify(&[other.clone(), key.clone()]), Ok(()));
        prop_assert!(verify(&[other]).is_err());
        prop_assert!(verify(&[]).is_err());
    }
}
