//! RSS 2.0, RSS 1.0, Atom and JSON Feed → a list of `{id, title, link, published, updated, summary}`, each a text or null.
//!
//! Dates become RFC 3339 in UTC; one that cannot be read is null. An entry without an id is called by its link, and
//! without that by a hash of what it says of itself that does not change later.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use crate::core::fault::Fault;
use crate::core::format::markup::{BLANKS, Markup, Tag, Token};
use crate::core::hex::hex;
use crate::core::jq::Expression;
use crate::core::json::{self, Value, as_text, entries, quote};

/// What identifies an entry, where the source does not say: `.id`.
pub(crate) fn key() -> &'static [Expression] {
    static KEY: LazyLock<[Expression; 1]> =
        LazyLock::new(|| [Expression::parse(".id").expect("a path is an expression")]);
    KEY.as_slice()
}

/// Whether an XML document begins like a feed.
pub(super) fn is_one(text: &str) -> bool {
    match Markup::of(text).next() {
        Ok(Some(Token::Open(root))) => Kind::of(&root).is_some(),
        _ => false,
    }
}

/// Reads the entries of a feed, XML or JSON.
///
/// # Errors
/// What is neither, not well formed, or no feed.
pub(super) fn read(text: &str) -> Result<String, Fault> {
    match text.trim_start().bytes().next() {
        Some(b'{') => of_json(text),
        _ => of_xml(text),
    }
}

/// Which family of XML feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rss,
    /// RSS 1.0: an item is a resource, whose name is its id.
    Rdf,
    Atom,
}

impl Kind {
    fn of(root: &Tag) -> Option<Self> {
        let (prefix, name) = root.name.split_once(':').unwrap_or(("", &root.name));
        let declares = |word: &str| root.attributes.iter().any(|(_, value)| value.contains(word));
        match (prefix, name) {
            ("", "rss") => Some(Self::Rss),
            (_, "RDF") if declares("purl.org/rss/1.0") || declares("rdf/simple/0.9") => {
                Some(Self::Rdf)
            }
            (_, "feed") if declares("www.w3.org/2005/Atom") || declares("purl.org/atom/ns") => {
                Some(Self::Atom)
            }
            _ => None,
        }
    }

    fn entry(self) -> &'static str {
        if self == Self::Atom { "entry" } else { "item" }
    }
}

/// What is known of an entry so far, as it came.
#[derive(Debug, Default)]
struct Entry {
    id: Option<String>,
    title: Option<String>,
    link: Option<String>,
    /// Used when there is no `link`.
    other_link: Option<String>,
    published: Option<String>,
    updated: Option<String>,
    summary: Option<String>,
    /// Used when there is no `summary`.
    content: Option<String>,
}

fn of_xml(text: &str) -> Result<String, Fault> {
    let mut markup = Markup::of(text);
    let Some(Token::Open(root)) = markup.next()? else {
        return Err(no_feed("it holds no element"));
    };
    let kind = Kind::of(&root).ok_or_else(|| {
        no_feed("its root element is none of <rss>, <rdf:RDF> of RSS 1.0 and <feed> of Atom")
    })?;
    // `<atom:feed>` has `<atom:entry>`s with `<atom:id>`s.
    let own = match (kind, root.name.split_once(':')) {
        (Kind::Atom, Some((prefix, _))) => format!("{prefix}:"),
        _ => String::new(),
    };
    let mut list = String::from("[");
    let mut number = 0;
    while let Some(token) = markup.next()? {
        if let Token::Open(tag) = token
            && tag.name.strip_prefix(own.as_str()) == Some(kind.entry())
        {
            let mut entry = Entry::default();
            if kind == Kind::Rdf {
                entry.id = tag.attribute("rdf:about").map(str::to_owned);
            }
            entry.fill(&mut markup, &own, kind)?;
            if number > 0 {
                list.push(',');
            }
            number += 1;
            entry.push(&mut list);
        }
    }
    list.push(']');
    Ok(list)
}

impl Entry {
    /// Reads up to the entry's closing tag.
    fn fill(&mut self, markup: &mut Markup<'_>, own: &str, kind: Kind) -> Result<(), Fault> {
        while let Some(token) = markup.next()? {
            match token {
                Token::Open(tag) => {
                    let text = whole_text(markup)?;
                    self.take(&tag, own, kind, text);
                }
                Token::Text(_) => {}
                Token::Close => break,
            }
        }
        Ok(())
    }

