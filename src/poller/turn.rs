//! One poll: fetch page after page, commit each, and what the end of the listing says with the last.

mod recheck;

use std::time::Duration;

use http::Method;
use tracing::{info, warn};
use url::Url;

use self::recheck::Recheck;
use super::{Definitions, PollError, Ports};
use crate::core::diff::{Absent, ChangeKind, tombstone};
use crate::core::extract;
use crate::core::fault::Fault;
use crate::core::format;
use crate::core::http::{Response, shown_headers};
use crate::core::ids::SourceName;
use crate::core::json::Value;
use crate::core::limits::{COMMIT_ITEMS_MAX, LIGHT_BODY_BYTES_MAX};
use crate::core::listing::{self, Delta, Listing, Noted, Ringing};
use crate::core::outcome::{self, Answer, PollOutcome};
use crate::core::pages::{self, Answered, KnownPage, KnownPages, Pages, Trail};
use crate::core::refusal;
use crate::core::report::{Mode, PollReport, RequestNote};
use crate::core::roster::Roster;
use crate::core::snapshot::{BodyHash, Coverage, Snapshot, Standing};
use crate::core::source::{Baseline, Source, SourceState, Validator};
use crate::core::template::Context;
use crate::core::time::Timestamp;
use crate::store::{PollCommit, Refusal, StoreError, Write};

/// A poll under way.
pub(super) struct Turn<'a> {
    ports: &'a Ports,
    source: &'a Source,
    /// Under which its items are found: its own, unless it was renamed and this poll keeps nothing.
    known_as: SourceName,
    definitions: Definitions,
    roster: &'a Roster,
    /// As of the last commit of this poll.
    state: SourceState,
    mode: Mode,
    /// What the templates of its requests have at hand, whatever the page.
    context: Context<'a>,
    /// The pages of the last complete listing.
    pages: Option<KnownPages>,
    began: Timestamp,
    report: PollReport,
}

/// A poll that came to an outcome.
pub(super) struct Ended {
    pub(super) state: SourceState,
    /// Whether the store has this very state.
    pub(super) kept: bool,
    /// The pages of the last complete listing, to ask for next time.
    pub(super) pages: Option<KnownPages>,
    pub(super) report: PollReport,
}

/// Where a page of the listing is.
struct Place {
    /// What led there: `{{page}}` of its request.
    token: Value,
    /// Without the credentials.
    address: Url,
}

/// What a page was followed by.
enum Next {
    Page(Value),
    /// The end: what the last part of the listing changes is not committed yet.
    End(Delta),
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        (source, known_as, definitions): (&'a Source, SourceName, Definitions),
        roster: &'a Roster,
        state: SourceState,
        mode: Mode,
    ) -> Self {
        let report = PollReport {
            source: source.name.clone(),
            outcome: "failed",
            baseline: match state.baseline {
                _ if state.identity != definitions.identity => Some("again"),
                Baseline::Due { silent: true } => Some("first"),
                _ => None,
            },
            fault: None,
            pages: 0,
            items: 0,
            events: Vec::new(),
            held: 0,
            requests: Vec::new(),
            changes: Vec::new(),
            took: Duration::ZERO,
            ended: ports.clock.wall(),
            interval: state.schedule.interval,
            next_due: state.schedule.due,
            committed: mode == Mode::Commit,
        };
        let began = ports.clock.now();
        let context = Context::default();
        Self {
            ports,
            source,
            known_as,
            definitions,
            roster,
            state,
            mode,
            context,
            pages: None,
            began,
            report,
        }
    }

    /// With the pages of the last complete listing.
    pub(super) fn knowing(self, pages: Option<KnownPages>) -> Self {
        Self { pages, ..self }
    }

