//! Names and identifiers. Each is its own type, so that a source can never be looked up by an endpoint's name.

use std::fmt;
use std::sync::Arc;

/// Declares a text identifier: ordered, hashable, printable, never interchangeable with another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident($text:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name($text);

        impl $name {
            /// Takes the text as it is; rules about its shape are checked where it is read.
            pub(crate) fn new(text: impl Into<String>) -> Self {
                Self(Into::<String>::into(text).into())
            }

            /// The text.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A source's name in the configuration.
    SourceName(Arc<str>)
);
text_id!(
    /// An endpoint's name in the configuration.
    EndpointName(String)
);
text_id!(
    /// What identifies an item across polls, always as text; empty for a single-object source.
    ItemKey(String)
);
text_id!(
    /// What identifies an entry of a source with `for_each`; empty stands for the source itself.
    EntryKey(String)
);
text_id!(
    /// What has a state and items of its own: a source, or one entry of it, written `SOURCE/ENTRY`. The names of
    /// sources hold no slash.
    UnitName(Arc<str>)
);

impl UnitName {
    /// The unit of an entry; an empty one stands for the source itself.
    pub(crate) fn of(source: &SourceName, entry: &EntryKey) -> Self {
        if entry.is_none() {
            return Self(Arc::clone(&source.0));
        }
        Self(format!("{source}/{entry}").into())
    }

    /// The source it belongs to.
    pub(crate) fn source(&self) -> SourceName {
        match self.0.split_once('/') {
            Some((source, _)) => SourceName::new(source),
            None => SourceName(Arc::clone(&self.0)),
        }
    }

    /// The entry it is; empty for a source itself.
    pub(crate) fn entry(&self) -> EntryKey {
        self.0.split_once('/').map_or_else(EntryKey::none, |(_, entry)| EntryKey::new(entry))
    }
}

impl From<&SourceName> for UnitName {
    fn from(source: &SourceName) -> Self {
        Self(Arc::clone(&source.0))
    }
}

impl EntryKey {
    /// The source itself.
    pub(crate) fn none() -> Self {
        Self(String::new())
    }

    /// Whether it stands for the source itself.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}
text_id!(
    /// A stable event identifier, `evt_` and 32 hexadecimal digits; derived, never drawn.
    EventId(String)
);

/// A delivery's number: rises with creation, unique in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DeliveryId(pub(crate) u64);

impl DeliveryId {
    /// Reads the printed form, `dlv_17`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("dlv_")?.parse().ok().map(Self)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "dlv_{}", self.0)
    }
}

/// An event's place in the order of all events of one state; the cursor of those who read events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct EventNo(pub(crate) u64);
