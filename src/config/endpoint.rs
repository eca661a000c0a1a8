//! One of `endpoints`, from its map to a validated [`Endpoint`].

use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use crate::config::auth;
use crate::config::body;
use crate::config::budget;
use crate::config::keys;
use crate::config::report::{Finding, Flaw};
use crate::config::route;
use crate::config::rules::is_type_character;
use crate::config::sign;
use crate::config::source::backoff;
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::auth::Auth;
use crate::core::backoff::BackoffPolicy;
use crate::core::endpoint::{
    BreakerPolicy, Endpoint, Format, Order, Reshaping, RetryPolicy, Subscription, Target,
};
use crate::core::ids::EndpointName;
use crate::core::limits::ENDPOINT_CONCURRENCY_DEFAULT;
use crate::core::secret::Secret;
use crate::core::signature::Scheme;
use crate::core::sink::content::{JSON, is_json_type};

const TIMEOUT: Duration = Duration::from_secs(15);
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_hours(10);
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
const BREAKER: BreakerPolicy =
    BreakerPolicy { failures: 10, without_success_for: Duration::from_mins(1) };

/// Reads an endpoint; `owner` is where its name stands.
pub(super) fn read<'a>(
    walk: &mut Walk<'a>,
    name: &EndpointName,
    node: &'a Node,
    owner: Place,
) -> Option<Endpoint> {
    let fields = walk.fields(node, keys::ENDPOINT, owner)?;
    let target = fields.need("url", |node| target(walk, node));
    let subscription =
        fields.or("events", Subscription::default_types(), |node| subscription(walk, node));
    let where_ = fields.or("where", None, |node| walk.expression(node).map(Some));
    let sign = fields.or("sign", Scheme::Standard, |node| sign::scheme(walk, node));
    let secrets = fields.or("secret", Vec::new(), |node| sign::secrets(walk, node, sign.as_ref()));
    let retry = retry(walk, &fields);
    let breaker = fields.or("breaker", BREAKER, |node| breaker(walk, node));
    let timeout = fields.or("timeout", TIMEOUT, |node| walk.span(node));
    let auth = fields.or("auth", Auth::None, |node| auth::read(walk, node));
    let form = form(walk, &fields, target.as_ref());
    let concurrency = fields.or("concurrency", ENDPOINT_CONCURRENCY_DEFAULT, |node| {
        walk.count(node, keys::ENDPOINT, "concurrency")
    });
    let limit = fields.or("limit", Vec::new(), |node| budget::rates(walk, node));
    let paused = fields.or("paused", false, |node| walk.flag(node));
    let was = fields.or("was", None, |node| was(walk, node).map(Some));
    let order = fields.or("order", Order::Item, |node| order(walk, node));
    let route = route::read(walk, &fields);
    let unsigned =
        target.as_ref().is_some_and(Target::is_lines) || matches!(sign, Some(Scheme::None));
    if !fields.has("secret") && target.is_some() && sign.is_some() && !unsigned {
        let sentence = "the key `secret` is missing: receivers could not tell who rings";
        let hint =
            "such as `secret: ${AGENT_SECRET}`; `doorbell secret` makes one; or `sign: none`";
        walk.report.add(Finding::error(owner, sentence).hint(hint));
        return None;
    }
    let Form { format, body, content_type, method, headers } = form?;
    Some(Endpoint {
        name: name.clone(),
        target: target?,
        subscription: subscription?,
        where_: where_?,
        format,
        body,
        content_type,
        method,
        secrets: secrets?,
        sign: sign?,
        retry: retry?,
        breaker: breaker?,
        timeout: timeout?,
        auth: auth?,
        headers,
        concurrency: concurrency?,
        limit: limit?,
        order: order?,
        paused: paused?,
        was: was?,
        route: route.ok()?,
    })
}

/// A former name. Whether it is free is looked at when all endpoints are read.
fn was<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<EndpointName> {
    let name = EndpointName::new(walk.text(node)?);
    walk.former_endpoints.push((name.clone(), node.place));
    Some(name)
}

/// What a request looks like.
struct Form {
    format: Format,
    body: Option<Reshaping>,
    content_type: HeaderValue,
    method: Method,
    headers: HeaderMap,
}

fn form<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>, target: Option<&Target>) -> Option<Form> {
    let headers = fields.or("headers", HeaderMap::new(), |node| headers(walk, node));
    let format = fields.or("format", Format::Standard, |node| format(walk, node));
    let body = fields.or("body", None, |node| body::reshaping(walk, node).map(Some));
    let content_type = fields.or("content_type", None, |node| content_type(walk, node).map(Some));
    let method = fields.or("method", Method::POST, |node| method(walk, node));
    let lines = target.filter(|target| target.is_lines()).map(|target| match target {
        Target::File { .. } => "a file",
        _ => "standard output",
    });
    if let (Some(what), Some(Format::CloudEventsBinary)) = (lines, format) {
        let sentence = format!("{what} has no headers, where this format puts the attributes");
        return walk.report.wrong(fields.get("format")?, sentence, "write `cloudevents`");
    }
    if let Some(what) = lines {
        for name in ["content_type", "method", "auth", "tls", "proxy", "source_address"] {
            if let Some(node) = fields.get(name) {
                let sentence = format!("{what} knows no `{name}`: each event is a line of JSON");
                return walk.report.wrong(node, sentence, "take it away");
            }
        }
    }
    let (mut headers, content_type) = (headers?, content_type?);
    // One place for it: it is fixed with the bytes.
    let among_headers = headers.remove(CONTENT_TYPE);
    if let (Some(node), Some(_)) = (fields.get("content_type"), &among_headers) {
        let sentence = "`headers` has a Content-Type too";
        return walk.report.wrong(node, sentence, "keep one of them");
    }
    let content_type = content_type.or(among_headers);
    let content_type = content_type.unwrap_or(HeaderValue::from_static(JSON));
    let is_json = content_type.to_str().is_ok_and(is_json_type);
    if let (Some(node), Some(Some(Reshaping::Template(_))), false) =
        (fields.get("body"), &body, is_json)
    {
        let hint = "such as `body: '\"name=\\(.data.name | @uri)\"'`, or a `content_type` of JSON";
        let sentence = "a map is sent as JSON, which is not what the content type says";
        return walk.report.wrong(node, sentence, hint);
    }
    Some(Form { format: format?, body: body?, content_type, method: method?, headers })
}

