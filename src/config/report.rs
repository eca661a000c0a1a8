//! What the reading of a configuration gathers: problems, what may be shown of the text around them, and the secrets.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use crate::config::mask::{Excerpts, Showing};
use crate::config::problem::{Problem, Problems, Severity};
use crate::config::template::Input;
use crate::config::tree::{Key, Node, Place, Scalar, Value};
use crate::core::jq::Expression;
use crate::core::secret::Secret;
use crate::core::template::Formula;

/// Something wrong, at a place of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) severity: Severity,
    pub(super) sentence: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    /// Something that makes the configuration unusable.
    pub(super) fn error(place: Place, sentence: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, sentence: sentence.into(), hint: None }
    }

    /// Something that should be looked at.
    pub(super) fn warning(place: Place, sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, sentence) }
    }

    /// The same with a way to mend it; an empty one is none.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }
}

/// What is wrong with one text, and where in it (bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) at: Option<Range<usize>>,
    pub(super) sentence: String,
    pub(super) hint: Option<String>,
}

impl Flaw {
    /// A flaw of the whole text.
    pub(super) fn new(sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self { at: None, sentence: sentence.into(), hint }
    }

    /// A flaw of a part of it.
    pub(super) fn at(self, at: Range<usize>) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// A file that was read. Without `root` its syntax is broken.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) root: Option<Node>,
    /// Every scalar and key, in order.
    pub(super) scalars: Vec<Scalar>,
}

/// Gathers while the trees are walked. Nothing of the text is shown unless it was [`reveal`](Self::reveal)ed.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// Whether nobody is going to be shown anything: then it is not noted what may be, and what is declared alike is not
    /// looked at again. If something is found after all, the walk is made again.
    pub(super) is_quick: bool,
    /// How much of the scalar that begins at a place may be shown; nothing of those that are not in here.
    shown: HashMap<(u16, u32), Showing>,
    pub(super) secrets: Vec<Secret>,
    /// Compiled expressions by text: thousands of sources share a few.
    pub(super) expressions: HashMap<String, Result<Expression, Flaw>>,
    /// What stands in templates, likewise.
    pub(super) formulas: HashMap<(String, Input), Result<Formula, Flaw>>,
}

