//! How others lose changes without a word, each as one test: here they arrive, or are told.
//!
//! That no cursor moves before what it stands for is durable is shown by `crash::forty_kills`.

use serde_json::{Value, json};

use crate::misbehaviour::{Door, tickets};
use crate::support::scene::{item, items};
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene, Script, Shared};

/// No set of seen ids overflows: the oldest of twenty thousand is still known.
#[test]
fn ids_are_remembered_however_many() {
    let all = items(20_000);
    let door = Door::with_items(all.clone(), "max_body: 32MiB, deletes: off");
    door.api.set_items(json!([item(20_001)]));
    door.poll().rang(&["tickets.created 20001"]);
    door.api.set_items(all);
    door.poll().rang(&[]);
}

/// The newest item is deleted: no marker is lost with it, and the rest does not come again.
#[test]
fn a_deleted_newest_item_floods_nothing() {
    let newest_first = |from: usize| Value::from((1..=from).rev().map(item).collect::<Vec<_>>());
    let door = Door::with_items(newest_first(10), "deletes: off");
    door.api.set_items(newest_first(9));
    door.poll().rang(&[]);
    door.api.set_items(json!([item(11), item(9)]));
    door.poll().rang(&["tickets.created 11"]);
}

/// More pages than allowed are a fault, and not the end of the list.
#[test]
fn a_bound_on_pages_hides_nothing_silently() {
    let api = ApiServer::with_items(items(6));
    api.set_items_per_page(2);
    let door = Door::before(api, "pages: { link: true, max: 3 }");
    door.api.set_items(items(8));
    let poll = door.poll();
    assert_eq!(poll.fault(), "too_many_pages", "{poll:?}");
    assert!(poll.sentence().contains('3'), "{poll:?}");
}

/// A new item on the last of many pages rings as one on the first does.
#[test]
fn every_page_is_read() {
    let api = ApiServer::with_items(items(50));
    api.set_items_per_page(2);
    let door = Door::before(api, "pages: link");
    door.api.set_items(items(51));
    door.poll().rang(&["tickets.created 51"]);
    assert_eq!(door.poll().statuses().len(), 26);
}

/// Whatever breaks on whichever page: the items behind it are not deleted.
#[test]
fn a_partial_listing_deletes_nothing() {
    let broken = Shared::new(None::<(usize, Reply)>);
    let shown = broken.clone();
    let api = Script::start(move |received| {
        let page: usize = received.query("page").map_or(1, |page| page.parse().unwrap());
        if let Some((at, reply)) = shown.get().filter(|(at, _)| *at == page) {
            assert_eq!(at, page);
            return reply;
        }
        let reply = Reply::json(&json!([item(page * 2), item(page * 2 + 1)]));
        let next = format!("</list?page={}>; rel=next", page + 1);
        if page < 4 { reply.header("Link", &next) } else { reply }
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), "pages: link, deletes: { after: 1 }"));
    daemon.poll("tickets").rang(&[]);
    for page in 1..=4 {
        for reply in [
            Reply::status(500),
            Reply::retry_after(429, "1"),
            Reply::reset(),
            Reply::html(),
            Reply::status(304),
            Reply::status(204),
            Reply::text("application/json", "[{\"id\":"),
            Reply::json(&json!({ "error": "no" })),
        ] {
            broken.set(Some((page, reply.clone())));
            let poll = daemon.poll("tickets");
            assert!(
                !poll.fault().is_empty() && poll.events().is_empty(),
                "{page} {reply:?}: {poll:?}"
            );
        }
    }
    broken.set(None);
    daemon.poll("tickets").rang(&[]);
}

/// The snapshot moves on with the event, not with its delivery: a receiver that fails for long loses nothing.
#[test]
fn an_error_of_the_receiver_loses_nothing() {
    let mut scene = Scene::with_items(items(1));
    scene.receiver.always(Reply::status(500));
    scene.api.set_items(items(3));
    scene.receiver.wait_for_requests(6);
    scene.daemon.kill9();
    scene.daemon.start();
    // Too many requests is not the end either.
    scene.receiver.always(Reply::status(429));
    scene.receiver.wait_for_requests(4);
    scene.receiver.heal();
    scene.receiver.expect(&["tickets.created 2", "tickets.created 3"]);
}

/// However often a source fails, it is asked again, and says so meanwhile.
#[test]
fn no_source_is_given_up_in_silence() {
    let (api, receiver) = (ApiServer::with_items(items(1)), Receiver::start());
    let mut daemon = Daemon::run(&format!(
        "
sources: {{ tickets: {{ url: '{}', key: .id, every: 20ms, backoff: {{ first: 5ms, max: 10ms }} }} }}
endpoints: {{ desk: {{ url: '{}', secret: any }} }}
",
        api.url(),
        receiver.url()
    ));
    daemon.wait_for_good_polls("tickets", 1);
    api.always(Reply::status(401));
    daemon.wait_until("forty failures", |daemon| daemon.polls("tickets", "failed") >= 40.0);
    let shown = daemon.control_json("/v1/sources/tickets");
    assert_eq!(shown["fault"]["code"], "http_401", "{shown}");
    assert!(shown["failures"].as_u64().unwrap() >= 10 && !shown["failing_since"].is_null());
    api.heal();
    api.set_items(items(2));
    receiver.expect(&["tickets.created 2"]);
    let recovered = || daemon.control_json("/v1/sources/tickets")["fault"].is_null();
    wait_until("the source being well again", recovered);
}

/// A value that returns to what it was is a change, each time with an id of its own.
#[test]
fn a_value_that_returns_rings_each_time() {
    let priced = |price: u32| json!([{ "id": 1, "price": price }]);
    let door = Door::with_items(priced(10), "");
    let mut ids = std::collections::BTreeSet::new();
    for price in [20, 10, 20, 10] {
        door.api.set_items(priced(price));
        let poll = door.poll();
        poll.rang(&["tickets.updated 1"]);
        ids.insert(poll.events()[0]["id"].as_str().unwrap().to_owned());
        door.poll().rang(&[]);
    }
    assert_eq!(ids.len(), 4);
}
