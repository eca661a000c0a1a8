//! The receivers: they accept, refuse, hang, lose answers – and write down everything that reaches them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::answers;
use super::books::{Books, Fact};
use super::notes::Notes;
use super::plan::{EndpointPlan, Plan};
use crate::core::delivery::Breaker;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::limits::ENDPOINT_RETRY_AFTER_MAX;

const TOLERANCE_MS: u64 = 5;

/// How a receiver is just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
    Busy,
    LosesAnswers,
    Hung,
    Down,
    Gone,
}

/// What a receiver does with a request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) after: Duration,
    pub(super) result: Result<Response, TransportFault>,
    /// When the answer has arrived, for so long nothing is to be sent again.
    pub(super) quiet: Option<Duration>,
    pub(super) is_accepted: bool,
}

/// One receiver and its ledger.
#[derive(Debug)]
pub(super) struct Receiver {
    mood: Mood,
    until: u64,
    /// Was well when it was last looked at, since then.
    pub(super) well_since: u64,
    pub(super) in_flight: BTreeMap<(String, String), u32>,
    /// Event ids that a 2xx was given for, whether or not it arrived.
    pub(super) accepted: BTreeSet<String>,
    /// The bytes of every id.
    bodies: BTreeMap<String, Bytes>,
    /// Per item, or once for all, the number of the latest event that arrived.
    latest: BTreeMap<(String, String), u64>,
    /// Not to be sent before, by event id.
    pub(super) earliest: BTreeMap<String, u64>,
    /// Not to be sent before, because the receiver said so.
    pub(super) asked: BTreeMap<String, u64>,
    pub(super) arrivals: u64,
    /// The receiver as a whole, because it said so.
    pub(super) left_alone_until: u64,
    /// What it does for some time, whatever is drawn.
    staged: Option<(Mood, Range<u64>)>,
    /// From commit to the first arrival, for each event.
    pub(super) delays: Vec<u64>,
    /// When it last accepted what was made while it was staged to be away, since it was back.
    pub(super) caught_up: u64,
}

/// All receivers, by endpoint.
#[derive(Debug)]
pub(super) struct Receivers {
    pub(super) all: BTreeMap<&'static str, Receiver>,
    dice: Rng,
    /// Bad moods in an hour.
    trouble: u64,
    /// Nothing goes wrong but what is staged.
    pub(super) is_staged: bool,
}

impl Receivers {
    /// Draws a receiver for each endpoint.
    pub(super) fn draw(plan: &Plan, mut dice: Rng) -> Self {
        let trouble = [0, 4, 8, 16][dice.usize(..4)];
        let all = plan.endpoints.keys().map(|name| (*name, Receiver::new())).collect();
        Self { all, dice, trouble, is_staged: false }
    }

    /// Nothing is drawn any more: only what is staged goes wrong.
    pub(super) fn quieten(&mut self) {
        self.trouble = 0;
        self.is_staged = true;
    }

    /// Lets time go by: moods come and go.
    pub(super) fn pass(&mut self, tick: Duration, notes: &mut Notes) {
        for (name, receiver) in &mut self.all {
            if let Some((mood, span)) = &receiver.staged
                && span.contains(&notes.now)
                && !notes.is_calm
            {
                (receiver.mood, receiver.until) = (*mood, span.end);
                continue;
            }
            if receiver.mood != Mood::Well && (notes.is_calm || notes.now >= receiver.until) {
                receiver.mood = Mood::Well;
                receiver.well_since = notes.now;
                notes.line(&format!("receiver {name}: well again"));
            }
            #[expect(clippy::cast_possible_truncation, reason = "a tick is a part of a second")]
            let chance = tick.as_millis() as u64 * self.trouble;
            if notes.is_calm || receiver.mood != Mood::Well || self.dice.u64(..3_600_000) >= chance
            {
                continue;
            }
            let (mood, seconds) = match self.dice.u32(..14) {
                0..3 => (Mood::Failing, 10..120),
                3..5 => (Mood::Busy, 10..90),
                5..8 => (Mood::LosesAnswers, 10..120),
                8..10 => (Mood::Hung, 20..180),
                10..12 => (Mood::Down, 30..240),
                12 => (Mood::Down, 600..601),
                _ => (Mood::Gone, 20..60),
            };
            receiver.mood = mood;
            receiver.until = notes.now + self.dice.u64(seconds) * 1000;
            notes.line(&format!("receiver {name}: {mood:?} until {}", receiver.until));
        }
    }

