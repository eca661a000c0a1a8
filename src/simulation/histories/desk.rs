//! The API as a value, and the process that polls it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastrand::Rng;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::model::{End, Heard};
use super::paper::{self, Shown};
use super::story::{Breakage, Declaration, Deletes, Kind, Weather};
use crate::clock::{Clock, Entropy, Random};
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::ids::SourceName;
use crate::core::report::{Mode, PollReport};
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::poller::gate::Gate;
use crate::poller::hold::Decision;
use crate::poller::{Poller, Ports};
use crate::store::handle::StoreHandle;
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

/// The API: what it answers for each page of the poll to come.
#[derive(Default)]
pub(super) struct Desk {
    answers: Mutex<Vec<Answer>>,
    is_wrapped: AtomicBool,
    /// How many answers were 304.
    pub(super) confirmed: AtomicI64,
}

#[derive(Debug, Clone)]
enum Answer {
    Page { body: Bytes, is_tagged: bool, has_next: bool },
    Instead(Breakage, Bytes),
}

impl Desk {
    /// Prepares a poll: what it will hear.
    pub(super) fn prepare(
        &self,
        kind: Kind,
        truth: &[Shown],
        weather: Weather,
        seed: u64,
    ) -> Heard {
        let mut dice = Rng::with_seed(seed);
        let mut shown = truth.to_vec();
        dice.shuffle(&mut shown);
        if weather == Weather::Short {
            shown.retain(|_| dice.bool());
        }
        let mut first = shown.clone();
        let mut pages = Vec::new();
        if kind.is_paged && first.len() > 1 {
            pages.push(first.split_off(dice.usize(1..first.len())));
        }
        pages.insert(0, first);
        let keyless = (weather == Weather::Keyless).then(|| dice.usize(..pages.len()));
        let mut answers: Vec<_> = (0..)
            .zip(&pages)
            .map(|(at, items)| Answer::Page {
                body: paper::page(items, kind.is_wrapped, keyless == Some(at), &mut dice).into(),
                is_tagged: kind.is_tagged,
                has_next: at + 1 < pages.len(),
            })
            .collect();
        let mut end = if keyless.is_some() { End::Doubtful } else { End::Whole };
        if let Weather::Broken { at_second, how } = weather {
            let at = usize::from(at_second).min(pages.len() - 1);
            if let Answer::Page { body, .. } = &answers[at] {
                answers[at] = Answer::Instead(how, body.slice(..body.len() / 2));
            }
            shown = pages[..at].concat();
            end = End::Broken;
        }
        *self.answers.lock().unwrap() = answers;
        self.is_wrapped.store(kind.is_wrapped, Ordering::Relaxed);
        Heard { shown, end }
    }

    fn beyond(&self) -> Answer {
        let is_wrapped = self.is_wrapped.load(Ordering::Relaxed);
        let body = if is_wrapped { "{\"rows\":[]}" } else { "[]" };
        Answer::Page { body: Bytes::from(body), is_tagged: false, has_next: false }
    }

    fn answer(&self, request: &Request) -> Result<Response, TransportFault> {
        let page = request.url.query_pairs().find(|(name, _)| name == "page");
        let page: usize = page.map_or(0, |(_, page)| page.parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut status = 200;
        let answer = self.answers.lock().unwrap().get(page).cloned();
        // A page behind the last one, which was there when somebody last looked, is empty.
        let body = match answer.unwrap_or_else(|| self.beyond()) {
            Answer::Page { body, is_tagged, has_next } => {
                let mut hasher = DefaultHasher::new();
                body.hash(&mut hasher);
                let tag = HeaderValue::from_str(&format!("\"{:x}\"", hasher.finish())).unwrap();
                if has_next {
                    let next = format!("<{}&page={}>; rel=\"next\"", request.url, page + 1);
                    headers.insert(LINK, HeaderValue::from_str(&next).unwrap());
                }
                if is_tagged && request.headers.get(IF_NONE_MATCH) == Some(&tag) {
                    self.confirmed.fetch_add(1, Ordering::Relaxed);
                    status = 304;
                }
                if is_tagged {
                    headers.insert(ETAG, tag);
                }
                if status == 304 { Bytes::new() } else { body }
            }
            Answer::Instead(Breakage::Silence, _) => {
                return Err(TransportFault::Timeout {
                    phase: "waiting for the answer",
                    after: request.deadline,
                });
            }
            Answer::Instead(Breakage::Refused, body) => {
                status = 503;
                body
            }
            Answer::Instead(Breakage::Throttled, _) => {
                status = 429;
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                Bytes::new()
            }
            Answer::Instead(Breakage::WebPage, _) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
                Bytes::from("<!doctype html><title>Sign in</title>")
            }
            Answer::Instead(Breakage::CutOff, half) => half,
            Answer::Instead(Breakage::ErrorWith200, _) => {
                Bytes::from("{\"error\":\"token expired\"}")
            }
        };
        Ok(Response { status, headers, body })
    }
}

