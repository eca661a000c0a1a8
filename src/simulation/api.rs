//! The polled API: it says what is true, mostly, and fails in every way the seed allows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::answers::{self, PAGE_ITEMS};
use super::books::Books;
use super::notes::Notes;
use super::plan::{BRAKE_COUNT, Kind, Plan};
use super::truth::{Content, Truth};
use super::watch::{Effect, Page, Watch};
use crate::core::http::{Request, Response, TransportFault};

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ill {
    Status,
    Busy,
    NoConnection,
    Hang,
    Cut,
    Truncated,
    Html,
    Empty,
    Half,
    WrongShape,
    DuplicateKey,
    MissingKey,
    Unasked304,
    RepeatedPage,
    LaterPage,
}

const ILLS: [Ill; 15] = [
    Ill::Status,
    Ill::Busy,
    Ill::NoConnection,
    Ill::Hang,
    Ill::Cut,
    Ill::Truncated,
    Ill::Html,
    Ill::Empty,
    Ill::Half,
    Ill::WrongShape,
    Ill::DuplicateKey,
    Ill::MissingKey,
    Ill::Unasked304,
    Ill::RepeatedPage,
    Ill::LaterPage,
];

/// One source's side of the API.
#[derive(Debug)]
pub(super) struct Desk {
    kind: Kind,
    pub(super) truth: Truth,
    pub(super) watch: Watch,
    /// What is left out while the API lies, and for how many listings more.
    lie: Option<(BTreeSet<String>, u32)>,
    /// Faults in a thousand answers.
    ill_rate: u32,
    /// The same content is always written in the same way.
    plain: bool,
}

/// The API.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) desks: BTreeMap<&'static str, Desk>,
    dice: Rng,
    /// What can go wrong in this hour.
    ills: Vec<Ill>,
}

/// What comes back, when, and what it tells.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) after: Duration,
    pub(super) result: Result<Response, TransportFault>,
    pub(super) effect: Effect,
}

impl Answer {
    fn failed(result: Result<Response, TransportFault>) -> Self {
        Self { after: Duration::from_millis(30), result, effect: Effect::Failed }
    }
}

impl Api {
    /// Draws an API for these sources.
    pub(super) fn draw(plan: &Plan, mut dice: Rng) -> Self {
        let mut ills = ILLS.to_vec();
        ills.retain(|_| dice.u32(..100) < 60);
        let rates = [0, 20, 60, 150];
        let rate = rates[dice.usize(..rates.len())];
        let desks = plan.sources.values().map(|source| {
            let desk = Desk {
                kind: source.kind,
                truth: Truth::draw(source.kind, &mut dice),
                watch: Watch::default(),
                lie: None,
                ill_rate: rate,
                plain: dice.bool(),
            };
            (source.kind.name(), desk)
        });
        let desks = desks.collect();
        Self { desks, dice, ills }
    }

    /// Lets time go by: things change.
    pub(super) fn pass(&mut self, tick: Duration, notes: &mut Notes) {
        for (name, desk) in &mut self.desks {
            // About one change in thirty seconds, and sometimes several at once.
            #[expect(clippy::cast_possible_truncation, reason = "a tick is a part of a second")]
            let chance = tick.as_millis() as u32;
            if self.dice.u32(..30_000) >= chance {
                continue;
            }
            let may_vanish =
                !desk.watch.is_frozen && !desk.watch.is_on_its_way && desk.lie.is_none();
            for _ in 0..self.dice.u32(1..=3) {
                let done = desk.truth.change(&mut self.dice, may_vanish);
                notes.line(&format!("truth {name}: {done}"));
            }
            if desk.kind == Kind::Braked && may_vanish && self.dice.u32(..12) == 0 {
                desk.truth.wipe(&mut self.dice);
                notes.line("truth braked: wiped");
            } else if desk.kind == Kind::Braked && may_vanish && self.dice.u32(..15) == 0 {
                desk.truth.unwipe();
                notes.line("truth braked: back");
            }
        }
    }

    /// The process is gone.
    pub(super) fn restart(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.watch.restart());
    }

    /// No poll under way is sure to be kept.
    pub(super) fn disturb(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.watch.disturb());
    }

    /// How long a request takes on its way.
    pub(super) fn way(&mut self) -> Duration {
        Duration::from_millis(self.dice.u64(5..150))
    }

    /// Answers a request.
    pub(super) fn answer(
        &mut self,
        name: &str,
        request: &Request,
        books: &Books,
        notes: &mut Notes,
    ) -> Answer {
        let page = page_of(request);
        let Some(desk) = self.desks.get_mut(name) else {
            return Answer::failed(Ok(answers::status(404)));
        };
        let is_ill = !notes.is_calm && self.dice.u32(..1000) < desk.ill_rate;
        let mut ill = (is_ill && !self.ills.is_empty())
            .then(|| self.ills[self.dice.usize(..self.ills.len())]);
        if ill == Some(Ill::LaterPage) {
            ill = (page > 1).then_some(Ill::Status);
        }
        if notes.is_calm {
            desk.lie = None;
        }
        if let Some(ill) = ill
            && let Some(answer) = desk.fail(ill, request, (page, books), &mut self.dice, notes)
        {
            return answer;
        }
        let mut answer = desk.say(request, page, None, &mut self.dice, notes);
        if !notes.is_calm && self.dice.u32(..50) == 0 {
            notes.sometimes("source: slow");
            answer.after = Duration::from_millis(self.dice.u64(1_000..18_000));
        }
        answer
    }
}

