//! The stage: all parts of a simulated world behind one lock, its clock, and the HTTP client that leads into it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::answers;
use super::api::{Answer, Api};
use super::books::{Books, Fact};
use super::bugs::Bug;
use super::notes::Notes;
use super::plan::{Kind, Plan};
use super::receivers::Receivers;
use super::watch::Effect;
use crate::clock::Clock;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::time::Timestamp;
use crate::http::{Exchange, HttpClient};
use crate::store::Store;

/// What the clocks show when the hour begins, in milliseconds since the epoch.
const EPOCH: i64 = 1_800_000_000_000;

/// When the process dies by itself, in commits from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    BeforeCommit(u32),
    AfterCommit(u32),
}

/// Everything that is simulated, and what is known of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) api: Api,
    pub(super) receivers: Receivers,
    pub(super) books: Books,
    pub(super) notes: Notes,
    pub(super) dice: Rng,
    /// The disk is full until then.
    pub(super) full_until: u64,
    /// Polls in a thousand whose commit meets somebody else's.
    pub(super) conflict_rate: u32,
    pub(super) death: Option<Death>,
    /// The process is dead: nothing it does has an effect any more.
    pub(super) is_dead: bool,
}

/// The world, its clocks and its disk.
pub(super) struct Stage {
    world: Mutex<World>,
    /// What survives the process.
    pub(super) disk: Mutex<Box<dyn Store>>,
    began: Instant,
    /// How far the wall clock is from where it should be, in milliseconds.
    wall_offset: AtomicI64,
    /// The same when the process started: its planning clock keeps it.
    plan_offset: AtomicI64,
    /// Rung when the process died by itself.
    pub(super) died: Notify,
    pub(super) bug: Option<Bug>,
}

impl Stage {
    /// Draws a world. Different parts draw from dice of their own.
    pub(super) fn draw(seed: u64, bug: Option<Bug>, disk: Box<dyn Store>) -> Arc<Self> {
        let mut dice = Rng::with_seed(seed);
        let plan = Plan::draw(&mut dice, bug);
        let world = World {
            api: Api::draw(&plan, dice.fork()),
            receivers: Receivers::draw(&plan, dice.fork()),
            plan,
            books: Books::new(EPOCH),
            notes: Notes::default(),
            full_until: 0,
            conflict_rate: [0, 10, 30][dice.usize(..3)],
            death: None,
            is_dead: false,
            dice,
        };
        Arc::new(Self {
            world: Mutex::new(world),
            disk: Mutex::new(disk),
            began: Instant::now(),
            wall_offset: AtomicI64::new(0),
            plan_offset: AtomicI64::new(0),
            died: Notify::new(),
            bug,
        })
    }

    /// The world, at this moment. Never held over an await.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.notes.now = u64::try_from(self.elapsed()).unwrap();
        world.notes.wall = EPOCH + self.elapsed() + self.wall_offset.load(Ordering::Relaxed);
        world
    }

    /// The disk, at this moment.
    pub(super) fn disk(&self) -> MutexGuard<'_, Box<dyn Store>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// Sets the wall clock so far from where the process found it.
    pub(super) fn set_wall(&self, step: i64) {
        let offset = self.plan_offset.load(Ordering::Relaxed) + step;
        self.wall_offset.store(offset, Ordering::Relaxed);
    }

    /// The planning clock of a process that starts now agrees with the wall; says whether it moved. What is stored is
    /// due by the clock that wrote it, so nobody sets the wall back while there is no process.
    pub(super) fn start_clock(&self) -> bool {
        let before = self.plan_offset.load(Ordering::Relaxed);
        let offset = self.wall_offset.load(Ordering::Relaxed).max(before);
        self.wall_offset.store(offset, Ordering::Relaxed);
        self.plan_offset.store(offset, Ordering::Relaxed);
        self.world().books.epoch = EPOCH + offset;
        offset != before
    }

    /// The process dies here and now.
    pub(super) fn die(&self, world: &mut World) {
        world.is_dead = true;
        world.death = None;
        self.died.notify_one();
    }
}

