//! What is sent to a token server, what its answers mean, when to ask again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::core::auth::jwt::{Assertion, Signer};
use crate::core::auth::oauth2::{Client, ClientStyle, Grant, OAuth2, renewed_after};
use crate::core::fault::{Retry, Whose};
use crate::core::http::{BodyLimit, Reach, Request, Response, TransportFault, Way};
use crate::core::limits::{TOKEN_BYTES_MAX, TOKEN_LIFETIME_MAX};
use crate::core::secret::Secret;
use crate::core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn client(style: ClientStyle) -> Client {
    Client { id: String::from("door:bell"), secret: Some(Secret::new("s3cret ü")), style }
}

fn oauth2(grant: Grant) -> OAuth2 {
    OAuth2 {
        token_url: "https://login.example/token?tenant=a".parse().unwrap(),
        grant,
        client: Some(client(ClientStyle::Basic)),
        scopes: Vec::new(),
        parameters: Vec::new(),
    }
}

fn refreshing() -> OAuth2 {
    oauth2(Grant::RefreshToken(Secret::new("configured-r3fresh")))
}

/// What a poll would send.
fn poll() -> Request {
    Request {
        method: Method::GET,
        url: "https://api.example/items".parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: Duration::from_secs(7),
        limit: BodyLimit::Whole { bytes_max: 1 },
        reach: Reach::Anywhere,
        way: Way { redirects_max: 3, ..Way::default() },
    }
}

/// The `Authorization` header, or nothing, and the body.
fn asked(oauth2: &OAuth2, rotated: Option<&str>) -> (String, String) {
    let rotated = rotated.map(Secret::new);
    let request = oauth2.token_request(&poll(), rotated.as_ref(), NOW, "id").unwrap();
    assert_eq!((request.method, request.url), (Method::POST, oauth2.token_url.clone()));
    assert_eq!((request.deadline, request.way.redirects_max), (Duration::from_secs(7), 0));
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(request.headers["accept"], "application/json");
    let authorization = request.headers.get("authorization").map(HeaderValue::to_str);
    let authorization = authorization.map_or(String::new(), |value| value.unwrap().to_owned());
    (authorization, String::from_utf8(request.body.to_vec()).unwrap())
}

#[test]
fn each_grant_is_asked_for_in_its_form() {
    // The id and the secret are encoded as in a form before they are joined.
    let basic = "Basic ZG9vciUzQWJlbGw6czNjcmV0KyVDMyVCQw==";
    let check = |oauth2: &OAuth2, rotated: Option<&str>, expected: (&str, &str)| {
        let found = asked(oauth2, rotated);
        assert_eq!((found.0.as_str(), found.1.as_str()), expected);
    };
    let credentials = oauth2(Grant::ClientCredentials);
    check(&credentials, None, (basic, "grant_type=client_credentials"));
    let scoped = OAuth2 {
        scopes: vec![String::from("read"), String::from("offline")],
        parameters: vec![(String::from("audience"), Secret::new("https://api.example/"))],
        ..credentials.clone()
    };
    check(
        &scoped,
        None,
        (
            basic,
            "grant_type=client_credentials&scope=read+offline&audience=https%3A%2F%2Fapi.example%2F",
        ),
    );
    let in_body = OAuth2 { client: Some(client(ClientStyle::Body)), ..credentials.clone() };
    check(
        &in_body,
        None,
        ("", "grant_type=client_credentials&client_id=door%3Abell&client_secret=s3cret+%C3%BC"),
    );
    check(
        &refreshing(),
        None,
        (basic, "grant_type=refresh_token&refresh_token=configured-r3fresh"),
    );
    check(&refreshing(), Some("later"), (basic, "grant_type=refresh_token&refresh_token=later"));
    let public = Client { secret: None, ..client(ClientStyle::Basic) };
    let public = OAuth2 { client: Some(public), ..refreshing() };
    let expected =
        "grant_type=refresh_token&refresh_token=configured-r3fresh&client_id=door%3Abell";
    check(&public, None, ("", expected));
    let pem = include_str!("../../../../tests/cases/tls/rsa.key");
    let assertion = Assertion {
        signer: Signer::read(Secret::new(pem)).unwrap(),
        key_id: None,
        issuer: String::from("doorbell"),
        subject: None,
        audience: String::from("a"),
        scope: None,
    };
    let bearer = OAuth2 { client: None, ..oauth2(Grant::JwtBearer(Box::new(assertion))) };
    let (authorization, body) = asked(&bearer, None);
    let start = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey";
    assert!(authorization.is_empty() && body.starts_with(start), "{body}");
}

