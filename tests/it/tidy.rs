//! What the compiler does not check about the house: which module may use which, what `core` may not do, how long a
//! file may be, and that words – cases, promises, commands, released migrations – still match the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may use whom: `main → cli → daemon → {api, dashboard, poller, deliverer, janitor, tokens} → {store, http, lines,
/// clock, wake} → core`, and `cli, daemon → config → core`. Beside this, everyone may use itself and `telemetry`. `main` and
/// `lib` are no modules: what they use is what the binary is made of.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("telemetry", &["core"]),
    ("clock", &["core"]),
    ("wake", &["core"]),
    ("config", &["core"]),
    ("store", &["core"]),
    ("http", &["core"]),
    ("lines", &["core"]),
    ("tokens", &["core", "store", "http", "clock"]),
    ("poller", &["core", "store", "http", "clock", "wake"]),
    ("deliverer", &["core", "store", "http", "lines", "clock", "wake"]),
    ("janitor", &["core", "store", "http", "clock", "wake"]),
    ("api", &["core", "store", "clock", "wake"]),
    ("dashboard", &["core", "store", "clock", "wake"]),
    // Test code that stands beside what it tests, because it hands the loops other ports.
    (
        "simulation",
        &[
            "core",
            "config",
            "store",
            "http",
            "lines",
            "clock",
            "wake",
            "telemetry",
            "poller",
            "deliverer",
        ],
    ),
    // What benches reach into.
    ("gauge", &["core", "config", "store", "poller"]),
    (
        "daemon",
        &[
            "core",
            "config",
            "store",
            "http",
            "lines",
            "clock",
            "wake",
            "tokens",
            "poller",
            "deliverer",
            "janitor",
            "api",
            "dashboard",
        ],
    ),
    (
        "cli",
        &[
            "core",
            "config",
            "store",
            "http",
            "lines",
            "clock",
            "wake",
            "tokens",
            "poller",
            "deliverer",
            "janitor",
            "api",
            "dashboard",
            "daemon",
        ],
    ),
];

/// Words of effect: `core` gets time, chance, files and sockets as arguments, or not at all. Addresses
/// (`std::net::IpAddr`) are values and allowed.
const EFFECTS: &[&str] = &[
    "async fn",
    "async move",
    ".await",
    "tokio",
    "rusqlite",
    "reqwest",
    "axum",
    "fastrand",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant::now",
];

/// The longest a source file may be.
const FILE_LINES_MAX: usize = 600;

/// Migrations that a release has carried to somebody's disk, by the hash of their text. They never change again: what is
/// wrong in one is mended by the next. Add the newest one with every release; the failing test prints its hash.
const RELEASED_MIGRATIONS: &[(&str, u64)] = &[];

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A path as the project calls it.
fn name(path: &Path) -> String {
    path.strip_prefix(home()).unwrap_or(path).to_string_lossy().into_owned()
}

/// All files below a directory, sorted; none if there is no such directory.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![home().join(below)];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The Rust files below a directory, with their text.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let rust = files(below).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A document at the top; `None` while it is not written.
fn document(file: &str) -> Option<String> {
    fs::read_to_string(home().join(file)).ok()
}

/// Fails with all offences at once.
#[track_caller]
fn none_of(offences: &[String], advice: &str) {
    assert!(offences.is_empty(), "{advice}\n{}", offences.join("\n"));
}

/// The text with comments and the insides of strings blanked, line by line as it was.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = skip_of(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(skipped.unwrap_or(next.len_utf8()));
        match skipped {
            Some(_) => code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push_str(taken),
        }
        rest = after;
    }
    code
}

/// How many bytes a comment, string or character at the front takes; `None` if there is none.
fn skip_of(rest: &str, before: Option<char>) -> Option<usize> {
    let until = |opening: usize, closing: &str| {
        let inside = rest.get(opening..).unwrap_or_default();
        inside.find(closing).map_or(rest.len(), |at| opening + at + closing.len())
    };
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    if rest.starts_with('r') && !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        let hashes: String = rest.chars().skip(1).take_while(|c| *c == '#').collect();
        if rest.get(1 + hashes.len()..).is_some_and(|after| after.starts_with('"')) {
            return Some(until(hashes.len() + 2, &format!("\"{hashes}")));
        }
    }
    if rest.starts_with('"') {
        return Some(1 + quoted_length(rest.get(1..)?, '"'));
    }
    // A lifetime has no closing quote right after its first character.
    let mut after = rest.strip_prefix('\'')?.chars();
    let is_character = after.next()? == '\\' || after.next()? == '\'';
    is_character.then(|| 1 + quoted_length(rest.get(1..).unwrap_or_default(), '\''))
}

/// The bytes up to and with the closing quote.
fn quoted_length(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    inside.len()
}

/// The word at the front, as identifiers are written.
fn word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

