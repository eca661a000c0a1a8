//! `sources.yaml`: text → tree with places → validated [`Config`]. All problems at once, each with its place; no secret in any
//! of them. A bad configuration changes nothing.
//!
//! | step | module |
//! |---|---|
//! | the files, their `include`s | `files` |
//! | YAML → tree with places | `tree` |
//! | `${…}` in string values | `fill`, `lookup` |
//! | what sources share, written into each | `shared` |
//! | which keys there are | `keys`, `schema` |
//! | tree → typed values | `walk`, `measures`, `web`, `template`, `server`, `retention`, `source`, `budget`, `auth`, `route`, `format`, `for_each`, `rules`, `body`, `endpoint` |
//! | what is wrong, shown to people | `report`, `hint`, `mask`, `problem` |

mod auth;
mod body;
mod budget;
mod endpoint;
mod files;
mod fill;
mod for_each;
mod format;
pub(crate) mod hint;
mod keys;
pub(crate) mod lookup;
mod mask;
mod measures;
mod pages;
pub(crate) mod problem;
mod report;
mod retention;
mod route;
mod rules;
pub(crate) mod schema;
pub(crate) mod server;
mod shared;
mod sign;
mod since;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod walk;
mod web;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::lookup::Lookup;
use crate::config::problem::Problems;
use crate::config::report::{Finding, ReadFile, Report};
use crate::config::server::Server;
use crate::config::tree::{Key, Node, Place, Value};
use crate::config::walk::Walk;
use crate::core::endpoint::{Endpoint, Target};
use crate::core::ids::{EndpointName, SourceName};
use crate::core::limits::NAME_BYTES_MAX;
use crate::core::own::OWN_SOURCE;
use crate::core::retention::Retention;
use crate::core::secret::Secret;
use crate::core::source::Source;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) retention: Retention,
    /// In the order they stand in the files. Shared with whoever polls them: there may be very many.
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Every secret and everything that was filled in from outside, for the redaction of logs.
    pub(crate) secrets: Vec<Secret>,
    /// The files it was read from, the first one first.
    pub(crate) files: Vec<PathBuf>,
    /// What should be looked at, though it is no error.
    pub(crate) warnings: Problems,
}

impl Config {
    /// Nothing declared.
    pub(crate) fn empty() -> Self {
        Self {
            server: Server::default(),
            retention: Retention::default(),
            sources: Vec::new(),
            endpoints: Vec::new(),
            secrets: Vec::new(),
            files: Vec::new(),
            warnings: Problems::default(),
        }
    }
}

/// Reads a configuration from a file and those it includes.
///
/// # Errors
/// Every problem at once, sorted by place.
pub(crate) fn load(path: &Path, lookup: &dyn Lookup) -> Result<Config, Problems> {
    let (files, findings) = files::read(path, lookup);
    validate(files, findings, lookup)
}

