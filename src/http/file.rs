//! A file in place of a server: what stands under `file:PATH` is the answer.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::io::AsyncReadExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use crate::core::http::{BodyLimit, Request, Response, TransportFault};
use crate::http::decode::GZIP_MAGIC;

/// Reads the file that a request names.
///
/// # Errors
/// Ours, when there is no such regular file or it cannot be read; the file's, when it is longer than allowed.
pub(super) async fn read(request: &Request) -> Result<Response, TransportFault> {
    let Ok(path) = request.url.to_file_path() else {
        return Err(TransportFault::Local { detail: String::from("this URL names no file") });
    };
    let bytes_max = match request.limit {
        BodyLimit::Whole { bytes_max } | BodyLimit::First { bytes_max } => bytes_max,
    };
    let content_type = content_type(&request.url);
    let body = within(request.deadline, path, bytes_max).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(Response { status: 200, headers, body: Bytes::from(body) })
}

async fn within(
    deadline: Duration,
    path: PathBuf,
    bytes_max: usize,
) -> Result<Vec<u8>, TransportFault> {
    let local = |path: &Path, error: io::Error| TransportFault::Local {
        detail: format!("reading {}: {error}", path.display()),
    };
    let shown = path.clone();
    let reading = spawn_blocking(move || whole(&path, bytes_max));
    let Ok(read) = timeout(deadline, reading).await else {
        return Err(TransportFault::Timeout { phase: "reading the body", after: deadline });
    };
    let read = read.map_err(io::Error::other).and_then(|read| read);
    let body = match read.map_err(|error| local(&shown, error))? {
        body if body.starts_with(&GZIP_MAGIC) => gunzipped(&body, bytes_max).await,
        body => Ok(body),
    };
    match body.map_err(|error| local(&shown, error))? {
        body if body.len() > bytes_max => Err(TransportFault::TooLarge { bytes_max }),
        body => Ok(body),
    }
}

/// What a compressed file holds, one byte more than allowed at most.
async fn gunzipped(body: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut decoder = GzipDecoder::new(body);
    decoder.multiple_members(true);
    let mut plain = Vec::new();
    decoder.take((bytes_max as u64).saturating_add(1)).read_to_end(&mut plain).await?;
    Ok(plain)
}

/// The file's bytes, one more than allowed at most.
fn whole(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("this is no regular file"));
    }
    let file = File::open(path)?;
    let mut body = Vec::new();
    file.take((bytes_max as u64).saturating_add(1)).read_to_end(&mut body)?;
    Ok(body)
}

/// What a server would say of it.
fn content_type(url: &Url) -> &'static str {
    let name = url.path().strip_suffix(".gz").unwrap_or(url.path()).to_ascii_lowercase();
    match name.rsplit('.').next() {
        Some("csv") => "text/csv",
        Some("ndjson" | "jsonl") => "application/x-ndjson",
        Some("xml" | "rss" | "atom") => "application/xml",
        _ => "application/json",
    }
}
