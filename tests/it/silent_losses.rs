//! How changes get lost without a word, each as one test: here they arrive, or are told.
//!
//! - What was seen moves on before it is durable. – tests: `crash::forty_kills`, `a_cursor_and_what_it_stands_for_survive_kills_together`
//! - A cursor moves on although the API failed. – test: `a_cursor_does_not_move_on_an_error`
//! - What becomes visible late, or at the very same moment, lies behind the cursor. – test: `late_and_equal_timestamps_arrive_once`
//! - An edit of the configuration resets the cursor. – test: `an_edit_does_not_reset_the_cursor`
//! - An empty answer leaves no cursor. – test: `an_empty_answer_keeps_the_cursor`
//! - A set of seen ids overflows. – test: `ids_are_remembered_however_many`
//! - The item that marked the place is deleted, and all others come again. – test: `a_deleted_newest_item_floods_nothing`
//! - A bound on pages hides the rest. – test: `a_bound_on_pages_hides_nothing_silently`
//! - Only the first page is read. – test: `every_page_is_read`
//! - What a part of a listing lacks is taken for deleted. – test: `a_partial_listing_deletes_nothing`
//! - The receiver fails after the snapshot has moved on, or says 429. – test: `an_error_of_the_receiver_loses_nothing`
//! - A source is given up without notice. – test: `no_source_is_given_up_in_silence`
//! - A value returns to what it was. – test: `a_value_that_returns_rings_each_time`

use serde_json::{Value, json};

use crate::misbehaviour::{Door, tickets};
use crate::support::scene::{item, items};
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Receiver, Reply, Scene, Script, Shared};

/// An API that gives what is not older than `since`, two at a time, and fails when told.
struct Feed {
    /// `(id, updated_at)`, as the API lists them: oldest first.
    rows: Shared<Vec<(u32, String)>>,
    failing: Shared<bool>,
    api: Script,
}

impl Feed {
    fn start() -> Self {
        let (rows, failing) = (Shared::new(Vec::new()), Shared::new(false));
        let (shown, fails): (Shared<Vec<(u32, String)>>, _) = (rows.clone(), failing.clone());
        let api = Script::start(move |received| {
            let since = received.query("since").unwrap_or_default().replace("%3A", ":");
            let page: usize = received.query("page").map_or(1, |page| page.parse().unwrap());
            let mut all = shown.get();
            all.retain(|(_, at)| *at >= since);
            all.sort_by(|a, b| a.1.cmp(&b.1));
            if page > 1 && fails.get() {
                return Reply::status(500);
            }
            let rows = all.iter().skip((page - 1) * 2).take(2);
            let listed: Vec<_> =
                rows.map(|(id, at)| json!({ "id": id, "updated_at": at })).collect();
            let reply = Reply::json(&Value::from(listed));
            if all.len() > page * 2 {
                let next = format!("</feed?since={since}&page={}>; rel=\"next\"", page + 1);
                reply.header("Link", &next)
            } else {
                reply
            }
        });
        Self { rows, failing, api }
    }

    fn daemon(&self, overlap: &str) -> Daemon {
        let keys = format!(
            "pages: link, sweep: off, since: {{ param: since, from: .updated_at, overlap: {overlap} }}"
        );
        Daemon::new(&tickets(&self.api.url_of("/feed"), &keys))
    }

    fn add(&self, id: u32, minute: u32) {
        self.rows.with(|rows| rows.push((id, format!("2026-11-20T10:{minute:02}:00Z"))));
    }
}

/// The cursor stays where it was when a page fails: what was on the pages behind it comes with the next poll.
#[test]
fn a_cursor_does_not_move_on_an_error() {
    let feed = Feed::start();
    feed.add(1, 1);
    let daemon = feed.daemon("0s");
    daemon.poll("tickets").rang(&[]);
    for id in 2..8 {
        feed.add(id, id);
    }
    feed.failing.set(true);
    let mut told = Vec::new();
    for _ in 0..3 {
        let poll = daemon.poll("tickets");
        assert_eq!(poll.fault(), "http_500");
        told.extend(poll.story());
    }
    feed.failing.set(false);
    for _ in 0..2 {
        told.extend(daemon.poll("tickets").story());
    }
    told.sort();
    let all: Vec<_> = (2..8).map(|id| format!("tickets.created {id}")).collect();
    assert_eq!(told, all, "each once");
}

