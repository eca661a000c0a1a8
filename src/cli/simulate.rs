//! `doorbell simulate`: what the schedule would have come to on somebody's own record of changes.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Common, Usage, print, table};
use crate::core::time::Timestamp;
use crate::core::trace::figures::Figures;
use crate::core::trace::read::read;
use crate::core::trace::replay::replay;
use crate::core::trace::{INTERVAL_MIN, Span, Trace, rivals};

/// More requests than this take minutes to replay, and nobody means them.
const REQUESTS_MAX: f64 = 300e6;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file has a line `source_id,unix_seconds` for each change; an empty time declares a source that may never\nchange. All sources share the budget, the average to spend; no clock hour gets more than 1.25 times that. Polls are 10 s\nto 24 h apart, everything is learned from nothing, and nothing is asked or written: the time is virtual.\n\nExamples:\n  doorbell simulate --events changes.csv --budget 100/h\n  doorbell simulate --events changes.csv --budget 5/m --from 1777680000 --to 1780099200 --json"
)]
pub(crate) struct Args {
    /// The changes: lines of `source_id,unix_seconds`.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The requests to spend on average, for all sources together: `2/s`, `30/m`, `82/h`, `500/d`.
    #[arg(long, value_name = "RATE")]
    budget: String,
    /// Where to begin, in seconds since 1970; by default at the start of the first day with a change.
    #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
    from: Option<i64>,
    /// Where to stop; by default at the end of the last day with a change.
    #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
    to: Option<i64>,
}

/// What was replayed, and what each way of polling came to.
struct Findings<'args> {
    budget: &'args str,
    span: Span,
    sources: usize,
    events: usize,
    /// By name, as in the answer in JSON.
    policies: [(&'static str, Figures); 3],
}

pub(crate) fn run(args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    let budget = rate(&args.budget)?;
    let file = args.events.display();
    let text = std::fs::read(&args.events).with_context(|| format!("reading {file}"))?;
    let trace = read(&text).map_err(|error| Usage(format!("{file}: {error}")))?;
    if trace.sources.is_empty() {
        return Err(Usage(format!(
            "{file} names no source: it wants lines of `source_id,unix_seconds`"
        ))
        .into());
    }
    let span = span(args, &trace)?;
    let trace = trace.within(span);
    refuse_endless(&trace, span, budget)?;
    let found = findings(args, &trace, span, budget);
    if common.json {
        print::line(&found.json().to_string())?;
    } else {
        found.show()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn findings<'args>(args: &'args Args, trace: &Trace, span: Span, budget: f64) -> Findings<'args> {
    let ours = replay(trace, span, budget).figures();
    let fixed = rivals::fixed(trace, span, ours.requests).figures();
    let halve_grow = rivals::halve_grow(trace, span, ours.requests).figures();
    Findings {
        budget: args.budget.trim(),
        span,
        sources: trace.sources.len(),
        events: trace.changes(),
        policies: [("doorbell", ours), ("fixed", fixed), ("halve_grow", halve_grow)],
    }
}

/// Reads `20/s`, `100/m`, `82/h`, `500/d` as requests a second.
fn rate(text: &str) -> Result<f64, Usage> {
    let wrong = |why: &str| {
        Usage(format!(
            "--budget `{text}` {why}; write requests per time, such as `2/s`, `100/m` or `82/h`"
        ))
    };
    let Some((number, unit)) = text.trim().split_once('/') else {
        return Err(wrong("has no unit of time"));
    };
    let per = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(wrong("has no unit of time that is known")),
    };
    let is_number = number.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = number.trim().parse::<f64>().ok().filter(|number| is_number && number.is_finite());
    match number {
        None => Err(wrong("has no number of requests")),
        Some(number) if number <= 0.0 => Err(wrong("allows no request")),
        Some(number) => Ok(number / per),
    }
}

