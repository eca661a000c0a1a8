use proptest::prelude::*;

use super::*;
use crate::core::json::canonical;

fn expressions(texts: &[&str]) -> Vec<Expression> {
    texts.iter().map(|text| Expression::parse(text).unwrap()).collect()
}

fn run<'a>(body: &'a [u8], items: Option<&str>, key: &[&str]) -> Result<Page<'a>, Fault> {
    let items = items.map(|items| Expression::parse(items).unwrap());
    page(body, items.as_ref(), &expressions(key))
}

/// A page in one line: `List 1={"id":1} | item 2 has no key …`.
fn told(page: &Page<'_>) -> String {
    let items = page.items.iter().map(|item| format!(" {}={}", item.key, item.raw));
    let faults = page.faults.iter().map(|fault| format!(" | {}", fault.sentence));
    format!("{:?}{}", page.shape, items.chain(faults).collect::<String>())
}

#[test]
fn items_and_their_keys_are_found() {
    let check = |body: &str, items: Option<&str>, key: &[&str], expected: &str| {
        let page =
            run(body.as_bytes(), items, key).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(told(&page), expected, "{body} {items:?} {key:?}");
    };
    // The document itself.
    check(r#"[{"id":1},{"id":2}]"#, None, &[".id"], r#"List 1={"id":1} 2={"id":2}"#);
    check("[]", None, &[".id"], "List");
    check(" [ { \"id\" : 1 } ] ", None, &[".id"], r#"List 1={ "id" : 1 }"#);
    check(" {\"a\": 1}\n", None, &[], r#"Object ={"a": 1}"#);
    check(r#"{"a":1}"#, None, &[".a"], r#"Object 1={"a":1}"#);
    check(r#"{"a":1}"#, None, &[".b"], "Object | item 1 has no key at .b: found null");
    check("\u{feff}[{\"id\":1}]", None, &[".id"], r#"List 1={"id":1}"#);
    // Somewhere in it.
    let nested = r#"{"meta":{"items":3},"data":{"items":[{"id":"a"},{"id":"b"}]},"x":[1]}"#;
    let found = r#"List a={"id":"a"} b={"id":"b"}"#;
    for items in [
        ".data.items",
        ".data | .items",
        ".data[\"items\"]",
        ".data.items[]",
        "[.data.items[]]",
        ".data.items | map(.)",
    ] {
        check(nested, Some(items), &[".id"], found);
    }
    check(nested, Some(".data.items[] | select(.id == \"b\")"), &[".id"], r#"List b={"id":"b"}"#);
    check(nested, Some(".data.items[] | {id}"), &[".id"], found);
    check(nested, Some(".data.items[] | select(.id == \"c\")"), &[".id"], "List");
    check(nested, Some(".data"), &[".items[0].id"], r#"List a={"items":[{"id":"a"},{"id":"b"}]}"#);
    check(r#"{"a":[[1,"x"],[2,"y"]]}"#, Some(".a[]"), &[".[0]"], r#"List 1=[1,"x"] 2=[2,"y"]"#);
    check(r#"{"a":[[1,2]]}"#, Some(".a[]"), &["."], "List 1=1 2=2");
    check(
        r#"{"a":{"k":{"id":1},"l":{"id":2}}}"#,
        Some(".a[]"),
        &[".id"],
        r#"List 1={"id":1} 2={"id":2}"#,
    );
    check(r#"{"items":[1],"items":[{"id":2}]}"#, Some(".items"), &[".id"], r#"List 2={"id":2}"#);
    check(r#"{"\u0069tems":[{"\u0069d":2}]}"#, Some(".items"), &[".id"], r#"List 2={"\u0069d":2}"#);
    // Keys.
    check(
        r#"["b",1.0,true,"a\u0062"]"#,
        None,
        &["."],
        r#"List b="b" 1=1.0 true=true ab="a\u0062""#,
    );
    check(
        r#"[{"id":42.0},{"id":4.2e1},{"id":12345678901234567890123}]"#,
        None,
        &[".id"],
        r#"List 42={"id":42.0} 42={"id":4.2e1} 12345678901234567890123={"id":12345678901234567890123}"#,
    );
    check(r#"[{"a":1,"b":{"c":"x"}}]"#, None, &[".a", ".b.c"], r#"List 1/x={"a":1,"b":{"c":"x"}}"#);
    check(r#"[{"a":1,"b":"x"}]"#, None, &["\"\\(.a)-\\(.b)\""], r#"List 1-x={"a":1,"b":"x"}"#);
    check(r#"[{"id":1,"id":2}]"#, None, &[".id"], r#"List 2={"id":1,"id":2}"#);
    check(
        r#"[{"id":"half \ud83d"}]"#,
        None,
        &[".id"],
        "List half \u{fffd}={\"id\":\"half \\ud83d\"}",
    );
    check(
        r#"[{"id":1e400,"x":1e999999999}]"#,
        None,
        &[".id"],
        r#"List 1e400={"id":1e400,"x":1e999999999}"#,
    );
}

#[test]
fn items_without_a_usable_key_are_faults_of_their_own() {
    let check = |items: &str, key: &[&str], expected: &str| {
        let body = format!("[{{\"id\":1}},{items}]");
        let page = run(body.as_bytes(), None, key).unwrap();
        assert_eq!(page.items.len(), 1, "{items}");
        assert_eq!(page.faults[0].sentence, expected, "{items}");
    };
    check("{}", &[".id"], "item 2 has no key at .id: found null");
    check("null", &[".id"], "item 2 has no key at .id: found null");
    check("{\"id\":null}", &[".id"], "item 2 has no key at .id: found null");
    check("{\"id\":[1]}", &[".id"], "item 2 has no key at .id: found an array");
    check("{\"id\":{}}", &[".id"], "item 2 has no key at .id: found an object");
    check("{\"id\":\"\"}", &[".id"], "item 2 has no key at .id: found an empty string");
    check("\"secret\"", &[".id"], "item 2 has no key at .id: a string has no field \"id\"");
}

#[test]
fn a_missing_list_is_told_by_what_is_there() {
    let error = r#"{"error":"hunter2","message":"x"}"#;
    let check = |body: &str, items: &str, expected: &str| {
        let fault = run(body.as_bytes(), Some(items), &[".id"]).expect_err(body);
        assert_eq!(fault.code, "no_list", "{body} {items}");
        assert_eq!(fault.sentence, format!("no list at {items}: {expected}"), "{body}");
    };
    let check_error = |items: &str, found: &str| {
        let has = "the answer has \"error\", \"message\" at its top level";
        check(error, items, &format!("{found}; {has}"));
    };
    check_error(".tickets", "found null");
    check_error(".tickets[]", "null has no elements");
    check_error(".error", "found a string");
    check_error(".error.x", "a string has no field \"x\"");
    check_error(".error + 1", "it calculates with values of the wrong kinds");
    check_error(".[]", "found a string among others");
    check("{}", ".a", "found null; the answer is an empty object");
    check("[1]", ".a", "an array has no field \"a\"; the answer is an array");
    let ids = "found a number among others; the answer has \"a\" at its top level";
    check(r#"{"a":[1,2]}"#, ".a[]", ids);
    let named = format!(
        "{{\"{}\":1,\"\\n\\u001b[1m\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7}}",
        "n".repeat(99)
    );
    let shown = format!(
        "\"{}…\", \"\\n\\u{{1b}}[1m\", \"c\", \"d\", \"e\", \"f\" and more",
        "n".repeat(40)
    );
    check(&named, ".a", &format!("found null; the answer has {shown} at its top level"));
}

#[test]
fn unusable_answers_are_faults_with_a_sentence() {
    let check = |body: &[u8], items: Option<&str>, key: &[&str], code: &str, sentence: &str| {
        let fault = run(body, items, key).expect_err(sentence);
        assert_eq!((fault.code.as_str(), fault.sentence.as_str()), (code, sentence));
    };
    let plain = "the answer is a string, neither a list nor an object";
    check(b"\"x\"", None, &[".id"], "no_list", plain);
    check(b"null", None, &[], "no_list", &plain.replace("a string", "null"));
    let required = "the answer is a list, and nothing says what identifies its items: set `key`";
    check(b"[1]", None, &[], "key_required", required);
    check(br#"{"a":[]}"#, Some(".a"), &[], "key_required", required);
    for body in ["", " \n", "\u{feff}"] {
        check(body.as_bytes(), None, &[], "not_json", "the answer is empty, and no JSON");
    }
    let html = "the answer looks like HTML or XML, not JSON: perhaps a login or error page";
    check(b"\n<!doctype html>", None, &[], "not_json", html);
    let place = "not JSON at line 2, column 3: ";
    let early = "the text ends too early, expected a comma or a closing bracket";
    check(b"[1,\n 2", None, &["."], "not_json", &format!("{place}{early}"));
    let value = "not JSON at line 1, column 1: expected a value";
    check(b"oops", Some(".a"), &["."], "not_json", value);
    check(b"\"\xff\"", None, &["."], "not_utf8", "the answer is not UTF-8: invalid byte at 1");
}

#[test]
fn hostile_answers_are_refused() {
    let deep_text = "\"[[[[{{{{\\\"[\"".to_owned();
    for (body, code) in [
        ("[".repeat(200_000), "too_deep"),
        ("{\"a\":".repeat(100_000), "too_deep"),
        (format!("[{}1{}]", "[".repeat(100_000), "]".repeat(100_000)), "too_deep"),
        (format!("{{\"x\":{}1{},\"a\":[]}}", "[".repeat(200), "]".repeat(200)), "too_deep"),
        ("[NaN]".into(), "not_json"),
        ("[\"\u{0}\"]".into(), "not_json"),
        ("[1]\u{0}".into(), "not_json"),
        ("[1] [2]".into(), "not_json"),
        (format!("[\"{}", "x".repeat(10_000_000)), "not_json"),
    ] {
        for items in [None, Some(".a"), Some(".a | .")] {
            let fault = run(body.as_bytes(), items, &["."]).unwrap_err();
            assert_eq!(fault.code, code);
        }
    }
    let many_brackets = format!("[{}]", vec![deep_text; 100].join(","));
    assert_eq!(run(many_brackets.as_bytes(), None, &["."]).unwrap().items.len(), 100);
    let long = format!("[\"{}\"]", "x".repeat(10_000_000));
    let page = run(long.as_bytes(), None, &["."]).unwrap();
    assert_eq!(page.faults[0].code, "key_too_long");
    assert_eq!(page.faults[0].sentence, "the key of item 1 is longer than 1024 bytes");
    let keyless = format!("[{}null]", "null,".repeat(999));
    let page = run(keyless.as_bytes(), None, &[".id"]).unwrap();
    assert_eq!(page.faults.len(), ITEM_FAULTS_MAX + 1);
    assert_eq!(page.faults[ITEM_FAULTS_MAX].sentence, "900 more items cannot be used");
}

#[test]
fn an_answer_cut_anywhere_is_refused() {
    let body = r#"{"a":[{"id":"é\n","n":-1.5e3,"t":[true,null,false]},{"id":2}],"b":{"c":{}}}"#;
    for at in 0..body.len() {
        for items in [None, Some(".a"), Some(".a[]"), Some(".a | .")] {
            run(&body.as_bytes()[..at], items, &[".id"]).expect_err("half an answer");
        }
    }
}

#[test]
fn more_items_than_the_bound_are_refused() {
    let body = format!("[{}0]", "0,".repeat(ITEMS_MAX));
    let fault = run(body.as_bytes(), None, &["."]).unwrap_err();
    assert_eq!(fault.code, "too_many_items");
}

/// The same page by the slow way alone.
fn slow_page<'a>(
    body: &'a [u8],
    items: Option<&Expression>,
    key: &[Expression],
) -> Result<Page<'a>, Fault> {
    let text = decode(body)?;
    check_depth(text)?;
    let listing = slow::listing(text, items)?;
    if key.is_empty() && listing.shape == Shape::List {
        return Err(Fault::source(
            "key_required",
            "the answer is a list, and nothing says what identifies its items: set `key`",
        )
        .final_());
    }
    Ok(with_keys(listing, key, 1))
}

fn documents() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null"),
        Just("true"),
        Just("1"),
        Just("1.0"),
        Just("-0"),
        Just("1e400"),
        Just("\"\""),
        Just("\"x\""),
        Just("\"\\u0061\""),
        Just("\"\\ud83d\""),
        Just("\"[{\""),
        Just(" [ ] "),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![Just("a"), Just("b"), Just("\\u0061"), Just("id"), Just("\\ud800")];
        prop_oneof![
            3 => prop::collection::vec((name, inner.clone()), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
                format!("{{{}}}", entries.join(" ,"))
            }),
            2 => prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_ways_find_the_same(
        document in documents(),
        items in prop_oneof![Just(None), Just(Some(".")), Just(Some(".a")), Just(Some(".a[]")), Just(Some(".[]")), Just(Some(".a.b")), Just(Some(".a[0]"))],
        key in prop_oneof![Just(&[][..]), Just(&["."][..]), Just(&[".id"][..]), Just(&[".a", ".b"][..]), Just(&[".a.id"][..]), Just(&[".[0]"][..])],
    ) {
        let items = items.map(|items| Expression::parse(items).unwrap());
        let key = expressions(key);
        let either = page(document.as_bytes(), items.as_ref(), &key);
        let slow = slow_page(document.as_bytes(), items.as_ref(), &key);
        match (either, slow) {
            (Ok(either), Ok(slow)) => {
                prop_assert_eq!(either.shape, slow.shape);
                prop_assert_eq!(&either.faults, &slow.faults);
                prop_assert_eq!(either.items.len(), slow.items.len());
                for (either, slow) in either.items.iter().zip(&slow.items) {
                    prop_assert_eq!(&either.key, &slow.key);
                    let same = |raw: &str| canonical(&json::read(raw).unwrap());
                    prop_assert_eq!(same(&either.raw), same(&slow.raw));
                }
            }
            (either, slow) => prop_assert_eq!(either, slow),
        }
    }
}
