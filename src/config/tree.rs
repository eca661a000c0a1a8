//! YAML text → a tree in which every value knows its place. The only module that knows the YAML crate.
//!
//! The tree is strict where YAML is lax: a key twice in one map, a tag, a second document, an anchor inside itself,
//! nesting beyond [`CONFIG_DEPTH_MAX`] and more values than the file's budget are problems. Only `true` and `false` are
//! booleans. Numbers keep their text. Aliases and merge keys (`<<`) are expanded; what an alias stands for keeps the
//! place where it was written.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput,
};

use crate::config::report::{Finding, is_plain};
use crate::core::limits::{CONFIG_DEPTH_MAX, CONFIG_NODES_MIN};

/// Where something stands in a file. Offsets are bytes; line and column count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Place {
    /// Which of the files that were read.
    pub(super) file: u16,
    pub(super) start: u32,
    /// Exclusive; equal to `start` for lists and maps.
    pub(super) end: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Place {
    /// The beginning of a file.
    pub(super) fn top(file: u16) -> Self {
        Self { file, start: 0, end: 0, line: 1, column: 1 }
    }
}

/// One value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it was typed.
    Number(String),
    Text(String),
    /// A text in which `${…}` were filled in.
    Filled(Box<Filled>),
    /// A text whose `${…}` could not be filled in; that is already reported.
    Unfilled,
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A text before and after its `${…}` were filled in. Only what was typed may be shown.
#[derive(Clone, PartialEq)]
pub(super) struct Filled {
    pub(super) typed: String,
    pub(super) value: String,
    /// What was filled in, piece by piece.
    pub(super) pieces: Vec<String>,
}

impl fmt::Debug for Filled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Filled(…)")
    }
}

/// A map's key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Node {
    /// The text of a scalar, numbers as they were typed; `None` for everything else.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Filled(filled) => Some(&filled.value),
            _ => None,
        }
    }

    /// The text as it stands in the file, before anything was filled in.
    pub(super) fn typed(&self) -> Option<&str> {
        match &self.value {
            Value::Filled(filled) => Some(&filled.typed),
            _ => self.text(),
        }
    }

    /// What was filled in from outside, if anything was.
    pub(super) fn pieces(&self) -> &[String] {
        match &self.value {
            Value::Filled(filled) => &filled.pieces,
            _ => &[],
        }
    }

    /// Whether another value says the same, in the same file: what a file names is relative to it.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        if self.place.file != other.place.file {
            return false;
        }
        match (&self.value, &other.value) {
            (Value::List(own), Value::List(others)) => {
                let mut pairs = own.iter().zip(others);
                own.len() == others.len() && pairs.all(|(own, other)| own.says_the_same(other))
            }
            (Value::Map(own), Value::Map(others)) => {
                let same = |((own_key, own), (key, other)): (&(Key, Self), &(Key, Self))| {
                    own_key.name == key.name && own.says_the_same(other)
                };
                own.len() == others.len() && own.iter().zip(others).all(same)
            }
            (own, other) => own == other,
        }
    }

    /// The kind of value, for a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(true) => "`true`",
            Value::Bool(false) => "`false`",
            Value::Number(_) => "a number",
            Value::Text(_) | Value::Filled(_) | Value::Unfilled => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// What came of a text: the tree, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Parsed {
    /// `None` after a syntax error.
    pub(super) root: Option<Node>,
    /// Every scalar and key, in order; also those that are not in the tree, such as a second one of a key.
    pub(super) scalars: Vec<Scalar>,
    pub(super) findings: Vec<Finding>,
}

/// Reads a text. Syntax errors end the reading; everything else is collected.
pub(super) fn parse(file: u16, text: &str) -> Parsed {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = CONFIG_DEPTH_MAX;
    options.block_nesting_limit = CONFIG_DEPTH_MAX;
    let mut builder = Builder {
        file,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes_left: CONFIG_NODES_MIN + text.len() / 4,
        scalars: Vec::new(),
        findings: Vec::new(),
    };
    let root = match builder.stream() {
        Ok(root) => Some(root),
        Err(finding) => {
            builder.findings.push(finding);
            None
        }
    };
    builder.scalars.sort_by_key(|scalar| (scalar.at.start, scalar.at.end));
    Parsed { root, scalars: builder.scalars, findings: builder.findings }
}

