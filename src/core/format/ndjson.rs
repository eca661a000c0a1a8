//! JSON lines → a JSON list. Every line is checked by itself, so that a listing that was cut in its last line is a fault.

use serde::de::IgnoredAny;

use crate::core::fault::Fault;
use crate::core::format::empty;
use crate::core::json;

/// Reads lines of JSON; blank ones count for nothing. `may_be_empty`: the server itself says that this is a listing, so
/// that no lines are no items; otherwise an empty answer is more likely a failure.
///
/// # Errors
/// The first line that is not one JSON value.
pub(super) fn read(text: &str, may_be_empty: bool) -> Result<String, Fault> {
    let mut list = String::with_capacity(text.len() + 2);
    list.push('[');
    for (at, line) in text.split('\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(line) {
            return Err(fault(at + 1, line, &error));
        }
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(line);
    }
    if list.len() == 1 && !may_be_empty {
        return Err(empty("not_json", "JSON lines"));
    }
    list.push(']');
    Ok(list)
}

fn fault(number: usize, line: &str, error: &serde_json::Error) -> Fault {
    let why = json::read(line).err().map_or_else(|| error.to_string(), |fault| fault.sentence);
    let hint = match (number, line) {
        (1, "[" | "{") => "; is it JSON, and not JSON lines?",
        _ if error.is_eof() => "; was the answer cut?",
        _ => "",
    };
    Fault::source("not_json", format!("line {number} is no JSON value: {why}{hint}"))
}
