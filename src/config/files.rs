//! The files of a configuration: the first one, and what the `include`s name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::config::fill;
use crate::config::lookup::{FileFault, Lookup};
use crate::config::report::{Finding, ReadFile, inside};
use crate::config::tree::{self, Node, Place, Value};
use crate::core::endpoint::glob_matches;
use crate::core::limits::{CONFIG_FILE_BYTES_MAX, CONFIG_FILES_MAX};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a file and everything it includes.
pub(super) fn read(path: &Path, lookup: &dyn Lookup) -> (Vec<ReadFile>, Vec<Finding>) {
    let mut reader = Reader::new(lookup);
    match lookup.file(path, CONFIG_FILE_BYTES_MAX) {
        Ok(found) => reader.all(path.to_owned(), found.text),
        Err(fault) => {
            let hint = match fault {
                FileFault::Missing => "`--config FILE` names another one",
                FileFault::TooLong { .. } => "split it with `include`",
                FileFault::Unreadable(_) => "`--config FILE` names a file, such as `sources.yaml`",
                FileFault::NotText => "",
            };
            let sentence = match &fault {
                FileFault::Unreadable(why) => format!("the configuration cannot be read: {why}"),
                fault => format!("the configuration cannot be read: {fault}"),
            };
            reader.findings.push(Finding::error(Place::top(0), sentence).hint(hint));
            reader.files.push(ReadFile {
                path: path.to_owned(),
                text: String::new(),
                root: None,
                scalars: Vec::new(),
            });
        }
    }
    (reader.files, reader.findings)
}

/// Reads a text under a path's name, and everything it includes.
pub(super) fn read_text(
    path: &Path,
    text: String,
    lookup: &dyn Lookup,
) -> (Vec<ReadFile>, Vec<Finding>) {
    let mut reader = Reader::new(lookup);
    reader.all(path.to_owned(), text);
    (reader.files, reader.findings)
}

struct Reader<'a> {
    lookup: &'a dyn Lookup,
    files: Vec<ReadFile>,
    seen: HashSet<PathBuf>,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    fn new(lookup: &'a dyn Lookup) -> Self {
        Self { lookup, files: Vec::new(), seen: HashSet::new(), findings: Vec::new() }
    }

    /// Reads the first file, and then one file after the other what was included.
    fn all(&mut self, path: PathBuf, text: String) {
        self.seen.insert(path.clone());
        self.add(path, text);
        let mut next = 0;
        while next < self.files.len() {
            for (path, place) in self.included_by(next) {
                self.include(path, place);
            }
            next += 1;
        }
    }

    fn add(&mut self, path: PathBuf, mut text: String) {
        let number = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        if text.starts_with(BYTE_ORDER_MARK) {
            text.remove(0);
        }
        let parsed = tree::parse(number, &text);
        self.findings.extend(parsed.findings);
        let mut file = ReadFile { path, text, root: parsed.root, scalars: parsed.scalars };
        self.findings.extend(fill::fill(&mut file, self.lookup));
        self.files.push(file);
    }

    fn include(&mut self, path: PathBuf, place: Place) {
        if !self.seen.insert(path.clone()) {
            return;
        }
        if self.files.len() >= CONFIG_FILES_MAX {
            let sentence = format!("more than {CONFIG_FILES_MAX} files are included");
            self.findings.push(Finding::error(place, sentence));
            return;
        }
        match self.lookup.file(&path, CONFIG_FILE_BYTES_MAX) {
            Ok(found) => self.add(path, found.text),
            Err(fault) => {
                let sentence = format!("the file {} cannot be included: {fault}", path.display());
                let hint = "paths are relative to the file they stand in";
                self.findings.push(Finding::error(place, sentence).hint(hint));
            }
        }
    }

    /// What one file includes, in the order of names. Values of a wrong kind are the walk's business.
    fn included_by(&mut self, index: usize) -> Vec<(PathBuf, Place)> {
        let Some(file) = self.files.get(index) else { return Vec::new() };
        let Some(Value::Map(entries)) = file.root.as_ref().map(|root| &root.value) else {
            return Vec::new();
        };
        let entry = entries.iter().find(|(key, _)| key.name == "include");
        let nodes: &[Node] = match entry {
            Some((_, Node { value: Value::List(nodes), .. })) => nodes,
            Some((_, node)) => std::slice::from_ref(node),
            None => &[],
        };
        let directory = file.path.parent().unwrap_or(Path::new(""));
        let mut included = Vec::new();
        for node in nodes {
            let Some(pattern) = node.text() else { continue };
            match matching(&directory.join(pattern), self.lookup) {
                Ok(paths) => included.extend(paths.into_iter().map(|path| (path, node.place))),
                Err((sentence, hint)) => {
                    let place = inside(&file.text, node, &(0..pattern.len()));
                    let place = place.unwrap_or(node.place);
                    self.findings.push(Finding::error(place, sentence).hint(hint));
                }
            }
        }
        included
    }
}

/// The files a pattern names, sorted. Hidden files only if the pattern begins with a dot; a pattern may match nothing.
fn matching(pattern: &Path, lookup: &dyn Lookup) -> Result<Vec<PathBuf>, (String, String)> {
    let wild = |path: &Path| path.to_string_lossy().contains('*');
    if !wild(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let (directory, name) = (pattern.parent().unwrap_or(Path::new("")), pattern.file_name());
    if wild(directory) {
        let hint = String::from("such as `sources.d/*.yaml`; list several patterns if need be");
        return Err((String::from("`*` stands only in a file's name, not in a directory's"), hint));
    }
    let name = name.unwrap_or_default().to_string_lossy();
    let files = lookup.directory(directory).map_err(|fault| {
        let hint = String::from("paths are relative to the file they stand in");
        let fault = match fault {
            FileFault::Missing => String::from("there is no such directory"),
            fault => fault.to_string(),
        };
        (format!("the directory {} cannot be read: {fault}", directory.display()), hint)
    })?;
    let fits = |path: &Path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        glob_matches(&name, &file) && (name.starts_with('.') || !file.starts_with('.'))
    };
    let files = files.into_iter().filter(|path| fits(path));
    let mut files: Vec<_> =
        files.filter_map(|path| path.file_name().map(|name| directory.join(name))).collect();
    files.sort();
    Ok(files)
}
