//! Why a source is polled when it is.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;

use super::Shared;
use super::problem::Problem;
use super::view::FaultView;
use crate::core::ids::{EntryKey, SourceName, UnitName};
use crate::core::schedule::explain::{BudgetStanding, Explanation, Standing, explain};
use crate::core::schedule::{Every, Terms};
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;

/// Which unit of a source is meant.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// Of a source with entries; without it, the one that is due next.
    entry: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ExplainView {
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entry: String,
    explanation: String,
    cause: &'static str,
    every: EveryView,
    interval_s: f64,
    next_poll: Option<String>,
    last_poll: Option<String>,
    rate: RateView,
    profile: ProfileView,
    burst: BurstView,
    /// The minute of the hour it keeps to, if it does.
    minute: Option<usize>,
    price: PriceView,
    /// What the server asks of whoever polls, beside the waits in `backoff`.
    pacing: Option<PacingView>,
    /// What it waits for although it is due.
    waiting: Option<WaitingView>,
    backoff: BackoffView,
}

#[derive(Debug, Serialize)]
struct EveryView {
    min_s: f64,
    max_s: f64,
    fixed: bool,
}

#[derive(Debug, Serialize)]
struct RateView {
    per_day: f64,
    per_day_now: f64,
    known_since: String,
    last_change: Option<String>,
}

