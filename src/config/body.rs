//! The body of a source's requests: text as it is, everything else as compact JSON with its key order and numbers kept.
//! The body that an endpoint wants: a text is jq over the envelope, a map or list a JSON tree with templates over it.

use bytes::Bytes;

use crate::config::mask::Showing;
use crate::config::template::{Input, is_template};
use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;
use crate::core::auth::names_a_credential;
use crate::core::endpoint::Reshaping;
use crate::core::json::quoted;
use crate::core::secret::Secret;
use crate::core::template::{self, Body};

/// Reads a body.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Body> {
    Some(match &node.value {
        Value::Text(_) | Value::Filled(_) if is_template(node) => Body::Text(walk.template(node)?),
        Value::Text(text) => Body::Fixed(Bytes::from(text.clone())),
        Value::Filled(filled) => {
            walk.report.filled_in(node);
            Body::Fixed(Bytes::from(filled.value.clone()))
        }
        _ => match tree(walk, node, Input::Words)? {
            template::Node::Fixed(json) => Body::Fixed(Bytes::from(json)),
            tree => Body::Json(tree),
        },
    })
}

/// Reads what an endpoint gets in place of the envelope.
pub(super) fn reshaping<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Reshaping> {
    if node.text().is_none() {
        return tree(walk, node, Input::Envelope).map(Reshaping::Template);
    }
    // jq has to be seen to be mended; what is filled in is not.
    walk.report.reveal(node, Showing::Whole);
    filled_in(walk, node);
    if node.typed().is_some_and(|typed| typed.trim_start().starts_with("{{")) {
        let hint = "write the jq alone, such as `.data`; templates stand in a map: `{summary: \"{{.type}}\"}`";
        return walk.report.wrong(node, "a text here is jq, without `{{` around it", hint);
    }
    walk.expression(node).map(Reshaping::Jq)
}

/// Remembers what is filled in as secret, also as it stands in JSON: it is kept with every delivery.
fn filled_in(walk: &mut Walk<'_>, node: &Node) {
    walk.report.filled_in(node);
    for piece in node.pieces() {
        let quoted = quoted(piece);
        let escaped = quoted.trim_start_matches('"').trim_end_matches('"');
        if escaped != piece && !escaped.is_empty() {
            walk.report.secrets.push(Secret::new(escaped));
        }
    }
}

/// A value of a JSON body. One without templates is text already.
pub(super) fn tree<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    input: Input,
) -> Option<template::Node> {
    let fixed = match &node.value {
        Value::Null => String::from("null"),
        Value::Bool(word) => word.to_string(),
        Value::Number(number) if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
            number.clone()
        }
        Value::Number(_) => {
            let hint = "quote it if it is text";
            return walk.report.wrong(node, "JSON writes this number differently", hint);
        }
        Value::Text(_) | Value::Filled(_) if is_template(node) => {
            filled_in(walk, node);
            return walk.template_over(node, input).map(template::Node::Template);
        }
        Value::Text(_) | Value::Filled(_) => {
            filled_in(walk, node);
            quoted(node.text().unwrap_or_default())
        }
        Value::Unfilled => return None,
        Value::List(nodes) => return list(walk, nodes, input),
        Value::Map(entries) => {
            let mut named = Vec::with_capacity(entries.len());
            let mut complete = Some(());
            for (key, node) in entries {
                if key.name.contains("{{") {
                    walk.no_template_in_name(key.place);
                    complete = None;
                }
                if input == Input::Envelope && is_credential(&key.name, node) {
                    walk.report.secret(node);
                }
                match tree(walk, node, input) {
                    Some(value) => named.push((key.name.clone(), value)),
                    None => complete = None,
                }
            }
            return complete.map(|()| map(named));
        }
    };
    Some(template::Node::Fixed(fixed))
}

/// Whether a text among what an endpoint is sent is a credential, as far as one can tell: a short one, or one under
/// `key`, may be any word of the language.
fn is_credential(name: &str, node: &Node) -> bool {
    const CHARS_MIN: usize = 12;
    let is_long = node.text().is_some_and(|text| text.len() >= CHARS_MIN && !text.contains(' '));
    is_long && name != "key" && names_a_credential(name) && !is_template(node)
}

fn list<'a>(walk: &mut Walk<'a>, nodes: &'a [Node], input: Input) -> Option<template::Node> {
    // Every element is looked at, whatever was wrong with those before it.
    let elements: Vec<Option<template::Node>> =
        nodes.iter().map(|node| tree(walk, node, input)).collect();
    let elements: Vec<template::Node> = elements.into_iter().collect::<Option<_>>()?;
    let fixed: Option<Vec<&str>> = elements.iter().map(as_fixed).collect();
    let fixed = fixed.map(|fixed| format!("[{}]", fixed.join(",")));
    Some(fixed.map_or(template::Node::List(elements), template::Node::Fixed))
}

fn map(entries: Vec<(String, template::Node)>) -> template::Node {
    let entry = |(name, node): &(String, template::Node)| {
        as_fixed(node).map(|json| format!("{}:{json}", quoted(name)))
    };
    let fixed: Option<Vec<String>> = entries.iter().map(entry).collect();
    let fixed = fixed.map(|fixed| format!("{{{}}}", fixed.join(",")));
    fixed.map_or(template::Node::Map(entries), template::Node::Fixed)
}

fn as_fixed(node: &template::Node) -> Option<&str> {
    match node {
        template::Node::Fixed(json) => Some(json),
        _ => None,
    }
}
