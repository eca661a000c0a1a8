//! `auth` of a source or an endpoint: exactly one scheme, and for `oauth2` exactly what its grant needs.

use crate::config::keys;
use crate::config::report::Finding;
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::auth::Auth;
use crate::core::auth::jwt::{Assertion, Signer};
use crate::core::auth::oauth2::{Client, ClientStyle, Grant, OAuth2};
use crate::core::limits::TOKEN_BYTES_MAX;
use crate::core::secret::Secret;

/// Reads the credentials of a source or an endpoint.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Auth> {
    let fields = walk.fields(node, keys::AUTH, node.place)?;
    let bearer = fields.or("bearer", None, |node| Some(Some(Auth::Bearer(bearer(walk, node)?))));
    let basic = fields.or("basic", None, |node| basic(walk, node).map(Some));
    let header =
        fields.or("header", None, |node| Some(Some(Auth::Header(walk.secret_headers(node)?))));
    let query =
        fields.or("query", None, |node| Some(Some(Auth::Query(walk.secret_parameters(node)?))));
    let oauth2 = fields.or("oauth2", None, |node| oauth2(walk, node).map(Some));
    let mut given: Vec<Auth> =
        [bearer?, basic?, header?, query?, oauth2?].into_iter().flatten().collect();
    let known = matches!(&node.value, Value::Map(entries) if entries.len() == fields.count());
    match (given.pop(), given.is_empty(), known) {
        (_, _, false) => None,
        (Some(auth), true, true) => Some(auth),
        _ => walk.report.wrong(
            node,
            "`auth` takes exactly one scheme",
            "`bearer`, `basic`, `header`, `query` or `oauth2`",
        ),
    }
}

fn bearer<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Secret> {
    let secret = walk.credential(node)?;
    if !secret.expose().chars().all(|c| c.is_ascii_graphic()) {
        let hint =
            "the word `Bearer` is added by doorbell; a stray blank or quote is the usual cause";
        return walk.report.wrong(node, "a bearer token is plain ASCII without blanks", hint);
    }
    Some(secret)
}

fn basic<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Auth> {
    let fields = walk.fields(node, keys::BASIC, node.place)?;
    let user = fields.need("user", |node| {
        let user = walk.credential(node)?;
        if user.expose().contains(':') {
            return walk.report.wrong(node, "a user's name cannot hold a colon (RFC 7617)", "");
        }
        Some(user.expose().to_owned())
    });
    let password = fields.need("password", |node| walk.credential(node));
    Some(Auth::Basic { user: user?, password: password? })
}

const CLIENT_CREDENTIALS: &str = "client_credentials";
const REFRESH_TOKEN: &str = "refresh_token";
const JWT_BEARER: &str = "jwt_bearer";

/// Keys that belong to one grant alone.
const OF_ONE_GRANT: [(&str, &str); 5] = [
    ("refresh_token", REFRESH_TOKEN),
    ("private_key", JWT_BEARER),
    ("key_id", JWT_BEARER),
    ("issuer", JWT_BEARER),
    ("subject", JWT_BEARER),
];

/// Keys that a grant cannot do without.
const NEEDED: [(&str, &str); 4] = [
    (CLIENT_CREDENTIALS, "client_id"),
    (CLIENT_CREDENTIALS, "client_secret"),
    (REFRESH_TOKEN, "refresh_token"),
    (JWT_BEARER, "private_key"),
];

fn oauth2<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Auth> {
    let fields = walk.fields(node, keys::OAUTH2, node.place)?;
    let token_url = fields.need("token_url", |node| walk.web_address(node));
    let grant = fields.or("grant", CLIENT_CREDENTIALS, |node| walk.word(node, keys::GRANTS));
    let fits = grant.map(|grant| fits(walk, &fields, grant, node.place));
    let client = client(walk, &fields);
    let scopes = fields.or("scopes", Vec::new(), |node| walk.each(node, scope));
    let parameters = parameters(walk, &fields, grant);
    let refresh = fields.or("refresh_token", None, |node| walk.credential(node).map(Some));
    let signer = fields.or("private_key", None, |node| signer(walk, node).map(Some));
    let mut text = |name| fields.or(name, None, |node| walk.plain(node).map(Some));
    let (key_id, issuer, subject) = (text("key_id"), text("issuer"), text("subject"));
    let audience = text("audience");
    let (token_url, client, scopes) = (token_url?, client.ok()?, scopes?);
    let (key_id, issuer, subject, audience) = (key_id?, issuer?, subject?, audience?);
    let parameters = parameters?;
    fits?.then_some(())?;
    let grant = match (grant?, refresh?, signer?) {
        (REFRESH_TOKEN, Some(refresh), _) => Grant::RefreshToken(refresh),
        (JWT_BEARER, _, Some(signer)) => {
            let issuer = issuer.or_else(|| client.as_ref().map(|client| client.id.clone()));
            let Some(issuer) = issuer else {
                let sentence = "the grant `jwt_bearer` needs to say who asks";
                return walk.report.wrong(node, sentence, "give it an `issuer` or a `client_id`");
            };
            let audience = audience.unwrap_or_else(|| token_url.to_string());
            let scope = Some(scopes.join(" ")).filter(|scope| !scope.is_empty());
            let assertion = Assertion { signer, key_id, issuer, subject, audience, scope };
            Grant::JwtBearer(Box::new(assertion))
        }
        (CLIENT_CREDENTIALS, ..) => Grant::ClientCredentials,
        _ => return None,
    };
    let oauth2 = OAuth2 { token_url, grant, client, scopes, parameters };
    Some(Auth::OAuth2(walk.shared.oauth2(oauth2)))
}

