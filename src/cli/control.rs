//! How commands reach the state: through the running daemon's socket, or, without a daemon, by opening the state and
//! asking the same router in this process. One code path either way.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{Common, Usage};
use crate::api;
use crate::config::Config;
use crate::daemon::works::{self, Origin, Works};
use crate::daemon::{Settings, build, look, socket};
use crate::telemetry::Redactor;

/// Reads the configuration; problems are printed as they are and end the command with exit code 2.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    works::load(path).map_err(|problems| Usage(problems.join("\n")).into())
}

/// The way to the state.
pub(crate) enum Control {
    /// A daemon runs.
    Daemon(reqwest::Client),
    /// None does: the state is open in this process, until this is dropped.
    Own { router: Router, works: Arc<Works> },
}

impl Control {
    /// Finds the daemon, or opens the state with the declarations of the configuration if it can be read.
    pub(crate) async fn open(common: &Common, redactor: Redactor) -> anyhow::Result<Self> {
        if let Some(daemon) = Self::daemon(common).await? {
            return Ok(daemon);
        }
        if !common.state.exists() {
            let state = common.state.display();
            return Err(Usage(format!("there is no state at {state}; name it with --state")).into());
        }
        let works = build(settings(common, redactor)).context("opening the state")?;
        Ok(Self::own(works, common))
    }

    /// The running daemon, if there is one.
    pub(crate) async fn daemon(common: &Common) -> anyhow::Result<Option<Self>> {
        let path = socket::control_path(&common.state);
        if tokio::net::UnixStream::connect(&path).await.is_err() {
            return Ok(None);
        }
        let client = reqwest::Client::builder().unix_socket(path).no_proxy().build()?;
        Ok(Some(Self::Daemon(client)))
    }

    /// Looks at the state in this process with the declarations of the configuration, also while a daemon has it.
    /// Nothing can be written. What is not there is empty.
    pub(crate) fn look(common: &Common, redactor: Redactor) -> anyhow::Result<Self> {
        let works = look(settings(common, redactor)).context("looking at the state")?;
        Ok(Self::own(works, common))
    }

    fn own(works: Arc<Works>, common: &Common) -> Self {
        let router = api::control(context(Arc::clone(&works), &common.state));
        Self::Own { router, works }
    }

    /// Asks for a document.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// The same, and the answer as it came. For all that holds items: the order of their keys and the spelling of their
    /// numbers are part of them.
    pub(crate) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        text(self.call_bytes(Method::GET, path, None).await?)
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// The same, and the answer as it came: the order of its keys means something.
    pub(crate) async fn post_text(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        text(self.call_bytes(Method::POST, path, Some(body)).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = self.call_bytes(method, path, body).await?;
        serde_json::from_slice(&bytes).context("reading the daemon's answer")
    }

    async fn call_bytes(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut stream = self.send(method, path, body).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// Asks for a body that may be large.
    pub(crate) async fn download(
        &self,
        path: &str,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>> + Unpin + use<>> {
        self.send(Method::GET, path, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<std::pin::Pin<Box<dyn Stream<Item = anyhow::Result<Bytes>> + Send>>> {
        let (status, mut stream): (
            StatusCode,
            std::pin::Pin<Box<dyn Stream<Item = anyhow::Result<Bytes>> + Send>>,
        ) = match self {
            Self::Daemon(client) => {
                let mut request = client.request(method, format!("http://doorbell{path}"));
                if let Some(body) = body {
                    request =
                        request.header("content-type", "application/json").body(body.to_string());
                }
                let response = request.send().await.context("asking the daemon")?;
                let status = response.status();
                let chunks =
                    response.bytes_stream().map(|chunk| chunk.map_err(anyhow::Error::from));
                (status, Box::pin(chunks))
            }
            Self::Own { router, .. } => {
                let request = Request::builder().method(method).uri(path);
                let request = match body {
                    Some(body) => request
                        .header("content-type", "application/json")
                        .body(Body::from(body.to_string()))?,
                    None => request.body(Body::empty())?,
                };
                let response = router.clone().oneshot(request).await?;
                let status = response.status();
                let chunks = response.into_body().into_data_stream();
                (status, Box::pin(chunks.map(|chunk| chunk.map_err(anyhow::Error::from))))
            }
        };
        if status.is_success() {
            return Ok(stream);
        }
        let mut bytes = Vec::new();
        while let Some(Ok(chunk)) = stream.next().await {
            bytes.extend_from_slice(&chunk);
        }
        Err(refusal(status, &bytes))
    }

    /// Ends the use of the state; writes what must be written at the end.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Self::Own { works, .. } = self {
            works.close().await;
        }
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).context("reading the daemon's answer")
}

/// Reads the part of an answer that is shown to people.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("reading the daemon's answer")
}

/// What this process works with. What is stored can be looked at without a configuration.
fn settings(common: &Common, redactor: Redactor) -> Settings {
    Settings {
        config: works::load(&common.config).unwrap_or_else(|_| Config::empty()),
        origin: Origin::File(common.config.clone()),
        state: common.state.clone(),
        accept_state: false,
        redactor,
    }
}

fn refusal(status: StatusCode, document: &[u8]) -> anyhow::Error {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let detail = document.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    let problems: Vec<&str> = document
        .get("problems")
        .and_then(Value::as_array)
        .map(|problems| problems.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let sentence = [&[detail], problems.as_slice()].concat().join("\n");
    let is_usage =
        [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
    if is_usage.contains(&status) {
        return Usage(sentence).into();
    }
    anyhow!("{sentence}")
}

fn context(works: Arc<Works>, state: &Path) -> Arc<api::Context> {
    Arc::new(api::Context {
        store: works.store.clone(),
        clock: Arc::clone(&works.clock),
        telemetry: Arc::clone(&works.telemetry),
        redactor: works.redactor.clone(),
        operations: works,
        token: None,
        state: state.to_owned(),
    })
}

/// A path with a query; empty values are left out.
pub(crate) fn path_with(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}
