//! Tests of the configuration: case files with their rendered problems, facts of valid files, secrets, hostile files.

mod alike;
mod auth;
mod budgets;
mod cases;
mod facts;
mod hostile;
mod pieces;
mod plans;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::lookup::{FileFault, FoundFile, Lookup};
use crate::config::problem::Problems;
use crate::config::{Config, load_text};

/// Surroundings that are only here.
#[derive(Debug, Default, Clone)]
struct Given {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Given {
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }
}

impl Lookup for Given {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &Path, bytes_max: usize) -> Result<FoundFile, FileFault> {
        let text = self.files.get(path).ok_or(FileFault::Missing)?.clone();
        if text.len() > bytes_max {
            return Err(FileFault::TooLong { bytes_max });
        }
        Ok(FoundFile { text, world_readable: path.ends_with("world") })
    }

    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, FileFault> {
        let inside = |file: &&PathBuf| file.parent() == Some(path);
        let files: Vec<_> = self.files.keys().filter(inside).cloned().collect();
        if files.is_empty() { Err(FileFault::Missing) } else { Ok(files) }
    }
}

fn read(text: &str) -> Result<Config, Problems> {
    load_text(text, &Given::default())
}

#[track_caller]
fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}"))
}

/// One source `s` with these keys beside its URL.
fn source_text(keys: &str) -> String {
    let lines: Vec<_> = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("sources:\n  s:\n    url: https://a.example/\n{}", lines.concat())
}

/// One endpoint `e` with these keys.
fn endpoint_text(keys: &str) -> String {
    let lines: Vec<_> = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("sources: {{s: {{url: https://a.example/}}}}\nendpoints:\n  e:\n{}", lines.concat())
}
