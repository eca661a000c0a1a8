//! The body of a source's requests: text as it is, everything else as compact JSON with its key order and numbers kept.

use bytes::Bytes;

use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;

/// Reads a body.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Bytes> {
    let mut json = String::new();
    match &node.value {
        Value::Text(text) => {
            walk.no_template(node)?;
            json.push_str(text);
        }
        Value::Filled(filled) => {
            walk.no_template(node)?;
            walk.report.filled_in(node);
            json.push_str(&filled.value);
        }
        _ => write(walk, node, &mut json)?,
    }
    Some(Bytes::from(json))
}

fn write<'a>(walk: &mut Walk<'a>, node: &'a Node, json: &mut String) -> Option<()> {
    match &node.value {
        Value::Null => json.push_str("null"),
        Value::Bool(true) => json.push_str("true"),
        Value::Bool(false) => json.push_str("false"),
        Value::Number(number) if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
            json.push_str(number);
        }
        Value::Number(_) => {
            let hint = "quote it if it is text";
            return walk.report.wrong(node, "JSON writes this number differently", hint);
        }
        Value::Text(_) | Value::Filled(_) => {
            walk.no_template(node)?;
            walk.report.filled_in(node);
            json.push_str(&quoted(node.text().unwrap_or_default()));
        }
        Value::Unfilled => return None,
        Value::List(nodes) => return write_list(walk, nodes, json),
        Value::Map(entries) => {
            let mut complete = Some(());
            json.push('{');
            for (index, (key, node)) in entries.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                json.push_str(comma);
                json.push_str(&quoted(&key.name));
                json.push(':');
                complete = write(walk, node, json).and(complete);
            }
            json.push('}');
            return complete;
        }
    }
    Some(())
}

fn write_list<'a>(walk: &mut Walk<'a>, nodes: &'a [Node], json: &mut String) -> Option<()> {
    let mut complete = Some(());
    json.push('[');
    for (index, node) in nodes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        json.push_str(comma);
        // Every element is looked at, whatever was wrong with those before it.
        complete = write(walk, node, json).and(complete);
    }
    json.push(']');
    complete
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
