//! One of `endpoints`: where events go, how they are signed, when they are tried again.

use super::Shape::{
    self, Address, Count, Duration, Either, Expression, Flag, Map, OneOrList, Pairs, Rate,
    Receiver, Text, Tree,
};
use super::credentials::{AUTH, TLS};
use super::{RATE, Table, Words, key, word};
use crate::core::limits::ENDPOINT_CONCURRENCY_MAX;

/// One of `endpoints`.
pub(in crate::config) static ENDPOINT: Table = &[
    key("url", Receiver, "`https://…`, `http://…`, `stdout:` or `file:PATH`, to whose end each event is added as a line.")
        .example("https://agent.example/webhook/new-ticket")
        .required(),
    key(
        "events",
        OneOrList(&Text),
        "The event types it wants; `*` matches any text. Absent = all but `doorbell.*`.",
    )
    .example("[ticket.*]"),
    key("where", Expression, "jq over the envelope: only events for which it is true.")
        .example(".data.priority == \"urgent\""),
    key(
        "secret",
        OneOrList(&Either(&[Text, Map(SECRET)])),
        "What signs; a list while rotating, newest first. Required for http(s), or `sign: none`.",
    )
    .example("${SUPPORT_AGENT_SECRET}")
    .secret(),
    key("sign", Either(&[Shape::Word(SIGN_WORDS), Map(SIGN)]), "The signature scheme.")
        .default("standard")
        .example("{header: X-Signature, prefix: sha256=}"),
    key("format", Shape::Word(LAYOUTS), "How an event is laid out.").default("standard").example("cloudevents"),
    key(
        "body",
        Either(&[Expression, Tree]),
        "What is sent in place of the envelope, or as the data of a CloudEvent: jq over it, or a map whose texts hold `{{ jq }}`.",
    )
    .example("{id: \"{{.data.id}}\", what: \"{{.type}}\"}")
    .secret(),
    key("auth", Map(AUTH), "Credentials that the receiver wants to be shown, beside the signature.")
        .example("{bearer: \"${AGENT_TOKEN}\"}")
        .secret(),
    key("method", Shape::Word(METHODS), "The HTTP method.").default("POST").example("PUT"),
    key("headers", Pairs { lists: false }, "Headers of every attempt.")
        .example("{X-Team: support}")
        .secret(),
    key(
        "content_type",
        Text,
        "The Content-Type. With one that is not JSON, a text that `body` gives is sent as it is.",
    )
    .default("application/json")
    .example("text/plain; charset=utf-8"),
    key("tls", Map(TLS), "Whom to trust, and a client certificate: PEM files.")
        .example("{ca: internal-ca.pem}"),
    key("timeout", Duration, "For one whole attempt.").default("15s"),
    key("order", Shape::Word(ORDER), "What waits for what.").default("item").example("endpoint"),
    key("retry", Map(RETRY), "When to try again, and when to give up.")
        .default("{first: 5s, max: 10h, for: 3d}"),
    key("breaker", Map(BREAKER), "When to leave a failing endpoint alone.")
        .default("{failures: 10, for: 60s}"),
    key("limit", OneOrList(&Either(&[Rate, Map(RATE)])), "The most requests; several all hold.")
        .example("[20/s, 30000/h]"),
    key("concurrency", Count { min: 1, max: ENDPOINT_CONCURRENCY_MAX }, "Requests in flight.")
        .default("8"),
    key("paused", Flag, "Whether its events wait."),
    key("was", Text, "The endpoint's former name: what waits under that one is its own.")
        .example("agent"),
    key("proxy", Address, "An HTTP proxy to go through; proxies of the environment are not used.")
        .example("http://proxy.example:3128"),
    key(
        "source_address",
        Text,
        "The address of this machine to send from, so that receivers can allow-list it.",
    )
    .example("203.0.113.7"),
];

/// `format` of an endpoint.
pub(in crate::config) static LAYOUTS: Words =
    &[word("standard"), word("cloudevents"), word("cloudevents-binary")];

