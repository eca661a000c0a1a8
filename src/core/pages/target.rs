//! Where an answer may lead: never away from the source's own origin, and never with credentials of its choice.

use url::Url;

use crate::core::fault::Fault;

/// Refuses another origin than that of `ours`. The sentence names origins only, because queries may hold tokens.
///
/// # Errors
/// `page_off_origin`.
pub(super) fn check_origin(ours: &Url, next: &Url) -> Result<(), Fault> {
    if next.origin() == ours.origin() {
        return Ok(());
    }
    let (ours, theirs) = (ours.origin().ascii_serialization(), next.origin().ascii_serialization());
    let sentence = format!("the next page is on {theirs}, but the source is on {ours}");
    Err(Fault::source("page_off_origin", sentence))
}

/// Makes a URL that stands in the answer to `page` fit to be asked for.
///
/// # Errors
/// `page_off_origin`; `pages` when it is of a kind that takes no credentials.
pub(super) fn adopt(page: &Url, next: &mut Url) -> Result<(), Fault> {
    check_origin(page, next)?;
    // Credentials are ours to choose, not the answer's.
    let ours = next.set_username(page.username()).and_then(|()| next.set_password(page.password()));
    ours.map_err(|()| Fault::source("pages", "the next page's URL takes no credentials"))
}