/// Relative to the mean over the week, hours in UTC.
#[derive(Debug, Serialize)]
struct ProfileView {
    now: f64,
    weekday: Vec<f64>,
    weekend: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct BurstView {
    /// How many times the usual rate, so long after the last change.
    factor: f64,
    since_last_change_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PriceView {
    /// `none` where nobody wrote a limit or no daemon runs, else `shared`.
    budget: &'static str,
    /// Of a shared budget, in seconds of waiting for one request.
    theta_s: Option<f64>,
    weight: f64,
    /// What a poll costs, in requests; pages and checks count, and what the server does not charge for does not.
    cost: f64,
    need_s: f64,
    waiting_s: f64,
    unseen: f64,
    /// The written limits that hold, the narrowest first.
    budgets: Vec<BudgetView>,
}

#[derive(Debug, Serialize)]
struct BudgetView {
    name: String,
    planned_per_s: f64,
    used_ratio: f64,
    /// Of what was spent lately.
    share: f64,
    sharers: u32,
    theta_s: f64,
}

impl BudgetView {
    fn of(standing: &BudgetStanding) -> Self {
        Self {
            name: standing.name.clone(),
            planned_per_s: digits(standing.planned),
            used_ratio: digits(standing.used),
            share: digits(standing.share),
            sharers: standing.sharers,
            theta_s: digits(standing.theta),
        }
    }
}

#[derive(Debug, Serialize)]
struct PacingView {
    /// Of this source alone.
    not_before: Option<String>,
    /// Of all who ask with the same credentials, or this host.
    held_until: Option<String>,
    left: Option<u64>,
    left_until: Option<String>,
    /// By how much intervals are longer, for that to last.
    stretch: Option<f64>,
    /// Whether the server charges for the answer that nothing changed, as far as its figures tell.
    unchanged_free: bool,
    /// Whether the origin fails, and is only probed.
    failing: bool,
}

impl PacingView {
    fn of(standing: &Standing) -> Option<Self> {
        let is_told = standing.not_before.is_some()
            || standing.held_until.is_some()
            || standing.left.is_some()
            || standing.is_unchanged_free
            || standing.is_failing;
        is_told.then(|| Self {
            not_before: standing.not_before.map(Timestamp::to_rfc3339),
            held_until: standing.held_until.map(Timestamp::to_rfc3339),
            left: standing.left.map(|(left, _)| left),
            left_until: standing.left.map(|(_, until)| until.to_rfc3339()),
            stretch: standing.stretch.map(|stretch| digits(stretch.factor)),
            unchanged_free: standing.is_unchanged_free,
            failing: standing.is_failing,
        })
    }
}

#[derive(Debug, Serialize)]
struct WaitingView {
    /// `budget`, `server`, `origin` or `courtesy`.
    r#for: &'static str,
    since: String,
}

#[derive(Debug, Serialize)]
struct BackoffView {
    failures: u32,
    max_s: f64,
    fault: Option<FaultView>,
}

pub(super) async fn show(
    State(context): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<ExplainView>, Problem> {
    let (roster, name) = (context.operations.roster(), SourceName::new(name));
    let Some(source) = roster.sources.get(&name) else {
        return Err(Problem::not_found(format!("there is no source {name}")));
    };
    let (wanted, entry) = (name.clone(), query.entry.map(EntryKey::new));
    let found = context.store.read(move |store| {
        if let Some(entry) = entry {
            let state = store.source(&UnitName::of(&wanted, &entry))?;
            return Ok(state.map(|state| (entry, state)));
        }
        let mut states = store.entries(&wanted)?;
        states.retain(|(_, state)| state.left.is_none() && state.ended.is_none());
        let soonest = states.into_iter().min_by_key(|(_, state)| state.schedule.due);
        let own = store.source(&UnitName::from(&wanted))?;
        Ok(soonest.or(own.map(|state| (EntryKey::new(String::new()), state))))
    });
    let Some((entry, stored)) = found.await? else {
        return Err(Problem::not_found(format!("{name} was not polled yet")));
    };
    let unit = UnitName::of(&name, &entry);
    let state = context.operations.state(&unit).unwrap_or(stored);
    let now = context.clock.now();
    let (terms, standing) = context.operations.standing(source, &unit);
    let found = explain(source, &state, (terms, &standing), now);
    Ok(Json(ExplainView::of(source, &entry, &state, (&found, &standing), now)))
}

impl ExplainView {
    fn of(
        source: &Source,
        entry: &EntryKey,
        state: &SourceState,
        (found, standing): (&Explanation, &Standing),
        now: Timestamp,
    ) -> Self {
        let rest = matches!(found.cause, "paused" | "ended");
        let hours = |day: usize| found.week.iter().skip(day * 24).take(24).copied().map(digits);
        let since = found.last_change.map(|at| digits(now.since(at).as_secs_f64()));
        let (budget, theta_s, weight, cost) = match found.terms {
            Terms::Unshared { weight } => ("none", None, weight, 1.0),
            Terms::Shared { theta, weight, cost, .. } => {
                ("shared", Some(digits(theta)), weight, digits(cost))
            }
        };
        Self {
            source: source.name.to_string(),
            entry: entry.to_string(),
            explanation: found.sentence.clone(),
            cause: found.cause,
            every: EveryView {
                min_s: source.every.min().as_secs_f64(),
                max_s: source.every.max().as_secs_f64(),
                fixed: matches!(source.every, Every::Fixed(_)),
            },
            interval_s: digits(state.schedule.interval.as_secs_f64()),
            next_poll: (!rest).then(|| state.schedule.due.to_rfc3339()),
            last_poll: state.last_poll.map(Timestamp::to_rfc3339),
            rate: RateView {
                per_day: digits(found.per_day),
                per_day_now: digits(found.per_day_now),
                known_since: found.since.to_rfc3339(),
                last_change: found.last_change.map(Timestamp::to_rfc3339),
            },
            profile: ProfileView {
                now: digits(found.factors.hour),
                weekday: hours(0).collect(),
                weekend: hours(1).collect(),
            },
            burst: BurstView { factor: digits(found.factors.gap), since_last_change_s: since },
            minute: found.factors.minute.map(|(minute, _)| minute),
            price: PriceView {
                budget,
                theta_s,
                weight,
                cost,
                need_s: digits(found.need_s),
                waiting_s: digits(found.pending.waiting),
                unseen: digits(found.pending.unseen),
                budgets: standing.budgets.iter().map(BudgetView::of).collect(),
            },
            pacing: PacingView::of(standing),
            waiting: standing
                .waits
                .map(|(what, since)| WaitingView { r#for: what, since: since.to_rfc3339() }),
            backoff: BackoffView {
                failures: state.schedule.failures,
                max_s: source.backoff.max().as_secs_f64(),
                fault: state.fault.as_deref().map(|(fault, _)| FaultView::of(fault)),
            },
        }
    }
}

/// Four digits are more than is known.
fn digits(number: f64) -> f64 {
    match number.abs() {
        1_000.0.. => number.round(),
        0.1.. => (number * 10_000.0).round() / 10_000.0,
        // The price of a request may be millionths of a second.
        _ => format!("{number:.3e}").parse().unwrap_or(number),
    }
}