/// A scalar or key of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) at: Range<u32>,
    /// Surely a key: it has a value and looks like a name. `{NAME}` alone may be meant as a value.
    pub(super) is_key: bool,
}

/// Ends the reading.
type Stop = Finding;

fn stop(place: Place, sentence: impl Into<String>, hint: &str) -> Stop {
    Finding::error(place, sentence).hint(hint)
}

struct Builder<'text> {
    file: u16,
    parser: Parser<'text, StrInput<'text>>,
    /// Finished anchored values, each with the number of values in it.
    anchors: HashMap<usize, (Node, usize)>,
    nodes_left: usize,
    scalars: Vec<Scalar>,
    findings: Vec<Finding>,
}

impl<'text> Builder<'text> {
    fn stream(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(stop(
                        place,
                        "a second document begins here",
                        "one file is one document: use `include` for more files",
                    ));
                }
                event => root = Some(self.node(event, place, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { place: Place::top(self.file), value: Value::Null }))
    }

    fn next(&mut self) -> Result<(Event<'text>, Place), Stop> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, self.place(span))),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Place::top(self.file))),
        }
    }

    fn place(&self, span: Span) -> Place {
        let offset = |bytes: Option<usize>| u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX);
        let start = offset(span.start.byte_offset());
        Place {
            file: self.file,
            start,
            end: offset(span.end.byte_offset()).max(start),
            line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
            column: u32::try_from(span.start.col() + 1).unwrap_or(u32::MAX),
        }
    }

    fn node(&mut self, event: Event<'text>, place: Place, depth: usize) -> Result<Node, Stop> {
        self.spend(1, place)?;
        if depth >= CONFIG_DEPTH_MAX {
            return Err(stop(place, too_deep(), ""));
        }
        let before = self.nodes_left;
        let (value, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalars.push(Scalar { at: place.start..place.end, is_key: false });
                (scalar(&text, style), anchor, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(depth)?, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map(depth)?, anchor, tag.is_some()),
            Event::Alias(anchor) => return self.alias(anchor, place),
            _ => (Value::Null, 0, false),
        };
        if tagged {
            let finding = Finding::error(place, "YAML tags (`!…`) have no meaning here");
            self.findings.push(finding.hint("quote the value if it begins with `!`"));
        }
        let node = Node { place: collapsed(place, &value), value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), before - self.nodes_left + 1));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, Stop> {
        let Some((_, count)) = self.anchors.get(&anchor) else {
            return Err(stop(place, "this alias stands inside what it stands for", ""));
        };
        self.spend(*count, place)?;
        match self.anchors.get(&anchor) {
            Some((node, _)) => Ok(node.clone()),
            None => Ok(Node { place, value: Value::Null }),
        }
    }

    fn spend(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes_left = self.nodes_left.checked_sub(nodes).ok_or_else(|| {
            stop(
                place,
                "too many values for a file of this size",
                "aliases multiply what they stand for; write fewer of them",
            )
        })?;
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Value::List(nodes)),
                (event, place) => nodes.push(self.node(event, place, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut entries = Entries::default();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => break,
                (Event::Scalar(name, style, ..), place) => {
                    let merge = style == ScalarStyle::Plain && name == "<<";
                    Some((Key { place, name: name.into_owned() }, merge))
                }
                (event, place) => {
                    self.node(event, place, depth + 1)?;
                    self.findings.push(Finding::error(place, "a key must be plain text"));
                    None
                }
            };
            let (event, place) = self.next()?;
            let node = self.node(event, place, depth + 1)?;
            if let Some((key, merge)) = &key {
                let at = key.place.start..key.place.end;
                let is_key = *merge || (node.value != Value::Null && is_plain(&key.name));
                self.scalars.push(Scalar { at, is_key });
            }
            match key {
                Some((key, true)) => self.merge(&mut entries, &key, node),
                Some((key, false)) => entries.own(key, node, &mut self.findings),
                None => {}
            }
        }
        Ok(Value::Map(entries.in_order))
    }

    fn merge(&mut self, entries: &mut Entries, key: &Key, node: Node) {
        let nodes = match node.value {
            Value::List(nodes) => nodes,
            _ => vec![node],
        };
        for node in nodes {
            match node.value {
                Value::Map(merged) => entries.merge(merged),
                _ => self.findings.push(
                    Finding::error(key.place, "`<<` takes a map, or a list of maps")
                        .hint("such as `<<: *common`, with `&common` on another map"),
                ),
            }
        }
    }

    /// The parser's words for the commonest mistakes, in ours. The text around a syntax error is not quoted here.
    fn syntax(&self, error: &ScanError) -> Stop {
        let place = self.place(Span::empty(*error.marker()));
        let (sentence, hint) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => (too_deep(), ""),
            ErrorKind::MappingValueNotAllowed
            | ErrorKind::InvalidColonPlacement
            | ErrorKind::SimpleKeyExpected
            | ErrorKind::InvalidSimpleKey => (
                format!("not valid YAML: {}", error.kind()),
                "check the indentation; a value with `: ` in it must be quoted or stand in a `|` block",
            ),
            ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabNotAllowed => {
                (String::from("not valid YAML: a tab in the indentation"), "indent with spaces")
            }
            ErrorKind::UnknownAnchor => (
                String::from("this alias (`*…`) names no anchor (`&…`) above it"),
                "quote the value if it begins with `*`",
            ),
            kind @ (ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent) => {
                (format!("not valid YAML: {kind}"), "is a quote above not closed?")
            }
            kind @ (ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::InvalidIndentation) => {
                (format!("not valid YAML: {kind}"), "check the indentation")
            }
            kind => (format!("not valid YAML: {kind}"), ""),
        };
        stop(place, sentence, hint)
    }
}

