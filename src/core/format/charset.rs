//! Bytes → text. What cannot be decoded is a fault, never a question mark: a replacement would be delivered as content.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::core::fault::Fault;

/// How far into a document its XML declaration is looked for.
const DECLARATION_BYTES_MAX: usize = 256;
/// Characters of a charset's name that a fault shows.
const LABEL_CHARACTERS_MAX: usize = 40;

/// A character encoding that can be read, as the WHATWG Encoding Standard knows it: `iso-8859-1` is windows-1252.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset(&'static Encoding);

impl Charset {
    /// By any of its names.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        Encoding::for_label_no_replacement(label.trim().as_bytes()).map(Self)
    }
}

/// What a `charset` parameter says.
///
/// # Errors
/// A name that nobody knows.
pub(super) fn declared(label: Option<&str>) -> Result<Option<Charset>, Fault> {
    let Some(label) = label else { return Ok(None) };
    Charset::parse(label).map(Some).ok_or_else(|| unknown(label))
}

/// The text of a body; a byte order mark outdoes what was declared, and nothing at all means UTF-8.
///
/// # Errors
/// The first byte that cannot be decoded.
pub(super) fn text(body: &[u8], declared: Option<Charset>) -> Result<Cow<'_, str>, Fault> {
    match Encoding::for_bom(body) {
        Some((encoding, length)) => decode(body.get(length..).unwrap_or_default(), encoding),
        None => decode(body, declared.map_or(UTF_8, |charset| charset.0)),
    }
}

/// The text of a JSON body, if it is not UTF-8 as it stands. JSON is UTF-8 whatever it is declared as (RFC 8259 §8.1), and
/// some servers declare what they do not send; so the declaration counts only where the bytes cannot be UTF-8.
///
/// # Errors
/// The first byte that cannot be decoded.
pub(super) fn json(body: &[u8], declared: Option<Charset>) -> Result<Option<String>, Fault> {
    let encoding = match Encoding::for_bom(body) {
        Some((encoding, _)) => encoding,
        None => declared.map_or(UTF_8, |charset| charset.0),
    };
    if encoding == UTF_8 {
        return Ok(None);
    }
    if encoding.is_ascii_compatible() && std::str::from_utf8(body).is_ok() {
        return Ok(None);
    }
    text(body, declared).map(|text| Some(text.into_owned()))
}

/// The text of an XML body: by its byte order mark, the `charset` of its type, or its own declaration (RFC 7303 §3).
///
/// # Errors
/// The first byte that cannot be decoded, or a charset that nobody knows.
pub(super) fn xml(body: &[u8], declared: Option<Charset>) -> Result<Cow<'_, str>, Fault> {
    if declared.is_some() || Encoding::for_bom(body).is_some() {
        return text(body, declared);
    }
    match body {
        [b'<', 0, b'?', 0, ..] => decode(body, UTF_16LE),
        [0, b'<', 0, b'?', ..] => decode(body, UTF_16BE),
        _ => match xml_declaration(body) {
            None => decode(body, UTF_8),
            Some(label) => match Charset::parse(label) {
                // What was read as ASCII so far cannot be UTF-16 (as browsers see it, too).
                Some(Charset(encoding)) if encoding.is_ascii_compatible() => decode(body, encoding),
                Some(_) => decode(body, UTF_8),
                None => Err(unknown(label)),
            },
        },
    }
}

/// The `encoding` of an XML declaration.
fn xml_declaration(body: &[u8]) -> Option<&str> {
    let head = body.get(..body.len().min(DECLARATION_BYTES_MAX))?;
    let inside = head.strip_prefix(b"<?xml")?;
    let end = inside.windows(2).position(|bytes| bytes == b"?>")?;
    let inside = std::str::from_utf8(inside.get(..end)?).ok()?;
    let (_, value) = inside.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.split(quote).nth(1)
}

fn decode<'a>(body: &'a [u8], encoding: &'static Encoding) -> Result<Cow<'a, str>, Fault> {
    encoding
        .decode_without_bom_handling_and_without_replacement(body)
        .ok_or_else(|| undecodable(body, encoding))
}

/// Finds the place: only a fault is worth the second look.
fn undecodable(body: &[u8], encoding: &'static Encoding) -> Fault {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (mut at, mut lines) = (0_usize, 1_usize);
    let mut piece = String::with_capacity(16 * 1024);
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut piece, true);
        at += read;
        lines += piece.bytes().filter(|byte| *byte == b'\n').count();
        piece.clear();
        match result {
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(length, behind) => {
                at = at.saturating_sub(usize::from(length) + usize::from(behind));
                break;
            }
            DecoderResult::InputEmpty => break,
        }
    }
    let name = encoding.name();
    let code = if encoding == UTF_8 { "not_utf8" } else { "charset" };
    let sentence = format!("the answer is not {name}: invalid byte at {at}, line {lines}");
    Fault::source(code, sentence)
}

fn unknown(label: &str) -> Fault {
    let label: String =
        label.chars().filter(char::is_ascii_graphic).take(LABEL_CHARACTERS_MAX).collect();
    Fault::source("charset", format!("the answer is in a charset that is not known: {label:?}"))
}
