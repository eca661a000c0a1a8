//! One of `sources`, from its map to a validated [`Source`].

mod alike;

use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::config::auth;
use crate::config::body;
use crate::config::budget;
use crate::config::for_each;
use crate::config::format;
use crate::config::keys;
use crate::config::pages;
use crate::config::report::{Finding, Flaw};
use crate::config::route;
use crate::config::rules;
use crate::config::since;
use crate::config::template::Headers;
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::budget::Allowance;
use crate::core::event::EventRules;
use crate::core::format::{Format, feed_key};
use crate::core::ids::SourceName;
use crate::core::jq::Expression;
use crate::core::limits::{
    BODY_BYTES_DEFAULT, BODY_BYTES_MAX, BRAKE_COUNT, BRAKE_PERCENT, DELETE_AFTER_LISTINGS,
    DURATION_MAX, FLOOD,
};
use crate::core::pages::Pages;
use crate::core::schedule::Every;
use crate::core::schedule::cron::Cron;
use crate::core::since::Since;
use crate::core::source::{Brake, Common, Deletes, FirstPoll, Source, WorkedOut};
use crate::core::template::{Address, Body};
use crate::core::time::humane;

pub(super) use self::alike::Lately;

const TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(15);
const EVERY_MIN: Duration = Duration::from_secs(30);
const EVERY_MAX: Duration = Duration::from_mins(15);

/// Reads a source; `owner` is where its name stands.
pub(super) fn read<'a>(
    walk: &mut Walk<'a>,
    name: &SourceName,
    node: &'a Node,
    owner: Place,
) -> Option<Source> {
    if let Some(source) = alike::read(walk, name, node) {
        return Some(source);
    }
    let source = read_anew(walk, name, node, owner);
    if let Some(source) = &source {
        walk.lately.remember(node, source, &walk.report);
    }
    source
}

fn read_anew<'a>(
    walk: &mut Walk<'a>,
    name: &SourceName,
    node: &'a Node,
    owner: Place,
) -> Option<Source> {
    let fields = walk.fields(node, keys::SOURCE, owner)?;
    let apis = fields.or("api", Vec::new(), |node| walk.apis(node));
    let budgets = budget::read(walk, name, &fields, apis.as_deref().unwrap_or_default());
    let shared = apis.zip(budgets);
    let source = read_fields(walk, name, &fields, shared);
    calendar(walk, &fields);
    key_for_lists(walk, &fields, owner);
    if let Some(source) = &source {
        unset_words(walk, &fields, source, owner);
        since::check_use(walk, &fields, source, owner);
        for_each::check_until(walk, &fields);
        pages::check_use(walk, source, fields.get("pages"));
    }
    source
}

/// Reads what sources share: `defaults`, or the block of `apis` of this name.
pub(super) fn check_shared<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    api: Option<&str>,
) -> Option<()> {
    let fields = walk.part(node, keys::SOURCE, |key| key.own)?;
    let name = SourceName::new("shared");
    let apis = fields.or("api", Vec::new(), |node| walk.apis(node));
    let budgets = match api {
        Some(api) => budget::of_api(walk, api).map(|allowance| vec![allowance]),
        None => budget::read(walk, &name, &fields, &[]),
    };
    read_fields(walk, &name, &fields, apis.zip(budgets));
    calendar(walk, &fields);
    Some(())
}

/// When it is asked is said in one way.
fn calendar(walk: &mut Walk<'_>, fields: &Fields<'_>) {
    if let (Some(_), Some(cron)) = (fields.get("every"), fields.get("cron")) {
        let finding = Finding::error(cron.place, "`every` and `cron` stand here together");
        walk.report.add(finding.hint("keep one of the two"));
    }
}