/// Whether the keys that stand there are those of the grant.
fn fits(walk: &mut Walk<'_>, fields: &Fields<'_>, grant: &str, owner: Place) -> bool {
    let mut fits = true;
    for (name, only) in OF_ONE_GRANT {
        if only != grant
            && let Some(node) = fields.get(name)
        {
            let hint = if fields.has("grant") {
                String::from("take it away")
            } else {
                format!("add `grant: {only}`")
            };
            let sentence = format!("`{name}` belongs to the grant `{only}`, not to `{grant}`");
            walk.report.add(Finding::error(node.place, sentence).hint(hint));
            fits = false;
        }
    }
    // What was wrong just now explains what is missing.
    let missing = |(of, name): &&(&str, &str)| *of == grant && !fields.has(name);
    let missing: Vec<_> = NEEDED.iter().filter(missing).filter(|_| fits).collect();
    for (_, name) in &missing {
        let sentence = format!("the grant `{grant}` needs the key `{name}`");
        let hint = match *name {
            "private_key" => "the path of a PEM file, or its text",
            "refresh_token" => "such as `refresh_token: ${REFRESH_TOKEN}`",
            _ => "or say another `grant`: `refresh_token` or `jwt_bearer`",
        };
        walk.report.add(Finding::error(owner, sentence).hint(hint));
    }
    fits && missing.is_empty()
}

/// `Err` when something is wrong with it, which is noted.
fn client<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Result<Option<Client>, ()> {
    let id = fields.or("client_id", None, |node| walk.plain(node).map(Some));
    let secret = fields.or("client_secret", None, |node| walk.credential(node).map(Some));
    let style = fields.or("auth_style", ClientStyle::Basic, |node| {
        match walk.word(node, keys::AUTH_STYLE)? {
            "body" => Some(ClientStyle::Body),
            _ => Some(ClientStyle::Basic),
        }
    });
    let (Some(id), Some(secret), Some(style)) = (id, secret, style) else { return Err(()) };
    match (id, &secret, fields.get("client_secret")) {
        (None, Some(_), Some(node)) => {
            let sentence = "`client_secret` stands here without a `client_id`";
            walk.report.wrong(node, sentence, "add `client_id`").ok_or(())
        }
        (id, ..) => Ok(id.map(|id| Client { id, secret, style })),
    }
}

fn scope<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<String> {
    let text = walk.plain(node)?;
    let is_scope = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if !text.split(' ').all(|scope| !scope.is_empty() && scope.chars().all(is_scope)) {
        return walk.report.wrong(node, "this is not a scope (RFC 6749 §3.3)", "such as `read`");
    }
    Some(text)
}

/// `audience` (of an assertion it is a claim), `resource`, and whatever else the server wants.
fn parameters<'a>(
    walk: &mut Walk<'a>,
    fields: &Fields<'a>,
    grant: Option<&str>,
) -> Option<Vec<(String, Secret)>> {
    let mut parameters = Vec::new();
    let audience = fields.get("audience").filter(|_| grant != Some(JWT_BEARER));
    if let Some(audience) = audience.and_then(Node::text) {
        parameters.push((String::from("audience"), Secret::new(audience)));
    }
    let resources = fields.or("resource", Vec::new(), |node| walk.each(node, Walk::plain));
    let more = fields.or("params", Vec::new(), |node| walk.secret_parameters(node));
    let resources = resources?.into_iter();
    parameters.extend(resources.map(|one| (String::from("resource"), Secret::new(one))));
    parameters.extend(more?);
    Some(parameters)
}

/// A private key: the text of a PEM file, or the path of one. In a text, `\n` may stand for a line break, as it does in
/// what comes out of JSON files.
fn signer<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Signer> {
    let text = walk.text(node)?;
    walk.report.secret(node);
    let pem = if text.contains("-----BEGIN") {
        Secret::new(text.replace("\\n", "\n"))
    } else {
        Secret::new(walk.pem_file(node, "the private key", true)?)
    };
    if pem.expose().len() > TOKEN_BYTES_MAX {
        return walk.report.wrong(node, "this is longer than a private key is", "");
    }
    Signer::read(pem)
        .map_err(|flaw| {
            let sentence = format!("the private key cannot be used: {flaw}");
            let hint = "the path of a PEM file, or its text: `-----BEGIN PRIVATE KEY-----` …";
            walk.report.add(Finding::error(node.place, sentence).hint(hint));
        })
        .ok()
}
