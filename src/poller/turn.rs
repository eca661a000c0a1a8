//! One poll: fetch page after page, commit each, and what the end of the listing says with the last.

mod commit;
mod end;
mod entry;
mod heard;
mod index;
mod learn;
mod long;
mod own;
mod page;
mod progress;
mod recheck;
mod subject;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use url::Url;

use self::index::Index;
pub(crate) use self::long::LongPage;
use self::recheck::Recheck;
pub(super) use self::subject::Subject;
use super::crew::{Crew, Number};
use super::shelf::Kept;
use super::{PollError, Ports};
use crate::core::budget::Account;
use crate::core::diff::tombstone;
use crate::core::entries::{self, Ending};
use crate::core::fault::Fault;
use crate::core::http::{Request, Response, TransportFault, shown_headers};
use crate::core::ids::{EntryKey, ItemKey, UnitName};
use crate::core::json::Value;
use crate::core::listing::{self, Delta, Listing, Noted, Ringing};
use crate::core::outcome::{self, Answer, PollOutcome};
use crate::core::own::Held;
use crate::core::pacing::Pacing;
use crate::core::pages::{KnownPages, Pages, Trail};
use crate::core::report::{Mode, PollReport, RequestNote};
use crate::core::roster::Roster;
use crate::core::schedule::Schedule;
use crate::core::since::{Ask, Watermark};
use crate::core::snapshot::{Snapshot, Standing};
use crate::core::source::{Baseline, Source, SourceState, Validator};
use crate::core::template::Context;
use crate::core::time::Timestamp;
use crate::http::spool::Spool;

/// A poll under way.
pub(super) struct Turn<'a> {
    ports: &'a Ports,
    source: &'a Source,
    /// Under which its items are found: its own, unless it was renamed and this poll keeps nothing.
    known_as: UnitName,
    unit: &'a UnitName,
    entry: &'a EntryKey,
    crew: Option<&'a Crew>,
    /// Of an entry: the source's event numbers, held from the making of events to their commit.
    number: Option<Number<'a>>,
    /// What `until` was found to be true of.
    ending: Option<Ending>,
    roster: &'a Roster,
    /// As of the last commit of this poll.
    state: SourceState,
    mode: Mode,
    /// Whether somebody wants to see its requests and events.
    shows_events: bool,
    /// Whether items were written, or how they stand.
    touched: bool,
    /// What the templates of its requests have at hand, whatever the page.
    context: Context<'a>,
    /// What this poll asks for: everything, or only what changed.
    ask: Ask,
    /// How far it came, once it is complete.
    reached: Option<Watermark>,
    /// The pages of the last complete listing.
    pages: Option<Box<KnownPages>>,
    index: Index,
    /// The body of the last page, if it is long.
    spool: Option<Spool>,
    /// Who pays for its requests.
    account: Arc<Account>,
    /// What the answers asked for.
    pacing: Pacing,
    began: Timestamp,
    /// Why changes are held for a person, of those that are.
    held: Held,
    report: PollReport,
    told: learn::Told,
}

/// How things are as a poll begins.
pub(super) struct Before {
    pub(super) is_failing: bool,
    pub(super) planned: Schedule,
    pub(super) baseline: Baseline,
}

/// A poll that came to an outcome.
pub(super) struct Ended {
    pub(super) state: SourceState,
    /// Whether items were written, or how they stand.
    pub(super) touched: bool,
    /// The pages of the last complete listing, to ask for next time.
    pub(super) pages: Option<Box<KnownPages>>,
    /// The snapshot as this poll left it, if it looked at it.
    pub(super) snapshot: Option<Snapshot>,
    pub(super) report: PollReport,
}

/// What the store has of a poll that came to an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Its very state.
    Whole,
    /// All that it has to have, or all that it takes now. The rest is written later.
    Later,
    /// Somebody else wrote meanwhile: of this state, only the plan counts.
    Overtaken,
}

/// Where a page of the listing is.
struct Place {
    /// What led there: `{{page}}` of its request.
    token: Value,
    /// Without the credentials.
    address: Url,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// A page of the listing.
    Page { conditional: bool },
    /// One item by itself.
    Item,
}

/// What a page was followed by.
enum Next {
    Page(Value),
    /// The end: what the last part of the listing changes is not committed yet.
    End(Delta),
}