/// Reads a rate as it is written in a configuration: so many a second.
///
/// # Errors
/// What is wrong, and how to write it.
pub(crate) fn per_second(text: &str) -> Result<f64, String> {
    match measures::rate(text) {
        Ok(rate) => Ok(f64::from(rate.count.get()) / rate.period.as_secs_f64()),
        Err(flaw) => Err([Some(flaw.sentence), flaw.hint]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

/// Reads a configuration from a text, with paths relative to the working directory.
///
/// # Errors
/// Every problem at once, sorted by place.
pub(crate) fn load_text(text: &str, lookup: &dyn Lookup) -> Result<Config, Problems> {
    let (files, findings) = files::read_text(Path::new("sources.yaml"), text.to_owned(), lookup);
    validate(files, findings, lookup)
}

fn validate(
    mut files: Vec<ReadFile>,
    mut findings: Vec<Finding>,
    lookup: &dyn Lookup,
) -> Result<Config, Problems> {
    let (apis, more) = shared::spread(&mut files);
    findings.extend(more);
    let files = files.as_slice();
    let new = |report| Walk::new(files, lookup, &apis, report);
    let mut walk = new(if findings.is_empty() { Report::quick() } else { Report::new(findings) });
    let mut top = walk_through(&mut walk);
    if walk.report.is_quick && !walk.report.findings.is_empty() {
        walk = new(Report::default());
        top = walk_through(&mut walk);
    }
    let secrets = walk.report.take_secrets();
    let problems = walk.report.problems(files);
    if problems.any_error() {
        return Err(problems);
    }
    Ok(Config {
        server: top.server,
        retention: top.retention,
        sources: top.sources.read,
        endpoints: top.endpoints.read,
        secrets,
        files: files.iter().map(|file| file.path.clone()).collect(),
        warnings: problems,
    })
}

/// Reads everything, and then looks at what can only be seen when all is read.
fn walk_through(walk: &mut Walk<'_>) -> Top {
    let top = Top::read(walk);
    for_each::check(&walk.feeds, &top.sources.places, &mut walk.report);
    let former = std::mem::take(&mut walk.former);
    let former = former.iter().map(|(name, place)| (name.as_str(), *place));
    former_names(&mut walk.report, former, ("source", &top.sources.places));
    let former = std::mem::take(&mut walk.former_endpoints);
    let former = former.iter().map(|(name, place)| (name.as_str(), *place));
    former_names(&mut walk.report, former, ("endpoint", &top.endpoints.places));
    files_of_their_own(walk, &top.endpoints);
    // Where files are missing, so may be the sources.
    let readable = walk.files.iter().all(|file| file.root.is_some());
    if readable && top.sources.places.is_empty() && !walk.report.any_error() {
        let finding =
            Finding::error(Place::top(0), "there are no sources: nothing would be polled");
        let hint = "such as `sources: {tickets: {url: https://helpdesk.example/tickets}}`";
        walk.report.add(finding.hint(hint));
    }
    top
}

/// What the top levels of all files come to.
#[derive(Default)]
struct Top {
    server: Server,
    /// Where `server` stands.
    server_place: Option<Place>,
    retention: Retention,
    /// Where `retention` stands.
    retention_place: Option<Place>,
    /// Where `defaults` stand.
    defaults_place: Option<Place>,
    apis: Named<()>,
    sources: Named<Arc<Source>>,
    endpoints: Named<Endpoint>,
}

/// Declarations with names, and where each name stands.
struct Named<T> {
    read: Vec<T>,
    places: HashMap<String, Place>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { read: Vec::new(), places: HashMap::new() }
    }
}

impl Top {
    fn read(walk: &mut Walk<'_>) -> Self {
        let mut top = Self::default();
        let files = walk.files;
        for (index, file) in (0..).zip(files) {
            let Some(root) = &file.root else { continue };
            let Some(fields) = walk.fields(root, keys::TOP, Place::top(index)) else { continue };
            if let Some(node) = fields.get("server") {
                top.server(walk, node);
            }
            if let Some(node) = fields.get("retention") {
                if let Some(retention) = retention::read(walk, node) {
                    top.retention = retention;
                }
                once(walk, &mut top.retention_place, node.place, "retention");
            }
            if let Some(node) = fields.get("defaults") {
                source::check_shared(walk, node, None);
                once(walk, &mut top.defaults_place, node.place, "defaults");
            }
            if let Some(node) = fields.get("apis") {
                top.apis.add(walk, node, "api", |walk, name, node, _| {
                    source::check_shared(walk, node, Some(name))
                });
            }
            if let Some(node) = fields.get("sources") {
                top.sources.add(walk, node, "source", |walk, name, node, place| {
                    source::read(walk, &SourceName::new(name), node, place).map(Arc::new)
                });
            }
            if let Some(node) = fields.get("endpoints") {
                top.endpoints.add(walk, node, "endpoint", |walk, name, node, place| {
                    endpoint::read(walk, &EndpointName::new(name), node, place)
                });
            }
        }
        top
    }

    fn server<'a>(&mut self, walk: &mut Walk<'a>, node: &'a Node) {
        if let Some(server) = server::read(walk, node) {
            self.server = server;
        }
        once(walk, &mut self.server_place, node.place, "server");
    }
}

/// Notes a key of the top level that stands in several files.
fn once(walk: &mut Walk<'_>, first: &mut Option<Place>, place: Place, name: &str) {
    if first.replace(place).is_some() {
        let sentence = format!("`{name}` stands in another file already");
        walk.report.add(Finding::error(place, sentence).hint("keep one of the two"));
    }
}

impl<T> Named<T> {
    fn add<'a>(
        &mut self,
        walk: &mut Walk<'a>,
        node: &'a Node,
        what: &str,
        read: impl Fn(&mut Walk<'a>, &str, &'a Node, Place) -> Option<T>,
    ) {
        let Value::Map(entries) = &node.value else { return };
        for (key, node) in entries {
            if node.value != Value::Null {
                walk.report.reveal_key(key);
            }
            if let Some(flaw) = name_flaw(what, &key.name) {
                let hint = "choose one of letters, digits, `_`, `-` and `.`";
                walk.report.add(Finding::error(key.place, flaw).hint(hint));
            }
            self.place(walk, key, what);
            self.read.extend(read(walk, &key.name, node, key.place));
        }
    }

    /// Remembers where a name stands; a name twice is an error, in whichever files.
    fn place(&mut self, walk: &mut Walk<'_>, key: &Key, what: &str) {
        let Some(first) = self.places.insert(key.name.clone(), key.place) else { return };
        let file = walk.files.get(usize::from(first.file)).map(|file| file.path.display());
        let sentence = format!("there are two {what}s with the name `{}`", key.name);
        let hint = match file {
            Some(file) => format!("the first stands at {file}:{}:{}", first.line, first.column),
            None => String::new(),
        };
        walk.report.add(Finding::error(key.place, sentence).hint(hint));
    }
}

