//! Small values for the store's tests.

use std::sync::Arc;
use std::time::Duration;

use crate::core::delivery::{NewDelivery, NewEvent, Verdict};
use crate::core::event::Event;
use crate::core::ids::{
    DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName, UnitName,
};
use crate::core::json::JsonText;
use crate::core::parts::Parts;
use crate::core::schedule::Schedule;
use crate::core::schedule::rate::Rate;
use crate::core::sink::content::Content;
use crate::core::snapshot::{Fingerprint, IndexEntry, RawHash, Settling, Standing, StoredItem};
use crate::core::source::{Baseline, Definition, Digests, SourceState};
use crate::core::time::Timestamp;
use crate::store::{Attempt, AttemptCommit, DueDelivery, PollCommit, Slice, Store, Write, Written};

/// Everything, oldest first.
pub(crate) const ALL: Slice = Slice { newest_first: false, rows_max: usize::MAX };

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::new(name)
}

/// A source, or an entry of one, `SOURCE/ENTRY`.
pub(crate) fn unit(name: &str) -> UnitName {
    UnitName::new(name)
}

pub(crate) fn endpoint(name: &str) -> EndpointName {
    EndpointName::new(name)
}

pub(crate) fn key(name: &str) -> ItemKey {
    ItemKey::new(name)
}

pub(crate) fn state(last_seq: u64) -> SourceState {
    SourceState {
        last_seq,
        digests: Arc::new(Digests {
            identity: Definition([1; 16]),
            comparison: Definition([2; 16]),
            parts: Parts::kept("url=00112233 ignore=44556677"),
        }),
        shape: None,
        baseline: Baseline::Due { silent: true },
        validator: None,
        body_hash: None,
        has_missing: false,
        watermark: None,
        sweep_due: None,
        silent: None,
        credentials: None,
        schedule: Schedule { interval: Duration::from_secs(30), due: at(30_000), failures: 0 },
        not_before: None,
        rate: Rate::new(at(1)),
        last_poll: None,
        last_success: None,
        last_change: None,
        fault: None,
        ended: None,
        left: None,
    }
}

pub(crate) fn item(name: &str, changes: u64, standing: Standing) -> StoredItem {
    let content = match standing {
        Standing::Deleted => String::new(),
        _ => format!(r#"{{"id":"{name}","changes":{changes}}}"#),
    };
    StoredItem {
        key: key(name),
        entry: IndexEntry {
            fingerprint: Fingerprint([u8::try_from(changes % 251).expect("below 251"); 32]),
            raw: RawHash(u64::MAX - changes),
            changes,
            standing,
        },
        data: JsonText::trusted(content),
    }
}

/// A value that was seen again in so many polls.
pub(crate) fn settles(polls: u32) -> Settling {
    Settling {
        fingerprint: Fingerprint([9; 32]),
        raw: RawHash(u64::MAX - 9),
        polls,
        data: JsonText::trusted(format!(r#"{{"polls":{polls}}}"#)),
    }
}

pub(crate) fn present(name: &str, changes: u64) -> StoredItem {
    item(name, changes, Standing::Present { missing: 0 })
}

pub(crate) fn event(source_name: &str, name: &str, seq: u64, millis: i64) -> Event {
    Event {
        id: EventId::new(format!("evt_{source_name}_{seq}")),
        event_type: format!("{source_name}.updated"),
        source: source(source_name),
        entry: EntryKey::none(),
        key: key(name),
        seq,
        at: at(millis),
        body: JsonText::trusted(format!(r#"{{"source":"{source_name}","seq":{seq}}}"#)),
    }
}

/// An event and where it goes.
pub(crate) fn news(event: Event, deliveries: &[(&str, Option<i64>)]) -> NewEvent {
    let deliveries = deliveries
        .iter()
        .map(|(name, lane)| NewDelivery {
            endpoint: endpoint(name),
            lane: *lane,
            content: Content::Envelope,
        })
        .collect();
    NewEvent { event, deliveries }
}

/// An event, and what each endpoint is sent of it.
pub(crate) fn news_with(event: Event, contents: &[(&str, Content)]) -> NewEvent {
    let deliveries = contents.iter().map(|(name, content)| NewDelivery {
        endpoint: endpoint(name),
        lane: None,
        content: content.clone(),
    });
    NewEvent { deliveries: deliveries.collect(), event }
}

/// A page that changes nothing but the state.
pub(crate) fn page(source_name: &str, expected_seq: u64, events: Vec<NewEvent>) -> PollCommit {
    let at = events.first().map_or(at(0), |new| new.event.at);
    PollCommit {
        unit: unit(source_name),
        expected_seq,
        state: state(expected_seq + events.len() as u64),
        upserts: Vec::new(),
        marks: Vec::new(),
        settling: Vec::new(),
        events,
        at,
    }
}

pub(crate) fn poll(commit: PollCommit) -> Write {
    Write::Poll(Box::new(commit))
}

/// A counted attempt.
pub(crate) fn tried(number: u32, millis: i64) -> Attempt {
    Attempt {
        number,
        at: at(millis),
        took: Duration::from_micros(1500),
        status: Some(200),
        fault: None,
        answer: String::from("ok"),
    }
}

pub(crate) fn settle(id: u64, attempt: Option<Attempt>, verdict: Verdict, millis: i64) -> Write {
    Write::Attempt(Box::new(AttemptCommit {
        delivery: DeliveryId(id),
        attempt,
        verdict,
        started: None,
        health: None,
        own: None,
        at: at(millis),
    }))
}

pub(crate) fn delivered(id: u64, number: u32, millis: i64) -> Write {
    settle(id, Some(tried(number, millis)), Verdict::Delivered, millis)
}

/// Applies one write that must not be refused.
pub(crate) fn done(store: &mut dyn Store, write: Write) -> Written {
    let answers = store.apply(&[write]).expect("the store works");
    let [answer]: [_; 1] = answers.try_into().expect("one answer for one write");
    answer.expect("the write is not refused")
}

/// Of a commit's answer: the first event's number and how many there are, and what is handed over.
pub(crate) fn events(written: Written) -> ((u64, u64), Vec<DueDelivery>) {
    match written {
        Written::Events { first, count, due } => ((first.0, count), due),
        other => panic!("events, not {other:?}"),
    }
}