struct Client(Arc<Desk>);

impl HttpClient for Client {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move { self.0.answer(&request) })
    }
}

/// A second passes with every look.
#[derive(Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1000, Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// What a history's source is declared as.
pub(super) fn roster(kind: Kind, declaration: Declaration) -> Arc<Roster> {
    let Declaration { version, compares_notes, is_hasty } = declaration;
    let ignore = if compares_notes { ".seen" } else { "[.seen, .note]" };
    let every = if is_hasty { "1s" } else { "30s..15m" };
    let deletes = match kind.deletes {
        Deletes::Off => String::from("off"),
        Deletes::After(listings) => format!("{{ after: {listings} }}"),
        Deletes::Braked => String::from("{ brake: { count: 1, percent: 40 } }"),
    };
    let mut text = format!(
        "sources:\n  s:\n    url: https://api.example/?v={version}\n    key: .id\n    ignore: {ignore}\n    \
         every: {every}\n    deletes: {deletes}\n"
    );
    for (is_so, line) in [
        (kind.is_paged, "    pages: link\n"),
        (kind.is_wrapped, "    items: .rows\n"),
        (kind.emits, "    first_poll: emit\n"),
    ] {
        text.push_str(if is_so { line } else { "" });
    }
    let config = config::load_text(&text, &Surroundings)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Arc::new(Roster::new(config.sources, config.endpoints))
}

/// What outlives every process.
pub(super) struct World {
    pub(super) desk: Arc<Desk>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    telemetry: Arc<Telemetry>,
    retained: watch::Sender<Timestamp>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            desk: Arc::default(),
            clock: Arc::new(Ticks::default()),
            entropy: Arc::new(Random::seeded(1)),
            telemetry: Arc::new(Telemetry::new()),
            retained: watch::Sender::new(NOTHING_FORGOTTEN),
        }
    }

    /// What vanished up to now is forgotten.
    pub(super) fn forget(&self) {
        self.retained.send_replace(self.clock.now());
    }
}

/// One life of the process.
pub(super) struct Process {
    pub(super) store: StoreHandle,
    roster: watch::Sender<Arc<Roster>>,
    poller: Arc<Poller>,
}

impl Process {
    pub(super) fn start(world: &World, store: StoreHandle, declared: Arc<Roster>) -> Self {
        let (roster, declared) = watch::channel(declared);
        let gate = Arc::new(Gate::new(
            Arc::new(Client(Arc::clone(&world.desk))),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            Arc::clone(&world.telemetry),
            Wake::default(),
        ));
        let ports = Ports {
            store: store.clone(),
            // Not through the gate: polls by hand would wait there for a clock that stands still.
            http: Arc::new(Client(Arc::clone(&world.desk))),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            telemetry: Arc::clone(&world.telemetry),
            deliver: Wake::default(),
            gate,
            redactor: Redactor::default(),
            retained: world.retained.subscribe(),
        };
        Self { store, roster, poller: Poller::new(ports, declared, Wake::default()) }
    }

    pub(super) fn reload(&self, declared: Arc<Roster>) {
        self.roster.send_replace(declared);
    }

    pub(super) async fn poll(&self, mode: Mode) -> PollReport {
        self.poller.poll(&(&source()).into(), mode).await.unwrap()
    }

    pub(super) async fn decide(&self, release: bool) {
        let decision = if release { Decision::Release } else { Decision::Discard };
        self.poller.decide(&source(), decision).await.unwrap();
    }
}

fn source() -> SourceName {
    SourceName::new("s")
}
