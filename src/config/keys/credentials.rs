//! What proves who asks, and over which connections: `auth`, `tls`.

use super::Shape::{self, Address, Map, OneOrList, Pairs, Text};
use super::{Table, Words, key, word};

/// `auth` of a source.
pub(in crate::config) static AUTH: Table = &[
    key("bearer", Text, "`Authorization: Bearer …`").example("${HELPDESK_TOKEN}").secret(),
    key("basic", Map(BASIC), "User and password, RFC 7617.")
        .example("{user: doorbell, password: \"${HELPDESK_PASSWORD}\"}")
        .secret(),
    key("header", Pairs { lists: false }, "Headers that hold the credential.")
        .example("{X-Api-Key: \"${HELPDESK_KEY}\"}")
        .secret(),
    key("query", Pairs { lists: false }, "Query parameters that hold the credential.")
        .example("{api_key: \"${HELPDESK_KEY}\"}")
        .secret(),
    key("oauth2", Map(OAUTH2), "A token that is fetched, shared and renewed: RFC 6749, 7523.")
        .example(
            "{token_url: \"https://login.example/token\", client_id: doorbell, client_secret: \"${CLIENT_SECRET}\"}",
        )
        .secret(),
];

/// `auth: {oauth2: …}`.
pub(in crate::config) static OAUTH2: Table = &[
    key("token_url", Address, "The token endpoint.")
        .example("https://login.example/oauth2/token")
        .required(),
    key("grant", Shape::Word(GRANTS), "By what right a token is asked for.")
        .default("client_credentials")
        .example("refresh_token"),
    key("client_id", Text, "Who doorbell is to the server.").example("doorbell"),
    key("client_secret", Text, "What proves it; a public client has none.")
        .example("${CLIENT_SECRET}")
        .secret(),
    key(
        "auth_style",
        Shape::Word(AUTH_STYLE),
        "Where id and secret stand: in `Authorization: Basic` or among the parameters.",
    )
    .default("basic")
    .example("body"),
    key("scopes", OneOrList(&Text), "What the token shall be good for.").example("[read, offline]"),
    key("audience", Text, "Whom the token, or the assertion (default: `token_url`), is for.")
        .example("https://api.example/"),
    key("resource", OneOrList(&Text), "The `resource` parameter, RFC 8707.")
        .example("https://api.example/"),
    key("params", Pairs { lists: false }, "Further parameters of the token request.")
        .example("{account: acme}")
        .secret(),
    key(
        "refresh_token",
        Text,
        "With `grant: refresh_token`: the first one. When the server gives another, that one is kept in the state.",
    )
    .example("${REFRESH_TOKEN}")
    .secret(),
    key(
        "private_key",
        Text,
        "With `grant: jwt_bearer`: signs the assertion, RS256 or ES256. A PEM file's path or text.",
    )
    .example("helpdesk.key")
    .secret(),
    key("key_id", Text, "Which of the issuer's keys it is (`kid`).").example("2026-1"),
    key("issuer", Text, "Who asserts (`iss`); absent = `client_id`.").example("doorbell"),
    key("subject", Text, "On whose behalf (`sub`).").example("clerk@helpdesk.example"),
];

/// `grant` of `oauth2`.
pub(in crate::config) static GRANTS: Words =
    &[word("client_credentials"), word("refresh_token"), word("jwt_bearer")];

/// `auth_style` of `oauth2`.
pub(in crate::config) static AUTH_STYLE: Words = &[word("basic"), word("body")];

/// `tls` of a source. Paths are relative to the configuration file.
pub(in crate::config) static TLS: Table = &[
    key("ca", Text, "Certificates to trust, in the place of the system's.").example("ca.pem"),
    key("cert", Text, "The client certificate, then those up to its authority.")
        .example("client.pem"),
    key("key", Text, "Its private key.").example("client.key"),
];

/// `auth: {basic: …}`.
pub(in crate::config) static BASIC: Table = &[
    key("user", Text, "The user's name.").required().secret(),
    key("password", Text, "The password.").required().secret(),
];
