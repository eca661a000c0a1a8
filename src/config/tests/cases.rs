//! `tests/cases/config`: NAME.yaml and NAME.expected, the problems as they are printed. `UPDATE_CASES=1` rewrites the latter.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::load;
use crate::config::lookup::{FileFault, FoundFile, Lookup, Surroundings};

/// What no problem may show.
const CANARY: &str = "hunter2-canary";

/// The case files, and an environment of their own.
struct Cases(PathBuf);

impl Lookup for Cases {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "CANARY" => CANARY,
            "BREAK" => "hunter2-canary\nx",
            "LONG" => "7h",
            "EMPTY" => "",
            "CREDENTIALS_DIRECTORY" => "fill",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, path: &Path, bytes_max: usize) -> Result<FoundFile, FileFault> {
        let found = Surroundings.file(&self.0.join(path), bytes_max)?;
        // The checkout's modes are not the cases' business.
        Ok(FoundFile { world_readable: false, ..found })
    }

    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, FileFault> {
        Surroundings.directory(&self.0.join(path))
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config")
}

/// The problems of a case as they are printed; `shown` gets every form of them.
fn rendered(name: &str, shown: &mut Vec<String>) -> String {
    match load(Path::new(name), &Cases(directory())) {
        Ok(_) => String::from("valid\n"),
        Err(problems) => {
            let text = problems.to_string();
            shown.extend([text.clone(), format!("{problems:?}"), problems.to_json().to_string()]);
            text
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch that rewrites what is expected")]
fn every_case_is_told_as_expected() {
    let update = std::env::var("UPDATE_CASES").is_ok();
    let (mut wrong, mut shown) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let expected = path.with_extension("expected");
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") => {}
            Some("expected") => {
                assert!(path.with_extension("yaml").exists(), "{} has no case", path.display());
                continue;
            }
            _ => continue,
        }
        seen += 1;
        let told = rendered(path.file_name().unwrap().to_str().unwrap(), &mut shown);
        if update {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", path.display()));
        }
    }
    for text in shown {
        assert!(!text.contains(CANARY), "a secret is shown:\n{text}");
    }
    assert!(seen > 0, "no case was found");
    assert!(wrong.is_empty(), "told otherwise than expected:\n{}", wrong.join("\n"));
}

#[test]
fn eight_mistakes_are_eight_problems() {
    let problems = load(Path::new("eight-mistakes.yaml"), &Cases(directory())).unwrap_err();
    assert!(problems.0.len() >= 8, "{problems}");
    let places: Vec<_> = problems.0.iter().map(|problem| (problem.line, problem.column)).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn the_json_form_has_the_same() {
    let problems = load(Path::new("eight-mistakes.yaml"), &Cases(directory())).unwrap_err();
    let json = problems.to_json();
    let list = json.as_array().unwrap();
    assert_eq!(list.len(), problems.0.len());
    for (json, problem) in list.iter().zip(&problems.0) {
        assert_eq!(json["file"], "eight-mistakes.yaml");
        assert_eq!(
            (&json["line"], &json["column"]),
            (&problem.line.into(), &problem.column.into())
        );
        assert_eq!(json["message"], problem.sentence);
        assert_eq!(json["hint"].as_str(), problem.hint.as_deref());
    }
}
