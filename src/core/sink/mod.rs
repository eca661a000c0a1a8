//! (event, endpoint, now) → what goes out. A stub to be replaced.
#![allow(dead_code, unused_variables, missing_docs)]
use crate::core::endpoint::Endpoint;
use crate::core::event::Event;
use crate::core::http::Request;
use crate::core::time::Timestamp;
use bytes::Bytes;

/// What is sent, and by which way.
#[derive(Debug, Clone)]
pub(crate) enum Outbound {
    Http(Box<Request>),
    /// One line for standard output, newline included.
    Line(Bytes),
}
/// Shapes and signs an event for an endpoint.
pub(crate) fn outbound(event: &Event, endpoint: &Endpoint, now: Timestamp) -> Outbound {
    todo!()
}
