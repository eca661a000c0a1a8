//! A contact is added to a CRM. The receiver wants `contact_id`, `name` and `email`, as JSON, and answers 400 to
//! anything else.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

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
    let contact = &body(received);
    let wanted = ["contact_id", "name", "email"];
    let missing = wanted.into_iter().find(|name| contact[*name].is_null())?;
    Some(format!("{missing} is required"))
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

/// A signed endpoint for the CRM's receiver, with more keys.
fn config(crm: &ApiServer, receiver: &Script, keys: &str) -> String {
    format!(
        "
sources:
  contacts:
    url: '{}'
    key: .id
    every: 100ms
    events:
      - {{ type: contact.added, on: created }}
endpoints:
  crm-agent:
    url: '{}'
    secret: any
    sign: {{ header: X-Webhook-Signature }}
    retry: {{ first: 50ms, max: 200ms, for: 1h }}
{keys}
",
        crm.url(),
        receiver.url_of("/crm-update"),
    )
}

/// As a template.
const AS_MAP: &str = "    body:
      contact_id: '{{.data.id}}'
      name: '{{.data.first}} {{.data.last}}'
      email: '{{.data.emails[0].value}}'
      phone: '{{.data.phone}}'";

/// As jq.
const AS_JQ: &str = "    body: '.data | {contact_id: .id, name: ([.first, .last] | join(\" \")), email: .emails[0].value}'";

fn person(id: u64, first: &str) -> Value {
    json!({ "id": id, "first": first, "last": "Lovelace", "stage": "lead", "emails": [{ "kind": "work", "value": format!("{first}@example.org") }] })
}

/// The contacts that were accepted.
fn accepted(receiver: &Script) -> Vec<Value> {
    let taken = |received: &&Received| objection(received).is_none();
    receiver.requests().iter().filter(taken).map(body).collect()
}

/// Whether a request is signed as the endpoint says, over the bytes that came.
fn is_signed(received: &Received) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"any").unwrap();
    mac.update(&received.body);
    let digest = mac.finalize().into_bytes();
    let hex = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    received.header("x-webhook-signature") == Some(&hex)
}

fn news_arrives_in_shape(keys: &str) {
    let crm = ApiServer::with_items(json!([person(1, "ada"), person(2, "bea")]));
    let receiver = picky_receiver();
    let mut daemon = Daemon::run(&config(&crm, &receiver, keys));
    daemon.wait_for_good_polls("contacts", 2);
    assert_eq!(receiver.requests().len(), 0, "those that were there before are no news");

    crm.set_items(json!([person(1, "ada"), person(2, "bea"), person(3, "cleo")]));
    wait_until("the new contact", || accepted(&receiver).len() == 1);
    let [received] = &receiver.requests()[..] else { panic!("more than one request") };
    let expected = r#"{"contact_id":3,"name":"cleo Lovelace","email":"cleo@example.org"}"#;
    assert_eq!(String::from_utf8_lossy(&received.body), expected);
    assert!(is_signed(received), "the signature covers other bytes than those that came");

    // An edit and a deletion are of no interest to this receiver.
    crm.set_items(json!([person(1, "adele"), person(3, "cleo")]));
    daemon.wait_for_good_polls("contacts", 3);
    stays("nothing else comes", || receiver.requests().len() == 1);
    assert!(daemon.term().success());
}

#[test]
fn a_new_contact_arrives_in_the_shape_that_the_receiver_wants() {
    news_arrives_in_shape(AS_MAP);
    news_arrives_in_shape(AS_JQ);
}

#[test]
fn a_refusal_is_shown_with_the_receivers_answer_until_it_is_mended() {
    let crm = ApiServer::with_items(json!([person(1, "ada")]));
    let receiver = picky_receiver();
    let mut daemon = Daemon::run(&config(&crm, &receiver, ""));
    daemon.wait_until_polled("contacts");
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
    daemon.write_config(&config(&crm, &receiver, AS_MAP));
    daemon.hup();
    daemon.wait_until("the reload", |daemon| {
        !daemon.logged_since(log_end, &["configuration", "is taken on"]).is_empty()
    });
    crm.set_items(json!([person(1, "ada"), person(2, "bea"), person(3, "cleo")]));
    wait_until("the contact in its new shape", || !accepted(&receiver).is_empty());
    let [taken] = &accepted(&receiver)[..] else { panic!("more than one was taken") };
    assert_eq!(taken["contact_id"], 3);
    let row = daemon.cli_json(&["deliveries", "show", &id]);
    assert_ne!(row["delivery"]["status"], "delivered", "{row}");
    let first = receiver.requests()[0].body.clone();
    let refused = receiver.requests().into_iter().filter(|received| objection(received).is_some());
    for received in refused {
        assert_eq!(received.body, first, "an event's bytes never change");
    }
    assert!(daemon.term().success());
}
