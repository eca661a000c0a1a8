//! Names and identifiers. Each is its own type, so that a source can never be looked up by an endpoint's name.

use std::fmt;

/// Declares a text identifier: ordered, hashable, printable, never interchangeable with another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(String);

        impl $name {
            /// Takes the text as it is; rules about its shape are checked where it is read.
            pub(crate) fn new(text: impl Into<String>) -> Self {
                Self(text.into())
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
    SourceName
);
text_id!(
    /// An endpoint's name in the configuration.
    EndpointName
);
text_id!(
    /// What identifies an item across polls, always as text; empty for a single-object source.
    ItemKey
);
text_id!(
    /// A stable event identifier, `evt_` and 32 hexadecimal digits; derived, never drawn.
    EventId
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
