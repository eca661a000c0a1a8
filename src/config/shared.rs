//! `defaults` and `apis`: what sources share is written into each of them, before anything is read.
//!
//! A source goes before the block of `apis` it names, that one before the block it names itself, and `defaults` come
//! last. The maps `headers` and `query` are merged name by name; everything else stands or is replaced as a whole. What
//! was merged keeps the place where it was written, as what a YAML alias stands for does.

use std::collections::{HashMap, HashSet};

use crate::config::keys;
use crate::config::report::{Finding, ReadFile};
use crate::config::tree::{Key, Node, Place, Value};
use crate::core::limits::{CONFIG_APIS_DEPTH_MAX, CONFIG_SHARED_NODES_MAX};

const LIMIT: &str = "limit";
const CONCURRENCY: &str = "concurrency";
/// What makes a budget.
const BUDGET: &[&str] = &[LIMIT, CONCURRENCY];
/// What says when a source is asked.
const TIMES: &[&str] = &["every", "cron"];

/// The entries of a map.
type Entries = Vec<(Key, Node)>;

/// The blocks of `apis`, each with the name of the one it builds on.
#[derive(Debug, Default)]
pub(super) struct Apis {
    parents: HashMap<String, Option<String>>,
    /// What they say of `limit` and `concurrency`: that is theirs, and no source's own.
    budgets: HashMap<String, Entries>,
}

impl Apis {
    /// All names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parents.keys().map(String::as_str)
    }

    /// What a block itself says of `limit` and `concurrency`.
    pub(super) fn budget(&self, name: &str) -> (Option<&Node>, Option<&Node>) {
        let entries = self.budgets.get(name).map_or(&[][..], Vec::as_slice);
        let under = |name| entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
        (under(LIMIT), under(CONCURRENCY))
    }

    /// A block, the one that it names, and so on; `None` if there is no such block.
    pub(super) fn chain(&self, name: &str) -> Option<Vec<String>> {
        let (mut name, mut parent) = self.parents.get_key_value(name)?;
        let mut chain = vec![name.clone()];
        while let Some(next) = parent
            && chain.len() < CONFIG_APIS_DEPTH_MAX
            && let Some(known) = self.parents.get_key_value(next)
        {
            (name, parent) = known;
            chain.push(name.clone());
        }
        Some(chain)
    }
}

/// Writes what sources share into the sources of all files.
pub(super) fn spread(files: &mut [ReadFile]) -> (Apis, Vec<Finding>) {
    let blocks = Blocks::of(files);
    let parents = blocks.apis.iter().map(|(name, block)| (name.clone(), api_of(block)));
    let budgets = blocks.apis.iter().map(|(name, block)| {
        let own = block.iter().filter(|(key, _)| BUDGET.contains(&key.name.as_str()));
        (name.clone(), own.cloned().collect())
    });
    let apis = Apis { parents: parents.collect(), budgets: budgets.collect() };
    let mut findings = circles(&blocks);
    if blocks.is_empty() {
        return (apis, findings);
    }
    let mut nodes_left = CONFIG_SHARED_NODES_MAX;
    for file in files {
        let Some(Value::Map(entries)) = file.root.as_mut().map(|root| &mut root.value) else {
            continue;
        };
        let Some((_, sources)) = entries.iter_mut().find(|(key, _)| key.name == "sources") else {
            continue;
        };
        let place = sources.place;
        let Value::Map(sources) = &mut sources.value else { continue };
        for (_, source) in sources {
            if blocks.fill(source, &apis, &mut nodes_left).is_none() {
                let sentence = "what these sources share comes to too many values";
                findings.push(Finding::error(place, sentence));
                return (apis, findings);
            }
        }
    }
    (apis, findings)
}

/// What is shared, as it was written.
struct Blocks {
    defaults: Entries,
    apis: HashMap<String, Entries>,
    /// The names in `apis`, in order.
    names: Vec<String>,
}

impl Blocks {
    /// Of a name that stands twice, which is an error, the first counts.
    fn of(files: &[ReadFile]) -> Self {
        let mut blocks = Self { defaults: Vec::new(), apis: HashMap::new(), names: Vec::new() };
        let mut seen_defaults = false;
        for root in files.iter().filter_map(|file| file.root.as_ref()) {
            if let Some(defaults) = map_under(root, "defaults")
                && !std::mem::replace(&mut seen_defaults, true)
            {
                blocks.defaults.clone_from(defaults);
            }
            for (key, node) in map_under(root, "apis").into_iter().flatten() {
                if !blocks.apis.contains_key(&key.name) {
                    let entries = entries_of(node).cloned().unwrap_or_default();
                    blocks.apis.insert(key.name.clone(), entries);
                    blocks.names.push(key.name.clone());
                }
            }
        }
        blocks
    }

    fn is_empty(&self) -> bool {
        self.defaults.is_empty() && self.apis.is_empty()
    }

