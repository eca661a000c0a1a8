//! The deliverer: sends what is due and commits what came of it. The imperative shell – what to send is
//! [`outbound`]'s word, what an answer means [`judge`]'s and [`settle`]'s.
//!
//! [`outbound`]: crate::core::sink::outbound
//! [`judge`]: crate::core::sink::judge
//! [`settle`]: crate::core::delivery::settle
//!
//! A delivery's bytes were made with its event. Only where an endpoint's expressions failed then are they made here, and
//! written down before they are sent.
//!
//! One desk per endpoint, so that a slow or dead receiver delays no other. A desk needs no input: it looks into the
//! store for deliveries that are due, and again whenever it is woken or a period has passed. What a commit hands over is
//! a short cut for a desk that has all the rest. Claims live in memory: a killed process has attempted nothing that it
//! will not attempt again.

mod attempt;
mod desk;
mod hand;
mod own;
mod start;
#[cfg(test)]
mod tests;
mod trial;
mod unmade;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use self::desk::{Desk, Flight, Found, Kept, Looking, Tray};
use crate::clock::{Clock, Entropy};
use crate::core::delivery::EndpointHealth;
use crate::core::endpoint::Endpoint;
use crate::core::ids::EndpointName;
use crate::core::limits::{ATTEMPTS_PER_REQUEST_MAX, CLAIMS_AHEAD_MAX, SWEEP_PERIOD};
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::http::HttpClient;
use crate::lines::LineWriter;
use crate::store::handle::StoreHandle;
use crate::store::{Due, DueDelivery, Read, StoreError, Write};
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
    /// Held by who opens desks, and by who changes a condition: neither works with what the other has just replaced.
    opening: tokio::sync::Mutex<()>,
    /// Held by who numbers what doorbell itself says.
    telling: tokio::sync::Mutex<()>,
}

impl Deliverer {
    /// A deliverer over these ports; `wake` is the signal its loop listens to.
    pub(crate) fn new(
        ports: Ports,
        roster: watch::Receiver<Arc<Roster>>,
        wake: Wake,
        grace: Duration,
    ) -> Arc<Self> {
        let (opening, telling) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { ports, roster, wake, grace, desks: Mutex::default(), opening, telling })
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
        let mut missing: Vec<_> = {
            let desks = self.desks();
            let missing = roster.endpoints.iter().filter(|(name, _)| !desks.contains_key(*name));
            missing.map(|(_, endpoint)| Arc::clone(endpoint)).collect()
        };
        if let Err(fault) = self.take_over(&roster).await {
            return warn!(%fault, "what waits under former names could not be taken over; trying later");
        }
        // What is under way to a former name ends first.
        let is_free = |endpoint: &Arc<Endpoint>| {
            endpoint.was.as_ref().is_none_or(|was| !self.desks().contains_key(was))
        };
        missing.retain(is_free);
        if missing.is_empty() {
            return;
        }
        let _opening = self.opening.lock().await;
        let known = match self.ports.store.read(|store| store.endpoints()).await {
            Ok(known) => known.into_iter().collect::<BTreeMap<_, _>>(),
            Err(fault) => {
                return warn!(%fault, "the endpoints' condition could not be read; trying later");
            }
        };
        for endpoint in missing {
            let (now, name) = (self.ports.clock.now(), endpoint.name.clone());
            let found = |health: &EndpointHealth| health.found(&endpoint.breaker, now);
            let health = known.get(&name).map_or_else(|| EndpointHealth::new(now), found);
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
        let mut tray = Tray::new(self.ports.store.fresh(&desk.name));
        self.redeclare(&desk, &endpoint, false).await;
        self.hasten(&desk, &endpoint).await;
        loop {
            let declared = self.roster.borrow().endpoints.get(&desk.name).cloned();
            let Some(declared) = declared else { break };
            if !Arc::ptr_eq(&declared, &endpoint) {
                let is_other = declared != endpoint;
                endpoint = declared;
                self.redeclare(&desk, &endpoint, is_other).await;
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
                Some(due) = tray.fresh.recv() => self.take_fresh(&desk, &endpoint, &mut tray, due),
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
        tray.pace.keep_to(&endpoint.limit, now);
        let (admitted, opens) = loop {
            let (admitted, opens) = desk.health().admits(endpoint.concurrency, now);
            let at_once = desk.ramped(admitted);
            let is_full = desk.in_flight.load(Ordering::Relaxed) >= at_once
                || tray.attempts.len() >= at_once.saturating_mul(ATTEMPTS_PER_REQUEST_MAX);
            if is_full || tray.ready.is_empty() {
                break (admitted, opens);
            }
            if let Err(opens) = tray.pace.pay(now) {
                break (admitted, Some(opens));
            }
            let Some(due) = tray.ready.pop_front() else { break (admitted, opens) };
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
        let next = if tray.ready.is_empty() && admitted > 0 { tray.look_at } else { opens };
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
        // Nothing goes out meanwhile that this could hold up.
        let is_idle = tray.ready.is_empty() && tray.attempts.is_empty();
        Box::pin(async move {
            let look = move |store: &dyn Read| {
                let due = store.due(&name, now, rows_max, &claimed)?;
                let next = if due.is_empty() { store.next_due(&name, now)? } else { None };
                Ok((due, next))
            };
            if is_idle { store.read_here(look).await } else { store.read(look).await }
        })
    }

    /// Takes what was handed over into the tray, unless it has to wait: then it waits in the store.
    fn take_fresh(&self, desk: &Desk, endpoint: &Endpoint, tray: &mut Tray, due: DueDelivery) {
        let (admitted, _) = desk.health().admits(endpoint.concurrency, self.ports.clock.now());
        if admitted > 0 {
            tray.claim_fresh(due);
        }
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
                Due::Whole(due) => tray.claim(*due),
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
}

/// Waits for what is looked for; for ever if nothing is.
async fn seen(looking: &mut Option<Looking>) -> Result<Found, StoreError> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Deliverer")
    }
}
