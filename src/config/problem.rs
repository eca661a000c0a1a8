//! Problems are for people: where, what, and how to mend it. No secret is in them.

use std::fmt;
use std::path::PathBuf;

use serde_json::json;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should look at it.
    Warning,
}

/// Something wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) file: PathBuf,
    /// From one.
    pub(crate) line: u32,
    /// From one, in characters.
    pub(crate) column: u32,
    pub(crate) sentence: String,
    /// How to mend it.
    pub(crate) hint: Option<String>,
    /// The line itself; `None` when the file could not be read.
    pub(crate) excerpt: Option<Excerpt>,
}

/// A line, or a piece of a long one, as it may be shown: secrets masked, nothing in it that a terminal would obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// Characters before the first caret.
    pub(crate) caret: usize,
    /// Carets, at least one.
    pub(crate) width: usize,
}

/// All problems of a configuration, sorted by place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Whether the configuration cannot be used.
    pub(crate) fn any_error(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// A list of `{file, line, column, severity, message, hint}`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let problems = self.0.iter().map(|problem| {
            json!({
                "file": problem.file.to_string_lossy(),
                "line": problem.line,
                "column": problem.column,
                "severity": match problem.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                "message": problem.sentence,
                "hint": problem.hint,
            })
        });
        problems.collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(out, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, sentence, .. } = self;
        let warning = if self.severity == Severity::Warning { "warning: " } else { "" };
        writeln!(out, "{}:{line}:{column}: {warning}{sentence}", file.display())?;
        let number = line.to_string();
        let margin = number.len().max(4);
        if let Some(Excerpt { text, caret, width }) = &self.excerpt {
            writeln!(out, " {number:>margin$} | {text}")?;
            let (blank, carets) = (" ".repeat(*caret), "^".repeat((*width).max(1)));
            writeln!(out, " {:>margin$} | {blank}{carets}", "")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(out, " {:>margin$} = hint: {hint}", "")?;
        }
        Ok(())
    }
}