    /// Takes one child of an entry. The first of a name counts.
    fn take(&mut self, tag: &Tag, own: &str, kind: Kind, text: String) {
        let name = tag.name.strip_prefix(own).unwrap_or(&tag.name);
        let text = Some(text).filter(|text| !text.is_empty());
        let place = match (kind, name) {
            (Kind::Atom, "link") => return self.take_link(tag),
            (Kind::Atom, "id") => &mut self.id,
            (Kind::Rss | Kind::Rdf, "guid") => {
                if tag.attribute("isPermaLink") != Some("false") {
                    let is_url = |text: &String| text.starts_with("http");
                    self.other_link = text.clone().filter(is_url);
                }
                &mut self.id
            }
            (_, "title") => &mut self.title,
            (_, "link") => &mut self.link,
            (Kind::Atom, "published" | "issued") | (_, "pubDate" | "dc:date") => {
                &mut self.published
            }
            (Kind::Atom, "updated" | "modified") | (_, "atom:updated" | "dcterms:modified") => {
                &mut self.updated
            }
            (Kind::Atom, "summary") | (_, "description") => &mut self.summary,
            (Kind::Atom, "content") | (_, "content:encoded") => &mut self.content,
            _ => return,
        };
        if place.is_none() {
            *place = text;
        }
    }

    /// An Atom link: the alternate one is the entry's own page.
    fn take_link(&mut self, tag: &Tag) {
        let Some(href) = tag.attribute("href") else { return };
        let is_alternate = tag.attribute("rel").is_none_or(|rel| rel == "alternate");
        let place = if is_alternate { &mut self.link } else { &mut self.other_link };
        place.get_or_insert_with(|| href.to_owned());
    }

    /// Writes the entry as every feed's entries are written.
    fn push(self, list: &mut String) {
        let link = self.link.or(self.other_link);
        let published = self.published.as_deref().and_then(date);
        let updated = self.updated.as_deref().and_then(date);
        let id = self.id.or_else(|| link.clone()).or_else(|| {
            let named = self.title.is_some() || self.published.is_some();
            named.then(|| hash(self.title.as_deref(), self.published.as_deref()))
        });
        let members = [
            ("{\"id\":", id),
            (",\"title\":", self.title),
            (",\"link\":", link),
            (",\"published\":", published),
            (",\"updated\":", updated),
            (",\"summary\":", self.summary.or(self.content)),
        ];
        for (name, value) in members {
            list.push_str(name);
            match value {
                Some(value) => quote(&value, list),
                None => list.push_str("null"),
            }
        }
        list.push('}');
    }
}

/// The text of the element that was opened last, without the tags in it, up to its end.
fn whole_text(markup: &mut Markup<'_>) -> Result<String, Fault> {
    let (mut whole, mut depth) = (String::new(), 1_usize);
    while depth > 0 {
        match markup.next()? {
            Some(Token::Open(_)) => depth += 1,
            Some(Token::Close) => depth -= 1,
            Some(Token::Text(text)) => whole.push_str(&text),
            None => break,
        }
    }
    Ok(whole.trim_matches(BLANKS).to_owned())
}

fn of_json(text: &str) -> Result<String, Fault> {
    let document = json::read(text).map_err(|fault| Fault::source(fault.code, fault.sentence))?;
    let Some(Value::Arr(items)) = member(&document, "items") else {
        return Err(no_feed("it is JSON without a list of `items`"));
    };
    let mut list = String::from("[");
    for (at, item) in items.iter().enumerate() {
        let text = |name: &str| match member(item, name)? {
            number @ Value::Num(_) => json::number_text(number),
            value => as_text(value).filter(|text| !text.is_empty()).map(str::to_owned),
        };
        if at > 0 {
            list.push(',');
        }
        let entry = Entry {
            id: text("id"),
            title: text("title"),
            link: text("url"),
            other_link: text("external_url"),
            published: text("date_published"),
            updated: text("date_modified"),
            summary: text("summary"),
            content: text("content_text").or_else(|| text("content_html")),
        };
        entry.push(&mut list);
    }
    list.push(']');
    Ok(list)
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    entries(value)?.into_iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn hash(title: Option<&str>, published: Option<&str>) -> String {
    let digest = Sha256::new()
        .chain_update(title.unwrap_or_default())
        .chain_update([0])
        .chain_update(published.unwrap_or_default())
        .finalize();
    hex(digest.first_chunk::<16>().expect("SHA-256 gives 32 bytes"))
}

/// A date as feeds write them – RFC 3339, RFC 2822, without a time or without a zone (then UTC) – as RFC 3339 in UTC.
fn date(text: &str) -> Option<String> {
    static MAIL: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| MAIL.parse_timestamp(text).ok())
        .or_else(|| text.parse::<DateTime>().ok().and_then(utc))
        .or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))))?;
    Some(time.to_string())
}

fn no_feed(why: &str) -> Fault {
    Fault::source("not_feed", format!("the answer is no feed: {why}"))
}
