//! Which keys of a declaration are others than before: by name where both declarations are at hand, and by short digests
//! kept with the state where the old one is long gone.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::core::endpoint::Endpoint;
use crate::core::format::Format;
use crate::core::http::route::{Identity, Proxy, Route};
use crate::core::jq::Expression;
use crate::core::json;
use crate::core::pages::Pages;
use crate::core::since::Since;
use crate::core::source::{Common, Definition, Source};
use crate::core::template::Address;

/// The keys whose change has an item compared anew; all other parts belong to the identity.
const COMPARED: &[&str] = &["ignore", "compare", "until"];

/// Digests of the keys that decide which items there are and when one counts as changed. A key that is not set has
/// none, so that keys of later versions do not look like a change. Without any, it is that of a declaration of which
/// nothing was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    url: Option<Short>,
    query: Option<Short>,
    /// Of all other keys, which very many sources have in common: as they are kept.
    common: Arc<str>,
}

impl Parts {
    /// Of a declaration with this URL and these [`Parts::of_common`].
    pub(crate) fn of(url: &Address, common: Arc<str>) -> Self {
        let (url, query) = url.halves();
        Self { url: Short::of(url.as_bytes()), query: Short::of(query.as_bytes()), common }
    }

    /// Of all keys but `url` and `query`, as they are kept.
    pub(crate) fn of_common(source: &Common) -> Arc<str> {
        let expressions = |list: &[Expression]| {
            let texts: Vec<_> = list.iter().map(Expression::text).collect();
            texts.join("\n")
        };
        let pages = match &source.pages {
            Pages::One => String::new(),
            pages => pages.identity(),
        };
        let format = Format::identity(source.format.as_ref()).unwrap_or_default();
        let expression =
            |one: &Option<Expression>| one.as_ref().map_or("", Expression::text).into();
        let start = source.since.as_ref().and_then(|since| since.start.as_ref());
        let rows: [(&str, Vec<u8>); 12] = [
            ("method", source.method.as_str().into()),
            ("body", source.body.definition().to_vec()),
            ("format", format.into()),
            ("items", expression(&source.items)),
            ("where", expression(&source.where_)),
            ("key", expressions(&source.key).into()),
            ("pages", pages.into()),
            ("since", start.map(json::canonical).unwrap_or_default()),
            ("deleted_when", expression(&source.deleted_when)),
            ("ignore", expressions(&source.ignore).into()),
            ("compare", expression(&source.compare)),
            ("until", expression(&source.until)),
        ];
        let words = rows.iter().filter_map(|(name, value)| Some((name, Short::of(value)?)));
        let words: Vec<_> = words.map(|(name, short)| format!("{name}={short}")).collect();
        words.join(" ").into()
    }

    /// As they were kept.
    pub(crate) fn kept(text: &str) -> Self {
        let (url, rest) = Short::kept("url=", text);
        let (query, rest) = Short::kept("query=", rest);
        Self { url, query, common: rest.into() }
    }

    /// As they are kept.
    pub(crate) fn text(&self) -> String {
        let url = self.url.map(|short| format!("url={short}"));
        let query = self.query.map(|short| format!("query={short}"));
        let common = Some(String::from(&*self.common)).filter(|common| !common.is_empty());
        [url, query, common].into_iter().flatten().collect::<Vec<_>>().join(" ")
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
        let (old, new) = (self.text(), now.text());
        if old.is_empty() {
            return Vec::new();
        }
        let (old, new) = (pairs(&old), pairs(&new));
        let gone = old.iter().filter(|(name, _)| !new.iter().any(|(known, _)| known == name));
        let other = new.iter().filter(|pair| !old.contains(pair)).chain(gone);
        other.filter(|(name, _)| counts(name)).map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn pairs(text: &str) -> Vec<(&str, &str)> {
    text.split_whitespace().filter_map(|word| word.split_once('=')).collect()
}

/// Enough to tell two values of one key apart, too little to find a value by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short(u32);

impl Short {
    /// Of a value, if there is one.
    fn of(value: &[u8]) -> Option<Self> {
        let Definition([a, b, c, d, ..]) = Definition::of([value]);
        (!value.is_empty()).then_some(Self(u32::from_be_bytes([a, b, c, d])))
    }

    /// The one that a text begins with under this label, and what follows it.
    fn kept<'text>(label: &str, text: &'text str) -> (Option<Self>, &'text str) {
        let word = text.split(' ').next().unwrap_or_default();
        let digits = word.strip_prefix(label).filter(|digits| digits.len() == 8);
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(short) => {
                (Some(Self(short)), text.get(word.len()..).unwrap_or_default().trim_start())
            }
            None => (None, text),
        }
    }
}

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", self.0)
    }
}

/// Rows of key and whether it differs. The declaration is taken apart, so that a key that is added later cannot be
/// forgotten here.
macro_rules! rows {
    ($old:ident, $new:ident, besides: [$($other:ident),*], $($name:literal: $field:ident,)*) => {{
        let Common { $($other: _,)* $($field,)* } = &*$old.common;
        [$(($name, *$field != $new.$field)),*]
    }};
}