impl<'a> Turn<'a> {
    /// A poll of this subject, and whether somebody wants to see its requests and events. It is in a box: the task that
    /// makes it is moved about with all that is in it.
    pub(super) fn new(
        ports: &'a Ports,
        subject: Subject<'a>,
        roster: &'a Roster,
        state: SourceState,
        (mode, shows_events): (Mode, bool),
    ) -> Box<Self> {
        let Subject { source, known_as, unit, entry, context, crew } = subject;
        let report = PollReport {
            source: source.name.clone(),
            unit: unit.clone(),
            outcome: "failed",
            baseline: match state.baseline {
                _ if state.identity() != source.identity() => Some("again"),
                Baseline::Due { silent: true } => Some("first"),
                _ => None,
            },
            fault: None,
            pages: 0,
            items: 0,
            events: Vec::new(),
            event_counts: BTreeMap::new(),
            held: 0,
            requests: Vec::new(),
            sample: None,
            changes: Vec::new(),
            took: Duration::ZERO,
            ended: ports.clock.wall(),
            interval: state.schedule.interval,
            next_due: state.schedule.due,
            committed: mode == Mode::Commit,
        };
        let began = ports.clock.now();
        Box::new(Self {
            ports,
            source,
            unit,
            known_as,
            entry,
            crew,
            number: None,
            ending: None,
            roster,
            state,
            mode,
            shows_events,
            touched: false,
            context,
            ask: Ask::default(),
            reached: None,
            pages: None,
            index: Index::default(),
            spool: None,
            account: Arc::new(source.account(unit)),
            pacing: Pacing::default(),
            began,
            held: Held::default(),
            report,
            told: learn::Told::default(),
        })
    }

    /// Takes the pages of the last complete listing, and the snapshot as the last poll left it.
    pub(super) fn know(&mut self, pages: Option<Box<KnownPages>>, index: Option<Arc<Kept>>) {
        (self.pages, self.index) = (pages, Index::of(index));
    }

    /// How things are as it begins.
    pub(super) fn before(&self) -> Before {
        let SourceState { fault, schedule, baseline, .. } = &self.state;
        Before { is_failing: fault.is_some(), planned: *schedule, baseline: *baseline }
    }

    /// Makes the poll. `kept` is the state as the store has it.
    pub(super) async fn make(&mut self, kept: Option<&SourceState>) -> Result<Written, PollError> {
        let failing = self.state.failing().cloned();
        let (mut outcome, mut delta) = self.outcome().await?;
        let has_ended = self.finish(&mut outcome, &mut delta).await?;
        let (now, unit) = (self.ports.clock.now(), self.ports.entropy.unit());
        self.note_times(&delta);
        let news = (self.told.times.as_slice(), &self.terms());
        let mut next = self.state.after(&outcome, self.source, news, now, unit);
        if outcome.is_failure() && !delta.is_empty() {
            // The last answer that was known does not show that.
            next = next.unrecognised();
        }
        self.advance(&mut next, &outcome, now);
        self.compose(&mut next, now);
        next.ended = next.ended.or(has_ended.then_some(now));
        Box::pin(self.tell_news(failing, &mut next, now)).await?;
        if !self.entry.is_none() && self.state.last_poll.is_none() && !outcome.is_failure() {
            let unit = self.ports.entropy.unit();
            let interval = next.schedule.interval;
            next.schedule.due = entries::spread_over_interval(interval, now, unit);
        }
        let must_write = !delta.is_empty()
            || kept.is_none_or(|kept| kept.must_be_kept(&next) || self.wrote_since(kept));
        let mut written = Written::Later;
        if must_write {
            let is_held = |standing: &Standing| matches!(standing, Standing::Held { .. });
            let held = delta.marks.iter().filter(|(_, standing)| is_held(standing)).count();
            match Box::pin(self.commit(next.clone(), delta)).await {
                Ok(()) => written = Written::Whole,
                Err(fault) if outcome.is_failure() && fault.may_pass() => {
                    written = self.go_on_unkept(next, &fault);
                    self.report.held = self.report.held.saturating_sub(held);
                }
                Err(fault) => return Err(fault),
            }
        } else {
            self.state = next;
        }
        self.tell(&outcome, now);
        Ok(written)
    }

