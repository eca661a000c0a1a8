//! The small parts by themselves.

use std::time::Duration;

use crate::config::fill::{Origin, references};
use crate::config::hint::meant;
use crate::config::measures;
use crate::config::tree::{self, Value};

#[test]
fn durations() {
    let read = |text: &str| measures::duration(text).map(|duration| duration.as_millis());
    for (text, millis) in [
        ("200ms", 200),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("2d", 172_800_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("0s", 0),
        ("007s", 7_000),
        ("36500d", 3_153_600_000_000),
    ] {
        assert_eq!(read(text), Ok(millis), "{text}");
    }
    for text in [
        "",
        " ",
        "30",
        "1.5h",
        "s",
        "-5s",
        "5 s",
        "1m1h",
        "1s1s",
        "5x",
        "5S",
        "1e3s",
        "5s ",
        " 5s",
        "36501d",
        "99999999999999999999s",
        "5µs",
        "1h30",
        "∞",
    ] {
        let flaw = read(text).unwrap_err();
        assert!(flaw.at.is_none_or(|at| at.start <= at.end && at.end <= text.len()), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("1B", 1),
        ("500KB", 500_000),
        ("8MiB", 8 << 20),
        ("1GiB", 1 << 30),
        ("2GB", 2_000_000_000),
    ] {
        assert_eq!(measures::size(text), Ok(bytes), "{text}");
    }
    for text in ["", "8", "8mb", "8 MiB", "MiB", "1.5GiB", "-1B", "99999999999999GiB", "8MiB8"] {
        assert!(measures::size(text).is_err(), "{text}");
    }
}

#[test]
fn intervals_point_at_the_wrong_half() {
    let at = |text: &str| measures::interval(text).unwrap_err().at;
    assert_eq!(at("30s..5"), Some(5..6));
    assert_eq!(at("30..5m"), Some(0..2));
    assert_eq!(at("0s..5m"), Some(0..2));
    assert!(measures::interval("30s...5m").is_err());
    let every = measures::interval("1s..2s").unwrap();
    assert_eq!((every.min(), every.max()), (Duration::from_secs(1), Duration::from_secs(2)));
}

#[test]
fn references_are_found() {
    let variable = |name, default| Origin::Variable { name, default };
    for (text, expected) in [
        ("${A}", vec![variable("A", None)]),
        ("a${env:_A1}b${A:-}", vec![variable("_A1", None), variable("A", Some(""))]),
        ("${A:-x:-y $}", vec![variable("A", Some("x:-y $"))]),
        ("${file:a b.txt}", vec![Origin::File("a b.txt")]),
        ("${cred:key}", vec![Origin::Credential("key")]),
        ("$A ${1A} ${} ${a b} ${A $ $$ {A} ${", vec![]),
        ("${x y ${A}", vec![variable("A", None)]),
    ] {
        let found: Vec<_> = references(text).into_iter().map(|found| found.origin).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn near_names_are_guessed() {
    let names = ["url", "every", "key", "ignore", "pages", "timeout"];
    for (typed, expected) in [
        ("ur1", Some("url")),
        ("ulr", Some("url")),
        ("URL", Some("url")),
        ("evry", Some("every")),
        ("interval", Some("every")),
        ("time_out", Some("timeout")),
        ("colour", None),
        ("", None),
        ("x", None),
    ] {
        assert_eq!(meant(typed, names.iter().copied()), expected, "{typed}");
    }
}

#[test]
fn scalars_are_what_they_look_like() {
    for (text, expected) in [
        ("yes", Value::Text("yes".into())),
        ("True", Value::Text("True".into())),
        ("true", Value::Bool(true)),
        ("\"true\"", Value::Text("true".into())),
        ("no", Value::Text("no".into())),
        ("012", Value::Number("012".into())),
        ("1e3", Value::Number("1e3".into())),
        ("0x1F", Value::Text("0x1F".into())),
        (".inf", Value::Text(".inf".into())),
        ("nan", Value::Text("nan".into())),
        ("-1.5", Value::Number("-1.5".into())),
        ("1.2.3", Value::Text("1.2.3".into())),
        ("null", Value::Null),
        ("~", Value::Null),
        ("off", Value::Text("off".into())),
    ] {
        assert_eq!(tree::parse(0, text).root.unwrap().value, expected, "{text}");
    }
}
