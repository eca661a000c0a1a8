//! What sources and endpoints share: URLs, headers, parameters, secrets.

use std::path::Path;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use url::Url;

use crate::config::keys::Shape;
use crate::config::report::{Finding, Flaw, is_plain};
use crate::config::template::is_template;
use crate::config::tree::{self, Node, Value};
use crate::config::walk::Walk;
use crate::core::auth::names_a_credential;
use crate::core::secret::Secret;

/// URL schemes of the contract that are refused for now: the queues.
const SCHEMES_LATER: [&str; 15] = [
    "amqp",
    "amqps",
    "nats",
    "redis",
    "rediss",
    "kafka",
    "sqs",
    "sns",
    "mqtt",
    "mqtts",
    "pulsar",
    "pubsub",
    "kinesis",
    "eventbridge",
    "unix",
];

impl<'a> Walk<'a> {
    /// A URL of an HTTP server, without user and fragment.
    pub(super) fn web_address(&mut self, node: &'a Node) -> Option<Url> {
        self.no_template(node)?;
        let text = self.text(node)?;
        self.report.filled_in(node);
        match web_address(text) {
            Ok(url) => Some(url),
            Err(flaw) => self.flaw(node, "an `https://` or `http://` URL", &flaw),
        }
    }

    /// The URL of a file, whose path is relative to the configuration file that it stands in.
    pub(super) fn file_address(&mut self, node: &'a Node, path: &str) -> Option<Url> {
        self.report.filled_in(node);
        let path = path.strip_prefix("//").unwrap_or(path);
        let config = self.files.get(usize::from(node.place.file))?.path.parent();
        let whole = config.unwrap_or(Path::new("")).join(path);
        let whole = std::path::absolute(whole).ok().filter(|_| !path.is_empty());
        match whole.and_then(|whole| Url::from_file_path(whole).ok()) {
            Some(url) => Some(url),
            None => self.report.wrong(node, "`file:` names no file", "such as `file:parcels.json`"),
        }
    }

