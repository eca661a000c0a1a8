//! Where a listing goes on. Every style gives what leads to the next page, a value: it is `{{page}}` in that page's
//! request, and the short forms also put it into the URL themselves.
//!
//! To add a style: a file beside this one, a variant, an arm in [`Pages::address`] and in [`Pages::next`].

mod cursor;
mod general;
mod known;
mod link;
mod next_url;
mod number;
mod offset;
mod target;
mod trail;

#[cfg(test)]
mod tests;

use url::Url;

use crate::core::extract::Shape;
use crate::core::fault::Fault;
use crate::core::http::{Response, with_params};
use crate::core::jq::Expression;
use crate::core::json::{self, JsonFault, Value};

pub(crate) use cursor::Cursor;
pub(crate) use known::{KnownPage, KnownPages};
pub(crate) use number::Number;
pub(crate) use offset::Offset;
pub(crate) use trail::Trail;

/// How a source's listing is split. `pages_max` bounds the pages of one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pages {
    /// One answer is the whole listing.
    One,
    /// RFC 8288 `Link: <…>; rel="next"`.
    Link { pages_max: usize },
    /// An expression over status, headers and body gives `{{page}}`; null ends.
    General { next: Expression, pages_max: usize },
    /// The body holds the URL of the next page.
    NextUrl { next_url: Expression, pages_max: usize },
    /// The body holds a token that goes into a query parameter.
    Cursor { cursor: Cursor, pages_max: usize },
    /// Pages are counted.
    Number { number: Number, pages_max: usize },
    /// Items are counted.
    Offset { offset: Offset, pages_max: usize },
}

/// A query parameter with a fixed number, such as the size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) param: String,
    /// In items.
    pub(crate) count: u64,
}

/// A page that was asked for and answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// What led to it; null for the first page of most styles.
    pub(crate) token: &'a Value,
    /// Where it was asked for, without the credentials.
    pub(crate) address: &'a Url,
    pub(crate) response: &'a Response,
    /// The items it holds, usable or not.
    pub(crate) received: u64,
}

/// What a page says about the rest of its listing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) next: Next,
    /// How much there is by the API's own count, in pages or in items.
    pub(crate) announced: Option<u64>,
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// Another page; this leads to it.
    Page(Value),
    /// Nothing: the listing was read to its end.
    End,
    /// Nothing, although the API had announced something else: what was not seen may still be there.
    Early(Fault),
}

impl From<Next> for Step {
    fn from(next: Next) -> Self {
        Self { next, announced: None }
    }
}

