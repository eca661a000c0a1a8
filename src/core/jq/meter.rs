//! What a run of an expression may do, and the filters that count it.

use std::cell::Cell;

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, bome, v};
use jaq_core::{DataT, Error, Exn, Lut, Native, ValR};
use jaq_json::{Num, Val};

use crate::core::jq::guard::{PLUS, TICK, TIMES, WEIGH};
use crate::core::json::{self, VALUE_DEPTH_MAX};

/// What any run may do: outputs counted, values built and sixteen bytes of text each count as one step. Worth about
/// half a second of work and some tens of megabytes.
const STEPS_BASE: u64 = 1_000_000;
/// What a run may do more for each value in its input.
const STEPS_PER_VALUE: u64 = 64;
/// Bytes of text that count as one step.
const STEP_BYTES: usize = 16;
/// The largest product of whole numbers, in bits: squaring doubles the digits each time.
const PRODUCT_BITS_MAX: u64 = 1 << 14;

/// Ties jaq's engine to our values and to the meter.
#[derive(Debug)]
pub(super) struct Run;

impl DataT for Run {
    type V<'a> = Val;
    type Data<'a> = &'a Meter<'a>;
}

impl<'a> jaq_core::data::HasLut<'a, Run> for &'a Meter<'a> {
    fn lut(&self) -> &'a Lut<Run> {
        self.lut
    }
}

/// Counts one run down.
pub(super) struct Meter<'a> {
    lut: &'a Lut<Run>,
    steps_left: Cell<u64>,
    excess: Cell<Option<Excess>>,
}

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Steps,
    Depth,
}

impl Excess {
    pub(super) fn sentence(self) -> String {
        match self {
            Self::Steps => "it does too much work for the size of its input".to_owned(),
            Self::Depth => format!("it builds a value of more than {VALUE_DEPTH_MAX} levels"),
        }
    }
}

impl<'a> Meter<'a> {
    pub(super) fn new(lut: &'a Lut<Run>, input: &Val) -> Self {
        let mut steps_left = u64::MAX / 2;
        // What is too deep here is found again as soon as it is touched.
        let weighed = weigh(input, VALUE_DEPTH_MAX, &mut steps_left);
        let values = u64::MAX / 2 - steps_left;
        let steps = STEPS_BASE.saturating_add(values.saturating_mul(STEPS_PER_VALUE));
        Self { lut, steps_left: Cell::new(steps), excess: Cell::new(weighed.err()) }
    }

    /// Why the run must stop, even if the expression caught the error.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    fn spend(&self, steps: u64) -> Result<(), Error<Val>> {
        self.note(match self.steps_left.get().checked_sub(steps) {
            Some(left) => {
                self.steps_left.set(left);
                Ok(())
            }
            None => Err(Excess::Steps),
        })
    }

    fn weigh(&self, value: &Val) -> Result<(), Error<Val>> {
        let mut left = self.steps_left.get();
        let weighed = weigh(value, VALUE_DEPTH_MAX, &mut left);
        self.steps_left.set(left);
        self.note(weighed)
    }

    /// A path is a list that recurses when it is dropped. No value is deeper than this, but `null` has any path.
    fn reach<T>(&self, mut path: impl Iterator<Item = T>) -> Result<(), Error<Val>> {
        let is_long = path.nth(VALUE_DEPTH_MAX).is_some();
        self.note(if is_long { Err(Excess::Depth) } else { Ok(()) })
    }

    /// After the first excess everything fails, so that loops that catch errors end too.
    fn note(&self, outcome: Result<(), Excess>) -> Result<(), Error<Val>> {
        let first = self.excess.get().or(outcome.err());
        self.excess.set(first);
        first.map_or(Ok(()), |excess| Err(Error::str(excess.sentence())))
    }

    /// `l + r`. What is copied counts: the right side always, the left one unless nobody else holds it.
    fn plus(&self, left: Val, right: Val) -> ValR<Val> {
        self.weigh(&right)?;
        self.spend(match &left {
            Val::Arr(values) if jaq_json::Rc::strong_count(values) > 1 => steps(values.len()),
            Val::Obj(map) if jaq_json::Rc::strong_count(map) > 1 => steps(map.len()),
            Val::TStr(text) | Val::BStr(text) if !text.is_unique() => {
                steps(text.len() / STEP_BYTES)
            }
            _ => 1,
        })?;
        left + right
    }

    /// `l * r`, which repeats texts, merges objects and multiplies without limit.
    fn times(&self, left: Val, right: Val) -> ValR<Val> {
        match (&left, &right) {
            (Val::TStr(text) | Val::BStr(text), Val::Num(times))
            | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
                let times = match times {
                    Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                    _ => usize::MAX,
                };
                let bytes = text.len().saturating_mul(times);
                self.spend(steps((bytes / STEP_BYTES).saturating_add(1)))?;
            }
            (Val::Obj(_), Val::Obj(_)) => {
                self.weigh(&left)?;
                self.weigh(&right)?;
            }
            (Val::Num(left), Val::Num(right)) => {
                let bits = |number: &Num| match number {
                    Num::BigInt(whole) => whole.bits(),
                    _ => 64,
                };
                if bits(left) + bits(right) > PRODUCT_BITS_MAX {
                    self.note(Err(Excess::Steps))?;
                }
            }
            _ => {}
        }
        left * right
    }

    /// `join`: null is nothing, numbers and booleans are their text.
    fn join(&self, value: &Val, separator: &Val) -> ValR<Val> {
        let Val::Arr(values) = value else { return Err(Error::typ(value.clone(), "array")) };
        let Val::TStr(separator) = separator else {
            return Err(Error::typ(separator.clone(), "string"));
        };
        let mut joined = Vec::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                joined.extend_from_slice(separator);
            }
            match value {
                Val::Null => {}
                Val::TStr(text) => joined.extend_from_slice(text),
                Val::Bool(_) | Val::Num(_) => {
                    joined.extend_from_slice(value.to_string().as_bytes());
                }
                other => return Err(Error::typ(other.clone(), "string")),
            }
            self.spend(1 + steps(separator.len() / STEP_BYTES))?;
        }
        Ok(Val::utf8_str(joined))
    }
}

