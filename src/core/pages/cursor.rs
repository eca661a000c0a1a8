//! `{cursor: EXPR, param}`: the body holds a token for the next page, which goes into a query parameter.

use crate::core::fault::Fault;
use crate::core::jq::Expression;
use crate::core::json::{self, Value, kind};
use crate::core::pages::{Answered, Next, is_end, over_body, unusable};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Over the body; null, false and the empty text end.
    pub(crate) cursor: Expression,
    pub(crate) param: String,
}

impl Cursor {
    /// What comes after a page.
    pub(super) fn next(&self, page: &Answered<'_>) -> Result<Next, Fault> {
        let token = over_body("cursor", &self.cursor, page.response)?;
        match &token {
            _ if is_end(&token) => Ok(Next::End),
            Value::TStr(_) => Ok(Next::Page(token)),
            Value::Num(_) => {
                let text = json::number_text(&token).ok_or_else(|| unusable("it is no number"))?;
                Ok(Next::Page(json::text(&text)))
            }
            other => Err(unusable(&format!("`cursor` gives {}, not a text", kind(other)))),
        }
    }
}
