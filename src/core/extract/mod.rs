//! Response body → items.
//!
//! There are two ways to the same result. [`fast`] cuts the items out of the text without reading them, which is enough
//! for items that have not changed; it serves bare paths and everything that is in order. [`slow`] reads the document
//! and runs the expressions; it serves the rest, and finds the words for what is wrong.

mod fast;
mod slow;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use crate::core::fault::Fault;
use crate::core::ids::ItemKey;
use crate::core::jq::Expression;
use crate::core::json::{self, JsonFault, Value};
use crate::core::limits::{ITEMS_MAX, JSON_DEPTH_MAX, KEY_BYTES_MAX};
use crate::core::snapshot::BodyHash;

/// Faults of single items that one page tells in full; the rest is counted.
const ITEM_FAULTS_MAX: usize = 100;

/// What kind of document a source answers. A source whose answers change from one to the other is faulty, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any number of items.
    List,
    /// The document is the one item.
    Object,
}

/// The items of one page, in the order they came.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<'a> {
    pub(crate) shape: Shape,
    pub(crate) items: Vec<Found<'a>>,
    /// Items that could not be used (no key, an error of `key`): each names its position. They make the listing partial.
    pub(crate) faults: Vec<Fault>,
    /// How many items the page holds, usable or not.
    pub(crate) count: usize,
}

impl Page<'_> {
    /// A hash of the keys, by which a page that comes again is known whatever else stands in it; none without any.
    pub(crate) fn keys_hash(&self, seed: u64) -> Option<BodyHash> {
        let mut keys = String::new();
        for found in &self.items {
            keys.push_str(found.key.as_str());
            keys.push('\n');
        }
        (!self.items.is_empty()).then(|| BodyHash::of(keys.as_bytes(), seed))
    }
}

/// One item as it came.
#[derive(Debug, PartialEq)]
pub(crate) struct Found<'a> {
    pub(crate) key: ItemKey,
    /// A slice of the body where `items` is a bare path, else what the expression made of it.
    pub(crate) raw: Cow<'a, str>,
}

/// What `items` found, before the keys are read.
struct Listing<'a> {
    shape: Shape,
    items: Vec<Piece<'a>>,
}

/// One item; its value is there if it had to be read anyway.
struct Piece<'a> {
    raw: Cow<'a, str>,
    value: Option<Value>,
}

/// Finds the items of a page. `items` absent: the document itself. `key` empty: a single object with the empty key.
///
/// # Errors
/// A fault of the source when the body is not JSON, too deep, not UTF-8, holds no list where `items` says, or is a list
/// without `key`.
pub(crate) fn page<'a>(
    body: &'a [u8],
    items: Option<&Expression>,
    key: &[Expression],
) -> Result<Page<'a>, Fault> {
    let text = decode(body)?;
    check_depth(text)?;
    let listing = match fast::listing(text, items) {
        Some(listing) => listing,
        None => slow::listing(text, items)?,
    };
    if listing.items.len() > ITEMS_MAX {
        let sentence = format!("the answer lists more than {ITEMS_MAX} items");
        return Err(Fault::source("too_many_items", sentence));
    }
    if listing.shape == Shape::List {
        check_key(key)?;
    }
    Ok(with_keys(listing, key, 1))
}

/// Finds the key of an item that was cut out of a long listing: `text` holds it at a place, and it has a number in the
/// listing, which counts from one.
///
/// # Errors
/// A fault of the source when the text is not UTF-8.
pub(crate) fn part<'a>(
    text: &'a [u8],
    (number, place): (usize, Range<usize>),
    key: &[Expression],
) -> Result<Page<'a>, Fault> {
    let bytes = text.get(place).unwrap_or_default();
    let Ok(raw) = std::str::from_utf8(bytes) else {
        return Err(Fault::source("not_utf8", format!("item {number} is not UTF-8")));
    };
    let items = vec![Piece { raw: Cow::Borrowed(raw), value: None }];
    Ok(with_keys(Listing { shape: Shape::List, items }, key, number))
}

/// Whether a list can be read with this `key`.
///
/// # Errors
/// A fault of the source when it is empty.
pub(crate) fn check_key(key: &[Expression]) -> Result<(), Fault> {
    if !key.is_empty() {
        return Ok(());
    }
    let sentence = "the answer is a list, and nothing says what identifies its items: set `key`";
    Err(Fault::source("key_required", sentence).final_())
}

/// `first` is the number of the first item.
fn with_keys<'a>(listing: Listing<'a>, key: &[Expression], first: usize) -> Page<'a> {
    let Listing { shape, items } = listing;
    let count = items.len();
    let mut page = Page { shape, items: Vec::with_capacity(count), faults: Vec::new(), count };
    let mut fault_count = 0;
    for (at, piece) in items.into_iter().enumerate() {
        match fast::key(&piece, key).map_or_else(|| slow::key(&piece, key), Ok) {
            Ok(key) if key.len() <= KEY_BYTES_MAX => {
                page.items.push(Found { key: ItemKey::new(key), raw: piece.raw });
            }
            outcome => {
                fault_count += 1;
                if fault_count <= ITEM_FAULTS_MAX {
                    page.faults.push(item_fault(first + at, outcome.err()));
                }
            }
        }
    }
    if fault_count > ITEM_FAULTS_MAX {
        let more = fault_count - ITEM_FAULTS_MAX;
        let sentence = format!("{more} more items cannot be used");
        page.faults.push(Fault::source("unusable_items", sentence));
    }
    page
}

/// `number` counts from one; no fault means that the key is too long.
fn item_fault(number: usize, fault: Option<JsonFault>) -> Fault {
    match fault {
        None => {
            let sentence = format!("the key of item {number} is longer than {KEY_BYTES_MAX} bytes");
            Fault::source("key_too_long", sentence)
        }
        Some(fault) => Fault::source(fault.code, format!("item {number} {}", fault.sentence)),
    }
}

/// A value as a key of its own.
pub(crate) fn key_text(value: &Value) -> Option<String> {
    key_part(value).map(Cow::into_owned)
}

/// One part of a key as text. Every spelling of a number is the same text.
fn key_part(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Bool(truth) => Some(truth.to_string().into()),
        Value::Num(_) => json::number_text(value).map(Cow::from),
        _ => json::as_text(value).filter(|text| !text.is_empty()).map(Cow::from),
    }
}

/// The body as text, without a byte order mark.
fn decode(body: &[u8]) -> Result<&str, Fault> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Fault::source("not_utf8", format!("the answer is not UTF-8: invalid byte at {at}"))
    })?;
    match text.trim_ascii_start().bytes().next() {
        None => Err(Fault::source("not_json", "the answer is empty, and no JSON")),
        Some(b'<') => Err(Fault::source(
            "not_json",
            "the answer looks like HTML or XML, not JSON: perhaps a login or error page",
        )),
        Some(_) => Ok(text),
    }
}

/// Refuses deep nesting before anything looks at the document, without recursion.
fn check_depth(text: &str) -> Result<(), Fault> {
    let mut depth = 0_usize;
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            b'"' => bytes = behind_string(bytes),
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    let sentence =
                        format!("the answer is nested more than {JSON_DEPTH_MAX} levels deep");
                    return Err(Fault::source("too_deep", sentence));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What follows a string, from behind its opening quote.
fn behind_string(mut bytes: &[u8]) -> &[u8] {
    loop {
        let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len());
        match bytes.get(end..) {
            Some([b'\\', _, rest @ ..]) => bytes = rest,
            Some([b'"', rest @ ..]) => return rest,
            _ => return &[],
        }
    }
}
