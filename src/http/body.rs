//! Reading answers' bodies inside their bounds. Bytes are counted after decompression, so that a bomb is stopped where
//! it goes off.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use reqwest::Response;
use tokio::time::{Instant, sleep, timeout_at};

use crate::core::http::TransportFault;
use crate::core::limits::{BODY_IN_MEMORY_BYTES_MAX, DRIP_BYTES_PER_SECOND_MIN, DRIP_GRACE};
use crate::http::decode::Decoded;
use crate::http::spool::{Spool, Spooling};

/// The most that is set aside because a `Content-Length` promises it.
const PROMISE_BYTES_MAX: usize = 1024 * 1024;

/// What a transfer must bring in each period not to be a drip.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeastRate {
    pub(super) bytes_min: u64,
    pub(super) period: Duration,
}

impl Default for LeastRate {
    fn default() -> Self {
        let bytes_min = DRIP_BYTES_PER_SECOND_MIN.saturating_mul(DRIP_GRACE.as_secs());
        Self { bytes_min, period: DRIP_GRACE }
    }
}

/// Where bodies go that are too long for memory, and the seed of their hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpoolTo<'a> {
    pub(super) directory: &'a Path,
    pub(super) seed: u64,
}

/// A whole body.
pub(super) enum Body {
    InMemory(Bytes),
    InFile(Spool),
}

/// A body so far.
struct Whole<'a> {
    gathered: Gathered,
    /// Takes all that comes, once it has begun.
    spooling: Option<Spooling>,
    spool: Option<SpoolTo<'a>>,
}

impl Whole<'_> {
    fn len(&self) -> usize {
        self.spooling.as_ref().map_or(self.gathered.len(), Spooling::len)
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), TransportFault> {
        if let Some(spooling) = &mut self.spooling {
            return spooling.push(&chunk).map_err(|error| no_room(&error));
        }
        self.gathered.push(chunk);
        if self.gathered.len() > BODY_IN_MEMORY_BYTES_MAX { self.spill() } else { Ok(()) }
    }

    /// Goes on in a file, where there may be one.
    fn spill(&mut self) -> Result<(), TransportFault> {
        let Some(SpoolTo { directory, seed }) = self.spool else { return Ok(()) };
        let begun = std::mem::replace(&mut self.gathered, Gathered::promised(0)).finish();
        let spooling = Spooling::begin(directory, seed);
        let mut spooling = spooling.map_err(|error| no_room(&error))?;
        spooling.push(&begun).map_err(|error| no_room(&error))?;
        self.spooling = Some(spooling);
        Ok(())
    }

    fn finish(self) -> Result<Body, TransportFault> {
        match self.spooling {
            None => Ok(Body::InMemory(self.gathered.finish())),
            Some(spooling) => spooling.finish().map(Body::InFile).map_err(|error| no_room(&error)),
        }
    }
}

fn no_room(error: &io::Error) -> TransportFault {
    TransportFault::Local { detail: format!("the body could not be kept in a file: {error}") }
}

/// Reads all of a body; more than `bytes_max` is a fault, and so is one that comes slower than the least rate.
///
/// `headers` are those of the answer; what they say of the compression is taken out of them.
pub(super) async fn read_whole(
    answer: Response,
    headers: &mut HeaderMap,
    bytes_max: usize,
    least_rate: LeastRate,
    spool: Option<SpoolTo<'_>>,
) -> Result<Body, TransportFault> {
    let too_large = TransportFault::TooLarge { bytes_max };
    let mut decoded = Decoded::of(answer, headers)?.sniffed();
    let promised = decoded.promised();
    if promised > bytes_max {
        return Err(too_large);
    }
    let mut body = Whole { gathered: Gathered::promised(promised), spooling: None, spool };
    if promised > BODY_IN_MEMORY_BYTES_MAX {
        body.spill()?;
    }
    let mut period_end = pin!(sleep(least_rate.period));
    let mut period_bytes = 0_u64;
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = decoded.chunk() => chunk?,
            () = &mut period_end => {
                if period_bytes < least_rate.bytes_min {
                    return Err(TransportFault::Drip { bytes: period_bytes, after: least_rate.period });
                }
                period_bytes = 0;
                period_end.as_mut().reset(Instant::now() + least_rate.period);
                continue;
            }
        };
        let Some(chunk) = chunk else { return body.finish() };
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Err(too_large);
        }
        period_bytes = period_bytes.saturating_add(chunk.len() as u64);
        body.push(chunk)?;
        // A body that decompresses faster than it arrives would never let go of the thread, nor see its deadline.
        tokio::task::consume_budget().await;
    }
}

/// Reads the first bytes of a body, for as long as `until`. Whatever happens, what has come by then is the body.
pub(super) async fn read_first(
    answer: Response,
    headers: &mut HeaderMap,
    bytes_max: usize,
    until: Instant,
) -> Bytes {
    let mut body = Gathered::promised(0);
    let Ok(mut decoded) = Decoded::of(answer, headers) else { return body.finish() };
    while body.len() < bytes_max {
        let Ok(Ok(Some(mut chunk))) = timeout_at(until, decoded.chunk()).await else { break };
        chunk.truncate(bytes_max.saturating_sub(body.len()));
        body.push(chunk);
    }
    body.finish()
}

/// Chunks put together; a sole chunk is not copied.
enum Gathered {
    Sole(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn promised(bytes: usize) -> Self {
        match bytes {
            0 => Self::Sole(Bytes::new()),
            _ => Self::Many(BytesMut::with_capacity(bytes.min(PROMISE_BYTES_MAX))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Sole(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Sole(sole) if sole.is_empty() => *sole = chunk,
            Self::Sole(sole) => {
                let mut many = BytesMut::with_capacity(sole.len().saturating_add(chunk.len()));
                many.extend_from_slice(sole);
                many.extend_from_slice(&chunk);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend_from_slice(&chunk),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Sole(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}
