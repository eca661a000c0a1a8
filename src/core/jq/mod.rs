//! jq expressions: parsed with care, bounded in what they may do, walked natively when they are bare paths.
//!
//! Expressions run over what strangers answer, so nothing in them may end the process, read the machine or run for
//! ever. Three things see to that: `guard` refuses what has no bound (definitions, endless loops) or looks outside
//! (environment, clock, files) and threads a meter through the rest; `program` compiles what is left with jaq and only
//! those parts of its library that the expression names; and the meter in `meter` ends a run that does too much.
//!
//! To allow a filter: nothing to do if jaq has it and `problem` does not refuse it; else define it in `program`.

mod guard;
mod meter;
mod path;
mod problem;
mod program;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::core::json::{JsonFault, Value};
use crate::core::limits::JQ_OUTPUTS_MAX;

pub(crate) use path::Step;
pub(crate) use problem::JqProblem;

use guard::Guard;
use path::Path;
use program::Program;

/// A compiled jq expression. Equal when its text is.
#[derive(Clone)]
pub(crate) struct Expression {
    text: Arc<str>,
    body: Body,
    /// What it names, when that is nothing but paths: `.a, .b[]?.c`.
    removals: Option<Arc<[Path]>>,
}

#[derive(Clone)]
enum Body {
    Path(Path),
    Program(Arc<Program>),
}

impl fmt::Debug for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Expression {
    /// Reads and compiles an expression.
    ///
    /// # Errors
    /// The first thing that is wrong with it, or that doorbell does not allow, with its place in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, JqProblem> {
        let tokens = guard::lex(text)?;
        let term = guard::parse(text, &tokens)?;
        let removals = Path::several(&term).map(Arc::from);
        let body = match Path::single(&term) {
            Some(path) => Body::Path(path),
            None => Body::Program(Arc::new(Program::compile(text, term, &mut Guard::new(text))?)),
        };
        Ok(Self { text: text.into(), body, removals })
    }

    /// Reads and compiles an expression in which words stand for the values that its input, an object, has under their
    /// names; what is not there is null. Otherwise it has no input. Gives the words that it uses, too.
    ///
    /// # Errors
    /// As [`Expression::parse`].
    pub(crate) fn parse_with_words(
        text: &str,
        words: &'static [&'static str],
    ) -> Result<(Self, Vec<&'static str>), JqProblem> {
        let tokens = guard::lex(text)?;
        let term = guard::parse(text, &tokens)?;
        let mut guard = Guard::with_words(text, words);
        let program = Program::compile(text, term, &mut guard)?;
        let body = Body::Program(Arc::new(program));
        Ok((Self { text: text.into(), body, removals: None }, guard.used.into_iter().collect()))
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is a bare path such as `.a.b[0]` or `.items[]`, walked natively.
    #[cfg(test)]
    pub(crate) fn is_path(&self) -> bool {
        matches!(self.body, Body::Path(_))
    }

    /// The steps of a bare path, so that a document can be walked without being read.
    pub(crate) fn steps(&self) -> Option<&[Step]> {
        match &self.body {
            Body::Path(path) => Some(path.steps()),
            Body::Program(_) => None,
        }
    }

    /// Exactly one output.
    ///
    /// # Errors
    /// The expression's own error, or another number of outputs than one.
    pub(crate) fn one(&self, input: &Value) -> Result<Value, JsonFault> {
        let mut first = None;
        let mut is_more = false;
        self.run(input, &mut |output| {
            is_more = first.is_some();
            first.get_or_insert(output);
            Ok(!is_more)
        })?;
        match (first, is_more) {
            (Some(output), false) => Ok(output),
            (None, _) => Err(fault("it gives no output, and exactly one is needed")),
            (Some(_), true) => {
                Err(fault("it gives more than one output, and exactly one is needed"))
            }
        }
    }

    /// All outputs, at most [`JQ_OUTPUTS_MAX`]; the first error ends it.
    ///
    /// # Errors
    /// The expression's own error, or one that says that it did too much.
    pub(crate) fn each(&self, input: &Value) -> Result<Vec<Value>, JsonFault> {
        let mut outputs = Vec::new();
        self.run(input, &mut |output| {
            if outputs.len() == JQ_OUTPUTS_MAX {
                return Err(fault(&format!("it gives more than {JQ_OUTPUTS_MAX} outputs")));
            }
            outputs.push(output);
            Ok(true)
        })?;
        Ok(outputs)
    }

    /// Exactly one output, taken as jq takes a condition: everything but `false` and `null` is true.
    ///
    /// # Errors
    /// As [`Expression::one`].
    pub(crate) fn test(&self, input: &Value) -> Result<bool, JsonFault> {
        Ok(!matches!(self.one(input)?, Value::Null | Value::Bool(false)))
    }

    /// Hands each output to `take`, until that says it has enough.
    fn run(
        &self,
        input: &Value,
        take: &mut dyn FnMut(Value) -> Result<bool, JsonFault>,
    ) -> Result<(), JsonFault> {
        match &self.body {
            Body::Path(path) => path.walk(input, take).map(|_| ()),
            Body::Program(program) => program.run(&self.text, input, take),
        }
    }
}

/// The value without what the paths name; paths that are not there change nothing. All of them mean places in the value
/// as it was given: `.a[0]` and `.a[1]` take away the first two elements.
///
/// # Errors
/// Of expressions that are no plain paths: their own error, or that they name no places (`.a + 1`).
pub(crate) fn without(value: &Value, paths: &[Expression]) -> Result<Value, JsonFault> {
    let plain = paths.iter().filter_map(|path| path.removals.as_deref()).flatten();
    let mut value = path::prune(value, &plain.map(Path::steps).collect::<Vec<_>>());
    for path in paths.iter().filter(|path| path.removals.is_none()) {
        if let Body::Program(program) = &path.body {
            value = program.remove(&path.text, &value)?;
        }
    }
    Ok(value)
}

fn fault(sentence: &str) -> JsonFault {
    JsonFault::new("jq", sentence)
}
