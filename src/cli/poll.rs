//! `doorbell poll SOURCE`: one poll now.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::control::{Control, load, path_with, segment};
use super::pretty::indented;
use super::print::{self, BAD, FAINT, GOOD, NAME, STRONG, count, printable, styled};
use super::{Common, Usage};
use crate::api::polled::{PollView, RequestView, SampleView};
use crate::core::recording::Recording;
use crate::core::source::Source;
use crate::core::time::humane;
use crate::telemetry::Redactor;

/// The longest header value that is shown whole.
const HEADER_CHARS_MAX: usize = 120;

/// How much of an item is shown.
const SAMPLE_LINES_MAX: usize = 30;

/// Arguments of `poll`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell poll tickets                        show what a poll would find; nothing is kept\n  doorbell poll tickets --commit               poll now, and let it count\n  doorbell poll tickets --record answer.json   also keep every request and answer in a file\n  doorbell poll tickets --replay answer.json   ask the file instead of the network, with sources.yaml as it is now\n  curl -s https://… > answer.json              a bare answer will do, too: it answers the first request"
)]
pub(crate) struct Args {
    /// The source's name.
    source: String,
    /// Which entry, of a source that is polled entry by entry.
    #[arg(long, value_name = "KEY")]
    entry: Option<String>,
    /// Show only (the default).
    #[arg(long, conflicts_with = "commit")]
    dry_run: bool,
    /// Make it count: snapshot, events and deliveries are kept.
    #[arg(long)]
    commit: bool,
    /// Keep every request and answer of this poll in a file, without secrets.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Take the answers from a file – a recording, or one saved answer – and ask nobody. Nothing is kept.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["commit", "record"])]
    replay: Option<PathBuf>,
}

pub(crate) async fn run(
    args: Args,
    common: &Common,
    redactor: Redactor,
) -> anyhow::Result<ExitCode> {
    if let Some(file) = args.record.as_deref().filter(|file| file.exists()) {
        let file = file.display();
        return Err(Usage(format!("{file} exists already; name another file, or remove it")).into());
    }
    // A mistake in the configuration is told before anything else.
    let config = load(&common.config)?;
    redactor.learn(&config.secrets);
    let (control, order) = if let Some(file) = &args.replay {
        let order = json!({ "replay": BASE64_STANDARD.encode(read(file)?) });
        (Control::look(common, redactor)?, order)
    } else {
        let order = json!({ "record": args.record.is_some() });
        // Without a state there is nothing to compare with, and none is made to keep nothing. Only a refresh token that
        // its server replaces has to be kept whatever becomes of the rest.
        let rotates =
            |source: &Arc<Source>| source.auth.oauth2().is_some_and(|it| it.key().is_some());
        if args.commit || config.sources.iter().any(rotates) {
            std::fs::create_dir_all(&common.state)?;
        }
        let control = if common.state.exists() {
            Control::open(common, redactor).await?
        } else {
            Control::look(common, redactor)?
        };
        (control, order)
    };
    let commit = args.commit.to_string();
    let query = [("commit", Some(commit.as_str())), ("entry", args.entry.as_deref())];
    let path = path_with(&format!("/v1/sources/{}/poll", segment(&args.source)), &query);
    let text = control.post_text(&path, &order).await?;
    control.close().await?;
    let mut report: PollView = serde_json::from_str(&text).context("reading the report")?;
    if let (Some(file), Some(recording)) = (&args.record, report.recording.take()) {
        std::fs::write(file, recording.text())
            .with_context(|| format!("writing {}", file.display()))?;
        tell_recorded(file, &recording)?;
    }
    if common.json {
        print::line(&text)?;
    } else {
        show(&report, &args)?;
    }
    Ok(if report.fault.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| Usage(format!("the replay file {}: {error}", file.display())).into())
}

fn tell_recorded(file: &Path, recording: &Recording) -> std::io::Result<()> {
    let exchanges = count(recording.exchanges.len(), "exchange");
    print::note(&format!("{exchanges} written to {}", file.display()))?;
    match recording.left_off {
        0 => Ok(()),
        more => print::note(&format!("{} did not fit into it", count(more, "exchange"))),
    }
}