    /// What a poll that was made leaves.
    pub(super) fn ended(self) -> Ended {
        let (touched, pages) = (self.touched, self.pages);
        let snapshot = self.index.into_snapshot();
        Ended { state: self.state, touched, pages, snapshot, report: self.report }
    }

    /// When to ask again is heeded also while it cannot be written down. What would have rung with it is met again by
    /// the next poll.
    fn go_on_unkept(&mut self, next: SourceState, fault: &PollError) -> Written {
        warn!(source = %self.unit, %fault, "that the poll failed could not be kept");
        let has_rung = self.report.has_events();
        let last_change = if has_rung { next.last_change } else { self.state.last_change };
        self.state = SourceState { last_change, ..next };
        match fault {
            PollError::Conflict(_) => Written::Overtaken,
            _ => Written::Later,
        }
    }

    fn wrote_since(&self, kept: &SourceState) -> bool {
        kept.last_seq != self.state.last_seq
    }

    fn tell(&mut self, outcome: &PollOutcome, now: Timestamp) {
        self.report.outcome = outcome.as_str();
        self.report.fault = outcome.fault().cloned();
        self.report.took = now.since(self.began);
        self.report.ended = self.ports.clock.wall();
        self.report.interval = self.state.schedule.interval;
        self.report.next_due = self.state.schedule.due;
    }

    /// Fetches what there is, or what changed. The delta is what is left to commit.
    async fn outcome(&mut self) -> Result<(PollOutcome, Delta), PollError> {
        let is_known = self.is_baselined() && self.are_credentials_known();
        self.ask = self.source.ask(&self.state, is_known, self.ports.clock.now());
        let (outcome, delta) = self.answers().await?;
        match self.start_anew(&outcome) {
            Some(ask) => {
                self.ask = ask;
                Box::pin(self.answers()).await
            }
            None => Ok((outcome, delta)),
        }
    }

    async fn answers(&mut self) -> Result<(PollOutcome, Delta), PollError> {
        let validator = self.usable_validator();
        let first = match self.place(self.source.pages.first(), None) {
            Ok(first) => first,
            Err(fault) => return Ok((self.failed(fault), Delta::default())),
        };
        if self.pages.is_some() {
            // Boxed, like all that few polls need: every poll is moved about with room for it.
            match Box::pin(self.recheck(&first)).await {
                Recheck::Same { not_modified } => return self.same(not_modified, None).await,
                Recheck::Changed(Some(page)) => return Box::pin(self.list(first, page)).await,
                Recheck::Changed(None) => {}
                Recheck::Ended(outcome) => return Ok((outcome, Delta::default())),
            }
        }
        match self.fetch(&first, validator.as_ref()).await {
            Answer::NotModified(response) => {
                self.same(true, outcome::confirmed(validator, &response.headers)).await
            }
            Answer::Throttled { wait, fault } => {
                Ok((self.throttled(wait, fault), Delta::default()))
            }
            Answer::Failed(fault) if self.is_nothing_there(&fault) => Box::pin(self.absent()).await,
            Answer::Failed(fault) => Ok((self.failed(fault), Delta::default())),
            Answer::Body(response) if self.is_as_before(&response) => {
                self.same(false, outcome::validator(&response.headers)).await
            }
            Answer::Body(response) => Box::pin(self.list(first, response)).await,
        }
    }

    /// Where the page is that `token` leads to. The first page of the listing is at `first`.
    fn place(&self, token: Value, first: Option<&Url>) -> Result<Place, Fault> {
        let source = self.source;
        let context = self.context(&token);
        let address = source.pages.address(source.address(&context)?, &token, first)?;
        Ok(Place { token, address })
    }

    /// What the templates of a page's request have at hand.
    fn context<'c>(&'c self, page: &'c Value) -> Context<'c> {
        Context { page: Some(page), since: self.ask.value.as_ref(), ..self.context }
    }

    /// Only a declaration that is the same as when the validator was stored may use it.
    fn usable_validator(&self) -> Option<Validator> {
        let usable = self.source.pages == Pages::One && self.is_comparable();
        self.state.validator.clone().filter(|_| usable)
    }

    fn is_as_before(&self, response: &Response) -> bool {
        let known = self.state.body_hash.filter(|_| self.is_comparable());
        known.is_some_and(|known| known == self.body_hash(response))
    }

