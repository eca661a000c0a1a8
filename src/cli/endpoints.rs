//! `doorbell endpoints`: the receivers' condition.

use std::process::ExitCode;

use serde_json::json;

use super::control::{Control, load, segment};
use super::{Common, Usage, print, secret, table, trial};
use crate::core::auth::Auth;
use crate::telemetry::Redactor;

/// Arguments of `endpoints`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell endpoints\n  doorbell endpoints show crm     condition, signature, public keys\n  doorbell endpoints test crm     send it a signed event now, and see what it answers\n  doorbell endpoints pause crm    its events wait\n  doorbell endpoints resume crm   send them, oldest first; also to try a failing or disabled one again now\n  doorbell endpoints rotate-secret crm > crm.secret   a new secret for it, and where to put it"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List them with their condition (the default).
    List,
    /// Show one: its condition, how it is signed to, and the public keys that it verifies with.
    Show {
        /// The endpoint's name.
        endpoint: String,
    },
    /// Send an endpoint a signed test event now; shows request, answer and timing. Nothing is kept of it.
    Test(trial::Args),
    /// Send nothing to an endpoint until it is resumed: its events wait.
    Pause {
        /// The endpoint's name.
        endpoint: String,
    },
    /// Send to a paused endpoint again, or try a failing or disabled one again now.
    Resume {
        /// The endpoint's name.
        endpoint: String,
    },
    /// Print a new secret for an endpoint, and how to take it on: the configuration is yours, and is not changed.
    RotateSecret {
        /// The endpoint's name.
        endpoint: String,
    },
}

/// What is sent or shown by the configuration alone needs no state.
async fn open(command: Option<&Sub>, common: &Common) -> anyhow::Result<Control> {
    let redactor = Redactor::default();
    if !matches!(command, Some(Sub::Show { .. } | Sub::Test(_))) {
        return Control::open(common, redactor).await;
    }
    if let Some(daemon) = Control::daemon(common).await? {
        return Ok(daemon);
    }
    // A mistake in the configuration is told before anything else.
    let config = load(&common.config)?;
    redactor.learn(&config.secrets);
    // A refresh token that its server replaces has to be kept, whatever it was for.
    let rotates = |auth: &Auth| auth.oauth2().is_some_and(|it| it.key().is_some());
    let is_test = matches!(command, Some(Sub::Test(_)));
    if is_test && config.endpoints.iter().any(|endpoint| rotates(&endpoint.auth)) {
        std::fs::create_dir_all(&common.state)?;
        return Control::open(common, redactor).await;
    }
    Control::look(common, redactor)
}

pub(crate) async fn run(args: Args, common: &Common) -> anyhow::Result<ExitCode> {
    if let Some(Sub::RotateSecret { endpoint }) = &args.command {
        return rotate_secret(endpoint, common);
    }
    let control = open(args.command.as_ref(), common).await?;
    let mut code = ExitCode::SUCCESS;
    match args.command.unwrap_or(Sub::List) {
        Sub::RotateSecret { .. } => {}
        Sub::List => {
            let rows = control.get("/v1/endpoints").await?;
            if common.json { print::line(&rows.to_string())? } else { table::endpoints(&rows)? }
        }
        Sub::Show { endpoint } => {
            let row = control.get(&format!("/v1/endpoints/{}", segment(&endpoint))).await?;
            if common.json { print::line(&row.to_string())? } else { table::endpoint(&row)? }
        }
        Sub::Test(args) => code = trial::run(&control, args, common).await?,
        Sub::Pause { endpoint } => {
            let sentence = format!("{endpoint} is paused: its events wait");
            say(&control, common, ("pause", &endpoint), sentence).await?;
        }
        Sub::Resume { endpoint } => {
            let sentence = format!("{endpoint} is sent to again");
            say(&control, common, ("resume", &endpoint), sentence).await?;
        }
    }
    control.close().await?;
    Ok(code)
}

/// Gives a person's word on an endpoint, and says that it is done.
async fn say(
    control: &Control,
    common: &Common,
    (word, endpoint): (&str, &str),
    sentence: String,
) -> anyhow::Result<()> {
    let path = format!("/v1/endpoints/{}/{word}", segment(endpoint));
    let answer = control.post(&path, &json!({})).await?;
    print::line(&if common.json { answer.to_string() } else { sentence })?;
    Ok(())
}

/// A new secret of the kind that the endpoint has, on standard output; how to go on from there beside it.
fn rotate_secret(name: &str, common: &Common) -> anyhow::Result<ExitCode> {
    let config = load(&common.config)?;
    let declared = config.endpoints.iter().find(|endpoint| endpoint.name.as_str() == name);
    let endpoint = declared.ok_or_else(|| Usage(format!("there is no endpoint {name}")))?;
    if endpoint.secrets.is_empty() {
        return Err(Usage(format!("{name} has no secret: nothing is signed for it")).into());
    }
    let code = secret::show(!endpoint.public_keys().is_empty(), common)?;
    print::note(&format!(
        "nothing has changed yet: where {} declares {name}, write `secret: [NEW, {{ secret: OLD, until: DATE }}]` with this \
         one first, reload, and give it to the receiver before that date; a scheme with room for one signature uses it \
         from the reload on",
        common.config.display()
    ))?;
    Ok(code)
}
