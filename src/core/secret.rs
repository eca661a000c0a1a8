//! Text that must not be seen. Nothing prints it: no `Display`, a `Debug` that says only that something is there.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A credential or signing key. Wiped from memory when dropped; comparable, so that a reload can tell what changed.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// Takes the text into custody.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself: call this only where it is used.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

/// Compares without telling by its duration where two texts of one length differ.
pub(crate) fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0u8, |difference, (a, b)| difference | (a ^ b)) == 0
}
