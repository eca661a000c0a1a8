//! One source `s` over an API that answers what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::watch;
use url::Url;

use crate::clock::{Clock, Entropy, Random};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::ids::{EntryKey, ItemKey, SourceName, UnitName};
use crate::core::report::{Mode, PollReport};
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::core::snapshot::StoredItem;
use crate::core::source::SourceState;
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::poller::gate::Gate;
use crate::poller::hold::Decision;
use crate::poller::{Poller, Ports};
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::store::{EventFilter, PollCommit, Slice, Write};
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

const EPOCH: i64 = 1_800_000_000_000;

/// The poller, and all that is around it.
pub(super) struct Desk {
    poller: Arc<Poller>,
    store: StoreHandle,
    api: Arc<Script>,
    clock: Arc<Hands>,
    roster: watch::Sender<Arc<Roster>>,
    full: Arc<AtomicBool>,
    retained: watch::Sender<Timestamp>,
}

/// What the API answers, and what it was asked.
#[derive(Default)]
struct Script {
    next: Mutex<VecDeque<Response>>,
    /// By path, whatever comes next.
    places: Mutex<BTreeMap<String, u16>>,
    asked: Mutex<Vec<String>>,
    /// Instead of all that.
    server: Mutex<Option<Server>>,
}

/// Answers a request for an address.
pub(super) type Server = Box<dyn Fn(&Url) -> Response + Send>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpClient for Script {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let path = request.url.path().to_owned();
        let query = request.url.query().map_or_else(String::new, |query| format!("?{query}"));
        locked(&self.asked).push(format!("{path}{query}"));
        let fixed = locked(&self.places).get(&path).copied();
        let server = locked(&self.server);
        let answer = match (fixed, server.as_ref()) {
            (Some(code), _) => Some(status(code)),
            (None, Some(server)) => Some(server(&request.url)),
            (None, None) => locked(&self.next).pop_front(),
        };
        drop(server);
        let nobody = || TransportFault::Connect { detail: String::from("nobody is there") };
        Box::pin(async move { answer.ok_or_else(nobody) })
    }
}

/// A clock that stands still.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// An answer without a body.
pub(super) fn status(status: u16) -> Response {
    Response { status, headers: HeaderMap::new(), body: Bytes::new() }
}

/// A JSON text as an answer.
pub(super) fn text(text: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Response { status: 200, headers, body: Bytes::from(text.to_owned()) }
}

/// The same with one more header.
pub(super) fn with(mut response: Response, name: &'static str, value: &str) -> Response {
    let value = HeaderValue::from_str(value).expect("a header's value");
    response.headers.insert(HeaderName::from_static(name), value);
    response
}

