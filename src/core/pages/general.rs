//! `{next: EXPR}`: anything at all. The expression sees the whole answer, and its output is `{{page}}` of the next
//! request, wherever that stands: in the URL, the query, a header or the body.

use crate::core::fault::Fault;
use crate::core::http::Response;
use crate::core::jq::Expression;
use crate::core::json::{self, Value};
use crate::core::pages::{Answered, Next, output, whole};

/// What comes after a page; null ends.
pub(super) fn next(next: &Expression, page: &Answered<'_>) -> Result<Next, Fault> {
    match output("next", next, &answer(page.response))? {
        Value::Null => Ok(Next::End),
        token => Ok(Next::Page(token)),
    }
}

/// `{status, headers, body}`: header names in lower case, the values of one name joined by a comma as RFC 9110 has it;
/// a body that is no JSON is its text.
fn answer(response: &Response) -> Value {
    let names: Vec<_> = response.headers.keys().map(http::HeaderName::as_str).collect();
    let joined = |name: &&str| {
        let values = response.headers.get_all(*name).into_iter();
        let values: Vec<_> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        json::text(&values.join(", "))
    };
    let headers = names.iter().map(|name| (*name, joined(name))).collect();
    let text = String::from_utf8_lossy(&response.body);
    let body = json::read(text.trim_start_matches('\u{feff}'));
    json::object(vec![
        ("status", whole(u64::from(response.status))),
        ("headers", json::object(headers)),
        ("body", body.unwrap_or_else(|_| json::text(&text))),
    ])
}
