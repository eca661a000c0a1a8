//! `server.reload: watch`: the configuration is read again when a file changes that it was read from.
//!
//! Looking at the files every second costs less than it is to be told: editors write another file and rename it, mounts
//! of containers exchange links, network file systems tell nobody. What is being written is waited for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::works::{Works, load_with};
use crate::config::lookup::{Noting, Print};

/// How often the files are looked at, and how long they have to stay as they are before they are read.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What all files looked like at one moment.
type Prints = BTreeMap<PathBuf, Print>;

/// What is known of the files.
struct Watched {
    /// When the configuration was last read.
    read: Prints,
    /// At the last look.
    last: Prints,
}

/// Reads the configuration again when it changes, if it asks for that, until `stop`.
pub(super) async fn run(works: Arc<Works>, stop: CancellationToken) {
    let mut watched: Option<Watched> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        let Some(path) = works.watched() else {
            watched = None;
            continue;
        };
        let Some(before) = watched.take() else {
            // It may have changed since it was read for the first time.
            watched = Some(read(&works, path).await);
            continue;
        };
        let now = prints(before.read.keys().cloned().collect()).await;
        watched = if now == before.read || now != before.last {
            Some(Watched { last: now, ..before })
        } else {
            info!("a file of the configuration changed: reading it again");
            Some(read(&works, path).await)
        };
    }
}

/// Reads the configuration and hands it over, good or bad.
async fn read(works: &Works, path: &Path) -> Watched {
    let (config, read) = {
        let noting = Noting::default();
        let config = load_with(path, &noting);
        (config, noting.noted())
    };
    works.adopt(config).await;
    Watched { last: read.clone(), read }
}

async fn prints(files: Vec<PathBuf>) -> Prints {
    let look = move || files.into_iter().map(|path| (Print::of(&path), path));
    let looked = spawn_blocking(move || look().map(|(print, path)| (path, print)).collect());
    looked.await.unwrap_or_default()
}
