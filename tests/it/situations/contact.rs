//! A contact is added to a CRM. The receiver wants `contact_id`, `name` and `email`, as JSON, and answers 400 to
//! anything else.

use serde_json::{Value, json};

use crate::support::server::Received;
use crate::support::wait::{stays, wait_for, wait_until};
use crate::support::{ApiServer, Daemon, Reply, Script};

/// The CRM's receiver: 400, with the reason, unless it likes what it gets.
fn picky_receiver() -> Script {
    Script::start(|received| match objection(received) {
        None => Reply::status(204),
        Some(reason) => Reply::json(&json!({ "error": reason })).with_status(400),
    })
}

fn objection(received: &Received) -> Option<String> {
    if received.path() != "/crm-update"
        || received.header("content-type") != Some("application/json")
    {
        return Some(String::from("send JSON to /crm-update"));
    }
    let contact = &contact(received);
    let wanted = ["contact_id", "name", "email"];
    let missing = wanted.into_iter().find(|name| contact[*name].is_null())?;
    Some(format!("{missing} is required"))
}

/// What it was sent as the contact.
fn contact(received: &Received) -> Value {
    serde_json::from_slice::<Value>(&received.body).unwrap_or_default()["data"].clone()
}

fn config(crm: &ApiServer, receiver: &Script, data: &str) -> String {
    format!(
        "
sources:
  contacts:
    url: '{}'
    key: .id
    every: 100ms
    events:
      - {{ type: contact.added, on: created{data} }}
endpoints:
  crm-agent:
    url: '{}'
    secret: any
    sign: {{ header: X-Webhook-Signature }}
    retry: {{ first: 50ms, max: 200ms, for: 1h }}
",
        crm.url(),
        receiver.url_of("/crm-update"),
    )
}

const RESHAPED: &str = ", data: '.after | {contact_id: .id, name: ([.first, .last] | join(\" \")), email: .emails[0].value}'";

fn person(id: u64, first: &str) -> Value {
    json!({ "id": id, "first": first, "last": "Lovelace", "stage": "lead", "emails": [{ "kind": "work", "value": format!("{first}@example.org") }] })
}

/// The contacts that were accepted.
fn accepted(receiver: &Script) -> Vec<Value> {
    let taken = |received: &&Received| objection(received).is_none();
    receiver.requests().iter().filter(taken).map(contact).collect()
}

#[test]
fn a_new_contact_arrives_in_the_shape_that_the_receiver_wants() {
    let crm = ApiServer::with_items(json!([person(1, "ada"), person(2, "bea")]));
    let receiver = picky_receiver();
    let mut daemon = Daemon::run(&config(&crm, &receiver, RESHAPED));
    daemon.wait_for_good_polls("contacts", 2);
    assert_eq!(receiver.requests().len(), 0, "those that were there before are no news");

    crm.set_items(json!([person(1, "ada"), person(2, "bea"), person(3, "cleo")]));
    wait_until("the new contact", || accepted(&receiver).len() == 1);
    let expected = json!({ "contact_id": 3, "name": "cleo Lovelace", "email": "cleo@example.org" });
    assert_eq!(accepted(&receiver), [expected]);

    // An edit and a deletion are of no interest to this receiver.
    crm.set_items(json!([person(1, "adele"), person(3, "cleo")]));
    daemon.wait_for_good_polls("contacts", 3);
    stays("nothing else comes", || receiver.requests().len() == 1);
    assert!(daemon.term().success());
}

#[test]
fn a_refusal_is_shown_with_the_receivers_answer_until_it_is_mended() {
    let crm = ApiServer::with_items(json!([person(1, "ada")]));
    let receiver = picky_receiver();
    let mut daemon = Daemon::run(&config(&crm, &receiver, ""));
    daemon.wait_for_good_polls("contacts", 1);
    crm.set_items(json!([person(1, "ada"), person(2, "bea")]));

    // Nobody reshaped it: the receiver says why it will not have it, and so does doorbell.
    let id = wait_for("an attempt that was refused", || {
        let rows = daemon.cli_json(&["deliveries"]);
        let row = rows.as_array()?.first()?.clone();
        (row["attempts"].as_u64()? > 0).then(|| row["id"].as_str().unwrap().to_owned())
    });
    let shown = daemon.cli(&["deliveries", "show", &id]).stdout;
    for words in ["400", "contact_id is required", "contact.added"] {
        assert!(shown.contains(words), "no {words:?} in\n{shown}");
    }
    assert!(!shown.contains("/crm-update"), "the receiver's path may hold a token: {shown}");

    // The operator reshapes it. The next contact is taken; what was refused keeps its bytes, and waits.
    let log_end = daemon.log_end();
    daemon.write_config(&config(&crm, &receiver, RESHAPED));
    daemon.hup();
    daemon.wait_until("the reload", |daemon| {
        !daemon.logged_since(log_end, &["configuration", "is taken on"]).is_empty()
    });
    crm.set_items(json!([person(1, "ada"), person(2, "bea"), person(3, "cleo")]));
    wait_until("the contact in its new shape", || !accepted(&receiver).is_empty());
    let [taken] = &accepted(&receiver)[..] else { panic!("more than one was taken") };
    assert_eq!(taken["contact_id"], 3);
    let row = daemon.cli_json(&["deliveries", "show", &id]);
    assert_ne!(row["status"], "delivered", "{row}");
    assert!(daemon.term().success());
}