impl Report {
    /// Begins with what was found before the walk.
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::default() }
    }

    /// Begins in the hope that nothing is found.
    pub(super) fn quick() -> Self {
        Self { is_quick: true, ..Self::default() }
    }

    /// Notes something wrong.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Notes something wrong with a value; `None`, so that a reader can end with it.
    pub(super) fn wrong<T>(
        &mut self,
        node: &Node,
        sentence: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.add(Finding::error(node.place, sentence).hint(hint));
        None
    }

    /// Notes a flaw of a scalar's text. Of a text that was filled in from outside only `expected` is said, because a
    /// flaw's sentence may quote it.
    pub(super) fn flaw<T>(
        &mut self,
        file: &ReadFile,
        node: &Node,
        expected: &str,
        flaw: &Flaw,
    ) -> Option<T> {
        if let Value::Filled(_) = node.value {
            return self.wrong(node, format!("what is filled in here is not {expected}"), "");
        }
        let place = flaw.at.as_ref().and_then(|at| inside(&file.text, node, at));
        let hint = flaw.hint.clone().unwrap_or_default();
        self.add(Finding::error(place.unwrap_or(node.place), flaw.sentence.as_str()).hint(hint));
        None
    }

    /// Whether anything found makes the configuration unusable.
    pub(super) fn any_error(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Allows a scalar, or the scalars of a list, to be shown.
    pub(super) fn reveal(&mut self, node: &Node, showing: Showing) {
        match &node.value {
            Value::List(nodes) => {
                for node in nodes {
                    self.reveal(node, showing);
                }
            }
            Value::Map(_) => {}
            _ => self.show(node.place, showing),
        }
    }

    fn show(&mut self, place: Place, showing: Showing) {
        if !self.is_quick {
            self.shown.insert((place.file, place.start), showing);
        }
    }

    /// Allows the templates of a text to be shown, where nothing else of it is.
    pub(super) fn reveal_templates(&mut self, node: &Node) {
        let scalar = (node.place.file, node.place.start);
        if !self.is_quick {
            self.shown.entry(scalar).or_insert(Showing::Template);
        }
    }

    /// Allows a key to be shown. Only keys that may be meant as values need that: those without one, and odd ones.
    pub(super) fn reveal_key(&mut self, key: &Key) {
        self.show(key.place, Showing::Whole);
    }

    /// Forbids the keys inside a value to be shown: where no map belongs, they may be values.
    pub(super) fn conceal(&mut self, node: &Node) {
        match &node.value {
            Value::List(nodes) => nodes.iter().for_each(|node| self.conceal(node)),
            Value::Map(entries) => {
                for (key, node) in entries {
                    self.show(key.place, Showing::Nothing);
                    self.conceal(node);
                }
            }
            _ => {}
        }
    }

    /// Forbids a scalar to be shown that was revealed before: it is not what belongs there.
    pub(super) fn hide(&mut self, node: &Node) {
        self.show(node.place, Showing::Nothing);
    }

    /// Remembers a secret for the redaction of logs: what was filled in, and the whole text.
    pub(super) fn secret(&mut self, node: &Node) {
        self.filled_in(node);
        if let Some(text) = node.text() {
            self.secrets.push(Secret::new(text));
        }
    }

    /// Remembers what was filled in as secret.
    pub(super) fn filled_in(&mut self, node: &Node) {
        let pieces = node.pieces().iter().filter(|piece| !piece.is_empty());
        self.secrets.extend(pieces.map(|piece| Secret::new(piece.as_str())));
    }

    /// The secrets, each once: what sources share is read for each of them.
    pub(super) fn take_secrets(&mut self) -> Vec<Secret> {
        let secrets = std::mem::take(&mut self.secrets);
        let mut known = HashSet::new();
        let first: Vec<bool> = secrets.iter().map(|secret| known.insert(secret.expose())).collect();
        drop(known);
        secrets
            .into_iter()
            .zip(first)
            .filter_map(|(secret, first)| first.then_some(secret))
            .collect()
    }

    /// Everything found, sorted by place, with the lines it stands on.
    pub(super) fn problems(mut self, files: &[ReadFile]) -> Problems {
        self.findings.sort_by_key(|finding| finding.place);
        // What several sources share is read for each of them.
        let mut told = HashSet::new();
        self.findings.retain(|finding| told.insert((finding.place, finding.sentence.clone())));
        let excerpts = Excerpts::new(files, self.shown);
        let problems = self.findings.into_iter().map(|finding| {
            let path = files.get(usize::from(finding.place.file)).map(|file| file.path.clone());
            Problem {
                severity: finding.severity,
                file: path.unwrap_or_default(),
                line: finding.place.line,
                column: finding.place.column,
                sentence: finding.sentence,
                hint: finding.hint,
                excerpt: excerpts.at(finding.place),
            }
        });
        Problems(problems.collect())
    }
}

/// Whether a key may be shown though nobody knows it. One with blanks or other signs may be a value that lost its key.
pub(super) fn is_plain(name: &str) -> bool {
    const CHARS_MAX: usize = 40;
    name.len() <= CHARS_MAX && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// The place of a part of a scalar, if the scalar stands in the file as it is: on one line, without escapes.
pub(super) fn inside(text: &str, node: &Node, at: &Range<usize>) -> Option<Place> {
    let typed = node.typed()?;
    let source = text.get(node.place.start as usize..node.place.end as usize)?;
    let lead = usize::from(source.starts_with(['"', '\'']));
    let content = source.get(lead..source.len().checked_sub(lead)?)?;
    if content != typed || content.contains('\n') {
        return None;
    }
    let before = content.get(..at.start)?;
    let end = at.end.clamp(at.start, content.len());
    let start = node.place.start + u32::try_from(lead + at.start).ok()?;
    Some(Place {
        start,
        end: start + u32::try_from(end - at.start).ok()?,
        column: node.place.column + u32::try_from(lead + before.chars().count()).ok()?,
        ..node.place
    })
}
