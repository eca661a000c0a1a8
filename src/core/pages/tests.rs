use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn jq(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

fn answer(headers: &[(&str, &str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Response { status: 200, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// What a page says, in short: the token of the next one, `end`, or the fault's code and sentence.
fn told(pages: &Pages, token: &str, received: u64, response: &Response) -> String {
    let token = json::read(token).unwrap();
    let base = Url::parse("https://api.example/v1/items?state=open").unwrap();
    let address = pages.address(base, &token, None).unwrap();
    let page = Answered { token: &token, address: &address, response, received };
    match pages.next(&page).map(|step| step.next) {
        Ok(Next::Page(token)) => json::compact(&token).unwrap().as_str().to_owned(),
        Ok(Next::End) => String::from("end"),
        Ok(Next::Early(fault)) => format!("early {fault}"),
        Err(fault) => format!("fault {fault}"),
    }
}

fn general(next: &str) -> Pages {
    Pages::General { next: jq(next), pages_max: 9 }
}

fn next_url(next_url: &str) -> Pages {
    Pages::NextUrl { next_url: jq(next_url), pages_max: 9 }
}

fn cursor(cursor: &str) -> Pages {
    let cursor = Cursor { cursor: jq(cursor), param: String::from("after") };
    Pages::Cursor { cursor, pages_max: 9 }
}

fn number(start: u64, last: Option<&str>) -> Pages {
    let size = Some(Size { param: String::from("per_page"), count: 10 });
    let number = Number { param: String::from("page"), start, size, last: last.map(jq) };
    Pages::Number { number, pages_max: 9 }
}

fn offset(start: u64, limit: Option<u64>, total: Option<&str>) -> Pages {
    let limit = limit.map(|count| Size { param: String::from("limit"), count });
    let offset = Offset { param: String::from("offset"), start, limit, total: total.map(jq) };
    Pages::Offset { offset, pages_max: 9 }
}

#[test]
fn the_general_form_sees_the_whole_answer() {
    let check = |next: &str, headers: &[(&str, &str)], body: &str, expected: &str| {
        assert_eq!(told(&general(next), "null", 1, &answer(headers, body)), expected, "{next}");
    };
    check(".body.next", &[], r#"{"next":"c2"}"#, r#""c2""#);
    check(".body.next", &[], r#"{"next":null}"#, "end");
    check(
        ".body.next",
        &[],
        "[]",
        "fault whether there are more pages cannot be told: `next`: an array has no field \"next\" (pages)",
    );
    check(".body | last.id", &[], r#"[{"id":1},{"id":7}]"#, "7");
    check(".body.after", &[], r#"{"after":{"a":[1,"x"]}}"#, r#"{"a":[1,"x"]}"#);
    check(".headers[\"x-next\"]", &[("X-Next", "n2")], "[]", r#""n2""#);
    check(".headers[\"x-next\"]", &[], "[]", "end");
    check(".headers.link", &[("Link", "a"), ("Link", "b")], "[]", r#""a, b""#);
    check("if .status == 200 then 1 else null end", &[], "[]", "1");
    check(".body", &[], "no JSON", r#""no JSON""#);
    check("empty", &[], "[]", "end");
    // Only null ends: false and the empty text may be tokens.
    check("false", &[], "[]", "false");
    let relay = ".body.data.issues.pageInfo | if .hasNextPage then .endCursor else null end";
    let page = |more: bool| {
        format!(
            r#"{{"data":{{"issues":{{"pageInfo":{{"hasNextPage":{more},"endCursor":"Y3Vy"}}}}}}}}"#
        )
    };
    check(relay, &[], &page(true), r#""Y3Vy""#);
    check(relay, &[], &page(false), "end");
    let two = "fault whether there are more pages cannot be told: `next`: it gives more than one output, and exactly \
               one is needed (pages)";
    check("1, 2", &[], "[]", two);
}

#[test]
fn a_url_in_the_body_is_resolved() {
    let check = |body: &str, expected: &str| {
        assert_eq!(told(&next_url(".next"), "null", 1, &answer(&[], body)), expected, "{body}");
    };
    let second = r#""https://api.example/v1/items?page=2""#;
    check(r#"{"next":"https://api.example/v1/items?page=2"}"#, second);
    check(r#"{"next":"https://api.example:443/v1/items?page=2#top"}"#, second);
    check(r#"{"next":"/v1/items?page=2"}"#, second);
    check(r#"{"next":"?page=2"}"#, second);
    check(r#"{"next":"items?page=2"}"#, second);
    check(r#"{"next":"https://eve:pw@api.example/v1/items?page=2"}"#, second);
    for end in [r#"{"next":null}"#, r#"{"next":false}"#, r#"{"next":""}"#, "{}"] {
        check(end, "end");
    }
    let off = |origin: &str| {
        format!(
            "fault the next page is on {origin}, but the source is on https://api.example (page_off_origin)"
        )
    };
    check(r#"{"next":"https://evil.example/v1"}"#, &off("https://evil.example"));
    check(r#"{"next":"http://api.example/v1"}"#, &off("http://api.example"));
    check(r#"{"next":"//evil.example/v1"}"#, &off("https://evil.example"));
    check(r#"{"next":"file:///etc/passwd"}"#, &off("null"));
    let unusable = |why: &str| {
        format!("fault what leads to the next page cannot be used: `next_url` gives {why} (pages)")
    };
    check(r#"{"next":7}"#, &unusable("a number, not a URL"));
    check(r#"{"next":true}"#, &unusable("a boolean, not a URL"));
    check(r#"{"next":["a"]}"#, &unusable("an array, not a URL"));
    check(r#"{"next":"http://["}"#, &unusable("no URL"));
    let page = answer(&[], "half a d");
    assert!(told(&next_url(".next"), "null", 1, &page).starts_with("fault whether there are more"));
}

#[test]
fn a_token_in_the_body_goes_on() {
    let check = |body: &str, expected: &str| {
        assert_eq!(told(&cursor(".next"), "null", 1, &answer(&[], body)), expected, "{body}");
    };
    check(r#"{"next":"a=b&c"}"#, r#""a=b&c""#);
    check(r#"{"next":12345678901234567890123}"#, r#""12345678901234567890123""#);
    check(r#"{"next":7.0}"#, r#""7""#);
    for end in [r#"{"next":null}"#, r#"{"next":false}"#, r#"{"next":""}"#, "{}"] {
        check(end, "end");
    }
    let unusable = |what: &str| {
        format!(
            "fault what leads to the next page cannot be used: `cursor` gives {what}, not a text (pages)"
        )
    };
    check(r#"{"next":true}"#, &unusable("a boolean"));
    check(r#"{"next":{}}"#, &unusable("an object"));
}

#[test]
fn pages_are_counted_to_the_last_one() {
    let check = |(last, body): (Option<&str>, &str), page: &str, received: u64, expected: &str| {
        let found = told(&number(1, last), page, received, &answer(&[], body));
        assert_eq!(found, expected, "{last:?} {body}");
    };
    // Without `last`: an empty page ends, a short one does not.
    check((None, "[]"), "1", 10, "2");
    check((None, "[]"), "2", 3, "3");
    check((None, "[]"), "3", 0, "end");
    // A number, however it is spelled.
    for four in ["4", "4.0", "\"4\""] {
        let body = format!("{{\"pages\":{four}}}");
        check((Some(".pages"), &body), "3", 10, "4");
        check((Some(".pages"), &body), "4", 2, "end");
        check((Some(".pages"), &body), "4", 0, "end");
        check((Some(".pages"), &body), "5", 0, "end");
    }
    check((Some(".pages"), r#"{"pages":0}"#), "1", 0, "end");
    // A word.
    check((Some(".last"), r#"{"last":false}"#), "1", 10, "2");
    check((Some(".last"), r#"{"last":true}"#), "1", 10, "end");
    // Unknown is as if it were not asked for.
    check((Some(".last"), "{}"), "1", 10, "2");
    check((Some(".last"), "{}"), "2", 0, "end");
    let early = "early page 3 is empty, but is not the last one by the API's own account; nothing counts as absent \
                 (early_end)";
    check((Some(".last"), r#"{"last":false}"#), "3", 0, early);
    check((Some(".pages"), r#"{"pages":5}"#), "3", 0, early);
    let odd = "fault what leads to the next page cannot be used: `last` gives a string, not a page's number (pages)";
    check((Some(".last"), r#"{"last":"soon"}"#), "1", 1, odd);
}

#[test]
fn items_are_counted_as_they_come() {
    let check = |pages: &Pages, (at, received): (&str, u64), body: &str, expected: &str| {
        assert_eq!(
            told(pages, at, received, &answer(&[], body)),
            expected,
            "{pages:?} {at} {body}"
        );
    };
    // Without `total`: as many as came, whatever was asked for; only an empty page ends.
    let plain = offset(0, Some(500), None);
    check(&plain, ("0", 100), "[]", "100");
    check(&plain, ("100", 37), "[]", "137");
    check(&plain, ("137", 0), "[]", "end");
    check(&plain, ("0", 0), "[]", "end");
    check(&offset(1, None, None), ("1", 20), "[]", "21");
    // With `total`.
    let jira = offset(0, Some(50), Some(".total"));
    check(&jira, ("0", 50), r#"{"total":70}"#, "50");
    check(&jira, ("50", 20), r#"{"total":70}"#, "end");
    check(&jira, ("50", 20), r#"{"total":"70"}"#, "end");
    check(&jira, ("0", 0), r#"{"total":0}"#, "end");
    // A full page may have more behind it: totals stop at round numbers.
    check(&jira, ("50", 50), r#"{"total":100}"#, "100");
    check(&jira, ("100", 0), r#"{"total":100}"#, "end");
    check(&offset(0, None, Some(".total")), ("50", 50), r#"{"total":100}"#, "end");
    check(&offset(1, None, Some(".total")), ("51", 50), r#"{"total":100}"#, "end");
    check(&jira, ("0", 50), "{}", "50");
    check(&jira, ("50", 0), "{}", "end");
    let early = |reached: u64, total: u64| {
        format!(
            "early the listing ended after {reached} items, but the API counts {total}; nothing counts as absent (early_end)"
        )
    };
    check(&jira, ("50", 0), r#"{"total":70}"#, &early(50, 70));
    check(&jira, ("50", 30), r#"{"total":70}"#, &early(80, 70));
    check(&jira, ("150", 0), r#"{"total":100}"#, &early(150, 100));
    let odd = "fault what leads to the next page cannot be used: `total` gives a string, not a number of items (pages)";
    check(&jira, ("0", 1), r#"{"total":"many"}"#, odd);
    let negative = odd.replace("a string", "a number");
    check(&jira, ("0", 1), r#"{"total":-1}"#, &negative);
}

#[test]
fn what_leads_to_a_page_goes_into_its_address() {
    let check = |pages: &Pages, base: &str, token: &str, expected: &str| {
        let (base, token) = (Url::parse(base).unwrap(), json::read(token).unwrap());
        let address = pages.address(base.clone(), &token, Some(&base)).unwrap();
        assert_eq!(address.as_str(), expected, "{pages:?}");
    };
    let bare = "https://api.example/v1/items";
    check(&cursor(".c"), bare, "null", bare);
    check(&cursor(".c"), bare, r#""a b&c=d""#, "https://api.example/v1/items?after=a+b%26c%3Dd");
    let twice = "https://api.example/v1/items?q=a%20b&after=1&x&after=2";
    check(&cursor(".c"), twice, r#""z""#, "https://api.example/v1/items?q=a%20b&x&after=z");
    check(
        &cursor(".c"),
        "https://api.example/?%61fter=1",
        r#""z""#,
        "https://api.example/?after=z",
    );
    check(&number(1, None), bare, "3", "https://api.example/v1/items?page=3&per_page=10");
    let kept = "https://api.example/v1/items?page=9&state=open&per_page=1";
    check(
        &number(1, None),
        kept,
        "1",
        "https://api.example/v1/items?state=open&page=1&per_page=10",
    );
    check(&offset(0, None, None), bare, "0", "https://api.example/v1/items?offset=0");
    check(&offset(0, Some(5), None), bare, "5", "https://api.example/v1/items?offset=5&limit=5");
    check(&general(".n"), bare, "7", bare);
    check(&next_url(".n"), bare, "null", bare);
    check(&next_url(".n"), bare, r#""https://api.example/x?y""#, "https://api.example/x?y");
    let base = Url::parse("https://evil.example/").unwrap();
    let first = Url::parse(bare).unwrap();
    let gone = general(".n").address(base, &json::null(), Some(&first));
    assert_eq!(gone.unwrap_err().code, "page_off_origin");
}

#[test]
fn the_first_page_has_its_number() {
    let check = |pages: &Pages, expected: &str| {
        assert_eq!(json::compact(&pages.first()).unwrap().as_str(), expected);
    };
    check(&Pages::One, "null");
    check(&general(".n"), "null");
    check(&cursor(".n"), "null");
    check(&number(0, None), "0");
    check(&number(1, None), "1");
    check(&offset(0, None, None), "0");
}

mod trail {
    use super::*;
    use crate::core::extract;
    use crate::core::snapshot::BodyHash;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn code(result: Result<(), Fault>) -> String {
        result.map_or_else(|fault| fault.code, |()| String::from("fine"))
    }

    #[test]
    fn a_page_is_known_by_body_and_by_keys() {
        let first = url("https://api.example/");
        let mut trail = Trail::begin(&Pages::One, &first);
        let key = [jq(".id")];
        let mut take = |body, items: &str| {
            let page = extract::page(items.as_bytes(), None, &key).unwrap();
            trail.take(&page, BodyHash([body; 16]), 0)
        };
        let fine = |result| assert_eq!(code(result), "fine");
        fine(take(1, r#"[{"id":1}]"#));
        fine(take(2, r#"[{"id":2}]"#));
        assert_eq!(code(take(1, r#"[{"id":3}]"#)), "repeated_page", "the same body");
        assert_eq!(code(take(4, r#"[{"id":2,"new":1}]"#)), "repeated_page", "the same keys");
        // Empty pages may be alike, but not those whose items have no key.
        fine(take(5, "[]"));
        fine(take(5, "[]"));
        fine(take(6, r#"[{"no":1}]"#));
        let fault = take(6, r#"[{"no":1}]"#).unwrap_err();
        assert_eq!(fault.code, "repeated_page");
        assert!(fault.sentence.contains("item 1 has no key"), "{fault}");
    }

    #[test]
    fn no_way_is_gone_twice() {
        let first = url("https://api.example/a");
        let token = |text: &str| json::read(text).unwrap();
        for (pages, expected) in [
            (Pages::Link { pages_max: 3 }, "repeated_page"),
            (Pages::NextUrl { next_url: jq(".n"), pages_max: 3 }, "repeated_page"),
        ] {
            let mut trail = Trail::begin(&pages, &first);
            let mut go_on = |to: &str| code(trail.go_on(&pages, &json::null(), &url(to)));
            assert_eq!(go_on("https://api.example/b"), "fine");
            assert_eq!(go_on("https://api.example/a"), expected);
            assert_eq!(go_on("https://api.example/b"), expected);
            assert_eq!(go_on("https://api.example/c"), "fine");
            assert_eq!(go_on("https://api.example/d"), "too_many_pages");
        }
        let pages = Pages::General { next: jq(".n"), pages_max: 3 };
        let mut trail = Trail::begin(&pages, &first);
        let mut go_on = |to: &str| code(trail.go_on(&pages, &token(to), &first));
        assert_eq!(go_on("\"x\""), "fine");
        assert_eq!(go_on("\"x\""), "repeated_token");
        assert_eq!(go_on("{\"a\":1,\"b\":2}"), "fine");
        assert_eq!(go_on("{\"b\":2.0,\"a\":1}"), "repeated_token");
        assert_eq!(go_on("3"), "too_many_pages");
    }

    #[test]
    fn a_count_that_changes_is_told() {
        let mut trail = Trail::begin(&Pages::One, &url("https://api.example/"));
        assert_eq!(trail.announce(None), None);
        assert_eq!(trail.announce(Some(70)), None);
        assert_eq!(trail.announce(None), None);
        assert_eq!(trail.announce(Some(70)), None);
        let fault = trail.announce(Some(69)).unwrap();
        assert!(fault.sentence.contains("first 70 were announced, then 69"), "{fault}");
    }
}

mod known {
    use super::*;
    use crate::core::snapshot::BodyHash;
    use crate::core::source::Validator;

    const SEED: u64 = 7;

    fn link() -> Pages {
        Pages::Link { pages_max: 9 }
    }

    /// Pages with so many items each; the body of the page at `at` is `[at]`.
    fn known(pages: &Pages, counts: &[u64]) -> KnownPages {
        let mut known = KnownPages::default();
        for (at, received) in counts.iter().enumerate() {
            let token = match pages {
                _ if at == 0 => pages.first(),
                Pages::Number { .. } => whole(at as u64 + 1),
                _ => json::text(&format!("https://api.example/?{at}")),
            };
            let validator = Some(Validator::ETag(format!("\"{at}\"").into()));
            let body = BodyHash::of(format!("[{at}]").as_bytes(), SEED);
            known.add(KnownPage { token, validator, body, received: *received });
        }
        known
    }

    #[test]
    fn a_last_page_that_may_be_full_is_asked_for_whole() {
        let check = |pages: &Pages, counts: &[u64], expected: &[bool]| {
            let known = known(pages, counts);
            let found: Vec<_> =
                (0..counts.len()).map(|at| known.validator(pages, at).is_some()).collect();
            assert_eq!(found, expected, "{pages:?} {counts:?}");
        };
        check(&link(), &[100, 100, 99], &[true, true, true]);
        check(&link(), &[100, 100, 100], &[true, true, false]);
        check(&link(), &[100, 30, 0], &[true, true, true]);
        check(&link(), &[7], &[true]);
        for full in [0, 10, 25, 30, 100, 64, 24] {
            check(&link(), &[full], &[false]);
        }
        check(&number(1, Some(".n")), &[10, 10], &[true, true]);
        check(&cursor(".n"), &[100], &[true]);
    }

    #[test]
    fn only_what_is_as_before_is_confirmed() {
        let address = Url::parse("https://api.example/").unwrap();
        let status = |status: u16, headers: &[(&str, &str)], body: &str| Response {
            status,
            ..answer(headers, body)
        };
        let check = |at: usize, response: &Response, expected: bool| {
            let mut known = known(&link(), &[2, 1]);
            let found = known.confirm(&link(), (at, &address), response, SEED);
            assert_eq!(found, expected, "{at} {response:?}");
        };
        let next = ("link", "<?1>; rel=next");
        check(0, &status(304, &[], ""), true);
        check(0, &status(304, &[next], ""), true);
        check(0, &status(304, &[("link", "<?7>; rel=next")], ""), false);
        check(0, &status(304, &[("link", "")], ""), false);
        check(0, &status(200, &[next], "[0]"), true);
        check(0, &status(200, &[next], "[9]"), false);
        check(0, &status(200, &[], "[0]"), false);
        check(1, &status(304, &[], ""), true);
        check(1, &status(304, &[next], ""), false);
        check(1, &status(200, &[], "[1]"), true);
        check(1, &status(200, &[next], "[1]"), false);
        check(2, &status(304, &[], ""), false);
    }

    #[test]
    fn what_a_page_is_asked_for_with_is_as_the_last_answer_had_it() {
        let address = Url::parse("https://api.example/").unwrap();
        let mut pages = known(&link(), &[2, 1]);
        let hash = pages.hash(SEED);
        let silent = Response { status: 304, ..answer(&[], "") };
        assert!(pages.confirm(&link(), (0, &address), &silent, SEED));
        assert!(pages.are_useful(&link()));
        let whole = answer(&[("link", "<?1>; rel=next"), ("etag", "\"new\"")], "[0]");
        assert!(pages.confirm(&link(), (0, &address), &whole, SEED));
        assert_eq!(pages.validator(&link(), 0), Some(&Validator::ETag("\"new\"".into())));
        assert!(pages.are_useful(&link()));
        assert_eq!(pages.hash(SEED), hash);
        // A server that confirms another version than the one it was asked about, or that stops giving validators, is
        // asked for the whole.
        let other = Response { status: 304, ..answer(&[("etag", "\"other\"")], "") };
        for response in [other, answer(&[("link", "<?1>; rel=next")], "[0]")] {
            let mut pages = pages.clone();
            assert!(pages.confirm(&link(), (0, &address), &response, SEED));
            assert!(!pages.are_useful(&link()), "{response:?}");
        }
    }

    #[test]
    fn few_enough_pages_with_validators_are_useful() {
        assert!(known(&link(), &[3, 1]).are_useful(&link()));
        assert!(!known(&link(), &[]).are_useful(&link()));
        assert!(!known(&general(".headers.x"), &[3, 1]).are_useful(&general(".headers.x")));
        let many = vec![3; crate::core::limits::KNOWN_PAGES_MAX + 5];
        assert!(known(&link(), many.get(5..).unwrap()).are_useful(&link()));
        assert!(!known(&link(), &many).are_useful(&link()));
    }
}