/// The clocks of the process.
pub(super) struct StageClock(pub(super) Arc<Stage>);

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(
            EPOCH + self.0.elapsed() + self.0.plan_offset.load(Ordering::Relaxed),
        )
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.0.world().notes.wall)
    }
}

/// The way out of the process.
pub(super) struct StageClient(pub(super) Arc<Stage>);

impl HttpClient for StageClient {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let stage = Arc::clone(&self.0);
        Box::pin(async move {
            let name = request.url.path_segments().and_then(|mut path| path.next());
            let name = name.unwrap_or_default().to_owned();
            match (request.url.host_str(), Kind::named(&name)) {
                (Some("api.example"), Some(kind)) => stage.poll(kind.name(), request).await,
                _ => stage.ring(&name, request).await,
            }
        })
    }
}

/// Counts down when a request to the API ends, however it does.
struct PollUnderWay(Arc<Stage>, &'static str);

impl Drop for PollUnderWay {
    fn drop(&mut self) {
        let mut world = self.0.world();
        if world.is_dead {
            world.notes.sometimes("crash: during a poll");
        }
        if let Some(desk) = world.api.desks.get_mut(self.1) {
            desk.watch.in_flight -= 1;
        }
    }
}

/// Counts down when an attempt ends, however it does.
struct AttemptUnderWay {
    stage: Arc<Stage>,
    endpoint: String,
    item: (String, String),
    /// It was accepted, and the answer has not arrived.
    is_unanswered: bool,
}

impl Drop for AttemptUnderWay {
    fn drop(&mut self) {
        let mut world = self.stage.world();
        if let Some(receiver) = world.receivers.all.get_mut(self.endpoint.as_str()) {
            receiver.end(&self.item);
        }
        if self.is_unanswered {
            world.notes.sometimes("crash: between acceptance and commit");
        }
    }
}

/// A dead process waits for ever.
async fn dead() -> Result<Response, TransportFault> {
    std::future::pending().await
}

impl Stage {
    async fn poll(
        self: Arc<Self>,
        name: &'static str,
        request: Request,
    ) -> Result<Response, TransportFault> {
        let Some((way, _under_way)) = self.set_out(name, &request) else { return dead().await };
        sleep(way).await;
        let mut answer = {
            let world = &mut *self.world();
            let mut answer = world.api.answer(name, &request, &world.books, &mut world.notes);
            self.spoil_answer(&request, &mut answer, &mut world.dice);
            answer
        };
        let left = request.deadline.saturating_sub(way);
        if answer.after > left {
            let fault = TransportFault::Timeout { phase: "reading", after: request.deadline };
            answer = Answer { after: left, result: Err(fault), effect: Effect::Failed };
        }
        sleep(answer.after).await;
        let world = &mut *self.world();
        let told = answer.result.as_ref().map(|response| response.status);
        world.notes.line(&format!("answer {name} {:?}", told.map_err(|_| "fault")));
        if let Some(desk) = world.api.desks.get_mut(name) {
            desk.watch.arrived(answer.effect, &mut world.notes);
        }
        answer.result
    }

    /// A request to the API is sent; `None` when nothing is sent any more.
    fn set_out(
        self: &Arc<Self>,
        name: &'static str,
        request: &Request,
    ) -> Option<(Duration, PollUnderWay)> {
        let world = &mut *self.world();
        if world.is_dead {
            return None;
        }
        let World { plan, api, books, notes, .. } = world;
        let way = api.way();
        let desk = api.desks.get_mut(name)?;
        notes.line(&format!("poll {name} {}", request.url.query().unwrap_or("")));
        notes.hold(desk.watch.in_flight == 0, "one poll at a time", || name.to_owned());
        if request.url.query().is_none() {
            notes.add("polls", 1);
            desk.watch.begin(&plan.sources[name], books, notes);
        }
        desk.watch.in_flight += 1;
        Some((way, PollUnderWay(Arc::clone(self), name)))
    }

    async fn ring(
        self: Arc<Self>,
        name: &str,
        request: Request,
    ) -> Result<Response, TransportFault> {
        let Some((fact, way, mut under_way)) = self.send(name, &request) else {
            return dead().await;
        };
        sleep(way).await;
        let mut reply = {
            let world = &mut *self.world();
            if world.is_dead {
                None
            } else {
                let World { plan, receivers, books, notes, dice, .. } = world;
                // It may have been replayed meanwhile.
                let fact = books.facts.get(&fact.id).unwrap_or(&fact);
                let is_staged = receivers.is_staged;
                let receiver = receivers.all.get_mut(name).unwrap();
                receiver.arrive(fact, &plan.endpoints[name], &request, notes);
                let reply = receiver.reply(&request, (dice, is_staged), notes);
                if reply.is_accepted {
                    receiver.accept(fact, notes.now);
                }
                Some(reply)
            }
        };
        let Some(reply) = &mut reply else { return dead().await };
        under_way.is_unanswered = reply.is_accepted;
        sleep(reply.after.min(request.deadline.saturating_sub(way))).await;
        under_way.is_unanswered = false;
        let world = &mut *self.world();
        let receiver = world.receivers.all.get_mut(name).unwrap();
        if reply.is_accepted && reply.result.is_err() {
            world.notes.sometimes("receiver: answer lost");
        }
        match reply.quiet {
            Some(quiet) => {
                world.notes.sometimes("receiver: Retry-After");
                let wait = u64::try_from(quiet.as_millis()).unwrap();
                let until = world.notes.now + wait;
                receiver.asked.insert(fact.id.clone(), until);
                receiver.left_alone_until = receiver.left_alone_until.max(until);
            }
            None => _ = receiver.asked.remove(&fact.id),
        }
        if self.bug == Some(Bug::BelievesAnything) {
            return Ok(answers::status(200));
        }
        std::mem::replace(&mut reply.result, Err(TransportFault::Interrupted))
    }

    /// An attempt is sent; `None` when nothing is sent any more, or nothing that may be.
    fn send(
        self: &Arc<Self>,
        name: &str,
        request: &Request,
    ) -> Option<(Fact, Duration, AttemptUnderWay)> {
        let world = &mut *self.world();
        if world.is_dead {
            return None;
        }
        let World { plan, receivers, books, notes, .. } = world;
        let way = receivers.way();
        let id = request.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("");
        let Some(fact) = books.facts.get(id).cloned() else {
            notes.broken("only committed events are sent", &format!("{name}: {id}"));
            return None;
        };
        notes.add("attempts", 1);
        let receiver = receivers.all.get_mut(name).unwrap();
        receiver.begin(&fact, &plan.endpoints[name], books, notes);
        let under_way = AttemptUnderWay {
            stage: Arc::clone(self),
            endpoint: name.to_owned(),
            item: fact.item(),
            is_unanswered: false,
        };
        Some((fact, way, under_way))
    }

    /// What planted bugs make of an answer on its way to the poller.
    fn spoil_answer(&self, request: &Request, answer: &mut Answer, dice: &mut Rng) {
        let is_later = request.url.query().is_some();
        let is_conditional = request.headers.contains_key(http::header::IF_NONE_MATCH);
        match (self.bug, &mut answer.result) {
            (Some(Bug::HastyPoll), Ok(response)) => {
                response.headers.remove(http::header::RETRY_AFTER);
            }
            (Some(Bug::PartialIsComplete), result) if is_later && dice.u32(..3) == 0 => {
                *result = Ok(answers::json(String::from("[]")));
                answer.effect = Effect::Failed;
            }
            (Some(Bug::StaleAnswer), Ok(response))
                if is_conditional && response.status == 200 && dice.u32(..3) == 0 =>
            {
                *response = answers::status(304);
            }
            _ => {}
        }
    }
}
