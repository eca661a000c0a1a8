//! What valid credentials and connections mean.

use std::path::Path;
use std::sync::Arc;

use super::{Given, source_text, valid};
use crate::config::load;
use crate::config::problem::Severity;
use crate::core::auth::Auth;
use crate::core::auth::oauth2::{Client, ClientStyle, Grant, OAuth2};
use crate::core::secret::Secret;
use crate::core::source::Source;

const CA: &str = include_str!("../../../tests/cases/tls/ca.pem");
const CLIENT: &str = include_str!("../../../tests/cases/tls/client.pem");
const CLIENT_KEY: &str = include_str!("../../../tests/cases/tls/client.key");
const RSA: &str = include_str!("../../../tests/cases/tls/rsa.key");

fn source(keys: &str) -> Source {
    Arc::unwrap_or_clone(valid(&source_text(keys)).sources.remove(0))
}

#[track_caller]
fn oauth2(keys: &str) -> OAuth2 {
    let source = source(&format!("auth: {{oauth2: {{token_url: 'https://l.example/t', {keys}}}}}"));
    let Auth::OAuth2(oauth2) = &source.auth else { panic!("{:?}", source.auth) };
    OAuth2::clone(oauth2)
}

fn pairs(parameters: &[(String, Secret)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

#[test]
fn each_grant_is_read() {
    let plain = oauth2("client_id: me, client_secret: s3cret");
    let client = |style| Client { id: "me".into(), secret: Some(Secret::new("s3cret")), style };
    assert_eq!(plain.client, Some(client(ClientStyle::Basic)));
    assert_eq!((plain.grant, plain.scopes.len()), (Grant::ClientCredentials, 0));
    let full = oauth2(
        "client_id: me, client_secret: s3cret, auth_style: body, scopes: [a, 'b c'], audience: x, resource: [r, s], params: {account: 7}",
    );
    assert_eq!(full.client, Some(client(ClientStyle::Body)));
    assert_eq!(full.scopes, ["a", "b c"]);
    let expected = [("audience", "x"), ("resource", "r"), ("resource", "s"), ("account", "7")];
    assert_eq!(pairs(&full.parameters), expected);
    let refreshing = oauth2("grant: refresh_token, refresh_token: r3fresh, client_id: me");
    assert_eq!(refreshing.grant, Grant::RefreshToken(Secret::new("r3fresh")));
    assert_eq!(refreshing.client.unwrap().secret, None);
}

#[test]
fn an_assertion_is_read_with_its_key() {
    let jwt = |keys: &str| {
        let inline = serde_json::to_string(RSA).unwrap();
        let oauth2 = oauth2(&format!("grant: jwt_bearer, private_key: {inline}, {keys}"));
        let Grant::JwtBearer(assertion) = oauth2.grant.clone() else { panic!("{oauth2:?}") };
        (oauth2, *assertion)
    };
    let (_, least) = jwt("client_id: me");
    assert_eq!((least.issuer.as_str(), least.audience.as_str()), ("me", "https://l.example/t"));
    assert_eq!((least.subject, least.key_id, least.scope), (None, None, None));
    let (oauth2, full) =
        jwt("issuer: i, subject: s, audience: a, key_id: k, scopes: [x, y], client_id: me");
    assert_eq!((full.issuer.as_str(), full.audience.as_str()), ("i", "a"));
    assert_eq!((full.subject.unwrap(), full.key_id.unwrap()), ("s".into(), String::from("k")));
    assert_eq!(full.scope.unwrap(), "x y");
    // Of an assertion the audience is a claim, no parameter.
    assert_eq!(pairs(&oauth2.parameters), []);
    // As it comes out of a JSON file.
    let escaped = RSA.replace('\n', "\\n");
    let keys = format!(
        "auth: {{oauth2: {{token_url: 'https://l.example/t', grant: jwt_bearer, client_id: me, private_key: '{escaped}'}}}}"
    );
    assert!(matches!(source(&keys).auth, Auth::OAuth2(_)));
}

#[test]
fn files_are_found_beside_the_configuration_and_equal_declarations_share() {
    let text = |name: &str| {
        format!(
            "  {name}: {{url: https://a.example/, tls: {{ca: ca.pem, cert: c.pem, key: k.pem}}, proxy: 'http://clerk:p%40ss-s3cret@proxy.example:3128', auth: {{oauth2: {{token_url: 'https://l.example/', grant: jwt_bearer, issuer: me, private_key: world}}}}}}\n"
        )
    };
    let given = Given::default()
        .file("conf/ca.pem", CA)
        .file("conf/c.pem", CLIENT)
        .file("conf/k.pem", CLIENT_KEY)
        .file("conf/world", RSA)
        .file("conf/sources.yaml", &format!("sources:\n{}{}", text("a"), text("b")));
    let config =
        load(Path::new("conf/sources.yaml"), &given).unwrap_or_else(|told| panic!("{told}"));
    let [a, b] = config.sources.as_slice() else { panic!("two sources") };
    let (route, other) = (a.route.as_ref().unwrap(), b.route.as_ref().unwrap());
    assert!(Arc::ptr_eq(route, other));
    assert!(Arc::ptr_eq(a.auth.oauth2().unwrap(), b.auth.oauth2().unwrap()));
    assert_eq!(route.roots(), Some(CA));
    assert_eq!(route.identity().unwrap().certificates, CLIENT);
    let proxy = route.proxy().unwrap();
    assert_eq!(proxy.url.as_str(), "http://proxy.example:3128/");
    assert_eq!(proxy.credentials, Some(("clerk".into(), Secret::new("p@ss-s3cret"))));
    for secret in ["p@ss-s3cret", "p%40ss-s3cret"] {
        assert!(config.secrets.contains(&Secret::new(secret)), "{secret} is not redacted");
    }
    let debug = format!("{config:?}");
    assert!(!debug.contains("s3cret") && !debug.contains("PRIVATE KEY"), "{debug}");
    // Everybody may read the key.
    assert!(!config.warnings.0.is_empty());
    assert!(config.warnings.0.iter().all(|told| told.severity == Severity::Warning));
    assert_eq!(source("redirects: 3").redirects_max, 3);
    assert_eq!((source("").redirects_max, source("").route.clone()), (0, None));
}

#[test]
fn sources_of_one_api_share_its_token() {
    let oauth2 = |name: &str| {
        format!(
            "auth: {{oauth2: {{token_url: 'https://l.example/t', client_id: {name}, client_secret: s}}}}"
        )
    };
    let text = format!(
        "apis:\n  desk: {{{}}}\n  inner: {{api: desk, timeout: 5s}}\nsources:\n  \
         a: {{api: desk, url: 'https://a.example/', key: .id}}\n  \
         b: {{api: inner, url: 'https://b.example/', key: .id}}\n  \
         c: {{api: desk, url: 'https://a.example/', key: .id, {}}}\n",
        oauth2("shared"),
        oauth2("own"),
    );
    let sources = valid(&text).sources;
    let token = |at: usize| Arc::clone(sources[at].auth.oauth2().unwrap());
    assert!(Arc::ptr_eq(&token(0), &token(1)));
    assert!(!Arc::ptr_eq(&token(0), &token(2)));
    assert_ne!(token(0).digest(), token(2).digest());
}
