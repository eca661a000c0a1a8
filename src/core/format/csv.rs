//! CSV (RFC 4180) → a list of objects, every value a text.
//!
//! A reader of our own, because those at hand forgive what must not pass here: a quote that is never closed would swallow
//! the rest of a listing that was cut.

use crate::core::fault::Fault;
use crate::core::format::{Charset, empty, line_of};
use crate::core::json::quote;
use crate::core::limits::{CONVERTED_GROWTH_MAX, CSV_COLUMNS_MAX, KEY_BYTES_MAX};
use crate::core::words;

/// What the JSON of a very short file may grow to all the same.
const CONVERTED_BYTES_MIN: usize = 1024 * 1024;

/// How a CSV listing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    pub(crate) delimiter: u8,
    pub(crate) header: Header,
    /// `None`: what the answer's type says, or UTF-8.
    pub(crate) charset: Option<Charset>,
}

/// Where the names of the columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Header {
    /// The first row.
    Row,
    /// There are none: the columns are `c1`, `c2` and so on.
    None,
    /// Given by the operator, one for each column; the first row is an item.
    Names(Vec<String>),
}

impl Default for Csv {
    fn default() -> Self {
        Self { delimiter: b',', header: Header::Row, charset: None }
    }
}

impl Csv {
    /// Reads a listing.
    ///
    /// # Errors
    /// A row with more or fewer fields than the others, a quote that is not closed, names that stand twice, no row at all.
    pub(super) fn read(&self, text: &str) -> Result<String, Fault> {
        let mut rows = Rows { text, rest: text, delimiter: self.delimiter };
        let mut fields = Vec::new();
        let mut names = match &self.header {
            Header::Names(names) => Some(quoted(names.iter().map(String::as_str))?),
            Header::None => None,
            Header::Row => {
                rows.next(&mut fields)?.ok_or_else(|| empty("not_csv", "CSV: no row of names"))?;
                Some(quoted(fields.iter().map(String::as_str))?)
            }
        };
        let bytes_max = text.len().saturating_mul(CONVERTED_GROWTH_MAX).max(CONVERTED_BYTES_MIN);
        let mut list = String::from("[");
        while let Some(began) = rows.next(&mut fields)? {
            if names.is_none() {
                names = Some(quoted(fields.iter().map(|_| ""))?);
            }
            let names = names.as_deref().unwrap_or_default();
            if fields.len() != names.len() {
                let (found, expected) = (words::count(fields.len(), "field"), names.len());
                let line = line_of(text, began);
                let sentence = format!("the row at line {line} has {found} instead of {expected}");
                return Err(Fault::source("not_csv", sentence));
            }
            if list.len() > 1 {
                list.push(',');
            }
            push_object(names, &fields, &mut list);
            if list.len() > bytes_max {
                let sentence = "the names of the columns are too long for so many rows";
                return Err(Fault::source("body_too_large", sentence));
            }
        }
        list.push(']');
        Ok(list)
    }
}

fn push_object(names: &[String], fields: &[String], list: &mut String) {
    let mut before = '{';
    for (name, field) in names.iter().zip(fields) {
        list.push(before);
        list.push_str(name);
        quote(field, list);
        before = ',';
    }
    list.push('}');
}

/// The names of columns as they stand in an object, each with its colon. One without a name is called by its number.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Fault> {
    let mut known = std::collections::HashSet::new();
    let mut quoted = Vec::new();
    for (at, name) in names.enumerate() {
        let number = at + 1;
        let name = match name.trim() {
            "" => format!("c{number}"),
            name => name.to_owned(),
        };
        let mut text = String::new();
        quote(&name, &mut text);
        text.push(':');
        if name.len() > KEY_BYTES_MAX || number > CSV_COLUMNS_MAX {
            let sentence = format!(
                "a table has at most {CSV_COLUMNS_MAX} columns with names of {KEY_BYTES_MAX} bytes"
            );
            return Err(Fault::source("not_csv", sentence));
        }
        if !known.insert(name) {
            let sentence = format!("the name of column {number} stands twice in the header");
            return Err(Fault::source("not_csv", sentence));
        }
        quoted.push(text);
    }
    Ok(quoted)
}

/// The rows that are left.
struct Rows<'a> {
    text: &'a str,
    rest: &'a str,
    /// ASCII.
    delimiter: u8,
}

/// What a field was followed by.
#[derive(PartialEq)]
enum Behind {
    Field,
    Row,
    Nothing,
}

impl Rows<'_> {
    /// Reads the next row into `fields` and tells where in the text it began; `None` at the end. Blank lines are no rows.
    fn next(&mut self, fields: &mut Vec<String>) -> Result<Option<usize>, Fault> {
        let blank = self.rest.len() - self.rest.trim_start_matches(['\r', '\n']).len();
        self.advance(blank);
        if self.rest.is_empty() {
            return Ok(None);
        }
        let began = self.text.len() - self.rest.len();
        let mut count = 0;
        loop {
            if count == fields.len() {
                fields.push(String::new());
            }
            let Some(field) = fields.get_mut(count) else { break };
            field.clear();
            let behind = match self.rest.strip_prefix('"') {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted(field, began)?
                }
                None => self.plain(field),
            };
            count += 1;
            if behind != Behind::Field {
                break;
            }
            if count > CSV_COLUMNS_MAX {
                let line = line_of(self.text, began);
                let sentence = format!("line {line} has more than {CSV_COLUMNS_MAX} fields");
                return Err(Fault::source("not_csv", sentence));
            }
        }
        fields.truncate(count);
        Ok(Some(began))
    }

    fn plain(&mut self, field: &mut String) -> Behind {
        let delimiter = self.delimiter;
        let end = self.rest.bytes().position(|byte| byte == delimiter || byte == b'\n');
        let end = end.unwrap_or(self.rest.len());
        let (content, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let content = if rest.starts_with(char::from(delimiter)) {
            content
        } else {
            content.strip_suffix('\r').unwrap_or(content)
        };
        field.push_str(content);
        self.rest = rest;
        self.behind()
    }

    /// The rest of a field, from behind its opening quote; a quote in it stands twice.
    fn quoted(&mut self, field: &mut String, began: usize) -> Result<Behind, Fault> {
        loop {
            let Some((content, rest)) = self.rest.split_once('"') else {
                let line = line_of(self.text, began);
                let sentence = format!(
                    "a quote in the row at line {line} is never closed: was the answer cut?"
                );
                return Err(Fault::source("not_csv", sentence));
            };
            field.push_str(content);
            let Some(rest) = rest.strip_prefix('"') else {
                self.rest = rest.strip_prefix('\r').unwrap_or(rest);
                break;
            };
            field.push('"');
            self.rest = rest;
        }
        let first = self.rest.bytes().next();
        if first.is_some_and(|byte| byte != self.delimiter && byte != b'\n') {
            let line = line_of(self.text, began);
            let sentence =
                format!("in the row at line {line}, something follows a closing quote directly");
            return Err(Fault::source("not_csv", sentence));
        }
        Ok(self.behind())
    }

    /// Takes the delimiter or line end that comes next.
    fn behind(&mut self) -> Behind {
        let behind = match self.rest.bytes().next() {
            None => return Behind::Nothing,
            Some(byte) if byte == self.delimiter => Behind::Field,
            Some(_) => Behind::Row,
        };
        self.advance(1);
        behind
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }
}
