//! The filter over the syntax tree: refuses what has no bound, and threads a meter through what is left.
//!
//! jaq evaluates lazily and cannot be interrupted, so the tree itself is made to count. Every source of many outputs
//! is followed by [`TICK`], which counts them; everything that builds a value is followed by [`WEIGH`], which measures
//! it; and sums and products become [`PLUS`] and [`TIMES`], which measure before they build. Both are the identity
//! otherwise, also as paths (`.[] = 1`). With loops and definitions refused, what an expression can do is then bounded
//! by what the meter allows.

use std::collections::BTreeSet;

use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Def, Parser, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{self, Part};

use crate::core::jq::JqProblem;
use crate::core::jq::problem;
use crate::core::limits::JQ_TEXT_BYTES_MAX;

/// Brackets in one expression: the lexer recurses into them.
const BRACKETS_MAX: usize = 400;
/// Levels of brackets: parser, compiler and engine recurse into them, and take more at each.
const NESTING_MAX: usize = 48;
/// Names, numbers and signs in one expression: chains of operators are recursion too.
const TOKENS_MAX: usize = 600;

// No expression can name these: they are no jq identifiers.
/// Counts what passes.
pub(super) const TICK: &str = "!tick";
/// Measures what passes.
pub(super) const WEIGH: &str = "!weigh";
/// `l + r`, measured.
pub(super) const PLUS: &str = "!plus";
/// `l * r`, measured.
pub(super) const TIMES: &str = "!times";
/// Holds the right side of `l += r`.
const RIGHT: &str = "$!right";
/// Holds the words of a template, by name.
const WORDS: &str = "$!words";

/// The filter that a compiled expression is; nothing may call it.
pub(super) const MAIN: &str = "doorbell__main";

/// Splits an expression into tokens, if it is of reasonable size.
pub(super) fn lex(text: &str) -> Result<Vec<Token<&str>>, JqProblem> {
    let whole = 0..text.len();
    let split = "split it up, or move lists of values into the data";
    if text.len() > JQ_TEXT_BYTES_MAX {
        let sentence = format!("the expression is longer than {JQ_TEXT_BYTES_MAX} bytes");
        return Err(JqProblem::new(whole, sentence).with_hint(split));
    }
    if text.matches(['(', '[', '{']).count() > BRACKETS_MAX {
        let sentence = format!("the expression has more than {BRACKETS_MAX} brackets");
        return Err(JqProblem::new(whole, sentence).with_hint(split));
    }
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        let first = errors.first().map(|error| problem::of_lexer(text, error));
        first.unwrap_or_else(|| JqProblem::new(whole.clone(), "this is no jq"))
    })?;
    let (count, depth) = measure(&tokens);
    if count > TOKENS_MAX || depth > NESTING_MAX {
        let sentence = format!(
            "the expression has more than {TOKENS_MAX} parts or {NESTING_MAX} levels of brackets"
        );
        return Err(JqProblem::new(whole, sentence).with_hint(split));
    }
    match tokens.first() {
        None => {
            Err(JqProblem::new(whole, "the expression is empty")
                .with_hint("`.` is the whole value"))
        }
        Some(Token(word @ ("import" | "include" | "module"), _)) => Err(refuse(text, word, 0)),
        Some(_) => Ok(tokens),
    }
}

/// Makes a syntax tree of tokens.
pub(super) fn parse<'s>(
    text: &'s str,
    tokens: &[Token<&'s str>],
) -> Result<Term<&'s str>, JqProblem> {
    Parser::new(tokens).parse(Parser::term).map_err(|errors| match errors.first() {
        Some((expected, found)) => problem::of_parser(text, expected, *found),
        None => JqProblem::new(0..text.len(), "this is no jq"),
    })
}

/// How many tokens there are, inner ones too, and how deep they nest.
fn measure(tokens: &[Token<&str>]) -> (usize, usize) {
    let mut whole = (0, 0);
    let mut add = |(count, depth): (usize, usize)| {
        whole = (whole.0 + count, whole.1.max(depth + 1));
    };
    for Token(_, kind) in tokens {
        add((1, 0));
        match kind {
            Tok::Block(tokens) => add(measure(tokens)),
            Tok::Str(parts) => parts.iter().for_each(|part| {
                if let StrPart::Term(token) = part {
                    add(measure(std::slice::from_ref(token)));
                }
            }),
            _ => {}
        }
    }
    whole
}