    /// Makes the poll. `kept` is the state as the store has it.
    pub(super) async fn make(mut self, kept: Option<&SourceState>) -> Result<Ended, PollError> {
        let (outcome, delta) = self.outcome().await?;
        let (now, unit) = (self.ports.clock.now(), self.ports.entropy.unit());
        let mut next = self.state.after(&outcome, self.source, now, unit);
        let must_write = !delta.is_empty()
            || kept.is_none_or(|kept| kept.must_be_kept(&next) || self.wrote_since(kept));
        let mut is_kept = must_write;
        if must_write {
            next.last_seq += delta.events.len() as u64;
            let only_a_fault = outcome.is_failure() && delta.is_empty();
            match Box::pin(self.commit(next.clone(), delta)).await {
                // When to ask again is heeded also while it cannot be written down.
                Err(PollError::Store(fault)) if only_a_fault && fault.may_pass() => {
                    warn!(source = %self.source.name, %fault, "that the poll failed could not be kept");
                    is_kept = false;
                    self.state = next;
                }
                committed => committed?,
            }
        } else {
            self.state = next;
        }
        self.tell(&outcome, now);
        Ok(Ended { state: self.state, kept: is_kept, pages: self.pages, report: self.report })
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

    /// Fetches what there is. The delta is what is left to commit.
    async fn outcome(&mut self) -> Result<(PollOutcome, Delta), PollError> {
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
                Ok((PollOutcome::Throttled { wait, fault }, Delta::default()))
            }
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
        let context = Context { page: Some(&token), ..self.context };
        let address = source.pages.address(source.address(&context)?, &token, first)?.into_owned();
        Ok(Place { token, address })
    }

    /// Only a declaration that is the same as when the validator was stored may use it.
    fn usable_validator(&self) -> Option<Validator> {
        let usable = self.source.pages == Pages::One && self.is_comparable();
        self.state.validator.clone().filter(|_| usable)
    }

    fn is_as_before(&self, response: &Response) -> bool {
        let seed = self.ports.store.seed();
        let known = self.state.body_hash.filter(|_| self.is_comparable());
        known.is_some_and(|known| known == BodyHash::of(&response.body, seed))
    }

    fn is_comparable(&self) -> bool {
        self.state.identity == self.definitions.identity
            && self.state.comparison == self.definitions.comparison
            && matches!(self.state.baseline, Baseline::Taken { .. })
    }

    fn failed(&self, fault: Fault) -> PollOutcome {
        PollOutcome::Failed {
            fault,
            pages: self.report.pages,
            changed: !self.report.events.is_empty(),
        }
    }

    /// Asks for one page.
    async fn fetch(&mut self, place: &Place, validator: Option<&Validator>) -> Answer {
        let context = Context { page: Some(&place.token), ..self.context };
        let request = match self.source.request(&context, &place.address, validator) {
            Ok(request) => request,
            Err(fault) => return Answer::Failed(fault),
        };
        let mut note = RequestNote {
            method: request.method.clone(),
            url: self.source.noted(&request.url),
            headers: shown_headers(&request.headers),
            conditional: validator.is_some(),
            status: None,
            body_bytes: 0,
            took: Duration::ZERO,
        };
        let began = self.ports.clock.now();
        let result = self.ports.http.exchange(request).await;
        note.took = self.ports.clock.now().since(began);
        if let Ok(response) = &result {
            note.status = Some(response.status);
            note.body_bytes = response.body.len();
        }
        self.report.requests.push(note);
        let refused = result.as_ref().ok().filter(|response| response.status >= 400).cloned();
        let answer = outcome::judge(result, validator.is_some(), self.ports.clock.wall());
        self.heard(answer, refused.as_ref())
    }

    /// The same answer, with what its body says of its failure. `refused` is it once more if its status is bad.
    fn heard(&self, answer: Answer, refused: Option<&Response>) -> Answer {
        let (method, fail_when) = (&self.source.method, self.source.fail_when.as_ref());
        let explained = |fault| match refused {
            Some(response) => self.masked(refusal::explained(fault, method, fail_when, response)),
            None => fault,
        };
        match answer {
            Answer::Body(response) => {
                let declared = fail_when.and_then(|fail_when| {
                    let document = format::document(&response, self.source.format.as_ref());
                    let read = document.as_ref().map_or(&response, |read| &read.response);
                    refusal::declared(fail_when, read)
                });
                match declared {
                    Some(fault) => Answer::Failed(self.masked(fault)),
                    None => Answer::Body(response),
                }
            }
            Answer::Failed(fault) => Answer::Failed(explained(fault)),
            Answer::Throttled { wait, fault } => {
                Answer::Throttled { wait, fault: explained(fault) }
            }
            Answer::NotModified(response) => Answer::NotModified(response),
        }
    }

