//! Faults: expected failures of the world, as data. They are stored, counted and shown; they never travel through `?`.

use std::fmt;

/// Whose fault it was. Only an endpoint's faults count against its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// The API that is polled.
    Source,
    /// The receiver.
    Endpoint,
    /// This process, its machine or its configuration.
    Us,
}

impl Whose {
    /// The word kept in the store and shown to people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Endpoint => "endpoint",
            Self::Us => "us",
        }
    }

    /// Reads [`Whose::as_str`] back.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Source, Self::Endpoint, Self::Us].into_iter().find(|whose| whose.as_str() == text)
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retry {
    /// Later, by the backoff.
    Later,
    /// Not by itself: a person or the other side has to change something. Sources are still asked again, slowly.
    Never,
}

/// One failure: whose, whether a retry helps, a stable code for machines and a sentence for people.
///
/// The sentence never holds a secret, a query string or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) whose: Whose,
    pub(crate) retry: Retry,
    /// Stable, lower case with underscores: `body_too_large`.
    pub(crate) code: String,
    pub(crate) sentence: String,
}

impl Fault {
    /// A fault of the polled API that a later poll may not meet again.
    pub(crate) fn source(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            whose: Whose::Source,
            retry: Retry::Later,
            code: code.to_owned(),
            sentence: sentence.into(),
        }
    }

    /// A fault of the receiver that a later attempt may not meet again.
    pub(crate) fn endpoint(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            whose: Whose::Endpoint,
            retry: Retry::Later,
            code: code.to_owned(),
            sentence: sentence.into(),
        }
    }

    /// A fault of ours.
    pub(crate) fn us(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            whose: Whose::Us,
            retry: Retry::Later,
            code: code.to_owned(),
            sentence: sentence.into(),
        }
    }

    /// The same fault, but trying again cannot help.
    #[must_use]
    pub(crate) fn final_(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.sentence, self.code)
    }
}
