use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;

const BASE: &str = "https://api.example/v1/items?page=1&token=s3cret";

fn run(base: &str, headers: &[&[u8]]) -> Result<Option<String>, Fault> {
    let mut map = HeaderMap::new();
    for header in headers {
        map.append("link", HeaderValue::from_bytes(header).unwrap());
    }
    let response = Response { status: 200, headers: map, body: Bytes::new() };
    next(&Url::parse(base).unwrap(), &response).map(|next| next.map(Into::into))
}

#[test]
fn the_next_page_is_found() {
    let check = |headers: &[&str], expected: Option<&str>| {
        let bytes: Vec<_> = headers.iter().map(|header| header.as_bytes()).collect();
        assert_eq!(run(BASE, &bytes), Ok(expected.map(str::to_owned)), "{headers:?}");
    };
    let second = Some("https://api.example/v1/items?page=2");
    check(&["<https://api.example/v1/items?page=2>; rel=\"next\""], second);
    check(&["<https://api.example/v1/items?page=2>; rel=next"], second);
    check(&["<https://api.example:443/v1/items?page=2>;rel=\"next\""], second);
    check(&["</v1/items?page=2>; rel=\"next\""], second);
    check(&["<?page=2>; rel=\"next\""], second);
    check(&["<items?page=2#top>; rel=\"next\""], second);
    check(&["<//api.example/v1/items?page=2>; rel=\"next\""], second);
    check(&["< ?page=2 > ; REL = \"prev  NEXT\""], second);
    check(&["<?page=0>; rel=\"prev\", <?page=2>; rel=\"next\", <?page=9>; rel=\"last\""], second);
    check(&["<?page=9>; rel=\"last\"", "<?page=2>; rel=\"next\""], second);
    check(&[",, <?page=2>; rel=\"next\" ,"], second);
    check(&["<?page=2>; title=\"a, \\\"b\\\"; rel=prev\"; rel=\"next\"; flag; x=1"], second);
    check(&["<?page=2>; rel=\"next\"; rel=\"prev\""], second);
    check(&["<?page=2>; rel=\"next\", <?page=2>; rel=\"next\""], second);
    check(&["<?page=2,3>; rel=\"next\""], Some("https://api.example/v1/items?page=2,3"));
    check(&["<https://eve:pw@api.example/v1/items?page=2>; rel=\"next\""], second);
    check(&["<>; rel=\"next\""], Some(BASE));
    check(&["<?page=2>; rel=\"next\"; anchor=\"\""], second);
    // The end.
    check(&[], None);
    check(&[""], None);
    check(&[" , "], None);
    check(&["<?page=0>; rel=\"prev\""], None);
    check(&["<?page=2>; rel=\"nextish\""], None);
    check(&["<?page=2>; rel=\"prev\"; rel=\"next\""], None);
    check(&["<?page=2>"], None);
    check(&["<?page=2>; rel"], None);
    check(&["<?page=2>; rel=\"next\"; anchor=\"/other\""], None);
    // Elsewhere, but not the next page.
    check(&["<https://docs.example/>; rel=\"help\""], None);
}

#[test]
fn credentials_in_the_url_are_kept() {
    let found = run("https://me:pw@api.example/a", &[b"</b>; rel=next"]);
    assert_eq!(found, Ok(Some("https://me:pw@api.example/b".to_owned())));
    let found = run("https://me:pw@api.example/a", &[b"<https://api.example/b>; rel=next"]);
    assert_eq!(found, Ok(Some("https://me:pw@api.example/b".to_owned())));
}

#[test]
fn what_hides_the_next_page_is_a_fault() {
    let check = |header: &[u8], code: &str, sentence: &str| {
        let fault = run(BASE, &[header]).expect_err(sentence);
        assert_eq!((fault.code.as_str(), fault.sentence.as_str()), (code, sentence));
        assert!(!fault.sentence.contains("s3cret"), "{fault}");
    };
    let unreadable = |header: &[u8], why: &str| {
        check(header, "link_header", &format!("the Link header cannot be read: {why}"));
    };
    unreadable(b"garbage", "a link without `<`");
    unreadable(b"https://api.example/2; rel=next", "a link without `<`");
    unreadable(b"<?page=2; rel=next", "a target without `>`");
    unreadable(b"<?page=2> rel=next", "something else than `;` or `,` behind a link");
    unreadable(b"<?page=2>; rel=\"next", "a quoted value without its closing quote");
    unreadable(b"<?page=2>; rel=\"next\" x", "something else than `;` or `,` behind a link");
    unreadable(b"<http://[>; rel=next", "its target is no URL");
    unreadable(b"<?page=2>; rel=next, <?page=3>; rel=next", "it names more than one next page");
    unreadable(b"<?page=\xff>; rel=next", "it holds bytes that are no text");
    for (target, origin) in [
        ("https://other.example/x", "https://other.example"),
        ("http://api.example/v1/items?page=2", "http://api.example"),
        ("https://api.example:8443/v1/items", "https://api.example:8443"),
        ("//other.example/x", "https://other.example"),
        ("https://api.example.evil.example/", "https://api.example.evil.example"),
        ("https://api.example@evil.example/", "https://evil.example"),
        ("file:///etc/passwd", "null"),
        ("data:text/plain,x", "null"),
    ] {
        check(
            format!("<{target}>; rel=\"next\"").as_bytes(),
            "page_off_origin",
            &format!("the next page is on {origin}, but the source is on https://api.example"),
        );
    }
}
