//! Oddities that real servers have shown, each as one test: nothing rings that did not happen, and what did happen rings.
//!
//! - A revoked key is answered with what anybody may see. – test: `a_revoked_key_that_answers_200_deletes_nothing`
//! - Closed items are not listed. – test: `a_closed_item_that_only_leaves_the_list_is_not_deleted`
//! - A page is smaller than was asked for, without a word. – test: `a_page_size_that_is_silently_capped`
//! - A `Last-Modified` that is no date, and breaks the server when it is sent back. – test: `a_last_modified_that_is_no_date_is_not_sent_back`
//! - Two versions within the second that a date can tell. – test: `a_tag_is_preferred_to_a_date`
//! - A server that fails on its own validator. – test: `a_validator_is_dropped_after_a_failure`
//! - The order of keys and the spelling of numbers change by themselves. – tests: `spelling_changes_from_answer_to_answer`, `items_in_another_order_are_the_same_items`
//! - A rate limit's reset is an epoch here and a fraction of a second there. – test: `rate_limit_headers_of_either_kind`
//! - A tag that is not looked at; `no-store` beside one that works. – test: `tags_that_work_only_half`
//! - An empty `Link`. – test: `an_empty_link_header_is_the_end`
//! - JSON by another name. – test: `json_by_another_name_is_json`
//! - GraphQL's errors with 200. – test: `graphql_errors_come_with_200`
//! - A parameter that puts the bare list into an object. – test: `an_array_that_becomes_an_object`
//! - Ids that are texts here and numbers there. – test: `ids_as_text_here_and_as_numbers_there`
//! - What is resolved just leaves the list. – test: `a_resolved_item_leaves_the_list`
//! - A timestamp that is another one on every read. – test: `a_timestamp_that_changes_by_itself`
//! - Receivers that answer 500 to a wrong signature, sign what they write anew, want their own type or a prefix. – tests: `what_is_sent_survives_a_receiver_that_writes_it_anew`, `real::tutorial_receivers_hear_of_a_real_tracker`

use serde_json::{Value, json};

use crate::misbehaviour::{Door, tickets};
use crate::support::scene::{item, items};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Script, Shared};

fn json_text(text: &str) -> Reply {
    Reply::text("application/json", text)
}

/// Instead of refusing a revoked key, the server shows what anybody may see. That looks like a mass deletion.
#[test]
fn a_revoked_key_that_answers_200_deletes_nothing() {
    let door = Door::with_items(items(80), "auth: { bearer: revoked }");
    door.api.set_items(items(3));
    for _ in 0..4 {
        door.poll().rang(&[]);
    }
    door.api.set_items(items(81));
    door.poll().rang(&["tickets.created 81"]);
}

/// The list shows open items only: a closed one is no longer listed, but it is there when asked for by itself.
#[test]
fn a_closed_item_that_only_leaves_the_list_is_not_deleted() {
    let gone = Shared::new(Vec::<u32>::new());
    let (listed, missing) = (Shared::new(items(3)), gone.clone());
    let shown = listed.clone();
    let api = Script::start(move |received| match received.path().strip_prefix("/tickets/") {
        Some(id) if missing.get().contains(&id.parse().unwrap()) => Reply::status(404),
        Some(id) => Reply::json(&json!({ "id": id.parse::<u32>().unwrap(), "status": "closed" })),
        None => Reply::json(&shown.get()),
    });
    let check = format!("deletes: {{ check: '{}' }}", api.url_of("/tickets/{{key}}"));
    let daemon = Daemon::new(&tickets(&api.url_of("/tickets"), &check));
    daemon.poll("tickets").rang(&[]);
    listed.set(json!([item(1)]));
    for _ in 0..4 {
        daemon.poll("tickets").rang(&[]);
    }
    gone.set(vec![3]);
    let told: Vec<_> = (0..3).flat_map(|_| daemon.poll("tickets").story()).collect();
    assert_eq!(told, ["tickets.deleted 3"]);
}

