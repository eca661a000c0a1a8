//! Listening sockets: where the API can be reached.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::DaemonError;

/// What fits into `sun_path`, without its end.
const PATH_BYTES_MAX: usize = 107;

/// The command line's socket in a state directory.
pub(crate) fn control_path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Binds the command line's socket. The state's lock is held, so whatever lies there is left over.
pub(super) fn control(state: &Path) -> Result<UnixListener, DaemonError> {
    unix(&control_path(state))
}

/// Binds a unix socket that only its owner can open.
pub(super) fn unix(path: &Path) -> Result<UnixListener, DaemonError> {
    let failed = |source| DaemonError::Bind { address: path.display().to_string(), source };
    if path.as_os_str().len() > PATH_BYTES_MAX {
        let sentence = "the path of a socket may have 107 bytes: put the state (--state) in a directory with a shorter one";
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, sentence)));
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Binds a TCP address.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| DaemonError::Bind { address: address.to_string(), source })
}

pub(super) async fn serve_unix(listener: UnixListener, app: Router, close: CancellationToken) {
    let served = axum::serve(listener, app).with_graceful_shutdown(close.cancelled_owned()).await;
    if let Err(fault) = served {
        error!(%fault, "a socket of the API failed");
    }
}

pub(super) async fn serve_tcp(listener: TcpListener, app: Router, close: CancellationToken) {
    let served = axum::serve(listener, app).with_graceful_shutdown(close.cancelled_owned()).await;
    if let Err(fault) = served {
        error!(%fault, "a socket of the API failed");
    }
}
