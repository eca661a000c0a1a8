//! `doorbell backup` and `doorbell restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::control::Control;
use super::{Common, Usage, print};
use crate::store::sqlite::copy;
use crate::telemetry::Redactor;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It is made while the daemon goes on, and holds no secrets of the configuration.\n\nExample:\n  doorbell backup /backups/doorbell.db"
)]
pub(crate) struct BackupArgs {
    /// Where to write the copy; must not exist yet.
    file: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The daemon must not be running. The copy is verified before it takes the place of the state, which is kept beside it as doorbell.db.replaced: `restore` with that file undoes it.\n\nExample:\n  systemctl stop doorbell && doorbell restore /backups/doorbell.db"
)]
pub(crate) struct RestoreArgs {
    /// A copy that `doorbell backup` made.
    file: PathBuf,
}

pub(crate) async fn backup(args: BackupArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let control = Control::open(common, Redactor::default()).await?;
    let shown = args.file.display();
    let mut open = tokio::fs::OpenOptions::new();
    let mut file = match open.write(true).create_new(true).mode(0o600).open(&args.file).await {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Usage(format!("{shown} exists already; name another file")).into());
        }
        opened => opened.with_context(|| format!("creating {shown}"))?,
    };
    let mut copy = control.download("/v1/backup").await?;
    let mut bytes = 0;
    while let Some(chunk) = copy.next().await {
        let chunk = chunk.context("reading the copy")?;
        bytes += chunk.len();
        file.write_all(&chunk).await.with_context(|| format!("writing {shown}"))?;
    }
    file.sync_all().await.with_context(|| format!("writing {shown}"))?;
    control.close().await?;
    if common.json {
        print::line(&serde_json::json!({ "file": args.file, "bytes": bytes }).to_string())?;
    } else {
        print::line(&format!("{bytes} bytes written to {shown}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(args: &RestoreArgs, common: &Common) -> anyhow::Result<ExitCode> {
    if !args.file.exists() {
        return Err(Usage(format!("there is no file {}", args.file.display())).into());
    }
    let restored = copy::restore(&common.state, &args.file).context("putting the copy back")?;
    let replaced = restored.replaced.as_deref();
    if common.json {
        let answer = serde_json::json!({ "restored": common.state, "replaced": replaced });
        print::line(&answer.to_string())?;
    } else {
        print::line(&format!("the state in {} is that of the copy", common.state.display()))?;
        if let Some(replaced) = replaced {
            print::line(&format!(
                "what was there before, with all that rang since the copy was made, is kept in {}: remove it when nobody \
                 needs it",
                replaced.display()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
