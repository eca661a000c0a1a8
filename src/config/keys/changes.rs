//! What counts as a change: `since`, `sweep`, `deletes`, `first_poll`.

use super::Shape::{Address, Count, Duration, Expression, Map, Text};
use super::{Table, Words, key, word};

/// `since` of a source.
pub(in crate::config) static SINCE: Table = &[
    key("param", Text, "The query's parameter; or `{{since}}` in a template.")
        .example("updated_since"),
    key("from", Expression, "jq over an item: how far it is; the greatest one is asked for next.")
        .example(".updated_at"),
    key("token", Expression, "jq over the last page's body: what is sent back as it came.")
        .example(".next_sync_token"),
    key("overlap", Duration, "How much further back to ask.").default("0s").example("2m"),
    key("start", Text, "Used by the first poll and by sweeps; absent = they ask for everything.")
        .example("2026-01-01T00:00:00Z"),
    key("format", Text, "`rfc3339`, `unix`, `unix_ms`, `raw`, or an strftime pattern.")
        .default("rfc3339")
        .example("\"%Y-%m-%d %H:%M\""),
    key("zone", Text, "Of an strftime pattern.").default("UTC").example("Europe/Berlin"),
];

/// What switches something off.
pub(in crate::config) static OFF: Words = &[word("off")];

/// `deletes` of a source, as a word.
pub(in crate::config) static DELETES_WORDS: Words = &[word("off")];

/// `deletes` of a source, as a map.
pub(in crate::config) static DELETES: Table = &[
    key("after", Count { min: 1, max: 1_000_000 }, "Complete listings in a row without the item.")
        .default("2"),
    key("check", Address, "Asks for a missing item by itself: 404 or 410 prove that it is gone.")
        .example("\"https://helpdesk.example/api/v1/tickets/{{key}}\""),
    key(
        "brake",
        Map(BRAKE),
        "Deletions of one poll are held for a person when both limits are exceeded.",
    )
    .default("{count: 50, percent: 20}"),
];

/// `deletes: {brake: …}`.
pub(in crate::config) static BRAKE: Table = &[
    key("count", Count { min: 0, max: usize::MAX }, "More deletions than this.").default("50"),
    key("percent", Count { min: 0, max: 100 }, "More than this part of the items known.")
        .default("20"),
];

/// `first_poll` of a source.
pub(in crate::config) static FIRST_POLL: Words = &[word("baseline"), word("emit")];
