use http::HeaderMap;
use proptest::prelude::*;

use crate::core::extract;
use crate::core::format::{Begun, Cutter, Format};
use crate::core::jq::Expression;

fn jq(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

/// What comes of a text whose beginning is taken at once and the rest in steps: items as `KEY TEXT`, or what is wrong.
fn cut(
    text: &str,
    items: &str,
    format: &Format,
    begin: usize,
    step: usize,
) -> Option<Result<Vec<String>, String>> {
    let (items, key) = (Some(items).filter(|items| *items != ".").map(jq), [jq(".id")]);
    let mut cutter = Cutter::of(&HeaderMap::new(), Some(format), items.as_ref())?;
    let (first, rest) = text.as_bytes().split_at(begin.min(text.len()));
    if cutter.begin(first) == Begun::No {
        return None;
    }
    let mut found = Vec::new();
    let mut take = |cutter: &mut Cutter<'_>| {
        let (text, places) = cutter.cut()?;
        for place in places {
            let page = extract::part(text, (found.len() + 1, place.clone()), &key)?;
            if let Some(fault) = page.faults.into_iter().next() {
                return Err(fault);
            }
            found.extend(page.items.iter().map(|item| format!("{} {}", item.key, item.raw)));
        }
        cutter.drop_cut()
    };
    let mut run = || {
        take(&mut cutter)?;
        for bytes in rest.chunks(step) {
            cutter.push(bytes);
            take(&mut cutter)?;
        }
        cutter.close();
        take(&mut cutter)
    };
    if let Err(fault) = run() {
        return Some(Err(fault.sentence));
    }
    Some(match cutter.end() {
        Err(fault) => Err(fault.sentence),
        Ok(None) => Ok(found),
        Ok(Some(frame)) => match extract::page(&frame, items.as_ref(), &key) {
            Ok(page) if page.count == 0 => Ok(found),
            Ok(_) => Err(String::from("twice")),
            Err(fault) => Err(fault.sentence),
        },
    })
}

/// The same however it is cut.
#[track_caller]
fn check(text: &str, items: &str, format: &Format, expected: Result<&[&str], &str>) {
    let expected = expected
        .map(|items| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
        .map_err(str::to_owned);
    for (begin, step) in [(text.len(), 1), (text.len() / 2 + 8, 1), (30, 2), (40, 3), (35, 7)] {
        if let Some(found) = cut(text, items, format, begin, step) {
            assert_eq!(found, expected, "{text} at {items}, {begin} and steps of {step}");
        }
    }
    assert!(cut(text, items, format, text.len(), 1).is_some(), "{text} cannot be cut");
}

#[test]
fn lists_are_cut_between_items() {
    let good =
        |text: &str, items: &str, found: &[&str]| check(text, items, &Format::Json, Ok(found));
    good("[]", ".", &[]);
    good("\u{feff} [ ] ", ".", &[]);
    good(r#"[{"id":1},{"id":2}]"#, ".", &[r#"1 {"id":1}"#, r#"2 {"id":2}"#]);
    good("[ {\"id\": 1 }\n,\n{\"id\":\"a\"} ]\n", ".", &["1 {\"id\": 1 }", "a {\"id\":\"a\"}"]);
    let sly = r#"{"id":1,"x":"],[}{\"\\","y":[[1,2],{"z":["]"]}]}"#;
    good(&format!("[{sly},{sly}]"), ".", &[&format!("1 {sly}"), &format!("1 {sly}")]);
    let around = format!(
        r#"{{"n":{{"items":[1]}},"s":"\"items\":[","a":[{{}}],"items":[{sly}],"m":{{"x":1}}}}"#
    );
    good(&around, ".items", &[&format!("1 {sly}")]);
    good(&around, ".items[]", &[&format!("1 {sly}")]);
    good(r#"{"d":{"\u0069tems":[{"id":7}]},"t":9}"#, ".d.items", &[r#"7 {"id":7}"#]);
}

#[test]
fn what_is_no_list_of_items_is_told() {
    let bad = |text: &str, items: &str, why: &str| check(text, items, &Format::Json, Err(why));
    let cut = "the answer ends before its list does: was it cut?";
    bad(r#"[{"id":1},{"id":2}"#, ".", cut);
    bad(r#"[{"id":1},{"id":"2"#, ".", cut);
    bad("[", ".", cut);
    bad(r#"[{"id":1},]"#, ".", "the list has a comma without an item");
    bad(r#"[,{"id":1}]"#, ".", "the list has a comma without an item");
    bad(r#"[{"id":1}}]"#, ".", "the brackets of the list do not match");
    let deep = format!("[{}", "[".repeat(200));
    bad(&deep, ".", "the answer is nested more than 128 levels deep");
    for behind in ["x", "]", "[]", "{"] {
        let text = format!(r#"[{{"id":1}}]{behind}"#);
        let found = super::tests::cut(&text, ".", &Format::Json, text.len(), 1).unwrap();
        assert!(found.is_err(), "{text}");
    }
    bad(r#"{"items":[{"id":1}],"items":[{"id":2}]}"#, ".items", "twice");
}

#[test]
fn what_cannot_be_cut_is_left_whole() {
    let check = |text: &str, items: &str| {
        assert_eq!(cut(text, items, &Format::Json, text.len(), 1), None, "{text} at {items}");
    };
    for text in ["", " ", "{}", "{\"id\":1}", "1", "\"[\"", "<html>", "\u{fffe}["] {
        check(text, ".");
    }
    for text in
        ["[]", "{}", "{\"a\":{\"items\":[]}}", "{\"items\":{}}", "{\"items\"[]}", "{\"x\":\"items"]
    {
        check(text, ".items");
    }
    check("[[]]", ".[0]");
    check("[]", "map(.)");
}

#[test]
fn lines_are_cut_at_their_ends() {
    let check = |text: &str, found: &[&str]| check(text, ".", &Format::Ndjson, Ok(found));
    check("{\"id\":1}\n{\"id\":2}", &["1 {\"id\":1}", "2 {\"id\":2}"]);
    check("\n{\"id\":1}\r\n\r\n  {\"id\":\"é\"} \n\n", &["1 {\"id\":1}", "é {\"id\":\"é\"}"]);
    check("\n", &[]);
}

proptest! {
    #[test]
    fn however_it_is_cut_it_is_what_it_was(
        texts in prop::collection::vec(r#"[\\"\[\]{},:a é]{0,12}"#, 0..12),
        step in 1_usize..40,
        begin in 12_usize..80,
    ) {
        let item = |(id, text): (usize, &String)| serde_json::json!({"id": id, text: [text, {"t": text}]});
        let items: Vec<_> = texts.iter().enumerate().map(item).collect();
        let text = serde_json::json!({ "a": texts, "items": items, "z": {"items": texts} }).to_string();
        let begin = begin + text.find("\"items\"").unwrap_or(0);
        let found = cut(&text, ".items", &Format::Json, begin, step).unwrap().unwrap();
        let expected: Vec<_> =
            items.iter().enumerate().map(|(id, item)| format!("{id} {item}")).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn nothing_breaks_the_cutter(text in r#"[\\"\[\]{},:0a\n ]{0,60}"#, begin in 0_usize..40, step in 1_usize..9) {
        for (items, format) in [(".", Format::Json), (".a", Format::Json), (".", Format::Ndjson)] {
            drop(cut(&text, items, &format, begin, step));
        }
    }
}
