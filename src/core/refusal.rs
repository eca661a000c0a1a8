//! What an answer says of its own failure: `fail_when`, and the errors of GraphQL, which come with status 200.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use http::Method;
use serde_json::value::RawValue;

use crate::core::fault::Fault;
use crate::core::http::Response;
use crate::core::jq::Expression;
use crate::core::json::{self, Value, as_text};

/// Characters of an API's own words that a fault repeats.
const SAID_CHARACTERS_MAX: usize = 200;

/// The failure that `fail_when` finds in an answer with a good status. A text that it gives is the API's own word.
/// Secrets in it are the caller's to mask.
pub(crate) fn declared(fail_when: &Expression, response: &Response) -> Option<Fault> {
    let status = response.status;
    match fail_when.one(&body(response)) {
        Ok(Value::Null | Value::Bool(false)) => None,
        Ok(output) => {
            let sentence = format!("the API answered {status}, but `fail_when` holds");
            Some(Fault::source("fail_when", with_word(sentence, as_text(&output))))
        }
        Err(fault) => Some(Fault::source("fail_when", format!("`fail_when`: {fault}"))),
    }
}

/// What GraphQL's errors make of an answer: doubtful when there is data beside them.
///
/// # Errors
/// The failure, when there is none. Secrets in the sentences are the caller's to mask.
pub(crate) fn graphql(method: &Method, response: &Response) -> Result<Option<Fault>, Fault> {
    let Some(errors) = errors(method, response) else { return Ok(None) };
    let first = Some(errors.first.as_str());
    if errors.has_data {
        let sentence =
            String::from("the answer holds errors beside its data; nothing counts as absent");
        return Ok(Some(Fault::source("graphql_errors", with_word(sentence, first))));
    }
    let sentence =
        format!("the API answered {}, but with errors and without data", response.status);
    Err(Fault::source("graphql_errors", with_word(sentence, first)))
}

/// The fault of an answer with a bad status, with what the API says about it as far as `fail_when` gives a text or it
/// is GraphQL's form. Secrets in it are the caller's to mask.
pub(crate) fn explained(
    mut fault: Fault,
    method: &Method,
    fail_when: Option<&Expression>,
    response: &Response,
) -> Fault {
    let declared = |fail_when: &Expression| {
        let output = fail_when.one(&body(response)).ok()?;
        as_text(&output).map(str::to_owned)
    };
    let said = fail_when.and_then(declared);
    let said = said.or_else(|| errors(method, response).map(|errors| errors.first));
    fault.sentence = with_word(fault.sentence, said.as_deref());
    fault
}

/// GraphQL's `errors`.
struct Errors {
    /// The message of the first one.
    first: String,
    has_data: bool,
}

/// The errors of an answer in GraphQL's form (October 2021, §7.1): an object with a list of errors that have messages,
/// `data`, `extensions` and nothing else. Other APIs list errors among much else, which then says nothing – unless this
/// one was asked by POST, as GraphQL is.
fn errors(method: &Method, response: &Response) -> Option<Errors> {
    let text = std::str::from_utf8(&response.body).ok()?.trim_start_matches('\u{feff}');
    // Nearly every answer is done with here.
    if !text.trim_ascii_start().starts_with('{') || !text.contains("\"errors\"") {
        return None;
    }
    let answer: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
    let errors = json::read(answer.get("errors")?.get()).ok()?;
    let Value::Arr(errors) = errors else { return None };
    let message = json::entries(errors.first()?)?.into_iter().find(|(name, _)| *name == "message");
    let first = message.and_then(|(_, value)| as_text(value))?.to_owned();
    let is_graphql = |name: &str| matches!(name, "errors" | "data" | "extensions");
    let is_other = answer.keys().any(|name| !is_graphql(name));
    if is_other && !answer.contains_key("data") && *method != Method::POST {
        return None;
    }
    Some(Errors { first, has_data: answer.get("data").is_some_and(|data| data.get() != "null") })
}

/// The body as a value; one that is no JSON is its text.
fn body(response: &Response) -> Value {
    let text = String::from_utf8_lossy(&response.body);
    json::read(text.trim_start_matches('\u{feff}')).unwrap_or_else(|_| json::text(&text))
}

/// A sentence, with what the API says: bounded, on one line.
fn with_word(sentence: String, said: Option<&str>) -> String {
    let Some(said) = said.map(str::trim).filter(|said| !said.is_empty()) else { return sentence };
    let mut characters = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = characters.by_ref().take(SAID_CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    format!("{sentence}; it says: {shown}")
}
