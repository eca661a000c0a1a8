//! Response body → items. A stub to be replaced.
use crate::core::fault::Fault;
use crate::core::ids::ItemKey;
use crate::core::jq::Expression;
use std::borrow::Cow;

/// What kind of document a source answers. A source whose answers change from one to the other is faulty, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    List,
    Object,
}

/// The items of one page, in the order they came.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<'a> {
    pub(crate) shape: Shape,
    pub(crate) items: Vec<Found<'a>>,
    /// Items that could not be used (no key, an error of `key`): each names its position. They make the listing partial.
    pub(crate) faults: Vec<Fault>,
}
/// One item as it came.
#[derive(Debug, PartialEq)]
pub(crate) struct Found<'a> {
    pub(crate) key: ItemKey,
    pub(crate) raw: Cow<'a, str>,
}

/// Finds the items of a page. `items` absent: the document itself. `key` empty: a single object with the empty key.
///
/// # Errors
/// A fault of the source when the body is not JSON, too deep, not UTF-8, holds no list where `items` says, or is a list without `key`.
pub(crate) fn page<'a>(
    body: &'a [u8],
    items: Option<&Expression>,
    key: &[Expression],
) -> Result<Page<'a>, Fault> {
    todo!()
}
