//! The deliverer: sends what is due and commits what came of it. The imperative shell – what to send is
//! [`sink::outbound`]'s word, what an answer means [`sink::judge`]'s and [`settle`]'s.
//!
//! A delivery's bytes were made with its event. Only where an endpoint's expressions failed then are they made here, and
//! written down before they are sent.
//!
//! One desk per endpoint, so that a slow or dead receiver delays no other. A desk takes no input: it looks into the
//! store for deliveries that are due, and again whenever it is woken or a period has passed. Claims live in memory: a
//! killed process has attempted nothing that it will not attempt again.

mod trial;
mod unmade;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::clock::{Clock, Entropy};
use crate::core::delivery::{
    AttemptResult, Breaker, Claim, EndpointHealth, Started, Verdict, settle,
};
use crate::core::endpoint::Endpoint;
use crate::core::ids::{DeliveryId, EndpointName};
use crate::core::limits::{
    ATTEMPTS_PER_REQUEST_MAX, CLAIMS_AHEAD_MAX, RECORDED_ANSWER_BYTES_MAX, SWEEP_PERIOD,
};
use crate::core::roster::Roster;
use crate::core::sink::content::Content;
use crate::core::sink::{self, Outbound, Parcel};
use crate::core::time::Timestamp;
use crate::http::HttpClient;
use crate::lines::LineWriter;
use crate::store::handle::StoreHandle;
use crate::store::{Attempt, AttemptCommit, DeliveryRecord, Due, DueDelivery, StoreError, Write};
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

/// Everything the deliverer touches.
pub(crate) struct Ports {
    pub(crate) store: StoreHandle,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) lines: Arc<dyn LineWriter>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Receivers may echo what they were sent, and their answers are kept.
    pub(crate) redactor: Redactor,
}

/// Sends deliveries to all endpoints.
pub(crate) struct Deliverer {
    ports: Ports,
    roster: watch::Receiver<Arc<Roster>>,
    /// Rung when there may be new deliveries, or other endpoints.
    wake: Wake,
    /// How long attempts under way may take to end when the process stops.
    grace: Duration,
    desks: Mutex<BTreeMap<EndpointName, Arc<Desk>>>,
}

/// One endpoint's place in memory.
struct Desk {
    name: EndpointName,
    wake: Wake,
    health: Mutex<EndpointHealth>,
    /// The store has another condition than this one: a write of it failed.
    is_unkept: AtomicBool,
    /// Requests under way. An attempt goes on after its request, until its outcome is on disk.
    in_flight: AtomicUsize,
    /// Rung when a request has ended.
    landed: Wake,
}

/// A request under way; counted until dropped.
struct Flight<'a>(&'a Desk);

/// What a desk holds between looks.
#[derive(Default)]
struct Tray {
    ready: VecDeque<DueDelivery>,
    /// Ready or under way: still pending in the store, and not to be taken twice.
    claimed: BTreeSet<DeliveryId>,
    attempts: JoinSet<Kept>,
    under_way: HashMap<Id, DeliveryId>,
    /// When the store will have more; `None` when it should be asked now.
    look_at: Option<Timestamp>,
    /// The store being asked, while what is ready goes out.
    looking: Option<Looking>,
}

/// What is due and not claimed yet; if that is nothing, when something will be.
type Found = (Vec<Due>, Option<Timestamp>);

type Looking = Pin<Box<dyn Future<Output = Result<Found, StoreError>> + Send>>;

/// What came back of one exchange.
struct Sent {
    result: AttemptResult,
    status: Option<u16>,
    /// The beginning of the receiver's answer, for people.
    answer: String,
}

/// Whether an attempt's outcome was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept(bool);