fn too_deep() -> String {
    format!("nested deeper than {CONFIG_DEPTH_MAX} levels")
}

/// Lists and maps are pointed at by where they begin.
fn collapsed(place: Place, value: &Value) -> Place {
    match value {
        Value::List(_) | Value::Map(_) => Place { end: place.start, ..place },
        _ => place,
    }
}

/// The entries of one map while it is read.
#[derive(Default)]
struct Entries {
    in_order: Vec<(Key, Node)>,
    /// Which of them were merged, and may be overridden.
    merged: HashSet<usize>,
    /// Where each name stands, as soon as there are more than [`FEW_ENTRIES_MAX`].
    by_name: HashMap<String, usize>,
}

/// So many entries of a map are looked through: most maps have few, and there may be very many maps.
const FEW_ENTRIES_MAX: usize = 16;

impl Entries {
    fn own(&mut self, key: Key, node: Node, findings: &mut Vec<Finding>) {
        match self.find(&key.name) {
            None => self.add(key, node),
            Some(index) if self.merged.remove(&index) => {
                if let Some(entry) = self.in_order.get_mut(index) {
                    *entry = (key, node);
                }
            }
            Some(index) => {
                let first = self.in_order.get(index).map_or(0, |(key, _)| key.place.line);
                findings.push(
                    Finding::error(key.place, format!("{} stands here twice", called(&key.name)))
                        .hint(format!("it stands already on line {first}: keep one of the two")),
                );
            }
        }
    }

    fn merge(&mut self, merged: Vec<(Key, Node)>) {
        for (key, node) in merged {
            if self.find(&key.name).is_none() {
                self.merged.insert(self.in_order.len());
                self.add(key, node);
            }
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        if self.in_order.len() > FEW_ENTRIES_MAX {
            return self.by_name.get(name).copied();
        }
        self.in_order.iter().position(|(key, _)| key.name == name)
    }

    fn add(&mut self, key: Key, node: Node) {
        self.in_order.push((key, node));
        let known = self.by_name.len();
        if self.in_order.len() > FEW_ENTRIES_MAX {
            let new = self.in_order.iter().enumerate().skip(known);
            self.by_name.extend(new.map(|(index, (key, _))| (key.name.clone(), index)));
        }
    }
}

/// A key in a sentence.
fn called(name: &str) -> String {
    if is_plain(name) { format!("the key `{name}`") } else { String::from("this key") }
}

/// YAML 1.2's core schema, with `true` and `false` as the only booleans.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.contains(|any: char| any.is_ascii_digit())
        && digits.parse::<f64>().is_ok()
}
