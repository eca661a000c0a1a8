//! One life of the process: both loops, from a start to a crash or an orderly end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stage::{Stage, StageClient, StageClock};
use super::witness::Witness;
use crate::clock::{Clock, Entropy, Random};
use crate::core::ids::{EndpointName, SourceName, UnitName};
use crate::core::report::Mode;
use crate::core::retention::NOTHING_FORGOTTEN;
use crate::core::roster::Roster;
use crate::deliverer::{self, Deliverer};
use crate::http::HttpClient;
use crate::lines::Lines;
use crate::poller::gate::Gate;
use crate::poller::hold::Decision;
use crate::poller::{self, Poller};
use crate::store::handle::StoreHandle;
use crate::store::{DeliveryFilter, Write};
use crate::telemetry::{Redactor, Telemetry};
use crate::wake::Wake;

/// How long attempts under way may take to end at an orderly stop.
const GRACE: Duration = Duration::from_secs(8);
/// How long an orderly stop may take.
const STOP_MAX: Duration = Duration::from_secs(20);

/// The process.
pub(super) struct Process {
    stage: Arc<Stage>,
    tasks: JoinSet<()>,
    /// What people asked for, which the end does not wait for.
    by_hand: JoinSet<()>,
    stop: CancellationToken,
    store: StoreHandle,
    poller: Arc<Poller>,
    deliverer: Arc<Deliverer>,
    roster: watch::Sender<Arc<Roster>>,
    poll: Wake,
    deliver: Wake,
    pub(super) started: u64,
}

impl Process {
    /// Starts over what is on the disk.
    pub(super) fn start(stage: &Arc<Stage>, seed: u64) -> Self {
        let store = StoreHandle::inline(Box::new(Witness(Arc::clone(stage))));
        let clock: Arc<dyn Clock> = Arc::new(StageClock(Arc::clone(stage)));
        let entropy: Arc<dyn Entropy> = Arc::new(Random::seeded(seed));
        let telemetry = Arc::new(Telemetry::new());
        let (roster, declared) = watch::channel(stage.world().plan.roster());
        let (poll, deliver) = (Wake::default(), Wake::default());
        let gate = Gate::new(
            Arc::new(StageClient(Arc::clone(stage))),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            Arc::clone(&telemetry),
            poll.clone(),
        );
        let gate = Arc::new(gate.remembering(store.clone()));
        let http = Arc::clone(&gate) as Arc<dyn HttpClient>;
        let poller = Poller::new(
            poller::Ports {
                store: store.clone(),
                http: Arc::clone(&http),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                telemetry: Arc::clone(&telemetry),
                redactor: Redactor::default(),
                deliver: deliver.clone(),
                gate,
                retained: watch::channel(NOTHING_FORGOTTEN).1,
            },
            declared.clone(),
            poll.clone(),
        );
        let deliverer = Deliverer::new(
            deliverer::Ports {
                store: store.clone(),
                http,
                lines: Arc::new(Lines::default()),
                clock,
                entropy,
                telemetry,
                redactor: Redactor::default(),
            },
            declared,
            deliver.clone(),
            GRACE,
        );
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&poller).run(stop.clone()));
        tasks.spawn(Arc::clone(&deliverer).run(stop.clone()));
        let started = stage.world().notes.now;
        Self {
            stage: Arc::clone(stage),
            tasks,
            by_hand: JoinSet::new(),
            stop,
            store,
            poller,
            deliverer,
            roster,
            poll,
            deliver,
            started,
        }
    }

    /// Ends at whatever await it is at.
    pub(super) async fn kill(mut self) {
        self.stage.world().is_dead = true;
        self.tasks.shutdown().await;
        self.by_hand.shutdown().await;
    }

    /// Ends in order, as on SIGTERM.
    pub(super) async fn drain(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(STOP_MAX, ended).await.is_ok();
        self.by_hand.shutdown().await;
        let world = &mut *self.stage.world();
        world.notes.hold(in_time || world.is_dead, "an orderly stop ends in time", || {
            String::from("it did not")
        });
    }

    /// Takes on the plan in force.
    pub(super) fn reload(&self) {
        let roster = self.stage.world().plan.roster();
        self.roster.send_replace(roster);
        self.poll.ring();
        self.deliver.ring();
    }

    /// Polls a source at once.
    pub(super) fn poll_by_hand(&mut self, name: &'static str, mode: Mode) {
        let (poller, stage) = (Arc::clone(&self.poller), Arc::clone(&self.stage));
        self.by_hand.spawn(async move {
            let by_hand = ByHand::begin(stage, name, mode);
            // Its faults are in its report, and the books know better.
            drop(poller.poll(&UnitName::new(name), mode).await);
            drop(by_hand);
        });
    }

    /// Decides what is held.
    pub(super) fn decide(&mut self, name: &'static str, decision: Decision) {
        let poller = Arc::clone(&self.poller);
        self.by_hand
            .spawn(async move { drop(poller.decide(&SourceName::new(name), decision).await) });
    }

    /// Nothing is sent to an endpoint until it is resumed.
    pub(super) async fn pause(&self, name: &'static str) {
        {
            let mut world = self.stage.world();
            world.notes.line(&format!("pause {name}"));
            world.notes.sometimes("endpoint paused");
        }
        // A store that is full says so; it is paused all the same until the process ends.
        drop(self.deliverer.pause(&EndpointName::new(name)).await);
    }

    /// Gives disabled endpoints another chance, and ends pauses.
    pub(super) async fn resume(&self) {
        let stopped = self.stage.world().stopped();
        for name in stopped {
            {
                let mut world = self.stage.world();
                world.notes.line(&format!("resume {name}"));
                world.notes.sometimes("endpoint resumed");
            }
            // A store that is full says so; it is asked again some time.
            drop(self.deliverer.resume(&EndpointName::new(name)).await);
        }
    }

    /// Sends what was given up once more.
    pub(super) async fn replay(&self) {
        let filter =
            DeliveryFilter { status: Some(String::from("exhausted")), ..DeliveryFilter::default() };
        let now = StageClock(Arc::clone(&self.stage)).now();
        // A store that is full says so; it is asked again some time.
        drop(self.store.write(Write::Replay { filter, now, spacing: Duration::ZERO }).await);
        self.deliver.ring();
    }
}

/// A poll by hand, from the asking to the end.
struct ByHand(Arc<Stage>, &'static str, Mode);

impl ByHand {
    fn begin(stage: Arc<Stage>, name: &'static str, mode: Mode) -> Self {
        let this = Self(stage, name, mode);
        this.count(1);
        this
    }

    fn count(&self, step: i32) {
        let world = &mut *self.0.world();
        let what = if step > 0 { "asks for" } else { "has" };
        world.notes.line(&format!("somebody {what} a poll of {} ({:?})", self.1, self.2));
        if let Some(desk) = world.api.desks.get_mut(self.1) {
            desk.watch.by_hand_until = world.notes.now;
            desk.watch.by_hand = desk.watch.by_hand.saturating_add_signed(step);
            // What a dry run sees is not kept.
            if self.2 == Mode::DryRun {
                desk.watch.dry_runs = desk.watch.dry_runs.saturating_add_signed(step);
                desk.watch.disturb();
            }
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.count(-1);
    }
}
