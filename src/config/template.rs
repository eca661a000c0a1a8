//! Where templates may stand: URLs, parameters, headers. Texts without `{{` are read as they always were.

use std::ops::Range;

use http::header::{HeaderMap, HeaderName};
use url::Url;

use crate::config::fill::references;
use crate::config::report::{Finding, Flaw, inside};
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Walk, without_dot};
use crate::config::web::{pairs, web_address};
use crate::core::auth::names_a_credential;
use crate::core::template::{Address, Formula, Parameter, Part, Span, Template, split};

/// Whether a text has a template in it. What is filled in from outside makes none.
pub(super) fn is_template(node: &Node) -> bool {
    node.typed().is_some_and(|typed| typed.contains("{{"))
}

/// What templates run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// Nothing: words are at hand.
    Words,
    /// An event's envelope.
    Envelope,
}

/// Headers of every request, and those that are rendered for each.
pub(super) type Headers = (HeaderMap, Vec<(HeaderName, Template)>);

impl<'a> Walk<'a> {
    /// A text with templates in it, with the words of a source at hand.
    pub(super) fn template(&mut self, node: &'a Node) -> Option<Template> {
        self.template_over(node, Input::Words)
    }

    /// A text with templates in it.
    pub(super) fn template_over(&mut self, node: &'a Node, input: Input) -> Option<Template> {
        self.report.filled_in(node);
        self.report.reveal_templates(node);
        let typed = node.typed()?;
        let filled = Filled::new(node, typed);
        let spans = match split(&filled.layout()) {
            Ok(spans) => spans,
            Err(problem) => {
                let hint = problem.hint.unwrap_or_default();
                return self.flaw_as_typed(node, &Flaw::new(problem.sentence, hint).at(problem.at));
            }
        };
        let parts: Vec<Option<Part>> = spans
            .into_iter()
            .map(|span| match span {
                Span::Text(at) => Some(Part::Text(filled.text(&at))),
                Span::Jq(at) => self.formula(node, &filled, at, input).map(Part::Jq),
            })
            .collect();
        Some(Template::new(parts.into_iter().collect::<Option<_>>()?))
    }

    fn formula(
        &mut self,
        node: &Node,
        filled: &Filled<'_>,
        at: Range<usize>,
        input: Input,
    ) -> Option<Formula> {
        let text = (filled.text(&at), input);
        if !self.report.formulas.contains_key(&text) {
            let parse = match input {
                Input::Words => Formula::parse,
                Input::Envelope => Formula::parse_over,
            };
            let compiled = parse(&text.0).map_err(|problem| {
                let dot = (input == Input::Envelope).then(|| without_dot(text.0.trim())).flatten();
                let hint = dot.or(problem.hint).unwrap_or_default();
                Flaw::new(problem.sentence, hint).at(problem.at)
            });
            self.report.formulas.insert(text.clone(), compiled);
        }
        let flaw = match self.report.formulas.get(&text)? {
            Ok(formula) => return Some(formula.clone()),
            Err(flaw) => flaw.clone(),
        };
        if filled.is_filled(&at) {
            let sentence = "with what is filled in here, a template is not a jq expression";
            return self.report.wrong(node, sentence, "");
        }
        let place = flaw.at.clone().unwrap_or(0..text.0.len());
        let flaw = flaw.at(place.start + at.start..place.end + at.start);
        self.flaw_as_typed(node, &flaw)
    }

    /// Notes a flaw of what was typed, not of what was filled in. A literal in a template may be a secret.
    fn flaw_as_typed<T>(&mut self, node: &Node, flaw: &Flaw) -> Option<T> {
        let file = self.files.get(usize::from(node.place.file))?;
        let place = flaw.at.as_ref().and_then(|at| inside(&file.text, node, at));
        let sentence = if flaw.sentence.contains('"') {
            "this is not a jq expression"
        } else {
            flaw.sentence.as_str()
        };
        let finding = Finding::error(place.unwrap_or(node.place), sentence);
        self.report.add(finding.hint(flaw.hint.clone().unwrap_or_default()));
        None
    }

    /// What a source asks for; `query` is added to it.
    pub(super) fn address(
        &mut self,
        node: &'a Node,
        query: Option<Vec<Parameter>>,
    ) -> Option<Address> {
        if !is_template(node) {
            let url = match node.text().and_then(|text| text.strip_prefix("file:")) {
                Some(path) => self.file_address(node, path)?,
                None => self.web_address(node)?,
            };
            return Some(Address::fixed(url, query?));
        }
        let template = self.template(node)?;
        let address = match Address::of_template(template.clone(), query.unwrap_or_default()) {
            Ok(address) => address,
            Err(sentence) => {
                let hint = "such as `https://api.example/parcels/{{key}}`, or `{{item.url}}`";
                return self.report.wrong(node, sentence, hint);
            }
        };
        if let [Part::Jq(_)] = template.parts() {
            return Some(address);
        }
        match web_address(&template.tried()) {
            Ok(Url { .. }) => Some(address),
            Err(flaw) => {
                self.flaw(node, "an `https://` or `http://` URL", &Flaw { at: None, ..flaw })
            }
        }
    }

