//! What a history is made of: what happens at the API, and what is asked of it.

use proptest::prelude::*;

/// How the id of each item may be spelled.
pub(super) const IDS: [&[&str]; 6] = [
    &["1", "1.0", "1e0", "10E-1"],
    &["\"b\"", "\"\\u0062\""],
    &["12345678901234567890", "12345678901234567890.0", "1234567890123456789e1"],
    &["\"é\"", "\"\\u00e9\""],
    &["1.5", "15e-1", "1.50"],
    &["\"x/y\"", "\"x\\/y\""],
];

/// The keys that those ids are in events.
pub(super) const KEYS: [&str; 6] = ["1", "b", "12345678901234567890", "é", "1.5", "x/y"];

/// Values that differ, each with its spellings. The last one is not written at all.
pub(super) const VALUES: [&[&str]; 16] = [
    &["1", "1.0", "1e0", "10e-1", "1.00E+0"],
    &["\"1\"", "\"\\u0031\""],
    &["9007199254740992", "9007199254740992.0", "9.007199254740992e15"],
    &["9007199254740993", "9007199254740993.00", "9007199254740993e0"],
    &["123456789012345678901234567890", "12345678901234567890123456789e1"],
    &["123456789012345678901234567891", "123456789012345678901234567891.0"],
    &["0.1", "1e-1", "0.10"],
    &["0.1000000000000000055511151231257827"],
    &["0", "-0", "0.0", "0e9"],
    &["null"],
    &["false"],
    &[
        "{\"a\":1,\"b\":[1,2]}",
        "{ \"b\" : [1.0, 2e0],\n\"a\":1}",
        "{\"\\u0061\":10e-1,\"b\":[1,2]}",
    ],
    &["{\"a\":1,\"b\":[2,1]}", "{\"b\":[2,1],\"a\":1}"],
    &["\"\"", " \"\" "],
    &["[]", "[ ]"],
    &[],
];

/// What an item says of itself, beside its id and what is never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    /// Among [`VALUES`].
    pub(super) value: usize,
    /// Compared only while the declaration says so.
    pub(super) note: usize,
}

/// What kind of source it is, for the whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) is_paged: bool,
    /// The list stands in an object, beside the time.
    pub(super) is_wrapped: bool,
    /// Answers carry an entity tag.
    pub(super) is_tagged: bool,
    /// The first poll rings.
    pub(super) emits: bool,
    pub(super) deletes: Deletes,
}

/// What becomes of items that are no longer listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Deletes {
    Off,
    /// After so many listings without it, and a brake that is never reached.
    After(u32),
    /// After two; more than one item, and more than 40 %, in one poll are held.
    Braked,
}

/// What may be declared otherwise in the middle of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Declaration {
    /// Another one is another identity.
    pub(super) version: u8,
    pub(super) compares_notes: bool,
    pub(super) is_hasty: bool,
}

/// What a poll meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Fine,
    /// An item has no key: the listing proves nothing about those that are not in it.
    Keyless,
    /// Some items are not listed this once, though nothing says so.
    Short,
    /// The first page, or the second if there is one, is this instead.
    Broken {
        at_second: bool,
        how: Breakage,
    },
}

/// What comes instead of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breakage {
    Refused,
    Throttled,
    WebPage,
    CutOff,
    Silence,
    ErrorWith200,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An item is made, changed, or taken away.
    Edit {
        item: usize,
        content: Option<Content>,
    },
    /// How everything is spelled and ordered is drawn from `dice`.
    Poll {
        weather: Weather,
        dice: u64,
        is_dry: bool,
    },
    /// The process ends, and begins anew.
    Restart,
    /// The configuration is read again: the other comparison, interval or identity.
    Ignore,
    Hurry,
    Redefine,
    /// A person lets held changes ring, or drops them.
    Release,
    Discard,
    /// So much time passes that nobody remembers what vanished without a word.
    Forget,
}

fn content() -> impl Strategy<Value = Content> {
    (0..VALUES.len(), 0..2_usize).prop_map(|(value, note)| Content { value, note })
}

fn weather() -> impl Strategy<Value = Weather> {
    let how = prop_oneof![
        Just(Breakage::Refused),
        Just(Breakage::Throttled),
        Just(Breakage::WebPage),
        Just(Breakage::CutOff),
        Just(Breakage::Silence),
        Just(Breakage::ErrorWith200),
    ];
    prop_oneof![
        8 => Just(Weather::Fine),
        1 => Just(Weather::Keyless),
        2 => Just(Weather::Short),
        2 => (any::<bool>(), how)
            .prop_map(|(at_second, how)| Weather::Broken { at_second, how }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let edit = (0..IDS.len(), proptest::option::weighted(0.65, content()))
        .prop_map(|(item, content)| Step::Edit { item, content });
    // Few throws, so that the very same answer comes again now and then.
    let poll = (weather(), 0..4_u64, proptest::bool::weighted(0.1))
        .prop_map(|(weather, dice, is_dry)| Step::Poll { weather, dice, is_dry });
    prop_oneof![
        24 => edit,
        24 => poll,
        3 => Just(Step::Restart),
        2 => Just(Step::Ignore),
        1 => Just(Step::Hurry),
        1 => Just(Step::Redefine),
        1 => Just(Step::Release),
        1 => Just(Step::Discard),
        3 => Just(Step::Forget),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let deletes = prop_oneof![
        1 => Just(Deletes::Off),
        3 => (1..4_u32).prop_map(Deletes::After),
        2 => Just(Deletes::Braked),
    ];
    (any::<[bool; 4]>(), deletes).prop_map(|([is_paged, is_wrapped, is_tagged, emits], deletes)| {
        Kind { is_paged, is_wrapped, is_tagged, emits, deletes }
    })
}

/// A kind of source, the items that are there from the start, and what happens.
pub(super) fn histories() -> impl Strategy<Value = (Kind, Vec<Option<Content>>, Vec<Step>)> {
    let first = proptest::collection::vec(proptest::option::of(content()), IDS.len());
    (kind(), first, proptest::collection::vec(step(), 1..18))
}
