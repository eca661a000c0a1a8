//! Where the templates of a text are.

use std::ops::Range;

use crate::core::jq::JqProblem;

/// A part of a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    /// What stands there as it is.
    Text(Range<usize>),
    /// What stands between `{{` and `}}`.
    Jq(Range<usize>),
}

/// Splits a text at its templates.
///
/// # Errors
/// A template that never ends.
pub(crate) fn split(text: &str) -> Result<Vec<Span>, JqProblem> {
    let (mut spans, mut from) = (Vec::new(), 0);
    while let Some(open) = text.get(from..).and_then(|rest| rest.find("{{")).map(|at| from + at) {
        let Some(close) = end(text.as_bytes(), open + 2) else {
            return Err(JqProblem {
                at: open..open + 2,
                sentence: String::from("this `{{` is never closed by a `}}`"),
                hint: Some(String::from("if the braces themselves are meant: `{{\"{{\"}}`")),
            });
        };
        if from < open {
            spans.push(Span::Text(from..open));
        }
        spans.push(Span::Jq(open + 2..close));
        from = close + 2;
    }
    if from < text.len() {
        spans.push(Span::Text(from..text.len()));
    }
    Ok(spans)
}

/// Where the `}}` is that ends a template: outside of jq's own braces and strings.
fn end(text: &[u8], from: usize) -> Option<usize> {
    let mut open: Vec<u8> = Vec::new();
    let mut at = from;
    while let Some(byte) = text.get(at) {
        let next = text.get(at + 1);
        match (open.last(), byte) {
            // `\(…)` in a string is jq again; any other escape is two bytes.
            (Some(b'"'), b'\\') => {
                if next == Some(&b'(') {
                    open.push(b'(');
                }
                at += 1;
            }
            (Some(b'"'), b'"') | (Some(b'{'), b'}') | (Some(b'('), b')') => {
                open.pop();
            }
            (Some(b'"'), _) => {}
            (_, b'"' | b'{' | b'(') => open.push(*byte),
            (_, b'}') if next == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