    fn is_comparable(&self) -> bool {
        self.is_baselined()
            && self.state.comparison() == self.source.comparison()
            && self.are_credentials_known()
            // What a sweep answers is never what the poll before it did.
            && (self.source.since.is_none() || self.ask.is_partial)
    }

    /// Whether the snapshot is of what is asked now.
    fn is_baselined(&self) -> bool {
        self.state.identity() == self.source.identity()
            && matches!(self.state.baseline, Baseline::Taken { .. })
    }

    fn failed(&self, fault: Fault) -> PollOutcome {
        PollOutcome::Failed { fault, pages: self.report.pages, changed: self.report.has_events() }
    }

    fn throttled(&self, wait: Duration, fault: Fault) -> PollOutcome {
        PollOutcome::Throttled { wait, fault, changed: self.report.has_events() }
    }

    /// Asks for one page.
    async fn fetch(&mut self, place: &Place, validator: Option<&Validator>) -> Answer {
        let context = self.context(&place.token);
        let request = match self.source.request(&context, &place.address, validator) {
            Ok(request) => request,
            Err(fault) => return Answer::Failed(fault),
        };
        // What is kept of the page before is not needed beside the next one.
        self.spool = None;
        let asked = Asked::Page { conditional: validator.is_some() };
        let result = self.exchange(request, asked).await.map(|(response, spool)| {
            self.spool = spool;
            response
        });
        let refused = result.as_ref().ok().filter(|response| response.status >= 400).cloned();
        let answer = outcome::judge(result, validator.is_some(), self.ports.clock.wall());
        self.heard(answer, refused.as_ref())
    }

    /// Sends a request, and notes it for those who watch. The body of a long page is in a file.
    async fn exchange(
        &mut self,
        mut request: Request,
        asked: Asked,
    ) -> Result<(Response, Option<Spool>), TransportFault> {
        let noted = self.shows_events.then(|| Box::new(self.noted(&request, asked)));
        let began = self.ports.clock.now();
        request.way.account = Some(Arc::clone(&self.account));
        let result = self.send(request, asked).await;
        if let Ok((response, _)) = &result {
            self.pacing.add(Pacing::of(response, self.ports.clock.wall()));
        }
        if let Some(mut note) = noted {
            note.took = self.ports.clock.now().since(began);
            if let Ok((response, spool)) = &result {
                note.status = Some(response.status);
                note.body_bytes = spool.as_ref().map_or(response.body.len(), |spool| spool.bytes);
            }
            self.report.requests.push(*note);
        }
        result
    }

    /// A request as those who watch are shown it, not answered yet.
    fn noted(&self, request: &Request, asked: Asked) -> RequestNote {
        RequestNote {
            method: request.method.clone(),
            url: self.ports.redactor.clean(&self.source.shown(&request.url)),
            headers: shown_headers(&request.headers),
            conditional: asked == Asked::Page { conditional: true },
            status: None,
            body_bytes: 0,
            took: Duration::ZERO,
        }
    }

    /// Reads the listing from its first page, which answered at `place`, to its end.
    async fn list(
        &mut self,
        place: Place,
        first: Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let known = (self.open().await?, self.settling().await?);
        let how = (self.ask.is_partial, self.ports.store.seed());
        let listing = Listing::new(self.source, &self.state, known, how);
        let mut listing = listing.retaining(self.retained());
        let mut trail = Trail::begin(&self.source.pages, &place.address);
        let walked = self.walk((&mut listing, &mut trail), place, first).await?;
        let walked = match walked {
            Ok(end) if self.report.pages > 1 && listing.needs_second_look() => {
                Box::pin(self.look_again((&mut listing, &trail), end)).await?
            }
            walked => walked,
        };
        let (mut outcome, delta) = match walked {
            Ok((delta, last)) => return self.end(listing, trail.into_known(), delta, &last).await,
            Err(outcome) => {
                match Box::pin(self.ring_last(&mut listing, Delta::default())).await {
                    // The outcome is heeded all the same.
                    Err(fault) if fault.may_pass() => (outcome, Delta::default()),
                    rung => (outcome, rung?),
                }
            }
        };
        // The pages read before stand, and so does what they showed to be new.
        if !delta.events.is_empty() || self.report.has_events() {
            outcome.set_changed();
        }
        Ok((outcome, delta))
    }