/// Five hundred items a page were asked for; the server gives two at most, and says nothing of it.
#[test]
fn a_page_size_that_is_silently_capped() {
    for (pages, is_offset) in [
        ("{ offset: from, limit: { size: 500 } }", true),
        ("{ page: page, size: { size: 500 } }", false),
    ] {
        let list = Shared::new(5_usize);
        let shown = list.clone();
        let api = Script::start(move |received| {
            let number = |name: &str, absent: usize| {
                received.query(name).map_or(absent, |text| text.parse().unwrap())
            };
            let from = if is_offset { number("from", 0) } else { (number("page", 1) - 1) * 2 };
            Reply::json(&(from + 1..=shown.get()).take(2).map(item).collect())
        });
        let daemon = Daemon::new(&tickets(&api.url_of("/list"), &format!("pages: {pages}")));
        daemon.poll("tickets").rang(&[]);
        daemon.poll("tickets").rang(&[]);
        list.set(6);
        daemon.poll("tickets").rang(&["tickets.created 6"]);
    }
}

/// A server that answers 500 to a date which it had sent itself. Only what parses as an HTTP date is sent back.
#[test]
fn a_last_modified_that_is_no_date_is_not_sent_back() {
    let count = Shared::new(2_usize);
    let shown = count.clone();
    let api = Script::start(move |received| match received.header("if-modified-since") {
        Some(_) => Reply::status(500),
        None => {
            Reply::json(&items(shown.get())).header("Last-Modified", "2026-11-20 10:00:00 +0100")
        }
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), ""));
    for known in 2..5 {
        count.set(known);
        let poll = daemon.poll("tickets");
        assert_eq!((poll.fault(), poll.events().len()), ("", usize::from(known > 2)));
    }
}

/// Of a tag and a date, the tag is sent: it tells versions apart that lie within one second.
#[test]
fn a_tag_is_preferred_to_a_date() {
    let version = Shared::new(1);
    let shown = version.clone();
    let api = Script::start(move |received| {
        let tag = format!("\"{}\"", shown.get());
        let date = "Fri, 20 Nov 2026 10:00:00 GMT";
        let same_date = received.header("if-modified-since") == Some(date);
        let same = received.header("if-none-match").map_or(same_date, |given| given == tag);
        let reply = if same { Reply::status(304) } else { Reply::json(&items(shown.get())) };
        let reply = reply.header("ETag", &tag).header("Last-Modified", date);
        reply.header("Date", "Fri, 20 Nov 2026 10:00:05 GMT")
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), ""));
    daemon.poll("tickets").rang(&[]);
    assert_eq!(daemon.poll("tickets").outcome(), "not_modified");
    version.set(2);
    daemon.poll("tickets").rang(&["tickets.created 2"]);
}

/// A server that chokes on its own tag: after the failure it is asked without.
#[test]
fn a_validator_is_dropped_after_a_failure() {
    let api = Script::start(|received| match received.header("if-none-match") {
        Some(_) => Reply::status(500),
        None => Reply::json(&items(2)).header("ETag", "\"tag\""),
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), ""));
    daemon.poll("tickets").rang(&[]);
    daemon.poll("tickets").failed("http_500");
    daemon.poll("tickets").rang(&[]);
}

/// The order of keys and items, white space and the spelling of numbers are nothing that changed.
#[test]
fn spelling_changes_from_answer_to_answer() {
    let door = Door::with_items(json!([]), "deletes: off");
    let first = r#"[{"id":1,"n":1,"m":1000,"in":{"a":1,"b":[1,2]}},{"id":2,"n":0.5}]"#;
    door.answered(json_text(first)).rang(&["tickets.created 1", "tickets.created 2"]);
    for again in [
        r#"[{"m":1000,"in":{"b":[1,2],"a":1},"n":1,"id":1},{"n":0.5,"id":2}]"#,
        r#"[{"id":2,"n":0.5},{"id":1,"n":1,"m":1000,"in":{"a":1,"b":[1,2]}}]"#,
        r#"[{"id":1.0,"n":1.0,"m":1e3,"in":{"a":1.000,"b":[1,2.0]}},{"id":2e0,"n":5e-1}]"#,
        " [ {\"id\":1 ,\n\"n\":1,\"m\":1000,\"in\":{\"a\":1,\"b\":[1,2]}},\t{\"id\":2,\"n\":0.50} ]\n",
        "[{\"id\":1,\"n\":1,\"m\":1000,\"\\u0069n\":{\"a\":1,\"b\":[1,2]}},{\"id\":2,\"n\":0.5}]",
    ] {
        door.answered(json_text(again)).rang(&[]);
    }
    // The order within a list is a matter of the API, and so is a text where a number was.
    let other = r#"[{"id":1,"n":"1","m":1000,"in":{"a":1,"b":[2,1]}},{"id":2,"n":0.5}]"#;
    door.answered(json_text(other)).rang(&["tickets.updated 1"]);
}

