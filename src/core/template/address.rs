//! What a source asks for: a URL, or one that is rendered for each request.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use url::Url;
use url::form_urlencoded;

use super::{Part, Spot, Template, Words};
use crate::core::fault::Fault;
use crate::core::hex;
use crate::core::http::{origin, shown_url};
use crate::core::limits::URL_BYTES_MAX;

/// A URL with its query, or what makes one.
#[derive(Clone, PartialEq)]
pub(crate) enum Address {
    Fixed(Plain),
    Rendered(Box<Rendered>),
}

/// A URL without templates, as its text: taken apart it is three times as long, and there may be very many.
#[derive(Clone, PartialEq)]
pub(crate) struct Plain(Box<str>);

impl Plain {
    fn url(&self) -> Url {
        Url::parse(&self.0).expect("it is the text of a URL")
    }

    /// Scheme, host and port; `None` for a file.
    fn origin(&self) -> Option<Cow<'_, str>> {
        let rest = self.0.strip_prefix("https://").or_else(|| self.0.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        if let (Some(rest), Some(authority)) = (rest, authority.filter(|it| !it.contains('@'))) {
            let length = self.0.len() - rest.len() + authority.len();
            return self.0.get(..length).map(Cow::Borrowed);
        }
        let url = self.url();
        url.has_host().then(|| Cow::Owned(origin(&url).into_owned()))
    }
}

impl From<Url> for Plain {
    fn from(url: Url) -> Self {
        Self(String::from(url).into())
    }
}

/// A URL with templates in it, or in its parameters.
#[derive(Clone, PartialEq)]
pub(crate) struct Rendered {
    base: Base,
    /// Added to the query, in order.
    query: Vec<Parameter>,
    /// The text it was read from, for digests.
    text: String,
    /// The text as it may be shown.
    shown: String,
}

#[derive(Clone, PartialEq)]
enum Base {
    Url(Url),
    Template(Template),
}

/// A parameter of a query.
#[derive(Clone, PartialEq)]
pub(crate) enum Parameter {
    Fixed(String, String),
    Rendered(String, Template),
}

