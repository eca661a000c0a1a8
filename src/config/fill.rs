//! `${NAME}`, `${env:NAME}`, `${NAME:-default}`, `${file:PATH}` and `${cred:NAME}` in string values.
//!
//! They are filled in after the YAML was read, never in its raw text: what is filled in cannot change the structure.
//! Any other `$` is itself.

use std::ops::Range;
use std::path::Path;

use crate::config::lookup::Lookup;
use crate::config::report::{Finding, ReadFile, inside};
use crate::config::tree::{Filled, Node, Value};
use crate::core::limits::VALUE_FILE_BYTES_MAX;

/// One `${…}`, and where it stands in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference<'text> {
    pub(super) at: Range<usize>,
    pub(super) origin: Origin<'text>,
}

/// Where the value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin<'text> {
    /// A variable of the environment; the default also stands in for an empty one.
    Variable { name: &'text str, default: Option<&'text str> },
    /// A file, relative to the one the reference stands in.
    File(&'text str),
    /// A systemd credential.
    Credential(&'text str),
}

/// All references of a text, in order.
pub(super) fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(begin) = text.get(from..).and_then(|rest| rest.find("${")).map(|at| from + at) {
        from = begin + 2;
        let Some(end) = text.get(from..).and_then(|rest| rest.find('}')).map(|at| from + at) else {
            break;
        };
        if let Some(origin) = text.get(from..end).and_then(origin) {
            found.push(Reference { at: begin..end + 1, origin });
            from = end + 1;
        }
    }
    found
}

fn origin(inner: &str) -> Option<Origin<'_>> {
    if let Some(path) = inner.strip_prefix("file:") {
        return Some(Origin::File(path));
    }
    if let Some(name) = inner.strip_prefix("cred:") {
        return Some(Origin::Credential(name));
    }
    let inner = inner.strip_prefix("env:").unwrap_or(inner);
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = begins_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(Origin::Variable { name, default })
}

/// Fills in every string value of a file. What cannot be filled in is reported and marked.
pub(super) fn fill(file: &mut ReadFile, lookup: &dyn Lookup) -> Vec<Finding> {
    let Some(mut root) = file.root.take() else { return Vec::new() };
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let mut filler = Filler { text: &file.text, directory, lookup, findings: Vec::new() };
    filler.node(&mut root);
    let findings = filler.findings;
    file.root = Some(root);
    findings
}

struct Filler<'a> {
    text: &'a str,
    directory: &'a Path,
    lookup: &'a dyn Lookup,
    findings: Vec<Finding>,
}

impl Filler<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Text(text) if text.contains("${") => {
                let typed = std::mem::take(text);
                node.value = Value::Text(typed.clone());
                node.value = self.filled(node, typed);
            }
            Value::List(nodes) => nodes.iter_mut().for_each(|node| self.node(node)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| self.node(node)),
            _ => {}
        }
    }

    fn filled(&mut self, node: &Node, typed: String) -> Value {
        let references = references(&typed);
        if references.is_empty() {
            return Value::Text(typed);
        }
        let (mut value, mut pieces) = (String::new(), Vec::new());
        let (mut end, mut complete) = (0, true);
        for reference in &references {
            value.push_str(typed.get(end..reference.at.start).unwrap_or_default());
            end = reference.at.end;
            match self.value_of(&reference.origin, node, &reference.at) {
                Some(piece) => {
                    value.push_str(&piece);
                    pieces.push(piece);
                }
                None => complete = false,
            }
        }
        value.push_str(typed.get(end..).unwrap_or_default());
        if !complete {
            return Value::Unfilled;
        }
        Value::Filled(Box::new(Filled { typed, value, pieces }))
    }

    fn value_of(&mut self, origin: &Origin<'_>, node: &Node, at: &Range<usize>) -> Option<String> {
        let result = match *origin {
            Origin::Variable { name, default } => self.variable(name, default),
            Origin::File("") => Err((String::from("`${file:…}` names no file"), String::new())),
            Origin::File(path) => self.file(&self.directory.join(path), path, node, at),
            Origin::Credential(name) => self.credential(name),
        };
        match result {
            Ok(value) => Some(value),
            Err((sentence, hint)) => {
                let place = inside(self.text, node, at).unwrap_or(node.place);
                self.findings.push(Finding::error(place, sentence).hint(hint));
                None
            }
        }
    }

    fn variable(&self, name: &str, default: Option<&str>) -> Result<String, (String, String)> {
        let value = self.lookup.variable(name);
        match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err((
                format!("the environment variable `{name}` is not set"),
                format!("set it, or give a default: `${{{name}:-…}}`"),
            )),
        }
    }

    fn file(
        &mut self,
        path: &Path,
        typed: &str,
        node: &Node,
        at: &Range<usize>,
    ) -> Result<String, (String, String)> {
        let (value, world_readable) =
            self.text_of(path, &format!("the file `{typed}`")).map_err(|(sentence, hint)| {
                let relative = "paths are relative to the file they stand in";
                (sentence, if hint.is_empty() { relative.to_owned() } else { hint })
            })?;
        if world_readable {
            let place = inside(self.text, node, at).unwrap_or(node.place);
            self.findings.push(
                Finding::warning(
                    place,
                    format!("everybody on this machine may read the file `{typed}`"),
                )
                .hint(format!("if it holds a secret: chmod o-r {typed}")),
            );
        }
        Ok(value)
    }

    fn credential(&self, name: &str) -> Result<String, (String, String)> {
        let what = format!("the credential `{name}`");
        if name.is_empty() || name.contains('/') || name == ".." {
            return Err((format!("{what} is no credential's name"), String::new()));
        }
        let Some(directory) = self.lookup.variable("CREDENTIALS_DIRECTORY") else {
            return Err((
                format!("{what} is not there: `CREDENTIALS_DIRECTORY` is not set"),
                format!("systemd sets it for units with `LoadCredential={name}:PATH`"),
            ));
        };
        Ok(self.text_of(&Path::new(&directory).join(name), &what)?.0)
    }

    /// A value file's text without its trailing line break, and whether everybody may read it.
    fn text_of(&self, path: &Path, what: &str) -> Result<(String, bool), (String, String)> {
        let found = self.lookup.file(path, VALUE_FILE_BYTES_MAX);
        let found =
            found.map_err(|fault| (format!("{what} cannot be used: {fault}"), String::new()))?;
        let text = found.text.strip_suffix('\n').unwrap_or(&found.text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err((format!("{what} is empty"), String::from("it must be one line of text")));
        }
        if text.contains(char::is_control) {
            return Err((
                format!("{what} holds a control character, such as a line break in its middle"),
                String::from("it must be one line of text; a line break at its end is cut"),
            ));
        }
        Ok((text.to_owned(), found.world_readable))
    }
}
