//! A consistent copy of the state, sent to whoever asks.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

use super::Shared;
use super::problem::Problem;
use crate::store::StoreError;

pub(super) async fn download(State(context): State<Shared>) -> Result<Response, Problem> {
    let path = context.state.join("backup.partial");
    let failed = |action| {
        let path = path.clone();
        move |source| Problem::from(StoreError::File { action, path, source })
    };
    match tokio::fs::remove_file(&path).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("removing")(error)),
    }
    context.store.backup(&path).await?;
    let file = tokio::fs::File::open(&path).await.map_err(failed("opening"))?;
    // The open file keeps its content; its name is not needed any more, whatever happens to the receiver.
    tokio::fs::remove_file(&path).await.map_err(failed("removing"))?;
    let media_type = [(header::CONTENT_TYPE, "application/vnd.sqlite3")];
    Ok((media_type, Body::from_stream(ReaderStream::new(file))).into_response())
}
