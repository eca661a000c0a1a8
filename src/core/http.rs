//! HTTP as plain data: what is asked, what came back, and how an exchange can fail. No socket is opened here.

pub(crate) mod redirect;
pub(crate) mod route;
#[cfg(test)]
mod tests;
mod way;

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::form_urlencoded::{byte_serialize, parse};
use url::{Position, Url};

use crate::core::fault::{Fault, Whose};
use crate::core::time::{Timestamp, humane};

pub(crate) use way::Way;

/// How doorbell names itself in every request, unless the operator's own headers say otherwise.
pub(crate) const OUR_USER_AGENT: &str = concat!("doorbell/", env!("CARGO_PKG_VERSION"));

/// The code of the fault that our own network is down.
pub(crate) const OFFLINE: &str = "offline";

/// The most that [`parse_retry_after`] gives. Callers have their own, shorter bounds; this one keeps sums in range.
const RETRY_AFTER_SECONDS_MAX: u64 = u32::MAX as u64;

/// Where requests for a URL go, as RFC 6454 writes it: scheme, host and port. What stands before the path of a URL of the
/// web that names no user is just that.
pub(crate) fn origin(url: &Url) -> Cow<'_, str> {
    let names_user = !url.username().is_empty() || url.password().is_some();
    if matches!(url.scheme(), "http" | "https") && !names_user {
        Cow::Borrowed(&url[..Position::BeforePath])
    } else {
        Cow::Owned(url.origin().ascii_serialization())
    }
}

/// A URL as it may be shown: user, password and the values of its query are masked, because tokens stand there.
pub(crate) fn shown_url(url: &Url) -> String {
    shown_url_with(url, |_| false)
}

/// The URL of a receiver as it may be shown: its path may be a token, too.
pub(crate) fn shown_receiver(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    if url.path() == "/" && url.query().is_none() { origin } else { format!("{origin}/…") }
}

/// [`shown_url`] with the values of those parameters that are known to hold no token.
pub(crate) fn shown_url_with(url: &Url, is_harmless: impl Fn(&str) -> bool) -> String {
    let Some(query) = url.query().filter(|_| url.scheme() != "file") else {
        return if url.scheme() == "file" {
            url.as_str().to_owned()
        } else {
            without_user(url.clone())
        };
    };
    let shown = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let name = parse(pair.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
        if is_harmless(&name) { pair.to_owned() } else { format!("{name}=…") }
    });
    let shown: Vec<_> = shown.collect();
    let mut url = url.clone();
    url.set_query(None);
    let url = without_user(url);
    if shown.is_empty() { url } else { format!("{url}?{}", shown.join("&")) }
}

/// Whether a parameter's name, in any spelling, sounds like a credential.
pub(crate) fn sounds_secret(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "token",
        "secret",
        "passw",
        "passphrase",
        "pwd",
        "auth",
        "apikey",
        "accesskey",
        "privatekey",
        "clientkey",
        "subscriptionkey",
        "sig",
        "credential",
        "session",
        "jwt",
        "bearer",
        "assertion",
        "nonce",
    ];
    const WHOLE: &[&str] =
        &["key", "pass", "pin", "code", "user", "login", "sid", "hmac", "ticket", "appid"];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    WHOLE.contains(&plain.as_str()) || WORDS.iter().any(|word| plain.contains(word))
}

fn without_user(mut url: Url) -> String {
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return String::from("(a URL without a host)");
    }
    url.into()
}

/// The URL with these parameters, instead of those of the same names. The others stay as they are spelled.
pub(crate) fn with_params(url: &Url, params: &[(&str, &str)]) -> Url {
    let is_other = |pair: &&str| {
        let name = parse(pair.as_bytes()).next().map(|(name, _)| name);
        !pair.is_empty() && !params.iter().any(|(param, _)| name.as_deref() == Some(*param))
    };
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let others = url.query().unwrap_or_default().split('&').filter(is_other).map(str::to_owned);
    let ours = params.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let pairs: Vec<String> = others.chain(ours).collect();
    let mut url = url.clone();
    url.set_query(Some(&pairs.join("&")));
    url
}

/// Headers as they may be shown: of those that hold or may hold a credential, the name alone.
pub(crate) fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers.iter().map(|(name, value)| {
        let hidden = value.is_sensitive() || is_credential(name.as_str());
        let value = if hidden { "…".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        (name.to_string(), value.into_owned())
    });
    shown.collect()
}

/// Whether a header holds a credential, by its name in lower case: of a request or of an answer.
pub(crate) fn is_credential(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "api-key",
        "authentication-info",
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "set-cookie2",
        "x-access-token",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
        "x-xsrf-token",
    ];
    NAMES.contains(&name)
}

/// One exchange to make. `deadline` covers all of it: resolving, connecting, sending, headers and body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Secrets in here are marked sensitive and print as such.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) deadline: Duration,
    pub(crate) limit: BodyLimit,
    pub(crate) reach: Reach,
    pub(crate) way: Way,
}

/// What happens when an answer's body is longer than allowed. Counted after decompression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLimit {
    /// More than this many bytes is a fault: half a listing is no listing.
    Whole { bytes_max: usize },
    /// Keep the first bytes, then hang up; a slow or broken rest is no fault. For receivers, whose status is the answer.
    First { bytes_max: usize },
}

