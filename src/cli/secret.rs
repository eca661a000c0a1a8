//! `doorbell secret`: a new signing secret.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Common, print};
use crate::clock;
use crate::core::signature;

/// Prints a new secret, which every scheme takes: `whsec_` and 32 unguessable bytes in base64.
pub(crate) fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let random = clock::unguessable().context("drawing a secret from the operating system")?;
    let secret = signature::secret_from(&random);
    let text = if common.json {
        serde_json::json!({ "secret": secret.expose() }).to_string()
    } else {
        secret.expose().to_owned()
    };
    let written = writeln!(io::stdout().lock(), "{text}");
    print::ended(written.map(|()| ExitCode::SUCCESS))
}
