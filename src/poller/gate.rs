//! The gate: every request that a poll makes goes through it, those for tokens and second tries too, and waits there for
//! what was written, and for what the server said.
//!
//! Two things pass. A *poll* is let in by [`Gate::admit`] before anything is begun: one that has to wait holds no task,
//! and the loop parks it with the others of its kind. A *request* of a poll under way waits here by itself; polls are
//! let in so sparingly that few do. Of all this, a crash must not lose what was taken of the written limits: a window that
//! is full again within seconds begins with nothing at hand, and of a slower one each permit is remembered before it is
//! used. What was overspent is remembered from time to time, and at once who is asked to leave a server alone.

mod book;
mod parked;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::book::{Book, Shut};
use crate::clock::{Clock, Entropy};
use crate::core::budget::{Account, Allowance, Holder, Kept, is_out_of_reach};
use crate::core::fault::Fault;
use crate::core::http;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::ids::{SourceName, UnitName};
use crate::core::limits::{HELD_REQUEST_WAIT_MAX, SWEEP_PERIOD};
use crate::core::pacing::{Pacing, Scope};
use crate::core::schedule::explain::Standing;
use crate::core::schedule::price::Sharers;
use crate::core::schedule::{Stretch, Terms};
use crate::core::source::Source;
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient, LongExchange};
use crate::store::handle::StoreHandle;
use crate::store::{StoreError, Write};
use crate::telemetry::Telemetry;
use crate::wake::Wake;

pub(super) use self::book::Barrier;
pub(super) use self::parked::Parked;

/// An HTTP client that keeps budgets.
pub(crate) struct Gate {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    telemetry: Arc<Telemetry>,
    book: Mutex<Book>,
    /// Where budgets are remembered.
    store: Option<StoreHandle>,
    /// Whether what was remembered was read.
    recalled: OnceCell<()>,
    /// Held by who remembers: an older state must not come after a newer one.
    remembering: tokio::sync::Mutex<()>,
    /// Rung when somebody who is parked may go on.
    wake: Wake,
    /// Nobody waits any more: the process ends.
    closed: CancellationToken,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Gate")
    }
}

/// A poll that asks to begin.
pub(super) struct Applicant<'a> {
    pub(super) source: &'a Source,
    pub(super) unit: &'a UnitName,
    /// Until when the courtesy of a default may hold it up.
    pub(super) latest: Timestamp,
    /// How far apart its polls are planned to be; `None` as long as nothing is known of it, and by a calendar.
    pub(super) interval: Option<Duration>,
}

impl Gate {
    /// A gate before this client. `wake` is the signal of the loop that begins polls.
    pub(crate) fn new(
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        telemetry: Arc<Telemetry>,
        wake: Wake,
    ) -> Self {
        Self {
            http,
            clock,
            entropy,
            telemetry,
            book: Mutex::default(),
            store: None,
            recalled: OnceCell::new(),
            remembering: tokio::sync::Mutex::default(),
            wake,
            closed: CancellationToken::new(),
        }
    }

    /// The same, with budgets that outlast the process.
    pub(crate) fn remembering(self, store: StoreHandle) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Goes on with the budgets as an earlier process left them. Before the first request.
    pub(super) async fn recall(&self) {
        let Some(store) = &self.store else { return };
        let recalled = self.recalled.get_or_init(|| async {
            match store.read(|store| store.budgets()).await {
                Ok(kept) => self.book().resume(kept, self.clock.now()),
                Err(fault) => warn!(%fault, "what was spent of the limits could not be read"),
            }
        });
        recalled.await;
    }

    /// Leaves alone whom an earlier process was asked to. A person who has one poll made asks all the same.
    pub(super) fn heed_holds(&self) {
        self.book().heed_holds(self.clock.now());
    }

