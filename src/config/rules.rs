//! `events` of a source: which events a change makes.

use crate::config::keys;
use crate::config::report::Flaw;
use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;
use crate::core::diff::ChangeKind;
use crate::core::event::{EventRule, EventRules};
use crate::core::ids::SourceName;

const ANY_CHANGE: [ChangeKind; 3] = [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted];

/// Reads the rules of a source.
pub(super) fn read<'a>(
    walk: &mut Walk<'a>,
    source: &SourceName,
    node: &'a Node,
) -> Option<EventRules> {
    let rules = walk.each(node, |walk, node| match &node.value {
        Value::Map(_) => rule(walk, node).map(|rule| vec![rule]),
        Value::Text(_) | Value::Filled(_) => {
            walk.word(node, keys::RULE_WORDS)?;
            Some(EventRules::default_rules(source))
        }
        _ => {
            let table = keys::Shape::Map(keys::RULE);
            walk.unexpected(node, &table)
        }
    })?;
    Some(EventRules::of(source, rules.into_iter().flatten().collect()))
}

fn rule<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<EventRule> {
    let fields = walk.fields(node, keys::RULE, node.place)?;
    let event_type = fields.need("type", |node| event_type(walk, node));
    let on = fields.or("on", ANY_CHANGE.to_vec(), |node| walk.each(node, change_kind));
    let changed = fields.or("changed", Vec::new(), |node| walk.each(node, Walk::expression));
    let when = fields.or("when", None, |node| walk.expression(node).map(Some));
    let data = fields.or("data", None, |node| walk.expression(node).map(Some));
    Some(EventRule {
        event_type: event_type?,
        on: on?,
        changed: changed?,
        when: when?,
        data: data?,
    })
}

fn change_kind<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<ChangeKind> {
    match walk.word(node, keys::CHANGES)? {
        "created" => Some(ChangeKind::Created),
        "updated" => Some(ChangeKind::Updated),
        "deleted" => Some(ChangeKind::Deleted),
        "ended" => Some(ChangeKind::Ended),
        _ => None,
    }
}

fn event_type<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<String> {
    let text = walk.text(node)?;
    let flaw = if text == "doorbell" || text.starts_with("doorbell.") {
        Flaw::new("types that begin with `doorbell.` are doorbell's own", "choose another name")
    } else if let Some(at) = text.find(|c: char| !is_type_character(c)) {
        let hint = "letters, digits, `_`, `-` and `.`, such as `ticket.created`";
        Flaw::new("this is not an event type", hint).at(at..at + 1)
    } else {
        return Some(text.to_owned());
    };
    walk.flaw(node, "an event type", &flaw)
}

/// What event types are made of.
pub(super) fn is_type_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')
}
