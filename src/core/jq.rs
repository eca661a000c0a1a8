//! jq expressions, guarded. A stub to be replaced.
#![allow(dead_code, unused_variables, missing_docs)]
use crate::core::json::{JsonFault, Value};
use std::ops::Range;

/// A compiled jq expression. Equal when its text is.
#[derive(Clone)]
pub(crate) struct Expression {
    text: std::sync::Arc<str>,
}
impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What is wrong with an expression's text, and where in it (bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JqProblem {
    pub(crate) at: Range<usize>,
    pub(crate) sentence: String,
    pub(crate) hint: Option<String>,
}

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, JqProblem> {
        todo!()
    }
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
    /// Whether this is a bare path such as `.a.b[0]` or `.items[]`, walked natively.
    pub(crate) fn is_path(&self) -> bool {
        todo!()
    }
    /// Exactly one output.
    pub(crate) fn one(&self, input: &Value) -> Result<Value, JsonFault> {
        todo!()
    }
    /// All outputs, bounded; the first error ends it.
    pub(crate) fn each(&self, input: &Value) -> Result<Vec<Value>, JsonFault> {
        todo!()
    }
    /// Exactly one output, taken as jq takes a condition: everything but `false` and `null` is true.
    pub(crate) fn test(&self, input: &Value) -> Result<bool, JsonFault> {
        todo!()
    }
}
/// The value without what the paths name; paths that are not there change nothing.
pub(crate) fn without(value: &Value, paths: &[Expression]) -> Result<Value, JsonFault> {
    todo!()
}