/// Counts the values and the text in a value, and how deep it is. Shared parts count wherever they stand, because
/// whoever writes or compares the value meets them there.
fn weigh(value: &Val, depth_left: usize, left: &mut u64) -> Result<(), Excess> {
    let own = match value {
        Val::TStr(text) | Val::BStr(text) => 1 + steps(text.len() / STEP_BYTES),
        _ => 1,
    };
    *left = left.checked_sub(own).ok_or(Excess::Steps)?;
    let deeper = || depth_left.checked_sub(1).ok_or(Excess::Depth);
    match value {
        Val::Arr(values) => {
            let depth_left = deeper()?;
            values.iter().try_for_each(|value| weigh(value, depth_left, left))
        }
        Val::Obj(map) => {
            let depth_left = deeper()?;
            map.iter().try_for_each(|(name, value)| {
                weigh(name, depth_left, left)?;
                weigh(value, depth_left, left)
            })
        }
        _ => Ok(()),
    }
}

fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// An array's elements, arrays among them unpacked that many levels deep.
fn flatten(value: Val, levels: usize) -> ValR<Val> {
    fn unpack(value: Val, levels: usize, flat: &mut Vec<Val>) {
        match value {
            Val::Arr(values) if levels > 0 => {
                values.iter().for_each(|value| unpack(value.clone(), levels - 1, flat));
            }
            other => flat.push(other),
        }
    }
    if !matches!(value, Val::Arr(_)) {
        return Err(Error::typ(value, "array"));
    }
    let mut flat = Vec::new();
    unpack(value, levels.saturating_add(1), &mut flat);
    Ok(flat.into_iter().collect())
}

/// The levels that `flatten` is asked for.
fn levels(value: &Val) -> Result<usize, Error<Val>> {
    let levels = match value {
        Val::Num(number) => number.as_isize().and_then(|levels| usize::try_from(levels).ok()),
        _ => None,
    };
    levels.ok_or_else(|| Error::str("flatten needs a whole number that is not negative"))
}

/// jaq's own reader takes more than JSON and recurses without end; ours does not.
fn from_json(value: &Val) -> ValR<Val> {
    let Some(text) = json::as_text(value) else {
        return Err(Error::typ(value.clone(), "string"));
    };
    json::read(text).map_err(|fault| Error::str(fault.sentence))
}

/// The meter's filters, and those that stand in for jaq's own because those could be made to do too much.
pub(super) fn filters() -> impl Iterator<Item = Fun<Run>> {
    let tick = Native::<Run>::new(|cv| bome(cv.0.data().spend(1).map(|()| cv.1)))
        .with_paths(|(context, (value, path))| {
            let meter = context.data();
            let counted = meter.spend(1).and_then(|()| meter.reach(path.iter()));
            box_once(counted.map(|()| (value, path)).map_err(Exn::from))
        })
        .with_update(|cv, update| match cv.0.data().spend(1) {
            Ok(()) => update(cv.1),
            Err(error) => box_once(Err(error.into())),
        });
    let weigh = Native::<Run>::new(|cv| bome(cv.0.data().weigh(&cv.1).map(|()| cv.1)))
        .with_paths(|(context, (value, path))| {
            let meter = context.data();
            let weighed = meter.weigh(&value).and_then(|()| meter.reach(path.iter()));
            box_once(weighed.map(|()| (value, path)).map_err(Exn::from))
        })
        .with_update(|cv, update| match cv.0.data().weigh(&cv.1) {
            Ok(()) => update(cv.1),
            Err(error) => box_once(Err(error.into())),
        });
    // The input is dropped first: it may be what keeps the left side from being added to in place.
    let plus = Native::<Run>::new(|(mut context, input)| {
        drop(input);
        let (right, left) = (context.pop_var(), context.pop_var());
        bome(context.data().plus(left, right))
    });
    let times = Native::<Run>::new(|(mut context, _)| {
        let (right, left) = (context.pop_var(), context.pop_var());
        bome(context.data().times(left, right))
    });
    let join = Native::<Run>::new(|(mut context, input)| {
        let separator = context.pop_var();
        bome(context.data().join(&input, &separator))
    });
    let flatten_all = Native::<Run>::new(|(_, input)| bome(flatten(input, VALUE_DEPTH_MAX)));
    let flatten_some = Native::<Run>::new(|(mut context, input)| {
        bome(levels(&context.pop_var()).and_then(|levels| flatten(input, levels)))
    });
    let from_json = Native::<Run>::new(|(_, input)| bome(from_json(&input)));
    [
        (TICK, v(0), tick),
        (WEIGH, v(0), weigh),
        (PLUS, v(2), plus),
        (TIMES, v(2), times),
        ("join", v(1), join),
        ("flatten", v(0), flatten_all),
        ("flatten", v(1), flatten_some),
        ("fromjson", v(0), from_json),
    ]
    .into_iter()
}
