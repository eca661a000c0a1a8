//! Why a source is polled when it is: the numbers behind its next poll, and one honest paragraph about them.

use std::time::Duration;

use crate::core::source::{Source, SourceState};
use crate::core::time::{Timestamp, humane};

use super::rate::Factors;
use super::wait::{Pending, pending};
use super::{DAY_S, Every, Stretch, Terms};

/// The numbers behind the next poll of a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explanation {
    /// Since when it is watched, or its past is known.
    pub(crate) since: Timestamp,
    pub(crate) last_change: Option<Timestamp>,
    /// Changes a day: in the long run, and expected now.
    pub(crate) per_day: f64,
    pub(crate) per_day_now: f64,
    pub(crate) factors: Factors,
    /// The hours of a weekday and of a day of the weekend, in UTC, relative to the mean over the week.
    pub(crate) week: [f64; 48],
    pub(crate) terms: Terms,
    /// The waiting at which it is polled, in seconds.
    pub(crate) need_s: f64,
    /// What is expected to be unseen now.
    pub(crate) pending: Pending,
    /// What sets the time of the next poll, in a word.
    pub(crate) cause: &'static str,
    /// All of it for a person.
    pub(crate) sentence: String,
}

/// How a source stands with its budgets and with the server it asks.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Standing {
    /// The written limits that hold, the narrowest first.
    pub(crate) budgets: Vec<BudgetStanding>,
    /// The server wants nobody with these credentials, or nobody at all, to ask before.
    pub(crate) held_until: Option<Timestamp>,
    /// How many requests the server says are left, and until when.
    pub(crate) left: Option<(u64, Timestamp)>,
    /// By how much those who adapt hold back for that to last.
    pub(crate) stretch: Option<Stretch>,
    /// Whether the server does not charge for the answer that nothing changed.
    pub(crate) is_unchanged_free: bool,
    /// Whether the origin fails, so that it is only probed.
    pub(crate) is_failing: bool,
    /// What it waits for although it is due, and since when.
    pub(crate) waits: Option<(&'static str, Timestamp)>,
    /// The server asked not to be asked for this before, or would give the same answer.
    pub(crate) not_before: Option<Timestamp>,
}

/// How a source stands with one written limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BudgetStanding {
    pub(crate) name: String,
    /// Requests a second to spend on average.
    pub(crate) planned: f64,
    /// How much of the limit is in use, `1.0` being all that was written.
    pub(crate) used: f64,
    /// The part of what was spent lately that this source had.
    pub(crate) share: f64,
    /// How many sources and entries share it.
    pub(crate) sharers: u32,
    /// Its price, in seconds of waiting for one request.
    pub(crate) theta: f64,
}

/// Explains the next poll of a source.
pub(crate) fn explain(
    source: &Source,
    state: &SourceState,
    (terms, standing): (Terms, &Standing),
    now: Timestamp,
) -> Explanation {
    let rate = &state.rate;
    let mean = rate.mean(now);
    let seen = state.last_success.unwrap_or(now);
    let cause = cause(source, state, (terms, standing), mean);
    let mut found = Explanation {
        since: rate.born(),
        last_change: rate.last_change(),
        per_day: mean * DAY_S,
        per_day_now: rate.stretch(now, mean).rate * DAY_S,
        factors: rate.factors(now),
        week: rate.week(),
        terms,
        need_s: terms.need(mean, source.every),
        pending: pending(rate, seen, now.since(seen)),
        cause,
        sentence: String::new(),
    };
    found.sentence = [
        how(source),
        found.habits(now),
        found.worth(source),
        told(standing, now),
        next(source, state, cause, now),
    ]
    .into_iter()
    .filter(|sentence| !sentence.is_empty())
    .collect::<Vec<_>>()
    .join(" ");
    found
}

/// What sets the time of the next poll.
fn cause(
    source: &Source,
    state: &SourceState,
    (terms, standing): (Terms, &Standing),
    mean: f64,
) -> &'static str {
    let interval = state.schedule.interval;
    match source.every {
        _ if source.paused => "paused",
        _ if state.ended.is_some() => "ended",
        _ if state.schedule.failures > 0 => "backoff",
        _ if source.cron.is_some() => "cron",
        _ if is_asked_for(source, state, standing) => "server",
        Every::Fixed(_) => "fixed",
        Every::Range { .. } if state.last_success.is_none() => "first",
        Every::Range { .. } if is_held_back(state, standing) => "left",
        Every::Range { min, .. } if interval <= min => "min",
        Every::Range { max, .. } if interval >= max => "max",
        Every::Range { .. } if is_new(state, terms) => "new",
        Every::Range { .. } if terms.interval_min() >= interval && mean > 0.0 => "share",
        Every::Range { .. } => "price",
    }
}

