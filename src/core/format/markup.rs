//! XML as a bounded stream of elements and texts. There are no entities but the five of XML itself and no document types,
//! so nothing can expand; nesting and numbers are counted as they come.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use crate::core::fault::Fault;
use crate::core::format::{empty, line_of};
use crate::core::limits::{XML_DEPTH_MAX, XML_NAMES_MAX, XML_NODES_MAX};

/// White space, as XML knows it.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// What comes next in a document.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    Open(Tag),
    /// Decoded. One text may come in several pieces.
    Text(Cow<'a, str>),
    Close,
}

/// An element's name and attributes, as they are written: with prefixes.
#[derive(Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A document being read.
pub(super) struct Markup<'a> {
    reader: Reader<&'a [u8]>,
    text: &'a str,
    /// Elements that are open.
    depth: usize,
    nodes: usize,
    has_root: bool,
    /// The element that was opened last was written as empty, `<a/>`.
    closes: bool,
}

impl<'a> Markup<'a> {
    /// Before the first element of a document.
    pub(super) fn of(text: &'a str) -> Self {
        let reader = Reader::from_str(text);
        Self { reader, text, depth: 0, nodes: 0, has_root: false, closes: false }
    }

    /// The next token; `None` once the only root is closed and nothing else follows.
    ///
    /// # Errors
    /// What is not well formed, refused or too much, with its line.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, Fault> {
        if self.closes {
            self.closes = false;
            self.depth = self.depth.saturating_sub(1);
            return Ok(Some(Token::Close));
        }
        loop {
            let event = self.reader.read_event();
            let event = event.map_err(|error| self.malformed(&error))?;
            let text = match event {
                Event::Start(start) => return self.open(&start).map(Some),
                Event::Empty(start) => {
                    self.closes = true;
                    return self.open(&start).map(Some);
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Some(Token::Close));
                }
                Event::Text(text) => text.xml10_content(),
                Event::CData(text) => text.xml10_content(),
                Event::GeneralRef(reference) => Cow::Owned(self.resolve(&reference)?.to_string()),
                Event::DocType(_) => {
                    return Err(
                        self.wrong("a document type (DOCTYPE), which is refused", "xml_doctype")
                    );
                }
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => continue,
                Event::Eof => return self.end(),
            };
            if self.depth > 0 {
                return Ok(Some(Token::Text(text)));
            }
            if !text.trim_matches(BLANKS).is_empty() {
                return Err(self.wrong("text outside of any element", "not_xml"));
            }
        }
    }

    fn end(&self) -> Result<Option<Token<'a>>, Fault> {
        match (self.depth, self.has_root) {
            (0, true) => Ok(None),
            (0, false) => Err(empty("not_xml", "XML: it holds no element")),
            _ => {
                let sentence = "the XML ends before its elements are closed: was the answer cut?";
                Err(Fault::source("not_xml", sentence))
            }
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<Token<'a>, Fault> {
        if self.depth == 0 && self.has_root {
            return Err(self.wrong("a second root element", "not_xml"));
        }
        self.has_root = true;
        self.depth += 1;
        if self.depth > XML_DEPTH_MAX {
            return Err(
                self.wrong(&format!("more than {XML_DEPTH_MAX} levels of elements"), "too_deep")
            );
        }
        let name = start.name().as_ref().to_owned();
        if name.is_empty() {
            return Err(self.wrong("an element without a name", "not_xml"));
        }
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute
                .map_err(|_| self.wrong("a malformed or repeated attribute", "not_xml"))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| self.wrong("an attribute with an unknown entity", "not_xml"))?;
            attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
            if attributes.len() > XML_NAMES_MAX {
                let what = format!("an element with more than {XML_NAMES_MAX} attributes");
                return Err(self.wrong(&what, "xml_too_large"));
            }
        }
        self.nodes += 1 + attributes.len();
        if self.nodes > XML_NODES_MAX {
            let what = format!("more than {XML_NODES_MAX} elements and attributes");
            return Err(self.wrong(&what, "xml_too_large"));
        }
        Ok(Token::Open(Tag { name, attributes }))
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char, Fault> {
        let unknown =
            || self.wrong("an unknown entity; only the five of XML itself are read", "not_xml");
        if reference.is_char_ref() {
            return reference.resolve_char_ref().ok().flatten().ok_or_else(unknown);
        }
        match reference.xml10_content().as_ref() {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(unknown()),
        }
    }

    /// A fault at the place that the reader has come to.
    pub(super) fn wrong(&self, what: &str, code: &str) -> Fault {
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        Fault::source(code, format!("the XML holds {what}, at line {}", line_of(self.text, at)))
    }

    fn malformed(&self, error: &quick_xml::Error) -> Fault {
        let at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
        let line = line_of(self.text, at);
        // In words of our own: the reader's repeat names out of the document.
        let what = match error {
            quick_xml::Error::Syntax(_) => "something is not closed before its end",
            quick_xml::Error::IllFormed(_) => "opening and closing tags do not match",
            _ => "it is malformed",
        };
        Fault::source("not_xml", format!("the answer is not XML at line {line}: {what}"))
    }
}