fn show(report: &PollView, args: &Args) -> std::io::Result<()> {
    report.requests.iter().try_for_each(show_request)?;
    if let Some(fault) = &report.fault {
        print::failure(&format!("{} ({})", printable(&fault.sentence, 1_000), fault.code));
    }
    print::line(&summary(report))?;
    for event in report.events.iter().flatten() {
        print::line(&indented(event.get()))?;
    }
    if let Some(sample) = report.sample.as_ref().filter(|_| report.events.is_empty()) {
        show_sample(sample)?;
    }
    let interval = humane(std::time::Duration::from_millis(report.interval_ms));
    let would = if report.committed { "next poll" } else { "the next poll would be" };
    print::line(&styled(FAINT, &format!("{would} at {} (every {interval})", report.next_poll)))?;
    match (report.committed, &args.replay) {
        (true, _) => Ok(()),
        (false, None) => print::note("nothing was kept; `--commit` makes it count"),
        (false, Some(file)) => {
            print::note(&format!("answered from {}; nothing was kept", file.display()))
        }
    }
}

/// One item, so that whoever wrote `items` and `key` sees what they find.
fn show_sample(sample: &SampleView) -> std::io::Result<()> {
    let key = printable(&sample.key, HEADER_CHARS_MAX);
    let Some(item) = &sample.item else {
        return print::line(&format!(
            "the first item has the key {}, and is long",
            styled(NAME, &key)
        ));
    };
    print::line(&format!("the first item, with the key {}:", styled(NAME, &key)))?;
    let text = indented(item.get());
    let mut lines = text.lines();
    lines.by_ref().take(SAMPLE_LINES_MAX).try_for_each(print::line)?;
    match lines.count() {
        0 => Ok(()),
        more => print::line(&styled(
            FAINT,
            &format!("… and {} (--json shows all)", count(more, "more line")),
        )),
    }
}

fn show_request(request: &RequestView) -> std::io::Result<()> {
    let status = request.status.map_or_else(
        || styled(BAD, "no answer"),
        |status| styled(if status < 400 { GOOD } else { BAD }, &status.to_string()),
    );
    let conditional = if request.conditional { ", conditional" } else { "" };
    print::line(&format!(
        "{} {} → {status}, {} bytes, {} ms{conditional}",
        styled(STRONG, &request.method),
        printable(&request.url, 1_000),
        request.body_bytes,
        request.took_ms,
    ))?;
    for (name, value) in &request.headers {
        let value = printable(value, HEADER_CHARS_MAX);
        print::line(&format!("    {}: {}", styled(NAME, name), styled(FAINT, &value)))?;
    }
    Ok(())
}

/// One line: what was found, and what it means.
fn summary(report: &PollView) -> String {
    let outcome = styled(STRONG, &report.outcome);
    let items = count(report.items, "item");
    let found = match report.baseline.as_deref() {
        Some("first") if !report.committed => {
            format!("first poll: {items} would be known silently")
        }
        Some("first") => format!("first poll: {items} known silently"),
        Some(_) if !report.committed => {
            format!("a new baseline: {items} would be known silently instead of the old ones")
        }
        Some(_) => format!("a new baseline: {items} known silently instead of the old ones"),
        None => {
            let kinds = [
                (report.unchanged, "unchanged"),
                (report.created, "created"),
                (report.updated, "updated"),
                (report.deleted, "deleted"),
                (report.held, "held"),
            ];
            let kinds = kinds.iter().filter(|(number, _)| *number > 0);
            let kinds: Vec<_> = kinds.map(|(number, kind)| format!("{number} {kind}")).collect();
            if kinds.is_empty() { items } else { format!("{items}: {}", kinds.join(", ")) }
        }
    };
    let pages = if report.pages > 1 { format!(", {} pages", report.pages) } else { String::new() };
    let events = count(report.events.len(), "event");
    format!("{outcome}: {found}; {events}{pages}, {} ms", report.took_ms)
}
