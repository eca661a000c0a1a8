//! How a request travels: over which connections, how far along redirects, with which token.

use std::sync::Arc;

use crate::core::auth::oauth2::OAuth2;
use crate::core::budget::Account;
use crate::core::http::route::Route;

/// What a request may and must do on its way. The default is straight to its URL.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Way {
    /// Redirects that are followed; one more is a fault. With none, a redirect is an answer like any other.
    pub(crate) redirects_max: usize,
    /// `None`: the system's roots, no client certificate, no proxy.
    pub(crate) route: Option<Arc<Route>>,
    /// Whose token is to be shown; put there by whoever makes the exchange.
    pub(crate) oauth2: Option<Arc<OAuth2>>,
    /// Names of query parameters that hold credentials, though they may not say so.
    pub(crate) credentials: Vec<String>,
    /// Who pays for it; nobody for what is no poll's.
    pub(crate) account: Option<Arc<Account>>,
}
