//! CloudEvents, in both modes, read by the official libraries.

use serde_json::{Value, json};

use crate::real::reader::Reader;
use crate::real::{RING_MAX, SECRET};
use crate::support::wait::poll_for;
use crate::support::{ApiServer, Daemon};

fn config(api: &ApiServer, python: &Reader, node: &Reader) -> String {
    let endpoint = |name: &str, reader: &Reader, keys: &str| {
        let path = name.split('-').next_back().unwrap();
        format!("  {name}: {{ url: '{}/{path}', secret: {SECRET}, format: {keys} }}\n", reader.url)
    };
    let endpoints = [
        endpoint("python-whole", python, "cloudevents"),
        endpoint("python-headers", python, "cloudevents-binary"),
        endpoint("node-whole", node, "cloudevents"),
        endpoint("node-headers", node, "cloudevents-binary"),
        endpoint("node-shaped", node, "cloudevents, body: { n: '{{.seq}}' }"),
    ];
    let endpoints = endpoints.concat();
    format!(
        "sources:\n  orders: {{ url: '{}', key: .id, every: 200ms }}\nendpoints:\n{endpoints}",
        api.url()
    )
}

/// The libraries read what the envelope says, from either mode, and refuse neither.
#[test]
#[ignore = "long: installs the libraries"]
fn the_official_libraries_read_cloudevents() {
    let home = tempfile::tempdir().unwrap();
    let start =
        |kind: &'static str| Reader::start("cloudevents.sh", kind, home.path(), &["0", SECRET]);
    let (python, node) = (start("python"), start("node"));
    let api = ApiServer::with_items(json!([]));
    let mut daemon = Daemon::run(&config(&api, &python, &node));
    daemon.wait_until_polled("orders");
    let order = json!({ "id": "A 1/ü\"%", "total": 1.5, "note": "日本 😀", "none": null });
    api.set_items(json!([&order]));
    // The one for JavaScript leaves the decoding of headers, which the HTTP binding asks for, to its user.
    let encoded = json!("A%201/%C3%BC%22%25");
    for (reader, count, in_header) in [(&python, 2, &order["id"]), (&node, 3, &encoded)] {
        let read = poll_for(RING_MAX, || Some(reader.ledger()).filter(|all| all.len() == count));
        let read = read.unwrap_or_else(|| {
            let shown = daemon.cli(&["deliveries", "--json"]).stdout;
            panic!(
                "{} of {count} were read:\n{shown}\n{}",
                reader.ledger().len(),
                daemon.log_text()
            )
        });
        for event in read {
            let subject = if event["path"] == "headers" { in_header } else { &order["id"] };
            check(&event, &order, subject);
        }
    }
    assert!(daemon.term().success());
}

/// What a library read is what was sent.
#[track_caller]
fn check(event: &Value, order: &Value, subject: &Value) {
    let data = if event["path"] == "shaped" { &json!({ "n": 1 }) } else { order };
    assert_eq!(&event["data"], data, "{event}");
    assert_eq!(event["type"], "orders.created", "{event}");
    assert_eq!(event["source"], "orders", "{event}");
    assert_eq!(&event["subject"], subject, "{event}");
    assert_eq!(event["seq"], "1", "{event}");
    assert!(event["id"].as_str().unwrap().starts_with("evt_"), "{event}");
    assert!(event["time"].as_str().unwrap().starts_with("20"), "{event}");
}
