//! Items and keys by reading the document, and the words for what is wrong with it.

use std::borrow::Cow;

use crate::core::extract::{Listing, Piece, Shape, key_part};
use crate::core::fault::Fault;
use crate::core::jq::Expression;
use crate::core::json::{self, JsonFault, Value, kind};

/// Names of the document that a fault lists.
const NAMES_MAX: usize = 6;
/// Characters of a name that a fault shows.
const NAME_CHARACTERS_MAX: usize = 40;

/// The items, with their values.
///
/// # Errors
/// A fault that says what stands where the list should be.
pub(super) fn listing<'a>(text: &str, items: Option<&Expression>) -> Result<Listing<'a>, Fault> {
    let document = json::read(text).map_err(|fault| Fault::source(fault.code, fault.sentence))?;
    let Some(items) = items else {
        return match document {
            Value::Arr(values) => list(values.iter().cloned()),
            Value::Obj(_) => Ok(Listing { shape: Shape::Object, items: vec![piece(document)?] }),
            other => {
                let found = kind(&other);
                let sentence = format!("the answer is {found}, neither a list nor an object");
                Err(Fault::source("no_list", sentence))
            }
        };
    };
    let outputs =
        items.each(&document).map_err(|fault| no_list(items, &document, &format!("{fault}; ")))?;
    match <[Value; 1]>::try_from(outputs) {
        Ok([Value::Arr(values)]) => list(values.iter().cloned()),
        Ok([output]) if is_item(&output) => list([output]),
        Ok([output]) => Err(no_list(items, &document, &format!("found {}; ", kind(&output)))),
        Err(outputs) => match outputs.iter().find(|output| !is_item(output)) {
            Some(output) => {
                Err(no_list(items, &document, &format!("found {} among others; ", kind(output))))
            }
            None => list(outputs),
        },
    }
}

/// An item's key.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with the item.
pub(super) fn key(piece: &Piece<'_>, key: &[Expression]) -> Result<String, JsonFault> {
    let read = || json::read(&piece.raw).map(Cow::Owned);
    let value = piece.value.as_ref().map_or_else(read, |value| Ok(Cow::Borrowed(value)));
    let value = value.map_err(|fault| {
        JsonFault::new(fault.code, format!("cannot be read: {}", fault.sentence))
    })?;
    let mut parts = Vec::new();
    for part in key {
        let at = short(part.text());
        let found = part.one(&value).map_err(|fault| {
            JsonFault::new("no_key", format!("has no key at {at}: {}", fault.sentence))
        })?;
        let part = key_part(&found).ok_or_else(|| {
            let found =
                if json::as_text(&found) == Some("") { "an empty string" } else { kind(&found) };
            JsonFault::new("no_key", format!("has no key at {at}: found {found}"))
        })?;
        parts.push(part.into_owned());
    }
    Ok(parts.join("/"))
}

fn list<'a>(values: impl IntoIterator<Item = Value>) -> Result<Listing<'a>, Fault> {
    let items = values.into_iter().map(piece).collect::<Result<_, _>>()?;
    Ok(Listing { shape: Shape::List, items })
}

fn piece<'a>(value: Value) -> Result<Piece<'a>, Fault> {
    let text = json::compact(&value)
        .map_err(|fault| Fault::source("items", format!("`items`: {}", fault.sentence)))?;
    Ok(Piece { raw: Cow::Owned(text.as_str().to_owned()), value: Some(value) })
}

/// Whether one of several outputs can be an item. A plain value cannot: it is far more often a path that leads too far.
fn is_item(value: &Value) -> bool {
    matches!(value, Value::Obj(_) | Value::Arr(_))
}

fn no_list(items: &Expression, document: &Value, found: &str) -> Fault {
    let at = short(items.text());
    Fault::source("no_list", format!("no list at {at}: {found}{}", describe(document)))
}

/// What a document looks like from outside: the names at its top level, and nothing of its content.
fn describe(document: &Value) -> String {
    match document {
        Value::Obj(map) if map.is_empty() => "the answer is an empty object".to_owned(),
        Value::Obj(map) => {
            let names = map.keys().take(NAMES_MAX);
            let names: Vec<_> = names
                .map(|name| format!("{:?}", short(json::as_text(name).unwrap_or("?"))))
                .collect();
            let more = if map.len() > NAMES_MAX { " and more" } else { "" };
            format!("the answer has {}{more} at its top level", names.join(", "))
        }
        other => format!("the answer is {}", kind(other)),
    }
}

/// A name or expression of bounded length.
fn short(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(NAME_CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