impl Address {
    /// A URL without templates, and what is added to its query.
    pub(crate) fn fixed(mut url: Url, query: Vec<Parameter>) -> Self {
        if query.iter().any(|parameter| matches!(parameter, Parameter::Rendered(..))) {
            let (text, shown) = (url.as_str().to_owned(), shown_url(&url));
            return Self::rendered(Base::Url(url), query, text, shown);
        }
        if !query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for parameter in &query {
                if let Parameter::Fixed(name, value) = parameter {
                    pairs.append_pair(name, value);
                }
            }
        }
        Self::Fixed(Plain::from(url))
    }

    /// A URL with templates, and what is added to its query.
    ///
    /// # Errors
    /// A sentence, when its scheme, host or port are not fixed, or it gives no URL whatever the templates give.
    pub(crate) fn of_template(
        template: Template,
        query: Vec<Parameter>,
    ) -> Result<Self, &'static str> {
        let text = template.text();
        let mut shown = String::new();
        for part in template.parts() {
            match part {
                Part::Jq(formula) => shown.push_str(formula.shown().trim_matches('`')),
                Part::Text(text) => {
                    let (path, query) =
                        text.split_once('?').map_or((text.as_str(), None), |it| (it.0, Some(it.1)));
                    shown.push_str(path);
                    if query.is_some() {
                        shown.push_str("?…");
                        break;
                    }
                }
            }
        }
        if template.sole().is_none() {
            check(&template)?;
        }
        Ok(Self::rendered(Base::Template(template), query, text, shown))
    }

    fn rendered(base: Base, query: Vec<Parameter>, mut text: String, mut shown: String) -> Self {
        for parameter in &query {
            let name = parameter.write(&mut text);
            let sign = if shown.contains('?') { "&" } else { "?" };
            shown.extend([sign, name, "=…"]);
        }
        Self::Rendered(Box::new(Rendered { base, query, text, shown }))
    }

    /// Where its requests go: scheme, host and port; `None` for a file, or where a template decides that.
    pub(crate) fn origin(&self) -> Option<Cow<'_, str>> {
        let base = match self {
            Self::Fixed(plain) => return plain.origin(),
            Self::Rendered(rendered) => match &rendered.base {
                Base::Url(url) => return url.has_host().then(|| origin(url)),
                Base::Template(template) => template.text(),
            },
        };
        let fixed = base.split("{{").next()?;
        let is_decided = fixed.len() == base.len() || fixed.matches('/').count() >= 3;
        let url = Url::parse(fixed).ok().filter(|url| is_decided && url.has_host())?;
        Some(Cow::Owned(origin(&url).into_owned()))
    }

    /// The text that was typed, for digests; of a URL without templates the URL with its query.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Fixed(plain) => &plain.0,
            Self::Rendered(rendered) => &rendered.text,
        }
    }

    /// What `url` and `query` say, for digests: the text before the query, and the query.
    pub(crate) fn halves(&self) -> (String, String) {
        let of_url = |url: &Url| {
            let mut base = url.clone();
            base.set_query(None);
            (String::from(base), url.query().unwrap_or_default().to_owned())
        };
        match self {
            Self::Fixed(plain) => {
                let text = plain.0.split('#').next().unwrap_or_default();
                let (base, query) = text.split_once('?').unwrap_or((text, ""));
                (base.to_owned(), query.to_owned())
            }
            Self::Rendered(rendered) => {
                let (base, mut query) = match &rendered.base {
                    Base::Url(url) => of_url(url),
                    Base::Template(template) => (template.text(), String::new()),
                };
                for parameter in &rendered.query {
                    parameter.write(&mut query);
                }
                (base, query)
            }
        }
    }

    /// As it may be shown: tokens stand in users, passwords and the values of queries.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Fixed(plain) => shown_url(&plain.url()),
            Self::Rendered(rendered) => rendered.shown.clone(),
        }
    }

    /// Whether a template in it uses a word.
    pub(crate) fn uses(&self, word: &str) -> bool {
        self.parameters_using(word).next().is_some() || self.path_uses(word)
    }

    /// The names of the parameters whose templates use a word.
    pub(crate) fn parameters_using(&self, word: &str) -> impl Iterator<Item = &str> {
        let parameters = match self {
            Self::Rendered(rendered) => rendered.query.as_slice(),
            Self::Fixed(_) => &[],
        };
        parameters.iter().filter_map(move |parameter| match parameter {
            Parameter::Rendered(name, template) if template.uses(word) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of the parameters that are typed out, and for each whether one template is all of its value.
    pub(crate) fn parameters(&self) -> Vec<(String, bool)> {
        let (_, mut query) = self.halves();
        if let Self::Rendered(rendered) = self
            && matches!(rendered.base, Base::Template(_))
        {
            query = rendered.text.split_once('?').map_or(query, |(_, query)| query.to_owned());
        }
        let pairs = query.split('&').filter_map(|pair| {
            let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
            let is_template = value.starts_with("{{")
                && value.ends_with("}}")
                && value.matches("{{").count() == 1;
            Some((name.into_owned(), is_template))
        });
        pairs.collect()
    }

    /// Whether a template of the URL itself uses a word.
    pub(crate) fn path_uses(&self, word: &str) -> bool {
        match self {
            Self::Rendered(rendered) => match &rendered.base {
                Base::Template(template) => template.uses(word),
                Base::Url(_) => false,
            },
            Self::Fixed(_) => false,
        }
    }

    /// The URL to ask; `words` are made when a template needs them.
    ///
    /// # Errors
    /// A fault when a template fails, or when what comes of it is no URL.
    pub(crate) fn url(&self, words: &impl Deref<Target = Words>) -> Result<Url, Fault> {
        match self {
            Self::Fixed(plain) => Ok(plain.url()),
            Self::Rendered(rendered) => rendered.url(words),
        }
    }
}

impl Parameter {
    /// Writes it as it was typed, for digests; gives its name.
    fn write(&self, text: &mut String) -> &str {
        let (name, value) = match self {
            Self::Fixed(name, value) => (name, Cow::Borrowed(value.as_str())),
            Self::Rendered(name, template) => (name, Cow::Owned(template.text())),
        };
        text.extend(["&", name, "=", &value]);
        name
    }
}

impl Rendered {
    fn url(&self, words: &Words) -> Result<Url, Fault> {
        let mut url = match &self.base {
            Base::Url(url) => url.clone(),
            Base::Template(template) => match template.sole() {
                Some(formula) => {
                    let value = formula.value(words, Spot::Url)?;
                    whole(&formula.as_text(&value, Spot::Url)?)?
                }
                None => in_parts(&template.filled(words, Spot::Url, percent_encoded)?)?,
            },
        };
        let mut query = url.query().unwrap_or_default().to_owned();
        for parameter in &self.query {
            let spot = match parameter {
                Parameter::Fixed(name, _) | Parameter::Rendered(name, _) => Spot::Query(name),
            };
            match parameter {
                Parameter::Fixed(name, value) => {
                    let pair = form_urlencoded::Serializer::new(String::new())
                        .append_pair(name, value)
                        .finish();
                    add(&mut query, &pair);
                }
                Parameter::Rendered(name, template) => {
                    let name = percent_encoded(name);
                    for text in template.texts(words, spot)? {
                        add(&mut query, &format!("{name}={}", percent_encoded(&text)));
                    }
                }
            }
        }
        if !self.query.is_empty() {
            url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        }
        if url.as_str().len() > URL_BYTES_MAX {
            let sentence = format!("`url` is rendered to more than {URL_BYTES_MAX} bytes");
            return Err(Fault::us("template", sentence));
        }
        Ok(url)
    }
}

fn add(query: &mut String, pair: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

/// Whether scheme, host and port stand before the first template, and the rest gives a URL.
fn check(template: &Template) -> Result<(), &'static str> {
    let head = match template.parts().first() {
        Some(Part::Text(text)) => text.as_str(),
        _ => "",
    };
    let rest = head.split_once("://").map_or("", |(_, rest)| rest);
    if !rest.contains(['/', '?', '#']) {
        return Err("scheme, host and port of a URL cannot come from templates, \
                    unless all of it is one");
    }
    if dot_segment(&template.tried()) {
        return Err("a path with templates cannot hold the segments `.` and `..`");
    }
    Ok(())
}

/// A URL rendered around templates.
fn in_parts(text: &str) -> Result<Url, Fault> {
    if dot_segment(text) {
        let sentence = "a template makes a segment of the URL's path `.` or `..`, \
                        which would lead elsewhere";
        return Err(Fault::us("template", sentence));
    }
    Url::parse(text).map_err(|error| no_url(&error.to_string()))
}

/// A URL that is one template.
fn whole(text: &str) -> Result<Url, Fault> {
    let mut url = Url::parse(text).map_err(|error| no_url(&error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(no_url("it does not begin with `https://` or `http://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(no_url("it holds a user or password"));
    }
    // Never sent, and two of them are one page.
    url.set_fragment(None);
    Ok(url)
}

fn no_url(why: &str) -> Fault {
    Fault::us("template", format!("what `url` is rendered to is no URL to ask: {why}"))
}

/// Whether a path has a segment that URLs resolve away, however it is written.
fn dot_segment(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    hex::percent_encoded(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// As it may be shown.
impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown())
    }
}
