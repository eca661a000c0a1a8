//! What doorbell says of its receivers, once for each time that it happens. What becomes of these very events makes no
//! further ones: see [`Subject::is_about_it`](crate::core::delivery::Subject::is_about_it) and [`News::exhausted`].

use super::{OWN_SOURCE, said};
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::core::json;
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
    /// A delivery to it was given up.
    Exhausted(Box<Exhausted>),
}

/// A delivery that was given up.
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
}

impl News {
    /// That a delivery was given up; nothing if it was of an event by doorbell itself.
    pub(crate) fn exhausted(exhausted: Exhausted) -> Option<Self> {
        let is_own = exhausted.source.as_str() == OWN_SOURCE;
        (!is_own).then(|| Self::Exhausted(Box::new(exhausted)))
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
        let replay = format!("doorbell replay --endpoint {endpoint} --event {}", self.event);
        data.extend([
            ("key", json::text(self.key.as_str())),
            ("attempts", json::integer(self.attempts as usize)),
            ("reason", json::text(&self.reason)),
            ("replay", json::text(&replay)),
        ]);
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
