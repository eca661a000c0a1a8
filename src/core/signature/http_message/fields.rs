//! As much of structured fields (RFC 9651) as signatures are written in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The members of a dictionary, each with its value as it is written.
pub(super) fn members(text: &str) -> impl Iterator<Item = (&str, &str)> {
    split(text, ',').filter_map(|member| member.split_once('='))
}

/// The bytes of `:BASE64:`.
pub(super) fn bytes_of(value: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok()
}

/// What one signature says of itself: `("@method" …);created=1;keyid="…"`.
pub(super) struct Input<'a> {
    /// The names of the components, in order.
    pub(super) covered: Vec<&'a str>,
    /// Unix seconds, as they are written.
    pub(super) created: &'a str,
}

impl<'a> Input<'a> {
    /// Reads a member of `Signature-Input`. Components with parameters are not known here.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (covered, parameters) = text.strip_prefix('(')?.split_once(')')?;
        let name = |item: &'a str| item.strip_prefix('"')?.strip_suffix('"');
        let covered: Option<Vec<&str>> = covered.split_ascii_whitespace().map(name).collect();
        let created = split(parameters, ';').find_map(|it| it.strip_prefix("created="))?;
        Some(Self { covered: covered?, created })
    }
}

/// The parts between separators that stand in no quotes, without the blanks around them.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c: char| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => return c == separator && !is_quoted,
        }
        false
    })
    .map(str::trim)
}
