//! JSON in lines.

use super::indented;

#[test]
fn text_is_broken_into_lines_and_nothing_else() {
    let check = |text: &str, expected: &str| assert_eq!(indented(text), expected, "{text}");
    check("1.0", "1.0");
    check("{}", "{}");
    check("[ ]", "[]");
    check(r#"{"b":1,"a":[]}"#, "{\n  \"b\": 1,\n  \"a\": []\n}");
    check(r#"[1e400,{"a":null}]"#, "[\n  1e400,\n  {\n    \"a\": null\n  }\n]");
    check(r#"["{,:}","\"[",0]"#, "[\n  \"{,:}\",\n  \"\\\"[\",\n  0\n]");
    check("\"\u{202e}\u{7}\\\\\"", "\"\\u202e\\u0007\\\\\"");
    check(" { \"a\" : [ 1 , 2 ] } ", "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
}
