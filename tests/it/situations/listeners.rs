//! Listeners that were written for other people's webhooks: each has its path, its header with a signature and the fields
//! that it reads, and refuses what is not so. The CRM's is in [`super::contact`]; those that tutorials write with Flask
//! and Express are in `real`, and the official libraries in `real::verifiers`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::server::Received;
use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Reply, Script};

const SECRET: &str = "the secret of the house";

struct Listener {
    name: &'static str,
    /// Where it listens; a token may stand in the query.
    path: &'static str,
    /// The header with the signature of the body, and what stands before the digits.
    signature: (&'static str, &'static str),
    /// What it reads at the top level of the body.
    fields: &'static [&'static str],
    /// What has to be declared for it beside its address and secret.
    keys: &'static str,
}

const LISTENERS: &[Listener] = &[
    Listener {
        name: "tickets",
        path: "/webhook/new-ticket",
        signature: ("X-Hub-Signature-256", "sha256="),
        fields: &["id", "type", "data"],
        keys: "sign: github",
    },
    Listener {
        name: "plain",
        path: "/secure-webhook",
        signature: ("X-Webhook-Signature", ""),
        fields: &["data"],
        keys: "sign: { header: X-Webhook-Signature }",
    },
    Listener {
        name: "agent",
        path: "/webhooks/agent-task-updates",
        signature: ("X-Agent-Signature", ""),
        fields: &["event_type", "task_id", "status"],
        keys: "sign: { header: X-Agent-Signature }, \
               body: { event_type: '{{.type}}', task_id: '{{.data.id}}', status: '{{.data.status}}' }",
    },
    Listener {
        name: "platform",
        path: "/my-webhook-endpoint",
        signature: ("X-MyPlatform-Signature", "sha256="),
        fields: &["type"],
        keys: "sign: { header: X-MyPlatform-Signature, prefix: 'sha256=' }",
    },
    Listener {
        name: "carrier",
        path: "/webhook/delivery_status?token=t0ken-of-the-carrier",
        signature: ("X-Provider-Signature", "sha256="),
        fields: &["event_type", "package_id", "new_status", "timestamp"],
        keys: "sign: { header: X-Provider-Signature, prefix: 'sha256=' }, \
               body: { event_type: delivery_status_update, package_id: '{{.data.id}}', \
               new_status: '{{.data.status}}', timestamp: '{{.timestamp}}' }",
    },
];

impl Listener {
    /// Why it does not take this request.
    fn objection(&self, received: &Received) -> Option<(u16, &'static str)> {
        if received.method != "POST" || received.header("content-type") != Some("application/json")
        {
            return Some((415, "post me JSON"));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&received.body);
        let (header, prefix) = self.signature;
        let ours = mac.finalize().into_bytes();
        let ours = ours.iter().fold(prefix.to_owned(), |hex, byte| hex + &format!("{byte:02x}"));
        if received.header(header) != Some(&ours) {
            return Some((401, "who are you?"));
        }
        let body = body(received);
        let is_missing = self.fields.iter().any(|field| body[*field].is_null());
        is_missing.then_some((400, "a field is missing"))
    }

    fn declared(&self, listener: &Script) -> String {
        let (name, url) = (self.name, listener.url_of(self.path));
        let retry = "retry: { first: 50ms, max: 200ms }";
        format!("  {name}: {{ url: '{url}', secret: '{SECRET}', {retry}, {} }}\n", self.keys)
    }
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

#[test]
fn listeners_written_for_others_take_what_comes() {
    let listeners = Script::start(|received| {
        let listener = LISTENERS.iter().find(|it| it.path == received.target);
        match listener.map(|it| it.objection(received)) {
            Some(None) => Reply::status(200),
            Some(Some((status, words))) => Reply::text("text/plain", words).with_status(status),
            None => Reply::status(404),
        }
    });
    let api = ApiServer::with_items(json!([{ "id": "PKG-1", "status": "packed" }]));
    let endpoints: String = LISTENERS.iter().map(|it| it.declared(&listeners)).collect();
    let mut daemon = Daemon::run(&format!(
        "sources:\n  parcels: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{endpoints}",
        api.url()
    ));
    daemon.wait_until_polled("parcels");
    let out = json!({ "id": "PKG-1", "status": "out for delivery" });
    api.set_items(json!([out, { "id": "PKG-2", "status": "Grüße \"日本\" 🔔" }]));
    wait_until("all of it", || listeners.requests().len() >= 2 * LISTENERS.len());
    stays("and no more", || listeners.requests().len() == 2 * LISTENERS.len());
    for listener in LISTENERS {
        let requests = listeners.requests().into_iter();
        let came: Vec<_> = requests.filter(|it| it.target == listener.path).collect();
        assert_eq!(came.len(), 2, "{}", listener.name);
        for received in came {
            assert_eq!(listener.objection(&received), None, "{}: {received:?}", listener.name);
            if listener.name == "carrier" {
                let body = body(&received);
                assert_eq!(body["event_type"], "delivery_status_update");
                let is_first = body["package_id"] == "PKG-1";
                let status = if is_first { "out for delivery" } else { "Grüße \"日本\" 🔔" };
                assert_eq!(body["new_status"], status);
            }
        }
    }
    // A token in the address is as secret as any.
    let shown = daemon.cli(&["endpoints"]).stdout + &daemon.log_text();
    assert!(!shown.contains("t0ken-of"), "{shown}");
    assert!(daemon.term().success());
}
