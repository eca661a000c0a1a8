//! What a server answers, well or badly. Say it once, hand it to either server.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};
use serde_json::Value;

/// One answer. Starts as a good one and is bent by the methods.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How the answer is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With the right length; the connection stays open.
    Well,
    /// Not at all, and the connection stays open.
    Hang,
    /// Not at all: the connection is reset.
    ResetAtOnce,
    /// Whole, with a `Content-Length` that is too small by so many bytes.
    Understated(usize),
    /// The right `Content-Length`, but only so many bytes of the body; then the connection is closed.
    CutAfter(usize),
    /// The same, but then the connection is reset.
    ResetAfter(usize),
    /// Chunked, without the last chunk; then the connection is closed.
    ChunksCut,
    /// One byte of the body per pause.
    Drip(Duration),
    /// The body again and again, without end.
    Endless,
    /// The body alone, as the only bytes on the wire; then the connection is closed.
    Raw,
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.body.len();
        write!(
            out,
            "{} {:?} with {length} bytes, sent {:?}",
            self.status, self.headers, self.manner
        )
    }
}

/// Good answers, and how to bend them.
impl Reply {
    /// A status without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), manner: Manner::Well }
    }

    /// 200 with a body of this type.
    pub(crate) fn text(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(200) }.header("Content-Type", content_type)
    }

    /// 200 with JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self::text("application/json", body.to_string())
    }

    /// These bytes and nothing else.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: bytes.into(), ..Self::status(200) }.sent(Manner::Raw)
    }

    /// With another status.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these bytes after the body.
    pub(crate) fn append(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Sent in another manner.
    pub(crate) fn sent(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// The body compressed.
    pub(crate) fn gzipped(self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.body).unwrap();
        Self { body: encoder.finish().unwrap(), ..self }.header("Content-Encoding", "gzip")
    }

    /// Only the first half of the body, with the right length for that.
    pub(crate) fn halved(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }
}

/// What the servers need to know.
impl Reply {
    /// The status that a client gets to see; `None` if it sees none.
    pub(crate) fn status_seen(&self) -> Option<u16> {
        let unseen = matches!(self.manner, Manner::Hang | Manner::ResetAtOnce | Manner::Raw);
        (!unseen).then_some(self.status)
    }
}

/// The usual misbehaviours.
impl Reply {
    /// Takes the request and says nothing.
    pub(crate) fn hang() -> Self {
        Self::status(200).sent(Manner::Hang)
    }

    /// Resets the connection before a word.
    pub(crate) fn reset() -> Self {
        Self::status(200).sent(Manner::ResetAtOnce)
    }

    /// A body of JSON that never ends.
    pub(crate) fn endless() -> Self {
        Self::text("application/json", "[".repeat(64 * 1024)).sent(Manner::Endless)
    }

    /// A sign-in page, with 200 as such pages are.
    pub(crate) fn html() -> Self {
        Self::text(
            "text/html; charset=utf-8",
            "<!doctype html><title>Sign in</title><p>Please sign in.",
        )
    }

    /// JSON nested so deep that a recursive reader would not come back.
    pub(crate) fn too_deep() -> Self {
        let depth = 10_000;
        Self::text("application/json", "[".repeat(depth) + &"]".repeat(depth))
    }

    /// A valid list of so many bytes.
    pub(crate) fn large(bytes: usize) -> Self {
        Self::text("application/json", format!(r#"[{{"id":1,"text":"{}"}}]"#, "x".repeat(bytes)))
    }

    /// 2 MB of gzip that become 2 GB: one deflated mebibyte that may stand again and again.
    pub(crate) fn bomb() -> Self {
        let mut block = Vec::with_capacity(64 * 1024);
        let mut deflate = Compress::new(Compression::best(), false);
        deflate.compress_vec(&vec![b' '; 1024 * 1024], &mut block, FlushCompress::Full).unwrap();
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let body = [&head[..], &block.repeat(2048)].concat();
        Self::text("application/json", body).header("Content-Encoding", "gzip")
    }

    /// A refusal with `Retry-After`.
    pub(crate) fn retry_after(status: u16, value: &str) -> Self {
        Self::status(status).header("Retry-After", value)
    }

    /// A redirect.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(301).header("Location", to)
    }
}
