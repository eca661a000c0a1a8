//! Certificates and keys as they are checked, and what makes two routes the same.

use crate::core::http::route::{Identity, OfKey, Proxy, Route, check_roots};
use crate::core::secret::Secret;

const CA: &str = include_str!("../../../../tests/cases/tls/ca.pem");
const CLIENT: &str = include_str!("../../../../tests/cases/tls/client.pem");
const SERVER: &str = include_str!("../../../../tests/cases/tls/server.pem");
const CLIENT_KEY: &str = include_str!("../../../../tests/cases/tls/client.key");
const CLIENT_KEY_SEC1: &str = include_str!("../../../../tests/cases/tls/client-sec1.key");
const SERVER_KEY: &str = include_str!("../../../../tests/cases/tls/server.key");

#[test]
fn roots_are_certificates() {
    let broken = CA.replace("MII", "MIJ");
    for (pem, expected) in [
        (CA, Ok(())),
        (&format!("some words\n{CA}{CLIENT}"), Ok(())),
        ("", Err("there is no certificate in it")),
        ("words", Err("there is no certificate in it")),
        (CLIENT_KEY, Err("there is no certificate in it")),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", Err("it is not valid PEM")),
        (&broken, Err("one of its certificates cannot be read")),
    ] {
        assert_eq!(check_roots(pem), expected, "{pem}");
    }
}

fn identity(certificates: &str, key: &str) -> Identity {
    Identity { certificates: certificates.to_owned(), key: Secret::new(key) }
}

#[test]
fn a_client_certificate_and_its_key_belong_together() {
    let check = |certificates: &str, key: &str, expected: Result<(), bool>| {
        let found = identity(certificates, key).check().map_err(|(_, OfKey(of_key))| of_key);
        assert_eq!(found, expected, "{certificates} {key}");
    };
    check(CLIENT, CLIENT_KEY, Ok(()));
    check(CLIENT, CLIENT_KEY_SEC1, Ok(()));
    check(&format!("{CLIENT}{CA}"), CLIENT_KEY, Ok(()));
    check(CLIENT, SERVER_KEY, Err(true));
    check(CLIENT, CLIENT, Err(true));
    check(CLIENT, "", Err(true));
    check(SERVER, CLIENT_KEY, Err(true));
    check("", CLIENT_KEY, Err(false));
    check(CLIENT_KEY, CLIENT_KEY, Err(false));
}

#[test]
fn routes_are_the_same_when_all_of_them_is() {
    let proxy = |password: &str| Proxy {
        url: "http://proxy.example:3128".parse().unwrap(),
        credentials: Some((String::from("clerk"), Secret::new(password))),
    };
    let roots = || Some(CA.to_owned());
    let client = || Some(identity(CLIENT, CLIENT_KEY));
    let routes = [
        Route::new(roots(), None, None),
        Route::new(None, client(), None),
        Route::new(roots(), client(), None),
        Route::new(roots(), client(), Some(proxy("a"))),
        Route::new(roots(), client(), Some(proxy("b"))),
        Route::new(None, None, Some(proxy("b"))),
        Route::new(None, None, Some(Proxy { credentials: None, ..proxy("") })),
    ];
    for (number, one) in routes.iter().enumerate() {
        for (other_number, other) in routes.iter().enumerate() {
            let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
            assert_eq!(one.digest() == other.digest(), number == other_number);
            assert_eq!(one == other, number == other_number);
        }
    }
    let abroad = routes[3].as_ref().unwrap().without_identity().unwrap();
    assert_eq!(abroad.identity(), None);
    assert!(abroad.roots().is_some() && abroad.proxy().is_some());
    assert_eq!(routes[1].as_ref().unwrap().without_identity(), None);
    assert_eq!(Route::new(None, None, None), None);
    assert_eq!(proxy("").place(), "proxy.example:3128");
}
