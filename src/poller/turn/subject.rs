//! What a poll is made of.

use crate::core::ids::{EntryKey, UnitName};
use crate::core::source::Source;
use crate::core::template::Context;
use crate::poller::crew::Crew;

/// What is polled.
pub(in crate::poller) struct Subject<'a> {
    pub(in crate::poller) source: &'a Source,
    /// Under which its items are found: the unit, unless it was renamed and this poll keeps nothing.
    pub(in crate::poller) known_as: UnitName,
    pub(in crate::poller) unit: &'a UnitName,
    /// Empty for a source itself.
    pub(in crate::poller) entry: &'a EntryKey,
    /// What the templates of its requests have at hand.
    pub(in crate::poller) context: Context<'a>,
    /// What the entries of its source share.
    pub(in crate::poller) crew: Option<&'a Crew>,
}
