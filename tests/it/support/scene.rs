//! One source, one endpoint and the daemon between them, running: what most tests begin with.

use serde_json::{Value, json};

use crate::support::{ApiServer, Daemon, Receiver};

/// A daemon that polls `tickets` from an API and rings one endpoint, `desk`.
pub(crate) struct Scene {
    pub(crate) api: ApiServer,
    pub(crate) receiver: Receiver,
    pub(crate) daemon: Daemon,
}

impl Scene {
    /// Everything is there, and nothing runs.
    pub(crate) fn set(items: Value) -> Self {
        let (api, receiver) = (ApiServer::with_items(items), Receiver::start());
        let daemon = Daemon::new(&config(&api, &receiver));
        Self { api, receiver, daemon }
    }

    /// Everything runs, and the API's first items are known.
    #[track_caller]
    pub(crate) fn with_items(items: Value) -> Self {
        let mut scene = Self::set(items);
        scene.daemon.start();
        scene.daemon.wait_until_polled("tickets");
        scene
    }

    /// The configuration it was started with.
    pub(crate) fn config(&self) -> String {
        config(&self.api, &self.receiver)
    }
}

fn config(api: &ApiServer, receiver: &Receiver) -> String {
    format!(
        "
sources:
  tickets:
    url: '{}'
    key: .id
    every: 100ms
    timeout: 1s
    max_body: 64KiB
    backoff: {{ first: 50ms, max: 200ms }}
endpoints:
  desk:
    url: '{}'
    secret: any
    timeout: 1s
    retry: {{ first: 50ms, max: 200ms, for: 1h }}
",
        api.url(),
        receiver.url()
    )
}

/// A ticket.
pub(crate) fn item(id: usize) -> Value {
    json!({ "id": id, "status": "new" })
}

/// Tickets with the ids from 1.
pub(crate) fn items(count: usize) -> Value {
    (1..=count).map(item).collect()
}
