//! Signature schemes. A stub to be replaced.
#![allow(dead_code, unused_variables, missing_docs)]

use crate::core::secret::Secret;
use crate::core::time::Timestamp;
use http::{HeaderMap, HeaderName};

/// How an endpoint's requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Standard Webhooks 1.0, `v1`.
    Standard,
    /// GitHub's `X-Hub-Signature-256`.
    Github {
        event: Option<String>,
    },
    /// A header of one's own.
    Custom {
        header: HeaderName,
        prefix: String,
        encoding: Encoding,
        timestamp_header: Option<HeaderName>,
    },
    None,
}
/// How a digest becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Hex,
    Base64,
}

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) body: &'a [u8],
    pub(crate) event_type: &'a str,
}

impl Scheme {
    /// The headers that prove where a body comes from. Every secret signs, where the scheme allows several; else the newest.
    pub(crate) fn sign(&self, secrets: &[Secret], signed: Signed<'_>) -> HeaderMap {
        todo!()
    }
}