fn refuse(text: &str, name: &str, arguments: usize) -> JqProblem {
    let unknown = ("an expression cannot call itself", None);
    problem::refused(text, name, problem::refusal(name, arguments).unwrap_or(unknown))
}

/// Filters that build nothing, or nothing larger than their input: what passes them needs no measure.
const LIGHT: &[&str] = &[
    "all",
    "any",
    "arrays",
    "booleans",
    "ceil",
    "empty",
    "endswith",
    "error",
    "false",
    "first",
    "floor",
    "has",
    "isempty",
    "isnumber",
    "isstring",
    "last",
    "length",
    "limit",
    "not",
    "nth",
    "null",
    "nulls",
    "numbers",
    "objects",
    "round",
    "scalars",
    "select",
    "skip",
    "startswith",
    "strings",
    "true",
    "type",
    "values",
    "IN",
];

/// Walks a syntax tree, takes note of what it calls, and threads the meter through it.
pub(super) struct Guard<'s> {
    /// The expression's text; `None` for the library, which is trusted.
    text: Option<&'s str>,
    is_metered: bool,
    /// Words that stand for values of the input, wherever they are used.
    words: &'static [&'static str],
    /// Those of them that are used.
    pub(super) used: BTreeSet<&'static str>,
    /// Every filter called, by name.
    pub(super) calls: BTreeSet<&'s str>,
}

type Guarded<'s> = Result<Term<&'s str>, JqProblem>;

impl<'s> Guard<'s> {
    /// For an expression that somebody wrote.
    pub(super) fn new(text: &'s str) -> Self {
        Self { text: Some(text), ..Self::of_library(true) }
    }

    /// The same, with words at hand.
    pub(super) fn with_words(text: &'s str, words: &'static [&'static str]) -> Self {
        Self { words, ..Self::new(text) }
    }

    /// For a definition of the library; metered if it can do much more than it is given.
    pub(super) fn of_library(is_metered: bool) -> Self {
        let (words, used) = (&[] as &[_], BTreeSet::new());
        Self { text: None, is_metered, words, used, calls: BTreeSet::new() }
    }

    /// A whole expression with its meter. With words, its input is the object that has them; what was written sees
    /// null.
    pub(super) fn whole(&mut self, term: Term<&'s str>) -> Guarded<'s> {
        let body = self.term(term)?;
        if self.words.is_empty() {
            return Ok(body);
        }
        self.calls.insert("null");
        let body = pipe(Term::Call("null", Vec::new()), body);
        Ok(binary(Term::Id, BinaryOp::Pipe(Some(Pattern::Var(WORDS))), body))
    }

    /// The tree with its meter.
    pub(super) fn term(&mut self, term: Term<&'s str>) -> Guarded<'s> {
        Ok(match term {
            Term::Id | Term::Num(_) | Term::Arr(None) | Term::Break(_) => term,
            Term::Recurse => self.then(Term::Recurse, TICK),
            Term::Var(name) => match self.text {
                Some(text) if problem::refusal(name, 0).is_some() => {
                    return Err(refuse(text, name, 0));
                }
                _ => Term::Var(name),
            },
            Term::Str(format, parts) => self.string(format, parts)?,
            Term::Arr(Some(inner)) => {
                let array = Term::Arr(Some(self.boxed(*inner)?));
                self.then(array, WEIGH)
            }
            Term::Obj(entries) => self.object(entries)?,
            Term::Neg(inner) => Term::Neg(self.boxed(*inner)?),
            Term::BinOp(left, operator, right) => self.operation(*left, operator, *right)?,
            Term::Label(name, inner) => Term::Label(name, self.boxed(*inner)?),
            Term::Fold(name, stream, pattern, arguments) => {
                let stream = self.boxed(*stream)?;
                let pattern = self.pattern(pattern)?;
                let arguments = arguments.into_iter().map(|argument| {
                    let argument = self.term(argument)?;
                    Ok(self.then(argument, TICK))
                });
                let arguments = arguments.collect::<Result<_, JqProblem>>()?;
                Term::Fold(name, stream, pattern, arguments)
            }
            Term::TryCatch(body, handler) => {
                let handler = handler.map(|handler| self.boxed(*handler)).transpose()?;
                Term::TryCatch(self.boxed(*body)?, handler)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches
                    .into_iter()
                    .map(|(condition, then)| Ok((self.term(condition)?, self.term(then)?)))
                    .collect::<Result<_, JqProblem>>()?;
                let otherwise = otherwise.map(|term| self.boxed(*term)).transpose()?;
                Term::IfThenElse(branches, otherwise)
            }
            Term::Def(definitions, body) => self.definitions(definitions, *body)?,
            Term::Call(name, arguments) => self.call(name, arguments)?,
            Term::Path(head, path) => self.path(*head, path)?,
        })
    }

    fn boxed(&mut self, term: Term<&'s str>) -> Result<Box<Term<&'s str>>, JqProblem> {
        self.term(term).map(Box::new)
    }

    fn then(&self, term: Term<&'s str>, meter: &'s str) -> Term<&'s str> {
        if self.is_metered { pipe(term, Term::Call(meter, Vec::new())) } else { term }
    }

    fn definitions(&mut self, definitions: Vec<Def<&'s str>>, body: Term<&'s str>) -> Guarded<'s> {
        if let (Some(text), Some(first)) = (self.text, definitions.first()) {
            return Err(problem::definition(text, first.name));
        }
        let definitions = definitions
            .into_iter()
            .map(|definition| Ok(Def { body: self.term(definition.body)?, ..definition }))
            .collect::<Result<_, JqProblem>>()?;
        Ok(Term::Def(definitions, self.boxed(body)?))
    }

    fn string(
        &mut self,
        format: Option<&'s str>,
        parts: Vec<StrPart<&'s str, Term<&'s str>>>,
    ) -> Guarded<'s> {
        self.calls.extend(format);
        let is_built = parts.iter().any(|part| matches!(part, StrPart::Term(_)));
        let parts = parts.into_iter().map(|part| {
            Ok(match part {
                StrPart::Term(term) => {
                    let term = self.term(term)?;
                    StrPart::Term(self.then(term, WEIGH))
                }
                plain => plain,
            })
        });
        let string = Term::Str(format, parts.collect::<Result<_, JqProblem>>()?);
        Ok(if is_built { self.then(string, WEIGH) } else { string })
    }

    fn object(&mut self, entries: Vec<(Term<&'s str>, Option<Term<&'s str>>)>) -> Guarded<'s> {
        let entries = entries.into_iter().map(|(name, value)| {
            let value = value.map(|value| self.term(value)).transpose()?;
            Ok((self.term(name)?, value))
        });
        let object = Term::Obj(entries.collect::<Result<_, JqProblem>>()?);
        Ok(self.then(object, WEIGH))
    }

