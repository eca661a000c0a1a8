//! Tickets are edited all day. The agent wants to hear of new ones, and of those whose status changed; not of every
//! comment, tag and view.

use serde_json::{Value, json};

use crate::support::{ApiServer, Daemon, Receiver};

fn config(desk: &ApiServer, receiver: &Receiver) -> String {
    format!(
        "
sources:
  tickets:
    url: '{}'
    items: .tickets
    key: .id
    every: 100ms
    events:
      - {{ type: ticket.created, on: created }}
      - {{ type: ticket.status_changed, on: updated, changed: .status }}
      - type: ticket.escalated
        on: updated
        when: .after.priority == \"urgent\" and .before.priority != \"urgent\"
endpoints:
  agent: {{ url: '{}', secret: any }}
",
        desk.url(),
        receiver.url()
    )
}

/// The answer of a help desk with these tickets.
fn desk_of(tickets: &[&Value]) -> Value {
    json!({ "tickets": tickets, "count": tickets.len() })
}

fn ticket(id: u64) -> Value {
    json!({ "id": id, "status": "new", "priority": "low", "subject": "Help", "comments": 0, "tags": [] })
}

/// The same ticket with other values.
fn with(ticket: &Value, changes: &[(&str, Value)]) -> Value {
    let mut ticket = ticket.clone();
    for (name, value) in changes {
        ticket[*name] = value.clone();
    }
    ticket
}

#[test]
fn only_new_tickets_and_changes_of_status_ring() {
    let (first, second) = (ticket(1), ticket(2));
    let (desk, receiver) = (ApiServer::with_items(desk_of(&[&first, &second])), Receiver::start());
    let mut daemon = Daemon::run(&config(&desk, &receiver));
    daemon.wait_until_polled("tickets");

    // Comments, tags, another subject, another assignee: edits, and no news.
    let talked = with(&first, &[("comments", json!(7)), ("subject", json!("Help!"))]);
    let tagged = with(&second, &[("tags", json!(["vip"])), ("assignee", json!("bo"))]);
    desk.set_items(desk_of(&[&tagged, &talked]));
    daemon.wait_until("both edits seen", |daemon| {
        daemon.metric("doorbell_changes_total", &[("source", "tickets"), ("kind", "updated")]) > 1.5
    });
    receiver.expect(&[]);

    // A new one, and one that was solved and commented upon at once.
    let solved = with(&talked, &[("status", json!("solved")), ("comments", json!(8))]);
    desk.set_items(desk_of(&[&ticket(3), &solved, &tagged]));
    receiver.expect(&["ticket.created 3", "ticket.status_changed 1"]);
    let ledger = receiver.ledger();
    let event = &ledger.of_key("1")[0].event;
    // The whole ticket before and after, as it was when it was last seen, and all that differs.
    assert_eq!((&event["previous"], &event["data"]), (&talked, &solved));
    let changes = json!([
        { "path": "/status", "old": "new", "new": "solved" },
        { "path": "/comments", "old": 7, "new": 8 },
    ]);
    let found: Vec<_> = event["changes"].as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 2, "{event}");
    assert!(changes.as_array().unwrap().iter().all(|change| found.contains(&change)), "{event}");

    // One change may be two kinds of news. It escalates once, however often it is edited while it is urgent.
    let urgent = with(&tagged, &[("status", json!("open")), ("priority", json!("urgent"))]);
    desk.set_items(desk_of(&[&ticket(3), &solved, &urgent]));
    let story = [
        "ticket.created 3",
        "ticket.status_changed 1",
        "ticket.status_changed 2",
        "ticket.escalated 2",
    ];
    receiver.expect(&story);
    let ids: Vec<_> = receiver.ledger().of_key("2").iter().map(|ring| ring.id.clone()).collect();
    assert_ne!(ids[0], ids[1]);
    let edited = with(&urgent, &[("comments", json!(1))]);
    desk.set_items(desk_of(&[&ticket(3), &edited]));
    // Closed tickets leave the list: nobody asked to hear of that.
    daemon.wait_until("the deletion", |daemon| {
        daemon.metric("doorbell_changes_total", &[("source", "tickets"), ("kind", "deleted")]) > 0.5
    });
    receiver.expect(&story);
    assert!(daemon.term().success());
}

#[test]
fn a_status_that_goes_and_comes_back_rings_each_time() {
    let (desk, receiver) = (ApiServer::with_items(desk_of(&[&ticket(1)])), Receiver::start());
    let mut daemon = Daemon::run(&config(&desk, &receiver));
    daemon.wait_until_polled("tickets");
    for (count, status) in ["open", "new", "open", "new"].into_iter().enumerate() {
        desk.set_items(desk_of(&[&with(&ticket(1), &[("status", json!(status))])]));
        receiver.wait_for(status, |ledger| ledger.accepted().len() == count + 1);
    }
    let ledger = receiver.ledger();
    let told: Vec<_> =
        ledger.accepted().iter().map(|ring| ring.event["data"]["status"].clone()).collect();
    assert_eq!(told, ["open", "new", "open", "new"]);
    assert_eq!(ledger.ids().len(), 4, "each is an event of its own");
}