/// Whether a name ends just before: then what follows is not the beginning of a word.
fn ends_in_word(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Whether some words stand in the code by themselves, not as part of longer ones.
fn mentions(code: &str, words: &str) -> bool {
    let begins_a_word = !word(words).is_empty();
    code.match_indices(words).any(|(at, _)| {
        let (before, after) = code.split_at(at);
        let follows = after.strip_prefix(words).unwrap_or_default();
        !(begins_a_word && ends_in_word(before)) && word(follows).is_empty()
    })
}

/// `src/core/diff.rs` and `src/core/mod.rs` belong to `core`, `src/poller.rs` to `poller`.
fn module_of(path: &str) -> &str {
    word(path.strip_prefix("src/").unwrap_or(path))
}

/// How many `super::` lead from a file to the root of the crate.
fn depth_of(path: &str) -> usize {
    let parts = path.split('/').filter(|part| *part != "src" && *part != "mod.rs");
    parts.count()
}

/// Tests may reach for what they like.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// What a line names at the root of the crate: `crate::x`, or as many `super::` as lead there.
fn roots_named(line: &str, depth: usize) -> Vec<&str> {
    let chain = "super::".repeat(depth);
    let starts = line.match_indices("crate::").chain(line.match_indices(chain.as_str()));
    let own = starts.filter(|(at, start)| {
        let before = line.split_at(*at).0;
        !ends_in_word(before) && (*start == "crate::" || !before.ends_with("super::"))
    });
    own.filter_map(|(at, start)| line.get(at + start.len()..)).collect()
}

/// Every import in a file that the table does not allow, and every effect in `core`.
fn offences_in(path: &str, text: &str) -> Vec<String> {
    let from = module_of(path);
    if from == "main" || from == "lib" || is_test(path) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(module, _)| *module == from) else {
        return vec![format!("{path}: the module `{from}` has no place in ARROWS")];
    };
    let mut offences = Vec::new();
    for (number, line) in code_of(text).lines().enumerate() {
        let mut offend = |why: String| offences.push(format!("{path}:{}: {why}", number + 1));
        for root in roots_named(line, depth_of(path)) {
            let to = word(root);
            if root.starts_with('{') || root.starts_with('*') {
                offend("imports from the root one by one, so that every arrow can be seen".into());
            } else if to != from && to != "telemetry" && !allowed.contains(&to) {
                offend(format!("`{from}` may not use `{to}`"));
            }
        }
        for effect in EFFECTS.iter().filter(|effect| from == "core" && mentions(line, effect)) {
            offend(format!("`core` decides and does nothing: no `{effect}`"));
        }
    }
    offences
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let all = sources("src");
    let offences: Vec<_> =
        all.iter().flat_map(|(path, text)| offences_in(&name(path), text)).collect();
    none_of(&offences, "The arrows are in ARROWS; ARCHITECTURE.md says why.");
}

/// A test that finds nothing must be able to find something.
#[test]
fn planted_offences_are_found() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("src/core/diff.rs", "use crate::core::ids::ItemKey;\nuse crate::telemetry::log;", &[]),
        ("src/core/diff.rs", "use crate::store::Store;", &["1: `core` may not use `store`"]),
        (
            "src/core/diff.rs",
            "\n  let x = crate::clock::now();",
            &["2: `core` may not use `clock`"],
        ),
        ("src/core/diff.rs", "use super::super::http::X;", &["1: `core` may not use `http`"]),
        ("src/core/pages/link.rs", "use super::super::fault::Fault;", &[]),
        ("src/core/mod.rs", "use super::store::X;", &["1: `core` may not use `store`"]),
        ("src/core/x.rs", "use crate::{a, b};", &["1: imports from the root one by one"]),
        (
            "src/core/x.rs",
            "async fn f() {}",
            &["1: `core` decides and does nothing: no `async fn`"],
        ),
        ("src/core/x.rs", "let a = \"\\\"\"; tokio::x()", &["1: `core` decides"]),
        ("src/core/x.rs", "let a = '\"'; x.await", &["1: `core` decides"]),
        ("src/core/x.rs", "fn f<'a>(x: &'a str) { std::fs::read(x) }", &["1: `core` decides"]),
        ("src/core/x.rs", "let at = Instant::now();", &["1: `core` decides"]),
        (
            "src/core/x.rs",
            "// tokio\nlet a = r#\"std::fs \"crate::api::x\"#; /* crate::api */",
            &[],
        ),
        ("src/core/x.rs", "use std::net::IpAddr; struct SystemTimeline; mod std_fs {}", &[]),
        ("src/core/diff/tests.rs", "use std::fs;", &[]),
        ("src/poller.rs", "use crate::store::Store;\nuse crate::wake::Wake;", &[]),
        ("src/poller.rs", "use crate::deliverer::X;", &["1: `poller` may not use `deliverer`"]),
        ("src/store/mod.rs", "use crate::http::X;", &["1: `store` may not use `http`"]),
        ("src/api/mod.rs", "pub(crate) use crate::daemon::X;", &["1: `api` may not use `daemon`"]),
        ("src/config/mod.rs", "use crate::store::X;", &["1: `config` may not use `store`"]),
        ("src/daemon/mod.rs", "use crate::cli::X;", &["1: `daemon` may not use `cli`"]),
        ("src/cli/mod.rs", "use crate::daemon::X; use crate::config::Y;", &[]),
        ("src/helpers.rs", "", &[" the module `helpers` has no place"]),
    ];
    for (path, text, expected) in cases {
        let found = offences_in(path, text);
        assert_eq!(found.len(), expected.len(), "{path} {text:?} gave {found:?}");
        for (offence, part) in found.iter().zip(*expected) {
            assert!(offence.starts_with(&format!("{path}:{part}")), "{offence:?}, not {part:?}");
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    let lengths = all.map(|(path, text)| (name(&path), text.lines().count()));
    let offences: Vec<_> = lengths
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none_of(&offences, "A file of more than 600 lines is two files.");
}

/// A case that nobody reads looks like a promise and is none.
#[test]
fn every_case_file_is_read() {
    let readers: String =
        ["src", "tests"].into_iter().flat_map(sources).map(|(_, text)| text).collect();
    let is_read = |path: &Path| {
        let below = name(path);
        let mut ways = Path::new(&below).ancestors().filter(|way| way.components().count() > 2);
        ways.any(|way| readers.contains(&*way.to_string_lossy()))
    };
    let unread: Vec<_> =
        files("tests/cases").into_iter().filter(|path| !is_read(path)).map(|p| name(&p)).collect();
    none_of(
        &unread,
        "No Rust source names these files or a directory of theirs (`tests/cases/…`).",
    );
}

/// `ARCHITECTURE.md`, and the lists at the head of tests, end each promise with “test: `path::name`”.
#[test]
fn promises_name_tests_that_exist() {
    let Some(architecture) = document("ARCHITECTURE.md") else { return };
    let mut promised = tests_named(&architecture);
    assert!(!promised.is_empty(), "ARCHITECTURE.md names no test at all");
    let listed = |text: String| {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("//!")).collect();
        tests_named(&lines.join("\n"))
    };
    promised.extend(sources("tests").into_iter().flat_map(|(_, text)| listed(text)));
    let code: String =
        ["src", "tests"].into_iter().flat_map(sources).map(|(_, text)| code_of(&text)).collect();
    let missing: Vec<_> = promised
        .into_iter()
        .filter(|test| !mentions(&code, &format!("fn {}", test.rsplit("::").next().unwrap())))
        .collect();
    none_of(&missing, "Promises by tests that do not exist.");
}

