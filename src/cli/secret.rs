//! `doorbell secret`: a new signing secret.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::print;
use crate::clock;
use crate::core::signature;

/// Prints a new secret, which every scheme takes: `whsec_` and 32 unguessable bytes in base64.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let random = clock::unguessable().context("drawing a secret from the operating system")?;
    let secret = signature::secret_from(&random);
    let written = writeln!(io::stdout().lock(), "{}", secret.expose());
    print::ended(written.map(|()| ExitCode::SUCCESS))
}
