//! `doorbell listen`: a receiver for developers.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::Common;
use crate::cli::print::{
    self, BAD, FAINT, GOOD, NAME, NEWS, STRONG, column, printable, size, styled,
};
use crate::cli::receiver::{Answers, Expected, Hit, Proof, Receiver, Rules};
use crate::clock::SystemClock;
use crate::core::secret::Secret;
use crate::core::signature::Scheme;

/// The widest text from outside in one column.
const COLUMN_CHARS_MAX: usize = 60;
/// Changed fields shown of one event.
const CHANGES_SHOWN_MAX: usize = 12;

/// Receive webhooks on this machine, verify their signatures and print them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  doorbell listen --port 9000 --secret whsec_…        verify whatever signature comes
  doorbell listen --sign stripe --secret whsec_…      only Stripe's header
  doorbell listen --sign x-agent-signature --secret s only this header, hex or base64
  doorbell listen --status 503 --every 3              every third request is refused
  doorbell listen --json --count 1                    one event as JSON, then exit")]
pub(crate) struct ListenArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Secret to verify with, or a public key (whpk_…); repeat it while rotating. Without one nothing is verified
    #[arg(long = "secret", value_name = "SECRET", value_parser = secret)]
    secrets: Vec<Secret>,
    /// Signature to ask for: standard, standard-ed25519, github, stripe, shopify, slack, http-message-signatures, or the
    /// name of a header that holds a digest [default: whichever comes]
    #[arg(long, value_name = "SCHEME", value_parser = expected)]
    sign: Option<Expected>,
    /// Status to answer instead of 200
    #[arg(long, value_name = "CODE", value_parser = status)]
    status: Option<StatusCode>,
    /// Give --status only to every Nth request
    #[arg(long, value_name = "N", requires = "status", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Wait this long before each answer, such as 200ms or 2s
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    delay: Duration,
    /// One JSON object a line; the common `--json`.
    #[arg(skip)]
    json: bool,
    /// Exit with 0 after this many accepted requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the command line asks for")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn expected(text: &str) -> Result<Expected, String> {
    if let Some(scheme) = Scheme::named(text).filter(|scheme| *scheme != Scheme::None) {
        return Ok(Expected::Scheme(scheme));
    }
    HeaderName::try_from(text).map(Expected::Header).map_err(|_| {
        let word = "neither a scheme, such as `standard` or `stripe`";
        format!("{word}, nor the name of a header, such as x-agent-signature")
    })
}

fn status(text: &str) -> Result<StatusCode, String> {
    text.parse::<u16>()
        .ok()
        .filter(|code| (200..600).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| String::from("a status is a number from 200 to 599"))
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| String::from("a duration looks like 200ms, 2s or 1m"))
}

impl ListenArgs {
    fn rules(&self) -> Rules {
        Rules {
            port: self.port,
            secrets: self.secrets.clone(),
            expected: self.sign.clone().unwrap_or(Expected::Any),
            answers: match self.status {
                None => Answers::Accept,
                Some(status) => Answers::Every { nth: self.every.unwrap_or(1), status },
            },
            delay: self.delay,
        }
    }
}

/// Receives until interrupted, or until `--count` requests were accepted.
pub(crate) async fn run(args: ListenArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let args = ListenArgs { json: common.json, ..args };
    let receiver = Receiver::start(args.rules(), Arc::new(SystemClock::new()))
        .await
        .with_context(|| format!("listening on 127.0.0.1:{}", args.port))?;
    let listened = listen(&args, receiver, anstream::stdout(), anstream::stderr()).await;
    print::ended(listened.map(|()| ExitCode::SUCCESS))
}

/// Hits go to `out`; greeting and farewell too, unless it is for machines.
async fn listen(
    args: &ListenArgs,
    mut receiver: Receiver,
    mut out: impl Write,
    mut err: impl Write,
) -> io::Result<()> {
    let greeting = greeting(args, &receiver);
    if args.json {
        err.write_all(greeting.as_bytes())?;
    } else {
        out.write_all(greeting.as_bytes())?;
    }
    out.flush()?;
    let (mut requests, mut accepted) = (0_u64, 0_u64);
    // One for all rounds: a signal between two of them must not be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    while args.count.is_none_or(|count| accepted < count) {
        let hit = tokio::select! {
            biased;
            _ = &mut interrupted => None,
            hit = receiver.hits.recv() => hit,
        };
        let Some(hit) = hit else { break };
        requests += 1;
        accepted += u64::from(hit.is_accepted());
        let text = if args.json { json_line(&hit) } else { described(&hit) };
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    receiver.stop().await;
    if !args.json {
        let farewell = format!("{requests} received, {accepted} accepted");
        writeln!(out, "{}", styled(FAINT, &farewell))?;
    }
    Ok(())
}