    /// Parameters of a URL: numbers and booleans as text, a list once for each, null not at all.
    pub(super) fn parameters(&mut self, node: &'a Node) -> Option<Vec<Parameter>> {
        let (mut parameters, mut complete) = (Vec::new(), true);
        for (key, value) in pairs(node) {
            if key.name.contains("{{") {
                self.no_template_in_name(key.place);
                complete = false;
            }
            let values = match &value.value {
                Value::Null => &[],
                Value::List(values) => values.as_slice(),
                _ => std::slice::from_ref(value),
            };
            for value in values {
                let parameter = if is_template(value) {
                    let template = self.template(value);
                    template.map(|template| Parameter::Rendered(key.name.clone(), template))
                } else {
                    let text = self.scalar(key, value);
                    text.map(|text| Parameter::Fixed(key.name.clone(), text.to_owned()))
                };
                self.keep_secret(&key.name, value);
                complete &= parameter.is_some();
                parameters.extend(parameter);
            }
        }
        complete.then_some(parameters)
    }

    /// The headers of a source, with those that have templates.
    pub(super) fn source_headers(&mut self, node: &'a Node) -> Option<Headers> {
        let (mut headers, mut rendered) = (HeaderMap::new(), Vec::new());
        let mut complete = true;
        for (key, value) in pairs(node) {
            let name = self.header_name(key);
            let twice = name.as_ref().is_some_and(|name| {
                headers.contains_key(name) || rendered.iter().any(|(known, _)| known == name)
            });
            if twice {
                let sentence = format!("the header `{}` stands here twice", key.name);
                self.report.add(Finding::error(key.place, sentence));
                complete = false;
            }
            if is_template(value) {
                let template = self.template(value);
                self.keep_secret(&key.name, value);
                complete &= template.is_some() && name.is_some();
                rendered.extend(name.zip(template));
            } else {
                let value = self.header_value(key, value);
                complete &= value.is_some() && name.is_some();
                headers.extend(name.zip(value));
            }
        }
        complete.then_some((headers, rendered))
    }

    fn keep_secret(&mut self, name: &str, node: &Node) {
        if names_a_credential(name) && !is_template(node) {
            self.report.secret(node);
        } else {
            self.report.filled_in(node);
        }
    }

    /// Notes that a template stands where a name belongs.
    pub(super) fn no_template_in_name(&mut self, place: Place) {
        let sentence = "a name cannot hold templates (`{{ … }}`), only a value can";
        self.report.add(Finding::error(place, sentence));
    }
}

/// A text as it was typed, and what belongs in its `${…}`.
struct Filled<'n> {
    typed: &'n str,
    /// Where a `${…}` stands, and what is filled in.
    pieces: Vec<(Range<usize>, &'n str)>,
}

impl<'n> Filled<'n> {
    fn new(node: &'n Node, typed: &'n str) -> Self {
        let pieces = node.pieces();
        let places = if pieces.is_empty() { Vec::new() } else { references(typed) };
        let places = places.into_iter().map(|reference| reference.at);
        Self { typed, pieces: places.zip(pieces.iter().map(String::as_str)).collect() }
    }

    /// The text with every `${…}` made harmless, so that no template begins or ends in one.
    fn layout(&self) -> String {
        let mut layout = self.typed.to_owned();
        for (at, _) in &self.pieces {
            layout.replace_range(at.clone(), &"_".repeat(at.len()));
        }
        layout
    }

    /// A part of the text, filled in.
    fn text(&self, part: &Range<usize>) -> String {
        let (mut text, mut from) = (String::new(), part.start);
        for (at, piece) in self.within(part) {
            text.push_str(self.typed.get(from..at.start).unwrap_or_default());
            text.push_str(piece);
            from = at.end;
        }
        text.push_str(self.typed.get(from..part.end).unwrap_or_default());
        text
    }

    fn is_filled(&self, part: &Range<usize>) -> bool {
        self.within(part).next().is_some()
    }

    fn within(&self, part: &Range<usize>) -> impl Iterator<Item = &(Range<usize>, &'n str)> {
        let part = part.clone();
        self.pieces.iter().filter(move |(at, _)| part.start <= at.start && at.end <= part.end)
    }
}