/// `method` of an endpoint.
pub(in crate::config) static METHODS: Words = &[word("POST"), word("PUT"), word("PATCH")];

/// `sign` of an endpoint, as a word.
pub(in crate::config) static SIGN_WORDS: Words = &[
    word("standard"),
    word("standard-ed25519"),
    word("github"),
    word("stripe"),
    word("shopify"),
    word("slack"),
    word("http-message-signatures"),
    word("none"),
];

/// `sign` of an endpoint, as a map.
pub(in crate::config) static SIGN: Table = &[
    key("github", Map(GITHUB), "GitHub's headers, with fields.").example("{event: issues}"),
    key("shopify", Map(SHOPIFY), "Shopify's headers, with fields.")
        .example("{topic: orders/create, shop_domain: acme.myshopify.com}"),
    key("http-message-signatures", Map(HTTP_MESSAGE), "RFC 9421, with names.")
        .example("{keyid: doorbell-2026}"),
    key("header", Text, "The header that carries the signature.").example("X-Signature"),
    key("prefix", Text, "What stands before the digest.").example("sha256="),
    key("encoding", Shape::Word(ENCODINGS), "How the digest becomes text.").default("hex"),
    key("timestamp_header", Text, "With it, `TIMESTAMP.BODY` is signed instead of the body.")
        .example("X-Timestamp"),
];

/// One of several `secret`s.
pub(in crate::config) static SECRET: Table = &[
    key("secret", Text, "A secret that is going out of use.")
        .example("${OLD_SECRET}")
        .required()
        .secret(),
    key("until", Text, "When it stops signing: a day, at its beginning in UTC, or a time.")
        .example("2026-12-01")
        .required(),
];

/// `sign: {github: …}`.
pub(in crate::config) static GITHUB: Table = &[key(
    "event",
    Text,
    "The value of `X-GitHub-Event`, with `{{ jq }}` over the envelope; absent or null = the event's type.",
)
.example("issues")];

/// `sign: {shopify: …}`.
pub(in crate::config) static SHOPIFY: Table = &[
    key("topic", Text, "`X-Shopify-Topic`, with `{{ jq }}` over the envelope; absent = the event's type.")
        .example("orders/create"),
    key(
        "shop_domain",
        Text,
        "`X-Shopify-Shop-Domain`, with `{{ jq }}` over the envelope; absent = `SOURCE.myshopify.com`.",
    )
    .example("acme.myshopify.com"),
    key("api_version", Text, "`X-Shopify-API-Version`, with `{{ jq }}` over the envelope.")
        .default("unstable")
        .example("2026-10"),
];

/// `sign: {http-message-signatures: …}`.
pub(in crate::config) static HTTP_MESSAGE: Table = &[
    key("label", Text, "The label of the newest secret's signature; older ones get `-2`, `-3` after it.")
        .default("sig1")
        .example("doorbell"),
    key(
        "keyid",
        OneOrList(&Text),
        "The `keyid`, one for each secret; absent = the public key of a private one, else `doorbell`.",
    )
    .example("doorbell-2026"),
    key("tag", Text, "The `tag`, by which verifiers may choose among signatures.").example("doorbell"),
];

/// `encoding` of a signature.
pub(in crate::config) static ENCODINGS: Words = &[word("hex"), word("base64")];

/// `order` of an endpoint.
pub(in crate::config) static ORDER: Words = &[word("item"), word("endpoint"), word("none")];

/// `retry` of an endpoint.
pub(in crate::config) static RETRY: Table = &[
    key("first", Duration, "The bound of the first delay.").default("5s"),
    key("max", Duration, "The bound of every delay.").default("10h"),
    key("for", Duration, "How long a delivery is tried; stands still while the endpoint is paused or its breaker open.")
        .default("3d"),
];

/// `breaker` of an endpoint.
pub(in crate::config) static BREAKER: Table = &[
    key(
        "failures",
        Count { min: 1, max: 1_000_000 },
        "Failures in a row, over more than one item.",
    )
    .default("10"),
    key("for", Duration, "Without a success for that long.").default("60s"),
];
