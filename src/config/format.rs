//! `format` of a source: what its answers are written in.

use crate::config::keys;
use crate::config::report::Flaw;
use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;
use crate::core::format::{Charset, Csv, Format, Header};

/// Reads `json ndjson xml feed csv` or `{csv: {…}}`.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Format> {
    let Value::Map(_) = node.value else {
        return Some(match walk.word(node, keys::FORMATS)? {
            "ndjson" => Format::Ndjson,
            "xml" => Format::Xml,
            "feed" => Format::Feed,
            "csv" => Format::Csv(Csv::default()),
            _ => Format::Json,
        });
    };
    let fields = walk.fields(node, keys::FORMAT, node.place)?;
    fields.need("csv", |node| csv(walk, node).map(Format::Csv))
}

fn csv<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Csv> {
    let default = Csv::default();
    let fields = walk.fields(node, keys::CSV, node.place)?;
    let delimiter = fields.or("delimiter", default.delimiter, |node| delimiter(walk, node));
    let header = fields.or("header", default.header, |node| header(walk, node));
    let charset = fields.or("encoding", None, |node| charset(walk, node).map(Some));
    Some(Csv { delimiter: delimiter?, header: header?, charset: charset? })
}

fn delimiter<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<u8> {
    match walk.text(node)?.as_bytes() {
        b"tab" => Some(b'\t'),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(byte) => {
            Some(*byte)
        }
        _ => {
            let sentence = "a delimiter is one ASCII character that is no letter, digit or quote";
            walk.flaw(node, "a delimiter", &Flaw::new(sentence, "such as `\";\"` or `tab`"))
        }
    }
}

fn header<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Header> {
    if !matches!(node.value, Value::List(_)) {
        return Some(if walk.flag(node)? { Header::Row } else { Header::None });
    }
    let mut names = Vec::<String>::new();
    for (name, node) in walk.each(node, |walk, node| Some((walk.text(node)?.trim(), node)))? {
        if names.iter().any(|known| known == name) {
            return walk.report.wrong(node, "this name stands in the list twice", "");
        }
        names.push(name.to_owned());
    }
    Some(Header::Names(names))
}

fn charset<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Charset> {
    let text = walk.text(node)?;
    Charset::parse(text).or_else(|| {
        let flaw = Flaw::new(
            "this is no charset that can be read",
            "such as `utf-8`, `windows-1252`, `iso-8859-2`, `shift_jis` or `utf-16le`",
        );
        walk.flaw(node, "a charset", &flaw)
    })
}