/// Whether the server's word sets the time.
fn is_asked_for(source: &Source, state: &SourceState, standing: &Standing) -> bool {
    let due = state.schedule.due;
    let is_late = match (source.every, state.last_poll) {
        // What a cache says does not hold for a fixed interval.
        (Every::Fixed(every), Some(last)) => due.since(last) > every + Duration::from_secs(1),
        _ => true,
    };
    is_late && standing.not_before == Some(due)
}

/// Whether what is left, by the server's word, sets the time.
fn is_held_back(state: &SourceState, standing: &Standing) -> bool {
    let planned = state.last_poll.map(|last| last.after(state.schedule.interval.mul_f64(1.01)));
    standing.stretch.is_some() && planned.is_some_and(|planned| state.schedule.due > planned)
}

/// Whether it is still looked at closely because little is known of it.
fn is_new(state: &SourceState, terms: Terms) -> bool {
    let seen = state.last_success.unwrap_or(state.schedule.due);
    let age = state.rate.age(seen);
    matches!(terms, Terms::Unshared { .. }) && state.schedule.interval >= (age / 2).mul_f64(0.94)
}

fn how(source: &Source) -> String {
    let name = &source.name;
    if let Some(cron) = &source.cron {
        return format!("{name} is polled by a calendar, `{}`.", cron.as_str());
    }
    match source.every {
        Every::Fixed(every) => format!("{name} is polled every {}, which is fixed.", humane(every)),
        Every::Range { min, max } => format!(
            "{name} is polled every {} to {}, sooner when news is likely.",
            humane(min),
            humane(max)
        ),
    }
}

impl Explanation {
    fn habits(&self, now: Timestamp) -> String {
        let watched = humane(now.since(self.since));
        let Some(last) = self.last_change else {
            let expected = times_a(self.per_day);
            return format!(
                "No change was seen in {watched} of watching: at most {expected} is expected."
            );
        };
        let text = format!(
            "It is known for {watched} and lately changes {}, last {} ago.",
            times_a(self.per_day),
            humane(whole_seconds(now.since(last)))
        );
        let minute = self.factors.minute.map_or_else(String::new, |(minute, now)| {
            format!("; it keeps to minute {minute} of the hour, so right now {}", factor(now))
        });
        format!(
            "{text} At this hour of the week that is {}, and so long after a change {}{minute}: {} is expected now.",
            factor(self.factors.hour),
            factor(self.factors.gap),
            times_a(self.per_day_now)
        )
    }

    fn worth(&self, source: &Source) -> String {
        if matches!(source.every, Every::Fixed(_)) || source.cron.is_some() {
            return String::new();
        }
        let has_limit = source.budgets.iter().any(|budget| !budget.limit.is_empty());
        let need = amount(self.need_s);
        let price = match self.terms {
            Terms::Unshared { .. } if has_limit => String::from(
                "What a request of its budget is worth is known while the daemon runs.",
            ),
            Terms::Unshared { weight } if weight > 1.0 => format!(
                "No limit is written for it, so a request is worth {need} of waiting, by its bounds and its weight {weight}."
            ),
            Terms::Unshared { .. } => format!(
                "No limit is written for it, so a request is worth {need} of waiting, by its bounds alone."
            ),
            Terms::Shared { theta, weight, cost, .. } => format!(
                "The price of its budget is {}{}, which makes {need} of waiting for a source as busy as this, of weight {weight}.",
                amount(theta),
                costs(cost)
            ),
        };
        let Pending { unseen, waiting } = self.pending;
        format!(
            "{price} By now {unseen:.2} changes are expected unseen, that have waited {} together.",
            amount(waiting)
        )
    }
}

/// What a poll costs, unless that is one request.
fn costs(cost: f64) -> String {
    if (cost - 1.0).abs() < 0.05 {
        return String::new();
    }
    format!(" for each request, of which a poll costs {cost:.1}")
}

