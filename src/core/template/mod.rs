//! `{{ jq }}` in what a source sends: in its URL, query, headers and body.
//!
//! A text is split into what stands there as it is and what jq gives, compiled once. [`WORDS`] are at hand in the jq
//! parts. A string that is one template keeps the value's type, and null drops its map key; in a string with other text
//! around it the value becomes text, and what has no text is a fault.

mod address;
mod body;
mod split;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::core::auth::Auth;
use crate::core::fault::Fault;
use crate::core::jq::{Expression, JqProblem};
use crate::core::json::{Value, as_text, compact, kind, null, object, text};

pub(crate) use address::{Address, Parameter};
pub(crate) use body::{Body, Node};
pub(crate) use split::{Span, split};

/// What templates have at hand.
pub(crate) static WORDS: &[&str] = &["since", "key", "item", "page", "auth"];

/// What templates have at hand, each under its own word; what is not set is null. `auth` is at hand by the source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    /// How far the last polls came.
    pub(crate) since: Option<&'a Value>,
    /// The key of the entry that is polled.
    pub(crate) key: Option<&'a Value>,
    /// That entry itself.
    pub(crate) item: Option<&'a Value>,
    /// What leads to the page that is asked for; nothing leads to the first.
    pub(crate) page: Option<&'a Value>,
}

/// The values of all words, for one request. Never shown: the credentials are among them.
pub(crate) struct Words(Value);

impl Words {
    /// The words of a request by a source with these credentials.
    pub(crate) fn new(context: &Context<'_>, auth: &Auth) -> Self {
        let value = |value: Option<&Value>| value.cloned().unwrap_or_else(null);
        Self(object(vec![
            ("since", value(context.since)),
            ("key", value(context.key)),
            ("item", value(context.item)),
            ("page", value(context.page)),
            ("auth", of_auth(auth)),
        ]))
    }

    /// A value over which templates run as expressions do, for [`Formula::parse_over`].
    pub(crate) fn over(value: Value) -> Self {
        Self(value)
    }

    /// What they stand for, as one value.
    pub(crate) fn value(&self) -> &Value {
        &self.0
    }
}

/// The credentials as they were declared: `{bearer: …}`.
fn of_auth(auth: &Auth) -> Value {
    match auth {
        // A token that is fetched is put in its place by whoever makes the exchange.
        Auth::None | Auth::OAuth2(_) => null(),
        Auth::Bearer(token) => object(vec![("bearer", text(token.expose()))]),
        Auth::Basic { user, password } => {
            let basic = vec![("user", text(user)), ("password", text(password.expose()))];
            object(vec![("basic", object(basic))])
        }
        Auth::Header(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), text(value.expose())));
            object(vec![("header", object(fields.collect()))])
        }
        Auth::Query(parameters) => {
            let parameters =
                parameters.iter().map(|(name, value)| (name.as_str(), text(value.expose())));
            object(vec![("query", object(parameters.collect()))])
        }
    }
}

/// A text with at least one `{{ jq }}` in it. Equal when its text is.
#[derive(Clone, PartialEq)]
pub(crate) struct Template {
    parts: Arc<[Part]>,
}

/// A part of a template.
#[derive(Clone, PartialEq)]
pub(crate) enum Part {
    /// As it stands there.
    Text(String),
    Jq(Formula),
}

/// One `{{ jq }}`.
#[derive(Clone, PartialEq)]
pub(crate) struct Formula {
    expression: Expression,
    /// The words it uses.
    words: Arc<[&'static str]>,
}

impl Formula {
    /// Compiles what stands between the braces.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, JqProblem> {
        if let Some(problem) = without_input(text) {
            return Err(problem);
        }
        let (expression, words) = Expression::parse_with_words(text, WORDS).map_err(|problem| {
            let is_unknown = problem.sentence.starts_with("there is no filter");
            let hint = problem.hint.or_else(|| is_unknown.then(at_hand));
            JqProblem { hint, ..problem }
        })?;
        Ok(Self { expression, words: words.into() })
    }

    /// Compiles what stands between the braces of a template that has an input: `.` is the value it runs over.
    ///
    /// # Errors
    /// As [`Formula::parse`].
    pub(crate) fn parse_over(text: &str) -> Result<Self, JqProblem> {
        Ok(Self { expression: Expression::parse(text)?, words: [].into() })
    }

    fn value(&self, words: &Words, at: Spot<'_>) -> Result<Value, Fault> {
        self.expression.one(&words.0).map_err(|fault| {
            let sentence = format!("{} in {at} fails: {}", self.shown(), fault.sentence);
            Fault::us("template", sentence)
        })
    }

    fn as_text(&self, value: &Value, at: Spot<'_>) -> Result<String, Fault> {
        scalar(value).ok_or_else(|| {
            let sentence =
                format!("{} in {at} is {}, and only text fits there", self.shown(), kind(value));
            Fault::us("template", sentence)
        })
    }

    /// As it may be shown: a literal in it may be a secret.
    fn shown(&self) -> String {
        const CHARS_MAX: usize = 60;
        let text = self.expression.text().trim();
        let is_plain = text.len() <= CHARS_MAX && !text.contains(['"', '\n']);
        format!("`{{{{{}}}}}`", if is_plain { text } else { " … " })
    }
}