/// `shared` are the blocks of `apis` it names, and its budgets.
fn read_fields<'a>(
    walk: &mut Walk<'a>,
    name: &SourceName,
    fields: &Fields<'a>,
    shared: Option<(Vec<String>, Vec<Allowance>)>,
) -> Option<Source> {
    let query = fields.or("query", Vec::new(), |node| walk.parameters(node));
    let url = fields.need("url", |node| walk.address(node, query));
    let headers = fields.or("headers", Headers::default(), |node| walk.source_headers(node));
    let request = request(walk, fields, url, headers);
    let auth = fields.or("auth", Auth::None, |node| auth::read(walk, node));
    let route = route::read(walk, fields);
    let redirects_max =
        fields.or("redirects", 0, |node| walk.count(node, keys::SOURCE, "redirects"));
    let paused = fields.or("paused", false, |node| walk.flag(node));
    let timeout = fields.or("timeout", TIMEOUT, |node| walk.span(node));
    let body_bytes_max =
        fields.or("max_body", BODY_BYTES_DEFAULT, |node| walk.size(node, BODY_BYTES_MAX));
    let fail_when = fields.or("fail_when", None, |node| walk.expression(node).map(Some));
    let every = fields.or("every", default_every(), |node| walk.interval(node));
    let cron = fields.or("cron", None, |node| cron(walk, node).map(Some));
    let weight = fields.or("weight", 1, |node| walk.count(node, keys::SOURCE, "weight"));
    let backoff = fields.or("backoff", default_backoff(), |node| {
        let fields = walk.fields(node, keys::BACKOFF, node.place)?;
        backoff(walk, &fields, node, (BACKOFF_FIRST, BACKOFF_MAX))
    });
    let watched = watched(walk, fields);
    let for_each = fields.or("for_each", None, |node| for_each::read(walk, name, node).map(Some));
    let until = fields.or("until", None, |node| walk.expression(node).map(Some));
    let events = fields.or("events", EventRules::Default, |node| rules::read(walk, name, node));
    let was = fields.or("was", None, |node| was(walk, node).map(Some));
    let (method, url, (headers, rendered_headers), body) = request?;
    let (watched, (apis, budgets), cron) = (watched?, shared?, cron?);
    let (deletes, check) = watched.deletes;
    let common = walk.alike.share(Common {
        method,
        headers,
        rendered_headers,
        body,
        auth: auth?,
        route: route.ok()?,
        redirects_max: redirects_max?,
        apis,
        budgets: budgets.into(),
        paused: paused?,
        timeout: timeout?,
        body_bytes_max: body_bytes_max?,
        fail_when: fail_when?,
        every: if cron.is_some() { by_calendar() } else { every? },
        cron,
        backoff: backoff?,
        format: watched.format,
        items: watched.items,
        where_: watched.where_,
        key: watched.key,
        ignore: watched.ignore,
        compare: watched.compare,
        deleted_when: watched.deleted_when,
        pages: watched.pages,
        first_poll: watched.first_poll,
        deletes,
        check,
        since: watched.since,
        flood: watched.flood,
        settle: watched.settle,
        silent_after: watched.silent_after,
        changed_at: watched.changed_at,
        weight: u32::try_from(weight?).ok()?,
        for_each: for_each?,
        until: until?,
        events: events?,
        was: was?,
        askers: WorkedOut::default(),
        digests: WorkedOut::default(),
    });
    Some(Source::new(name.clone(), url, common))
}

/// What of an answer is watched, and when a difference counts.
struct Watched {
    format: Option<Format>,
    items: Option<Expression>,
    where_: Option<Expression>,
    key: Vec<Expression>,
    ignore: Vec<Expression>,
    compare: Option<Expression>,
    deleted_when: Option<Expression>,
    pages: Pages,
    first_poll: FirstPoll,
    deletes: (Deletes, Option<Address>),
    since: Option<Since>,
    flood: usize,
    settle: u32,
    silent_after: Option<Duration>,
    changed_at: Option<Expression>,
}

