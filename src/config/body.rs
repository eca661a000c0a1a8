//! The body of a source's requests: text as it is, everything else as compact JSON with its key order and numbers kept.

use bytes::Bytes;

use crate::config::template::is_template;
use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;
use crate::core::json::quoted;
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
        _ => match tree(walk, node)? {
            template::Node::Fixed(json) => Body::Fixed(Bytes::from(json)),
            tree => Body::Json(tree),
        },
    })
}

/// A value of a JSON body. One without templates is text already.
pub(super) fn tree<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<template::Node> {
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
            return walk.template(node).map(template::Node::Template);
        }
        Value::Text(_) | Value::Filled(_) => {
            walk.report.filled_in(node);
            quoted(node.text().unwrap_or_default())
        }
        Value::Unfilled => return None,
        Value::List(nodes) => return list(walk, nodes),
        Value::Map(entries) => {
            let mut named = Vec::with_capacity(entries.len());
            let mut complete = Some(());
            for (key, node) in entries {
                if key.name.contains("{{") {
                    walk.no_template_in_name(key.place);
                    complete = None;
                }
                match tree(walk, node) {
                    Some(value) => named.push((key.name.clone(), value)),
                    None => complete = None,
                }
            }
            return complete.map(|()| map(named));
        }
    };
    Some(template::Node::Fixed(fixed))
}

fn list<'a>(walk: &mut Walk<'a>, nodes: &'a [Node]) -> Option<template::Node> {
    // Every element is looked at, whatever was wrong with those before it.
    let elements: Vec<Option<template::Node>> = nodes.iter().map(|node| tree(walk, node)).collect();
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
