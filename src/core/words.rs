//! How numbers are written in sentences.

#[cfg(test)]
mod tests;

use std::fmt;

/// `1 event`, `2 events`; `1 delivery`, `2 deliveries`.
pub(crate) fn count<N: fmt::Display + Copy + PartialEq + From<u8>>(
    number: N,
    noun: &str,
) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match stem {
        _ if number == N::from(1) => format!("{number} {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}
