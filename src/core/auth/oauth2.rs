//! OAuth 2.0 (RFC 6749): how a token is asked for, what the answer says, when to ask again. No token is fetched here.

#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::core::auth::jwt::Assertion;
use crate::core::fault::{Fault, Whose};
use crate::core::http::{
    BodyLimit, OUR_USER_AGENT, Request, Response, TransportFault, Way, parse_retry_after,
};
use crate::core::limits::{
    TOKEN_ANSWER_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_LIFETIME_MAX, TOKEN_RENEWAL_LEAD_MAX,
    TOKEN_RENEWAL_LEAD_MIN,
};
use crate::core::secret::Secret;
use crate::core::source::Definition;
use crate::core::time::Timestamp;

/// How a source gets its token. Sources with equal ones share one token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OAuth2 {
    pub(crate) token_url: Url,
    pub(crate) grant: Grant,
    pub(crate) client: Option<Client>,
    pub(crate) scopes: Vec<String>,
    /// Further parameters of the request: `audience`, `resource`, and the operator's own.
    pub(crate) parameters: Vec<(String, Secret)>,
}

/// By what right a token is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Grant {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §6. The one in the operator's file: the first, until the server gives another.
    RefreshToken(Secret),
    /// RFC 7523 §2.1.
    JwtBearer(Box<Assertion>),
}

/// Who doorbell is to the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// A public client has none.
    pub(crate) secret: Option<Secret>,
    pub(crate) style: ClientStyle,
}

/// How the client shows its secret, RFC 6749 §2.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientStyle {
    /// `Authorization: Basic …`
    Basic,
    /// `client_id` and `client_secret` among the parameters.
    Body,
}

/// Under which a rotated refresh token is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenKey {
    /// Digest of the settings without anything secret: another client secret loses no token.
    pub(crate) settings: [u8; 16],
    /// Digest of the refresh token in the operator's file: writing another one there begins anew.
    pub(crate) configured: [u8; 16],
}

/// What the server granted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Granted {
    pub(crate) access: Secret,
    /// `None` when the server does not say: then the token is used until it is refused.
    pub(crate) lifetime: Option<Duration>,
    /// The refresh token to use from now on, when it is another.
    pub(crate) rotated: Option<Secret>,
}

