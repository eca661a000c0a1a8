//! The daemon inside the demo: the one place that knows how to start it.

use std::path::Path;

/// A running daemon.
#[derive(Debug)]
pub(super) struct Bell {}

impl Bell {
    /// Starts the daemon under a configuration, with its state in `state`.
    ///
    /// # Errors
    /// When the configuration is not valid, or the daemon does not start.
    #[expect(clippy::unused_async, reason = "the daemon's start is asynchronous")]
    pub(super) async fn hang(sources_yaml: &str, state: &Path) -> anyhow::Result<Self> {
        let bytes = sources_yaml.len();
        anyhow::bail!("no daemon yet for {bytes} bytes of configuration in {}", state.display())
    }

    /// Stops it; what is under way ends first.
    #[expect(clippy::unused_async, reason = "the daemon's stop is asynchronous")]
    pub(super) async fn stop(self) {}
}