/// `1:a 2:b@03:00` as a listing: ids, values, and times of one day.
pub(super) fn listing(items: &str) -> String {
    let item = |word: &str| {
        let (word, at) = word.split_once('@').map_or((word, None), |(word, at)| (word, Some(at)));
        let (id, value) = word.split_once(':').unwrap_or((word, "a"));
        let at = at.map_or_else(String::new, |at| format!(r#","at":"2026-11-21T{at}:00Z""#));
        format!(r#"{{"id":{id},"v":"{value}"{at}}}"#)
    };
    let items: Vec<_> = items.split_whitespace().map(item).collect();
    format!("[{}]", items.join(","))
}

fn roster(keys: &str) -> Arc<Roster> {
    let text = format!("sources:\n  s: {{ url: 'http://api.example/list', every: 1m, {keys} }}\n");
    let config =
        config::load_text(&text, &Surroundings).unwrap_or_else(|it| panic!("{it}\n{text}"));
    Arc::new(Roster::new(config.sources, config.endpoints))
}

impl Desk {
    /// With these keys beside the source's URL.
    pub(super) fn new(keys: &str) -> Self {
        let api = Arc::new(Script::default());
        let clock = Arc::new(Hands(AtomicI64::new(EPOCH)));
        let memory = MemoryStore::default();
        let full = memory.full();
        let store = StoreHandle::inline(Box::new(memory));
        let (sender, declared) = watch::channel(roster(keys));
        let (retained, watched) = watch::channel(NOTHING_FORGOTTEN);
        let entropy = Arc::new(Random::seeded(7));
        let telemetry = Arc::new(Telemetry::new());
        let gate = Arc::new(Gate::new(
            Arc::clone(&api) as Arc<dyn HttpClient>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&entropy) as Arc<dyn Entropy>,
            Arc::clone(&telemetry),
            Wake::default(),
        ));
        let ports = Ports {
            store: store.clone(),
            // Not through the gate: polls by hand would wait there for a clock that stands still.
            http: Arc::clone(&api) as Arc<dyn HttpClient>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy,
            telemetry,
            gate,
            redactor: Redactor::default(),
            deliver: Wake::default(),
            retained: watched,
        };
        let poller = Poller::new(ports, declared, Wake::default());
        Self { poller, store, api, clock, roster: sender, full, retained }
    }

    /// With a list keyed by `.id`, and a baseline of these items.
    pub(super) async fn knowing(keys: &str, items: &str) -> Self {
        let desk = Self::new(&format!("key: .id, {keys}"));
        desk.expect(items, "").await;
        desk
    }

    /// Declares the source with other keys.
    pub(super) fn declare(&self, keys: &str) {
        self.roster.send_replace(roster(keys));
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).expect("a short time");
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// The clock was ahead.
    pub(super) fn turn_back(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).expect("a short time");
        self.clock.0.fetch_sub(millis, Ordering::Relaxed);
    }

    /// From now on what vanished so long ago, and did not ring, is forgotten.
    pub(super) fn retain(&self, time: Duration) {
        self.retained.send_replace(self.clock.now().before(time));
    }

    /// Answers requests for a path with a status from now on.
    pub(super) fn place(&self, path: &str, code: u16) {
        locked(&self.api.places).insert(path.to_owned(), code);
    }

    /// Has a server answer from now on.
    pub(super) fn serve(&self, server: Server) {
        *locked(&self.api.server) = Some(server);
    }

    /// What was asked since this was last called, without the host.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.api.asked))
    }

    /// Polls, with these answers for the next requests.
    pub(super) async fn answer(&self, answers: impl IntoIterator<Item = Response>) -> PollReport {
        locked(&self.api.next).extend(answers);
        let polled = self.poller.poll(&UnitName::new("s"), Mode::Commit).await;
        locked(&self.api.next).clear();
        polled.expect("the poll comes to an outcome")
    }

    /// Polls an entry, with these answers for the next requests.
    pub(super) async fn answer_entry(
        &self,
        entry: &str,
        answers: impl IntoIterator<Item = Response>,
    ) -> PollReport {
        locked(&self.api.next).extend(answers);
        let unit = UnitName::of(&SourceName::new("s"), &EntryKey::new(entry));
        let polled = self.poller.poll(&unit, Mode::Commit).await;
        locked(&self.api.next).clear();
        polled.expect("the poll comes to an outcome")
    }

    /// The `data` of the newest event.
    pub(super) async fn data(&self) -> Value {
        let slice = Slice { newest_first: true, rows_max: 1 };
        let read = self.store.read(move |store| store.events(&EventFilter::default(), slice));
        let events = read.await.expect("the store reads");
        let body = events.first().expect("an event").event.body.as_str().to_owned();
        let envelope: Value = serde_json::from_str(&body).expect("an envelope");
        envelope["data"].clone()
    }

    /// Polls a listing and compares what rings: `created 1, updated 2:b, deleted 3`, then `held 4` if so many are.
    #[track_caller]
    pub(super) fn expect<'a>(
        &'a self,
        items: &'a str,
        expected: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let report = self.answer([text(&listing(items))]).await;
            assert_ne!(report.outcome, "failed", "{items:?} at {place}: {:?}", report.fault);
            assert_eq!(story(&report), expected, "{items:?} at {place}: {:?}", report.fault);
        }
    }

    /// Polls if that is due, with these answers, as the loop does; says how long it is until the next poll.
    pub(super) async fn look(&self, answers: impl IntoIterator<Item = Response>) -> Duration {
        locked(&self.api.next).extend(answers);
        let planned = self.poller.poll_due(&UnitName::new("s")).await;
        locked(&self.api.next).clear();
        let due = planned.expect("the poll comes to an outcome").due.expect("there is a next poll");
        due.since(self.clock.now())
    }

    /// The disk is full, or no longer.
    pub(super) fn fill(&self, is_full: bool) {
        self.full.store(is_full, Ordering::Relaxed);
    }

    /// Somebody else moves the source's event numbers on.
    pub(super) async fn overtake(&self) {
        let (unit, state) = (UnitName::new("s"), self.state().await);
        let expected_seq = state.last_seq;
        let commit = PollCommit {
            unit,
            expected_seq,
            state: SourceState { last_seq: expected_seq + 1, ..state },
            upserts: Vec::new(),
            marks: Vec::new(),
            settling: Vec::new(),
            events: Vec::new(),
            at: self.clock.now(),
        };
        let written = self.store.write(Write::Poll(Box::new(commit))).await;
        assert!(written.is_ok_and(|answer| answer.is_ok()));
    }

    /// The source's state, as the store has it.
    pub(super) async fn state(&self) -> SourceState {
        let read = self.store.read(|store| store.source(&UnitName::new("s")));
        read.await.expect("the store reads").expect("it was polled")
    }

    /// Carries out a person's word; says on how many changes.
    pub(super) async fn decide(&self, decision: Decision) -> usize {
        self.poller.decide(&SourceName::new("s"), decision).await.expect("it is decided")
    }

    /// The types and keys of the newest events, the oldest of them first.
    pub(super) async fn newest(&self, count: usize) -> String {
        let slice = Slice { newest_first: true, rows_max: count };
        let read = self.store.read(move |store| store.events(&EventFilter::default(), slice));
        let mut events: Vec<_> = read.await.expect("the store reads");
        events.reverse();
        let told = events.iter().map(|record| {
            let kind = record.event.event_type.trim_start_matches("s.");
            format!("{kind} {}", record.event.key)
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// All items that are known, as the store has them.
    pub(super) async fn stored(&self) -> BTreeMap<ItemKey, StoredItem> {
        let unit = UnitName::new("s");
        let read = self.store.read(move |store| {
            let keys: Vec<_> =
                store.snapshot(&unit)?.iter().map(|(_, key, _)| ItemKey::new(key)).collect();
            store.items(&unit, &keys)
        });
        let items = read.await.expect("the store reads");
        items.into_iter().map(|item| (item.key.clone(), item)).collect()
    }
}

/// What a poll rang, in its order.
pub(super) fn story(report: &PollReport) -> String {
    let told = report.events.iter().map(|event| {
        let envelope: Value = serde_json::from_str(event.body.as_str()).expect("an envelope");
        let kind = event.event_type.strip_prefix("s.").unwrap_or(&event.event_type);
        match (kind, envelope["data"]["v"].as_str()) {
            ("updated", Some(value)) => format!("updated {}:{value}", event.key),
            _ => format!("{kind} {}", event.key),
        }
    });
    let held = (report.held > 0).then(|| format!("held {}", report.held));
    told.chain(held).collect::<Vec<_>>().join(", ")
}