/// A template that begins with `.`, as expressions over a value do.
fn without_input(text: &str) -> Option<JqProblem> {
    let lead = text.len() - text.trim_start().len();
    let path = text.get(lead..)?.strip_prefix('.')?;
    let name_end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let name = path.get(..name_end.unwrap_or(path.len()))?;
    let hint = match name {
        "" => at_hand(),
        name if WORDS.contains(&name) => format!("did you mean `{name}`?"),
        name => format!("did you mean `item.{name}`? {}", at_hand()),
    };
    let sentence = String::from("a template has no input that `.` could be");
    Some(JqProblem { at: lead..lead + 1 + name.len(), sentence, hint: Some(hint) })
}

fn at_hand() -> String {
    let words: Vec<_> = WORDS.iter().map(|word| format!("`{word}`")).collect();
    format!("at hand are {}", words.join(", "))
}

/// Where a template stands, for a sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spot<'a> {
    Url,
    Query(&'a str),
    Header(&'a str),
    Body,
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => out.write_str("`url`"),
            Self::Query(name) => write!(out, "the parameter `{}`", name.escape_debug()),
            Self::Header(name) => write!(out, "the header `{name}`"),
            Self::Body => out.write_str("`body`"),
        }
    }
}

impl Template {
    /// Puts the parts of a text together.
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        Self { parts: parts.into() }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place in the text.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Self, JqProblem> {
        let parts = split(text)?.into_iter().map(|span| match span {
            Span::Text(at) => Ok(Part::Text(text.get(at).unwrap_or_default().to_owned())),
            Span::Jq(at) => {
                let inner = text.get(at.clone()).unwrap_or_default();
                Formula::parse(inner).map(Part::Jq).map_err(|problem| {
                    let place = problem.at.start + at.start..problem.at.end + at.start;
                    JqProblem { at: place, ..problem }
                })
            }
        });
        Ok(Self::new(parts.collect::<Result<_, _>>()?))
    }

    /// The parts, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it has no templates.
    pub(crate) fn is_fixed(&self) -> bool {
        self.formulas().next().is_none()
    }

    /// Whether it uses a word.
    pub(crate) fn uses(&self, word: &str) -> bool {
        self.formulas().any(|formula| formula.words.contains(&word))
    }

    fn formulas(&self) -> impl Iterator<Item = &Formula> {
        self.parts.iter().filter_map(|part| match part {
            Part::Jq(formula) => Some(formula),
            Part::Text(_) => None,
        })
    }

    /// The one template that the whole text is.
    fn sole(&self) -> Option<&Formula> {
        match self.parts() {
            [Part::Jq(formula)] => Some(formula),
            _ => None,
        }
    }

    /// The text with an `x` in place of each template, to see what can become of the rest.
    pub(crate) fn tried(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Jq(_) => "x",
        });
        parts.collect()
    }

    /// The text it was read from, for digests.
    fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Jq(formula) => format!("{{{{{}}}}}", formula.expression.text()),
        });
        parts.collect()
    }

    /// The value of a text that is one template; the text of any other.
    fn value(&self, words: &Words, at: Spot<'_>) -> Result<Value, Fault> {
        match self.sole() {
            Some(formula) => formula.value(words, at),
            None => Ok(text(&self.filled(words, at, str::to_owned)?)),
        }
    }

    /// The text, with every value in it as `encode` writes it.
    fn filled(
        &self,
        words: &Words,
        at: Spot<'_>,
        encode: fn(&str) -> String,
    ) -> Result<String, Fault> {
        let mut filled = String::new();
        for part in self.parts() {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Jq(formula) => {
                    let value = formula.value(words, at)?;
                    filled.push_str(&encode(&formula.as_text(&value, at)?));
                }
            }
        }
        Ok(filled)
    }

    /// The text; `None` for null where the text is one template.
    fn text_or_none(&self, words: &Words, at: Spot<'_>) -> Result<Option<String>, Fault> {
        let Some(formula) = self.sole() else {
            return self.filled(words, at, str::to_owned).map(Some);
        };
        match formula.value(words, at)? {
            Value::Null => Ok(None),
            value => formula.as_text(&value, at).map(Some),
        }
    }

    /// The texts that a parameter has: a list is one for each, null none.
    fn texts(&self, words: &Words, at: Spot<'_>) -> Result<Vec<String>, Fault> {
        let Some(formula) = self.sole() else {
            return Ok(vec![self.filled(words, at, str::to_owned)?]);
        };
        match formula.value(words, at)? {
            Value::Null => Ok(Vec::new()),
            Value::Arr(values) => values.iter().map(|value| formula.as_text(value, at)).collect(),
            value => Ok(vec![formula.as_text(&value, at)?]),
        }
    }
}

/// Only the words it uses.
impl fmt::Debug for Formula {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Formula").field(&self.words).finish()
    }
}

/// Only the words it uses: what stands around and in the templates may be a secret.
impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Template").field(&self.formulas().collect::<Vec<_>>()).finish()
    }
}

/// A scalar's text: numbers as they are written, booleans as words.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(word) => Some(word.to_string()),
        Value::Num(_) => compact(value).ok().map(|number| number.as_str().to_owned()),
        value => as_text(value).map(str::to_owned),
    }
}

/// Adds rendered headers to a request's; they stand in for others of their name, and null leaves those alone.
///
/// # Errors
/// A fault when a template fails or gives what no header can hold.
pub(crate) fn add_headers(
    templates: &[(HeaderName, Template)],
    words: &Words,
    headers: &mut HeaderMap,
) -> Result<(), Fault> {
    for (name, template) in templates {
        let spot = Spot::Header(name.as_str());
        let Some(text) = template.text_or_none(words, spot)? else { continue };
        let Ok(mut value) = HeaderValue::from_str(&text) else {
            let sentence = format!("{spot} would hold a line break or another control character");
            return Err(Fault::us("template", sentence));
        };
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
    }
    Ok(())
}
