//! What the API's answers look like: the same content never looks the same twice unless it wants to.

use bytes::Bytes;
use fastrand::Rng;
use http::header::{CONTENT_TYPE, ETAG, LINK, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_64;

use super::plan::Kind;
use super::truth::Content;
use crate::core::http::Response;

/// Items on one page of [`Kind::Paged`].
pub(super) const PAGE_ITEMS: usize = 6;

/// An answer without a body.
pub(super) fn status(status: u16) -> Response {
    Response { status, headers: HeaderMap::new(), body: Bytes::new() }
}

/// An answer that asks to be left alone.
pub(super) fn busy(status_code: u16, retry_after: &str) -> Response {
    with(status(status_code), RETRY_AFTER, retry_after)
}

/// A web page where data was asked for.
pub(super) fn web_page() -> Response {
    let body = Bytes::from_static(b"<!doctype html><title>Sign in</title>");
    with(Response { body, ..status(200) }, CONTENT_TYPE, "text/html; charset=utf-8")
}

/// A 200 with this text.
pub(super) fn json(text: String) -> Response {
    with(Response { body: Bytes::from(text), ..status(200) }, CONTENT_TYPE, "application/json")
}

/// The answer with one more header.
pub(super) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    response.headers.insert(name, HeaderValue::from_str(value).unwrap());
    response
}

/// The answer with an entity tag.
pub(super) fn tagged(response: Response, tag: &str) -> Response {
    with(response, ETAG, tag)
}

/// The answer with a link to another page.
pub(super) fn linked(response: Response, next: &str) -> Response {
    with(response, LINK, &format!("<{next}>; rel=\"next\""))
}

/// The entity tag of this content, however it is written.
pub(super) fn tag_of(items: &[(String, Content)]) -> String {
    format!("\"{:016x}\"", xxh3_64(format!("{items:?}").as_bytes()))
}

/// The body that shows these items. With `plain`, always the same bytes for the same content.
pub(super) fn body(kind: Kind, items: &[(String, Content)], plain: bool, dice: &mut Rng) -> String {
    let mut shown: Vec<_> =
        items.iter().map(|(key, content)| item(kind, key, content, plain, dice)).collect();
    match kind {
        Kind::Single => shown.pop().unwrap_or_else(|| String::from("null")),
        _ if kind.is_wrapped() => {
            format!("{{\"count\":{},\"items\":[{}]}}", shown.len(), shown.join(","))
        }
        _ => format!("[{}]", shown.join(", ")),
    }
}

/// One item: names in any order, numbers in any spelling, blanks here and there.
pub(super) fn item(
    kind: Kind,
    key: &str,
    content: &Content,
    plain: bool,
    dice: &mut Rng,
) -> String {
    let Content { value, note, seen, label } = content;
    let value = if plain { value.to_string() } else { spelled(*value, dice) };
    let label = if !plain && dice.bool() {
        label.replace('"', "\\\"").replace('ä', "\\u00e4")
    } else {
        label.replace('"', "\\\"")
    };
    let mut entries = vec![
        format!("\"value\":{value}"),
        format!("\"note\":{note}"),
        format!("\"seen\":{seen}"),
        format!("\"label\":\"{label}\""),
    ];
    if kind != Kind::Single {
        entries.push(format!("\"id\":{key}"));
    }
    if !plain {
        dice.shuffle(&mut entries);
    }
    let gap = if !plain && dice.bool() { ", " } else { "," };
    format!("{{{}}}", entries.join(gap))
}

fn spelled(value: i64, dice: &mut Rng) -> String {
    match dice.u32(..4) {
        0 => format!("{value}.0"),
        1 if value % 10 == 0 => format!("{}e1", value / 10),
        2 => format!("{value}.00"),
        _ => value.to_string(),
    }
}