    fn pattern(&mut self, pattern: Pattern<&'s str>) -> Result<Pattern<&'s str>, JqProblem> {
        Ok(match pattern {
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(patterns) => {
                let patterns = patterns.into_iter().map(|pattern| self.pattern(pattern));
                Pattern::Arr(patterns.collect::<Result<_, _>>()?)
            }
            Pattern::Obj(entries) => {
                let entries = entries
                    .into_iter()
                    .map(|(name, pattern)| Ok((self.term(name)?, self.pattern(pattern)?)));
                Pattern::Obj(entries.collect::<Result<_, JqProblem>>()?)
            }
        })
    }

    fn call(&mut self, name: &'s str, arguments: Vec<Term<&'s str>>) -> Guarded<'s> {
        if let Some(text) = self.text
            && (name == MAIN || problem::refusal(name, arguments.len()).is_some())
        {
            return Err(refuse(text, name, arguments.len()));
        }
        if name == "recurse" && arguments.is_empty() {
            return Ok(self.then(Term::Recurse, TICK));
        }
        if let Some(word) = self.words.iter().find(|word| **word == name && arguments.is_empty()) {
            self.used.insert(word);
            return Ok(word_of(word));
        }
        self.calls.insert(name);
        let is_light = LIGHT.contains(&name);
        let arguments = arguments.into_iter().map(|argument| {
            let argument = self.term(argument)?;
            Ok(if is_light { argument } else { self.then(argument, WEIGH) })
        });
        let call = Term::Call(name, arguments.collect::<Result<_, JqProblem>>()?);
        Ok(match name {
            "range" => self.then(call, TICK),
            _ if is_light || !self.is_metered => call,
            _ => {
                let call = self.then(call, WEIGH);
                pipe(Term::Call(WEIGH, Vec::new()), call)
            }
        })
    }