impl OAuth2 {
    /// Equal for equal settings, secrets included. Tells nothing of them.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut parts = self.settings();
        if let Some(secret) = self.client.as_ref().and_then(|client| client.secret.as_ref()) {
            parts.extend(["secret", secret.expose()].map(str::to_owned));
        }
        // Written otherwise, a request that was refused may be made again at once.
        if self.client.as_ref().is_some_and(|client| client.style == ClientStyle::Body) {
            parts.push(String::from("body"));
        }
        match &self.grant {
            Grant::ClientCredentials => {}
            Grant::RefreshToken(token) => parts.push(token.expose().to_owned()),
            Grant::JwtBearer(assertion) => parts.push(assertion.signer.pem().expose().to_owned()),
        }
        digest(&parts)
    }

    /// Under which a rotated refresh token is kept; `None` for the grants that have none.
    pub(crate) fn key(&self) -> Option<TokenKey> {
        let Grant::RefreshToken(configured) = &self.grant else { return None };
        let configured = digest(&[configured.expose().to_owned()]);
        Some(TokenKey { settings: digest(&self.settings()), configured })
    }

    /// A digest of who asks: another client secret is nobody else, another refresh token may be.
    pub(crate) fn identity(&self) -> [u8; 16] {
        let mut parts = self.settings();
        if let Grant::RefreshToken(configured) = &self.grant {
            parts.push(configured.expose().to_owned());
        }
        digest(&parts)
    }

    fn settings(&self) -> Vec<String> {
        let mut parts = vec![self.token_url.to_string(), self.grant_type().to_owned()];
        parts.extend(self.client.iter().map(|client| client.id.clone()));
        parts.push(self.scopes.join(" "));
        if let Grant::JwtBearer(assertion) = &self.grant {
            let Assertion { key_id, issuer, subject, audience, .. } = &**assertion;
            parts.push(format!("{key_id:?} {issuer:?} {subject:?} {audience:?}"));
        }
        for (name, value) in &self.parameters {
            parts.extend([name.clone(), value.expose().to_owned()]);
        }
        parts
    }

    fn grant_type(&self) -> &'static str {
        match self.grant {
            Grant::ClientCredentials => "client_credentials",
            Grant::RefreshToken(_) => "refresh_token",
            Grant::JwtBearer(_) => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The request for a token on behalf of `request`: within the same time, over the same connections. `rotated` is
    /// the refresh token to use in the place of the configured one, `now` the wall clock, `id` one that never came before.
    ///
    /// # Errors
    /// When the assertion cannot be signed.
    pub(crate) fn token_request(
        &self,
        request: &Request,
        rotated: Option<&Secret>,
        now: Timestamp,
        id: &str,
    ) -> Result<Request, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", self.grant_type());
        match &self.grant {
            Grant::ClientCredentials => {}
            Grant::RefreshToken(configured) => {
                body.append_pair("refresh_token", rotated.unwrap_or(configured).expose());
            }
            Grant::JwtBearer(assertion) => {
                let unsigned = || Fault::us("oauth2_signing", "the assertion could not be signed");
                let signed = assertion.signed(now, id).ok_or_else(unsigned)?;
                body.append_pair("assertion", signed.expose());
            }
        }
        if let Some(client) = &self.client {
            client.show(&mut headers, &mut body);
        }
        if !self.scopes.is_empty() {
            body.append_pair("scope", &self.scopes.join(" "));
        }
        for (name, value) in &self.parameters {
            body.append_pair(name, value.expose());
        }
        Ok(Request {
            method: Method::POST,
            url: self.token_url.clone(),
            headers,
            body: Bytes::from(body.finish()),
            deadline: request.deadline,
            limit: BodyLimit::Whole { bytes_max: TOKEN_ANSWER_BYTES_MAX },
            reach: request.reach,
            // No redirects: credentials are in the body.
            way: Way {
                route: request.way.route.clone(),
                account: request.way.account.clone(),
                ..Way::default()
            },
        })
    }

    /// Reads the answer to a request for a token that was made with the refresh token `rotated` or the configured one.
    ///
    /// # Errors
    /// [`TransportFault::NoToken`], with a sentence that says what to do about it.
    pub(crate) fn read(
        &self,
        answer: Result<Response, TransportFault>,
        rotated: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Granted, TransportFault> {
        let response = match answer {
            Ok(response) => response,
            // What befalls this process says nothing about the server.
            Err(
                fault @ (TransportFault::Interrupted
                | TransportFault::Held { .. }
                | TransportFault::Offline { .. }),
            ) => return Err(fault),
            Err(fault) => {
                let fault = fault.to_fault(Whose::Source);
                let code = format!("oauth2_{}", fault.code);
                let sentence = format!("{}: {}", self.no_token(), fault.sentence);
                return Err(no_token(Fault { code, sentence, ..fault }, None));
            }
        };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if !(200..=299).contains(&response.status) || body.get("access_token").is_none() {
            return Err(self.refusal(&response, &body, rotated, now));
        }
        self.granted(&body, rotated).map_err(|what| {
            let sentence = format!("{}: {what}", self.no_token());
            no_token(Fault::source("oauth2_answer", sentence), None)
        })
    }

    fn granted(&self, body: &Value, rotated: Option<&Secret>) -> Result<Granted, &'static str> {
        let text =
            |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(kind) = text("token_type")
            && !kind.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
        {
            return Err("the token it gives is no bearer token");
        }
        let access = text("access_token").ok_or("its answer holds no token")?;
        let is_sendable = |token: &str| token.chars().all(|c| c.is_ascii_graphic());
        if access.len() > TOKEN_BYTES_MAX || !is_sendable(access) {
            return Err("the token it gives cannot be sent");
        }
        let used = match &self.grant {
            Grant::RefreshToken(configured) => Some(rotated.unwrap_or(configured)),
            _ => None,
        };
        let given = text("refresh_token").filter(|token| token.len() <= TOKEN_BYTES_MAX);
        let given = given.map(Secret::new).filter(|given| used.is_some_and(|used| used != given));
        let lifetime = body.get("expires_in").and_then(lifetime);
        Ok(Granted { access: Secret::new(access), lifetime, rotated: given })
    }

    /// "no token from HOST"
    fn no_token(&self) -> String {
        format!("no token from {}", self.token_url.host_str().unwrap_or("the token server"))
    }

    fn refusal(
        &self,
        response: &Response,
        body: &Value,
        rotated: Option<&Secret>,
        now: Timestamp,
    ) -> TransportFault {
        let status = response.status;
        let error = body.get("error").and_then(Value::as_str);
        let error = error.filter(|error| self.may_be_shown(error, rotated));
        let wait = response.header(RETRY_AFTER.as_str());
        let wait = wait
            .and_then(|text| parse_retry_after(text, now))
            .filter(|_| matches!(status, 429 | 503))
            .or((status == 429).then_some(Duration::ZERO));
        let no_token_from = self.no_token();
        let fault = match error {
            Some(error) => {
                let advice = advice(error);
                let code = if advice.is_some() {
                    format!("oauth2_{error}")
                } else {
                    String::from("oauth2_refused")
                };
                let advice = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
                Fault::source(
                    &code,
                    format!("{no_token_from}: it answered {status}, {error}{advice}"),
                )
            }
            None if (200..=299).contains(&status) => Fault::source(
                "oauth2_answer",
                format!("{no_token_from}: its answer holds no token; is this the token endpoint?"),
            ),
            None => Fault::source(
                &format!("oauth2_http_{status}"),
                format!("{no_token_from}: it answered {status}"),
            ),
        };
        let is_final = error.is_some_and(|error| FINAL.contains(&error));
        no_token(if is_final { fault.final_() } else { fault }, wait)
    }

    /// An error's code is for people to read; one that repeats what it was told is not.
    fn may_be_shown(&self, error: &str, rotated: Option<&Secret>) -> bool {
        const CHARS_MAX: usize = 40;
        let is_code = (1..=CHARS_MAX).contains(&error.len())
            && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let client_secret = self.client.as_ref().and_then(|client| client.secret.as_ref());
        let configured = match &self.grant {
            Grant::RefreshToken(configured) => Some(configured),
            _ => None,
        };
        let parameters = self.parameters.iter().map(|(_, value)| value);
        let mut secrets =
            [client_secret, configured, rotated].into_iter().flatten().chain(parameters);
        let repeats = |secret: &Secret| {
            let secret = secret.expose();
            !secret.is_empty() && (error.contains(secret) || secret.contains(error))
        };
        is_code && (KNOWN.iter().any(|(known, _)| *known == error) || !secrets.any(repeats))
    }
}