    /// Fills up one source; `None` when all of them have become too many.
    fn fill(&self, source: &mut Node, apis: &Apis, nodes_left: &mut usize) -> Option<()> {
        if source.value == Value::Null {
            source.value = Value::Map(Vec::new());
        }
        let Value::Map(own) = &mut source.value else { return Some(()) };
        let api = api_of(own).or_else(|| api_of(&self.defaults));
        // Budgets of an API are its own; the default is for sources without any.
        let mut barred: Vec<&str> = BUDGET.to_vec();
        let mut is_shared = false;
        for name in api.and_then(|api| apis.chain(&api)).unwrap_or_default() {
            if let Some(block) = self.apis.get(&name) {
                is_shared |= block.iter().any(|(key, _)| BUDGET.contains(&key.name.as_str()));
                fill_up(own, block, &barred, nodes_left)?;
            }
        }
        if !is_shared {
            barred.clear();
        }
        fill_up(own, &self.defaults, &barred, nodes_left)
    }
}

/// Adds what a source does not say itself.
fn fill_up(
    own: &mut Entries,
    block: &Entries,
    barred: &[&str],
    nodes_left: &mut usize,
) -> Option<()> {
    // When to ask is said in one of two ways, and the nearer word counts.
    let is_timed = own.iter().any(|(key, _)| TIMES.contains(&key.name.as_str()));
    for (key, node) in block {
        let name = key.name.as_str();
        if barred.contains(&name) || (is_timed && TIMES.contains(&name)) {
            continue;
        }
        if keys::SOURCE.iter().any(|known| known.name == key.name && known.own) {
            continue;
        }
        match own.iter_mut().find(|(known, _)| known.name == key.name) {
            None => {
                spend(node, nodes_left)?;
                own.push((key.clone(), node.clone()));
            }
            Some((_, theirs)) if ["headers", "query"].contains(&key.name.as_str()) => {
                if let (Value::Map(theirs), Value::Map(more)) = (&mut theirs.value, &node.value) {
                    merge(theirs, more, key.name == "headers", nodes_left)?;
                }
            }
            Some(_) => {}
        }
    }
    Some(())
}

/// Adds the names that are not there yet. The names of headers are the same in any case.
fn merge(own: &mut Entries, more: &Entries, any_case: bool, nodes_left: &mut usize) -> Option<()> {
    let name = |key: &Key| if any_case { key.name.to_ascii_lowercase() } else { key.name.clone() };
    let known: HashSet<String> = own.iter().map(|(key, _)| name(key)).collect();
    for (key, node) in more.iter().filter(|(key, _)| !known.contains(&name(key))) {
        spend(node, nodes_left)?;
        own.push((key.clone(), node.clone()));
    }
    Some(())
}

fn spend(node: &Node, nodes_left: &mut usize) -> Option<()> {
    *nodes_left = nodes_left.checked_sub(1)?;
    match &node.value {
        Value::List(nodes) => nodes.iter().try_for_each(|node| spend(node, nodes_left)),
        Value::Map(entries) => entries.iter().try_for_each(|(_, node)| spend(node, nodes_left)),
        _ => Some(()),
    }
}

/// Blocks that name each other in a circle, or too many one after the other; each is told once.
fn circles(blocks: &Blocks) -> Vec<Finding> {
    let (mut findings, mut done) = (Vec::new(), HashSet::new());
    for first in &blocks.names {
        let (mut path, mut on_path) = (Vec::new(), HashSet::new());
        let mut name = first.clone();
        while !done.contains(&name)
            && let Some(block) = blocks.apis.get(&name)
        {
            on_path.insert(name.clone());
            path.push(name);
            let Some((next, place)) = api_and_place(block) else { break };
            if on_path.contains(&next) {
                findings.push(circle(&path, &next, place));
                break;
            }
            if path.len() == CONFIG_APIS_DEPTH_MAX {
                let sentence = format!(
                    "more than {CONFIG_APIS_DEPTH_MAX} blocks of `apis` each name the next"
                );
                findings.push(Finding::error(place, sentence));
                break;
            }
            name = next;
        }
        done.extend(path);
    }
    findings
}

fn circle(path: &[String], next: &str, place: Place) -> Finding {
    let round: Vec<_> = path.iter().skip_while(|name| *name != next).map(String::as_str).collect();
    let sentence = match round.as_slice() {
        [_] => String::from("this block of `apis` names itself"),
        round => {
            format!("these blocks of `apis` name each other in a circle: {}", round.join(", "))
        }
    };
    Finding::error(place, sentence).hint("take one `api` of them away")
}

fn api_of(block: &Entries) -> Option<String> {
    api_and_place(block).map(|(name, _)| name)
}

/// The block that a map names, and where.
fn api_and_place(block: &Entries) -> Option<(String, Place)> {
    let (_, node) = block.iter().find(|(key, _)| key.name == "api")?;
    Some((node.text()?.to_owned(), node.place))
}

fn map_under<'n>(root: &'n Node, name: &str) -> Option<&'n Entries> {
    let (_, node) = entries_of(root)?.iter().find(|(key, _)| key.name == name)?;
    entries_of(node)
}

fn entries_of(node: &Node) -> Option<&Entries> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}