    /// Remembers the budgets that were spent from, and whom servers asked to leave them alone.
    pub(super) async fn remember(&self) {
        let Some(store) = &self.store else { return };
        let _turn = self.remembering.lock().await;
        let kept = {
            let (mut book, now) = (self.book(), self.clock.now());
            let spent = book.take_spent(now);
            spent.into_iter().chain(book.take_holds(now)).collect()
        };
        keep(store, kept).await;
    }

    /// Remembers what a server just asked for: who is killed now would ask again at once.
    async fn remember_holds(&self) {
        let Some(store) = self.store.as_ref().filter(|_| self.book().has_new_holds()) else {
            return;
        };
        let _turn = self.remembering.lock().await;
        let kept = self.book().take_holds(self.clock.now());
        keep(store, kept.into_iter().collect()).await;
    }

    /// Remembers that a slow budget is spent from, before it is.
    async fn remember_first(&self, account: &Account) {
        let Some(store) = &self.store else { return };
        if self.book().slow_ones_of(account, self.clock.now()).is_empty() {
            return;
        }
        let _turn = self.remembering.lock().await;
        let kept = self.book().slow_ones_of(account, self.clock.now());
        keep(store, kept).await;
    }

    /// Sends away whoever waits, and whoever would have to: a poll that somebody asked for by hand ends as held back.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a poll begin, or says what bars it. `places` is how many more polls may begin at all. One that is let in
    /// must be told to be [`Gate::over`].
    ///
    /// # Errors
    /// What bars it, and until when at least.
    pub(super) fn admit(&self, applicant: &Applicant<'_>, places: usize) -> Result<(), Barrier> {
        self.book().admit(applicant, places, self.clock.now())
    }

    /// When a poll of a source may make its first request, as far as is known.
    pub(super) fn opens(&self, source: &Source, unit: &UnitName) -> Timestamp {
        let now = self.clock.now();
        let Some(origin) = source.url.origin() else { return now };
        self.book()
            .look(&source.account(unit), &origin, now)
            .map_or_else(|shut| shut.until(), |()| now)
    }

    /// Sleeps until a time, but not for long, and not when the process ends.
    pub(super) async fn doze(&self, until: Timestamp) {
        let wait = until.since(self.clock.now()).clamp(Duration::from_millis(1), SWEEP_PERIOD);
        self.closed.run_until_cancelled(tokio::time::sleep(wait)).await;
    }

    /// Whether nobody waits any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// A poll that was let in is over.
    pub(super) fn over(&self, unit: &UnitName) {
        self.book().over(unit);
    }

    /// Whether a source had more than its share of what it shares with others.
    pub(super) fn is_greedy(&self, source: &Source) -> bool {
        self.book().is_greedy(source)
    }

    /// Goes on with what was spent of a source's own budget under its former name, unless there is something under its own.
    pub(super) fn carry(&self, was: &SourceName, allowance: &Allowance) {
        self.book().carry(was, allowance, self.clock.now());
    }

    /// Says who shares the written budgets.
    pub(super) fn share(&self, shared: &[(Allowance, Sharers)]) {
        self.book().share(shared, self.clock.now());
    }

    /// Forgets that units wait which do not any more, and what is known of those that are not declared.
    pub(super) fn keep(
        &self,
        waits: impl Fn(&UnitName) -> bool,
        is_declared: impl Fn(&UnitName) -> bool,
    ) {
        self.book().keep(waits, is_declared);
    }

    /// What the next poll of a unit is planned on: the prices of its budgets, and what a poll costs.
    pub(super) fn terms(&self, source: &Source, unit: &UnitName) -> Terms {
        self.book().terms(source, unit, self.clock.now())
    }

    /// What a unit's next poll is expected to cost, in requests.
    pub(super) fn cost(&self, unit: &UnitName) -> f64 {
        self.book().cost(unit)
    }

    /// A unit's next poll is planned to be made after `interval`, `None` by a calendar. Says by how much what is left, by
    /// the server's word, makes it hold back.
    pub(super) fn stretch(
        &self,
        account: &Account,
        source: &Source,
        interval: Option<Duration>,
    ) -> Option<Stretch> {
        let origin = source.url.origin()?;
        self.book().stretch(account, &origin, (source.every, interval), self.clock.now())
    }