/// What its budgets, its server and the queue before them have to say.
fn told(standing: &Standing, now: Timestamp) -> String {
    let mut told = Vec::new();
    for BudgetStanding { name, planned, used, share, sharers, .. } in &standing.budgets {
        told.push(format!(
            "The limit of {name} is planned at {} for {sharers} in all; {:.0} % of it is in use, and lately {:.0} % of what was spent went to this source.",
            requests(*planned),
            used * 100.0,
            share * 100.0
        ));
    }
    if let Some((left, until)) = standing.left {
        let wait = humane(whole_seconds(until.since(now)));
        let tight = standing.stretch.filter(|stretch| stretch.factor > 1.05);
        let held_back = tight.map_or_else(String::new, |stretch| {
            let factor = stretch.factor.min(1_000.0);
            format!(", so that intervals are {factor:.1} times as long until then")
        });
        told.push(format!("The server says that {left} requests are left for {wait}{held_back}."));
    }
    if standing.is_unchanged_free {
        told.push(String::from("It does not charge for the answer that nothing changed."));
    }
    if let Some(until) = standing.held_until {
        let wait = humane(whole_seconds(until.since(now)));
        told.push(format!("The server asked to be left alone for {wait}."));
    }
    if standing.is_failing {
        told.push(String::from("Its origin fails for several sources, and is only probed."));
    }
    if let Some((what, since)) = standing.waits {
        let what = match what {
            "budget" => "a place in its budget",
            "server" => "the server to allow more",
            "courtesy" => "its turn at this origin",
            _ => "its origin",
        };
        let wait = humane(whole_seconds(now.since(since)));
        told.push(format!("It is due and has been waiting for {what} for {wait}."));
    }
    told.join(" ")
}

fn requests(per_second: f64) -> String {
    match per_second {
        ..0.05 => format!("{:.1} requests an hour", per_second * 3_600.0),
        ..3.0 => format!("{:.1} requests a minute", per_second * 60.0),
        _ => format!("{per_second:.1} requests a second"),
    }
}

fn next(source: &Source, state: &SourceState, cause: &str, now: Timestamp) -> String {
    let due = state.schedule.due;
    let when = if due > now {
        format!(
            "Next poll in {}",
            humane(whole_seconds(due.since(now)).max(Duration::from_secs(1)))
        )
    } else {
        String::from("The next poll is due")
    };
    let interval = humane(whole_seconds(state.schedule.interval));
    match cause {
        "paused" => String::from("It is paused: nothing is asked."),
        "ended" => String::from("It has ended: `until` became true of its item."),
        "backoff" => {
            let failures = state.schedule.failures;
            let polls = if failures == 1 { "poll" } else { "polls in a row" };
            let why = state
                .fault
                .as_ref()
                .map_or_else(String::new, |failing| format!(" ({})", failing.0.sentence));
            format!(
                "{failures} {polls} failed{why}. {when}, by the backoff up to {} or what the server asked for.",
                humane(source.backoff.max())
            )
        }
        "fixed" | "cron" => format!("{when}."),
        "server" => format!("{when}: the server asked for that."),
        "first" => format!("{when}: it is the first."),
        "min" => format!("{when}: MIN is what keeps it from being sooner."),
        "max" => format!("{when}: so little is expected that MAX decides."),
        "new" => format!(
            "{when}: little is known of it yet, so it is looked at again after half the time it is known for."
        ),
        "left" => format!("{when}: what the server says is left has to last until there is more."),
        "share" => format!("{when}: more often would be more than its share of the budget."),
        _ => format!("{when}, {interval} after the last: then the waiting is worth a request."),
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    if duration < Duration::from_secs(1) {
        duration
    } else {
        Duration::from_secs(duration.as_secs())
    }
}

/// A rate as people say it.
fn times_a(per_day: f64) -> String {
    match per_day {
        ..0.14 => format!("{:.1} times a month", per_day * 30.0),
        ..1.0 => format!("{:.1} times a week", per_day * 7.0),
        ..48.0 => format!("{per_day:.1} times a day"),
        ..2_880.0 => format!("{:.1} times an hour", per_day / 24.0),
        _ => format!("{:.1} times a minute", per_day / 1_440.0),
    }
}

fn factor(factor: f64) -> String {
    match factor {
        0.9..1.1 => String::from("as usual"),
        _ => format!("{factor:.1} times the usual"),
    }
}

/// Seconds as people say them.
fn amount(seconds: f64) -> String {
    match seconds {
        ..1e-4 => format!("{:.2} µs", seconds * 1e6),
        ..0.1 => format!("{:.2} ms", seconds * 1e3),
        ..10.0 => format!("{seconds:.2} s"),
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}
