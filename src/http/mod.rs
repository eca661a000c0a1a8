//! The only opener of outbound sockets. Knows nothing of sources, endpoints and retries: it sends what it is given.

use std::pin::Pin;

use crate::core::http::{Request, Response, TransportFault};

mod body;
pub(crate) mod client;
mod decode;
mod fault;
mod file;
pub(crate) mod guard;
pub(crate) mod recording;
mod resolver;
mod routes;
#[cfg(test)]
mod tests;

/// The answer to come. Dropping it abandons the exchange.
pub(crate) type Exchange<'a> =
    Pin<Box<dyn Future<Output = Result<Response, TransportFault>> + Send + 'a>>;

/// Makes HTTP exchanges, each inside its own deadline and bounds.
pub(crate) trait HttpClient: Send + Sync {
    /// Sends a request and reads the answer.
    fn exchange(&self, request: Request) -> Exchange<'_>;
}