    /// A fault that repeats an API's words, without secrets.
    fn masked(&self, fault: Fault) -> Fault {
        Fault { sentence: self.ports.redactor.clean(&fault.sentence), ..fault }
    }

    /// The last complete listing holds again.
    async fn same(
        &mut self,
        not_modified: bool,
        validator: Option<Validator>,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let mut delta = Delta::default();
        if self.state.has_missing {
            Box::pin(self.confirm(&mut delta)).await?;
        }
        let changed = !delta.events.is_empty();
        Ok((PollOutcome::Same { not_modified, changed, validator }, delta))
    }

    /// Counts another complete listing without the items that are missing.
    async fn confirm(&mut self, delta: &mut Delta) -> Result<(), PollError> {
        let snapshot = self.snapshot().await?;
        let absent = listing::confirmed(self.source, &snapshot, self.ports.clock.now());
        self.take_absent(absent, delta).await
    }

    /// Reads the listing from its first page, which answered at `place`, to its end.
    async fn list(
        &mut self,
        mut place: Place,
        first: Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let source = self.source;
        let snapshot = self.open().await?;
        let mut listing = Listing::new(source, &self.state, snapshot, self.ports.store.seed());
        let mut trail = Trail::begin(&source.pages, &place.address);
        let (begin, mut response) = (place.address.clone(), first);
        let delta = loop {
            let taken = self.take_page((&mut listing, &mut trail), &place, &response).await?;
            let next = match taken {
                Err(fault) => return Ok((self.failed(fault), Delta::default())),
                Ok(Next::End(delta)) => break delta,
                Ok(Next::Page(token)) => self.place(token, Some(&begin)),
            };
            let on_trail = next.and_then(|next| {
                trail.go_on(&source.pages, &next.token, &next.address).map(|()| next)
            });
            place = match on_trail {
                Ok(next) => next,
                Err(fault) => return Ok((self.failed(fault), Delta::default())),
            };
            response = match self.fetch(&place, None).await {
                Answer::Body(page) => page,
                Answer::Throttled { wait, fault } => {
                    return Ok((PollOutcome::Throttled { wait, fault }, Delta::default()));
                }
                Answer::Failed(fault) => return Ok((self.failed(fault), Delta::default())),
                Answer::NotModified(_) => {
                    let fault = Fault::source("unasked_304", "a page answered 304 unasked");
                    return Ok((self.failed(fault), Delta::default()));
                }
            };
        };
        self.end(listing, trail.into_known(), delta, &response).await
    }

    /// The end of a listing was reached: what is absent, and how to recognise the same listing next time.
    async fn end(
        &mut self,
        mut listing: Listing<'_>,
        known: KnownPages,
        mut delta: Delta,
        last: &Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        if listing.coverage() == Coverage::Complete {
            self.take_absent(listing.absent(self.ports.clock.now()), &mut delta).await?;
        }
        listing.set_fault(delta.fault.clone());
        if let Some(sentence) = listing.told_shift() {
            info!(source = %self.source.name, "{sentence}");
        }
        self.report.items = listing.items_count();
        let (source, seed) = (self.source, self.ports.store.seed());
        let recognise = match &source.pages {
            _ if listing.coverage() != Coverage::Complete => None,
            Pages::One => Some((outcome::validator(&last.headers), BodyHash::of(&last.body, seed))),
            pages if source.method == Method::GET && known.are_useful(pages) => {
                let hash = known.hash(seed);
                self.pages = Some(known);
                Some((None, hash))
            }
            _ => None,
        };
        let outcome = PollOutcome::Listed {
            coverage: listing.coverage(),
            shape: listing.shape().unwrap_or(extract::Shape::List),
            changed: !delta.events.is_empty() || !self.report.events.is_empty(),
            recognise,
            fault: listing.fault().cloned(),
        };
        Ok((outcome, delta))
    }