fn span(args: &Args, trace: &Trace) -> Result<Span, Usage> {
    let days = trace.days();
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let from = args.from.map(at).or(days.map(|days| days.from));
    let to = args.to.map(at).or(days.map(|days| days.to));
    let (Some(from), Some(to)) = (from, to) else {
        return Err(Usage(String::from(
            "nothing changes in this trace: say with --from and --to what to replay",
        )));
    };
    Span::try_new(from, to)
        .ok_or_else(|| Usage(format!("the replay would end before it begins: from {from} to {to}")))
}

/// Refuses what would be replayed for minutes or longer.
fn refuse_endless(trace: &Trace, span: Span, budget: f64) -> Result<(), Usage> {
    let sources = f64::from(u32::try_from(trace.sources.len()).unwrap_or(u32::MAX));
    let requests = span.length().as_secs_f64() * budget.min(sources / INTERVAL_MIN.as_secs_f64());
    if requests.max(sources) <= REQUESTS_MAX {
        return Ok(());
    }
    Err(Usage(format!(
        "that would be about {:.0} million requests: choose a smaller budget, or a shorter time with --from and --to",
        requests / 1e6
    )))
}

impl Findings<'_> {
    fn json(&self) -> Value {
        let seconds = |time: f64| (time * 1000.0).round() / 1000.0;
        let policies = self.policies.iter().map(|(name, it)| {
            let figures = json!({
                "requests": it.requests,
                "mean_s": seconds(it.mean_s),
                "p50_s": seconds(it.p50_s),
                "p95_s": seconds(it.p95_s),
                "per_source_mean_s": seconds(it.per_source_mean_s),
                "busiest_hour": it.busiest_hour,
            });
            ((*name).to_owned(), figures)
        });
        json!({
            "budget": self.budget,
            "sources": self.sources,
            "events": self.events,
            "from": self.span.from.as_seconds(),
            "to": self.span.to.as_seconds(),
            "policies": Value::Object(policies.collect()),
        })
    }

    fn show(&self) -> std::io::Result<()> {
        let day = |at: Timestamp| at.to_rfc3339().chars().take(10).collect::<String>();
        let days = self.span.length().as_secs_f64() / 86_400.0;
        let (sources, events) =
            (print::count(self.sources, "source"), print::count(self.events, "change"));
        let from = day(self.span.from);
        print::line(&format!(
            "{sources}, {events}, {days:.1} days from {from}, budget {}",
            self.budget
        ))?;
        let head =
            ["", "REQUESTS", "MEAN DELAY", "MEDIAN", "95 %", "MEAN OF SOURCES", "BUSIEST HOUR"];
        let rows = self.policies.iter().map(|(name, it)| {
            let name = match *name {
                "fixed" => "fixed interval",
                "halve_grow" => "halve / grow",
                name => name,
            };
            let times = [it.mean_s, it.p50_s, it.p95_s, it.per_source_mean_s].map(delay);
            let counts = [it.requests.to_string(), it.busiest_hour.to_string()];
            let [mean, median, p95, sources] = times;
            let [requests, busiest] = counts;
            [name.to_owned(), requests, mean, median, p95, sources, busiest]
        });
        table::figures(&head, rows)?;
        print::line(&self.verdict())
    }

    fn verdict(&self) -> String {
        let [(_, ours), (_, fixed), (_, halve_grow)] = self.policies;
        if self.events == 0 {
            return String::from("nothing changes in this time: there is no delay to compare");
        }
        format!(
            "doorbell sees a change after {} on average: {:.2} times what a fixed interval takes for as many requests, \
             {:.2} times what halving and growing takes.",
            delay(ours.mean_s),
            ours.mean_s / fixed.mean_s.max(1e-9),
            ours.mean_s / halve_grow.mean_s.max(1e-9),
        )
    }
}

/// A delay for a person: `42.1 s`, `13.6 min`, `3.2 h`.
fn delay(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7_200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}
