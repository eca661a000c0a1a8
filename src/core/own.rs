//! doorbell's own events: what it has to say of the sources it watches, and in [`endpoint`] of the receivers. They come from
//! a source that nobody declares.

pub(crate) mod endpoint;

use std::time::Duration;

use crate::core::diff::{Change, ChangeKind, Comparing, Side};
use crate::core::event::{Event, EventRule, EventRules, Occasion};
use crate::core::fault::{Fault, Retry};
use crate::core::ids::{EntryKey, ItemKey, SourceName};
use crate::core::json;
use crate::core::schedule::Schedule;
use crate::core::source::{Baseline, Source, SourceState};
use crate::core::time::{Timestamp, humane};

/// The source they come from.
pub(crate) const OWN_SOURCE: &str = "doorbell";

/// Failed polls in a row that are news: one is a blip, and the next one may go well.
const FAILING_AFTER: u32 = 3;
/// How long they have failed then at least: the first retries come soon.
const FAILING_FOR: Duration = Duration::from_mins(1);

/// What there is to say of a source.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// Nothing has changed for long.
    Silent { since: Timestamp },
    /// Its polls fail, and not by chance. `entry` is the first of its entries that does.
    Failing { fault: &'a Fault, since: Timestamp, entry: &'a EntryKey },
    /// Its polls go well again, those of all its entries.
    Recovered { fault: &'a Fault, since: Timestamp },
    /// Changes wait for a person.
    Held { held: Held, at: Timestamp, entry: &'a EntryKey },
}

/// Why changes of one poll are held, with how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Too many are new at once.
    pub(crate) flood: usize,
    /// Too many are gone at once.
    pub(crate) brake: usize,
    /// Gone, for whoever asks with other credentials than before.
    pub(crate) credentials: usize,
}

impl Held {
    /// All of them.
    pub(crate) fn count(self) -> usize {
        self.flood + self.brake + self.credentials
    }

    /// The words for why, in the order of this list.
    pub(crate) fn reasons(self) -> Vec<&'static str> {
        let all = [("flood", self.flood), ("brake", self.brake), ("credentials", self.credentials)];
        all.into_iter().filter(|(_, count)| *count > 0).map(|(word, _)| word).collect()
    }
}

/// The type of what says that changes are held.
pub(crate) const HELD: &str = "doorbell.source.held";

impl News<'_> {
    /// The type of the event.
    pub(crate) fn event_type(&self) -> &'static str {
        match self {
            Self::Silent { .. } => "doorbell.source.silent",
            Self::Failing { .. } => "doorbell.source.failing",
            Self::Recovered { .. } => "doorbell.source.recovered",
            Self::Held { .. } => HELD,
        }
    }

    fn data(&self, source: &Source) -> Vec<(&'static str, json::Value)> {
        let time = |at: &Timestamp| json::text(&at.to_rfc3339());
        let mut data = match self {
            Self::Silent { since } => {
                let period = source.silent_after.map_or_else(String::new, humane);
                vec![("silent_since", time(since)), ("silent_after", json::text(&period))]
            }
            Self::Failing { fault, since, .. } | Self::Recovered { fault, since } => vec![
                ("failing_since", time(since)),
                ("fault", json::text(&fault.code)),
                ("sentence", json::text(&fault.sentence)),
            ],
            Self::Held { held, at, .. } => vec![
                ("held_at", time(at)),
                ("count", json::integer(held.count())),
                ("why", json::array(held.reasons().into_iter().map(json::text).collect())),
                ("release", json::text(&format!("doorbell held release {}", source.name))),
                ("discard", json::text(&format!("doorbell held discard {}", source.name))),
            ],
        };
        if let Self::Failing { entry, .. } | Self::Held { entry, .. } = self
            && !entry.is_none()
        {
            data.push(("entry", json::text(entry.as_str())));
        }
        data
    }
}

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

    /// The failure that polls have been meeting and since when, if that is more than a blip: several in a row for a while, or one
    /// that no later poll will mend.
    pub(crate) fn failing(&self) -> Option<&(Fault, Timestamp)> {
        let failures = self.schedule.failures;
        let is_lasting = |since: Timestamp| {
            let lasts = self.last_poll.is_some_and(|last| last.since(since) >= FAILING_FOR);
            failures >= FAILING_AFTER && lasts
        };
        self.fault.as_deref().filter(|(fault, since)| {
            failures > 0 && (fault.retry == Retry::Never || is_lasting(*since))
        })
    }

    /// Of doorbell's own source, after so many events.
    pub(crate) fn own(last_seq: u64) -> Self {
        let epoch = Timestamp::from_millis(0);
        let schedule = Schedule { interval: Duration::ZERO, due: epoch, failures: 0 };
        Self { last_seq, ..Self::blank(Baseline::Taken { at: epoch }, schedule) }
    }
}

/// The event that says so. Told twice of the same, it has the same id.
///
/// # Errors
/// None that can happen: what it says is JSON.
pub(crate) fn event(
    (source, entry): (&Source, &EntryKey),
    news: &News<'_>,
    at: Timestamp,
    seq: u64,
) -> Result<Event, Fault> {
    said((news.event_type(), source.name.as_str(), entry), news.data(source), (at, seq))
}

/// An event of this type about whatever has this name.
fn said(
    (event_type, name, entry): (&str, &str, &EntryKey),
    data: Vec<(&'static str, json::Value)>,
    (at, seq): (Timestamp, u64),
) -> Result<Event, Fault> {
    let data = json::object(data);
    let rule = EventRule {
        event_type: event_type.to_owned(),
        on: vec![ChangeKind::Created],
        changed: Vec::new(),
        when: None,
        data: None,
    };
    let fault = |fault: json::JsonFault| Fault::us("event", fault.to_string());
    let text = json::compact(&data).map_err(fault)?;
    let comparing = Comparing { ignore: &[], compare: None, key: &[] };
    let side = Side::read(text.as_str(), comparing).map_err(fault)?;
    let change = Change::created(ItemKey::new(name), 1, side);
    let own = SourceName::new(OWN_SOURCE);
    let events = EventRules::Declared(vec![rule]).events_of(
        &change,
        Occasion { source: &own, entry, at },
        seq,
    )?;
    events.into_iter().next().ok_or_else(|| Fault::us("event", "a rule for creations makes none"))
}