fn page_of(request: &Request) -> usize {
    let mut query = request.url.query_pairs();
    query.find(|(name, _)| name == "page").and_then(|(_, page)| page.parse().ok()).unwrap_or(1)
}

impl Desk {
    /// Fails in one way, if it fits this request.
    fn fail(
        &mut self,
        ill: Ill,
        request: &Request,
        (page, books): (usize, &Books),
        dice: &mut Rng,
        notes: &mut Notes,
    ) -> Option<Answer> {
        let is_list = self.kind != Kind::Single;
        let answer = match ill {
            Ill::Status => {
                if page > 1 {
                    notes.sometimes("source: later page fails");
                }
                // Not 401 and 403: what is gone when they end is held for a person.
                let codes = [500, 502, 503, 404, 400, 206];
                Answer::failed(Ok(answers::status(codes[dice.usize(..codes.len())])))
            }
            Ill::Busy => busy(dice, notes),
            Ill::NoConnection => {
                let detail = String::from("refused");
                Answer::failed(Err(TransportFault::Connect { detail }))
            }
            Ill::Hang => {
                notes.sometimes("source: hangs");
                let after = request.deadline;
                let phase = "waiting for the answer";
                let result = Err(TransportFault::Timeout { phase, after });
                Answer { after, ..Answer::failed(result) }
            }
            Ill::Cut => Answer::failed(Err(TransportFault::Cut { detail: String::from("reset") })),
            Ill::Truncated => {
                let answer = self.say(request, page, None, dice, notes);
                let whole = answer.result.clone().ok()?;
                if whole.body.is_empty() {
                    return Some(answer);
                }
                notes.sometimes("source: truncated");
                let half = whole.body.slice(..whole.body.len() / 2);
                Answer::failed(Ok(Response { body: half, ..whole }))
            }
            Ill::Html => {
                notes.sometimes("source: html");
                Answer::failed(Ok(answers::web_page()))
            }
            Ill::WrongShape => {
                notes.sometimes("source: wrong shape");
                let text = if is_list { r#"{"error":"try later"}"# } else { "[]" };
                Answer::failed(Ok(answers::json(text.to_owned())))
            }
            Ill::Unasked304 if !request.headers.contains_key(http::header::IF_NONE_MATCH) => {
                notes.sometimes("source: 304 unasked");
                Answer::failed(Ok(answers::status(304)))
            }
            Ill::RepeatedPage if self.kind == Kind::Paged && page > 1 => {
                notes.sometimes("source: repeated page");
                let mut answer = self.say(request, page - 1, None, dice, notes);
                answer.effect = Effect::Failed;
                answer
            }
            Ill::DuplicateKey | Ill::MissingKey if is_list => {
                self.say(request, page, Some(ill), dice, notes)
            }
            Ill::Empty | Ill::Half if is_list && page == 1 && self.lie.is_none() => {
                self.begin_to_lie(ill, books, dice, notes);
                return None;
            }
            _ => return None,
        };
        Some(answer)
    }

    /// From now on, for a while, something is left out. Only when nothing is in doubt, so that doorbell has a chance.
    fn begin_to_lie(&mut self, ill: Ill, books: &Books, dice: &mut Rng, notes: &mut Notes) {
        if !self.watch.all_known(&self.truth) || self.truth.items.is_empty() {
            return;
        }
        let keys = self.truth.items.keys();
        let hidden: BTreeSet<_> = match ill {
            Ill::Empty => keys.cloned().collect(),
            // A listing that ends too early.
            _ if self.kind == Kind::Paged => keys.skip(PAGE_ITEMS).cloned().collect(),
            _ => keys.filter(|_| dice.bool()).cloned().collect(),
        };
        if hidden.is_empty() {
            return;
        }
        let known = books.sources.get(self.kind.name()).map_or(0, |book| book.fold.len());
        let is_braked = self.kind == Kind::Braked
            && hidden.len() > BRAKE_COUNT
            && hidden.len() * 100 > known * 25;
        let listings = if is_braked { dice.u32(1..=4) } else { 1 };
        notes.sometimes(if ill == Ill::Empty {
            "source: empty list"
        } else {
            "source: half a list"
        });
        notes.line(&format!("api {} lies {listings} times", self.kind.name()));
        self.lie = Some((hidden, listings));
    }

    /// Says what is true, or what is left of it while the API lies.
    fn say(
        &mut self,
        request: &Request,
        page: usize,
        taint: Option<Ill>,
        dice: &mut Rng,
        notes: &mut Notes,
    ) -> Answer {
        let hidden = self.lie.as_ref().map(|(hidden, _)| hidden);
        let all: Vec<(String, Content)> = self
            .truth
            .items
            .iter()
            .filter(|(key, _)| hidden.is_none_or(|hidden| !hidden.contains(*key)))
            .map(|(key, content)| (key.clone(), content.clone()))
            .collect();
        let is_lie = self.lie.is_some();
        self.watch.is_frozen |= is_lie;
        let (shown, next) = self.page(&all, page);
        if let (true, Some((_, listings))) = (next.is_none(), &mut self.lie) {
            *listings -= 1;
            if *listings == 0 {
                self.lie = None;
            }
        }
        self.watch.is_on_its_way = self.kind == Kind::Paged && next.is_none();
        let tag = answers::tag_of(&all);
        let asked = request.headers.get(http::header::IF_NONE_MATCH);
        let is_not_modified = self.kind.has_validator()
            && taint.is_none()
            && asked.and_then(|asked| asked.to_str().ok()) == Some(&tag);
        let text = self.text(&shown, taint, dice, notes);
        let response = match (is_not_modified, next) {
            (true, _) => {
                notes.sometimes("source: 304");
                answers::status(304)
            }
            (_, Some(next)) => {
                let url = request.url.path();
                answers::linked(answers::json(text), &format!("{url}?page={next}"))
            }
            _ if self.kind.has_validator() && taint.is_none() => {
                answers::tagged(answers::json(text), &tag)
            }
            _ => answers::json(text),
        };
        let effect = Effect::Page(Page {
            served: shown,
            absent: self.watch.absent_now(&self.truth),
            there: self.truth.items.keys().cloned().collect(),
            is_last: next.is_none(),
            is_not_modified,
            is_lie,
            is_tainted: taint.is_some(),
        });
        Answer { after: Duration::from_millis(dice.u64(5..150)), result: Ok(response), effect }
    }

    fn text(
        &self,
        shown: &[(String, Content)],
        taint: Option<Ill>,
        dice: &mut Rng,
        notes: &mut Notes,
    ) -> String {
        let mut text = answers::body(self.kind, shown, self.plain, dice);
        let odd = match (taint, shown.first()) {
            (Some(Ill::DuplicateKey), Some((key, content))) => {
                notes.sometimes("source: duplicate key");
                let other = Content { value: content.value + 7, ..content.clone() };
                answers::item(self.kind, key, &other, true, dice)
            }
            (Some(_), _) => {
                notes.sometimes("source: missing key");
                String::from(r#"{"value":1}"#)
            }
            (None, _) => return text,
        };
        let Some(end) = text.rfind(']') else { return text };
        let comma = if shown.is_empty() { "" } else { "," };
        text.insert_str(end, &format!("{comma}{odd}"));
        text
    }

    /// A page's items, and the number of the next one.
    fn page(
        &self,
        all: &[(String, Content)],
        page: usize,
    ) -> (Vec<(String, Content)>, Option<usize>) {
        if self.kind != Kind::Paged {
            return (all.to_vec(), None);
        }
        let begin = (page - 1) * PAGE_ITEMS;
        let shown = all.iter().skip(begin).take(PAGE_ITEMS).cloned().collect();
        (shown, (begin + PAGE_ITEMS < all.len()).then_some(page + 1))
    }
}

/// 429 or 503, with or without a time to come back at, sensible or not.
fn busy(dice: &mut Rng, notes: &Notes) -> Answer {
    let status = if dice.bool() { 429 } else { 503 };
    let (text, effect) = match dice.u32(..6) {
        0 => (None, Effect::Failed),
        1 => (Some(String::from("-5")), Effect::Failed),
        2 => (Some(String::from("soon")), Effect::Failed),
        3 => {
            let until = notes.wall / 1000 + dice.i64(5..90);
            let text = httpdate::fmt_http_date(
                std::time::UNIX_EPOCH + Duration::from_secs(until.unsigned_abs()),
            );
            (Some(text), Effect::ThrottledUntil(until * 1000))
        }
        _ => {
            let seconds = dice.u64(0..200);
            (Some(seconds.to_string()), Effect::Throttled(seconds * 1000))
        }
    };
    let response =
        text.map_or_else(|| answers::status(status), |text| answers::busy(status, &text));
    Answer { effect, ..Answer::failed(Ok(response)) }
}
