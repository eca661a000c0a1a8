//! Content made to break readers, or merely odd: a fault of its own or taken as it is, never a panic, never rung twice.

use serde_json::Value;

use crate::misbehaviour::{Door, are_faults, json_text};
use crate::support::Reply;
use crate::support::scene::items;

/// Content made to break readers: each is an error of its own, none a panic, none an event.
#[test]
fn hostile_content() {
    let around = |inside: &str| json_text(format!(r#"[{{"id":1,"status":"new"}},{inside}]"#));
    let deep = "[".repeat(100_000);
    let deep_item = format!(r#"{{"id":2,"x":{}0{}}}"#, "[".repeat(5000), "]".repeat(5000));
    are_faults(
        "max_body: 32MiB",
        &[
            ("a hundred thousand brackets", json_text(deep), "too_deep"),
            ("an abyss in an item", around(&deep_item), "too_deep"),
            ("NaN", around(r#"{"id":2,"x":NaN}"#), "not_json"),
            ("Infinity", around(r#"{"id":2,"x":-Infinity}"#), "not_json"),
            ("a comment", around(r#"/* two */ {"id":2}"#), "not_json"),
            ("a comma too many", json_text(r#"[{"id":1,"status":"new"},]"#), "not_json"),
            ("single quotes", json_text("[{'id':1}]"), "not_json"),
            ("a bare NUL", around("{\"id\":2,\"x\":\"\u{0}\"}"), "not_json"),
            ("a NUL behind it", json_text(items(2).to_string()).append(b"\0"), "not_json"),
            ("bytes that are no text", json_text(*b"[{\"id\":\"\xc3\x28\"}]"), "not_utf8"),
        ],
    );
}

/// Content that is odd but JSON: taken as it is, and handed on as it is.
#[test]
fn odd_content_is_taken_as_it_is() {
    let door = Door::with_items(items(1), "max_body: 32MiB");
    let long = "x".repeat(10 * 1024 * 1024);
    let with = |item: &str| json_text(format!(r#"[{{"id":1,"status":"new"}},{item}]"#));
    for (case, text) in [
        ("ten megabytes of text", format!(r#"{{"id":"long","x":"{long}"}}"#)),
        ("a NUL, escaped", r#"{"id":"nul","x":"a\u0000b"}"#.to_owned()),
        ("a byte order mark within", "{\"id\":\"bom\",\"x\":\"\u{feff}\"}".to_owned()),
        ("words from right to left", "{\"id\":\"rtl\",\"x\":\"\u{202e}gnp.exe\"}".to_owned()),
    ] {
        let poll = door.answered(with(&text));
        assert_eq!((poll.fault(), poll.events().len()), ("", 1), "{case}: {:?}", poll.story());
        let told = &poll.events()[0]["data"];
        let sent: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(*told, sent, "{case}");
        // The same again is nothing new; then it goes, so that the next case stands alone.
        door.answered(with(&text)).rang(&[]);
        door.answered(Reply::json(&items(1))).rang(&[]);
        door.answered(json_text("[ {\"id\":1, \"status\":\"new\"} ]"))
            .rang(&[&format!("tickets.deleted {}", told["id"].as_str().unwrap())]);
    }
}

/// Of a key that stands twice in an object, or half a character, something definite is made: either a fault of that
/// item or always the same value; and it never rings twice.
#[test]
fn ambiguous_content_is_read_in_one_way() {
    for (case, text) in [
        ("a key twice", r#"{"id":2,"x":1,"x":2}"#),
        ("an id twice", r#"{"id":2,"id":3}"#),
        ("half a character", r#"{"id":2,"x":"\ud800"}"#),
        ("the other half", r#"{"id":2,"x":"\udc00\ud800"}"#),
    ] {
        let door = Door::with_items(items(1), "");
        let listing = || json_text(format!(r#"[{{"id":1,"status":"new"}},{text}]"#));
        let first = door.answered(listing());
        assert!(first.events().len() <= 1, "{case}: {first:?}");
        assert!(first.events().is_empty() != first.fault().is_empty(), "{case}: {first:?}");
        for _ in 0..2 {
            let again = door.answered(listing());
            assert!(again.events().is_empty(), "{case}: {again:?}");
        }
        door.poll();
    }
}