    /// A scalar as text: numbers as typed, booleans as words. `what` names it in a sentence.
    pub(super) fn scalar(&mut self, key: &tree::Key, node: &'a Node) -> Option<&'a str> {
        if node.value != Value::Null && is_plain(&key.name) {
            self.report.reveal_key(key);
        }
        match &node.value {
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Unfilled => None,
            Value::Null => {
                let sentence = "nothing stands under this name";
                let hint = "give it a value, or take it away; \"\" is an empty one";
                self.report.add(Finding::error(key.place, sentence).hint(hint));
                None
            }
            _ => node.text().or_else(|| self.unexpected(node, &Shape::Text)),
        }
    }

    /// Headers that the operator wants on every request; marked sensitive, because people put tokens there.
    pub(super) fn headers(&mut self, node: &'a Node) -> Option<HeaderMap> {
        let (mut headers, mut complete) = (HeaderMap::new(), true);
        for (key, value) in pairs(node) {
            let name = self.header_name(key);
            match (name, self.header_value(key, value)) {
                (Some(name), Some(value)) => {
                    if headers.insert(name, value).is_some() {
                        let sentence = format!("the header `{}` stands here twice", key.name);
                        self.report.add(Finding::error(key.place, sentence));
                        complete = false;
                    }
                }
                _ => complete = false,
            }
        }
        complete.then_some(headers)
    }

    /// The name that a header's key is.
    pub(super) fn header_name(&mut self, key: &tree::Key) -> Option<HeaderName> {
        match header_name(&key.name) {
            Ok(name) => Some(name),
            Err(flaw) => {
                let finding = Finding::error(key.place, flaw.sentence);
                self.report.add(finding.hint(flaw.hint.unwrap_or_default()));
                None
            }
        }
    }

    /// The value of a header without templates.
    pub(super) fn header_value(&mut self, key: &tree::Key, node: &'a Node) -> Option<HeaderValue> {
        let text = self.scalar(key, node)?;
        self.no_template(node)?;
        if names_a_credential(&key.name) {
            self.report.secret(node);
        } else {
            self.report.filled_in(node);
        }
        self.legal_header(node, text)
    }

    fn legal_header(&mut self, node: &Node, text: &str) -> Option<HeaderValue> {
        let Ok(mut value) = HeaderValue::from_str(text) else {
            let sentence = "a header's value cannot hold line breaks or other control characters";
            return self.report.wrong(node, sentence, "");
        };
        value.set_sensitive(true);
        Some(value)
    }

    /// Headers that hold a credential.
    pub(super) fn secret_headers(&mut self, node: &'a Node) -> Option<Vec<(HeaderName, Secret)>> {
        self.credentials(node, |walk, key, value| {
            let name = walk.header_name(key);
            let text = walk.scalar(key, value)?;
            walk.legal_header(value, text)?;
            Some((name?, walk.credential(value)?))
        })
    }

    /// Query parameters that hold a credential.
    pub(super) fn secret_parameters(&mut self, node: &'a Node) -> Option<Vec<(String, Secret)>> {
        self.credentials(node, |walk, key, value| {
            walk.scalar(key, value)?;
            Some((key.name.clone(), walk.credential(value)?))
        })
    }

    fn credentials<T>(
        &mut self,
        node: &'a Node,
        mut read: impl FnMut(&mut Self, &'a tree::Key, &'a Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let pairs = pairs(node);
        if pairs.is_empty() {
            return self.report.wrong(node, "the map is empty", "such as `{NAME: \"${TOKEN}\"}`");
        }
        let read: Vec<Option<T>> =
            pairs.iter().map(|(key, value)| read(self, key, value)).collect();
        read.into_iter().collect()
    }

    /// A text nobody may see, in what a source's requests show.
    pub(super) fn credential(&mut self, node: &'a Node) -> Option<Secret> {
        let secret = self.secret_text(node)?;
        if is_template(node) {
            let hint = "use `headers`, `query` or `body` for what is rendered; \
                        a credential with braces can be filled in with `${…}`";
            return self.report.wrong(node, "`auth` takes no templates (`{{ … }}`)", hint);
        }
        Some(secret)
    }

    /// A text nobody may see.
    pub(super) fn secret_text(&mut self, node: &'a Node) -> Option<Secret> {
        let text = self.text(node)?;
        self.report.secret(node);
        if text.contains(char::is_control) {
            let sentence = "a secret cannot hold line breaks or other control characters";
            return self.report.wrong(node, sentence, "");
        }
        Some(Secret::new(text))
    }

    /// A header's name.
    pub(super) fn header_name_text(&mut self, node: &'a Node) -> Option<HeaderName> {
        let text = self.text(node)?;
        header_name(text).map_or_else(|flaw| self.flaw(node, "a header's name", &flaw), Some)
    }
}

/// The entries of a map of names and scalars.
pub(super) fn pairs(node: &Node) -> &[(tree::Key, Node)] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn header_name(text: &str) -> Result<HeaderName, Flaw> {
    let Ok(name) = HeaderName::try_from(text) else {
        let hint = "letters, digits and `-`; no spaces, no colon";
        return Err(Flaw::new("this is not a header's name", hint));
    };
    if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
        return Err(Flaw::new(
            format!("the header `{name}` is set by doorbell itself"),
            "take it away",
        ));
    }
    Ok(name)
}

/// Reads the text of a URL that can be asked.
pub(super) fn web_address(text: &str) -> Result<Url, Flaw> {
    if let Some(at) = text.find(|c: char| c.is_control() || c.is_whitespace()) {
        let sentence = "a URL cannot hold blanks or control characters";
        return Err(Flaw::new(sentence, "write a blank as `%20`").at(at..at + 1));
    }
    let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if !["http", "https"].contains(&scheme.as_str()) {
        return Err(wrong_scheme(&scheme));
    }
    let url = Url::parse(text)
        .map_err(|error| Flaw::new(format!("this is not a URL: {error}"), EXAMPLE))?;
    // The URL standard forgives any number of slashes; what is meant is then anybody's guess.
    let rest = text.get(scheme.len()..).and_then(|rest| rest.strip_prefix("://"));
    if rest.is_none_or(|rest| rest.starts_with('/')) || url.host_str().is_none_or(str::is_empty) {
        return Err(Flaw::new("this URL names no host", EXAMPLE));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "for a source, use `auth: {basic: {user: …, password: …}}`";
        return Err(Flaw::new("a URL cannot hold a user or password", hint));
    }
    if url.fragment().is_some() {
        let at = text.find('#').unwrap_or(0);
        let flaw = Flaw::new("a URL's `#…` is never sent", "take it away, or write `%23`");
        return Err(flaw.at(at..at + 1));
    }
    Ok(url)
}

const EXAMPLE: &str = "such as `https://helpdesk.example/api/v1/tickets`";

fn wrong_scheme(scheme: &str) -> Flaw {
    if SCHEMES_LATER.contains(&scheme) {
        return Flaw::new(format!("`{scheme}:` is not supported yet"), "");
    }
    Flaw::new("the URL must begin with `https://` or `http://`", EXAMPLE)
}
