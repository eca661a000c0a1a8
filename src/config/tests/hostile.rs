//! Files that mean harm, or were damaged: refused fast, and never a panic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Given, read};
use crate::config::load_text;

const FAST: Duration = Duration::from_secs(20);

const VALID: &str = r#"# A comment with ünïcode.
server: { listen: 127.0.0.1:8600, token: "${TOKEN:-none}" }
sources:
  tickets: &tickets
    url: https://helpdesk.example/api/v1/tickets
    query: { status: new, page: 1, many: [a, 2, true], none: null }
    headers:
      Accept: application/json
      X-Key: ${KEY:-hunter2-canary}
    auth: { bearer: 'hunter2-canary' }
    every: 30s..1h
    max_body: 8MiB
    deletes: { after: 2, brake: { count: 50, percent: 20 } }
    body: |
      hunter2-canary
  orders:
    <<: *tickets
    events: [default, { type: order.paid, on: [updated] }]
endpoints:
  agent:
    url: https://agent.example/webhook
    secret: [hunter2-canary, "hunter2-canary"]
    sign: { header: X-Signature, prefix: sha256=, encoding: hex }
    retry: { first: 5s, max: 10h, for: 3d }
"#;

#[expect(clippy::disallowed_methods, reason = "it is the speed of this machine that is asked for")]
#[track_caller]
fn refused_fast(what: &str, text: &str, sentence: &str) {
    let began = Instant::now();
    let problems = read(text).unwrap_err();
    let took = began.elapsed();
    assert!(problems.to_string().contains(sentence), "{what}: {problems}");
    assert!(took < FAST, "{what} took {took:?}");
}

#[test]
fn attacks_are_refused_fast() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
    }
    refused_fast("an alias bomb", &bomb, "too many values");
    let mut merges = String::from("a0: &a0 {k: x, l: x}\n");
    for level in 1..40 {
        writeln!(merges, "a{level}: &a{level} {{m{level}: *a{0}, <<: *a{0}}}", level - 1).unwrap();
    }
    refused_fast("a merge bomb", &merges, "too many values");
    refused_fast("an alias inside itself", "a: &a [*a]\n", "inside what it stands for");
    refused_fast("a merge inside itself", "a: &a {<<: *a}\n", "inside what it stands for");
    for (what, open) in [("[", "["), ("{", "{a: "), ("- ", "- "), ("?", "? "), ("[{", "[{a: ")] {
        refused_fast(what, &open.repeat(100_000), "deeper than 32 levels");
    }
    let blocks: Vec<_> = (0..2000).map(|depth| " ".repeat(depth) + "a:\n").collect();
    refused_fast("nested blocks", &blocks.concat(), "deeper than 32 levels");
    refused_fast("many values", &format!("a: [{}]", "x,".repeat(400_000)), "too many values");
    refused_fast("an anchor for each value", &"- &a x\n".repeat(300_000), "expected a map");
    refused_fast("one long line", &format!("a: {}", "x".repeat(10_000_000)), "unknown key");
    refused_fast("one long key", &format!("{}: x", "k".repeat(1000)), "no key");
    refused_fast("a nul", "a: \0\n", "");
    refused_fast("a directive", "%YAML 9.9\n---\na: b\n", "");
}

#[test]
fn the_undamaged_file_is_valid() {
    super::valid(VALID);
}

#[test]
fn a_file_too_long_is_not_read() {
    let given = Given::default().file("s.yaml", &" ".repeat(33 * 1024 * 1024));
    let problems = crate::config::load(std::path::Path::new("s.yaml"), &given).unwrap_err();
    assert!(problems.to_string().contains("longer than"), "{problems}");
    let missing = crate::config::load(std::path::Path::new("none.yaml"), &given).unwrap_err();
    assert!(missing.to_string().contains("no such file"), "{missing}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is the speed of this machine that is asked for")]
fn a_hundred_thousand_sources_are_legal() {
    let mut text = String::from("sources:\n");
    for number in 0..100_000 {
        writeln!(text, "  s{number}: {{ url: https://a.example/{number}, every: 1m }}").unwrap();
    }
    let began = Instant::now();
    let config = read(&text).unwrap();
    let took = began.elapsed();
    assert_eq!(config.sources.len(), 100_000);
    assert!(took < Duration::from_secs(20), "took {took:?}");
}

/// Wherever a file is cut, or a character is lost or replaced: what is told shows no secret.
#[test]
fn damaged_files_show_no_secret() {
    let mut leaks = Vec::new();
    let mut check = |text: String| {
        if let Err(problems) = load_text(&text, &Given::default())
            && problems.to_string().contains("hunter2-canary")
        {
            leaks.push(format!("{problems}\nin\n{text}"));
        }
    };
    for (at, lost) in VALID.char_indices() {
        let (head, tail) = VALID.split_at(at);
        let tail = tail.strip_prefix(lost).unwrap();
        check(head.to_owned());
        check(format!("{head}{tail}"));
        for other in "[]{}:,'\"|>&*!%# \n-?\t".chars() {
            check(format!("{head}{other}{tail}"));
        }
    }
    assert!(leaks.is_empty(), "{} leaks, such as\n{}", leaks.len(), leaks.concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is flipped, cut or doubled: no panic.
    #[test]
    fn damaged_files_never_panic(
        flips in proptest::collection::vec((0..VALID.len(), any::<u8>()), 0..4),
        cut in 0..=VALID.len(),
        doubled in 0..VALID.len(),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        let tail = bytes[doubled..].to_vec();
        bytes.truncate(cut);
        if cut % 3 == 0 {
            bytes.extend(tail);
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(problems) = load_text(&text, &Given::default()) {
            prop_assert!(!problems.0.is_empty());
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
        if let Err(problems) = load_text(&text, &Given::default()) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
