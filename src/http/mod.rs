//! The only opener of outbound sockets. Knows nothing of sources, endpoints and retries: it sends what it is given.

use std::pin::Pin;

use crate::core::http::{Request, Response, TransportFault};
use crate::http::spool::Spool;

mod body;
pub(crate) mod client;
mod decode;
mod fault;
mod file;
pub(crate) mod guard;
pub(crate) mod recording;
mod resolver;
mod routes;
pub(crate) mod spool;
#[cfg(test)]
mod tests;

/// The answer to come. Dropping it abandons the exchange.
pub(crate) type Exchange<'a> =
    Pin<Box<dyn Future<Output = Result<Response, TransportFault>> + Send + 'a>>;

/// The same, with the body in a file when it is long: then that of the answer is empty.
pub(crate) type LongExchange<'a> =
    Pin<Box<dyn Future<Output = Result<(Response, Option<Spool>), TransportFault>> + Send + 'a>>;

/// Makes HTTP exchanges, each inside its own deadline and bounds.
pub(crate) trait HttpClient: Send + Sync {
    /// Sends a request and reads the answer.
    fn exchange(&self, request: Request) -> Exchange<'_>;

    /// The same for who can read a long body from a file. `seed` is that of the body's hash.
    fn exchange_long(&self, request: Request, _seed: u64) -> LongExchange<'_> {
        Box::pin(async move { Ok((self.exchange(request).await?, None)) })
    }
}
