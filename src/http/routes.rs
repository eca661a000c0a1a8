//! The pools of connections: one for each distinct route, made when it is first used, dropped when nobody declares the
//! route any more.
//!
//! Each has two pools, one of them behind the address guard: a pooled connection was judged when it was dialled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use tower::util::MapFutureLayer;

use crate::core::http::Reach;
use crate::core::http::route::Route;
use crate::core::limits::{CONNECTION_IDLE_MAX, CONNECTIONS_IDLE_PER_ORIGIN_MAX};
use crate::http::client::{ClientError, HTTP2_PROBE, noting_connect};
use crate::http::decode;
use crate::http::fault;
use crate::http::resolver::Resolver;

/// The pools in use.
pub(super) struct Routes {
    /// Of the system's roots, without a proxy.
    straight: Pools,
    others: Mutex<HashMap<[u8; 32], Kept>>,
}

#[derive(Default)]
struct Kept {
    /// The declaration of the route that was used last.
    declared: Weak<Route>,
    pools: Arc<Pools>,
}

#[derive(Default)]
struct Pools {
    anywhere: OnceLock<Client>,
    public: OnceLock<Client>,
}

impl Routes {
    /// With the system's roots and resolver.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub(super) fn new() -> Result<Self, ClientError> {
        let straight = Pools::default();
        straight.get(None, Reach::Anywhere)?;
        straight.get(None, Reach::Public)?;
        Ok(Self { straight, others: Mutex::default() })
    }

    /// The pool for requests on this route that may reach so far.
    ///
    /// # Errors
    /// When the certificates cannot be used, which was checked when they were read.
    pub(super) fn pool(
        &self,
        route: Option<&Arc<Route>>,
        reach: Reach,
    ) -> Result<Client, ClientError> {
        let pools = {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            let pools = route.map(|route| {
                let kept = others.entry(route.digest()).or_default();
                kept.declared = Arc::downgrade(route);
                Arc::clone(&kept.pools)
            });
            others.retain(|_, kept| kept.declared.strong_count() > 0);
            pools
        };
        match (route, pools) {
            (Some(route), Some(pools)) => pools.get(Some(route), reach),
            _ => self.straight.get(None, reach),
        }
    }

    /// How many routes have pools beside the straight one.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Pools {
    fn get(&self, route: Option<&Route>, reach: Reach) -> Result<Client, ClientError> {
        let place = match reach {
            Reach::Anywhere => &self.anywhere,
            Reach::Public => &self.public,
        };
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let client = client(route, reach).map_err(|error| ClientError::of(&error))?;
        Ok(place.get_or_init(|| client).clone())
    }
}

/// A pool of connections that may reach so far.
fn client(route: Option<&Route>, reach: Reach) -> reqwest::Result<Client> {
    let headers =
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(decode::ACCEPTED))]);
    let mut builder = Client::builder()
        .user_agent(crate::core::http::OUR_USER_AGENT)
        .default_headers(headers)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(CONNECTIONS_IDLE_PER_ORIGIN_MAX)
        .pool_idle_timeout(CONNECTION_IDLE_MAX)
        .http2_keep_alive_interval(HTTP2_PROBE)
        .http2_keep_alive_timeout(HTTP2_PROBE)
        .http2_keep_alive_while_idle(true)
        .connector_layer(MapFutureLayer::new(noting_connect));
    let mut resolves_for = reach;
    if let Some(route) = route {
        builder = along(route, builder)?;
        if route.proxy().is_some() {
            // The proxy is the only name that is resolved here, and the operator named it.
            resolves_for = Reach::Anywhere;
        }
    }
    builder.dns_resolver(Resolver::system(resolves_for)).build()
}

fn along(route: &Route, mut builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
    if let Some(roots) = route.roots() {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(roots.as_bytes())?);
    }
    if let Some(identity) = route.identity() {
        let pem = format!("{}\n{}", identity.certificates, identity.key.expose());
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    if let Some(declared) = route.proxy() {
        let mut proxy = reqwest::Proxy::all(declared.url.clone())?;
        if let Some((user, password)) = &declared.credentials {
            proxy = proxy.basic_auth(user, password.expose());
        }
        builder = builder.proxy(proxy);
    }
    Ok(builder.local_address(route.source_address()))
}

impl ClientError {
    fn of(error: &reqwest::Error) -> Self {
        Self { detail: fault::innermost(error) }
    }
}
