//! `{page: PARAM, start, size: {PARAM: n}, last: EXPR}`: pages are counted.
//!
//! A page with fewer items than asked for is no end: APIs cap the size in silence, and some leave items out only after
//! they cut the page. The end is where the API says so, or an empty page.

use crate::core::fault::Fault;
use crate::core::jq::Expression;
use crate::core::json::{Value, kind};
use crate::core::pages::{Answered, Next, Size, Step, count, count_of, over_body, unusable, whole};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) param: String,
    /// The number of the first page.
    pub(crate) start: u64,
    pub(crate) size: Option<Size>,
    /// Over the body: the number of the last page, or whether this is it.
    pub(crate) last: Option<Expression>,
}

/// What a page says about which one is the last.
enum Last {
    Unknown,
    Is(bool),
    Numbered(u64),
}

impl Number {
    /// What comes after a page.
    pub(super) fn next(&self, page: &Answered<'_>) -> Result<Step, Fault> {
        let number = count_of(page.token);
        let last = self.last(page)?;
        let next = match last {
            Last::Is(true) => Next::End,
            Last::Numbered(last) if number >= last => Next::End,
            Last::Unknown if page.received == 0 => Next::End,
            _ if page.received == 0 => Next::Early(Fault::source(
                "early_end",
                format!(
                    "page {number} is empty, but is not the last one by the API's own account; nothing counts as absent"
                ),
            )),
            _ => Next::Page(whole(number.saturating_add(1))),
        };
        let announced = match last {
            Last::Numbered(last) => Some(last),
            Last::Unknown | Last::Is(_) => None,
        };
        Ok(Step { next, announced })
    }

    fn last(&self, page: &Answered<'_>) -> Result<Last, Fault> {
        let Some(last) = &self.last else { return Ok(Last::Unknown) };
        let found = over_body("last", last, page.response)?;
        match &found {
            Value::Null => Ok(Last::Unknown),
            Value::Bool(is_last) => Ok(Last::Is(*is_last)),
            _ => count(&found).map(Last::Numbered).ok_or_else(|| {
                unusable(&format!("`last` gives {}, not a page's number", kind(&found)))
            }),
        }
    }
}
