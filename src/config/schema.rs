//! JSON Schema of `sources.yaml`, for editors: made from the same tables as the checks.

use serde_json::{Map, Value, json};

use crate::config::keys::{Key, Shape, TOP, Table, Words};
use crate::config::tree;

/// What may stand in for any scalar.
const FILLED: &str = r"\$\{[^}]+\}";

/// The schema, draft 2020-12. Only what this version supports is in it.
pub(crate) fn schema() -> Value {
    let mut schema = map(TOP);
    schema.insert(String::from("$schema"), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert(String::from("title"), json!("doorbell sources.yaml"));
    Value::Object(schema)
}

fn map(table: Table) -> Map<String, Value> {
    let mut schema = part(table, |_| true);
    let required = table.iter().filter(|key| key.supported && key.required);
    let required: Vec<_> = required.map(|key| key.name).collect();
    if !required.is_empty() {
        schema.insert(String::from("required"), json!(required));
    }
    schema
}

/// A map with some of the keys, none of them required.
fn part(table: Table, belongs: fn(&Key) -> bool) -> Map<String, Value> {
    let supported = || table.iter().filter(|key| key.supported && belongs(key));
    let properties: Map<_, _> =
        supported().map(|key| (key.name.to_owned(), property(key))).collect();
    object(&json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    }))
}

/// Names of the person's own choice.
fn named(each: &Map<String, Value>) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z0-9_.-]+$"},
        "additionalProperties": each,
    })
}

fn property(key: &Key) -> Value {
    let mut schema = object(&of_shape(&key.shape));
    schema.insert(String::from("description"), json!(key.doc));
    if let Some(default) = typed(key.default) {
        schema.insert(String::from("default"), default);
    }
    if let Some(example) = typed(key.example) {
        schema.insert(String::from("examples"), json!([example]));
    }
    Value::Object(schema)
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": ["string", "number"]}),
        Shape::Address => pattern(r"(https?://.+|\{\{.+\}\})"),
        Shape::Receiver => pattern("(https?://.+|stdout:)"),
        Shape::Duration => pattern(DURATION),
        Shape::Interval => pattern(&format!(r"{DURATION}(\.\.{DURATION})?")),
        Shape::Size => pattern("[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)"),
        Shape::Rate => pattern("[0-9]+/([0-9]*(ms|s|m|h|d))+"),
        Shape::Count { min, max } => {
            let mut number = json!({"type": "integer", "minimum": min});
            if *max != usize::MAX
                && let Some(number) = number.as_object_mut()
            {
                number.insert(String::from("maximum"), json!(max));
            }
            json!({"anyOf": [number, {"type": "string", "pattern": FILLED}]})
        }
        Shape::Yes => json!({"const": true}),
        Shape::Flag => json!({"anyOf": [
            {"type": "boolean"},
            {"type": "string", "pattern": FILLED},
        ]}),
        Shape::Expression => json!({"type": ["string", "number"], "minLength": 1}),
        Shape::Word(words) => words_of(words),
        Shape::Anything => json!({}),
        Shape::Tree => json!({"type": ["object", "array"]}),
        Shape::List(shape) => json!({"type": "array", "items": of_shape(shape), "minItems": 1}),
        Shape::OneOrList(shape) => {
            let one = of_shape(shape);
            json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
        }
        Shape::Map(table) => Value::Object(map(table)),
        Shape::Part(table) => Value::Object(part(table, |key| !key.own)),
        Shape::Named(table) => named(&map(table)),
        Shape::NamedPart(table) => named(&part(table, |key| !key.own)),
        Shape::Pairs { lists } => {
            let scalar = json!({"type": ["string", "number", "boolean"]});
            let many =
                json!({"anyOf": [scalar, {"type": "null"}, {"type": "array", "items": scalar}]});
            json!({"type": "object", "additionalProperties": if *lists { many } else { scalar }})
        }
        Shape::Either(shapes) => {
            let supported = shapes.iter().filter(|shape| !shape.expected().is_empty());
            json!({"anyOf": supported.map(of_shape).collect::<Vec<_>>()})
        }
    }
}

/// In a pattern: `1h30m`, `30s`.
const DURATION: &str = "([0-9]+(d|h|ms|m|s) ?)+";

fn pattern(whole: &str) -> Value {
    json!({"type": "string", "pattern": format!("^{whole}$|{FILLED}")})
}

fn words_of(words: Words) -> Value {
    let supported = words.iter().filter(|word| word.supported).map(|word| word.text);
    json!({"anyOf": [
        {"enum": supported.collect::<Vec<_>>()},
        {"type": "string", "pattern": FILLED},
    ]})
}

/// A default or example of the tables as a JSON value; `None` when there is none.
fn typed(text: &str) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    tree::parse(0, text).root.map(|node| json_of(&node.value))
}

fn json_of(value: &tree::Value) -> Value {
    match value {
        tree::Value::Null | tree::Value::Unfilled => Value::Null,
        tree::Value::Bool(word) => json!(word),
        tree::Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        tree::Value::Text(text) => json!(text),
        tree::Value::Filled(filled) => json!(filled.typed),
        tree::Value::List(nodes) => nodes.iter().map(|node| json_of(&node.value)).collect(),
        tree::Value::Map(entries) => {
            let entries =
                entries.iter().map(|(key, node)| (key.name.clone(), json_of(&node.value)));
            Value::Object(entries.collect())
        }
    }
}