    /// How long a request takes on its way.
    pub(super) fn way(&mut self) -> Duration {
        Duration::from_millis(self.dice.u64(2..60))
    }

    /// The process is gone: what it had not written down it may do again at once.
    pub(super) fn restart(&mut self, clock_moved: bool, books: &Books) {
        for (name, receiver) in &mut self.all {
            receiver.asked.clear();
            receiver.left_alone_until = books.held_until(name);
            if clock_moved {
                receiver.earliest.clear();
            }
        }
    }
}

impl Receiver {
    /// One that nothing has reached yet.
    pub(super) fn new() -> Self {
        Self {
            mood: Mood::Well,
            until: 0,
            well_since: 0,
            in_flight: BTreeMap::new(),
            accepted: BTreeSet::new(),
            bodies: BTreeMap::new(),
            latest: BTreeMap::new(),
            earliest: BTreeMap::new(),
            asked: BTreeMap::new(),
            arrivals: 0,
            left_alone_until: 0,
            staged: None,
            delays: Vec::new(),
            caught_up: 0,
        }
    }

    /// Takes requests and never answers, in this span.
    pub(super) fn hang(&mut self, span: Range<u64>) {
        self.staged = Some((Mood::Hung, span));
    }

    /// Refuses every connection, in this span.
    pub(super) fn go_down(&mut self, span: Range<u64>) {
        self.staged = Some((Mood::Down, span));
    }

    /// An event was accepted.
    pub(super) fn accept(&mut self, fact: &Fact, now: u64) {
        self.accepted.insert(fact.id.clone());
        if let Some((_, span)) = &self.staged
            && span.contains(&fact.at)
        {
            self.caught_up = now.saturating_sub(span.end).max(self.caught_up);
        }
    }

    /// Whether it accepts what it is sent.
    pub(super) fn is_well(&self) -> bool {
        self.mood == Mood::Well
    }

    /// An attempt begins: not more at once than allowed, not two of one item, not while the breaker is open.
    pub(super) fn begin(
        &mut self,
        fact: &Fact,
        endpoint: &EndpointPlan,
        books: &Books,
        notes: &mut Notes,
    ) {
        let name = endpoint.name;
        let under_way: u32 = self.in_flight.values().sum();
        notes.hold(
            (under_way as usize) < endpoint.concurrency,
            "no more attempts at once than allowed",
            || format!("{name}: {under_way} under way already"),
        );
        let beside = match endpoint.order {
            "item" => self.in_flight.get(&fact.item()).copied().unwrap_or(0),
            "endpoint" => under_way,
            _ => 0,
        };
        notes.hold(beside == 0, "one delivery per lane", || format!("{name}: {fact}"));
        // Started, though not yet sent, when another attempt moved it.
        let just_moved = notes.now <= books.moved(name) + TOLERANCE_MS;
        notes.hold(
            !books.is_paused(name) || just_moved,
            "a paused endpoint is sent nothing",
            || format!("{name}: {fact}"),
        );
        let until = self.left_alone_until;
        notes.hold(
            notes.now + TOLERANCE_MS >= until || just_moved,
            "a receiver is left alone for as long as it asked",
            || format!("{name}: {fact} not before {until} ms"),
        );
        match books.breaker(name) {
            _ if just_moved => {}
            Breaker::Disabled { .. } => notes.broken("a disabled endpoint is left alone", name),
            Breaker::Open { .. } => {
                notes.sometimes("breaker: probe");
                notes.hold(under_way == 0, "an open breaker lets one probe through", || {
                    format!("{name}: {under_way} under way already")
                });
                let probe_at = books.probe_at(name);
                notes.hold(
                    notes.now + TOLERANCE_MS >= probe_at,
                    "a probe waits for its time",
                    || format!("{name}: not before {probe_at} ms"),
                );
            }
            Breaker::Closed => {}
        }
        *self.in_flight.entry(fact.item()).or_default() += 1;
    }

