//! What credentials do to a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::core::auth::Auth;
use crate::core::secret::Secret;

fn basic(user: &str, password: &str) -> Auth {
    Auth::Basic { user: user.to_owned(), password: Secret::new(password) }
}

fn query(parameters: &[(&str, &str)]) -> Auth {
    Auth::Query(
        parameters.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect(),
    )
}

#[test]
fn credentials_stand_where_the_scheme_says() {
    let check = |auth: Auth, expected_url: &str, expected: &[(&str, &[u8])]| {
        let mut url = Url::parse("https://api.example/v1?a=1").unwrap();
        let mut headers = HeaderMap::new();
        auth.apply(&mut url, &mut headers);
        assert_eq!(url.as_str(), expected_url);
        let found: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(found, expected);
        assert!(headers.values().all(HeaderValue::is_sensitive));
        // Neither a debug print of the credentials nor of the headers shows them.
        assert!(!format!("{auth:?} {headers:?}").contains("s3cret"));
    };
    let same = "https://api.example/v1?a=1";
    check(Auth::None, same, &[]);
    let bearer = |token: &str| Auth::Bearer(Secret::new(token));
    check(bearer("s3cret"), same, &[("authorization", b"Bearer s3cret")]);
    check(bearer("schlüssel"), same, &[("authorization", "Bearer schlüssel".as_bytes())]);
    // RFC 7617's own two examples.
    check(
        basic("Aladdin", "open sesame"),
        same,
        &[("authorization", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")],
    );
    check(basic("test", "123£"), same, &[("authorization", b"Basic dGVzdDoxMjPCow==")]);
    let field = |name: &'static str| (HeaderName::from_static(name), Secret::new("s3cret"));
    check(
        Auth::Header(vec![field("x-api-key"), field("x-app-id")]),
        same,
        &[("x-api-key", b"s3cret"), ("x-app-id", b"s3cret")],
    );
    check(
        query(&[("key", "s3cret&b=c d"), ("app", "ü")]),
        "https://api.example/v1?a=1&key=s3cret%26b%3Dc+d&app=%C3%BC",
        &[],
    );
    check(query(&[]), same, &[]);
}

#[test]
fn credentials_take_the_place_of_a_header_of_the_same_name() {
    let mut url = Url::parse("https://api.example/").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer old"));
    Auth::Bearer(Secret::new("new")).apply(&mut url, &mut headers);
    let found: Vec<_> = headers.get_all("authorization").iter().collect();
    assert_eq!(found, ["Bearer new"]);
    query(&[]).apply(&mut url, &mut headers);
    assert_eq!(url.as_str(), "https://api.example/");
}
