//! RFC 8288 `Link` headers.

use url::Url;

use crate::core::fault::Fault;
use crate::core::http::Response;

pub(super) fn next(url: &Url, response: &Response) -> Result<Option<Url>, Fault> {
    let _ = (url, response);
    Ok(None)
}