fn watched<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Option<Watched> {
    let format = fields.or("format", None, |node| format::read(walk, node).map(Some));
    let is_feed = format == Some(Some(Format::Feed));
    let items = fields.or("items", None, |node| walk.expression(node).map(Some));
    let key = fields.or("key", Vec::new(), |node| walk.each(node, Walk::expression));
    let key = key.map(|key| if key.is_empty() && is_feed { feed_key().to_vec() } else { key });
    let where_ = fields.or("where", None, |node| walk.expression(node).map(Some));
    let ignore = fields.or("ignore", Vec::new(), |node| walk.each(node, Walk::expression));
    let compare = fields.or("compare", None, |node| walk.expression(node).map(Some));
    let deleted_when = fields.or("deleted_when", None, |node| walk.expression(node).map(Some));
    let pages = fields.or("pages", Pages::One, |node| pages::read(walk, node));
    let first_poll = fields.or("first_poll", FirstPoll::Baseline, |node| first_poll(walk, node));
    let deletes_default = if is_feed { Deletes::Off } else { default_deletes() };
    let deletes = fields.or("deletes", (deletes_default, None), |node| deletes(walk, node));
    let since = fields.or("since", None, |node| since::read(walk, fields, node).map(Some));
    let flood = fields.or("flood", FLOOD, |node| walk.count(node, keys::SOURCE, "flood"));
    let silent_after = fields.or("silent_after", None, |node| walk.span(node).map(Some));
    let changed_at = fields.or("changed_at", None, |node| walk.expression(node).map(Some));
    let settle = fields.or("settle", 0, |node| walk.count(node, keys::SOURCE, "settle"));
    Some(Watched {
        format: format?,
        items: items?,
        where_: where_?,
        key: key?,
        ignore: ignore?,
        compare: compare?,
        deleted_when: deleted_when?,
        pages: pages?,
        first_poll: first_poll?,
        deletes: deletes?,
        since: since?,
        flood: flood?,
        settle: u32::try_from(settle?).ok()?,
        silent_after: silent_after?,
        changed_at: changed_at?,
    })
}

fn default_every() -> Every {
    Every::try_new(EVERY_MIN, EVERY_MAX).expect("30s is less than 15m")
}

fn default_backoff() -> BackoffPolicy {
    BackoffPolicy::try_new(BACKOFF_FIRST, BACKOFF_MAX).expect("1s is less than 15m")
}

fn default_deletes() -> Deletes {
    let brake = Brake { count: BRAKE_COUNT, percent: BRAKE_PERCENT };
    Deletes::After { listings: DELETE_AFTER_LISTINGS, brake }
}

/// Of a source with a calendar the intervals have no bounds of their own.
fn by_calendar() -> Every {
    Every::try_new(EVERY_MIN, DURATION_MAX).expect("30s is less than a hundred years")
}

fn cron<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Cron> {
    let text = walk.text(node)?;
    Cron::parse(text).map_or_else(
        |problem| {
            let flaw = Flaw::new(problem.sentence, problem.hint).at(problem.at);
            walk.flaw(node, "times of a calendar", &flaw)
        },
        Some,
    )
}

/// Method, URL, headers and body: a body that is not text is JSON, and says so unless the headers say otherwise.
fn request<'a>(
    walk: &mut Walk<'a>,
    fields: &Fields<'a>,
    url: Option<Address>,
    headers: Option<Headers>,
) -> Option<(Method, Address, Headers, Body)> {
    let method = fields.or("method", Method::GET, |node| method(walk, node));
    let body = fields.or("body", (Body::default(), false), |node| {
        body::read(walk, node).map(|body| (body, node.text().is_none() || is_number(node)))
    });
    let ((mut headers, rendered), (body, json)) = (headers?, body?);
    let is_told = rendered.iter().any(|(name, _)| *name == CONTENT_TYPE);
    if json && !is_told && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Some((method?, url?, (headers, rendered), body))
}

fn is_number(node: &Node) -> bool {
    matches!(node.value, Value::Number(_))
}

/// The methods that get something: those of RFC 9110 but `CONNECT` and `TRACE`, and those that are made for asking.
const METHODS: [&str; 11] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY", "SEARCH", "REPORT",
    "PROPFIND",
];

fn method<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Method> {
    let text = walk.text(node)?;
    let upper = text.to_ascii_uppercase();
    if text != upper {
        let flaw = Flaw::new("methods are written in capitals", format!("did you mean `{upper}`?"));
        return walk.flaw(node, "an HTTP method", &flaw);
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if METHODS.contains(&text) => Some(method),
        _ => walk.flaw(
            node,
            "an HTTP method",
            &Flaw::new("this is not a method to poll with", "such as `GET` or `POST`"),
        ),
    }
}

