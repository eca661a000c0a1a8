//! From the tree to typed values. Every reader either gives a value or notes a problem and gives `None`; nobody stops at
//! the first, so that all problems come at once.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::for_each::Feed;
use crate::config::hint::meant;
use crate::config::keys::{Key, Shape, Table, Words};
use crate::config::lookup::Lookup;
use crate::config::mask::Showing;
use crate::config::measures;
use crate::config::report::{Finding, Flaw, ReadFile, Report, is_plain};
use crate::config::route::Shared;
use crate::config::shared::Apis;
use crate::config::source::Lately;
use crate::config::tree::{self, Node, Place, Value};
use crate::core::budget::Allowance;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::jq::Expression;
use crate::core::limits::JQ_TEXT_BYTES_MAX;
use crate::core::schedule::Every;
use crate::core::source::Alike;

/// What stands under a key.
#[derive(Debug, Clone, Copy)]
enum Slot<'n> {
    /// Something of the right kind.
    Good(&'n Node),
    /// Something wrong, already noted.
    Bad,
}

/// The entries of a map whose keys are known.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    slots: Vec<(&'static str, Slot<'n>)>,
}

impl<'n> Fields<'n> {
    /// The value under a key, if there is one of the right kind.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        match self.slot(name) {
            Some(Slot::Good(node)) => Some(node),
            _ => None,
        }
    }

    /// Whether the key stands there, whatever is under it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.slot(name).is_some()
    }

    /// How many keys stand there that this version knows.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, name: &str) -> Option<Slot<'n>> {
        self.slots.iter().find(|(key, _)| *key == name).map(|(_, slot)| *slot)
    }

    /// What `read` makes of a key's value, or `default` when the key is absent; `None` when something is wrong.
    pub(super) fn or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&'n Node) -> Option<T>,
    ) -> Option<T> {
        match self.slot(name) {
            None => Some(default),
            Some(Slot::Bad) => None,
            Some(Slot::Good(node)) => read(node),
        }
    }

    /// What `read` makes of a key's value. A required key that is absent has already been noted.
    pub(super) fn need<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'n Node) -> Option<T>,
    ) -> Option<T> {
        self.get(name).and_then(read)
    }
}

/// The walk through the trees of all files.
pub(super) struct Walk<'a> {
    pub(super) files: &'a [ReadFile],
    /// Where the files are that values name.
    pub(super) lookup: &'a dyn Lookup,
    pub(super) apis: &'a Apis,
    pub(super) report: Report,
    /// The sources that are fed by others, to be looked at when all are known.
    pub(super) feeds: Vec<Feed>,
    pub(super) shared: Shared,
    /// The former names of sources, with where they stand.
    pub(super) former: Vec<(SourceName, Place)>,
    /// The same of endpoints.
    pub(super) former_endpoints: Vec<(EndpointName, Place)>,
    /// The budgets of blocks of `apis` that were read.
    pub(super) budgets: HashMap<String, Option<Allowance>>,
    pub(super) alike: Alike,
    pub(super) lately: Lately<'a>,
}

impl<'a> Walk<'a> {
    /// Begins a walk; `report` has what was found so far.
    pub(super) fn new(
        files: &'a [ReadFile],
        lookup: &'a dyn Lookup,
        apis: &'a Apis,
        report: Report,
    ) -> Self {
        let (shared, feeds, former) = (Shared::default(), Vec::new(), Vec::new());
        let (former_endpoints, budgets, alike) = (Vec::new(), HashMap::new(), Alike::default());
        Self {
            files,
            lookup,
            apis,
            report,
            feeds,
            shared,
            former,
            former_endpoints,
            budgets,
            alike,
            lately: Lately::default(),
        }
    }

