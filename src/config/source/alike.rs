//! Sources that say the same as one before them, but for name and URL: of very many, most do. What was found to be valid
//! once need not be read again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::report::Report;
use crate::config::tree::{Key, Node, Value};
use crate::config::walk::Walk;
use crate::core::ids::SourceName;
use crate::core::source::{Common, Source};

/// How many that say different things are remembered: each new one is compared with all of them.
const LATELY_MAX: usize = 8;
/// What becomes a part of the URL or goes by the source's name, and what is looked at beside where it stands.
const OWN: [&str; 7] = ["query", "limit", "concurrency", "events", "for_each", "was", "sweep"];

/// What was read lately.
#[derive(Debug, Default)]
pub(in crate::config) struct Lately<'a>(VecDeque<Known<'a>>);

/// What a source says, and what that comes to.
type Known<'a> = (&'a [(Key, Node)], Arc<Common>);

impl<'a> Lately<'a> {
    /// Remembers a source that was read, if others may be like it.
    pub(super) fn remember(&mut self, node: &'a Node, source: &Source, report: &Report) {
        let Value::Map(entries) = &node.value else { return };
        let is_common = |(key, node): &(Key, Node)| {
            !OWN.contains(&key.name.as_str()) && (key.name != "url" || is_plain(node))
        };
        // One finding, and all are read anew.
        if report.is_quick && report.findings.is_empty() && entries.iter().all(is_common) {
            self.0.truncate(LATELY_MAX - 1);
            self.0.push_front((entries, Arc::clone(&source.common)));
        }
    }

    fn find(&mut self, entries: &[(Key, Node)]) -> Option<Arc<Common>> {
        let is_alike = |known: &[(Key, Node)]| {
            let mut pairs = known.iter().zip(entries);
            known.len() == entries.len()
                && pairs.all(|((known_key, known), (key, node))| {
                    known_key.name == key.name && (key.name == "url" || known.says_the_same(node))
                })
        };
        let place = self.0.iter().position(|(known, _)| is_alike(known))?;
        // Those that come again and again stay in front.
        self.0.swap(0, place);
        self.0.front().map(|(_, common)| Arc::clone(common))
    }
}

/// Reads a source that says the same as one lately; `None` if there is none, or if its URL needs a closer look.
pub(super) fn read<'a>(walk: &mut Walk<'a>, name: &SourceName, node: &'a Node) -> Option<Source> {
    let Value::Map(entries) = &node.value else { return None };
    let common = walk.lately.find(entries)?;
    let url = entries.iter().find(|(key, _)| key.name == "url").map(|(_, url)| url);
    let url = url.filter(|url| is_plain(url))?;
    let found_before = walk.report.findings.len();
    let address = walk.address(url, Some(Vec::new()));
    let is_faultless = walk.report.findings.len() == found_before;
    walk.report.findings.truncate(found_before);
    Some(Source::new(name.clone(), address.filter(|_| is_faultless)?, common))
}

/// Text as it was typed, without templates.
fn is_plain(url: &Node) -> bool {
    matches!(&url.value, Value::Text(text) if !text.contains("{{"))
}