/// The backticked names after `test:` or `tests:`, to the end of the line.
fn tests_named(text: &str) -> Vec<String> {
    let after = |line: &str| {
        let (_, names) = line.split_once("test: ").or_else(|| line.split_once("tests: "))?;
        Some(backticked(names))
    };
    text.lines().filter_map(after).flatten().collect()
}

/// What stands between backticks.
fn backticked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn names_are_found_in_prose() {
    let text = "1. Holds. – test: `a::b`\nno test here: `c`\n2. Too, tests: `d::e`, `f`.";
    assert_eq!(tests_named(text), ["a::b", "d::e", "f"]);
    let readme = "## Commands\n\n| command | does |\n|---|---|\n| `doorbell run` | `x` |\n| `events`, `deliveries show ID` | y |\n\n| `no` |";
    assert_eq!(
        commands_listed(readme),
        BTreeSet::from(["run", "events", "deliveries"].map(str::to_owned))
    );
    let help = "Usage: x\n\nCommands:\n  run     the daemon\n          and more\n  events  [aliases: e]\n  help    this\n\nOptions:\n  -h";
    assert_eq!(commands_offered(help), BTreeSet::from(["run", "events"].map(str::to_owned)));
}

/// The first words of what is backticked in the first cells of the table below “Commands”, after `doorbell`.
fn commands_listed(readme: &str) -> BTreeSet<String> {
    let below =
        readme.lines().skip_while(|line| !(line.starts_with('#') && line.ends_with("Commands")));
    let table =
        below.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = table.filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(backticked)
        .map(|command| command.strip_prefix("doorbell ").unwrap_or(&command).to_owned())
        .map(|command| word(&command).to_owned())
        .collect()
}

/// The commands in the output of `--help`.
fn commands_offered(help: &str) -> BTreeSet<String> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows = below.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = rows.map(|row| row.split(' ').next().unwrap());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn readme_lists_the_commands_there_are() {
    let Some(readme) = document("README.md") else { return };
    let help = Command::new(env!("CARGO_BIN_EXE_doorbell")).arg("--help").output().unwrap();
    let offered = commands_offered(&String::from_utf8(help.stdout).unwrap());
    assert!(!offered.is_empty(), "`doorbell --help` offers no commands");
    assert_eq!(commands_listed(&readme), offered, "README.md (left) and `doorbell --help` (right)");
}

#[test]
fn released_migrations_never_change() {
    let all = files("src/store/sqlite/migrations");
    let texts: BTreeMap<_, _> = all
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy(), fs::read(path).unwrap()))
        .collect();
    for (migration, hash) in RELEASED_MIGRATIONS {
        let text = texts.get(*migration).unwrap_or_else(|| panic!("{migration} is gone"));
        let now = fnv(text);
        assert_eq!(
            now, *hash,
            "{migration} was released and has changed; its hash is now {now:#018x}"
        );
    }
}

/// FNV-1a: enough to notice an edit.
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