    /// Reads a map with known keys. `owner` is where problems of the map as a whole are pointed at.
    pub(super) fn fields(
        &mut self,
        node: &'a Node,
        table: Table,
        owner: Place,
    ) -> Option<Fields<'a>> {
        let fields = self.part(node, table, |_| false)?;
        for key in table.iter().filter(|key| key.required) {
            if !fields.has(key.name) {
                let finding = Finding::error(owner, format!("the key `{}` is missing", key.name));
                let example = if key.example.is_empty() {
                    String::new()
                } else {
                    format!("such as `{}: {}`", key.name, key.example)
                };
                self.report.add(finding.hint(example));
            }
        }
        Some(fields)
    }

    /// Reads a map with known keys, whether all that are required are there or not. Those that are `barred` are none.
    pub(super) fn part(
        &mut self,
        node: &'a Node,
        table: Table,
        barred: fn(&Key) -> bool,
    ) -> Option<Fields<'a>> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => return self.unexpected(node, &Shape::Map(table)),
        };
        let mut slots = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match table.iter().find(|known| known.name == key.name) {
                Some(known) if barred(known) => {
                    let sentence = format!("the key `{}` is one source's own", key.name);
                    let finding = Finding::error(key.place, sentence);
                    self.report.add(finding.hint("move it to that source"));
                }
                Some(known) => {
                    self.report.reveal_key(key);
                    slots.push((known.name, self.slot(known, key, value)));
                }
                None => self.unknown_key(key, value, table),
            }
        }
        Some(Fields { slots })
    }

    fn slot(&mut self, known: &'static Key, key: &tree::Key, value: &'a Node) -> Slot<'a> {
        if !known.supported {
            let sentence = format!("the key `{}` is not supported yet", key.name);
            self.report.add(Finding::error(key.place, sentence));
            return Slot::Bad;
        }
        if !known.secret {
            let showing = match known.shape {
                Shape::Address => Showing::Address,
                Shape::Receiver => Showing::Host,
                _ => Showing::Whole,
            };
            self.report.reveal(value, showing);
        }
        match &value.value {
            Value::Unfilled => Slot::Bad,
            Value::Null if !known.shape.accepts(value) => {
                let expected = known.shape.expected();
                let sentence = format!("nothing stands under `{}`", key.name);
                let away = if known.required { "" } else { ", or take the key away" };
                let hint = format!("give it {expected}{away}");
                self.report.add(Finding::error(key.place, sentence).hint(hint));
                Slot::Bad
            }
            _ if known.shape.accepts(value) => Slot::Good(value),
            _ => {
                self.report.conceal(value);
                let expected = known.shape.expected();
                let sentence = format!("`{}` is {}, not {expected}", key.name, value.kind());
                let hint = match &value.value {
                    Value::Bool(word) => format!("quote it if the text is meant: \"{word}\""),
                    _ => String::new(),
                };
                self.report.add(Finding::error(value.place, sentence).hint(hint));
                Slot::Bad
            }
        }
    }

    fn unknown_key(&mut self, key: &tree::Key, value: &Node, table: Table) {
        let near = meant(&key.name, table.iter().map(|known| known.name));
        // A name alone may be a value whose key was forgotten.
        let shown = near.is_some() || (value.value != Value::Null && is_plain(&key.name));
        if shown {
            self.report.reveal_key(key);
        }
        let hint = match near {
            Some(name) if table.iter().any(|known| known.name == name && known.supported) => {
                format!("did you mean `{name}`?")
            }
            Some(name) => format!("did you mean `{name}`? It is not supported yet"),
            None => {
                let known = table.iter().filter(|known| known.supported);
                let names: Vec<_> = known.map(|known| format!("`{}`", known.name)).collect();
                format!("known here: {}", names.join(", "))
            }
        };
        let sentence = if shown {
            format!("unknown key `{}`", key.name)
        } else {
            String::from("no key is known by this name")
        };
        self.report.add(Finding::error(key.place, sentence).hint(hint));
    }

    /// Notes that something of another kind belongs here.
    pub(super) fn unexpected<T>(&mut self, node: &Node, shape: &Shape) -> Option<T> {
        if node.value == Value::Unfilled {
            return None;
        }
        self.report.conceal(node);
        let sentence = format!("expected {}, found {}", shape.expected(), node.kind());
        self.report.wrong(node, sentence, "")
    }

    /// Notes a flaw of a scalar.
    pub(super) fn flaw<T>(&mut self, node: &Node, expected: &str, flaw: &Flaw) -> Option<T> {
        match self.files.get(usize::from(node.place.file)) {
            Some(file) => self.report.flaw(file, node, expected, flaw),
            None => None,
        }
    }

    /// Text; numbers are taken as they were typed.
    pub(super) fn text(&mut self, node: &'a Node) -> Option<&'a str> {
        match node.text() {
            Some("") => self.report.wrong(node, "the text is empty", ""),
            Some(text) => Some(text),
            None => self.unexpected(node, &Shape::Text),
        }
    }

    /// Text that may be refused for holding a template.
    pub(super) fn no_template(&mut self, node: &Node) -> Option<()> {
        let at = match node.typed().and_then(|typed| typed.find("{{").map(|at| (at, typed))) {
            None => return Some(()),
            Some((at, typed)) => at..typed.find("}}").map_or(at + 2, |end| (end + 2).max(at)),
        };
        let sentence = "templates (`{{ … }}`) are not supported yet";
        if let Value::Filled(_) = node.value {
            return self.report.wrong(node, sentence, "");
        }
        self.flaw(node, "text", &Flaw::new(sentence, "").at(at))
    }

    /// One value or the values of a list, each by itself: all are read, whatever is wrong with some.
    pub(super) fn each<T>(
        &mut self,
        node: &'a Node,
        mut read: impl FnMut(&mut Self, &'a Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let nodes = match &node.value {
            Value::List(nodes) if nodes.is_empty() => {
                return self.report.wrong(node, "the list is empty", "leave the key out instead");
            }
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let values: Vec<Option<T>> = nodes.iter().map(|node| read(self, node)).collect();
        values.into_iter().collect()
    }

    /// A duration, zero included.
    pub(super) fn duration(&mut self, node: &'a Node) -> Option<Duration> {
        let text = self.text(node)?;
        measures::duration(text).map_or_else(|flaw| self.flaw(node, "a duration", &flaw), Some)
    }

    /// A duration longer than zero.
    pub(super) fn span(&mut self, node: &'a Node) -> Option<Duration> {
        match self.duration(node)? {
            Duration::ZERO => self.report.wrong(node, "zero is too short here", "such as `30s`"),
            duration => Some(duration),
        }
    }

    /// One duration, or two with `..` between them.
    pub(super) fn interval(&mut self, node: &'a Node) -> Option<Every> {
        let text = self.text(node)?;
        measures::interval(text).map_or_else(|flaw| self.flaw(node, "an interval", &flaw), Some)
    }

    /// A number of bytes from one to `bytes_max`.
    pub(super) fn size(&mut self, node: &'a Node, bytes_max: usize) -> Option<usize> {
        let text = self.text(node)?;
        match measures::size(text) {
            Err(flaw) => self.flaw(node, "a size", &flaw),
            Ok(0) => self.report.wrong(node, "nothing at all would fit", "such as `8MiB`"),
            Ok(bytes) if bytes > bytes_max => {
                let sentence = format!("this is more than the most possible, {bytes_max} bytes");
                self.report.wrong(node, sentence, "")
            }
            Ok(bytes) => Some(bytes),
        }
    }

    /// A whole number, within the bounds of the key's shape.
    pub(super) fn count(&mut self, node: &Node, table: Table, name: &str) -> Option<usize> {
        let shape = table.iter().find(|key| key.name == name).map(|key| &key.shape);
        let Some(shape @ &Shape::Count { min, max }) = shape else { return None };
        let number = match &node.value {
            Value::Number(text) => text.parse::<usize>().ok(),
            Value::Filled(filled) => filled.value.parse::<usize>().ok(),
            _ => None,
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => self.report.wrong(node, format!("this is not {}", shape.expected()), ""),
        }
    }

    /// One of the words of the contract.
    pub(super) fn word(&mut self, node: &'a Node, words: Words) -> Option<&'static str> {
        let expected = Shape::Word(words).expected();
        let Some(text) = node.text() else { return self.unexpected(node, &Shape::Word(words)) };
        match words.iter().find(|word| word.text == text) {
            Some(word) if word.supported => Some(word.text),
            Some(word) => {
                self.report.wrong(node, format!("`{}` is not supported yet", word.text), "")
            }
            None => {
                let near = meant(text, words.iter().map(|word| word.text));
                let hint = near
                    .map_or(format!("write {expected}"), |near| format!("did you mean `{near}`?"));
                let hint = if node.pieces().is_empty() { hint } else { String::new() };
                self.flaw(node, &expected, &Flaw::new(format!("this is not {expected}"), hint))
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &'a Node) -> Option<bool> {
        match (&node.value, node.text()) {
            (Value::Bool(flag), _) => Some(*flag),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => self.report.wrong(node, "this is neither `true` nor `false`", ""),
        }
    }

    /// A block of `apis`, and those it builds on.
    pub(super) fn apis(&mut self, node: &'a Node) -> Option<Vec<String>> {
        let text = self.text(node)?;
        let apis = self.apis;
        apis.chain(text).or_else(|| {
            let mut names: Vec<_> = apis.names().collect();
            names.sort_unstable();
            let hint = match meant(text, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => String::from("there are no `apis` at all"),
                None => String::new(),
            };
            let flaw = Flaw::new(format!("there is no block `{text}` in `apis`"), hint);
            self.flaw(node, "the name of a block of `apis`", &flaw)
        })
    }

    /// A jq expression.
    pub(super) fn expression(&mut self, node: &'a Node) -> Option<Expression> {
        let text = self.text(node)?;
        if !self.report.expressions.contains_key(text) {
            let compiled = compile(text);
            self.report.expressions.insert(text.to_owned(), compiled);
        }
        match self.report.expressions.get(text)?.clone() {
            Ok(expression) => Some(expression),
            Err(flaw) => self.flaw(node, "a jq expression", &flaw),
        }
    }
}

fn compile(text: &str) -> Result<Expression, Flaw> {
    if text.len() > JQ_TEXT_BYTES_MAX {
        let sentence = format!("a jq expression has at most {JQ_TEXT_BYTES_MAX} bytes");
        return Err(Flaw::new(sentence, ""));
    }
    Expression::parse(text).map_err(|problem| {
        let hint = without_dot(text).or(problem.hint);
        Flaw::new(problem.sentence, hint.unwrap_or_default()).at(problem.at)
    })
}

/// What is meant by a path that begins with a name.
pub(super) fn without_dot(text: &str) -> Option<String> {
    let bare = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let dotless = bare && text.starts_with(|c: char| c.is_ascii_alphabetic());
    dotless.then(|| format!("paths begin with a dot: `.{text}`"))
}

impl Shape {
    /// Whether a value is of the right kind. What it says is the readers' business.
    fn accepts(&self, node: &Node) -> bool {
        let kind = &node.value;
        let is_text = matches!(kind, Value::Text(_) | Value::Number(_) | Value::Filled(_));
        match self {
            Self::Text
            | Self::Address
            | Self::Receiver
            | Self::Duration
            | Self::Interval
            | Self::Size
            | Self::Rate
            | Self::Expression
            | Self::Word(_) => is_text,
            Self::Count { .. } => matches!(kind, Value::Number(_) | Value::Filled(_)),
            Self::Yes => matches!(kind, Value::Bool(true)),
            Self::Flag => matches!(kind, Value::Bool(_) | Value::Filled(_)),
            Self::Anything => *kind != Value::Null,
            Self::Tree => matches!(kind, Value::Map(_) | Value::List(_)),
            Self::List(_) => matches!(kind, Value::List(_)),
            Self::OneOrList(shape) => matches!(kind, Value::List(_)) || shape.accepts(node),
            Self::Map(_) | Self::Pairs { .. } => matches!(kind, Value::Map(_)),
            Self::Part(_) | Self::Named(_) | Self::NamedPart(_) => {
                matches!(kind, Value::Map(_) | Value::Null)
            }
            Self::Either(shapes) => shapes.iter().any(|shape| shape.accepts(node)),
        }
    }
}
