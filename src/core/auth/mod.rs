//! How a source's requests say who asks. To add a scheme: a variant here, an arm in [`Auth::apply`], a key in `config`.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::core::secret::Secret;

/// Credentials of a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Auth {
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// RFC 7617, UTF-8.
    Basic {
        user: String,
        password: Secret,
    },
    /// Headers that hold the credential.
    Header(Vec<(HeaderName, Secret)>),
    /// Query parameters that hold the credential.
    Query(Vec<(String, Secret)>),
}

impl Auth {
    /// Adds the credentials to a request. Values were checked to be legal header text when they were read.
    pub(crate) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) {
        match self {
            Self::None => {}
            Self::Bearer(token) => {
                put(headers, AUTHORIZATION, &format!("Bearer {}", token.expose()));
            }
            Self::Basic { user, password } => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
                put(headers, AUTHORIZATION, &format!("Basic {pair}"));
            }
            Self::Header(fields) => {
                for (name, value) in fields {
                    put(headers, name.clone(), value.expose());
                }
            }
            Self::Query(parameters) if parameters.is_empty() => {}
            Self::Query(parameters) => {
                let mut pairs = url.query_pairs_mut();
                for (name, value) in parameters {
                    pairs.append_pair(name, value.expose());
                }
            }
        }
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // By bytes, because credentials in UTF-8 are legal; only control characters are not.
    if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
