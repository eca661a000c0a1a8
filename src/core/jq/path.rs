//! Bare paths: `.`, `.a.b`, `."x y"`, `.["x"]`, `.a[0]`, `.a[-1]`, `.a[].b`. They need no engine.

use std::sync::Arc;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Opt, Part};
use jaq_json::Map;

use crate::core::jq::fault;
use crate::core::json::{JsonFault, Value, kind, null, text};

/// One step of a path, from a value to a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// The value of a name. Kept as text and as the value that objects are asked for.
    Field { name: String, key: Value },
    /// An element; from the end when negative.
    Element(i64),
    /// Every element or value.
    Each,
}

impl Step {
    fn field(name: String) -> Self {
        Self::Field { key: text(&name), name }
    }
}

/// A path and nothing else. The empty one is the value itself. Shared by the sources that use it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Arc<[Step]>);

impl Path {
    /// The path that a term is; `None` if it is anything more. A step with `?` is not a bare one.
    pub(super) fn single(term: &Term<&str>) -> Option<Self> {
        let mut steps = Vec::new();
        collect(term, &mut steps, false)?;
        Some(Self(steps.into()))
    }

    /// The paths that a term lists, for taking away what they name: there `?` makes no difference, because a place
    /// that does not exist changes nothing anyway.
    pub(super) fn several(term: &Term<&str>) -> Option<Vec<Self>> {
        if let Term::BinOp(left, BinaryOp::Comma, right) = term {
            let mut paths = Self::several(left)?;
            paths.extend(Self::several(right)?);
            return Some(paths);
        }
        let mut steps = Vec::new();
        collect(term, &mut steps, true)?;
        Some(vec![Self(steps.into())])
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Hands each value the path leads to to `take`, as jq would: a missing name or element is null, null has every
    /// part and each is null, and a part of anything else that has none is an error. False when `take` had enough.
    pub(super) fn walk(
        &self,
        value: &Value,
        take: &mut dyn FnMut(Value) -> Result<bool, JsonFault>,
    ) -> Result<bool, JsonFault> {
        walk(value, &self.0, take)
    }
}

fn walk(
    value: &Value,
    steps: &[Step],
    take: &mut dyn FnMut(Value) -> Result<bool, JsonFault>,
) -> Result<bool, JsonFault> {
    let Some((step, rest)) = steps.split_first() else { return take(value.clone()) };
    let missing = null();
    match (step, value) {
        (Step::Field { key, .. }, Value::Obj(map)) => {
            walk(map.get(key).unwrap_or(&missing), rest, take)
        }
        (Step::Element(index), Value::Arr(values)) => {
            let element = position(*index, values.len()).and_then(|at| values.get(at));
            walk(element.unwrap_or(&missing), rest, take)
        }
        (Step::Field { .. } | Step::Element(_), Value::Null) => walk(&missing, rest, take),
        (Step::Each, Value::Arr(values)) => all(values.iter(), rest, take),
        (Step::Each, Value::Obj(map)) => all(map.values(), rest, take),
        (Step::Field { name, .. }, other) => {
            Err(fault(&format!("{} has no field {name:?}", kind(other))))
        }
        (Step::Element(index), other) => {
            Err(fault(&format!("{} has no element [{index}]", kind(other))))
        }
        (Step::Each, other) => Err(fault(&format!("{} has no elements", kind(other)))),
    }
}

fn all<'a>(
    mut values: impl Iterator<Item = &'a Value>,
    steps: &[Step],
    take: &mut dyn FnMut(Value) -> Result<bool, JsonFault>,
) -> Result<bool, JsonFault> {
    loop {
        match values.next() {
            None => return Ok(true),
            Some(value) if walk(value, steps, take)? => {}
            Some(_) => return Ok(false),
        }
    }
}

/// Takes away everything the paths lead to. They are followed together, so that taking one element away does not move
/// the next under another path's number.
pub(super) fn prune(value: &Value, paths: &[&[Step]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return null();
    }
    match value {
        Value::Obj(map) if !paths.is_empty() => {
            let mut kept = Map::default();
            for (name, value) in map.iter() {
                let leads = |step: &Step| match step {
                    Step::Field { key, .. } => key == name,
                    Step::Each => true,
                    Step::Element(_) => false,
                };
                if let Some(value) = prune_part(value, paths, leads) {
                    kept.insert(name.clone(), value);
                }
            }
            Value::obj(kept)
        }
        Value::Arr(values) if !paths.is_empty() => {
            let kept = values.iter().enumerate().filter_map(|(at, value)| {
                prune_part(value, paths, |step| match step {
                    Step::Element(index) => position(*index, values.len()) == Some(at),
                    Step::Each => true,
                    Step::Field { .. } => false,
                })
            });
            kept.collect()
        }
        other => other.clone(),
    }
}

/// A part of a value without what the paths take from it; `None` if they take all of it.
fn prune_part(part: &Value, paths: &[&[Step]], leads: impl Fn(&Step) -> bool) -> Option<Value> {
    let mut rests: Vec<&[Step]> = Vec::new();
    for path in paths {
        match path.split_first() {
            Some((step, [])) if leads(step) => return None,
            Some((step, rest)) if leads(step) => rests.push(rest),
            _ => {}
        }
    }
    Some(prune(part, &rests))
}

/// Where an index points in an array of that length.
fn position(index: i64, length: usize) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { length.checked_sub(distance) } else { Some(distance) }
}

fn collect(term: &Term<&str>, steps: &mut Vec<Step>, optional: bool) -> Option<()> {
    match term {
        Term::Id => {}
        Term::BinOp(left, BinaryOp::Pipe(None), right) => {
            collect(left, steps, optional)?;
            collect(right, steps, optional)?;
        }
        Term::TryCatch(inner, None) if optional => collect(inner, steps, optional)?,
        Term::Path(head, path) => {
            collect(head, steps, optional)?;
            for (part, opt) in &path.0 {
                if matches!(opt, Opt::Optional) && !optional {
                    return None;
                }
                steps.push(match part {
                    Part::Range(None, None) => Step::Each,
                    Part::Index(Term::Str(None, parts)) => Step::field(literal(parts)?),
                    Part::Index(Term::Num(digits)) => Step::Element(digits.parse().ok()?),
                    Part::Index(Term::Neg(inner)) => match inner.as_ref() {
                        Term::Num(digits) => Step::Element(-digits.parse::<i64>().ok()?),
                        _ => return None,
                    },
                    _ => return None,
                });
            }
        }
        _ => return None,
    }
    Some(())
}

fn literal(parts: &[StrPart<&str, Term<&str>>]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(plain) => text.push_str(plain),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}
