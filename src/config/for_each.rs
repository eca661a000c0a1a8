//! `for_each` of a source: the entries it is polled for, one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::body;
use crate::config::hint::meant;
use crate::config::keys;
use crate::config::report::{Finding, Report};
use crate::config::template::Input;
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::entries::ForEach;
use crate::core::extract::key_text;
use crate::core::ids::{EntryKey, SourceName};
use crate::core::jq::Expression;
use crate::core::json::{self, JsonText};
use crate::core::limits::KEY_BYTES_MAX;
use crate::core::template;

/// A source that is fed by another one, and where that is said.
#[derive(Debug)]
pub(super) struct Feed {
    fed: SourceName,
    feeding: SourceName,
    place: Place,
}

/// Reads where the entries of a source come from.
pub(super) fn read<'a>(
    walk: &mut Walk<'a>,
    source: &SourceName,
    node: &'a Node,
) -> Option<ForEach> {
    if let Value::List(entries) = &node.value {
        return list(walk, entries, None);
    }
    if node.text() == Some("api") {
        walk.word(node, keys::FOR_EACH_WORDS)?;
        return None;
    }
    let fields = walk.fields(node, keys::FOR_EACH, node.place)?;
    let key = fields.or("key", None, |node| walk.expression(node).map(Some));
    let condition = fields.or("where", None, |node| walk.expression(node).map(Some));
    let feeding = fields.or("source", None, |node| {
        let feeding = SourceName::new(walk.text(node)?);
        let (fed, place) = (source.clone(), node.place);
        walk.feeds.push(Feed { fed, feeding: feeding.clone(), place });
        Some(Some(feeding))
    });
    // What is not supported yet is said already.
    if fields.count() == 0 || fields.has("api") {
        return None;
    }
    match (fields.get("list"), feeding?) {
        (Some(entries), None) if !fields.has("where") => match &entries.value {
            Value::List(entries) => list(walk, entries, key?.as_ref()),
            _ => None,
        },
        (None, Some(name)) if !fields.has("key") => {
            Some(ForEach::Source { name, condition: condition? })
        }
        _ if fields.has("list") && fields.get("list").is_none() => None,
        _ => {
            let hint = "`{list: […], key: .id}` or `{source: NAME, where: .open}`";
            walk.report.wrong(node, "entries come from one list or from one source", hint)
        }
    }
}

fn list<'a>(walk: &mut Walk<'a>, nodes: &'a [Node], key: Option<&Expression>) -> Option<ForEach> {
    let (mut entries, mut complete) = (BTreeMap::new(), true);
    for node in nodes {
        let Some((name, item)) = entry(walk, node, key) else {
            complete = false;
            continue;
        };
        if entries.insert(name, item).is_some() {
            let hint = "each entry stands here once";
            walk.report.wrong::<()>(node, "two entries have the same key", hint);
            complete = false;
        }
    }
    complete.then(|| ForEach::List(Arc::new(entries)))
}

/// An entry's key, and the entry as JSON.
fn entry<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    key: Option<&Expression>,
) -> Option<(EntryKey, JsonText)> {
    let template::Node::Fixed(text) = body::tree(walk, node, Input::Words)? else {
        return walk.report.wrong(node, "an entry cannot hold templates (`{{ … }}`)", "");
    };
    let Ok(value) = json::read(&text) else {
        return walk.report.wrong(node, "this entry is not JSON", "");
    };
    let named = match key {
        Some(key) => key.one(&value).map_err(|fault| fault.sentence),
        None => Ok(value),
    };
    let named = match named {
        Ok(named) => named,
        Err(sentence) => {
            return walk.report.wrong(node, format!("`key` of this entry fails: {sentence}"), "");
        }
    };
    if let Some(name) = key_text(&named).filter(|text| text.len() <= KEY_BYTES_MAX) {
        return Some((EntryKey::new(name), JsonText::trusted(text)));
    }
    let hint = "text or a number; for maps, say what it is: `{list: […], key: .id}`";
    walk.report.wrong(node, "nothing identifies this entry", hint)
}

/// What ends, where there are no entries: the whole source, which is seldom what is meant for a list.
pub(super) fn check_until(walk: &mut Walk<'_>, fields: &Fields<'_>) {
    let Some(node) = fields.get("until").filter(|_| !fields.has("for_each") && fields.has("key"))
    else {
        return;
    };
    let sentence = "without `for_each`, `until` ends the whole source at its first such item";
    walk.report.add(Finding::warning(node.place, sentence));
}

/// Notes feeds that lead nowhere or in a circle.
pub(super) fn check(feeds: &[Feed], sources: &HashMap<String, Place>, report: &mut Report) {
    let feeding: BTreeMap<&SourceName, &SourceName> =
        feeds.iter().map(|feed| (&feed.fed, &feed.feeding)).collect();
    for Feed { fed, feeding: name, place } in feeds {
        if !sources.contains_key(name.as_str()) {
            let near = meant(name.as_str(), sources.keys().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let sentence = "there is no source by this name to take entries from";
            report.add(Finding::error(*place, sentence).hint(hint));
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut at = name;
        while *at != *fed && seen.insert(at) {
            match feeding.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if *at == *fed {
            let sentence =
                "this source would be its own entries: the sources feed each other in a circle";
            report.add(Finding::error(*place, sentence));
        }
    }
}
