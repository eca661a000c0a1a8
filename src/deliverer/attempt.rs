//! One attempt: send, judge, commit.

use std::time::Duration;

use std::sync::atomic::Ordering;

use tracing::{debug, error, warn};

use super::Deliverer;
use super::desk::{Desk, Flight, Kept, log_health};
use crate::core::delivery::{AttemptResult, Claim, Started, Subject, Trigger, Verdict, settle};
use crate::core::endpoint::Endpoint;
use crate::core::own::endpoint::{Exhausted, News};
use crate::core::sink::content::Content;
use crate::core::sink::{self, Outbound, Parcel};
use crate::core::time::Timestamp;
use crate::store::{Attempt, AttemptCommit, DeliveryRecord, DueDelivery};

/// What came back of one exchange.
pub(super) struct Sent {
    pub(super) result: AttemptResult,
    pub(super) status: Option<u16>,
    /// The beginning of the receiver's answer, for people.
    pub(super) answer: String,
}

/// What an attempt comes to, still to be committed.
struct Outcome {
    commit: AttemptCommit,
    result: AttemptResult,
    news: Vec<News>,
}

impl Deliverer {
    /// One attempt: send, judge, commit.
    pub(super) async fn attempt(
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
        let is_replay = delivery.trigger == Trigger::Replay;
        let parcel = Parcel { event: &event, made: made.as_ref(), is_replay };
        let outbound = sink::outbound(parcel, endpoint, self.ports.clock.wall());
        let sent = self.send(outbound, endpoint.timeout).await;
        let turn = desk.turn.lock().await;
        let now = self.ports.clock.now();
        let outcome = self.settled(desk, endpoint, &delivery, sent, (began, now));
        // Only now: the endpoint's condition says whether another may go out.
        drop(flight);
        let Outcome { commit, result, news } = outcome;
        // Where the condition is as well as it was, others need not wait for the disk.
        let turn = commit.health.is_some().then_some(turn);
        let verdict = commit.verdict.clone();
        let kept = self.commit_outcome(desk, commit, news).await;
        drop(turn);
        self.tell(&delivery, &result, &verdict, event.at, now.since(began));
        kept
    }

    async fn commit_outcome(&self, desk: &Desk, commit: AttemptCommit, news: Vec<News>) -> Kept {
        let (delivery, is_other) = (commit.delivery, commit.health.is_some());
        let untold = if is_other { news.clone() } else { Vec::new() };
        let written = self.commit(&desk.name, commit, &news).await;
        let is_kept = match written {
            Ok(Ok(_)) => return Kept(true),
            Ok(Err(refusal)) => {
                debug!(%delivery, %refusal, "the outcome of an attempt was not wanted");
                true
            }
            Err(fault) => {
                error!(%delivery, %fault, "the outcome of an attempt could not be kept");
                false
            }
        };
        desk.is_unkept.fetch_or(is_other, Ordering::Relaxed);
        desk.keep_untold(untold);
        Kept(is_kept)
    }

    pub(super) async fn send(&self, outbound: Outbound, deadline: Duration) -> Sent {
        let result = match outbound {
            Outbound::Http(request) => {
                let exchange = self.ports.http.exchange(*request).await;
                let result = sink::judge(exchange.as_ref(), self.ports.clock.wall());
                let bytes_max = result.answer_bytes_max();
                let answer = exchange
                    .map(|response| self.shown_answer(&response.body, bytes_max))
                    .unwrap_or_default();
                return Sent { status: result.status(), result, answer };
            }
            Outbound::Line(line) => sink::judge_line(self.ports.lines.write(line, deadline).await),
            Outbound::FileLine { path, line } => {
                sink::judge_line(self.ports.lines.append(path, line, deadline).await)
            }
            Outbound::Unready(fault) => AttemptResult::unsent(fault),
        };
        Sent { result, status: None, answer: String::new() }
    }

    fn shown_answer(&self, body: &[u8], bytes_max: usize) -> String {
        if body.is_empty() {
            return String::new();
        }
        let beginning = body.get(..bytes_max).unwrap_or(body);
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
    ) -> Outcome {
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
        let item = (&delivery.source, &delivery.entry, &delivery.key);
        let subject = Subject::of(item, (&desk.name, endpoint.order));
        let after = health.after(&result, subject, (&endpoint.breaker, &endpoint.retry), now, unit);
        let verdict = settle(claim, &result, &endpoint.retry, &after, now, unit);
        log_health(&health, &after);
        desk.pace_by(&health, &after, matches!(result, AttemptResult::Accepted { .. }));
        let mut news = desk.take_untold();
        news.extend(health.news(&after));
        let worth_keeping =
            desk.is_unkept.swap(false, Ordering::Relaxed) || !(health.is_well() && after.is_well());
        *health = after.clone();
        drop(health);
        let counted = !matches!(verdict, Verdict::NotCounted { .. });
        let number = delivery.attempts + u32::from(counted);
        if let Verdict::Exhausted { reason } = &verdict {
            news.extend(given_up(delivery, number, reason));
        }
        let attempt = counted.then(|| Attempt {
            number,
            at: began,
            took: now.since(began),
            status,
            fault: result.fault().cloned(),
            answer,
        });
        let health = worth_keeping.then_some(after);
        let started = counted.then_some(started);
        let delivery = delivery.id;
        let commit =
            AttemptCommit { delivery, attempt, verdict, started, health, own: None, at: now };
        Outcome { commit, result, news }
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
}

/// What doorbell has to say of a delivery that is given up.
pub(super) fn given_up(delivery: &DeliveryRecord, attempts: u32, reason: &str) -> Option<News> {
    News::exhausted(Exhausted { attempts, ..delivery.given_up(reason) })
}