/// `first` and `max` of a map, checked against each other.
pub(super) fn backoff<'a>(
    walk: &mut Walk<'a>,
    fields: &Fields<'a>,
    node: &'a Node,
    defaults: (Duration, Duration),
) -> Option<BackoffPolicy> {
    let first = fields.or("first", defaults.0, |node| walk.span(node));
    let max = fields.or("max", defaults.1, |node| walk.span(node));
    // What is not written gives way to what is.
    let (first, max) = match (first?, max?) {
        (first, max) if !fields.has("first") => (first.min(max), max),
        (first, max) if !fields.has("max") => (first, max.max(first)),
        written => written,
    };
    BackoffPolicy::try_new(first, max).or_else(|| {
        let given = fields.get("first").or(fields.get("max")).unwrap_or(node);
        let sentence = format!("`first`, {}, is longer than `max`, {}", humane(first), humane(max));
        let typed = [fields.get("first"), fields.get("max")];
        let typed = typed.iter().flatten().all(|node| node.pieces().is_empty());
        let sentence = if typed { sentence } else { String::from("`first` is longer than `max`") };
        walk.report.wrong(given, sentence, "")
    })
}

/// A former name. Whether it is free is looked at when all sources are read.
fn was<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<SourceName> {
    let name = SourceName::new(walk.text(node)?);
    walk.former.push((name.clone(), node.place));
    Some(name)
}

fn first_poll<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<FirstPoll> {
    match walk.word(node, keys::FIRST_POLL)? {
        "emit" => Some(FirstPoll::Emit),
        _ => Some(FirstPoll::Baseline),
    }
}

fn deletes<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<(Deletes, Option<Address>)> {
    let Value::Map(_) = node.value else {
        walk.word(node, keys::DELETES_WORDS)?;
        return Some((Deletes::Off, None));
    };
    let fields = walk.fields(node, keys::DELETES, node.place)?;
    let after = fields.or("after", DELETE_AFTER_LISTINGS as usize, |node| {
        walk.count(node, keys::DELETES, "after")
    });
    let default = Brake { count: BRAKE_COUNT, percent: BRAKE_PERCENT };
    let brake = fields.or("brake", default, |node| {
        let fields = walk.fields(node, keys::BRAKE, node.place)?;
        let count =
            fields.or("count", default.count, |node| walk.count(node, keys::BRAKE, "count"));
        let percent =
            fields.or("percent", default.percent, |node| walk.count(node, keys::BRAKE, "percent"));
        Some(Brake { count: count?, percent: percent? })
    });
    let check = fields.or("check", None, |node| check(walk, node).map(Some));
    let deletes = Deletes::After { listings: u32::try_from(after?).ok()?, brake: brake? };
    Some((deletes, check?))
}

/// Where an item is asked for by itself.
fn check<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Address> {
    let check = walk.address(node, Some(Vec::new()))?;
    if !check.uses("key") && !check.uses("item") {
        let hint = "such as `https://api.example/tickets/{{key}}`";
        return walk.report.wrong(
            node,
            "`check` asks for one item: it needs `{{key}}` or `{{item}}`",
            hint,
        );
    }
    Some(check)
}

/// A word that nothing sets is null, which is seldom what is meant.
fn unset_words(walk: &mut Walk<'_>, fields: &Fields<'_>, source: &Source, owner: Place) {
    let setters =
        [("since", "since"), ("page", "pages"), ("key", "for_each"), ("item", "for_each")];
    for (word, key) in setters {
        if source.uses(word) && !fields.has(key) {
            let sentence = format!("`{{{{{word}}}}}` is always null in a source without `{key}`");
            walk.report.add(Finding::warning(owner, sentence));
        }
    }
    if source.uses("auth") && source.auth.oauth2().is_some() {
        let sentence =
            "`{{auth}}` is always null with `oauth2`: the token is sent as `Authorization`";
        walk.report.add(Finding::warning(owner, sentence));
    }
}

/// A listing is compared by key: what can only be a list needs one.
fn key_for_lists(walk: &mut Walk<'_>, fields: &Fields<'_>, owner: Place) {
    let is_feed = fields.get("format").and_then(Node::text) == Some("feed");
    if fields.has("key") || is_feed {
        return;
    }
    let many = fields.get("items").and_then(Node::text).is_some_and(|items| items.ends_with("[]"));
    if many || fields.get("pages").is_some() {
        let finding =
            Finding::error(owner, "the key `key` is missing: a list needs what identifies an item");
        walk.report.add(finding.hint("such as `key: .id`"));
    }
}
