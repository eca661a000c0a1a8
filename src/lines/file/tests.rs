//! What stands in a file after lines were added, whatever others did to it meanwhile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::{Bounds, Journal};
use crate::core::http::TransportFault;
use crate::lines::{LineWriter, Lines};

const ROOMY: Bounds = Bounds { bytes_max: 1 << 20, kept_max: 2 };

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|_| String::from("(none)"))
}

fn add(journal: &mut Journal, lines: &[&str]) {
    journal.append(lines.iter().map(|line| line.as_bytes())).unwrap();
}

/// What another process does between two lines, and what the file holds then.
#[test]
fn lines_are_added_to_whatever_the_path_leads_to() {
    type Meddling = fn(&Path);
    let check = |before: &str, meddling: Meddling, expected: &str, aside: &str| {
        let home = TempDir::new().unwrap();
        let path = home.path().join("events");
        if before != "(none)" {
            fs::write(&path, before).unwrap();
        }
        let mut journal = Journal::new(path.clone(), ROOMY);
        add(&mut journal, &["one\n", "two\n"]);
        meddling(&path);
        add(&mut journal, &["three\n"]);
        assert_eq!(
            (text(&path).as_str(), text(&path.with_extension("old")).as_str()),
            (expected, aside)
        );
    };
    let nothing: Meddling = |_| {};
    check("(none)", nothing, "one\ntwo\nthree\n", "(none)");
    check("zero\n", nothing, "zero\none\ntwo\nthree\n", "(none)");
    check("ze", nothing, "ze\none\ntwo\nthree\n", "(none)");
    check("", |path| fs::remove_file(path).unwrap(), "three\n", "(none)");
    let moved: Meddling = |path| fs::rename(path, path.with_extension("old")).unwrap();
    check("(none)", moved, "three\n", "one\ntwo\n");
    let copied: Meddling = |path| {
        fs::copy(path, path.with_extension("old")).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    };
    check("(none)", copied, "three\n", "one\ntwo\n");
    let torn: Meddling = |path| {
        fs::File::options().write(true).open(path).unwrap().set_len(6).unwrap();
    };
    check("(none)", torn, "one\ntw\nthree\n", "(none)");
}

#[test]
fn a_file_that_grew_is_set_aside() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("events");
    let mut journal = Journal::new(path.clone(), Bounds { bytes_max: 10, kept_max: 2 });
    add(&mut journal, &["1234\n", "5678\n", "a line longer than that\n", "b\n"]);
    for line in ["c\n", "d234567\n", "e\n"] {
        add(&mut journal, &[line]);
    }
    let name = |end: &str| home.path().join(format!("events{end}"));
    let found: Vec<_> = ["", ".1", ".2", ".3"].map(|end| text(&name(end))).to_vec();
    assert_eq!(found, ["d234567\ne\n", "b\nc\n", "a line longer than that\n", "(none)"]);
}

#[tokio::test]
async fn lines_together_are_all_written_and_what_is_no_file_is_told() {
    let home = TempDir::new().unwrap();
    let (lines, path) = (Lines::default(), home.path().join("events"));
    let append = |path: &Path, line: String| {
        lines.append(path.to_owned(), Bytes::from(line), Duration::from_secs(20))
    };
    let all = (0..200).map(|number| append(&path, format!("{number}\n")));
    for written in futures(all).await {
        assert_eq!(written, Ok(()));
    }
    let found = text(&path);
    let mut numbers: Vec<u32> = found.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let refused = append(home.path(), String::from("x\n")).await;
    assert!(
        matches!(&refused, Err(TransportFault::Unwritten { detail }) if detail.contains("regular")),
        "{refused:?}"
    );
    let nowhere = append(&home.path().join("none/events"), String::from("x\n")).await;
    assert!(matches!(nowhere, Err(TransportFault::Unwritten { .. })), "{nowhere:?}");
}

/// All of them, side by side.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
