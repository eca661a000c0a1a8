//! What can be wrong with an expression, in words for the person who wrote it.

use std::ops::Range;

use jaq_core::compile::Undefined;
use jaq_core::load::lex::{self, Token};
use jaq_core::load::{parse, span};

/// What is wrong with an expression's text, and where in it (bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JqProblem {
    pub(crate) at: Range<usize>,
    pub(crate) sentence: String,
    pub(crate) hint: Option<String>,
}

impl JqProblem {
    pub(super) fn new(at: Range<usize>, sentence: impl Into<String>) -> Self {
        Self { at, sentence: sentence.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

const OUTSIDE: &str = "an expression sees its input and nothing else";
const ENDLESS: &str = "an expression must not be able to run for ever";

/// Why a filter or variable that jq has is not available here, and what to use in its place. `arguments` tells filters
/// of one name apart.
pub(super) fn refusal(
    name: &str,
    arguments: usize,
) -> Option<(&'static str, Option<&'static str>)> {
    Some(match (name, arguments) {
        ("env" | "$ENV", _) => (OUTSIDE, Some("write `${NAME}` where the value is needed")),
        ("input" | "inputs" | "input_filename" | "input_line_number", _) => {
            (OUTSIDE, Some("the input is `.`"))
        }
        (
            "import" | "include" | "module" | "modulemeta" | "get_search_list" | "$__loc__"
            | "$__prog_args",
            _,
        ) => (OUTSIDE, None),
        ("halt" | "halt_error", _) => {
            ("an expression cannot end the program", Some("use `error(\"why\")`"))
        }
        ("debug" | "stderr" | "debug_empty" | "stderr_empty", _) => {
            ("an expression cannot write to the log", None)
        }
        ("repeat" | "while" | "until" | "recurse_down", _) | ("recurse", 1..) => {
            (ENDLESS, Some("use `..`, `range(n)`, `reduce` or `foreach`"))
        }
        (
            "now" | "localtime" | "gmtime" | "mktime" | "strftime" | "strflocaltime" | "strptime",
            _,
        ) => (
            "an expression does not see the clock or the calendar",
            Some("RFC 3339 timestamps compare as text; `fromdate` gives seconds"),
        ),
        _ => return None,
    })
}

/// A refused name at its place.
pub(super) fn refused(
    text: &str,
    name: &str,
    (why, hint): (&str, Option<&'static str>),
) -> JqProblem {
    let problem = JqProblem::new(span(text, name), format!("`{name}` is not available: {why}"));
    JqProblem { hint: hint.map(str::to_owned), ..problem }
}

/// A definition, at its `def`.
pub(super) fn definition(text: &str, name: &str) -> JqProblem {
    let name = span(text, name);
    let before = text.get(..name.start).unwrap_or_default();
    let start = before.rfind("def").unwrap_or(name.start);
    JqProblem::new(start..name.end, format!("`def` is not available: {ENDLESS}"))
        .with_hint("write it out where it is used, or bind a value: `… as $name | …`")
}

/// What jaq's lexer found.
pub(super) fn of_lexer(text: &str, (expected, rest): &lex::Error<&str>) -> JqProblem {
    let start = span(text, rest).start;
    let next = rest.chars().next();
    let at = start..start + next.map_or(0, char::len_utf8);
    let found = next.map_or_else(|| "the expression ends".into(), |c| format!("found `{c}`"));
    match expected {
        lex::Expect::Delim(open) if next.is_none() => {
            JqProblem::new(span(text, open), format!("this `{open}` is never closed"))
        }
        lex::Expect::Delim(open) if next.is_some_and(|next| !")]}".contains(next)) => {
            JqProblem::new(at, format!("{found}, which jq does not know, after `{open}`"))
        }
        lex::Expect::Token => JqProblem::new(at, format!("{found}, which jq does not know here")),
        expected => JqProblem::new(at, format!("expected a {}, {found}", expected.as_str())),
    }
}

/// What jaq's parser found.
pub(super) fn of_parser(
    text: &str,
    expected: &parse::Expect<&str>,
    found: Option<&Token<&str>>,
) -> JqProblem {
    let place = Token::opt_as_str(found, text);
    let at = span(text, place);
    let ends = place.is_empty() && at.start == text.len();
    // A block is one token: name its bracket, not all of it.
    let short: String = place.chars().take(20).collect();
    let found = if ends { "the expression ends".into() } else { format!("found `{short}`") };
    match expected {
        parse::Expect::Nothing => JqProblem::new(at, format!("expected an operator, {found}")),
        parse::Expect::Just(token) => JqProblem::new(at, format!("expected `{token}`, {found}")),
        expected => JqProblem::new(at, format!("expected a {}, {found}", expected.as_str())),
    }
}

/// A name that jaq's compiler did not find. `arities` are the numbers of arguments a filter of that name takes.
pub(super) fn of_compiler(
    text: &str,
    name: &str,
    undefined: &Undefined,
    arities: &[usize],
) -> JqProblem {
    let Undefined::Filter(given) = undefined else {
        let sentence = format!("there is no {} `{name}`", undefined.as_str());
        return JqProblem::new(span(text, name), sentence);
    };
    let with = |count: usize| match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    };
    let sentence = format!("there is no filter `{name}` with {}", with(*given));
    let problem = JqProblem::new(span(text, name), sentence);
    match arities {
        [] => problem,
        arities => {
            let known: Vec<_> = arities.iter().map(|count| with(*count)).collect();
            problem.with_hint(format!("`{name}` takes {}", known.join(" or ")))
        }
    }
}
