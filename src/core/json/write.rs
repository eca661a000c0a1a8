//! Value → compact JSON text.

use std::fmt::Write as _;

use jaq_json::Num;

use crate::core::json::{JsonFault, JsonText, VALUE_DEPTH_MAX, Value, as_text, read};

/// Writes strict JSON without white space: key order and number text kept, only those characters escaped that must be
/// (as JavaScript's `JSON.stringify` does).
///
/// # Errors
/// `not_json` for what an expression can build but JSON cannot say (NaN, infinity, keys that are no strings, raw
/// bytes), `too_deep` beyond [`VALUE_DEPTH_MAX`] levels.
pub(crate) fn compact(value: &Value) -> Result<JsonText, JsonFault> {
    let mut out = String::new();
    write(value, VALUE_DEPTH_MAX, &mut out)?;
    Ok(JsonText::trusted(out))
}

fn write(value: &Value, depth_left: usize, out: &mut String) -> Result<(), JsonFault> {
    let deeper = || {
        let sentence = format!("a value nested more than {VALUE_DEPTH_MAX} levels deep");
        depth_left.checked_sub(1).ok_or_else(|| JsonFault::new("too_deep", sentence))
    };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Num(number) => write_number(number, out)?,
        Value::TStr(_) | Value::BStr(_) => {
            let text = as_text(value).ok_or_else(|| cannot("a string that is not UTF-8 text"))?;
            string(text, out);
        }
        Value::Arr(values) => {
            let depth_left = deeper()?;
            let mut before = '[';
            for value in values.iter() {
                out.push(before);
                write(value, depth_left, out)?;
                before = ',';
            }
            out.push_str(if values.is_empty() { "[]" } else { "]" });
        }
        Value::Obj(map) => {
            let depth_left = deeper()?;
            let mut before = '{';
            for (name, value) in map.iter() {
                out.push(before);
                string(as_text(name).ok_or_else(|| cannot("a key that is no text"))?, out);
                out.push(':');
                write(value, depth_left, out)?;
                before = ',';
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
    }
    Ok(())
}

/// A string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    string(text, &mut out);
    out
}

/// Writes a string with its quotes.
pub(crate) fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = tail.chars();
        match characters.next() {
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(special @ ('"' | '\\')) => out.extend(['\\', special]),
            Some(control) => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a string takes any text");
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn write_number(number: &Num, out: &mut String) -> Result<(), JsonFault> {
    match number {
        Num::Int(_) | Num::BigInt(_) => write!(out, "{number}").expect("a string takes any text"),
        Num::Float(float) => write_float(*float, out)?,
        Num::Dec(text) => match read::number_length(text.as_bytes()) {
            Some((length, _)) if length == text.len() => out.push_str(text),
            // A literal of an expression, such as `00.5`.
            _ => write_float(text.parse().unwrap_or(f64::NAN), out)?,
        },
    }
    Ok(())
}

fn write_float(float: f64, out: &mut String) -> Result<(), JsonFault> {
    /// Beyond this a float no longer holds every integer, and digits would pretend that it does.
    const WHOLE_MAX: f64 = 1e15;
    if !float.is_finite() {
        return Err(cannot("a number that is not finite"));
    }
    if float == 0.0 {
        out.push('0');
    } else if float.fract() == 0.0 && float.abs() < WHOLE_MAX {
        write!(out, "{float:.0}").expect("a string takes any text");
    } else {
        write!(out, "{}", Num::Float(float)).expect("a string takes any text");
    }
    Ok(())
}

fn cannot(what: &str) -> JsonFault {
    JsonFault::new("not_json", format!("the result holds {what}, which JSON cannot express"))
}
