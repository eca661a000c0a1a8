//! `{offset: PARAM, limit: {PARAM: n}, total: EXPR}`: items are counted. The next page begins behind the items that
//! came, not behind those that were asked for: APIs cap the limit in silence.
//!
//! A page with fewer items than asked for is no end. The end is an empty page, or where `total` says so – but a page
//! that is full may have more behind it whatever `total` says, because many APIs stop counting at some round number.

use crate::core::fault::Fault;
use crate::core::jq::Expression;
use crate::core::json::{Value, kind};
use crate::core::pages::{Answered, Next, Size, Step, count, count_of, over_body, unusable, whole};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) param: String,
    /// The number of the first item: 0, or 1 where items are counted from one.
    pub(crate) start: u64,
    pub(crate) limit: Option<Size>,
    /// Over the body: how many items there are.
    pub(crate) total: Option<Expression>,
}

impl Offset {
    /// What comes after a page.
    pub(super) fn next(&self, page: &Answered<'_>) -> Result<Step, Fault> {
        let next = count_of(page.token).saturating_add(page.received);
        let reached = next.saturating_sub(self.start);
        let total = self.total(page)?;
        let is_full = self.limit.as_ref().is_some_and(|limit| page.received >= limit.count);
        let is_end = page.received == 0 || total.is_some_and(|total| reached >= total && !is_full);
        let next = match total {
            _ if !is_end => Next::Page(whole(next)),
            Some(total) if reached != total => Next::Early(Fault::source(
                "early_end",
                format!(
                    "the listing ended after {reached} items, but the API counts {total}; nothing counts as absent"
                ),
            )),
            _ => Next::End,
        };
        Ok(Step { next, announced: total })
    }

    fn total(&self, page: &Answered<'_>) -> Result<Option<u64>, Fault> {
        let Some(total) = &self.total else { return Ok(None) };
        let found = over_body("total", total, page.response)?;
        if found == Value::Null {
            return Ok(None);
        }
        count(&found).map(Some).ok_or_else(|| {
            unusable(&format!("`total` gives {}, not a number of items", kind(&found)))
        })
    }
}
