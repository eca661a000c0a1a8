//! One poll: fetch page after page, commit each, and what the end of the listing says with the last.

use std::collections::HashSet;
use std::time::Duration;

use tracing::warn;
use url::Url;

use super::{Definitions, PollError, Ports};
use crate::core::diff::{Absent, ChangeKind, tombstone};
use crate::core::extract;
use crate::core::fault::Fault;
use crate::core::http::{Response, shown_headers};
use crate::core::ids::SourceName;
use crate::core::limits::{COMMIT_ITEMS_MAX, LIGHT_BODY_BYTES_MAX};
use crate::core::listing::{self, Delta, Listing, Noted, Ringing};
use crate::core::outcome::{self, Answer, PollOutcome};
use crate::core::pages::Pages;
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
    began: Timestamp,
    report: PollReport,
}

/// A poll that came to an outcome.
pub(super) struct Ended {
    pub(super) state: SourceState,
    /// Whether the store has this very state.
    pub(super) kept: bool,
    pub(super) report: PollReport,
}

/// What a page was followed by.
enum Next {
    Page(Url),
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
        Self { ports, source, known_as, definitions, roster, state, mode, context, began, report }
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
        Ok(Ended { state: self.state, kept: is_kept, report: self.report })
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
        let (source, context) = (self.source, self.context);
        let validator = self.usable_validator();
        let address = match source.address(&context) {
            Ok(address) => address,
            Err(fault) => return Ok((self.failed(fault), Delta::default())),
        };
        match self.fetch(&context, &address, validator.as_ref()).await {
            // RFC 9110 lets a 304 leave out the tag that it confirms.
            Answer::NotModified(response) => {
                self.same(true, outcome::validator(&response.headers).or(validator)).await
            }
            Answer::Throttled { wait, fault } => {
                Ok((PollOutcome::Throttled { wait, fault }, Delta::default()))
            }
            Answer::Failed(fault) => Ok((self.failed(fault), Delta::default())),
            Answer::Body(response) if self.is_as_before(&response) => {
                self.same(false, outcome::validator(&response.headers)).await
            }
            // Boxed, like all that few polls need: every poll is moved about with room for it.
            Answer::Body(response) => Box::pin(self.list(address.into_owned(), response)).await,
        }
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

    /// Asks for one page. `context` has what its templates need, `address` is where it is.
    async fn fetch(
        &mut self,
        context: &Context<'_>,
        address: &Url,
        validator: Option<&Validator>,
    ) -> Answer {
        let request = match self.source.request(context, address, validator) {
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
        outcome::judge(result, validator.is_some(), self.ports.clock.wall())
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

    /// Reads the listing from its first page, which answered `address`, to its end.
    async fn list(
        &mut self,
        address: Url,
        first: Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        let (source, context) = (self.source, self.context);
        let snapshot = self.open().await?;
        let mut listing = Listing::new(source, &self.state, snapshot, self.ports.store.seed());
        let mut trail = Trail::default();
        let (mut url, mut response) = (address, first);
        let delta = loop {
            let body_hash = BodyHash::of(&response.body, self.ports.store.seed());
            if let Err(fault) = trail.enter(&url, body_hash, &source.pages) {
                return Ok((self.failed(fault), Delta::default()));
            }
            match self.take_page(&mut listing, &url, &response).await? {
                Err(fault) => return Ok((self.failed(fault), Delta::default())),
                Ok(Next::End(delta)) => break delta,
                Ok(Next::Page(next)) => match self.fetch(&context, &next, None).await {
                    Answer::Body(page) => (url, response) = (next, page),
                    Answer::Throttled { wait, fault } => {
                        return Ok((PollOutcome::Throttled { wait, fault }, Delta::default()));
                    }
                    Answer::Failed(fault) => return Ok((self.failed(fault), Delta::default())),
                    Answer::NotModified(_) => {
                        let fault = Fault::source("unasked_304", "a page answered 304 unasked");
                        return Ok((self.failed(fault), Delta::default()));
                    }
                },
            }
        };
        self.end(listing, delta, &response).await
    }

    /// The end of a listing was reached: what is absent, and how to recognise the same listing next time.
    async fn end(
        &mut self,
        mut listing: Listing<'_>,
        mut delta: Delta,
        last: &Response,
    ) -> Result<(PollOutcome, Delta), PollError> {
        if listing.coverage() == Coverage::Complete {
            self.take_absent(listing.absent(self.ports.clock.now()), &mut delta).await?;
        }
        listing.set_fault(delta.fault.clone());
        self.report.items = listing.items_count();
        let whole = self.source.pages == Pages::One && listing.fault().is_none();
        let recognise = whole.then(|| {
            (outcome::validator(&last.headers), BodyHash::of(&last.body, self.ports.store.seed()))
        });
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
        listing: &mut Listing<'_>,
        url: &Url,
        response: &Response,
    ) -> Result<Result<Next, Fault>, PollError> {
        let source = self.source;
        let read = || {
            let next = source.pages.next(url, response)?;
            let page = extract::page(&response.body, source.items.as_ref(), &source.key)?;
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
            Some(next) => {
                self.commit_part(listing, noted).await?;
                Next::Page(next)
            }
            None => Next::End(self.delta(listing, noted).await?),
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
        let snapshot = self.snapshot().await?;
        if self.state.identity != self.definitions.identity {
            // The old items cannot be compared with what is asked now. Their change counts stay, so that ids never repeat.
            let known =
                snapshot.entries.iter().filter(|(_, entry)| entry.standing != Standing::Deleted);
            let upserts = known.map(|(key, entry)| tombstone(key.clone(), entry.changes)).collect();
            let state = self.state.rebaselined(self.source);
            self.commit(state, Delta { upserts, ..Delta::default() }).await?;
            return Ok(self.snapshot().await?);
        }
        if self.state.comparison != self.definitions.comparison {
            let name = self.known_as.clone();
            let keys = snapshot.entries.into_keys().collect::<Vec<_>>();
            let items = self.ports.store.read(move |store| store.items(&name, &keys)).await?;
            let known = items.into_iter().filter(|item| item.entry.standing.is_known()).collect();
            if let Ok(upserts) = listing::refingerprint(self.source, known) {
                let Definitions { comparison, parts, .. } = self.definitions.clone();
                let state = SourceState { comparison, parts, ..self.state.unrecognised() };
                self.commit(state, Delta { upserts, ..Delta::default() }).await?;
            }
            return Ok(self.snapshot().await?);
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

/// The pages one poll went through: a listing that comes back to where it was never ends.
#[derive(Default)]
struct Trail {
    urls: HashSet<Url>,
    bodies: HashSet<u128>,
}

impl Trail {
    fn enter(&mut self, url: &Url, body: BodyHash, pages: &Pages) -> Result<(), Fault> {
        if !self.urls.insert(url.clone()) || !self.bodies.insert(body.0) {
            return Err(Fault::source(
                "repeated_page",
                "a page of the listing came twice, so that its end cannot be reached",
            ));
        }
        if self.urls.len() > pages.pages_max() {
            let most = pages.pages_max();
            return Err(Fault::source(
                "too_many_pages",
                format!("the listing has more than {most} pages"),
            ));
        }
        Ok(())
    }
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
