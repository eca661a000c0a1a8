//! Following redirects: which request comes next, and what it may still carry.
//!
//! Methods change as browsers change them (the Fetch standard, HTTP-redirect fetch). Credentials are dropped for good
//! when a redirect leaves the origin: all headers but those that cannot hold one, the parameters that do, the client
//! certificate; a body may hold anything, so it does not go along at all. A host that the operator did not name is one that somebody else named: it is held
//! to public addresses.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, Method};
use url::{Origin, Url};

use crate::core::auth::names_a_credential;
use crate::core::http::{Reach, Request, TransportFault};

/// What goes along out of the origin. Of any other header nobody knows what it holds.
static HARMLESS: [HeaderName; 5] =
    [ACCEPT, ACCEPT_LANGUAGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT];

/// Whether a status sends a client elsewhere.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// One exchange over all its redirects.
#[derive(Debug)]
pub(crate) struct Journey {
    redirects_max: usize,
    followed: usize,
    origin: Origin,
    /// The host that the operator named.
    host: String,
    seen: HashSet<(Method, Url)>,
    /// Parameters of the first URL that hold credentials: they go along inside the origin and nowhere else.
    credentials: Vec<(String, String)>,
    /// Whether the origin was left; what was dropped then does not come back.
    is_abroad: bool,
}

impl Journey {
    /// Begins with a request; `None` if it follows no redirects.
    pub(crate) fn begin(request: &Request) -> Option<Self> {
        if request.way.redirects_max == 0 {
            return None;
        }
        let holds = |name: &str| {
            names_a_credential(name) || request.way.credentials.iter().any(|known| known == name)
        };
        let pairs = request.url.query_pairs().filter(|(name, _)| holds(name));
        Some(Self {
            redirects_max: request.way.redirects_max,
            followed: 0,
            origin: request.url.origin(),
            host: request.url.host_str().unwrap_or_default().to_owned(),
            seen: HashSet::from([(request.method.clone(), request.url.clone())]),
            credentials: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
            is_abroad: false,
        })
    }

    /// Turns a request into the one that its answer asks for; `false` when that is no redirect.
    ///
    /// # Errors
    /// A redirect that is not followed: one too many, a loop, one without a usable target, or from `https` to `http`.
    pub(crate) fn goes_on(
        &mut self,
        request: &mut Request,
        status: u16,
        headers: &HeaderMap,
    ) -> Result<bool, TransportFault> {
        if !is_redirect(status) {
            return Ok(false);
        }
        if self.followed >= self.redirects_max {
            return Err(refused(format!("more than {} in a row", self.redirects_max)));
        }
        self.followed += 1;
        let mut target = target(&request.url, status, headers)?;
        if request.url.scheme() == "https" && target.scheme() == "http" {
            return Err(refused(String::from("from https to http, where anybody can listen")));
        }
        change_method(request, status);
        self.is_abroad |= target.origin() != self.origin;
        if self.is_abroad {
            if !request.body.is_empty() {
                let how = "to another origin with the body, which may hold credentials";
                return Err(refused(String::from(how)));
            }
            self.drop_credentials(request, &mut target);
        } else {
            self.carry_parameters(&mut target);
        }
        if target.host_str() != Some(self.host.as_str()) {
            request.reach = Reach::Public;
        }
        if !self.seen.insert((request.method.clone(), target.clone())) {
            return Err(refused(String::from("in a circle")));
        }
        request.url = target;
        Ok(true)
    }

    fn drop_credentials(&self, request: &mut Request, target: &mut Url) {
        let way = &mut request.way;
        let kept = request.headers.iter().filter(|(name, _)| HARMLESS.contains(name));
        request.headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        way.route = way.route.take().and_then(|route| match route.identity() {
            Some(_) => route.without_identity().map(Arc::new),
            None => Some(route),
        });
        // A server that passes the whole query on would pass the credentials on.
        let is_ours = |name: &str, value: &str| {
            self.credentials.iter().any(|(ours, secret)| ours == name && secret == value)
        };
        if target.query_pairs().any(|(name, value)| is_ours(&name, &value)) {
            let kept: Vec<(String, String)> = target
                .query_pairs()
                .filter(|(name, value)| !is_ours(name, value))
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            target.set_query(None);
            if !kept.is_empty() {
                target.query_pairs_mut().extend_pairs(kept);
            }
        }
    }

    /// Credentials in the query are the client's to add, as it adds those in headers.
    fn carry_parameters(&self, target: &mut Url) {
        for (name, value) in &self.credentials {
            if !target.query_pairs().any(|(given, _)| given == *name) {
                target.query_pairs_mut().append_pair(name, value);
            }
        }
    }
}

/// Where a redirect leads. A user or password in it is left out: a server does not say who we are.
fn target(from: &Url, status: u16, headers: &HeaderMap) -> Result<Url, TransportFault> {
    let Some(location) = headers.get(LOCATION) else {
        return Err(refused(format!("that says nowhere to go ({status} without `Location`)")));
    };
    let unusable = || refused(String::from("to something that is not a URL"));
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| unusable())?;
    let mut target = from.join(text.trim()).map_err(|_| unusable())?;
    let is_web = matches!(target.scheme(), "http" | "https");
    if !is_web || target.host_str().is_none_or(str::is_empty) {
        return Err(refused(format!("to `{}:`, which is not HTTP", target.scheme())));
    }
    target.set_fragment(None);
    if target.set_username("").and_then(|()| target.set_password(None)).is_err() {
        return Err(unusable());
    }
    Ok(target)
}

fn change_method(request: &mut Request, status: u16) {
    let becomes_get = match status {
        301 | 302 => request.method == Method::POST,
        303 => request.method != Method::GET && request.method != Method::HEAD,
        _ => false,
    };
    if !becomes_get {
        return;
    }
    request.method = Method::GET;
    request.body = Bytes::new();
    for name in [
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_LOCATION,
        CONTENT_TYPE,
        TRANSFER_ENCODING,
    ] {
        request.headers.remove(name);
    }
}

fn refused(how: String) -> TransportFault {
    TransportFault::Redirect { how }
}
