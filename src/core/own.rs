//! doorbell's own events: what it has to say of the sources it watches. They come from a source that nobody declares.

use std::time::Duration;

use crate::core::diff::{Change, ChangeKind, Comparing, Side};
use crate::core::event::{Event, EventRule, EventRules, Occasion};
use crate::core::fault::Fault;
use crate::core::ids::{EntryKey, ItemKey, SourceName};
use crate::core::json;
use crate::core::schedule::Schedule;
use crate::core::source::{Baseline, Source, SourceState};
use crate::core::time::{Timestamp, humane};

/// The source they come from.
pub(crate) const OWN_SOURCE: &str = "doorbell";

/// Nothing of a source has changed for long.
const SILENT: &str = "doorbell.source.silent";

impl SourceState {
    /// Since when nothing has changed, if that is news at `now`: it has lasted for `silent_after`, and was not told yet.
    pub(crate) fn silence(&self, source: &Source, now: Timestamp) -> Option<Timestamp> {
        let since = match (self.last_change, self.baseline) {
            (Some(change), _) => change,
            (None, Baseline::Taken { at }) => at,
            (None, Baseline::Due { .. }) => return None,
        };
        let is_told = self.silent.is_some_and(|told| told >= since);
        let is_long = source.silent_after.is_some_and(|period| now.since(since) >= period);
        (is_long && !is_told).then_some(since)
    }

    /// Of doorbell's own source, after so many events.
    pub(crate) fn own(last_seq: u64) -> Self {
        let epoch = Timestamp::from_millis(0);
        let schedule = Schedule { interval: Duration::ZERO, due: epoch, failures: 0 };
        Self { last_seq, ..Self::blank(Baseline::Taken { at: epoch }, schedule) }
    }
}

/// The event that says that nothing of a source, or of an entry of it, has changed since then. Told twice of the same
/// silence, it has the same id.
///
/// # Errors
/// None that can happen: what it says is JSON.
pub(crate) fn silent(
    (source, entry): (&Source, &EntryKey),
    since: Timestamp,
    at: Timestamp,
    seq: u64,
) -> Result<Event, Fault> {
    let period = source.silent_after.map_or_else(String::new, humane);
    let data = json::object(vec![
        ("silent_since", json::text(&since.to_rfc3339())),
        ("silent_after", json::text(&period)),
    ]);
    let rule = EventRule {
        event_type: SILENT.to_owned(),
        on: vec![ChangeKind::Created],
        changed: Vec::new(),
        when: None,
        data: None,
    };
    let fault = |fault: json::JsonFault| Fault::us("event", fault.to_string());
    let text = json::compact(&data).map_err(fault)?;
    let comparing = Comparing { ignore: &[], compare: None, key: &[] };
    let side = Side::read(text.as_str(), comparing).map_err(fault)?;
    let change = Change::created(ItemKey::new(source.name.as_str()), 1, side);
    let own = SourceName::new(OWN_SOURCE);
    let events = EventRules::new(vec![rule]).events_of(
        &change,
        Occasion { source: &own, entry, at },
        seq,
    )?;
    events.into_iter().next().ok_or_else(|| Fault::us("event", "a rule for creations makes none"))
}
