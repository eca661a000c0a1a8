//! Which keys of a declaration are others than before: by name where both declarations are at hand, and by short digests
//! kept with the state where the old one is long gone.

use std::sync::Arc;

use crate::core::endpoint::Endpoint;
use crate::core::format::Format;
use crate::core::jq::Expression;
use crate::core::pages::Pages;
use crate::core::source::{Definition, Source};

/// The keys whose change has an item compared anew; all other parts belong to the identity.
const COMPARED: &[&str] = &["ignore", "compare"];

/// Digests of the keys that decide which items there are and when one counts as changed. A key that is not set has
/// none, so that keys of later versions do not look like a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts(Arc<str>);

impl Default for Parts {
    /// Of a declaration of which nothing was kept.
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl Parts {
    /// Of a declaration.
    pub(crate) fn of(source: &Source) -> Self {
        let expressions = |list: &[Expression]| {
            let texts: Vec<_> = list.iter().map(Expression::text).collect();
            texts.join("\n")
        };
        let pages = match &source.pages {
            Pages::One => String::new(),
            pages => pages.identity(),
        };
        let (url, query) = source.url.halves();
        let format = Format::identity(source.format.as_ref()).unwrap_or_default();
        let rows: [(&str, Vec<u8>); 9] = [
            ("url", url.into()),
            ("query", query.into()),
            ("method", source.method.as_str().into()),
            ("body", source.body.definition().to_vec()),
            ("format", format.into()),
            ("items", source.items.as_ref().map_or("", Expression::text).into()),
            ("key", expressions(&source.key).into()),
            ("pages", pages.into()),
            ("ignore", expressions(&source.ignore).into()),
        ];
        let words = rows.iter().filter(|(_, value)| !value.is_empty());
        let words: Vec<_> = words.map(|(name, value)| format!("{name}={}", short(value))).collect();
        Self(words.join(" ").into())
    }

    /// As they were kept.
    pub(crate) fn kept(text: &str) -> Self {
        Self(text.into())
    }

    /// As they are kept.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The keys that made it another identity; empty when that is not known any more.
    pub(crate) fn identity_keys(&self, now: &Self) -> Vec<String> {
        self.differing(now, |name| !COMPARED.contains(&name))
    }

    /// The keys that made it another comparison; empty when that is not known any more.
    pub(crate) fn comparison_keys(&self, now: &Self) -> Vec<String> {
        self.differing(now, |name| COMPARED.contains(&name))
    }

    fn differing(&self, now: &Self, counts: impl Fn(&str) -> bool) -> Vec<String> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (old, new) = (self.pairs(), now.pairs());
        let gone = old.iter().filter(|(name, _)| !new.iter().any(|(known, _)| known == name));
        let other = new.iter().filter(|pair| !old.contains(pair)).chain(gone);
        other.filter(|(name, _)| counts(name)).map(|(name, _)| (*name).to_owned()).collect()
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.split_whitespace().filter_map(|word| word.split_once('=')).collect()
    }
}

/// Enough to tell two values of one key apart, too little to find a value by trying.
fn short(value: &[u8]) -> String {
    let Definition(digest) = Definition::of([value]);
    let [a, b, c, d, ..] = digest;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// The keys of the file by which two declarations of a source differ.
pub(crate) fn source_keys(old: &Source, new: &Source) -> Vec<String> {
    // Taken apart, so that a key that is added later cannot be forgotten here.
    let Source {
        name: _,
        method,
        url,
        headers,
        rendered_headers,
        body,
        auth,
        apis,
        paused,
        timeout,
        body_bytes_max,
        fail_when,
        every,
        backoff,
        format,
        items,
        key,
        ignore,
        pages,
        first_poll,
        deletes,
        events,
        was,
    } = old;
    let ((base, query), (new_base, new_query)) = (url.halves(), new.url.halves());
    let other_headers = *headers != new.headers || *rendered_headers != new.rendered_headers;
    named([
        ("url", base != new_base),
        ("query", query != new_query),
        ("method", *method != new.method),
        ("headers", other_headers),
        ("body", *body != new.body),
        ("auth", *auth != new.auth),
        ("api", *apis != new.apis),
        ("paused", *paused != new.paused),
        ("timeout", *timeout != new.timeout),
        ("max_body", *body_bytes_max != new.body_bytes_max),
        ("fail_when", *fail_when != new.fail_when),
        ("every", *every != new.every),
        ("backoff", *backoff != new.backoff),
        ("format", *format != new.format),
        ("items", *items != new.items),
        ("key", *key != new.key),
        ("ignore", *ignore != new.ignore),
        ("pages", *pages != new.pages),
        ("first_poll", *first_poll != new.first_poll),
        ("deletes", *deletes != new.deletes),
        ("events", *events != new.events),
        ("was", *was != new.was),
    ])
}

/// The keys of the file by which two declarations of an endpoint differ.
pub(crate) fn endpoint_keys(old: &Endpoint, new: &Endpoint) -> Vec<String> {
    let Endpoint {
        name: _,
        target,
        subscription,
        secrets,
        sign,
        retry,
        breaker,
        timeout,
        headers,
        concurrency,
        order,
    } = old;
    named([
        ("url", *target != new.target),
        ("events", *subscription != new.subscription),
        ("secret", *secrets != new.secrets),
        ("sign", *sign != new.sign),
        ("retry", *retry != new.retry),
        ("breaker", *breaker != new.breaker),
        ("timeout", *timeout != new.timeout),
        ("headers", *headers != new.headers),
        ("concurrency", *concurrency != new.concurrency),
        ("order", *order != new.order),
    ])
}

fn named<const N: usize>(pairs: [(&str, bool); N]) -> Vec<String> {
    let differing = pairs.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name.to_owned()).collect()
}
