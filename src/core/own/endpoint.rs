//! What doorbell says of its receivers, once for each time that it happens. What becomes of these very events makes no
//! further ones: see [`Subject::is_about_it`](crate::core::delivery::Subject::is_about_it) and [`News::exhausted`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{OWN_SOURCE, said};
use crate::core::delivery::{NewEvent, fan_out};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::core::json;
use crate::core::roster::Roster;
use crate::core::time::Timestamp;

/// What there is to say of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Its breaker opened: what it is to get waits, and probes go on.
    Failing { since: Timestamp, failures: u32, probe_at: Timestamp, fault: Option<Fault> },
    /// It answered 410: what it is to get waits for a person.
    Disabled { at: Timestamp, fault: Option<Fault> },
    /// It accepts again, after it was told to be failing or disabled.
    Recovered { since: Timestamp, fault: Option<Fault> },
    /// A delivery to it was given up, or several at once.
    Exhausted(Box<Exhausted>),
}

/// A delivery that was given up; the oldest one, if several were at once and for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: EventId,
    pub(crate) event_type: String,
    pub(crate) source: SourceName,
    pub(crate) entry: EntryKey,
    pub(crate) key: ItemKey,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
    /// How many were given up.
    pub(crate) count: u64,
    /// What they would have sent was removed with them: they cannot be sent again.
    pub(crate) is_emptied: bool,
}

/// What there is to say of deliveries that are given up at once, oldest first: one piece of news for each endpoint, however
/// many they are. What was to tell of doorbell itself does not count.
pub(crate) fn given_up_at_once(
    deliveries: impl IntoIterator<Item = (EndpointName, Exhausted)>,
) -> Vec<(EndpointName, News)> {
    let mut by_endpoint: BTreeMap<EndpointName, Exhausted> = BTreeMap::new();
    for (endpoint, exhausted) in deliveries.into_iter().filter(|(_, one)| !one.is_own()) {
        let count = exhausted.count;
        let oldest = by_endpoint.entry(endpoint).or_insert(Exhausted { count: 0, ..exhausted });
        oldest.count += count;
    }
    let news = |(endpoint, one)| (endpoint, News::Exhausted(Box::new(one)));
    by_endpoint.into_iter().map(news).collect()
}

impl News {
    /// That a delivery was given up; nothing if it was of an event by doorbell itself.
    pub(crate) fn exhausted(exhausted: Exhausted) -> Option<Self> {
        (!exhausted.is_own()).then(|| Self::Exhausted(Box::new(exhausted)))
    }

    /// The type of the event.
    pub(crate) fn event_type(&self) -> &'static str {
        match self {
            Self::Failing { .. } => "doorbell.endpoint.failing",
            Self::Disabled { .. } => "doorbell.endpoint.disabled",
            Self::Recovered { .. } => "doorbell.endpoint.recovered",
            Self::Exhausted(_) => "doorbell.delivery.exhausted",
        }
    }

    fn data(&self, endpoint: &EndpointName) -> Vec<(&'static str, json::Value)> {
        let time = |at: &Timestamp| json::text(&at.to_rfc3339());
        let number = |count: u32| json::integer(count as usize);
        let resume = || ("resume", json::text(&format!("doorbell endpoints resume {endpoint}")));
        match self {
            Self::Failing { since, failures, probe_at, fault } => {
                let mut data =
                    vec![("failing_since", time(since)), ("failures", number(*failures))];
                data.extend(told(fault.as_ref()));
                data.extend([("next_probe", time(probe_at)), resume()]);
                data
            }
            Self::Disabled { at, fault } => {
                let mut data = vec![("disabled_at", time(at))];
                data.extend(told(fault.as_ref()));
                data.push(resume());
                data
            }
            Self::Recovered { since, fault } => {
                let mut data = vec![("failing_since", time(since))];
                data.extend(told(fault.as_ref()));
                data
            }
            Self::Exhausted(exhausted) => exhausted.data(endpoint),
        }
    }
}

impl Exhausted {
    fn is_own(&self) -> bool {
        self.source.as_str() == OWN_SOURCE
    }

    fn data(&self, endpoint: &EndpointName) -> Vec<(&'static str, json::Value)> {
        let mut data = vec![
            ("delivery", json::text(&self.delivery.to_string())),
            ("event", json::text(self.event.as_str())),
            ("type", json::text(&self.event_type)),
            ("source", json::text(self.source.as_str())),
        ];
        if !self.entry.is_none() {
            data.push(("entry", json::text(self.entry.as_str())));
        }
        data.extend([
            ("key", json::text(self.key.as_str())),
            ("attempts", json::integer(self.attempts as usize)),
            ("reason", json::text(&self.reason)),
            ("count", json::integer(usize::try_from(self.count).unwrap_or(usize::MAX))),
        ]);
        if !self.is_emptied {
            let which = match self.count {
                1 => format!("--event {}", self.event),
                _ => String::from("--status exhausted"),
            };
            let replay = format!("doorbell replay --endpoint {endpoint} {which}");
            data.push(("replay", json::text(&replay)));
        }
        data
    }
}

fn told(fault: Option<&Fault>) -> Vec<(&'static str, json::Value)> {
    let Some(fault) = fault else { return Vec::new() };
    vec![("fault", json::text(&fault.code)), ("sentence", json::text(&fault.sentence))]
}

/// The event that says so.
///
/// # Errors
/// None that can happen: what it says is JSON.
pub(crate) fn event(
    endpoint: &EndpointName,
    news: &News,
    at: Timestamp,
    seq: u64,
) -> Result<Event, Fault> {
    let about = (news.event_type(), endpoint.as_str(), &EntryKey::none());
    said(about, news.data(endpoint), (at, seq))
}

/// The events that say all of this, in its order, each with its deliveries. They are numbered from after `before`.
///
/// # Errors
/// As [`event`].
pub(crate) fn events<'a>(
    news: impl IntoIterator<Item = (&'a EndpointName, &'a News)>,
    roster: &Roster,
    at: Timestamp,
    before: u64,
) -> Result<Vec<NewEvent>, Fault> {
    let said = |((endpoint, news), seq)| {
        let event = event(endpoint, news, at, seq)?;
        Ok(fan_out(event, roster.endpoints.values().map(AsRef::as_ref)))
    };
    news.into_iter().zip(before + 1..).map(said).collect()
}
