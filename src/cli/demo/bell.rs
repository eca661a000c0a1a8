//! The daemon inside the demo: the one place that knows how to start it.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::config;
use crate::config::lookup::Surroundings;
use crate::daemon::works::Origin;
use crate::daemon::{Daemon, Settings};
use crate::telemetry::Redactor;

/// A running daemon.
#[derive(Debug)]
pub(super) struct Bell(Daemon);

impl Bell {
    /// Starts the daemon under a configuration, with its state in `state`.
    ///
    /// # Errors
    /// When the configuration is not valid, or the daemon does not start.
    pub(super) async fn hang(
        sources_yaml: &str,
        state: &Path,
        redactor: Redactor,
    ) -> anyhow::Result<Self> {
        let config =
            config::load_text(sources_yaml, &Surroundings).map_err(|problems| anyhow!(problems))?;
        let settings = Settings {
            config,
            origin: Origin::Text,
            state: state.to_owned(),
            accept_state: false,
            redactor,
        };
        let daemon = Daemon::start(settings).await.context("starting the daemon")?;
        Ok(Self(daemon))
    }

    /// Stops it; what is under way ends first.
    pub(super) async fn stop(mut self) {
        self.0.stop().await;
    }
}