/// The reset of a rate limit is an epoch on one server and seconds, with a fraction, on another. Neither is a date
/// centuries away, and neither is read as the answer to the poll.
#[test]
fn rate_limit_headers_of_either_kind() {
    let door = Door::with_items(items(1), "backoff: { first: 1s, max: 5s }");
    for reset in ["1795260000", "0.482", "2026-11-21T10:00:00Z", "soon"] {
        let limited = Reply::status(429)
            .header("X-RateLimit-Limit", "60")
            .header("X-RateLimit-Remaining", "0")
            .header("X-RateLimit-Reset", reset);
        let poll = door.answered(limited);
        poll.failed("http_429");
        assert_eq!(poll.outcome(), "limited", "{reset}");
        let headed = Reply::json(&items(1)).header("X-RateLimit-Remaining", "0");
        door.answered(headed.header("X-RateLimit-Reset", reset)).rang(&[]);
    }
}

/// Asked conditionally, it sends everything again with the same tag; `no-store` stands beside a tag that works.
#[test]
fn tags_that_work_only_half() {
    let count = Shared::new(2_usize);
    let shown = count.clone();
    let api = Script::start(move |received| {
        let tag = format!("W/\"{}\"", shown.get());
        let conditional = received.path() == "/works";
        if conditional && received.header("if-none-match") == Some(&tag) {
            return Reply::status(304).header("Cache-Control", "no-store");
        }
        Reply::json(&items(shown.get())).header("ETag", &tag).header("Cache-Control", "no-store")
    });
    for (path, again) in [("/works", "not_modified"), ("/ignores", "unchanged")] {
        count.set(2);
        let daemon = Daemon::new(&tickets(&api.url_of(path), ""));
        daemon.poll("tickets").rang(&[]);
        for _ in 0..2 {
            assert_eq!(daemon.poll("tickets").outcome(), again, "{path}");
        }
        count.set(3);
        daemon.poll("tickets").rang(&["tickets.created 3"]);
    }
}

/// An empty `Link` header says that there is no more.
#[test]
fn an_empty_link_header_is_the_end() {
    let door = Door::with_items(items(1), "pages: link");
    for (more, link) in ["", " ", ","].iter().enumerate() {
        let id = more + 2;
        let poll = door.answered(Reply::json(&items(id)).header("Link", link));
        poll.rang(&[&format!("tickets.created {id}")]);
    }
}

#[test]
fn json_by_another_name_is_json() {
    let door = Door::with_items(items(1), "");
    for (more, name) in
        ["text/plain; charset=utf-8", "application/hal+json", "binary/octet-stream", ""]
            .iter()
            .enumerate()
    {
        let id = more + 2;
        let reply = Reply::text(name, items(id).to_string());
        door.answered(reply).rang(&[&format!("tickets.created {id}")]);
    }
}

/// GraphQL says 200 to everything. Errors without data are a failed poll, and no empty list.
#[test]
fn graphql_errors_come_with_200() {
    let keys = "method: POST, body: { query: '{ tickets { id } }' }, items: .data.tickets";
    let api = ApiServer::with_items(json!({ "data": { "tickets": items(3) } }));
    let door = Door::before(api, keys);
    for refused in [
        r#"{"errors":[{"message":"rate limited"}]}"#,
        r#"{"data":null,"errors":[{"message":"rate limited"}]}"#,
        r#"{"errors":[{"message":"one"}],"data":{"tickets":null}}"#,
    ] {
        for _ in 0..3 {
            let poll = door.answered(json_text(refused));
            assert!(!poll.fault().is_empty() && poll.events().is_empty(), "{refused}: {poll:?}");
        }
    }
    door.api.set_items(json!({ "data": { "tickets": items(4) } }));
    door.poll().rang(&["tickets.created 4"]);
}

/// An added parameter turns the bare array into an object around it: told, and not taken for one item.
#[test]
fn an_array_that_becomes_an_object() {
    let door = Door::with_items(items(3), "");
    for _ in 0..3 {
        door.answered(Reply::json(&json!({ "data": items(3), "total": 3 }))).failed("shape");
    }
    door.api.set_items(items(4));
    door.poll().rang(&["tickets.created 4"]);
}

