//! Names to addresses, by the system's resolver. For requests that may reach only public addresses it hands out no
//! others, so that the address that was judged is the address that is dialled, whatever the name says a moment later.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::core::http::{Reach, TransportFault};
use crate::core::limits::LOOKUPS_IN_FLIGHT_MAX;
use crate::http::fault::Carried;
use crate::http::guard;

/// Asks the system, blocking: `getaddrinfo` knows hosts files and search domains, and has no other way.
type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// The resolver that connections are made with.
pub(super) struct Resolver {
    reach: Reach,
    lookup: Lookup,
    /// A lookup holds a blocking thread until the system is done with it, even if nobody waits for it any more.
    permits: Arc<Semaphore>,
}

impl Resolver {
    /// Asks the system.
    pub(super) fn system(reach: Reach) -> Self {
        Self::with_lookup(reach, |name| (name, 0).to_socket_addrs().map(Iterator::collect))
    }

    /// Asks somebody else, so that tests can answer as they like.
    pub(super) fn with_lookup(reach: Reach, lookup: Lookup) -> Self {
        Self { reach, lookup, permits: Arc::new(Semaphore::new(LOOKUPS_IN_FLIGHT_MAX)) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookup, permits) = (self.reach, self.lookup, Arc::clone(&self.permits));
        Box::pin(async move {
            let found = look_up(name.as_str(), lookup, permits).await;
            let admitted = found.and_then(|addresses| admit(name.as_str(), addresses, reach));
            let addresses: Addrs = Box::new(admitted.map_err(Carried)?.into_iter());
            Ok(addresses)
        })
    }
}

async fn look_up(
    name: &str,
    lookup: Lookup,
    permits: Arc<Semaphore>,
) -> Result<Vec<SocketAddr>, TransportFault> {
    let fault = |detail: String| TransportFault::Resolve { host: name.to_owned(), detail };
    let permit = permits.acquire_owned().await.map_err(|error| fault(error.to_string()))?;
    let asked = name.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        let found = lookup(&asked);
        drop(permit);
        found
    });
    let found = looking.await.map_err(|error| fault(error.to_string()))?;
    match found {
        Ok(addresses) if addresses.is_empty() => Err(fault(String::from("it has no address"))),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// Of a name's addresses those that may be dialled.
///
/// # Errors
/// [`TransportFault::Blocked`] when none is left.
pub(super) fn admit(
    name: &str,
    mut addresses: Vec<SocketAddr>,
    reach: Reach,
) -> Result<Vec<SocketAddr>, TransportFault> {
    if reach == Reach::Public {
        addresses.retain(|address| guard::is_globally_routable(address.ip()));
    }
    if addresses.is_empty() {
        return Err(TransportFault::Blocked {
            host: name.to_owned(),
            reason: String::from("the name leads to no public address"),
        });
    }
    Ok(addresses)
}
