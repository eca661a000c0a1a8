//! Zendesk: <https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/>.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::kitchen::{Kitchen, bad_request, params, unauthorized};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are pages.
const PAGE_TICKETS: usize = 2;

/// A ticket and the moment of its last change, which is what the export goes by.
fn ticket(id: u64, generated: u64, status: &str, priority: &str) -> Value {
    json!({
        "id": id, "url": format!("https://acme.zendesk.com/api/v2/tickets/{id}.json"), "external_id": null,
        "created_at": "2026-11-01T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z",
        "generated_timestamp": generated, "subject": format!("Ticket {id}"), "status": status,
        "priority": priority, "tags": ["vip"], "custom_fields": [],
    })
}

/// The export: everything after the cursor by time of change, a cursor in any case, and whether this is the end.
fn answer(received: &Received, tickets: &[Value]) -> Reply {
    let expected = BASE64_STANDARD.encode("agent@acme.example/token:z3ndesk");
    if received.header("authorization") != Some(&format!("Basic {expected}")) {
        return unauthorized();
    }
    assert_eq!(received.path(), "/api/v2/incremental/tickets/cursor.json");
    let asked = params(received);
    let after: u64 = match (asked.get("cursor"), asked.get("start_time")) {
        (Some(cursor), None) => {
            let decoded = BASE64_STANDARD.decode(cursor).unwrap();
            String::from_utf8(decoded).unwrap().split('|').next().unwrap().parse().unwrap()
        }
        (None, Some(start)) => start.parse().unwrap(),
        _ => return bad_request("either cursor or start_time"),
    };
    let moment = |ticket: &Value| ticket["generated_timestamp"].as_u64().unwrap();
    let mut rest: Vec<_> =
        tickets.iter().filter(|ticket| moment(ticket) > after).cloned().collect();
    rest.sort_by_key(moment);
    let is_end = rest.len() <= PAGE_TICKETS;
    rest.truncate(PAGE_TICKETS);
    let cursor = BASE64_STANDARD.encode(format!("{}||467", rest.last().map_or(after, moment)));
    let host = received.header("host").unwrap();
    Reply::json(&json!({
        "tickets": rest, "after_cursor": cursor, "before_cursor": null, "before_url": null,
        "after_url": format!("http://{host}{}?cursor={}", received.path(), cursor.replace('=', "%3D")),
        "end_of_stream": is_end,
    }))
}

#[test]
fn tickets_ring_from_a_cursor_that_outlives_a_crash() {
    let tickets =
        Shared::new((1..=5).map(|id| ticket(id, 100 + id, "open", "normal")).collect::<Vec<_>>());
    let shown = tickets.clone();
    let api = Script::start(move |received| answer(received, &shown.get()));
    let set = |ticket: Value| {
        tickets.with(|tickets| {
            tickets.retain(|known| known["id"] != ticket["id"]);
            tickets.push(ticket);
        });
    };
    let mut kitchen = Kitchen::of("Zendesk tickets")
        .host("https://acme.zendesk.com", &api)
        .secret("ZENDESK_TOKEN", "z3ndesk")
        .run();
    kitchen.rings("tickets", &[]);
    let asked = api.take_targets();
    assert!(asked[0].contains("start_time=0") && !asked[0].contains("cursor="), "{asked:?}");
    // Behind the last page, the first one is looked at once more: nothing slipped from page to page meanwhile.
    let goes_on = |asked: &String| asked.contains("cursor=") && !asked.contains("start_time");
    assert!(asked[1..3].iter().all(goes_on), "{asked:?}");

    // A page and a half of changes.
    set(ticket(6, 201, "new", "urgent"));
    set(ticket(2, 202, "pending", "urgent"));
    set(ticket(3, 203, "open", "normal"));
    kitchen
        .rings("tickets", &["ticket.created 6", "ticket.status_changed 2", "ticket.escalated 2"]);
    assert_eq!(api.take_targets().len(), 2);

    // The cursor is kept with what it led to.
    kitchen.daemon.kill9();
    set(ticket(1, 301, "solved", "normal"));
    set(ticket(4, 302, "deleted", "normal"));
    kitchen.daemon.start();
    kitchen.rings("tickets", &["ticket.status_changed 1", "ticket.deleted 4"]);
    assert!(api.take_targets().iter().all(|asked| !asked.contains("start_time")));

    // Nothing new: one request, an empty page, and a cursor that leads on from there.
    kitchen.rings("tickets", &[]);
    assert_eq!(api.take_targets().len(), 1);
    set(ticket(5, 401, "closed", "normal"));
    kitchen.rings("tickets", &["ticket.status_changed 5"]);
}