    /// Takes up a page, commits all of it but the listing's last part.
    async fn take_page(
        &mut self,
        (listing, trail): (&mut Listing<'_>, &mut Trail),
        place: &Place,
        response: &Response,
    ) -> Result<Result<Next, Fault>, PollError> {
        let (source, seed) = (self.source, self.ports.store.seed());
        let read = || {
            let document = format::document(response, source.format.as_ref())?;
            let response = document.response.as_ref();
            let mut key = source.key.as_slice();
            if document.is_feed && source.format.is_none() {
                listing.proves_no_absence();
                key = if key.is_empty() { format::feed_key() } else { key };
            }
            let doubt =
                refusal::graphql(&source.method, response).map_err(|fault| self.masked(fault))?;
            listing.set_fault(doubt.map(|fault| self.masked(fault)));
            let page = extract::page(&response.body, source.items.as_ref(), key)?;
            let next = match source.pages {
                Pages::One => pages::Next::End,
                _ => follow((source, seed), trail, listing, &page, (place, response))?,
            };
            Ok((next, listing.note(&page)?))
        };
        let (next, mut noted) = match off_the_loop(response.body.len(), read) {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        self.report.pages += 1;
        while noted.len() > COMMIT_ITEMS_MAX {
            let rest = noted.split_off(COMMIT_ITEMS_MAX);
            self.commit_part(listing, std::mem::replace(&mut noted, rest)).await?;
        }
        Ok(Ok(match next {
            pages::Next::Page(token) => {
                self.commit_part(listing, noted).await?;
                Next::Page(token)
            }
            pages::Next::End | pages::Next::Early(_) => {
                Next::End(self.delta(listing, noted).await?)
            }
        }))
    }

    async fn commit_part(
        &mut self,
        listing: &mut Listing<'_>,
        noted: Vec<Noted>,
    ) -> Result<(), PollError> {
        let delta = self.delta(listing, noted).await?;
        if delta.is_empty() {
            return Ok(());
        }
        let last_seq = self.state.last_seq + delta.events.len() as u64;
        self.commit(SourceState { last_seq, ..self.state.unrecognised() }, delta).await
    }

    async fn delta(
        &self,
        listing: &mut Listing<'_>,
        noted: Vec<Noted>,
    ) -> Result<Delta, PollError> {
        let (name, needed) = (self.known_as.clone(), Listing::needed(&noted));
        let stored = if needed.is_empty() {
            Vec::new()
        } else {
            self.ports.store.read(move |store| store.items(&name, &needed)).await?
        };
        Ok(listing.delta(noted, &stored, self.ringing()))
    }

    fn ringing(&self) -> Ringing<'a> {
        Ringing {
            source: self.source,
            roster: self.roster,
            at: self.ports.clock.wall(),
            last_seq: self.state.last_seq,
        }
    }

    /// Adds what a complete listing says of the items it did not show.
    async fn take_absent(&mut self, absent: Absent, delta: &mut Delta) -> Result<(), PollError> {
        let waits = |standing: &Standing| matches!(standing, Standing::Present { missing: 1.. });
        self.state.has_missing = absent.marks.iter().any(|(_, standing)| waits(standing));
        let held =
            absent.marks.iter().filter(|(_, standing)| matches!(standing, Standing::Held { .. }));
        self.report.held = held.count();
        delta.marks.extend(absent.marks);
        if !absent.deleted.is_empty() {
            let name = self.known_as.clone();
            let items =
                self.ports.store.read(move |store| store.items(&name, &absent.deleted)).await?;
            self.ringing().deletions(&items, delta);
        }
        Ok(())
    }

    /// The snapshot to compare with, brought in line with the declaration if that changed since.
    async fn open(&mut self) -> Result<Snapshot, PollError> {
        let mut snapshot = self.snapshot().await?;
        if self.state.identity != self.definitions.identity {
            // The old items cannot be compared with what is asked now. Their change counts stay, so that ids never repeat.
            let known =
                snapshot.entries.iter().filter(|(_, entry)| entry.standing != Standing::Deleted);
            let upserts: Vec<_> =
                known.map(|(key, entry)| tombstone(key.clone(), entry.changes)).collect();
            snapshot.renew(&upserts);
            let state = self.state.rebaselined(self.source);
            self.commit(state, Delta { upserts, ..Delta::default() }).await?;
            return Ok(snapshot);
        }
        if self.state.comparison != self.definitions.comparison {
            let name = self.known_as.clone();
            let keys = snapshot.entries.keys().cloned().collect::<Vec<_>>();
            let items = self.ports.store.read(move |store| store.items(&name, &keys)).await?;
            let known = items.into_iter().filter(|item| item.entry.standing.is_known()).collect();
            if let Ok(upserts) = listing::refingerprint(self.source, known) {
                snapshot.renew(&upserts);
                let Definitions { comparison, parts, .. } = self.definitions.clone();
                let state = SourceState { comparison, parts, ..self.state.unrecognised() };
                self.commit(state, Delta { upserts, ..Delta::default() }).await?;
            }
        }
        Ok(snapshot)
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let name = self.known_as.clone();
        self.ports.store.read(move |store| store.snapshot(&name)).await
    }

    /// Makes a part durable and goes on from `state`. A dry run only notes the events.
    async fn commit(&mut self, state: SourceState, delta: Delta) -> Result<(), PollError> {
        let rings = delta.events.iter().any(|event| !event.deliveries.is_empty());
        for kind in [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted] {
            let count = delta.kinds.iter().filter(|found| **found == kind).count() as u64;
            self.report.count(kind, count);
        }
        self.report.events.extend(delta.events.iter().map(|new| new.event.clone()));
        if self.mode == Mode::Commit {
            let commit = PollCommit {
                source: self.source.name.clone(),
                expected_seq: self.state.last_seq,
                state: state.clone(),
                upserts: delta.upserts,
                marks: delta.marks,
                events: delta.events,
                at: self.ports.clock.now(),
            };
            match self.ports.store.write(Write::Poll(Box::new(commit))).await? {
                Ok(_) => {}
                Err(Refusal::Conflict { source_name }) => {
                    return Err(PollError::Conflict(source_name));
                }
                Err(refusal) => {
                    unreachable!("a poll is only ever refused for a conflict, not: {refusal}")
                }
            }
            if rings {
                self.ports.deliver.ring();
            }
        }
        self.state = state;
        Ok(())
    }
}

/// What a page of a listing that has several leads to. What makes the listing doubtful is noted with it.
fn follow(
    (source, seed): (&Source, u64),
    trail: &mut Trail,
    listing: &mut Listing<'_>,
    page: &extract::Page<'_>,
    (place, response): (&Place, &Response),
) -> Result<pages::Next, Fault> {
    source.pages.check_shape(page.shape)?;
    let body = BodyHash::of(&response.body, seed);
    trail.take(body, page.keys_hash(seed))?;
    let (token, address, received) = (&place.token, &place.address, page.count as u64);
    let step = source.pages.next(&Answered { token, address, response, received })?;
    let validator = outcome::validator(&response.headers);
    trail.remember(KnownPage { token: token.clone(), validator, body, received });
    listing.set_fault(trail.announce(step.announced));
    if let pages::Next::Early(fault) = &step.next {
        listing.set_fault(Some(fault.clone()));
    }
    Ok(step.next)
}

/// Runs heavy work without holding up the other polls of this thread, where the runtime has other threads.
fn off_the_loop<T>(body_bytes: usize, work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if body_bytes > LIGHT_BODY_BYTES_MAX && flavor == tokio::runtime::RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}
