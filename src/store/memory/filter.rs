//! What a listing of the reference model shows.

use crate::core::endpoint::glob_matches;
use crate::core::event::Event;
use crate::store::{EventFilter, Slice};

/// Whether an event matches a filter, its `after` aside.
pub(super) fn event_matches(filter: &EventFilter, event: &Event) -> bool {
    let EventFilter { after: _, event_type, source, entry, key, since, until } = filter;
    event_type.as_ref().is_none_or(|glob| glob_matches(glob, &event.event_type))
        && source.as_ref().is_none_or(|source| *source == event.source)
        && entry.as_ref().is_none_or(|entry| *entry == event.entry)
        && key.as_ref().is_none_or(|key| *key == event.key)
        && since.is_none_or(|since| event.at >= since)
        && until.is_none_or(|until| event.at < until)
}

pub(super) fn slice<T>(mut rows: Vec<T>, slice: Slice) -> Vec<T> {
    if slice.newest_first {
        rows.reverse();
    }
    rows.truncate(slice.rows_max);
    rows
}
