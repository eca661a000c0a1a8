//! Every key of `sources.yaml`, declared once: what belongs under it, what it means, what stands in for it when it is
//! absent. The walk, its hints and the JSON Schema all read these tables.
//!
//! To add a key: a row here, a line in the reader of its map. To support one that is refused so far: turn its `later`
//! row into a `key` row.

mod changes;
mod credentials;
mod endpoint;

use crate::core::limits::{
    BUDGET_CONCURRENCY_MAX, ITEMS_MAX, PAGES_MAX, REDIRECTS_MAX, WEIGHT_MAX,
};

pub(super) use self::changes::{BRAKE, DELETES, DELETES_WORDS, FIRST_POLL, OFF, SINCE};
pub(super) use self::credentials::{AUTH, AUTH_STYLE, BASIC, GRANTS, OAUTH2, TLS};
pub(super) use self::endpoint::{
    BREAKER, ENCODINGS, ENDPOINT, GITHUB, HTTP_MESSAGE, LAYOUTS, METHODS, ORDER, RETRY, SECRET,
    SHOPIFY, SIGN, SIGN_WORDS,
};

use self::Shape::{
    Address, Anything, Count, Duration, Either, Expression, Flag, Interval, List, Map, Named,
    NamedPart, OneOrList, Pairs, Part, Rate, Size, Text, Yes,
};

/// The keys of one map.
pub(super) type Table = &'static [Key];

/// The words of one key.
pub(super) type Words = &'static [Word];

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// One line, for editors.
    pub(super) doc: &'static str,
    /// As it could be typed; empty for none.
    pub(super) default: &'static str,
    /// As it could be typed; empty for none.
    pub(super) example: &'static str,
    pub(super) required: bool,
    /// Whether what stands here is hidden wherever the text is shown.
    pub(super) secret: bool,
    /// Keys of the contract that this version refuses.
    pub(super) supported: bool,
    /// Whether several sources cannot share it.
    pub(super) own: bool,
}