/// The keys of the file by which two declarations of a source differ.
pub(crate) fn source_keys(old: &Source, new: &Source) -> Vec<String> {
    let ((base, query), (new_base, new_query)) = (old.url.halves(), new.url.halves());
    let (other_since, other_sweep) = since_and_sweep(old.since.as_ref(), new.since.as_ref());
    let headers = |source: &Source| (source.headers.clone(), source.rendered_headers.clone());
    let (route, new_route) = (old.route.as_deref(), new.route.as_deref());
    let (limits, concurrency) = budgets(old, new);
    let special = [
        ("limit", limits),
        ("concurrency", concurrency),
        ("url", base != new_base),
        ("query", query != new_query),
        ("headers", headers(old) != headers(new)),
        ("tls", trust(route) != trust(new_route)),
        ("proxy", proxy(route) != proxy(new_route)),
        ("since", other_since),
        ("sweep", other_sweep),
    ];
    let rows = rows! {
        old, new, besides: [headers, rendered_headers, route, since, budgets, askers, digests],
        "method": method,
        "body": body,
        "auth": auth,
        "redirects": redirects_max,
        "api": apis,
        "paused": paused,
        "timeout": timeout,
        "max_body": body_bytes_max,
        "fail_when": fail_when,
        "every": every,
        "cron": cron,
        "backoff": backoff,
        "format": format,
        "items": items,
        "where": where_,
        "key": key,
        "ignore": ignore,
        "compare": compare,
        "pages": pages,
        "first_poll": first_poll,
        "deletes": deletes,
        "deletes.check": check,
        "deleted_when": deleted_when,
        "flood": flood,
        "settle": settle,
        "silent_after": silent_after,
        "changed_at": changed_at,
        "weight": weight,
        "for_each": for_each,
        "until": until,
        "events": events,
        "was": was,
    };
    named(special.into_iter().chain(rows))
}

/// Whether `limit` and `concurrency` are others.
fn budgets(old: &Source, new: &Source) -> (bool, bool) {
    let limits = |source: &Source| -> Vec<_> {
        let allowance = source.budgets.iter().filter(|allowance| !allowance.limit.is_empty());
        allowance.map(|allowance| (allowance.holder.clone(), allowance.limit.clone())).collect()
    };
    let concurrency = |source: &Source| -> Vec<_> {
        let allowance = source.budgets.iter().filter(|allowance| allowance.concurrency.is_some());
        allowance.map(|allowance| (allowance.holder.clone(), allowance.concurrency)).collect()
    };
    (limits(old) != limits(new), concurrency(old) != concurrency(new))
}

/// Whether `since` and `sweep` are others.
fn since_and_sweep(old: Option<&Since>, new: Option<&Since>) -> (bool, bool) {
    match (old, new) {
        (Some(old), Some(new)) => {
            (Since { sweep: new.sweep, ..old.clone() } != *new, old.sweep != new.sweep)
        }
        (old, new) => (old.is_some() || new.is_some(), false),
    }
}

/// `tls`, as a route has it.
fn trust(route: Option<&Route>) -> (Option<&str>, Option<&Identity>) {
    (route.and_then(Route::roots), route.and_then(Route::identity))
}

/// `proxy`, as a route has it.
fn proxy(route: Option<&Route>) -> Option<&Proxy> {
    route.and_then(Route::proxy)
}

/// The keys of the file by which two declarations of an endpoint differ.
pub(crate) fn endpoint_keys(old: &Endpoint, new: &Endpoint) -> Vec<String> {
    let Endpoint {
        name: _,
        target,
        subscription,
        where_,
        format,
        body,
        content_type,
        method,
        secrets,
        sign,
        retry,
        breaker,
        timeout,
        auth,
        headers,
        concurrency,
        limit,
        order,
        route,
        paused,
        was,
    } = old;
    let (route, new_route) = (route.as_deref(), new.route.as_deref());
    let source_address = |route: Option<&Route>| route.and_then(Route::source_address);
    named([
        ("url", *target != new.target),
        ("events", *subscription != new.subscription),
        ("where", *where_ != new.where_),
        ("format", *format != new.format),
        ("body", *body != new.body),
        ("content_type", *content_type != new.content_type),
        ("method", *method != new.method),
        ("secret", *secrets != new.secrets),
        ("sign", *sign != new.sign),
        ("retry", *retry != new.retry),
        ("breaker", *breaker != new.breaker),
        ("timeout", *timeout != new.timeout),
        ("auth", *auth != new.auth),
        ("headers", *headers != new.headers),
        ("concurrency", *concurrency != new.concurrency),
        ("limit", *limit != new.limit),
        ("order", *order != new.order),
        ("tls", trust(route) != trust(new_route)),
        ("proxy", proxy(route) != proxy(new_route)),
        ("source_address", source_address(route) != source_address(new_route)),
        ("paused", *paused != new.paused),
        ("was", *was != new.was),
    ])
}

fn named<'a>(rows: impl IntoIterator<Item = (&'a str, bool)>) -> Vec<String> {
    let differing = rows.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name.to_owned()).collect()
}
