//! Decompression of bodies, by what their headers say or, for gzip, by what they begin with: a file that is kept
//! compressed is served as it is, and nothing else that we read begins like it. Strict, because a listing that ends early looks like one whose items were deleted: each
//! encoding must end where the body ends, and a body of several members (RFC 1952 §2.2) is read to the last.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use reqwest::Response;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;
use url::Url;

use crate::core::http::TransportFault;
use crate::http::fault;

/// What we can read, as `Accept-Encoding` says it.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";

/// What a gzip member begins with (RFC 1952 §2.3): two bytes that no text does, and its only method.
pub(super) const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Bytes decompressed at a time: the most that a bomb gets beyond its limit.
const STEP_BYTES: usize = 32 * 1024;

/// The bytes of an answer's body as they come over the wire.
type Wire = StreamReader<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Bytes>;

/// An answer's body, decompressed piece by piece.
pub(super) enum Decoded {
    Plain(Response),
    /// No encoding was named, and too little has come to tell whether there is one.
    Unknown {
        answer: Option<Box<Response>>,
        begun: Bytes,
    },
    Encoded {
        decoder: Box<Decoder>,
        url: Url,
    },
}

/// One decoder per encoding that we ask for.
pub(super) enum Decoder {
    Gzip(GzipDecoder<Wire>),
    Brotli(BrotliDecoder<Wire>),
    Zstd(ZstdDecoder<Wire>),
}

impl Decoded {
    /// Reads the encoding out of an answer's headers, and takes out of them what holds no longer.
    ///
    /// # Errors
    /// [`TransportFault::Decode`] for an encoding that was not asked for.
    pub(super) fn of(answer: Response, headers: &mut HeaderMap) -> Result<Self, TransportFault> {
        let encoding =
            headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let make: fn(Wire) -> Decoder = match encoding.as_deref() {
            None | Some(b"" | b"identity") => return Ok(Self::Plain(answer)),
            Some(b"gzip" | b"x-gzip") => gzip,
            Some(b"br") => |wire| Decoder::Brotli(BrotliDecoder::new(wire)),
            Some(b"zstd") => |wire| {
                let mut decoder = ZstdDecoder::new(wire);
                decoder.multiple_members(true);
                Decoder::Zstd(decoder)
            },
            Some(_) => {
                let detail = format!("its Content-Encoding is none of {ACCEPTED}");
                return Err(TransportFault::Decode { detail });
            }
        };
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        let url = answer.url().clone();
        let decoder = Box::new(make(wire(Bytes::new(), answer)));
        Ok(Self::Encoded { decoder, url })
    }

    /// The same, but a plain body that begins like gzip is decompressed.
    pub(super) fn sniffed(self) -> Self {
        match self {
            Self::Plain(answer) => {
                Self::Unknown { answer: Some(Box::new(answer)), begun: Bytes::new() }
            }
            known => known,
        }
    }

    /// How many bytes will come, if that is known; otherwise 0.
    pub(super) fn promised(&self) -> usize {
        match self {
            Self::Plain(answer) => {
                usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(usize::MAX)
            }
            Self::Unknown { answer, .. } => {
                let length = answer.as_ref().and_then(|answer| answer.content_length());
                usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX)
            }
            Self::Encoded { .. } => 0,
        }
    }

    /// Decides by the first bytes; gives them back where they are the body's own.
    fn settle(&mut self) -> Option<Bytes> {
        let Self::Unknown { answer, begun } = self else { return None };
        let (answer, begun) = (*answer.take()?, std::mem::take(begun));
        if begun.starts_with(&GZIP_MAGIC) {
            let url = answer.url().clone();
            *self = Self::Encoded { decoder: Box::new(gzip(wire(begun, answer))), url };
            return None;
        }
        *self = Self::Plain(answer);
        Some(begun).filter(|begun| !begun.is_empty())
    }

    /// The next bytes; `None` at the end. May be dropped and called again.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, TransportFault> {
        if let Self::Unknown { answer: Some(answer), begun } = self {
            while begun.len() < GZIP_MAGIC.len() {
                let chunk = answer.chunk().await;
                match chunk.map_err(|error| fault::in_body(&error, answer.url()))? {
                    Some(chunk) if begun.is_empty() => *begun = chunk,
                    Some(chunk) => *begun = [begun.as_ref(), &chunk].concat().into(),
                    None => break,
                }
            }
            if let Some(first) = self.settle() {
                return Ok(Some(first));
            }
        }
        match self {
            // It was left behind by `settle`.
            Self::Unknown { .. } => Ok(None),
            Self::Plain(answer) => match answer.chunk().await {
                Ok(chunk) => Ok(chunk),
                Err(error) => Err(fault::in_body(&error, answer.url())),
            },
            Self::Encoded { decoder, url } => {
                decoder.chunk().await.map_err(|error| fault::in_body(&error, url))
            }
        }
    }
}

/// An answer's body behind what has been read of it.
fn wire(begun: Bytes, answer: Response) -> Wire {
    let begun = stream::iter((!begun.is_empty()).then_some(Ok(begun)));
    let bytes: Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(begun.chain(answer.bytes_stream().map_err(io::Error::other)));
    StreamReader::new(bytes)
}

fn gzip(wire: Wire) -> Decoder {
    let mut decoder = GzipDecoder::new(wire);
    decoder.multiple_members(true);
    Decoder::Gzip(decoder)
}

impl Decoder {
    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut step = BytesMut::with_capacity(STEP_BYTES);
        if self.reader().read_buf(&mut step).await? > 0 {
            return Ok(Some(step.freeze()));
        }
        // The encoding has ended. So must the body, which also tells a connection that was cut just here.
        if self.wire().fill_buf().await?.is_empty() {
            Ok(None)
        } else {
            Err(io::Error::other("more follows after its end"))
        }
    }

    fn reader(&mut self) -> &mut (dyn AsyncRead + Send + Unpin) {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}