/// Killed again and again around its polls, the daemon neither loses what it was about to tell nor tells it anew: what it
/// has asked for, and what it made of it, become durable together.
#[test]
fn a_cursor_and_what_it_stands_for_survive_kills_together() {
    let feed = Feed::start();
    feed.add(1, 1);
    let receiver = Receiver::start();
    let daemon = feed.daemon("0s");
    let endpoint = format!("endpoints: {{ desk: {{ url: '{}', secret: any }} }}\n", receiver.url());
    let config = std::fs::read_to_string(daemon.config_path()).unwrap();
    let mut daemon = Daemon::run(&(config.replace("every: 1h", "every: 20ms") + &endpoint));
    daemon.wait_until_polled("tickets");
    for round in 1..=10 {
        for more in 0..4 {
            feed.add(round * 4 + more, round * 4 + more);
        }
        // Killed at another moment each time: before, while and after the new rows are asked for.
        let enough = feed.api.requests().len() + usize::try_from(round).unwrap() % 4;
        wait_until("another request", || feed.api.requests().len() >= enough);
        daemon.kill9();
        daemon.start();
    }
    let all: Vec<_> = (4..44).map(|id| format!("tickets.created {id}")).collect();
    receiver.expect(&all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What becomes visible late, with a time before the last one seen, and what has the very same time.
#[test]
fn late_and_equal_timestamps_arrive_once() {
    let feed = Feed::start();
    feed.add(1, 10);
    let daemon = feed.daemon("5m");
    daemon.poll("tickets").rang(&[]);
    feed.add(2, 20);
    daemon.poll("tickets").rang(&["tickets.created 2"]);
    feed.add(3, 20);
    daemon.poll("tickets").rang(&["tickets.created 3"]);
    feed.add(4, 16);
    daemon.poll("tickets").rang(&["tickets.created 4"]);
    daemon.poll("tickets").rang(&[]);
}

/// Another interval and other rules leave the cursor where it is; other credentials and ignored fields may ask for
/// everything once more. Nothing comes again, and what is new comes.
#[test]
fn an_edit_does_not_reset_the_cursor() {
    let feed = Feed::start();
    feed.add(1, 1);
    let daemon = feed.daemon("0s");
    daemon.poll("tickets").rang(&[]);
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(daemon.config_path()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(daemon.config_path(), text.replace(from, to)).unwrap();
    };
    feed.add(2, 2);
    edit("every: 1h", "every: 2h, events: [default, { type: any, on: updated }]");
    daemon.poll("tickets").rang(&["tickets.created 2"]);
    let asked = feed.api.take_targets();
    assert!(asked.last().unwrap().contains("since="), "{asked:?}");
    for (id, keys) in [(3, "ignore: [.seen]"), (4, "auth: { bearer: other }")] {
        feed.add(id, id);
        edit("every: 2h", &format!("every: 2h, {keys}"));
        daemon.poll("tickets").rang(&[&format!("tickets.created {id}")]);
    }
}

/// Nothing new is an answer too: the cursor does not fall back, and what comes later is found.
#[test]
fn an_empty_answer_keeps_the_cursor() {
    let feed = Feed::start();
    feed.add(1, 1);
    let daemon = feed.daemon("0s");
    daemon.poll("tickets").rang(&[]);
    feed.rows.set(Vec::new());
    for _ in 0..3 {
        daemon.poll("tickets").rang(&[]);
    }
    feed.add(2, 2);
    daemon.poll("tickets").rang(&["tickets.created 2"]);
    let asked = feed.api.take_targets();
    assert!(asked.iter().skip(1).all(|target| target.contains("since=2026")), "{asked:?}");
}

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