/// A former name is one that nobody has any more, and that only one of its kind had.
fn former_names<'a>(
    report: &mut Report,
    former: impl IntoIterator<Item = (&'a str, Place)>,
    (what, places): (&str, &HashMap<String, Place>),
) {
    let mut taken: HashSet<&str> = HashSet::new();
    for (name, place) in former {
        if let Some(first) = places.get(name) {
            let line = first.line;
            let article = if what.starts_with('e') { "an" } else { "a" };
            let sentence =
                format!("`was` names {article} {what} that is declared (line {line}): {name}");
            let hint = format!(
                "only a name that is no longer in use can be a former one; take `was` away, or \
                 the declaration of the old {what}"
            );
            report.add(Finding::error(place, sentence).hint(hint));
        } else if !taken.insert(name) {
            let sentence = format!("two {what}s say that they were {name}");
            report.add(Finding::error(place, sentence).hint("keep one of the two"));
        }
    }
}

/// Two endpoints in one file would read like one, and each would take the other's rotation for a stranger's.
fn files_of_their_own(walk: &mut Walk<'_>, endpoints: &Named<Endpoint>) {
    let mut taken: HashMap<&Path, &EndpointName> = HashMap::new();
    for endpoint in &endpoints.read {
        let Target::File { path } = &endpoint.target else { continue };
        let Some(first) = taken.insert(path, &endpoint.name) else { continue };
        let Some(place) = endpoints.places.get(endpoint.name.as_str()) else { continue };
        let sentence = format!("the endpoint {first} writes to the same file");
        let hint = "give each a file of its own, or name all types in the `events` of one";
        walk.report.add(Finding::error(*place, sentence).hint(hint));
    }
}

/// What is wrong with a name.
fn name_flaw(what: &str, name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() {
        Some(format!("this {what} has no name"))
    } else if name.len() > NAME_BYTES_MAX {
        Some(format!("the name of this {what} is longer than {NAME_BYTES_MAX} characters"))
    } else if what == "source" && name == OWN_SOURCE {
        Some(String::from("the name `doorbell` is taken: doorbell's own events have it as source"))
    } else if !name.chars().all(legal) {
        let article = if what.starts_with(['a', 'e']) { "an" } else { "a" };
        Some(format!("`{}` is not {article} {what} name", name.escape_debug()))
    } else {
        None
    }
}
