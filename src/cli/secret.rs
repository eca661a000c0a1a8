//! `doorbell secret`: a new signing secret.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Common, print};
use crate::clock;
use crate::core::signature;

/// Arguments of `secret`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  doorbell secret > agent.secret             and `secret: ${file:agent.secret}` in sources.yaml\n  doorbell secret --ed25519 > agent.secret   the public key, for the receiver, is shown on standard error"
)]
pub(crate) struct Args {
    /// A private key (whsk_…) for `sign: standard-ed25519` or `http-message-signatures`, and its public key (whpk_…).
    #[arg(long)]
    ed25519: bool,
}

/// Prints a new secret: `whsec_` and 32 unguessable bytes in base64, which every scheme takes, or a pair of keys.
pub(crate) fn run(args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    show(args.ed25519, common)
}

/// Prints a new secret, or a pair of keys.
pub(super) fn show(is_pair: bool, common: &Common) -> anyhow::Result<ExitCode> {
    let random = clock::unguessable().context("drawing a secret from the operating system")?;
    let make = if is_pair { signature::pair_from } else { signature::secret_from };
    let secret = make(&random);
    let public = signature::public_key(&secret);
    let text = if common.json {
        let mut document = serde_json::json!({ "secret": secret.expose() });
        if let (Some(public), Some(document)) = (&public, document.as_object_mut()) {
            document.insert(String::from("public"), public.as_str().into());
        }
        document.to_string()
    } else {
        secret.expose().to_owned()
    };
    let written = writeln!(io::stdout().lock(), "{text}");
    if let Some(public) = public.filter(|_| !common.json) {
        // Beside it, so that standard output can be the file that `${file:…}` names.
        print::note(&format!("its public key, for receivers: {public}"))?;
    }
    print::ended(written.map(|()| ExitCode::SUCCESS))
}