impl Client {
    fn show(&self, headers: &mut HeaderMap, body: &mut form_urlencoded::Serializer<'_, String>) {
        match (&self.secret, self.style) {
            (Some(secret), ClientStyle::Basic) => {
                let encoded = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let pair = format!("{}:{}", encoded(&self.id), encoded(secret.expose()));
                let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
                if let Ok(mut value) = HeaderValue::from_str(&value) {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
            (Some(secret), ClientStyle::Body) => {
                body.append_pair("client_id", &self.id);
                body.append_pair("client_secret", secret.expose());
            }
            (None, _) => {
                body.append_pair("client_id", &self.id);
            }
        }
    }
}

/// Codes of RFC 6749 §5.2 and what to do about them.
const KNOWN: [(&str, &str); 6] = [
    (
        "invalid_request",
        "something in it is missing or given twice; look at `params` and `auth_style`",
    ),
    (
        "invalid_client",
        "`client_id` or `client_secret` is not accepted; some servers want `auth_style: body`",
    ),
    (
        "invalid_grant",
        "the refresh token or assertion is not accepted (any more): put a new one into the configuration",
    ),
    ("unauthorized_client", "this client may not use this grant"),
    ("unsupported_grant_type", "it does not know this `grant`"),
    ("invalid_scope", "it does not grant these `scopes`"),
];

/// Of these, those that a later try meets again.
const FINAL: [&str; 5] = [
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

fn advice(error: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == error).map(|(_, advice)| *advice)
}

/// No token came of it, and whoever wants it may wait.
pub(crate) fn no_token(fault: Fault, wait: Option<Duration>) -> TransportFault {
    TransportFault::NoToken { fault: Box::new(fault), wait }
}

/// `expires_in`: seconds, which some servers write as text. Zero says nothing.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if seconds.is_nan() || seconds <= 0.0 {
        return None;
    }
    let lifetime = Duration::try_from_secs_f64(seconds).unwrap_or(TOKEN_LIFETIME_MAX);
    Some(lifetime.min(TOKEN_LIFETIME_MAX))
}

/// How long a token is used before another one is asked for: its lifetime without a tenth of it, which is at least
/// some seconds for the way there and back, and never more than half.
pub(crate) fn renewed_after(lifetime: Duration) -> Duration {
    let lead = (lifetime / 10).clamp(TOKEN_RENEWAL_LEAD_MIN, TOKEN_RENEWAL_LEAD_MAX);
    lifetime.saturating_sub(lead.min(lifetime / 2))
}

fn digest(parts: &[String]) -> [u8; 16] {
    Definition::of(parts.iter().map(String::as_bytes)).0
}
