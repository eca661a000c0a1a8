//! `doorbell explain`: why a source is polled when it is.

use std::process::ExitCode;

use serde_json::Value;

use super::Common;
use super::control::{Control, path_with, segment};
use super::print::{self, FAINT, NAME, STRONG, printable, styled};
use crate::telemetry::Redactor;

/// The widest paragraph, in characters.
const LINE_CHARS: usize = 100;
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The chart is of the hours of a day, in UTC: how often the source changes then, from seldom to often.\n\nExamples:\n  doorbell explain tickets\n  doorbell explain orders --entry 42\n  doorbell explain tickets --json"
)]
pub(crate) struct Args {
    /// The source.
    source: String,
    /// Of a source with `for_each`, the entry; without it, the one that is due next.
    #[arg(long, value_name = "KEY")]
    entry: Option<String>,
}

pub(crate) async fn run(
    args: Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    let control = match Control::daemon(common).await? {
        Some(daemon) => daemon,
        None => Control::look(common, redactor)?,
    };
    let path = format!("/v1/sources/{}/explain", segment(&args.source));
    let answer = control.get(&path_with(&path, &[("entry", args.entry.as_deref())])).await?;
    control.close().await?;
    if common.json {
        print::line(&answer.to_string())?;
    } else {
        show(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(answer: &Value) -> std::io::Result<()> {
    let text = answer.get("explanation").and_then(Value::as_str).unwrap_or_default();
    for line in wrapped(&printable(text, 4_000)) {
        print::line(&line)?;
    }
    let number = |path: &str| answer.pointer(path).and_then(Value::as_f64);
    if number("/burst/since_last_change_s").is_some() {
        print::line("")?;
        for (name, path) in [("weekdays", "/profile/weekday"), ("weekend", "/profile/weekend")] {
            let hours: Vec<f64> = answer
                .pointer(path)
                .and_then(Value::as_array)
                .map(|hours| hours.iter().filter_map(Value::as_f64).collect())
                .unwrap_or_default();
            print::line(&format!(
                "{} {}",
                print::column(FAINT, name, 9),
                styled(NAME, &bars(&hours))
            ))?;
        }
        print::line(&format!("{:10}{}", "", styled(FAINT, "0     6     12    18    UTC")))?;
    }
    let fact = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| {
            format!("{} {}{unit}", styled(FAINT, name), styled(STRONG, &figure(value)))
        })
    };
    let facts = [
        fact("rate", number("/rate/per_day"), "/day"),
        fact("now", number("/rate/per_day_now"), "/day"),
        fact("hour", number("/profile/now"), "×"),
        fact("burst", number("/burst/factor"), "×"),
        fact("worth", number("/price/need_s"), " s"),
        fact("interval", number("/interval_s"), " s"),
        fact("failures", number("/backoff/failures"), ""),
    ];
    print::line("")?;
    print::line(&facts.into_iter().flatten().collect::<Vec<_>>().join("  "))
}

fn figure(value: f64) -> String {
    match value {
        _ if value.fract().abs() < 1e-9 => format!("{value:.0}"),
        ..10.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// A row of bars: full height is twice the mean of a week or the row's highest, whichever is more.
fn bars(values: &[f64]) -> String {
    let most = values.iter().copied().fold(2.0, f64::max);
    let bar = |value: &f64| {
        let step = most / 8.0;
        let height = (1_u32..8).take_while(|height| *value >= step * f64::from(*height)).count();
        BARS.get(height).copied().unwrap_or("█")
    };
    values.iter().map(bar).collect()
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            *line = format!("{line}{space}{word}");
        }
    }
    lines
}