fn read(oauth2: &OAuth2, status: u16, body: &Value, headers: &[(&'static str, &str)]) -> String {
    let text = if body.is_string() { body.as_str().unwrap().to_owned() } else { body.to_string() };
    let headers = headers.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    });
    let response = Response { status, headers: headers.collect(), body: Bytes::from(text) };
    match oauth2.read(Ok(response), None, NOW) {
        Ok(granted) => {
            let rotated = granted.rotated.map(|token| token.expose().to_owned());
            format!("{} {:?} {:?}", granted.access.expose(), granted.lifetime, rotated)
        }
        Err(TransportFault::NoToken { fault, wait }) => {
            let wait = wait.map(|wait| format!(" after {wait:?}")).unwrap_or_default();
            let last = if fault.retry == Retry::Never { " for good" } else { "" };
            assert_eq!(fault.whose, Whose::Source);
            format!("{fault}{last}{wait}")
        }
        Err(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn a_granted_token_is_read_as_servers_write_it() {
    let check = |body: Value, expected: &str| {
        assert_eq!(read(&refreshing(), 200, &body, &[]), expected, "{body}");
    };
    check(json!({ "access_token": "t" }), "t None None");
    check(
        json!({ "access_token": "t", "token_type": "bearer", "expires_in": 3600 }),
        "t Some(3600s) None",
    );
    check(
        json!({ "access_token": "t", "token_type": "BearerToken", "expires_in": "60" }),
        "t Some(60s) None",
    );
    check(json!({ "access_token": "t", "expires_in": 1.5 }), "t Some(1.5s) None");
    for unknown in [json!(0), json!(-5), json!("soon"), json!(null), json!([1])] {
        check(json!({ "access_token": "t", "expires_in": unknown }), "t None None");
    }
    let longest = format!("t Some({TOKEN_LIFETIME_MAX:?}) None");
    check(json!({ "access_token": "t", "expires_in": 1e300 }), &longest);
    check(json!({ "access_token": "t", "refresh_token": "next" }), "t None Some(\"next\")");
    // The same again, or an empty one, is no other.
    check(json!({ "access_token": "t", "refresh_token": "configured-r3fresh" }), "t None None");
    check(json!({ "access_token": "t", "refresh_token": "" }), "t None None");
    // Only who refreshes keeps a refresh token.
    let body = json!({ "access_token": "t", "refresh_token": "next" });
    assert_eq!(read(&oauth2(Grant::ClientCredentials), 200, &body, &[]), "t None None");
}

#[test]
fn a_refusal_says_what_to_do_and_no_secret() {
    let check = |status: u16, body: Value, headers: &[(&'static str, &str)], expected: &str| {
        let found = read(&refreshing(), status, &body, headers);
        assert!(found.contains(expected), "{body}: {found}");
        assert!(found.starts_with("no token from login.example: "), "{found}");
        for secret in ["s3cret", "r3fresh", "tenant"] {
            assert!(!found.contains(secret), "{found}");
        }
    };
    check(400, json!({ "error": "invalid_grant" }), &[], "(oauth2_invalid_grant) for good");
    check(
        400,
        json!({ "error": "invalid_grant" }),
        &[],
        "it answered 400, invalid_grant: the refresh token",
    );
    check(
        401,
        json!({ "error": "invalid_client", "error_description": "s3cret" }),
        &[],
        "`client_secret`",
    );
    check(
        400,
        json!({ "error": "interaction_required" }),
        &[],
        "400, interaction_required (oauth2_refused)",
    );
    // Some say so with 200.
    check(
        200,
        json!({ "error": "invalid_scope" }),
        &[],
        "200, invalid_scope: it does not grant these `scopes`",
    );
    // Whatever is not a code, or repeats what it was told.
    for error in
        ["bad r3fresh", "configured-r3fresh", "x-configured-r3fresh", "r3fresh", "<script>"]
    {
        check(400, json!({ "error": error }), &[], "it answered 400 (oauth2_http_400)");
    }
    check(404, json!("nothing here"), &[], "it answered 404 (oauth2_http_404)");
    check(302, json!({ "access_token": "t" }), &[], "it answered 302 (oauth2_http_302)");
    check(429, json!({}), &[("retry-after", "30")], "(oauth2_http_429) after 30s");
    check(429, json!({}), &[], "(oauth2_http_429) after 0ns");
    check(503, json!({}), &[("retry-after", "5")], "(oauth2_http_503) after 5s");
    check(500, json!({}), &[("retry-after", "5")], "(oauth2_http_500)");
    check(200, json!("<html>"), &[], "is this the token endpoint? (oauth2_answer)");
    check(200, json!([1]), &[], "(oauth2_answer)");
    check(200, json!({ "access_token": 5 }), &[], "holds no token (oauth2_answer)");
    check(200, json!({ "access_token": "a b" }), &[], "cannot be sent (oauth2_answer)");
    check(200, json!({ "access_token": "x".repeat(TOKEN_BYTES_MAX + 1) }), &[], "cannot be sent");
    check(200, json!({ "access_token": "t", "token_type": "mac" }), &[], "no bearer token");
    let cut = TransportFault::Connect { detail: String::from("login.example: refused") };
    let Err(fault) = refreshing().read(Err(cut), None, NOW) else { panic!("a fault") };
    let fault = fault.to_fault(Whose::Source);
    assert_eq!(fault.code, "oauth2_connect");
    assert_eq!(
        fault.sentence,
        "no token from login.example: no connection: login.example: refused"
    );
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    for (lifetime, expected) in [
        (0, 0),
        (2_000, 1_000),
        (8_000, 4_000),
        (20_000, 15_000),
        (60_000, 54_000),
        (3_600_000, 3_300_000),
        (86_400_000, 86_100_000),
    ] {
        let found = renewed_after(Duration::from_millis(lifetime));
        assert_eq!(found, Duration::from_millis(expected), "{lifetime}");
    }
}

#[test]
fn settings_are_told_apart_by_their_digests() {
    let base = refreshing();
    let other = |change: fn(&mut OAuth2)| {
        let mut other = base.clone();
        change(&mut other);
        other
    };
    let key = base.key().unwrap();
    assert_eq!((base.digest(), key), (base.clone().digest(), base.clone().key().unwrap()));
    // Another client secret keeps what was rotated, though the token itself is asked for anew.
    let secret = other(|one| one.client.as_mut().unwrap().secret = Some(Secret::new("new")));
    assert_eq!(secret.key(), Some(key));
    assert_ne!(secret.digest(), base.digest());
    // Another refresh token in the file begins anew.
    let replaced = other(|one| one.grant = Grant::RefreshToken(Secret::new("new")));
    let replaced_key = replaced.key().unwrap();
    assert_eq!(replaced_key.settings, key.settings);
    assert_ne!(replaced_key.configured, key.configured);
    assert_ne!(replaced.digest(), base.digest());
    // Whatever else is another token.
    for changed in [
        other(|one| one.token_url.set_path("/other")),
        other(|one| one.client = None),
        other(|one| one.scopes.push(String::from("read"))),
        other(|one| one.parameters.push((String::from("audience"), Secret::new("a")))),
    ] {
        assert_ne!(changed.digest(), base.digest());
        assert_ne!(changed.key().unwrap().settings, key.settings);
    }
    assert_eq!(oauth2(Grant::ClientCredentials).key(), None);
}