    fn path(&mut self, head: Term<&'s str>, path: path::Path<Term<&'s str>>) -> Guarded<'s> {
        let is =
            |wanted: fn(&Part<Term<&str>>) -> bool| path.0.iter().any(|(part, _)| wanted(part));
        let is_many = is(|part| matches!(part, Part::Range(None, None)));
        let is_slice = is(|part| matches!(part, Part::Range(Some(_), _) | Part::Range(_, Some(_))));
        let head = self.boxed(head)?;
        let parts = path.0.into_iter().map(|(part, opt)| {
            let part = match part {
                Part::Index(index) => Part::Index(self.term(index)?),
                Part::Range(from, to) => Part::Range(
                    from.map(|from| self.term(from)).transpose()?,
                    to.map(|to| self.term(to)).transpose()?,
                ),
            };
            Ok((part, opt))
        });
        let path = Term::Path(head, path::Path(parts.collect::<Result<_, JqProblem>>()?));
        Ok(if is_slice {
            self.then(path, WEIGH)
        } else if is_many {
            self.then(path, TICK)
        } else {
            path
        })
    }

    fn operation(
        &mut self,
        left: Term<&'s str>,
        operator: BinaryOp<&'s str>,
        right: Term<&'s str>,
    ) -> Guarded<'s> {
        let is_one = is_one_place(&left);
        let is_plain = is_scalar(&left) || is_scalar(&right);
        let left = self.term(left)?;
        let right = self.term(right)?;
        Ok(match operator {
            BinaryOp::Pipe(Some(pattern)) => {
                binary(left, BinaryOp::Pipe(Some(self.pattern(pattern)?)), right)
            }
            BinaryOp::Math(Math::Add) if self.is_metered => Term::Call(PLUS, vec![left, right]),
            BinaryOp::Math(Math::Mul) if self.is_metered => Term::Call(TIMES, vec![left, right]),
            BinaryOp::Cmp(_) if !is_plain => {
                binary(self.then(left, WEIGH), operator, self.then(right, WEIGH))
            }
            BinaryOp::UpdateMath(sum @ (Math::Add | Math::Mul)) if self.is_metered => {
                let sum = if matches!(sum, Math::Add) { PLUS } else { TIMES };
                let update = Term::Call(sum, vec![Term::Id, Term::Var(RIGHT)]);
                let update = self.update(is_one, left, BinaryOp::Update, update);
                binary(right, BinaryOp::Pipe(Some(Pattern::Var(RIGHT))), update)
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                let right = self.then(right, WEIGH);
                self.update(is_one, left, operator, right)
            }
            other => binary(left, other, right),
        })
    }

    /// One place takes on a measured value at most; many places may each take on the same, and grow without measure.
    fn update(
        &self,
        is_one: bool,
        left: Term<&'s str>,
        operator: BinaryOp<&'s str>,
        right: Term<&'s str>,
    ) -> Term<&'s str> {
        let update = binary(left, operator, right);
        if is_one { update } else { self.then(update, WEIGH) }
    }
}

/// `$words.WORD`
fn word_of<'s>(word: &'static str) -> Term<&'s str> {
    let name = Term::Str(None, vec![StrPart::Str(word)]);
    let path = path::Path(vec![(Part::Index(name), path::Opt::Essential)]);
    Term::Path(Box::new(Term::Var(WORDS)), path)
}

fn binary<'s>(
    left: Term<&'s str>,
    operator: BinaryOp<&'s str>,
    right: Term<&'s str>,
) -> Term<&'s str> {
    Term::BinOp(Box::new(left), operator, Box::new(right))
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    binary(left, BinaryOp::Pipe(None), right)
}

/// Whether a term is a literal that compares with anything at once.
fn is_scalar(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) | Term::Call("null" | "true" | "false", _) => true,
        Term::Neg(inner) => is_scalar(inner),
        Term::Str(None, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(_))),
        _ => false,
    }
}

/// Whether a term names one place only, such as `.a.b[0]` or `.[$id]`.
fn is_one_place(term: &Term<&str>) -> bool {
    match term {
        Term::Id | Term::Var(_) => true,
        Term::Call("tostring" | "tojson" | "type" | "length" | "ascii_downcase", arguments) => {
            arguments.is_empty()
        }
        Term::BinOp(left, BinaryOp::Pipe(None), right) => is_one_place(left) && is_one_place(right),
        Term::Path(head, path) => {
            is_one_place(head)
                && path.0.iter().all(|(part, _)| match part {
                    Part::Index(index) => is_scalar(index) || is_one_place(index),
                    Part::Range(..) => false,
                })
        }
        _ => false,
    }
}