fn format<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Format> {
    match walk.word(node, keys::LAYOUTS)? {
        "cloudevents" => Some(Format::CloudEvents),
        "cloudevents-binary" => Some(Format::CloudEventsBinary),
        _ => Some(Format::Standard),
    }
}

fn content_type<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<HeaderValue> {
    let text = walk.text(node)?;
    walk.no_template(node)?;
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |part: &str| {
        let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
        !part.is_empty() && part.chars().all(is_sign)
    };
    let is_type = essence.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b));
    match HeaderValue::from_str(text) {
        Ok(value) if is_type && text.is_ascii() => Some(value),
        _ => {
            let hint = "such as `application/json` or `text/plain; charset=utf-8`";
            walk.flaw(node, "a media type", &Flaw::new("this is not a media type", hint))
        }
    }
}

fn method<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Method> {
    match walk.word(node, keys::METHODS)? {
        "PUT" => Some(Method::PUT),
        "PATCH" => Some(Method::PATCH),
        _ => Some(Method::POST),
    }
}

fn target<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Target> {
    match node.text() {
        Some("stdout:") => Some(Target::Stdout),
        Some("stdout" | "stdout://") => {
            let flaw = Flaw::new("this is not a URL", "did you mean `stdout:`?");
            walk.flaw(node, "a URL", &flaw)
        }
        Some(text) if text.starts_with("file:") => {
            walk.no_template(node)?;
            let url = walk.file_address(node, text.strip_prefix("file:")?)?;
            url.to_file_path().ok().map(|path| Target::File { path })
        }
        _ => {
            let url = walk.web_address(node)?;
            walk.report.secrets.extend(address_secrets(&url));
            Some(Target::Http { url })
        }
    }
}

/// What in the address of a receiver lets whoever knows it ring: a receiver may quote it in its answer, which is kept.
fn address_secrets(url: &Url) -> Vec<Secret> {
    /// A segment as long as this is a token rather than a word.
    const TOKEN_BYTES_MIN: usize = 16;
    let path = Some(url.path()).filter(|path| *path != "/");
    let segments = url.path_segments().into_iter().flatten();
    let tokens = segments.filter(|segment| segment.len() >= TOKEN_BYTES_MIN);
    let query = url.query().into_iter().flat_map(|query| query.split('&'));
    let values = query.filter_map(|pair| pair.split_once('=').map(|(_, value)| value));
    path.into_iter().chain(tokens).chain(values).map(Secret::new).collect()
}

fn subscription<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Subscription> {
    let globs = walk.each(node, |walk, node| {
        let text = walk.text(node)?;
        match text.find(|c: char| c != '*' && !is_type_character(c)) {
            None => Some(text.to_owned()),
            Some(at) => {
                let hint =
                    "letters, digits, `_`, `-`, `.`, and `*` for any text, such as `ticket.*`";
                let flaw = Flaw::new("no event type can match this", hint).at(at..at + 1);
                walk.flaw(node, "an event type or glob", &flaw)
            }
        }
    })?;
    Some(Subscription::to(globs))
}

fn headers<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<HeaderMap> {
    let mut free = true;
    if let Value::Map(entries) = &node.value {
        for (key, _) in entries {
            if key.name.to_ascii_lowercase().starts_with("webhook-") {
                let sentence = format!("the header `{}` is set by doorbell itself", key.name);
                walk.report.add(Finding::error(key.place, sentence).hint("take it away"));
                free = false;
            }
        }
    }
    walk.headers(node).filter(|_| free)
}

fn retry<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Option<RetryPolicy> {
    let default = RetryPolicy {
        backoff: BackoffPolicy::try_new(RETRY_FIRST, RETRY_MAX).expect("5s is less than 10h"),
        give_up_after: GIVE_UP_AFTER,
    };
    fields.or("retry", default, |node| {
        let fields = walk.fields(node, keys::RETRY, node.place)?;
        let backoff = backoff(walk, &fields, node, (RETRY_FIRST, RETRY_MAX));
        let give_up_after = fields.or("for", GIVE_UP_AFTER, |node| walk.span(node));
        Some(RetryPolicy { backoff: backoff?, give_up_after: give_up_after? })
    })
}

fn breaker<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<BreakerPolicy> {
    let fields = walk.fields(node, keys::BREAKER, node.place)?;
    let failures = fields.or("failures", BREAKER.failures as usize, |node| {
        walk.count(node, keys::BREAKER, "failures")
    });
    let without_success_for =
        fields.or("for", BREAKER.without_success_for, |node| walk.duration(node));
    Some(BreakerPolicy {
        failures: u32::try_from(failures?).ok()?,
        without_success_for: without_success_for?,
    })
}

fn order<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Order> {
    match walk.word(node, keys::ORDER)? {
        "endpoint" => Some(Order::Endpoint),
        "none" => Some(Order::None),
        _ => Some(Order::Item),
    }
}