/// What belongs under a key.
#[derive(Debug)]
pub(super) enum Shape {
    /// Any text; numbers are taken as they were typed.
    Text,
    /// A URL to ask.
    Address,
    /// A URL to ring, `stdout:` or `file:`; its path may be a secret.
    Receiver,
    /// `30s`
    Duration,
    /// `30s` or `30s..15m`
    Interval,
    /// `8MiB`
    Size,
    /// `5000/h`
    Rate,
    /// A whole number within bounds.
    Count { min: usize, max: usize },
    /// `true`, nothing else.
    Yes,
    /// `true` or `false`.
    Flag,
    /// jq.
    Expression,
    /// One of these words.
    Word(Words),
    /// Any value at all.
    Anything,
    /// A map or list of anything, sent as JSON with templates in its texts.
    Tree,
    /// A list.
    List(&'static Shape),
    /// One value, or a list of them.
    OneOrList(&'static Shape),
    /// A map with these keys.
    Map(Table),
    /// A map with any of these keys that can be shared; none is required.
    Part(Table),
    /// Names of the person's own choice, each with a map of these keys.
    Named(Table),
    /// Names of the person's own choice, each with such a map as [`Shape::Part`].
    NamedPart(Table),
    /// Names of the person's own choice, each with a scalar, or also with a list of scalars.
    Pairs { lists: bool },
    /// Any of these, told apart by the kind of value.
    Either(&'static [Shape]),
}

/// A word with a meaning.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) supported: bool,
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    let (default, example) = ("", "");
    let (required, secret, supported, own) = (false, false, true, false);
    Key { name, shape, doc, default, example, required, secret, supported, own }
}

/// A key of the contract that is refused for now.
const fn later(name: &'static str) -> Key {
    Key { supported: false, ..key(name, Shape::Anything, "") }
}

const fn word(text: &'static str) -> Word {
    Word { text, supported: true }
}

/// A word of the contract that is refused for now.
const fn later_word(text: &'static str) -> Word {
    Word { text, supported: false }
}

impl Key {
    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
    const fn own(self) -> Self {
        Self { own: true, ..self }
    }
}

/// The top level.
pub(super) static TOP: Table = &[
    key("server", Map(SERVER), "The daemon's own address: dashboard, API, metrics."),
    key(
        "include",
        OneOrList(&Text),
        "More files of the same shape; `*` in the file name matches any text.",
    )
    .example("sources.d/*.yaml"),
    key(
        "retention",
        Map(RETENTION),
        "How long events, deliveries and attempts are kept; what was not delivered by then is given up.",
    )
    .default("{for: 30d, size: 10GiB}"),
    key("defaults", Part(SOURCE), "What holds for every source that does not say otherwise.")
        .example("{every: 1m}"),
    key("apis", NamedPart(SOURCE), "What the sources of one API share, by names of your choice."),
    key("sources", Named(SOURCE), "The APIs to poll, by names of your choice."),
    key("endpoints", Named(ENDPOINT), "The receivers to ring, by names of your choice."),
];

/// `server`.
pub(super) static SERVER: Table = &[
    key("listen", Text, "ADDRESS:PORT, `unix:PATH` or `off`.")
        .default("127.0.0.1:8600")
        .example("unix:/run/doorbell/api.sock"),
    key(
        "token",
        Text,
        "What callers of the API must show; required for anything but loopback or a unix socket.",
    )
    .example("${DOORBELL_TOKEN}")
    .secret(),
    key(
        "reload",
        Shape::Word(RELOAD),
        "`watch`: read everything again when a file changes, too; SIGHUP always does.",
    )
    .default("off")
    .example("watch"),
];

/// `reload` of `server`.
pub(super) static RELOAD: Words = &[word("watch"), word("off")];

/// `retention`.
pub(super) static RETENTION: Table = &[
    key("for", Duration, "Since an event was detected and its last delivery settled.")
        .default("30d"),
    key("size", Size, "In the state's file, beside what is known of items; the oldest goes first.")
        .default("10GiB"),
];

/// One of `sources`.
pub(super) static SOURCE: Table = &[
    key(
        "url",
        Address,
        "What to ask, `https://`, `http://` or `file:PATH`; its path and query may hold `{{ jq }}`.",
    )
    .example("https://helpdesk.example/api/v1/tickets")
    .required(),
    key("method", Text, "The HTTP method.").default("GET").example("POST"),
    key(
        "query",
        Pairs { lists: true },
        "Parameters added to the URL, with `{{ jq }}`; a list repeats one, null leaves it out.",
    )
    .example("{status: new, page: 1}")
    .secret(),
    key("headers", Pairs { lists: false }, "Headers of every request, with `{{ jq }}`.")
        .example("{Accept: application/json}")
        .secret(),
    key("body", Anything, "A text is sent as it is, anything else as JSON; with `{{ jq }}`.")
        .example("{status: new}")
        .secret(),
    key("auth", Map(AUTH), "Credentials.").example("{bearer: \"${HELPDESK_TOKEN}\"}").secret(),
    key("tls", Map(TLS), "Whom to trust, and a client certificate: PEM files.")
        .example("{ca: internal-ca.pem}"),
    key("proxy", Address, "An HTTP proxy to go through; proxies of the environment are not used.")
        .example("http://proxy.example:3128"),
    key("timeout", Duration, "For one whole answer.").default("30s"),
    key("max_body", Size, "The longest answer, after decompression.").default("32MiB"),
    key(
        "redirects",
        Count { min: 0, max: REDIRECTS_MAX },
        "Redirects that are followed; credentials are dropped when one leaves the origin.",
    )
    .default("0")
    .example("3"),
    key(
        "format",
        Either(&[Shape::Word(FORMATS), Map(FORMAT)]),
        "What answers are written in; absent = what their Content-Type says, else JSON.",
    )
    .example("{csv: {delimiter: \";\"}}"),
    key(
        "fail_when",
        Expression,
        "jq over the body: true makes it a failed poll, whatever the status; a text is also the reason.",
    )
    .example("'.error // false'"),
    key("every", Interval, "How often to ask: adaptive between the two, or fixed with one value.")
        .default("30s..15m")
        .example("5m"),
    key(
        "cron",
        Text,
        "Instead of `every`: minute, hour, day, month, weekday, and a time zone (UTC without one).",
    )
    .example("\"0 2 * * * Europe/Berlin\""),
    key("backoff", Map(BACKOFF), "Delays after failed polls, full jitter.")
        .default("{first: 1s, max: 15m}"),
    key("api", Text, "The block of `apis` whose keys hold where the source says nothing."),
    key(
        "limit",
        OneOrList(&Either(&[Rate, Map(RATE)])),
        "The most requests; several all hold. In `apis`, for all sources of that API together.",
    )
    .example("[5000/h, 20/s]"),
    key(
        "concurrency",
        Count { min: 1, max: BUDGET_CONCURRENCY_MAX },
        "The most requests at once. In `apis`, for all sources of that API together.",
    )
    .example("4"),
    key("weight", Count { min: 1, max: WEIGHT_MAX }, "Importance relative to others that share a limit.")
        .default("1")
        .example("4"),
    key("paused", Flag, "Whether its state is kept and nothing is asked.")
        .default("false")
        .example("true"),
    key("items", Expression, "jq: where the list is; absent = the document itself.")
        .example(".tickets"),
    key("where", Expression, "jq over an item: where it is false, the item is not watched.")
        .example(".status != \"draft\""),
    key(
        "key",
        OneOrList(&Expression),
        "jq: what identifies an item; several make a composite. Required for lists.",
    )
    .example("[.project, .id]"),
    key("ignore", OneOrList(&Expression), "Paths that are not compared, but still delivered.")
        .example("[.last_viewed_at]"),
    key("compare", Expression, "jq over an item: what is compared; absent = the whole item.")
        .example("\"{status, tags: (.tags | sort)}\""),
    key(
        "pages",
        Either(&[Shape::Word(PAGES_WORDS), Map(PAGES)]),
        "How a listing goes on; absent = one page.",
    )
    .example("link"),
    key("since", Map(SINCE), "Asks for what changed only.")
        .example("{param: updated_since, from: .updated_at, overlap: 2m}"),
    key(
        "sweep",
        Either(&[Shape::Word(OFF), Duration]),
        "With `since`: how often to list everything, to see deletes.",
    ),
    key(
        "deletes",
        Either(&[Shape::Word(DELETES_WORDS), Map(DELETES)]),
        "When an item that is no longer listed counts as deleted.",
    )
    .default("{after: 2, brake: {count: 50, percent: 20}}")
    .example("off"),
    key("deleted_when", Expression, "jq over a listed item: true says that it was deleted.")
        .example(".deleted"),
    key(
        "first_poll",
        Shape::Word(FIRST_POLL),
        "What is found first: known silently, or rung as created.",
    )
    .default("baseline")
    .example("emit"),
    key(
        "flood",
        Count { min: 0, max: ITEMS_MAX },
        "More created items than this in one poll are held for a person.",
    )
    .default("1000"),
    key("settle", Count { min: 0, max: 1_000_000 }, "Polls a new value must last before it rings.")
        .default("0")
        .example("2"),
    key("silent_after", Duration, "No change for this long is news: `doorbell.source.silent`.")
        .example("1d"),
    key(
        "for_each",
        Either(&[Shape::Word(FOR_EACH_WORDS), List(&Anything), Map(FOR_EACH)]),
        "One poll for each of these; `{{key}}` and `{{item}}` are at hand in templates.",
    )
    .example("[EU123, EU456]"),
    key("until", Expression, "jq over the item: true ends an entry, after its last event.")
        .example(".status == \"delivered\""),
    key("changed_at", Expression, "jq over an item: when it changed; warms up the schedule.")
        .example(".updated_at"),
    key("was", Text, "The source's former name: keeps its state when it is renamed.")
        .example("tickets")
        .own(),
    key(
        "events",
        List(&Either(&[Shape::Word(RULE_WORDS), Map(RULE)])),
        "Which events a change makes; absent = NAME.created, NAME.updated, NAME.deleted.",
    )
    .example("[default, {type: ticket.status_changed, on: updated, changed: .status}]"),
];

/// `for_each` of a source, as a word.
pub(super) static FOR_EACH_WORDS: Words = &[later_word("api")];

/// `for_each` of a source, as a map.
pub(super) static FOR_EACH: Table = &[
    key("list", List(&Anything), "The entries.").example("[{id: 1}, {id: 2}]"),
    key("key", Expression, "jq over an entry of the list: what identifies it.").example(".id"),
    key("source", Text, "The source whose items are the entries.").example("orders"),
    key("where", Expression, "jq over such an item: only those for which it is true.")
        .example(".shipped"),
    later("api"),
];

/// `format` of a source, as a word.
pub(super) static FORMATS: Words =
    &[word("json"), word("ndjson"), word("xml"), word("feed"), word("csv")];

/// `format` of a source, as a map.
pub(super) static FORMAT: Table =
    &[key("csv", Map(CSV), "Rows of texts (RFC 4180); each is an object.").required()];

/// `format: {csv: …}`.
pub(super) static CSV: Table = &[
    key("delimiter", Text, "What stands between fields: one ASCII character, or `tab`.")
        .default("\",\"")
        .example("\";\""),
    key(
        "header",
        Either(&[Flag, List(&Text)]),
        "The first row has the names; or there is none (`c1`, `c2`, …); or these are the names.",
    )
    .default("true")
    .example("[sku, price]"),
    key("encoding", Text, "The charset, where the answer does not say it.").example("windows-1252"),
];

/// One of `limit` of a source, as a map.
pub(super) static RATE: Table = &[
    key("rate", Rate, "How fast the bucket is filled.").example("2/s").required(),
    key("burst", Count { min: 1, max: 1_000_000 }, "How many requests it holds.").example("40"),
];

/// `backoff` of a source.
pub(super) static BACKOFF: Table = &[
    key("first", Duration, "The bound of the first delay.").default("1s"),
    key("max", Duration, "The bound of every delay.").default("15m"),
];

/// `pages` of a source, as a word.
pub(super) static PAGES_WORDS: Words = &[word("link")];

/// `pages` of a source, as a map.
pub(super) static PAGES: Table = &[
    key("link", Yes, "RFC 8288 `Link: <…>; rel=\"next\"`."),
    key(
        "next",
        Expression,
        "jq over `{status, headers, body}`: its output is `{{page}}` of the next request; null ends.",
    )
    .example("'.body.data.issues.pageInfo | if .hasNextPage then .endCursor else null end'"),
    key(
        "next_url",
        Expression,
        "jq over the body: the URL of the next page, perhaps relative; null, false or \"\" ends.",
    )
    .example(".links.next"),
    key("cursor", Expression, "jq over the body: a token for `param`; null, false or \"\" ends.")
        .example(".meta.next_cursor"),
    key("param", Text, "With `cursor`: the query parameter that takes the token.").example("cursor"),
    key("page", Text, "The query parameter that takes the number of the page.").example("page"),
    key(
        "start",
        Count { min: 0, max: usize::MAX },
        "With `page` or `offset`: the first number; absent = 1 for pages, 0 for items.",
    )
    .example("0"),
    key("size", Pairs { lists: false }, "With `page`: the parameter for the size of a page.")
        .example("{per_page: 100}"),
    key(
        "last",
        Expression,
        "With `page`, jq over the body: the number of the last page, or whether this is it; absent = an empty page ends.",
    )
    .example(".total_pages"),
    key(
        "offset",
        Text,
        "The query parameter that takes the number of the first item: those that came so far.",
    )
    .example("offset"),
    key("limit", Pairs { lists: false }, "With `offset`: the parameter for the size of a page.")
        .example("{limit: 100}"),
    key(
        "total",
        Expression,
        "With `offset`, jq over the body: how many items there are; absent = an empty page ends.",
    )
    .example(".total"),
    key("max", Count { min: 1, max: PAGES_MAX }, "The most pages of one poll.").default("10000"),
];

/// Words among the `events` of a source.
pub(super) static RULE_WORDS: Words = &[word("default")];

/// One of `events` of a source.
pub(super) static RULE: Table = &[
    key("type", Text, "The event's type.").example("ticket.status_changed").required(),
    key("on", OneOrList(&Shape::Word(CHANGES)), "Which kinds of change.")
        .default("[created, updated, deleted]")
        .example("updated"),
    key(
        "changed",
        OneOrList(&Expression),
        "jq over the item: for updates, at least one output differs.",
    )
    .example(".status"),
    key("when", Expression, "jq over `{before, after, changes, key, entry}`: must be true.")
        .example(".after.priority == \"urgent\""),
    key("data", Expression, "jq over the same: the event's `data` instead of the item.")
        .example("\"{id: .after.id}\""),
];

/// `on` of an event rule.
pub(super) static CHANGES: Words =
    &[word("created"), word("updated"), word("deleted"), word("ended")];

/// Every table, for what must hold of all keys.
pub(super) static TABLES: &[Table] = &[
    TOP,
    SERVER,
    RETENTION,
    SOURCE,
    FORMAT,
    CSV,
    AUTH,
    OAUTH2,
    BASIC,
    TLS,
    BACKOFF,
    PAGES,
    SINCE,
    DELETES,
    BRAKE,
    RULE,
    FOR_EACH,
    ENDPOINT,
    SECRET,
    SIGN,
    GITHUB,
    SHOPIFY,
    HTTP_MESSAGE,
    RETRY,
    BREAKER,
    RATE,
];

/// Whether text under a key of this name may hold a secret.
pub(super) fn is_secret(name: &str) -> bool {
    TABLES.iter().copied().flatten().any(|key| key.name == name && key.secret)
}

/// Whether text under a key of this name surely holds none.
pub(super) fn is_harmless(name: &str) -> bool {
    let known = TABLES.iter().copied().flatten().any(|key| key.name == name && key.supported);
    known && !is_secret(name)
}

impl Shape {
    /// What belongs here, for a sentence.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Text => String::from("text"),
            Self::Address | Self::Receiver => String::from("a URL"),
            Self::Duration => String::from("a duration such as `30s`"),
            Self::Interval => String::from("a duration such as `5m`, or two as in `30s..15m`"),
            Self::Size => String::from("a size such as `8MiB`"),
            Self::Rate => String::from("a rate such as `20/s`"),
            Self::Count { min, max: usize::MAX } => format!("a whole number from {min}"),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Yes => String::from("`true`"),
            Self::Flag => String::from("`true` or `false`"),
            Self::Expression => String::from("a jq expression such as `.id`"),
            Self::Word(words) => one_of(words),
            Self::Anything => String::from("a value"),
            Self::Tree => String::from("a map such as `{id: \"{{.data.id}}\"}`"),
            Self::List(_) => String::from("a list"),
            Self::OneOrList(shape) => format!("{}, or a list of such", shape.expected()),
            Self::Map(table) | Self::Part(table) => match table.iter().find(|key| key.supported) {
                Some(key) => format!("a map with keys such as `{}`", key.name),
                None => String::from("a map"),
            },
            Self::Named(_) | Self::NamedPart(_) => String::from("a map with names of your choice"),
            Self::Pairs { .. } => String::from("a map of `NAME: value`"),
            Self::Either(shapes) => {
                let mut each: Vec<_> = shapes.iter().map(Self::expected).collect();
                each.retain(|expected| !expected.is_empty());
                each.join(", or ")
            }
        }
    }
}

fn one_of(words: &[Word]) -> String {
    let quoted: Vec<_> =
        words.iter().filter(|word| word.supported).map(|word| format!("`{}`", word.text)).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => format!("the word {only}"),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