    /// Reads page after page. Gives what the last part changes, with the last page.
    async fn walk(
        &mut self,
        (listing, trail): (&mut Listing<'_>, &mut Trail),
        mut place: Place,
        first: Response,
    ) -> Result<Result<(Delta, Response), PollOutcome>, PollError> {
        let source = self.source;
        let (begin, mut response) = (place.address.clone(), first);
        loop {
            let count = listing.items_count();
            let taken = self.take((&mut *listing, &mut *trail), &place, &response).await?;
            let next = match taken {
                Err(fault) => return Ok(Err(self.failed(fault))),
                Ok(Next::End(delta)) => return Ok(Ok((delta, response))),
                Ok(Next::Page(_)) if listing.has_seen_enough(count) => {
                    return Ok(Ok((Delta::default(), response)));
                }
                Ok(Next::Page(token)) => self.place(token, Some(&begin)),
            };
            let on_trail = next.and_then(|next| {
                trail.go_on(&source.pages, &next.token, &next.address).map(|()| next)
            });
            place = match on_trail {
                Ok(next) => next,
                Err(fault) => return Ok(Err(self.failed(fault))),
            };
            response = match self.next_page(&place).await {
                Ok(page) => page,
                Err(outcome) => return Ok(Err(outcome)),
            };
        }
    }

    async fn commit_part(
        &mut self,
        listing: &mut Listing<'_>,
        noted: Vec<Noted>,
    ) -> Result<(), PollError> {
        let delta = self.delta(listing, noted).await?;
        self.keep_part(delta).await
    }

    async fn keep_part(&mut self, delta: Delta) -> Result<(), PollError> {
        if delta.is_empty() {
            return Ok(());
        }
        self.note_times(&delta);
        self.commit(self.state.unrecognised(), delta).await
    }

    async fn delta(
        &mut self,
        listing: &mut Listing<'_>,
        noted: Vec<Noted>,
    ) -> Result<Delta, PollError> {
        let (unit, needed) = (self.known_as.clone(), Listing::needed(&noted));
        let stored = if needed.is_empty() {
            Vec::new()
        } else {
            self.ports.store.read_here(move |store| store.items(&unit, &needed)).await?
        };
        if !noted.is_empty() {
            self.take_number().await?;
        }
        let delta = listing.delta(noted, &stored, self.ringing());
        self.leave_number(&delta);
        Ok(delta)
    }

    fn ringing(&self) -> Ringing<'a> {
        Ringing {
            source: self.source,
            entry: self.entry,
            roster: self.roster,
            at: self.ports.clock.wall(),
            now: self.ports.clock.now(),
            last_seq: self.last_seq(),
        }
    }

    /// The snapshot to compare with, brought in line with the declaration if that changed since.
    async fn open(&mut self) -> Result<Snapshot, PollError> {
        let mut snapshot = self.snapshot().await?;
        if self.state.identity() != self.source.identity() {
            // The old items cannot be compared with what is asked now. Their change counts stay, so that ids never repeat.
            let known = snapshot.iter().filter(|(_, _, entry)| entry.standing != Standing::Deleted);
            let upserts: Vec<_> =
                known.map(|(_, key, entry)| tombstone(ItemKey::new(key), entry.changes)).collect();
            snapshot.renew(&upserts);
            let settling = self.settling().await?.into_keys().map(|key| (key, None)).collect();
            let state = self.state.rebaselined(self.source);
            self.commit(state, Delta { upserts, settling, ..Delta::default() }).await?;
            return Ok(snapshot);
        }
        if self.state.comparison() != self.source.comparison() {
            let unit = self.known_as.clone();
            let keys: Vec<_> = snapshot.iter().map(|(_, key, _)| ItemKey::new(key)).collect();
            let items = self.ports.store.read(move |store| store.items(&unit, &keys)).await?;
            let known = items.into_iter().filter(|item| item.entry.standing.is_known()).collect();
            if let Ok(upserts) = listing::refingerprint(self.source, known) {
                snapshot.renew(&upserts);
                let digests = Arc::clone(self.source.digests());
                let state = SourceState { digests, ..self.state.unrecognised() };
                self.commit(state, Delta { upserts, ..Delta::default() }).await?;
            }
        }
        Ok(snapshot)
    }
}
