//! `{next_url: EXPR}`: the body holds the URL of the next page, whole or relative to the page it stands in.

use crate::core::fault::Fault;
use crate::core::jq::Expression;
use crate::core::json::{self, kind};
use crate::core::pages::{Answered, Next, is_end, over_body, target, unusable};

/// What comes after a page.
pub(super) fn next(next_url: &Expression, page: &Answered<'_>) -> Result<Next, Fault> {
    let found = over_body("next_url", next_url, page.response)?;
    if is_end(&found) {
        return Ok(Next::End);
    }
    let text = json::as_text(&found)
        .ok_or_else(|| unusable(&format!("`next_url` gives {}, not a URL", kind(&found))))?;
    let mut next = page.address.join(text).map_err(|_| unusable("`next_url` gives no URL"))?;
    next.set_fragment(None);
    target::adopt(page.address, &mut next)?;
    Ok(Next::Page(json::text(next.as_str())))
}