    /// How a unit stands with its budgets and with the server.
    pub(super) fn standing(&self, source: &Source, unit: &UnitName) -> Standing {
        self.book().standing(source, unit, self.clock.now())
    }

    /// Shows how much of the budgets is in use.
    pub(super) fn show(&self) {
        let now = self.clock.now();
        for (holder, ratio) in self.book().used(now) {
            self.telemetry.set_budget_used(&holder, ratio);
        }
    }

    /// Waits until a request may be made, and pays for it.
    async fn pay(
        &self,
        account: Arc<Account>,
        origin: String,
    ) -> Result<Flight<'_>, TransportFault> {
        let seats = self.book().seats(&account, self.clock.now());
        let mut held = Vec::with_capacity(seats.len());
        // The widest budget first, in the same order for all: nobody waits for whoever waits for them.
        for seat in seats {
            let permit = seat.acquire_owned().await;
            held.push(permit.map_err(|_| TransportFault::Interrupted)?);
        }
        let mut waiting = None;
        loop {
            let now = self.clock.now();
            let entered = self.book().enter(&account, &origin, now);
            let Err(shut) = entered else {
                let flight =
                    Flight { gate: self, account, origin, paid: now, _seats: held, ended: false };
                self.remember_first(&flight.account).await;
                return Ok(flight);
            };
            let wait = shut.until().since(now);
            let is_too_long = matches!(shut, Shut::ByServer(_)) && wait > HELD_REQUEST_WAIT_MAX;
            if is_too_long || self.closed.is_cancelled() {
                let sentence = "the API allows no more requests for now";
                let fault = Box::new(Fault::source("held_back", sentence));
                return Err(TransportFault::Held { fault, wait });
            }
            waiting.get_or_insert_with(|| Waiting::begin(self, Arc::clone(&account)));
            let pause = tokio::time::sleep(wait.clamp(Duration::from_millis(1), SWEEP_PERIOD));
            self.closed.run_until_cancelled(pause).await;
        }
    }

    /// Learns from what an exchange came to.
    fn learn(
        &self,
        mut flight: Flight<'_>,
        host: &str,
        result: Result<Response, TransportFault>,
    ) -> Result<Response, TransportFault> {
        flight.ended = true;
        let (now, wall, unit) = (self.clock.now(), self.clock.wall(), self.entropy.unit());
        let (account, origin) = (&flight.account, &flight.origin);
        let mut book = self.book();
        match result {
            Ok(response) => {
                let pacing = Pacing::of(&response, wall);
                let tally = book.tally(account, origin, now);
                let free = tally.hear(&response, &pacing, &account.backoff, (now, unit));
                if let Some(free) = free {
                    book.give_back(account, &free, (flight.paid, now));
                }
                book.outage.answered(host);
                let held = pacing.hold.filter(|(scope, _)| *scope == Scope::Host);
                let place = book.origin(origin, now);
                if let Some((_, wait)) = held {
                    place.hold_until(now.after(wait));
                }
                let is_open = if response.status >= 500 && held.is_none() {
                    place.breaker.fail(&account.unit, &account.backoff, (now, unit)).then_some(true)
                } else {
                    place.breaker.succeed().then_some(false)
                };
                book.note_holds(account, origin, now);
                drop(book);
                self.tell(origin, is_open);
                Ok(response)
            }
            Err(fault) => {
                book.tally(account, origin, now).lose();
                if is_out_of_reach(&fault)
                    && let Some(ours) = book.lose_reach(host, &fault, now)
                {
                    return Err(ours);
                }
                let is_open = is_the_origins(&fault).then(|| {
                    let breaker = &mut book.origin(origin, now).breaker;
                    breaker.fail(&account.unit, &account.backoff, (now, unit)).then_some(true)
                });
                drop(book);
                self.tell(origin, is_open.flatten());
                Err(fault)
            }
        }
    }

    /// A request that no poll makes: nobody pays, and whether the network is there is learned all the same.
    async fn look_on(&self, request: Request) -> Result<Response, TransportFault> {
        let host = request.url.host_str().map(str::to_owned);
        let result = self.http.exchange(request).await;
        let Some(host) = host else { return result };
        match result {
            Ok(response) => {
                self.book().outage.answered(&host);
                Ok(response)
            }
            Err(fault) if is_out_of_reach(&fault) => {
                Err(self.book().lose_reach(&host, &fault, self.clock.now()).unwrap_or(fault))
            }
            Err(fault) => Err(fault),
        }
    }

    fn tell(&self, origin: &str, is_open: Option<bool>) {
        match is_open {
            Some(true) => {
                warn!(origin, "one request after the other fails: one probe at a time is made");
            }
            Some(false) => {
                info!(origin, "the origin answers again");
                self.wake.ring();
            }
            None => {}
        }
    }
}

