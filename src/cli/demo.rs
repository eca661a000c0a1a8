//! `doorbell demo`: the whole thing at work in a few seconds, offline. A ticket API, the daemon and a verifying receiver
//! on loopback; a short story is played on the API, and every ring is shown as it happens and checked.

mod bell;
mod desk;
mod state;
mod story;
mod summary;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;

use crate::cli::demo::bell::Bell;
use crate::cli::demo::desk::{Desk, PATH};
use crate::cli::demo::state::TemporaryState;
use crate::cli::demo::story::{Ledger, Story};
use crate::cli::print::{self, FAINT, NAME, STRONG, styled};
use crate::cli::receiver::{Answers, Expected, Receiver, Rules};
use crate::clock::{self, Clock, SystemClock};
use crate::core::secret::Secret;
use crate::core::signature;
use crate::telemetry::Redactor;

/// How long the story may take. It takes three seconds on an idle machine; this is for one that is not.
const STORY_LIMIT: Duration = Duration::from_secs(30);
/// What stands in the printed configuration in the secret's place.
const SECRET_NAME: &str = "${AGENT_SECRET}";

/// See doorbell at work: a sample ticket API, the daemon and a verifying receiver, offline, in a few seconds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  doorbell demo           exits with 0 when everything rang as it should, else with 1")]
pub(crate) struct Args {}

/// Plays the demo on standard output.
pub(crate) async fn run(_args: Args, redactor: Redactor) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut stage = Stage::set(Arc::clone(&clock)).await?;
    let mut out = anstream::stdout();
    let curtain = open_curtain(&stage, &mut out);
    if curtain.is_err() {
        return print::ended(curtain.map(|()| ExitCode::FAILURE));
    }
    let state = TemporaryState::create().context("making a directory for the demo's state")?;
    let sources_yaml = stage.sources_yaml(stage.secret.expose());
    let bell = Bell::hang(&sources_yaml, state.path(), redactor).await?;
    let played = tokio::select! {
        played = play(&mut stage, clock.as_ref(), &mut out, STORY_LIMIT) => Some(played),
        _ = tokio::signal::ctrl_c() => None,
    };
    bell.stop().await;
    stage.receiver.stop().await;
    drop(state);
    let Some(played) = played else { return Ok(ExitCode::FAILURE) };
    let told = played.and_then(|ledger| {
        summary::write(&ledger, &mut out)?;
        Ok(if ledger.is_as_told() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    });
    print::ended(told)
}

/// The two ends that doorbell is hung between.
struct Stage {
    desk: Desk,
    receiver: Receiver,
    secret: Secret,
}

impl Stage {
    /// Starts the API and the receiver, which refuses the very first delivery, so that a retry is seen.
    async fn set(clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let random = clock::unguessable().context("drawing a secret from the operating system")?;
        let secret = signature::secret_from(&random);
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let rules = Rules {
            port: 0,
            secrets: vec![secret.clone()],
            expected: Expected::Any,
            answers: Answers::First { first: 1, status },
            delay: Duration::ZERO,
        };
        let receiver = Receiver::start(rules, clock).await.context("starting the receiver")?;
        let desk = Desk::open().await.context("starting the ticket API")?;
        Ok(Self { desk, receiver, secret })
    }

    /// The configuration; `secret` as it is to stand there.
    fn sources_yaml(&self, secret: &str) -> String {
        format!(
            "\
server: {{ listen: off }}

sources:
  tickets:
    url: http://{api}{PATH}
    every: 100ms..1s          # adapts between the two
    items: .tickets
    key: .id
    ignore: [.views]          # changes there ring nothing
    events:
      - {{ type: ticket.opened, on: created }}
      - {{ type: ticket.status_changed, on: updated, changed: .status }}
      - {{ type: ticket.closed, on: deleted }}

endpoints:
  support-agent:
    url: http://{receiver}/webhook/new-ticket
    secret: {secret}
    retry: {{ first: 400ms, max: 2s }}
",
            api = self.desk.address,
            receiver = self.receiver.address,
        )
    }
}

/// What the visitor is about to see, and how little configuration it takes.
fn open_curtain(stage: &Stage, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let title = styled(STRONG, "doorbell demo");
    writeln!(
        out,
        "{title}: a ticket API without webhooks, a receiver that wants them, and doorbell"
    )?;
    writeln!(out, "in between. All of it on this machine; nothing leaves it.\n")?;
    writeln!(out, "{}", styled(FAINT, "  sources.yaml, all of it that matters here:"))?;
    for line in stage.sources_yaml(SECRET_NAME).lines().skip_while(|line| *line != "sources:") {
        let gutter = styled(FAINT, "│");
        writeln!(out, "  {gutter}{}{}", if line.is_empty() { "" } else { " " }, painted(line))?;
    }
    writeln!(out)?;
    out.flush()
}

/// A line of YAML with its key and comment set off.
fn painted(line: &str) -> String {
    let (code, comment) = line.split_once('#').map_or((line, None), |(code, it)| (code, Some(it)));
    let comment = comment.map(|it| styled(FAINT, &format!("#{it}"))).unwrap_or_default();
    let key = code.trim_start();
    let indent = " ".repeat(code.len() - key.len());
    match key.split_once(':') {
        Some((key, value)) if !key.starts_with('-') => {
            format!("{indent}{}:{value}{comment}", styled(NAME, key))
        }
        _ => format!("{code}{comment}"),
    }
}

/// Plays the story, or as much of it as time allows.
async fn play(
    stage: &mut Stage,
    clock: &dyn Clock,
    out: &mut (dyn Write + Send),
    limit: Duration,
) -> io::Result<Ledger> {
    let mut story = Story::new(&stage.desk, &mut stage.receiver.hits, clock, out);
    match tokio::time::timeout(limit, story.play()).await {
        Ok(played) => played?,
        // What did not happen in time is missing in the ledger.
        Err(_elapsed) => {}
    }
    Ok(story.close())
}
