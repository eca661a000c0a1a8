//! How requests say who asks, or who rings. To add a scheme: a variant here, an arm in [`Auth::apply`], a key in `config`.

pub(crate) mod jwt;
pub(crate) mod oauth2;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::core::auth::oauth2::OAuth2;
use crate::core::secret::Secret;

/// Credentials of a source or an endpoint.
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
    /// `Authorization: Bearer …` with a token that is fetched and renewed by whoever makes the exchange.
    OAuth2(Arc<OAuth2>),
}

impl Auth {
    /// Adds the credentials to a request. Values were checked to be legal header text when they were read.
    pub(crate) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) {
        match self {
            Self::None | Self::OAuth2(_) => {}
            Self::Bearer(token) => bear(headers, token),
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

    /// How to get a token, if one has to be got.
    pub(crate) fn oauth2(&self) -> Option<&Arc<OAuth2>> {
        match self {
            Self::OAuth2(oauth2) => Some(oauth2),
            _ => None,
        }
    }

    /// Names of the query parameters that hold the credentials.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        let parameters = match self {
            Self::Query(parameters) => parameters.as_slice(),
            _ => &[],
        };
        parameters.iter().map(|(name, _)| name.as_str())
    }
}

/// Shows a bearer token, in the place of any other.
pub(crate) fn bear(headers: &mut HeaderMap, token: &Secret) {
    put(headers, AUTHORIZATION, &format!("Bearer {}", token.expose()));
}

/// Whether a header or parameter of this name holds a credential, as far as one can tell.
pub(crate) fn names_a_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "token", "key", "secret", "cookie", "password", "signature"]
        .iter()
        .any(|word| name.contains(word))
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // By bytes, because credentials in UTF-8 are legal; only control characters are not.
    if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
