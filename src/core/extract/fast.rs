//! Items and keys as slices of the text, for bare paths.
//!
//! Everything here answers `None` when anything is out of the ordinary; the slow way then says what it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::core::extract::{Listing, Piece, Shape, key_part};
use crate::core::jq::{Expression, Step};
use crate::core::json;
use crate::core::limits::ITEMS_MAX;

/// The items, if `items` is a bare path to an array or object.
pub(super) fn listing<'a>(text: &'a str, items: Option<&Expression>) -> Option<Listing<'a>> {
    let Some(items) = items else {
        return match text.trim_ascii_start().bytes().next()? {
            b'{' => {
                let whole: &RawValue = serde_json::from_str(text).ok()?;
                Some(Listing { shape: Shape::Object, items: vec![piece(whole)] })
            }
            _ => Some(Listing { shape: Shape::List, items: elements(text, &[])? }),
        };
    };
    let items = match items.steps()? {
        // `.a[]` gives the elements of `.a`, but a single element that is an array is the list itself.
        [path @ .., Step::Each] => {
            let items = elements(text, path)?;
            let is_plain = |piece: &Piece<'_>| piece.raw.starts_with('{');
            items.iter().all(is_plain).then_some(items)?
        }
        path => elements(text, path).or_else(|| {
            let found = find(text, path)?;
            found.get().starts_with('{').then(|| vec![piece(found)])
        })?,
    };
    Some(Listing { shape: Shape::List, items })
}

/// An item's key, if all its parts are bare paths to something that can be one.
pub(super) fn key(piece: &Piece<'_>, key: &[Expression]) -> Option<String> {
    if piece.value.is_some() {
        return None;
    }
    let mut whole = String::new();
    for (at, part) in key.iter().enumerate() {
        let found = find(&piece.raw, part.steps()?)?.get();
        if at > 0 {
            whole.push('/');
        }
        match found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            // An escape, or nothing: the reader knows.
            Some(text) if !text.is_empty() && !text.contains('\\') => whole.push_str(text),
            None if is_small_whole(found) => whole.push_str(found),
            _ => whole.push_str(&key_part(&json::read(found).ok()?)?),
        }
    }
    Some(whole)
}

/// Whether a value is a whole number that is spelled in one way only.
fn is_small_whole(text: &str) -> bool {
    text.len() < 18 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn piece(raw: &RawValue) -> Piece<'_> {
    Piece { raw: Cow::Borrowed(raw.get()), value: None }
}

/// The elements of the array at a path of names.
fn elements<'a>(text: &'a str, path: &[Step]) -> Option<Vec<Piece<'a>>> {
    let found = walk(text, Walk { path, end: End::Elements })?;
    match found {
        Place::Elements(items) => Some(items),
        Place::Whole(_) | Place::Nothing => None,
    }
}

/// The value at a path of names.
fn find<'a>(text: &'a str, path: &[Step]) -> Option<&'a RawValue> {
    match walk(text, Walk { path, end: End::Whole })? {
        Place::Whole(raw) => Some(raw),
        Place::Elements(_) | Place::Nothing => None,
    }
}

fn walk<'a>(text: &'a str, walk: Walk<'_>) -> Option<Place<'a>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let place = walk.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(place)
}

/// Walks down a path of names and takes what is there; reads nothing else.
#[derive(Clone, Copy)]
struct Walk<'p> {
    path: &'p [Step],
    end: End,
}

/// What to take at the end of the path.
#[derive(Clone, Copy)]
enum End {
    Whole,
    Elements,
}

/// What was at the end of the path.
enum Place<'a> {
    /// Nothing, or not what was wanted.
    Nothing,
    Whole(&'a RawValue),
    Elements(Vec<Piece<'a>>),
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Place<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Place<'de>, D::Error> {
        match (self.path, self.end) {
            ([], End::Whole) => {
                serde::Deserialize::deserialize(reader).map(|raw: &RawValue| Place::Whole(raw))
            }
            _ => reader.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Place<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Place<'de>, A::Error> {
        let (wanted, rest) = match self.path.split_first() {
            Some((Step::Field { name, .. }, rest)) => (Some(name.as_str()), rest),
            _ => (None, self.path),
        };
        let mut place = Place::Nothing;
        while let Some(is_wanted) = map.next_key_seed(Is(wanted))? {
            // Of a name that stands twice the last value counts.
            if is_wanted {
                place = map.next_value_seed(Walk { path: rest, ..self })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(place)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Place<'de>, A::Error> {
        if !self.path.is_empty() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Place::Nothing);
        }
        let mut items = Vec::new();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            // One too many is enough to know; the rest is only checked.
            if items.len() <= ITEMS_MAX {
                items.push(piece(raw));
            }
        }
        Ok(Place::Elements(items))
    }

    fn visit_unit<E>(self) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }

    fn visit_str<E>(self, _: &str) -> Result<Place<'de>, E> {
        Ok(Place::Nothing)
    }
}

/// Reads a name and tells whether it is the wanted one.
struct Is<'p>(Option<&'p str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}