/// Which addresses a request may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The URL stands in the operator's own file: it may name loopback and private hosts.
    Anywhere,
    /// The URL came from somebody else: only globally routable addresses.
    Public,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Decompressed.
    pub(crate) body: Bytes,
}

impl Response {
    /// A header's value as text; `None` when absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): seconds, with a fraction too as some servers write it, or a date, of which
/// one in the past means now. Clamped to about 136 years; `None` for anything else.
pub(crate) fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number(whole) && is_number(fraction) {
        let begun = u64::from(fraction.bytes().any(|digit| digit != b'0'));
        // Only too many digits can fail here.
        Duration::from_secs(whole.parse().unwrap_or(u64::MAX).saturating_add(begun))
    } else {
        let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Timestamp::from_millis(0).after(since_epoch).since(now)
    };
    Some(wait.min(Duration::from_secs(RETRY_AFTER_SECONDS_MAX)))
}

/// Why there is no answer. Says nothing of URLs' queries or of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransportFault {
    /// The name did not resolve.
    Resolve { host: String, detail: String },
    /// No connection.
    Connect { detail: String },
    /// The certificate or handshake was refused. `is_final` when it always will be: the certificate is another's, or
    /// nobody vouches for it. One that is out of date may be replaced.
    Tls { detail: String, is_final: bool },
    /// The deadline passed. `phase` says in what: "connecting", "waiting for the answer", "reading the body".
    Timeout { phase: &'static str, after: Duration },
    /// The body came slower than the least rate.
    Drip { bytes: u64, after: Duration },
    /// The connection ended before the answer did.
    Cut { detail: String },
    /// The body is longer than allowed, counted after decompression.
    TooLarge { bytes_max: usize },
    /// The body could not be decompressed.
    Decode { detail: String },
    /// What came back is not HTTP.
    Protocol { detail: String },
    /// The address guard refused the destination.
    Blocked { host: String, reason: String },
    /// A redirect that is not followed. `how` completes "a redirect …".
    Redirect { how: String },
    /// No token could be had, so that the request was not made. `wait` is how long its server wants to be left alone.
    NoToken { fault: Box<Fault>, wait: Option<Duration> },
    /// The server allows no more requests for so long: this one was not made.
    Held { fault: Box<Fault>, wait: Duration },
    /// Everything that used to answer stopped at once: our own network is down.
    Offline { detail: String },
    /// No descriptors, no memory, no route: this machine's own trouble.
    Local { detail: String },
    /// A file could not be written, or was not surely on disk.
    Unwritten { detail: String },
    /// Answers are taken from a recording, and it has none for this request.
    NotRecorded { request: String },
    /// The process is stopping; nothing was learned about the other side.
    Interrupted,
}

impl TransportFault {
    /// The same as a stored fault; `other` is the party at the far end.
    pub(crate) fn to_fault(&self, other: Whose) -> Fault {
        let (code, sentence) = match self {
            Self::Resolve { host, detail } => {
                ("resolve", format!("the name {host} does not resolve: {detail}"))
            }
            Self::Connect { detail } => ("connect", format!("no connection: {detail}")),
            Self::Tls { detail, .. } => ("tls", format!("TLS failed: {detail}")),
            Self::Timeout { phase, after } => {
                ("timeout", format!("timed out after {} while {phase}", humane(*after)))
            }
            Self::Drip { bytes, after } => {
                ("drip", format!("the body came too slowly: {bytes} bytes in {}", humane(*after)))
            }
            Self::Cut { detail } => {
                ("cut", format!("the connection ended before the answer did: {detail}"))
            }
            Self::TooLarge { bytes_max } => (
                "body_too_large",
                format!("the body is larger than {bytes_max} bytes (`max_body`)"),
            ),
            Self::Decode { detail } => {
                ("decode", format!("the body could not be decompressed: {detail}"))
            }
            Self::Protocol { detail } => {
                ("protocol", format!("the answer is not valid HTTP: {detail}"))
            }
            Self::Blocked { host, reason } => {
                ("blocked", format!("{host} may not be reached: {reason}"))
            }
            Self::Redirect { how } => {
                ("redirect", format!("the API answered a redirect {how}: it was not followed"))
            }
            Self::NoToken { fault, .. } | Self::Held { fault, .. } => return (**fault).clone(),
            Self::Offline { detail } => (
                OFFLINE,
                format!("nobody can be reached: is this machine's network down? {detail}"),
            ),
            Self::Local { detail } => {
                ("local", format!("this machine could not make the request: {detail}"))
            }
            Self::Unwritten { detail } => {
                ("file", format!("the file could not be written: {detail}"))
            }
            Self::NotRecorded { request } => {
                ("not_recorded", format!("the replay file has no answer left for {request}"))
            }
            Self::Interrupted => ("interrupted", String::from("doorbell is stopping")),
        };
        let whose = match self {
            Self::Local { .. }
            | Self::Offline { .. }
            | Self::NotRecorded { .. }
            | Self::Interrupted => Whose::Us,
            _ => other,
        };
        let fault = Fault { whose, ..Fault::us(code, sentence) };
        let is_final = matches!(self, Self::Blocked { .. } | Self::Tls { is_final: true, .. });
        if is_final { fault.final_() } else { fault }
    }
}