    /// An attempt ended, one way or another.
    pub(super) fn end(&mut self, item: &(String, String)) {
        if let Some(count) = self.in_flight.get_mut(item) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(item);
            }
        }
    }

    /// A request arrived: it goes into the ledger, and must be allowed to be there.
    pub(super) fn arrive(
        &mut self,
        fact: &Fact,
        endpoint: &EndpointPlan,
        request: &Request,
        notes: &mut Notes,
    ) {
        let (name, id) = (endpoint.name, &fact.id);
        self.arrivals += 1;
        notes.line(&format!("arrive {name} {fact}"));
        let committed = fact.made.get(name).unwrap_or(&fact.body);
        notes.hold(request.body == committed, "an event's bytes never change", || {
            format!("{name}: {id} differs from what was committed")
        });
        if let Some(first) = self.bodies.get(id) {
            notes.sometimes("receiver: repeated");
            notes.hold(*first == request.body, "every repeat has the same bytes", || {
                format!("{name}: {id}")
            });
        } else {
            self.bodies.insert(id.clone(), request.body.clone());
            self.delays.push(notes.now.saturating_sub(fact.at));
        }
        let (until, asked) = (self.earliest.get(id), self.asked.get(id));
        for (promise, earliest) in
            [("a retry keeps to its schedule", until), ("a retry heeds Retry-After", asked)]
        {
            let earliest = earliest.copied().unwrap_or(0);
            notes.hold(notes.now + TOLERANCE_MS >= earliest, promise, || {
                format!("{name}: {fact} not before {earliest} ms")
            });
        }
        self.check_order(fact, endpoint, notes);
    }

    fn check_order(&mut self, fact: &Fact, endpoint: &EndpointPlan, notes: &mut Notes) {
        if fact.replayed.contains(endpoint.name) {
            return;
        }
        let (lane, number) = match endpoint.order {
            "item" => (fact.item(), fact.seq),
            "endpoint" => ((String::new(), String::new()), fact.no),
            _ => return,
        };
        let latest = self.latest.entry(lane).or_default();
        notes.hold(number >= *latest, "events arrive in order", || {
            format!("{}: {fact} after number {latest}", endpoint.name)
        });
        *latest = number.max(*latest);
    }

    /// What becomes of a request.
    pub(super) fn reply(
        &mut self,
        request: &Request,
        (dice, is_staged): (&mut Rng, bool),
        notes: &Notes,
    ) -> Reply {
        let after = Duration::from_millis(dice.u64(2..200));
        let refused = |status, quiet: Option<u64>| {
            let response = match quiet {
                Some(seconds) => answers::busy(status, &seconds.to_string()),
                None => answers::status(status),
            };
            let quiet =
                quiet.map(|seconds| Duration::from_secs(seconds).min(ENDPOINT_RETRY_AFTER_MAX));
            Reply { after, result: Ok(response), quiet, is_accepted: false }
        };
        let failed =
            |after, fault| Reply { after, result: Err(fault), quiet: None, is_accepted: false };
        let hangs = || {
            let after = request.deadline;
            failed(after, TransportFault::Timeout { phase: "waiting for the answer", after })
        };
        // A few requests fare differently from the rest.
        let mood = match dice.u32(..100) {
            _ if is_staged => self.mood,
            0..2 if self.mood == Mood::Well && !notes.is_calm => Mood::Failing,
            2 if self.mood == Mood::Well && !notes.is_calm => Mood::LosesAnswers,
            0..10 if !matches!(self.mood, Mood::Gone | Mood::Hung) => Mood::Well,
            _ => self.mood,
        };
        match mood {
            Mood::Well => {
                let response = answers::status([200, 202, 204][dice.usize(..3)]);
                Reply { after, result: Ok(response), quiet: None, is_accepted: true }
            }
            Mood::Failing => refused([500, 502, 400, 301][dice.usize(..4)], None),
            Mood::Busy => {
                // Beyond an hour nobody waits.
                let seconds = if dice.u32(..300) == 0 { 999_999_999 } else { dice.u64(0..120) };
                refused([429, 503][dice.usize(..2)], Some(seconds))
            }
            Mood::LosesAnswers => {
                let fault = TransportFault::Cut { detail: String::from("reset") };
                Reply { is_accepted: true, ..failed(after, fault) }
            }
            Mood::Hung => hangs(),
            Mood::Down => {
                failed(after, TransportFault::Connect { detail: String::from("refused") })
            }
            Mood::Gone => refused(410, None),
        }
    }
}