/// Ids are texts in the list and numbers in the items, or the other way round from one day to the next.
#[test]
fn ids_as_text_here_and_as_numbers_there() {
    let door = Door::with_items(json!([]), "deletes: { after: 1 }, ignore: [.id]");
    door.answered(json_text(r#"[{"id":7},{"id":"8"}]"#))
        .rang(&["tickets.created 7", "tickets.created 8"]);
    door.answered(json_text(r#"[{"id":"7"},{"id":8}]"#)).rang(&[]);
    door.answered(json_text(r#"[{"id":7.0},{"id":8}]"#)).rang(&[]);
    // A text is itself: these are two.
    door.answered(json_text(r#"[{"id":"7"},{"id":"07"},{"id":8}]"#)).rang(&["tickets.created 07"]);
}

/// A resolved item just leaves the list: after two complete listings without it, that is a deletion.
#[test]
fn a_resolved_item_leaves_the_list() {
    let keys = "events: [{ type: ticket.resolved, on: deleted }]";
    let door = Door::with_items(items(3), keys);
    door.api.set_items(items(2));
    door.poll().rang(&[]);
    let poll = door.poll();
    poll.rang(&["ticket.resolved 3"]);
    assert_eq!(poll.events()[0]["data"], item(3), "the last known item");
    // It comes back: that is news again.
    door.api.set_items(items(3));
    door.poll().rang(&[]);
    door.api.set_items(items(2));
    door.poll().rang(&[]);
    door.poll().rang(&["ticket.resolved 3"]);
}

/// A timestamp that is other on every read is left out of the comparison, and still delivered.
#[test]
fn a_timestamp_that_changes_by_itself() {
    let reads = Shared::new(0);
    let (status, count) = (Shared::new("new"), reads.clone());
    let shown = status.clone();
    let api = Script::start(move |_| {
        let read = count.with(|reads| {
            *reads += 1;
            *reads
        });
        Reply::json(&json!([{ "id": 1, "status": shown.get(), "meta": { "read_at": read } }]))
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), "ignore: [.meta.read_at]"));
    for _ in 0..4 {
        daemon.poll("tickets").rang(&[]);
    }
    status.set("closed");
    let poll = daemon.poll("tickets");
    poll.rang(&["tickets.updated 1"]);
    assert_eq!(poll.events()[0]["data"]["meta"]["read_at"], reads.get());
    let paths: Vec<_> = poll.events()[0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].clone())
        .collect();
    assert_eq!(paths, ["/status"]);
}

/// Receivers that sign what they re-serialise, or parse `application/json` only, or keep the order of keys: the body is
/// compact UTF-8 with the API's own order, and stays the same on every attempt.
#[test]
fn what_is_sent_survives_a_receiver_that_writes_it_anew() {
    let (api, receiver) = (ApiServer::start(), Receiver::start());
    let mut daemon = Daemon::run(&format!(
        "
sources: {{ tickets: {{ url: '{}', key: .id, every: 100ms }} }}
endpoints: {{ desk: {{ url: '{}', secret: any, sign: github, retry: {{ first: 20ms, max: 50ms, for: 1h }} }} }}
",
        api.url(),
        receiver.url()
    ));
    daemon.wait_for_good_polls("tickets", 1);
    // 500 to what it takes for a wrong signature.
    receiver.next(Reply::status(500));
    api.always(json_text(r#"[ {"z": "Grüße 東京 🔔", "id": 1, "a": [1.50, 123456789012345678901234567890.5, "\/"] } ]"#));
    receiver.expect(&["tickets.created 1"]);
    let ledger = receiver.ledger();
    assert_eq!(ledger.rings.len(), 2, "{ledger:?}");
    for ring in &ledger.rings {
        let body = String::from_utf8(ring.received.body.clone()).unwrap();
        assert!(
            body.contains("\"data\":{\"z\":\"Grüße 東京 🔔\",\"id\":1,\"a\":[1.50,123456789012345678901234567890.5,\"/\"]}"),
            "{body}"
        );
        assert_eq!(ring.received.header("content-type"), Some("application/json"));
        let signature = ring.received.header("x-hub-signature-256").unwrap();
        assert!(signature.starts_with("sha256=") && signature.len() == 71, "{signature}");
    }
    assert!(daemon.term().success());
}

/// Not seen by a list of items at all: the answers of one poll agree with each other, whatever order they come in.
#[test]
fn items_in_another_order_are_the_same_items() {
    let door = Door::with_items(items(5), "");
    let mut turned: Vec<Value> = items(5).as_array().unwrap().clone();
    for _ in 0..5 {
        turned.rotate_left(2);
        door.answered(Reply::json(&Value::from(turned.clone()))).rang(&[]);
    }
}