impl HttpClient for Gate {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let Some((account, origin, host)) = payer(&request) else {
            return Box::pin(self.look_on(request));
        };
        Box::pin(async move {
            let flight = self.pay(account, origin).await?;
            let result = self.http.exchange(request).await;
            let learned = self.learn(flight, &host, result);
            self.remember_holds().await;
            learned
        })
    }

    fn exchange_long(&self, request: Request, seed: u64) -> LongExchange<'_> {
        let Some((account, origin, host)) = payer(&request) else {
            return self.http.exchange_long(request, seed);
        };
        Box::pin(async move {
            let flight = self.pay(account, origin).await?;
            let (result, spool) = match self.http.exchange_long(request, seed).await {
                Ok((response, spool)) => (Ok(response), spool),
                Err(fault) => (Err(fault), None),
            };
            let learned = self.learn(flight, &host, result);
            self.remember_holds().await;
            Ok((learned?, spool))
        })
    }
}

/// Makes it outlast the process. If that cannot be, requests are made all the same: polls will find out why.
async fn keep(store: &StoreHandle, kept: Vec<(Holder, Kept)>) {
    if kept.is_empty() {
        return;
    }
    match store.write(Write::Budgets(kept)).await {
        Ok(_) => {}
        Err(StoreError::Stopped) => debug!("what is spent of the limits is not kept"),
        Err(fault) => warn!(%fault, "what is spent of the limits could not be kept"),
    }
}

/// Who pays for a request, to which origin and host it goes. Files cost nothing.
fn payer(request: &Request) -> Option<(Arc<Account>, String, String)> {
    let account = request.way.account.clone()?;
    let host = request.url.host_str()?.to_owned();
    Some((account, http::origin(&request.url).into_owned(), host))
}

/// Whether a fault says something about the other side.
fn is_the_origins(fault: &TransportFault) -> bool {
    matches!(
        fault,
        TransportFault::Resolve { .. }
            | TransportFault::Connect { .. }
            | TransportFault::Tls { .. }
            | TransportFault::Timeout { .. }
            | TransportFault::Drip { .. }
            | TransportFault::Cut { .. }
            | TransportFault::Protocol { .. }
    )
}

/// A request under way. Given up, it is counted as such.
struct Flight<'g> {
    gate: &'g Gate,
    account: Arc<Account>,
    origin: String,
    /// When it was paid for.
    paid: Timestamp,
    _seats: Vec<OwnedSemaphorePermit>,
    ended: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let now = self.gate.clock.now();
            self.gate.book().tally(&self.account, &self.origin, now).lose();
        }
    }
}

/// A request that waits in the middle of a poll: whoever begins lets it go first.
struct Waiting<'g> {
    gate: &'g Gate,
    account: Arc<Account>,
}

impl<'g> Waiting<'g> {
    fn begin(gate: &'g Gate, account: Arc<Account>) -> Self {
        gate.book().set_waiting(&account, true);
        Self { gate, account }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.book().set_waiting(&self.account, false);
    }
}
