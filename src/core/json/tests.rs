use proptest::prelude::*;

use super::*;

fn canonical_of(text: &str) -> Vec<u8> {
    canonical(&read(text).unwrap_or_else(|fault| panic!("{text}: {fault}")))
}

#[test]
fn what_is_read_is_written_the_same() {
    let unchanged = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "1.10",
        "1.0",
        "1e3",
        "1E400",
        "-1.5e-7",
        "0.1",
        "0e0",
        "10e-1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "1e999999999",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\"",
        "\"\\b\\t\\n\\f\\r\"",
        "\"\\u0000\\u001f\"",
        "\"\u{7f}\u{2028}é🔔\"",
        "[]",
        "{}",
        "[1,[2,[]],{}]",
        "{\"b\":1,\"a\":2}",
        "{\"\":null}",
        "{\"b\":{\"z\":1.10,\"a\":[null]},\"a\":\"x\"}",
    ];
    for text in unchanged {
        assert_eq!(compact(&read(text).unwrap()).unwrap().as_str(), text);
    }
    let long = "7".repeat(100_000);
    assert_eq!(compact(&read(&long).unwrap()).unwrap().as_str(), long);
}

#[test]
fn what_is_read_is_written_compactly() {
    let check = |text: &str, expected: &str| {
        assert_eq!(compact(&read(text).unwrap()).unwrap().as_str(), expected, "{text}");
    };
    check(" \t\r\n{ \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}");
    check(r#""\u0041\/\u00e9\ud83d\udd14""#, "\"A/é🔔\"");
    check(r#""\u001F\u0008""#, "\"\\u001f\\b\"");
    // Of a name that stands twice, the last value counts, at the first place.
    check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#);
    // Half an emoji.
    check(r#""x\ud83d""#, "\"x\u{fffd}\"");
    check(r#""\udd14x\ud83d\u0041""#, "\"\u{fffd}x\u{fffd}A\"");
}

#[test]
fn anything_but_strict_json_is_refused_with_its_place() {
    let check = |text: &str, expected: &str| {
        let fault = read(text).expect_err(text);
        assert_eq!((fault.code, fault.sentence.as_str()), ("not_json", expected), "{text}");
    };
    check("", "not JSON at line 1, column 1: the text ends too early, expected a value");
    check("{\n  \"a\": NaN}", "not JSON at line 2, column 8: expected a value");
    check("[1 2]", "not JSON at line 1, column 4: expected a comma or a closing bracket");
    check("{\"a\" 2}", "not JSON at line 1, column 6: expected a colon");
    check(
        "{\"a\":2",
        "not JSON at line 1, column 7: the text ends too early, expected a comma or a closing brace",
    );
    check("{1:2}", "not JSON at line 1, column 2: expected a name in double quotes");
    check("\"é", "not JSON at line 1, column 3: the text ends inside a string");
    check("\"\u{0}\"", "not JSON at line 1, column 2: a control character in a string");
    check("1 1", "not JSON at line 1, column 3: the value ends before this, but the text goes on");
    for text in [
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "-",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "{,}",
        "[",
        "]",
        "{",
        "}",
        "{}}",
        "# x\n1",
        "1 # x",
        "// x\n1",
        "b\"x\"",
        "'a'",
        "{a:1}",
        "{null:1}",
        "{1:1}",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\t\"",
        "\"\n\"",
        "\u{feff}1",
        "\u{a0}1",
        "\u{0}",
        "1\u{0}",
        "<html>",
        "{\"a\":}",
        "{\"a\"}",
        "[1 , , 2]",
        "\"a\" : 1",
    ] {
        assert_eq!(read(text).expect_err(text).code, "not_json", "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(JSON_DEPTH_MAX)).is_ok());
    for depth in [JSON_DEPTH_MAX + 1, 100_000] {
        assert_eq!(read(&nested(depth)).unwrap_err().code, "too_deep");
    }
    assert_eq!(read(&"[".repeat(200_000)).unwrap_err().code, "too_deep");
    assert_eq!(read(&"{\"a\":".repeat(200_000)).unwrap_err().code, "too_deep");
    let mut value = null();
    for _ in 0..VALUE_DEPTH_MAX {
        value = array(vec![value]);
    }
    assert!(compact(&value).is_ok());
    assert_eq!(compact(&object(vec![("a", value)])).unwrap_err().code, "too_deep");
}

#[test]
fn a_text_cut_anywhere_is_refused() {
    let text = r#"{"a":[1,-2.5e3,"é\n\ud83d\udd14",true,null],"b":{"c":{}}}"#;
    for (at, _) in text.char_indices() {
        let (cut, _) = text.split_at(at);
        assert_eq!(read(cut).expect_err(cut).code, "not_json");
    }
}

#[test]
fn what_json_cannot_say_is_not_written() {
    let check = |value: Value, expected: &str| {
        assert_eq!(
            compact(&value).unwrap_err().sentence,
            format!("the result holds {expected}, which JSON cannot express")
        );
    };
    check(Value::from(f64::NAN), "a number that is not finite");
    check(array(vec![Value::from(f64::INFINITY)]), "a number that is not finite");
    check(Value::byte_str(vec![0xff]), "a string that is not UTF-8 text");
    check(Value::utf8_str(vec![0xff]), "a string that is not UTF-8 text");
    let mut map = Map::default();
    map.insert(Value::from(1_usize), null());
    check(Value::obj(map), "a key that is no text");
}

#[test]
fn floats_are_written_as_javascript_would() {
    for (float, expected) in [
        (3.0, "3"),
        (-3.0, "-3"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e300"),
        (2.5e-9, "2.5e-9"),
        (999_999_999_999_999.0, "999999999999999"),
    ] {
        assert_eq!(compact(&Value::from(float)).unwrap().as_str(), expected);
    }
    let literal = Value::Num(jaq_json::Num::Dec("00.5".to_owned().into()));
    assert_eq!(compact(&literal).unwrap().as_str(), "0.5");
}

#[test]
fn equal_values_have_equal_bytes_and_different_ones_have_not() {
    // Each line is one value in several spellings.
    let values: &[&[&str]] = &[
        &["null"],
        &["true"],
        &["false"],
        &["0", "-0", "0.0", "-0.00", "0e5", "0E-5"],
        &["1", "1.0", "1.00", "1e0", "10e-1", "0.1e1", "100E-2", "0.001e+3"],
        &["-1", "-1.0", "-10e-1"],
        &["10", "1e1", "10.0"],
        &["0.1", "1e-1", "0.10"],
        &["0.10000000000000001"],
        &["123456789012345678901234567890", "12345678901234567890123456789e1"],
        &["123456789012345678901234567891"],
        &["1e999999999", "10e999999998", "0.1e1000000000"],
        &["1e-999999999"],
        &["1e99999999999999999999999999999999999999999999999999"],
        &["\"\""],
        &["\"1\"", r#""\u0031""#],
        &["\"é\"", r#""\u00e9""#],
        &["\"null\""],
        &["[]"],
        &["[[]]"],
        &["[1]", "[1.0]"],
        &["[1,2]", "[ 1.0 , 20e-1 ]"],
        &["[12]"],
        &["[\"1\",2]"],
        &["[[1],2]"],
        &["[[1,2]]"],
        &["{}"],
        &["{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}"],
        &["{\"a\":2,\"b\":1}"],
        &["{\"a\":{\"b\":1}}"],
        &["{\"a\":null}"],
        &["{\"ab\":1}"],
        &["{\"a\":\"b\"}"],
    ];
    for (at, spellings) in values.iter().enumerate() {
        for spelling in *spellings {
            assert_eq!(canonical_of(spelling), canonical_of(spellings[0]), "{spelling}");
        }
        for other in &values[at + 1..] {
            assert_ne!(canonical_of(spellings[0]), canonical_of(other[0]), "{other:?}");
        }
    }
    assert_eq!(canonical(&Value::from(0.1)), canonical_of("0.1"));
    assert_eq!(canonical(&Value::from(1e21)), canonical_of("1000000000000000000000"));
}

#[test]
fn number_text_is_the_same_for_every_spelling() {
    for (text, expected) in [
        ("42", "42"),
        ("42.0", "42"),
        ("4.2e1", "42"),
        ("4200e-2", "42"),
        ("-0", "0"),
        ("0.50", "0.5"),
        ("-1.05", "-1.05"),
        ("5e-3", "0.005"),
        ("12e-3", "0.012"),
        ("1e3", "1000"),
        ("1e400", "1e400"),
        ("12e400", "12e400"),
        ("1e-999999999", "1e-999999999"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ] {
        assert_eq!(number_text(&read(text).unwrap()).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(number_text(&text("1")), None);
    assert_eq!(number_text(&Value::from(f64::NAN)), None);
}

#[test]
fn objects_are_written_and_listed_in_order() {
    let value = object(vec![("b", text("x")), ("a", array(vec![null()])), ("b", text("y"))]);
    assert_eq!(compact(&value).unwrap().as_str(), r#"{"b":"y","a":[null]}"#);
    let listed: Vec<_> = entries(&value).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["b", "a"]);
    assert_eq!(entries(&null()), None);

    let mut writer = ObjectWriter::new();
    writer.text("a\"b", "c\\\n");
    writer.number("n", u64::MAX);
    writer.raw("r", &JsonText::trusted("[1]"));
    let written = writer.finish();
    assert_eq!(written.as_str(), r#"{"a\"b":"c\\\n","n":18446744073709551615,"r":[1]}"#);
    assert!(read(written.as_str()).is_ok());
    assert_eq!(ObjectWriter::new().finish().as_str(), "{}");
}

/// A JSON document as a tree, so that it can be spelled in several ways.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Word(&'static str),
    Number(i64, i8),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(Tree::Word),
        (-9999_i64..9999, -3_i8..4).prop_map(|(digits, exponent)| Tree::Number(digits, exponent)),
        "[a-c1\\\\\"\n\u{e9}\u{1f514}]{0,3}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            prop::collection::btree_map("[a-d]{0,2}", inner, 0..4)
                .prop_map(|map| Tree::Object(map.into_iter().collect())),
        ]
    })
}

/// Spells a tree; `other` means with names in reverse, other numbers and escapes, and white space.
fn spell(tree: &Tree, other: bool) -> String {
    match tree {
        Tree::Word(word) => (*word).to_owned(),
        Tree::Number(digits, exponent) if other => {
            // JSON writes no zero before other digits.
            let digits = digits * 10;
            format!("{digits}.00E{}", i32::from(*exponent) - 1)
        }
        Tree::Number(digits, exponent) => format!("{digits}e{exponent}"),
        Tree::Text(text) => spell_text(text, other),
        Tree::Array(trees) => {
            let trees: Vec<_> = trees.iter().map(|tree| spell(tree, other)).collect();
            format!("[{}]", trees.join(if other { " ,\n" } else { "," }))
        }
        Tree::Object(entries) => {
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(name, tree)| format!("{}:{}", spell_text(name, other), spell(tree, other)))
                .collect();
            if other {
                entries.reverse();
            }
            format!("{{{}}}", entries.join(","))
        }
    }
}

fn spell_text(text: &str, other: bool) -> String {
    let escape = |unit: u16| format!("\\u{unit:04X}");
    let mut spelled = String::new();
    if other {
        spelled = format!("\"{}\"", text.encode_utf16().map(escape).collect::<String>());
    } else {
        write::string(text, &mut spelled);
    }
    spelled
}

/// A tree with its numbers brought to one form, so that trees are equal when the values are.
fn normal(tree: &Tree) -> Tree {
    match tree {
        Tree::Number(0, _) => Tree::Number(0, 0),
        Tree::Number(digits, exponent) if digits % 10 == 0 => {
            normal(&Tree::Number(digits / 10, exponent + 1))
        }
        Tree::Array(trees) => Tree::Array(trees.iter().map(normal).collect()),
        Tree::Object(entries) => {
            Tree::Object(entries.iter().map(|(name, tree)| (name.clone(), normal(tree))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn spelling_makes_no_difference(tree in trees()) {
        let value = read(&spell(&tree, false)).unwrap();
        prop_assert_eq!(canonical(&value), canonical_of(&spell(&tree, true)));
        let written = compact(&value).unwrap();
        prop_assert_eq!(canonical(&value), canonical_of(written.as_str()));
        prop_assert_eq!(compact(&read(written.as_str()).unwrap()).unwrap(), written);
    }

    #[test]
    fn different_values_differ(left in trees(), right in trees()) {
        let same = normal(&left) == normal(&right);
        prop_assert_eq!(same, canonical_of(&spell(&left, false)) == canonical_of(&spell(&right, true)));
    }

    /// Damaged texts are accepted exactly when another strict reader accepts them.
    #[test]
    fn agrees_with_another_reader(tree in trees(), at in 0_usize..200, with in "[\\[\\]{}:,\"\\\\u0e.+ x-]{0,2}") {
        let text = spell(&tree, true);
        let at = text.char_indices().map(|(at, _)| at).nth(at).unwrap_or(text.len());
        let (before, mut after) = (text.get(..at).unwrap(), text.get(at..).unwrap().chars());
        after.next();
        let damaged = format!("{before}{with}{}", after.as_str());
        // The other reader refuses halves of surrogate pairs, which the grammar allows, and numbers a float cannot hold.
        let theirs = serde_json::from_str::<serde_json::Value>(&damaged);
        let forgiven = theirs.as_ref().is_err_and(|error| {
            let error = error.to_string();
            error.contains("surrogate") || error.contains("hex escape") || error.contains("out of range")
        });
        prop_assert!(forgiven || theirs.is_ok() == read(&damaged).is_ok(), "{}", damaged);
    }
}
