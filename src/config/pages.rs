//! `pages` of a source: how its listing goes on.

use crate::config::keys;
use crate::config::report::{Finding, Flaw};
use crate::config::tree::{Node, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::limits::PAGES_MAX;
use crate::core::pages::{Cursor, Number, Offset, Pages, Size};
use crate::core::source::Source;

/// The keys that say how, of which exactly one stands there, each with those that may stand beside it and `max`.
const STYLES: [(&str, &[&str]); 6] = [
    ("link", &[]),
    ("next", &[]),
    ("next_url", &[]),
    ("cursor", &["param"]),
    ("page", &["start", "size", "last"]),
    ("offset", &["start", "limit", "total"]),
];

/// Reads `link`, or a map.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Pages> {
    let Value::Map(_) = node.value else {
        walk.word(node, keys::PAGES_WORDS)?;
        return Some(Pages::Link { pages_max: PAGES_MAX });
    };
    let fields = walk.fields(node, keys::PAGES, node.place)?;
    let pages_max = fields.or("max", PAGES_MAX, |node| walk.count(node, keys::PAGES, "max"));
    let style = style(walk, &fields, node)?;
    let pages = match style {
        "link" => Some(Pages::Link { pages_max: pages_max? }),
        "next" => {
            let next = fields.need("next", |node| walk.expression(node));
            Some(Pages::General { next: next?, pages_max: pages_max? })
        }
        "next_url" => {
            let next_url = fields.need("next_url", |node| walk.expression(node));
            Some(Pages::NextUrl { next_url: next_url?, pages_max: pages_max? })
        }
        "cursor" => {
            let cursor = cursor(walk, &fields, node);
            Some(Pages::Cursor { cursor: cursor?, pages_max: pages_max? })
        }
        "page" => {
            let number = number(walk, &fields);
            Some(Pages::Number { number: number?, pages_max: pages_max? })
        }
        _ => {
            let offset = offset(walk, &fields);
            Some(Pages::Offset { offset: offset?, pages_max: pages_max? })
        }
    };
    pages.filter(|_| is_whole(node, &fields))
}

/// Notes a `next` of which nothing is made: every page would be the first one again.
pub(super) fn check_use(walk: &mut Walk<'_>, source: &Source, pages: Option<&Node>) {
    let (Some(pages), Pages::General { .. }) = (pages, &source.pages) else { return };
    if !source.uses("page") {
        let sentence = "`next` gives what `{{page}}` is, but nothing in the request uses it";
        let hint = "put `{{page}}` into `url`, `query`, `headers` or `body`";
        walk.report.add(Finding::error(pages.place, sentence).hint(hint));
    }
}

/// Whether nothing unknown stands in the map; what does has been noted.
fn is_whole(node: &Node, fields: &Fields<'_>) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.len() == fields.count())
}

/// The one style that is meant. What belongs to another one is noted.
fn style(walk: &mut Walk<'_>, fields: &Fields<'_>, node: &Node) -> Option<&'static str> {
    let given: Vec<_> = STYLES.iter().filter(|(name, _)| fields.has(name)).collect();
    let [(style, companions)] = given.as_slice() else {
        let names: Vec<_> = given.iter().map(|(name, _)| format!("`{name}`")).collect();
        let sentence = if names.is_empty() {
            // A misspelt one has been noted already.
            if !is_whole(node, fields) {
                return None;
            }
            String::from("`pages` does not say how the listing goes on")
        } else {
            format!("`pages` goes on in one way, but here are {}", names.join(" and "))
        };
        let hint = "one of `link`, `next`, `next_url`, `cursor`, `page` and `offset`";
        walk.report.add(Finding::error(node.place, sentence).hint(hint));
        return None;
    };
    let mut fits = true;
    for (other, theirs) in STYLES {
        for name in theirs.iter().filter(|name| !companions.contains(name)) {
            if let Some(stray) = fields.get(name).filter(|_| other != *style) {
                // `start` belongs to two styles and is told once.
                if other == "offset" && *name == "start" {
                    continue;
                }
                let sentence = format!("`{name}` belongs to `{other}`, but here is `{style}`");
                walk.report.add(Finding::error(stray.place, sentence).hint("take it away"));
                fits = false;
            }
        }
    }
    fits.then_some(*style)
}

fn cursor<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>, node: &Node) -> Option<Cursor> {
    let cursor = fields.need("cursor", |node| walk.expression(node));
    if !fields.has("param") {
        let sentence = "`cursor` needs `param`, the query parameter that takes the token";
        let hint =
            "where the token goes elsewhere, use `next` instead, and `{{page}}` in that place";
        walk.report.add(Finding::error(node.place, sentence).hint(hint));
        return None;
    }
    let param = fields.need("param", |node| param(walk, node));
    Some(Cursor { cursor: cursor?, param: param? })
}

fn number<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Option<Number> {
    let param = fields.need("page", |node| param(walk, node));
    let start = fields.or("start", 1, |node| walk.count(node, keys::PAGES, "start"));
    let size = fields.or("size", None, |node| size(walk, node).map(Some));
    let last = fields.or("last", None, |node| walk.expression(node).map(Some));
    Some(Number { param: param?, start: start? as u64, size: size?, last: last? })
}

fn offset<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Option<Offset> {
    let param = fields.need("offset", |node| param(walk, node));
    let start = fields.or("start", 0, |node| walk.count(node, keys::PAGES, "start"));
    let limit = fields.or("limit", None, |node| size(walk, node).map(Some));
    let total = fields.or("total", None, |node| walk.expression(node).map(Some));
    Some(Offset { param: param?, start: start? as u64, limit: limit?, total: total? })
}

/// The name of a query parameter. jq in its place is a mix-up: the short forms put the value there themselves.
fn param<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<String> {
    let text = walk.text(node)?;
    if text.starts_with('.') || text.contains("{{") || text.contains(char::is_whitespace) {
        let flaw = Flaw::new("this is not the name of a query parameter", "such as `page`");
        return walk.flaw(node, "a parameter's name", &flaw);
    }
    Some(text.to_owned())
}

/// `{PARAM: n}`.
fn size<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Size> {
    let Value::Map(entries) = &node.value else { return None };
    let [(key, value)] = entries.as_slice() else {
        return walk.report.wrong(
            node,
            "exactly one parameter belongs here",
            "such as `{per_page: 100}`",
        );
    };
    match value.text().and_then(|text| text.parse().ok()) {
        Some(count @ 1..) => Some(Size { param: key.name.clone(), count }),
        _ => walk.report.wrong(value, "this is not a number of items", "such as `{per_page: 100}`"),
    }
}