impl Deliverer {
    /// A deliverer over these ports; `wake` is the signal its loop listens to.
    pub(crate) fn new(
        ports: Ports,
        roster: watch::Receiver<Arc<Roster>>,
        wake: Wake,
        grace: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { ports, roster, wake, grace, desks: Mutex::default() })
    }

    /// Keeps one desk per declared endpoint at work until `stop`; returns when all of them have drained.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut running: JoinSet<EndpointName> = JoinSet::new();
        loop {
            self.ports.telemetry.alive("deliverer", self.ports.clock.now());
            self.open_desks(&mut running, &stop).await;
            for desk in self.desks().values() {
                desk.wake.ring();
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                    Ok(name) => drop(self.desks().remove(&name)),
                    // A desk that was felled by a fault of ours fells the process: its endpoint would go unserved.
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                () = self.wake.rung() => {}
                () = tokio::time::sleep(SWEEP_PERIOD) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Tries a failing or disabled endpoint again now, by a person's word.
    ///
    /// # Errors
    /// The store's. False when no such endpoint was ever known.
    pub(crate) async fn resume(&self, name: &EndpointName) -> Result<bool, StoreError> {
        let desk = self.desks().get(name).cloned();
        if let Some(desk) = desk {
            self.reopen(&desk).await;
            desk.wake.ring();
            return Ok(true);
        }
        let known = self.ports.store.read(|store| store.endpoints()).await?;
        let Some((_, health)) = known.into_iter().find(|(known, _)| known == name) else {
            return Ok(false);
        };
        let health = health.reopened(self.ports.clock.now());
        let written = self.ports.store.write(Write::Health { name: name.clone(), health }).await?;
        Ok(written.is_ok())
    }

    fn desks(&self) -> MutexGuard<'_, BTreeMap<EndpointName, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a desk for every declared endpoint that has none.
    async fn open_desks(
        self: &Arc<Self>,
        running: &mut JoinSet<EndpointName>,
        stop: &CancellationToken,
    ) {
        let roster = self.roster.borrow().clone();
        let missing: Vec<_> = {
            let desks = self.desks();
            let missing = roster.endpoints.iter().filter(|(name, _)| !desks.contains_key(*name));
            missing.map(|(_, endpoint)| Arc::clone(endpoint)).collect()
        };
        if missing.is_empty() {
            return;
        }
        let known = match self.ports.store.read(|store| store.endpoints()).await {
            Ok(known) => known.into_iter().collect::<BTreeMap<_, _>>(),
            Err(fault) => {
                return warn!(%fault, "the endpoints' condition could not be read; trying later");
            }
        };
        for endpoint in missing {
            let (now, name) = (self.ports.clock.now(), endpoint.name.clone());
            let health = known.get(&name).cloned().unwrap_or_else(|| EndpointHealth::new(now));
            if !known.contains_key(&name) {
                let write = Write::Endpoint { name: name.clone(), now };
                if let Err(fault) = self.ports.store.write(write).await {
                    warn!(endpoint = %name, %fault, "the endpoint could not be noted; trying later");
                    continue;
                }
            }
            let desk = Desk::new(name.clone(), health);
            self.desks().insert(name.clone(), Arc::clone(&desk));
            let (deliverer, stop) = (Arc::clone(self), stop.clone());
            let span = info_span!("endpoint", endpoint = %name);
            running
                .spawn(async move { deliverer.serve(desk, endpoint, stop).await }.instrument(span));
        }
    }

    /// One endpoint's loop: take what is due, attempt it, note what ended. Ends when the endpoint is no longer
    /// declared, or at `stop` when its attempts have ended or the grace has passed.
    async fn serve(
        self: Arc<Self>,
        desk: Arc<Desk>,
        mut endpoint: Arc<Endpoint>,
        stop: CancellationToken,
    ) -> EndpointName {
        let mut tray = Tray::default();
        loop {
            let declared = self.roster.borrow().endpoints.get(&desk.name).cloned();
            let Some(declared) = declared else { break };
            if !Arc::ptr_eq(&declared, &endpoint) {
                if declared != endpoint {
                    self.reopen(&desk).await;
                }
                endpoint = declared;
            }
            let wait = self.dispatch(&desk, &endpoint, &mut tray);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = tray.attempts.join_next_with_id(), if !tray.attempts.is_empty() => {
                    self.note(&mut tray, ended);
                    while let Some(ended) = tray.attempts.try_join_next_with_id() {
                        self.note(&mut tray, ended);
                    }
                }
                () = desk.landed.rung() => {}
                found = seen(&mut tray.looking) => self.take(&mut tray, found).await,
                () = desk.wake.rung() => tray.look_at = None,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let drain = async { while tray.attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.grace, drain).await.is_err() {
            info!(
                abandoned = tray.attempts.len(),
                "attempts under way are abandoned and made again later"
            );
        }
        desk.name.clone()
    }

    /// Starts as many attempts as the endpoint admits, and a look for more before they run out; says how long nothing
    /// more will be due.
    fn dispatch(
        self: &Arc<Self>,
        desk: &Arc<Desk>,
        endpoint: &Arc<Endpoint>,
        tray: &mut Tray,
    ) -> Duration {
        let now = self.ports.clock.now();
        let (admitted, probe_at) = loop {
            let (admitted, probe_at) = desk.health().admits(endpoint.concurrency, now);
            let is_full = desk.in_flight.load(Ordering::Relaxed) >= admitted
                || tray.attempts.len() >= admitted.saturating_mul(ATTEMPTS_PER_REQUEST_MAX);
            let due = if is_full { None } else { tray.ready.pop_front() };
            let Some(due) = due else { break (admitted, probe_at) };
            self.start(desk, endpoint, tray, due);
        };
        let is_low = tray.ready.len() <= endpoint.concurrency.min(CLAIMS_AHEAD_MAX / 2);
        if admitted > 0
            && is_low
            && tray.looking.is_none()
            && tray.look_at.is_none_or(|at| at <= now)
        {
            // Whoever rings from here on wants another look.
            tray.look_at = Some(now.after(SWEEP_PERIOD));
            tray.looking = Some(self.look(desk, tray, now));
        }
        let next = if tray.ready.is_empty() && admitted > 0 { tray.look_at } else { probe_at };
        next.map_or(SWEEP_PERIOD, |at| at.since(now)).min(SWEEP_PERIOD)
    }

    fn start(
        self: &Arc<Self>,
        desk: &Arc<Desk>,
        endpoint: &Arc<Endpoint>,
        tray: &mut Tray,
        due: DueDelivery,
    ) {
        let id = due.delivery.id;
        let (deliverer, desk, endpoint) =
            (Arc::clone(self), Arc::clone(desk), Arc::clone(endpoint));
        // Counted from here on, not from when the task first runs.
        desk.in_flight.fetch_add(1, Ordering::Relaxed);
        let attempt = async move {
            let flight = Flight(&desk);
            deliverer.attempt(&desk, &endpoint, flight, due).await
        };
        tray.under_way.insert(tray.attempts.spawn(attempt.in_current_span()).id(), id);
    }

    /// Asks the store for what is due and not claimed.
    fn look(&self, desk: &Desk, tray: &Tray, now: Timestamp) -> Looking {
        let (store, name, claimed) =
            (self.ports.store.clone(), desk.name.clone(), tray.claimed.clone());
        let rows_max = CLAIMS_AHEAD_MAX.saturating_sub(tray.ready.len());
        Box::pin(async move {
            let found = store.read(move |store| {
                let due = store.due(&name, now, rows_max, &claimed)?;
                let next = if due.is_empty() { store.next_due(&name, now)? } else { None };
                Ok((due, next))
            });
            found.await
        })
    }

    /// Takes what was found into the tray, or learns when there will be something.
    async fn take(&self, tray: &mut Tray, found: Result<Found, StoreError>) {
        tray.looking = None;
        let now = self.ports.clock.now();
        let (due, next) = match found {
            Ok(found) => found,
            Err(fault) => {
                warn!(%fault, "due deliveries could not be read; trying later");
                tray.look_at = Some(now.after(SWEEP_PERIOD));
                return;
            }
        };
        // There may be more where these came from.
        tray.look_at =
            if due.is_empty() { tray.look_at.map(|at| next.unwrap_or(at)) } else { None };
        for due in due {
            match due {
                Due::Whole(due) => {
                    tray.claimed.insert(due.delivery.id);
                    tray.ready.push_back(*due);
                }
                Due::Damaged(record) => {
                    let reason = "what is stored of it is damaged";
                    self.bury(&record, reason, now).await;
                }
            }
        }
    }

    fn note(&self, tray: &mut Tray, ended: Result<(Id, Kept), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        if let Some(delivery) = tray.under_way.remove(&id) {
            tray.claimed.remove(&delivery);
        }
        match ended {
            Ok((_, Kept(true))) => tray.look_at = None,
            // Sent, but the outcome is not on disk: it will be sent again. Not in a hot loop.
            Ok((_, Kept(false))) => self.put_back(tray),
            Err(panic) => {
                error!(%panic, "an attempt failed by a fault of ours");
                self.put_back(tray);
            }
        }
    }

    /// Gives up what is ready but not under way, for a while.
    fn put_back(&self, tray: &mut Tray) {
        for due in tray.ready.drain(..) {
            tray.claimed.remove(&due.delivery.id);
        }
        tray.looking = None;
        tray.look_at = Some(self.ports.clock.now().after(SWEEP_PERIOD));
    }

    /// One attempt: send, judge, commit.
    async fn attempt(
        &self,
        desk: &Desk,
        endpoint: &Endpoint,
        flight: Flight<'_>,
        due: DueDelivery,
    ) -> Kept {
        let DueDelivery { delivery, event, content } = due;
        let began = self.ports.clock.now();
        let made = match content {
            Content::Envelope => None,
            Content::Made(made) => Some(made),
            Content::Unmade => match self.make(&delivery, &event, endpoint, began).await {
                Ok(made) => Some(made),
                Err(kept) => return kept,
            },
        };
        let parcel = Parcel { event: &event, made: made.as_ref() };
        let outbound = sink::outbound(parcel, endpoint, self.ports.clock.wall());
        let sent = self.send(outbound, endpoint.timeout).await;
        let now = self.ports.clock.now();
        let (commit, result) = self.settled(desk, endpoint, &delivery, sent, (began, now));
        // Only now: the endpoint's condition says whether another may go out.
        drop(flight);
        let verdict = commit.verdict.clone();
        let has_health = commit.health.is_some();
        let kept = match self.ports.store.write(Write::Attempt(Box::new(commit))).await {
            Ok(Ok(_)) => true,
            Ok(Err(refusal)) => {
                debug!(delivery = %delivery.id, %refusal, "the outcome of an attempt was not wanted");
                desk.is_unkept.fetch_or(has_health, Ordering::Relaxed);
                true
            }
            Err(fault) => {
                desk.is_unkept.fetch_or(has_health, Ordering::Relaxed);
                error!(delivery = %delivery.id, %fault, "the outcome of an attempt could not be kept");
                false
            }
        };
        self.tell(&delivery, &result, &verdict, event.at, now.since(began));
        Kept(kept)
    }

    async fn send(&self, outbound: Outbound, deadline: Duration) -> Sent {
        match outbound {
            Outbound::Http(request) => {
                let exchange = self.ports.http.exchange(*request).await;
                let result = sink::judge(exchange.as_ref(), self.ports.clock.wall());
                let answer =
                    exchange.map(|response| self.shown_answer(&response.body)).unwrap_or_default();
                Sent { status: result.status(), result, answer }
            }
            Outbound::Line(line) => {
                let result = sink::judge_line(self.ports.lines.write(line, deadline).await);
                Sent { result, status: None, answer: String::new() }
            }
            Outbound::Unready(fault) => {
                let result = AttemptResult::unsent(fault);
                Sent { result, status: None, answer: String::new() }
            }
        }
    }

    fn shown_answer(&self, body: &[u8]) -> String {
        if body.is_empty() {
            return String::new();
        }
        let beginning = body.get(..RECORDED_ANSWER_BYTES_MAX).unwrap_or(body);
        self.ports.redactor.clean(&String::from_utf8_lossy(beginning))
    }

    /// Decides what the answer means for the delivery and for its endpoint.
    fn settled(
        &self,
        desk: &Desk,
        endpoint: &Endpoint,
        delivery: &DeliveryRecord,
        sent: Sent,
        (began, now): (Timestamp, Timestamp),
    ) -> (AttemptCommit, AttemptResult) {
        let Sent { result, status, answer } = sent;
        let mut health = desk.health();
        let started =
            delivery.started.unwrap_or(Started { at: began, suspended: health.suspended(began) });
        let claim = Claim {
            delivery: delivery.id,
            endpoint: desk.name.clone(),
            attempts: delivery.attempts,
            started: Some(started),
        };
        let unit = self.ports.entropy.unit();
        let verdict = settle(claim, &result, &endpoint.retry, &health, now, unit);
        let lane = delivery.lane.unwrap_or_else(|| i64::from_le_bytes(delivery.id.0.to_le_bytes()));
        let after = health.after(&result, lane, (&endpoint.breaker, &endpoint.retry), now, unit);
        log_health(&health, &after);
        let worth_keeping =
            desk.is_unkept.swap(false, Ordering::Relaxed) || !(health.is_well() && after.is_well());
        *health = after.clone();
        drop(health);
        let counted = !matches!(verdict, Verdict::NotCounted { .. });
        let attempt = counted.then(|| Attempt {
            number: delivery.attempts + 1,
            at: began,
            took: now.since(began),
            status,
            fault: result.fault().cloned(),
            answer,
        });
        let health = worth_keeping.then_some(after);
        let started = counted.then_some(started);
        (
            AttemptCommit { delivery: delivery.id, attempt, verdict, started, health, at: now },
            result,
        )
    }

    fn tell(
        &self,
        delivery: &DeliveryRecord,
        result: &AttemptResult,
        verdict: &Verdict,
        detected: Timestamp,
        took: Duration,
    ) {
        let telemetry = &self.ports.telemetry;
        telemetry.attempted(&delivery.endpoint, result, took);
        match verdict {
            Verdict::Delivered => {
                let latency = self.ports.clock.wall().since(detected);
                telemetry.delivered(&delivery.endpoint, latency);
                debug!(event = %delivery.event_id, delivery = %delivery.id, "delivered");
            }
            Verdict::RetryAt(at) => {
                let fault = result.fault().map(ToString::to_string).unwrap_or_default();
                warn!(event = %delivery.event_id, delivery = %delivery.id, %fault, again = %at, "not accepted");
            }
            Verdict::Exhausted { reason } => {
                telemetry.exhausted(&delivery.endpoint);
                error!(event = %delivery.event_id, delivery = %delivery.id, %reason, "given up; `doorbell replay` sends it again");
            }
            Verdict::NotCounted { due } => {
                let fault = result.fault().map(ToString::to_string).unwrap_or_default();
                warn!(delivery = %delivery.id, %fault, again = %due, "not attempted by a fault of ours");
            }
        }
    }

    /// Another declaration, or a person's word, gives an endpoint that is left alone another chance.
    async fn reopen(&self, desk: &Desk) {
        let reopened = {
            let mut health = desk.health();
            if matches!(health.breaker, Breaker::Closed) {
                return;
            }
            *health = health.reopened(self.ports.clock.now());
            health.clone()
        };
        info!(endpoint = %desk.name, "the endpoint is tried again");
        let write = Write::Health { name: desk.name.clone(), health: reopened };
        if let Err(fault) = self.ports.store.write(write).await {
            desk.is_unkept.store(true, Ordering::Relaxed);
            warn!(%fault, "the endpoint's condition could not be kept");
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.landed.ring();
    }
}

impl Desk {
    fn new(name: EndpointName, health: EndpointHealth) -> Arc<Self> {
        Arc::new(Self {
            name,
            wake: Wake::default(),
            health: Mutex::new(health),
            is_unkept: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            landed: Wake::default(),
        })
    }

    fn health(&self) -> std::sync::MutexGuard<'_, EndpointHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for what is looked for; for ever if nothing is.
async fn seen(looking: &mut Option<Looking>) -> Result<Found, StoreError> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

fn log_health(before: &EndpointHealth, after: &EndpointHealth) {
    match (before.breaker, after.breaker) {
        (Breaker::Closed, Breaker::Open { .. }) => {
            let fault = after.fault.as_ref().map(ToString::to_string).unwrap_or_default();
            warn!(failures = after.failures, %fault, "the endpoint is failing; its events wait, probes go on");
        }
        (Breaker::Open { .. } | Breaker::Disabled { .. }, Breaker::Closed) => {
            info!("the endpoint is back");
        }
        (Breaker::Closed | Breaker::Open { .. }, Breaker::Disabled { .. }) => {
            warn!(
                "the endpoint answered 410 Gone and is disabled; its events wait for `doorbell endpoints resume`"
            );
        }
        _ => {}
    }
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Deliverer")
    }
}