impl Pages {
    /// The names of the parameters that the short forms put into the URL.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        let (param, size) = match self {
            Self::Cursor { cursor, .. } => (Some(&cursor.param), None),
            Self::Number { number, .. } => (Some(&number.param), number.size.as_ref()),
            Self::Offset { offset, .. } => (Some(&offset.param), offset.limit.as_ref()),
            _ => (None, None),
        };
        param.into_iter().chain(size.map(|size| &size.param)).map(String::as_str)
    }

    /// What leads to the first page.
    pub(crate) fn first(&self) -> Value {
        match self {
            Self::One
            | Self::Link { .. }
            | Self::General { .. }
            | Self::NextUrl { .. }
            | Self::Cursor { .. } => json::null(),
            Self::Number { number, .. } => whole(number.start),
            Self::Offset { offset, .. } => whole(offset.start),
        }
    }

    /// Where the page is that `token` leads to. `base` is the source's own URL, its templates filled in for that page.
    ///
    /// # Errors
    /// `page_off_origin` when that is not where the first page was: credentials are not carried there.
    pub(crate) fn address(
        &self,
        base: Url,
        token: &Value,
        first: Option<&Url>,
    ) -> Result<Url, Fault> {
        let address = match self {
            Self::One | Self::General { .. } => base,
            Self::Link { .. } | Self::NextUrl { .. } => match json::as_text(token) {
                Some(text) => Url::parse(text).map_err(|_| unusable("it is no URL"))?,
                None => base,
            },
            Self::Cursor { cursor, .. } => match json::as_text(token) {
                Some(text) => with_params(&base, &[(&cursor.param, text)]),
                None => base,
            },
            Self::Number { number, .. } => {
                counted(&base, &number.param, token, number.size.as_ref())
            }
            Self::Offset { offset, .. } => {
                counted(&base, &offset.param, token, offset.limit.as_ref())
            }
        };
        if let Some(first) = first {
            target::check_origin(first, &address)?;
        }
        Ok(address)
    }

    /// What comes after a page.
    ///
    /// # Errors
    /// A fault when that cannot be told. It is never taken for the end.
    pub(crate) fn next(&self, page: &Answered<'_>) -> Result<Step, Fault> {
        match self {
            Self::One => Ok(Next::End.into()),
            Self::Link { .. } => {
                let next = link::next(page.address, page.response)?;
                Ok(next.map_or(Next::End, |next| Next::Page(json::text(next.as_str()))).into())
            }
            Self::General { next, .. } => general::next(next, page).map(Step::from),
            Self::NextUrl { next_url, .. } => next_url::next(next_url, page).map(Step::from),
            Self::Cursor { cursor, .. } => cursor.next(page).map(Step::from),
            Self::Number { number, .. } => number.next(page),
            Self::Offset { offset, .. } => offset.next(page),
        }
    }

    /// How many pages one poll may read.
    pub(crate) fn pages_max(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Link { pages_max }
            | Self::General { pages_max, .. }
            | Self::NextUrl { pages_max, .. }
            | Self::Cursor { pages_max, .. }
            | Self::Number { pages_max, .. }
            | Self::Offset { pages_max, .. } => *pages_max,
        }
    }

    /// Refuses what cannot be a page of a listing that has several.
    ///
    /// # Errors
    /// `no_list` for an answer that is a single object: most often an error message.
    pub(crate) fn check_shape(&self, shape: Shape) -> Result<(), Fault> {
        if *self != Self::One && shape == Shape::Object {
            let sentence =
                "a page of the listing is an object and no list; where is the list? Set `items`";
            return Err(Fault::source("no_list", sentence));
        }
        Ok(())
    }

    /// What of it decides which items there are: part of a source's identity. How large pages are and how many there
    /// may be does not.
    pub(crate) fn identity(&self) -> String {
        let text =
            |expression: Option<&Expression>| expression.map_or("", Expression::text).to_owned();
        match self {
            Self::One => String::from("One"),
            Self::Link { .. } => String::from("Link { pages_max: 10000 }"),
            Self::General { next, .. } => format!("next {next:?}"),
            Self::NextUrl { next_url, .. } => format!("next_url {next_url:?}"),
            Self::Cursor { cursor, .. } => format!("cursor {} {:?}", cursor.param, cursor.cursor),
            Self::Number { number, .. } => {
                format!("page {} {} {}", number.param, number.start, text(number.last.as_ref()))
            }
            Self::Offset { offset, .. } => {
                format!("offset {} {} {}", offset.param, offset.start, text(offset.total.as_ref()))
            }
        }
    }
}

/// A whole number as a value.
fn whole(number: u64) -> Value {
    json::read(&number.to_string()).expect("digits are JSON")
}

/// The number that a token of a counting style holds.
fn count_of(token: &Value) -> u64 {
    count(token).expect("a counting style leads to its pages by whole numbers")
}

/// A whole number that is not negative, also as text: APIs write `3`, `3.0` and `"3"`.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Num(_) => json::number_text(value)?.parse().ok(),
        _ => json::as_text(value)?.trim().parse().ok(),
    }
}

fn counted(base: &Url, param: &str, token: &Value, size: Option<&Size>) -> Url {
    let at = count_of(token).to_string();
    let size = size.map(|size| (size.param.as_str(), size.count.to_string()));
    let mut params = vec![(param, at.as_str())];
    params.extend(size.as_ref().map(|(param, count)| (*param, count.as_str())));
    with_params(base, &params)
}

/// What an expression gives over a page's body; nothing at all counts as null.
///
/// # Errors
/// `pages`: the body is no JSON, the expression fails, or it gives more than one output.
fn over_body(key: &str, expression: &Expression, response: &Response) -> Result<Value, Fault> {
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    let body =
        json::read(text.trim_start_matches('\u{feff}')).map_err(|fault| failed(key, &fault))?;
    output(key, expression, &body)
}

/// The one output of an expression; nothing at all counts as null.
fn output(key: &str, expression: &Expression, input: &Value) -> Result<Value, Fault> {
    let mut outputs = expression.each(input).map_err(|fault| failed(key, &fault))?.into_iter();
    match (outputs.next(), outputs.next()) {
        (None, _) => Ok(json::null()),
        (Some(output), None) => Ok(output),
        (Some(_), Some(_)) => {
            let sentence = "it gives more than one output, and exactly one is needed";
            Err(failed(key, &JsonFault::new("jq", sentence)))
        }
    }
}

fn failed(key: &str, fault: &JsonFault) -> Fault {
    Fault::source("pages", format!("whether there are more pages cannot be told: `{key}`: {fault}"))
}

fn unusable(why: &str) -> Fault {
    Fault::source("pages", format!("what leads to the next page cannot be used: {why}"))
}

/// Whether a value of a short form says that there is no next page.
fn is_end(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || json::as_text(value) == Some("")
}
