//! The vectors of RFC 9421 and RFC 9530, and what a receiver makes of requests that were tampered with.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use url::Url;

use crate::core::secret::Secret;
use crate::core::signature::http_message::fields::Input;
use crate::core::signature::http_message::{Message, Naming, is_label, sign, signature, verify};
use crate::core::signature::{
    ID_HEADER, Received, Signed, TIMESTAMP_HEADER, ed25519, pair_from, public_key,
};
use crate::core::time::Timestamp;

const AT: i64 = 1_767_225_600;
const NOW: Timestamp = Timestamp::from_millis(AT * 1000 + 999);

/// Appendix B.2: the test request.
fn published() -> HeaderMap {
    let fields = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ];
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.into_iter().map(field).collect()
}

#[test]
fn the_specifications_vectors() {
    let headers = published();
    let message = Message {
        method: &Method::POST,
        authority: "example.com".into(),
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        headers: &headers,
    };
    let base = |parameters: &str| {
        let input = Input::read(parameters).unwrap();
        message.base(input.covered.iter().copied(), parameters).unwrap()
    };
    // B.2.5. The key is its bytes, which are no text.
    let parameters =
        r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let key =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let key = BASE64_STANDARD.decode(key).unwrap();
    let found = crate::core::signature::mac(&key, &[base(parameters).as_bytes()]);
    assert_eq!(BASE64_STANDARD.encode(found), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    // B.2.6, with the key of B.1.4 from its seed.
    let parameters = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let key = Secret::new("whsk_n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=");
    assert_eq!(public_key(&key).unwrap(), "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
    let found = signature(&key, base(parameters).as_bytes()).unwrap();
    let expected =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    assert_eq!(BASE64_STANDARD.encode(&found), expected);
    assert!(ed25519::verifies(&key, base(parameters).as_bytes(), &found));
    // §2.5 and §2.2.7.
    let parameters = r#"("@query" "@method");created=1"#;
    let expected = format!(
        "\"@query\": ?param=Value&Pet=dog\n\"@method\": POST\n\"@signature-params\": {parameters}"
    );
    assert_eq!(base(parameters), expected);
    assert_eq!(message.base(["x-absent"], ""), Err("x-absent"));
}

/// A request as it is sent, with its signatures.
fn signed(url: &str, naming: &Naming, secrets: &[&Secret], body: &[u8]) -> HeaderMap {
    let url = Url::parse(url).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ID_HEADER, HeaderValue::from_static("evt_0001"));
    headers.insert(TIMESTAMP_HEADER, HeaderValue::from(AT));
    let signed = Signed {
        id: "evt_0001",
        at: NOW,
        body,
        event_type: "a.b",
        source: "a",
        detected: NOW,
        method: &Method::POST,
        url: &url,
        headers: &headers,
    };
    let proof = sign(naming, secrets, signed);
    headers.extend(proof);
    headers
}

#[test]
fn the_host_that_is_sent_is_signed() {
    for (url, host, expected) in [
        ("https://agent.example/", None, "agent.example"),
        ("https://agent.example:8443/", None, "agent.example:8443"),
        ("https://127.0.0.1:8443/", Some("Other.example"), "other.example"),
    ] {
        let url = Url::parse(url).unwrap();
        let host = host.map(|host| (HOST, HeaderValue::from_static(host)));
        let headers = HeaderMap::from_iter(host);
        let signed = Signed {
            id: "evt_0001",
            at: NOW,
            body: b"",
            event_type: "a.b",
            source: "a",
            detected: NOW,
            method: &Method::POST,
            url: &url,
            headers: &headers,
        };
        let message = Message::sent(&signed, &headers);
        assert_eq!(message.component("@authority").as_deref(), Some(expected), "{url}");
    }
}

const COVERED: &str = r#"("@method" "@authority" "@path" "@query" "content-type" "content-digest" "webhook-id" "webhook-timestamp");created=1767225600"#;

#[test]
fn every_key_signs_under_its_own_label() {
    let (shared, private) = (Secret::new("test-secret"), pair_from(&[0xcd; 32]));
    let check = |naming: &Naming, keys: &[&Secret], inputs: &[&str]| {
        let headers = signed("https://agent.example/", naming, keys, br#"{"hello": "world"}"#);
        let inputs: Vec<String> =
            inputs.iter().map(|it| it.replacen('=', &format!("={COVERED};keyid="), 1)).collect();
        assert_eq!(headers["signature-input"], inputs.join(", "));
        // RFC 9530, appendix B.2.
        let digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        assert_eq!(headers["content-digest"], digest);
        let labels = inputs.iter().map(|it| it.split_once('=').unwrap().0);
        let signatures = headers["signature"].to_str().unwrap().split(", ");
        assert!(labels.eq(signatures.map(|it| it.split_once("=:").unwrap().0)));
    };
    let plain = Naming::default();
    check(&plain, &[&shared], &[r#"sig1="doorbell";alg="hmac-sha256""#]);
    let both = [
        r#"sig1="whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic=";alg="ed25519""#,
        r#"sig1-2="doorbell";alg="hmac-sha256""#,
    ];
    check(&plain, &[&private, &shared], &both);
    let key_ids = vec![String::from("b"), String::from("a")];
    let named = Naming { label: String::from("bell"), key_ids, tag: Some(String::from("t")) };
    let both = [r#"bell="b";alg="hmac-sha256";tag="t""#, r#"bell-2="a";alg="ed25519";tag="t""#];
    check(&named, &[&shared, &private], &both);
    assert!(signed("https://agent.example/", &named, &[], b"").get("signature").is_none());
}

/// Changes what arrives, and looks at the reason given.
#[test]
fn a_request_that_was_changed_says_where() {
    type Change<'a> = &'a dyn Fn(&mut HeaderMap);
    let private = pair_from(&[0xcd; 32]);
    let public = Secret::new(public_key(&private).unwrap());
    let naming = Naming::default();
    let body = br#"{"a":1}"#;
    let check = |uri: &'static str, change: Change<'_>, body: &[u8], late: i64, expected: &str| {
        for (keys, own) in [(Secret::new("s"), Secret::new("s")), (private.clone(), public.clone())]
        {
            let url = "https://Agent.example:8443/hook?a=b";
            let mut headers = signed(url, &naming, &[&keys], br#"{"a":1}"#);
            headers.insert(HOST, HeaderValue::from_static("AGENT.example:8443"));
            change(&mut headers);
            let (uri, now) = (Uri::from_static(uri), Timestamp::from_millis((AT + late) * 1000));
            let received =
                Received { method: &Method::POST, uri: &uri, headers: &headers, body, now };
            let found = verify(&[Secret::new("x"), own], received);
            let found = found.map_err(|mismatch| mismatch.to_string());
            assert_eq!(found, if expected.is_empty() { Ok(()) } else { Err(expected.into()) });
        }
    };
    let none: Change<'_> = &|_| {};
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let wrong = "signature was made with another secret, or over another body";
    check("/hook?a=b", none, body, 0, "");
    // As a proxy writes it.
    check("https://agent.example:8443/hook?a=b", &set("host", "inner"), body, 0, "");
    check("/hook?a=c", none, body, 0, wrong);
    check("/hook", none, body, 0, wrong);
    check("/other?a=b", none, body, 0, wrong);
    check("/hook?a=b", &set("host", "other.example:8443"), body, 0, wrong);
    check("/hook?a=b", &set("webhook-id", "evt_0002"), body, 0, wrong);
    check("/hook?a=b", &set("content-type", "text/plain"), body, 0, wrong);
    check("/hook?a=b", none, b"{}", 0, "content-digest is not that of the body");
    check("/hook?a=b", none, body, 301, "signature-input is 5m 1s old; 5m is allowed");
    let without: Change<'_> = &|headers: &mut HeaderMap| drop(headers.remove("webhook-id"));
    check("/hook?a=b", without, body, 0, "there is no webhook-id");
    let input = "signature-input";
    for (value, expected) in [
        ("sig1=()", "signature-input is not `LABEL=(\"NAME\" …);created=SECONDS`"),
        (
            r#"sig1=("a";sf);created=1"#,
            "signature-input is not `LABEL=(\"NAME\" …);created=SECONDS`",
        ),
        (
            r#"sig1=("@method");created=1767225600"#,
            "signature-input is not a signature over `content-digest`",
        ),
        (
            r#"sig1=("@method" "@status" "content-digest");created=1767225600"#,
            "signature-input is not over components known here",
        ),
        (
            r#"sig2=("content-digest");created=1767225600"#,
            "signature-input is not a signature that `Signature` has, too",
        ),
    ] {
        check("/hook?a=b", &set(input, value), body, 0, expected);
    }
    let digest = "content-digest is not `sha-256=:BASE64:`";
    check("/hook?a=b", &set("content-digest", "sha-512=:AA==:"), body, 0, digest);
}

#[test]
fn labels_are_keys_of_dictionaries() {
    for (text, expected) in [
        ("sig1", true),
        ("*a-b_c.2", true),
        ("", false),
        ("1a", false),
        ("Sig", false),
        ("a b", false),
    ] {
        assert_eq!(is_label(text), expected, "{text}");
    }
}

#[test]
fn quoted_separators_separate_nothing() {
    let text = r#"a=("x");created=1;keyid="b, c=(\", d", e=:AA==:"#;
    let found: Vec<_> = super::fields::members(text).collect();
    assert_eq!(found, [("a", r#"("x");created=1;keyid="b, c=(\", d""#), ("e", ":AA==:")]);
}
