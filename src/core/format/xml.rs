//! XML → JSON: elements are keys, repeated ones lists, attributes `@name`, text `#text` or, where there is nothing else,
//! the bare string. No number, no boolean: XML knows texts only.

use std::collections::HashMap;

use crate::core::fault::Fault;
use crate::core::format::markup::{BLANKS, Markup, Token};
use crate::core::json::quote;
use crate::core::limits::XML_NAMES_MAX;

/// With so many names in an element, a search is slower than an index.
const SEARCHED_NAMES_MAX: usize = 16;

/// Reads a document: an object with the root element as its only key.
///
/// # Errors
/// What is not well formed, with its line; document types, unknown entities, more than the bounds.
pub(super) fn read(text: &str) -> Result<String, Fault> {
    let mut markup = Markup::of(text);
    let mut open = vec![Element::default()];
    while let Some(token) = markup.next()? {
        match token {
            Token::Open(tag) => {
                let mut element = Element { name: tag.name, ..Element::default() };
                for (name, value) in tag.attributes {
                    let mut text = String::new();
                    quote(&value, &mut text);
                    element.add(format!("@{name}"), &text);
                }
                open.push(element);
            }
            Token::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Token::Close => {
                let Some(closed) = open.pop() else { continue };
                let json = closed.json();
                let Some(parent) = open.last_mut() else { continue };
                parent.add(closed.name, &json);
                if parent.members.len() > XML_NAMES_MAX {
                    let what = format!("an element with more than {XML_NAMES_MAX} different names");
                    return Err(markup.wrong(&what, "xml_too_large"));
                }
            }
        }
    }
    Ok(open.pop().map_or_else(String::new, |document| document.json()))
}

/// An element that is not closed yet. What was closed inside it is JSON already.
#[derive(Debug, Default)]
struct Element {
    name: String,
    members: Vec<Member>,
    /// Where the members are, once there are many.
    index: HashMap<String, usize>,
    text: String,
}

/// Attributes or children of one name.
#[derive(Debug)]
struct Member {
    name: String,
    count: usize,
    /// Their values, with commas between them.
    values: String,
}

impl Element {
    fn add(&mut self, name: String, value: &str) {
        let known = self.position(&name).and_then(|at| self.members.get_mut(at));
        if let Some(member) = known {
            member.count += 1;
            member.values.push(',');
            member.values.push_str(value);
            return;
        }
        let at = self.members.len();
        if at == SEARCHED_NAMES_MAX {
            let known = self.members.iter().enumerate();
            self.index = known.map(|(at, member)| (member.name.clone(), at)).collect();
        }
        if at >= SEARCHED_NAMES_MAX {
            self.index.insert(name.clone(), at);
        }
        self.members.push(Member { name, count: 1, values: value.to_owned() });
    }

    fn position(&self, name: &str) -> Option<usize> {
        // Children of one name mostly stand together.
        if self.members.last().is_some_and(|last| last.name == name) {
            return Some(self.members.len() - 1);
        }
        if self.members.len() <= SEARCHED_NAMES_MAX {
            return self.members.iter().position(|member| member.name == name);
        }
        self.index.get(name).copied()
    }

    fn json(&self) -> String {
        let text = self.text.trim_matches(BLANKS);
        let mut json = String::new();
        if self.members.is_empty() {
            quote(text, &mut json);
            return json;
        }
        let mut before = '{';
        for member in &self.members {
            json.push(before);
            quote(&member.name, &mut json);
            json.push(':');
            if member.count > 1 {
                json.push('[');
            }
            json.push_str(&member.values);
            if member.count > 1 {
                json.push(']');
            }
            before = ',';
        }
        if !text.is_empty() {
            json.push_str(",\"#text\":");
            quote(text, &mut json);
        }
        json.push('}');
        json
    }
}
