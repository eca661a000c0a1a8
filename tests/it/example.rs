//! The kit in one page: copy this to begin a test.

use serde_json::json;

use crate::support::{ApiServer, Daemon, Receiver, Reply};

#[test]
fn a_new_ticket_rings_through_faults_and_a_crash() {
    let api = ApiServer::with_items(json!([{ "id": 1, "status": "new" }]));
    let receiver = Receiver::start();
    let mut daemon = Daemon::run(&format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: 100ms, backoff: {{ first: 50ms, max: 200ms }} }}
endpoints:
  desk: {{ url: '{}', secret: any, retry: {{ first: 50ms, max: 200ms, for: 1h }} }}
",
        api.url(),
        receiver.url(),
    ));

    // What is there at first is no news.
    daemon.wait_for_good_polls("tickets", 2);
    receiver.expect(&[]);

    // The API is down for two polls, the receiver for one attempt: it rings all the same, and once.
    api.next(Reply::status(500));
    api.next(Reply::reset());
    receiver.next(Reply::status(503));
    api.set_items(json!([{ "id": 1, "status": "new" }, { "id": 2, "status": "new" }]));
    receiver.expect(&["tickets.created 2"]);

    daemon.kill9();
    api.set_items(json!([{ "id": 1, "status": "closed" }, { "id": 2, "status": "new" }]));
    daemon.start();
    receiver.expect(&["tickets.created 2", "tickets.updated 1"]);
    assert!(daemon.term().success());
}