fn greeting(args: &ListenArgs, receiver: &Receiver) -> String {
    let url = format!("http://{}", receiver.address);
    let checks = match args.secrets.len() {
        0 => String::from("signatures are named but not verified: give --secret to verify them"),
        _ => String::from("signatures are verified; a wrong one is answered 401"),
    };
    format!(
        "Listening on {} on any path; Ctrl-C ends.\n{}\n",
        styled(STRONG, &url),
        styled(FAINT, &checks)
    )
}

/// One hit for a person: a line, and one more for each changed field.
fn described(hit: &Hit) -> String {
    let news = &hit.news;
    let shown = |text: &Option<String>| {
        text.as_deref().map(|text| printable(text, COLUMN_CHARS_MAX)).filter(|it| !it.is_empty())
    };
    let fallback = || format!("{} {}", hit.method, printable(&hit.path, COLUMN_CHARS_MAX));
    let event_type = shown(&news.event_type).unwrap_or_else(fallback);
    let item: Vec<String> = [shown(&news.source), shown(&news.key)].into_iter().flatten().collect();
    let seq = shown(&news.seq).map(|seq| format!("seq {seq}")).unwrap_or_default();
    let mut columns = vec![
        styled(FAINT, &clock_time(hit)),
        column(STRONG, &event_type, 24),
        column(NAME, &item.join("/"), 16),
        column(FAINT, &seq, 8),
        proof(&hit.proof),
        styled(FAINT, &size(hit.body.len())),
    ];
    if hit.arrival > 1 {
        columns.push(styled(NEWS, &format!("again ({})", hit.arrival)));
    }
    if !hit.is_accepted() {
        columns.push(styled(BAD, &format!("→ {}", hit.status.as_u16())));
    }
    let mut lines = vec![columns.join("  ")];
    lines.extend(changes(hit));
    lines.push(String::new());
    lines.join("\n")
}

fn changes(hit: &Hit) -> Vec<String> {
    let side = |side: &Option<String>| {
        side.as_deref().map_or_else(|| String::from("∅"), |it| printable(it, COLUMN_CHARS_MAX))
    };
    let field = |field: &str| match field {
        "" => String::from("(whole)"),
        field => printable(field, COLUMN_CHARS_MAX),
    };
    let indent = " ".repeat(14);
    let shown = hit.news.changes.iter().take(CHANGES_SHOWN_MAX).map(|change| {
        let (old, new) = (side(&change.old), side(&change.new));
        format!("{indent}{}: {old} → {new}", styled(NAME, &field(&change.field)))
    });
    let hidden = hit.news.changes.len().saturating_sub(CHANGES_SHOWN_MAX);
    let more = format!("{indent}and {}", print::count(hidden, "more change"));
    shown.chain((hidden > 0).then(|| styled(FAINT, &more))).collect()
}

/// The time of day in UTC, to the millisecond.
fn clock_time(hit: &Hit) -> String {
    let text = hit.at.to_rfc3339();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

fn proof(proof: &Proof) -> String {
    match proof {
        Proof::Verified { scheme } => styled(GOOD, &format!("✓ {scheme}")),
        Proof::Refused { reason, .. } => styled(BAD, &format!("✗ {reason}")),
        Proof::Unchecked { scheme: Some(scheme) } => {
            styled(FAINT, &format!("{scheme}, unverified"))
        }
        Proof::Unchecked { scheme: None } => styled(FAINT, "unsigned"),
    }
}

/// One hit for a machine.
#[derive(Serialize)]
struct HitView<'a> {
    at: String,
    method: &'a str,
    path: &'a str,
    id: Option<&'a str>,
    /// The how-many-th arrival of this id.
    arrival: u32,
    scheme: Option<&'a str>,
    /// Absent when there was nothing to verify with.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What was answered.
    status: u16,
    body_bytes: usize,
    /// As it came, when it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    /// The same, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

fn json_line(hit: &Hit) -> String {
    let (scheme, verified, reason) = match &hit.proof {
        Proof::Verified { scheme } => (Some(scheme), Some(true), None),
        Proof::Refused { scheme, reason } => (scheme.as_ref(), Some(false), Some(reason.as_str())),
        Proof::Unchecked { scheme } => (scheme.as_ref(), None, None),
    };
    // JSON on several lines stands as text, so that a line stays a line.
    let body = serde_json::from_slice::<&RawValue>(&hit.body)
        .ok()
        .filter(|body| !body.get().contains(['\n', '\r']));
    let text = body.is_none().then(|| String::from_utf8_lossy(&hit.body).into_owned());
    let view = HitView {
        at: hit.at.to_rfc3339(),
        method: hit.method.as_str(),
        path: &hit.path,
        id: hit.id.as_deref(),
        arrival: hit.arrival,
        scheme: scheme.map(String::as_str),
        verified,
        reason,
        status: hit.status.as_u16(),
        body_bytes: hit.body.len(),
        body,
        text,
    };
    let mut line = serde_json::to_string(&view).expect("texts and numbers are always JSON");
    line.push('\n');
    line
}
