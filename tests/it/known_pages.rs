//! Listings in pages that are asked for again: every page with its own validator, and a change on any of them is found.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use serde_json::{Value, json};

use crate::misbehaviour::tickets;
use crate::support::polled::Poll;
use crate::support::scene::{item, items};
use crate::support::server::Received;
use crate::support::{Daemon, Reply, Script, Shared};

/// How an API splits its items and says where they go on.
type Split = fn(&Received, &[Value]) -> Reply;

/// Decides before an API does.
type Odd = fn(&Received) -> Option<Reply>;

/// Two items of a page, and where the next one begins.
fn cut(items: &[Value], from: usize) -> (Vec<Value>, Option<usize>) {
    let shown: Vec<_> = items.iter().skip(from).take(2).cloned().collect();
    (shown, Some(from + 2).filter(|next| *next < items.len()))
}

fn number(received: &Received, name: &str) -> Option<usize> {
    received.query(name).and_then(|text| text.parse().ok())
}

fn linked(received: &Received, items: &[Value]) -> Reply {
    let (shown, next) = cut(items, number(received, "from").unwrap_or(0));
    let reply = Reply::json(&Value::from(shown));
    match next {
        Some(next) => reply.header("Link", &format!("</list?from={next}>; rel=\"next\"")),
        None => reply,
    }
}

fn with_urls(received: &Received, items: &[Value]) -> Reply {
    let (shown, next) = cut(items, number(received, "from").unwrap_or(0));
    Reply::json(&json!({"items": shown, "next": next.map(|next| format!("?from={next}"))}))
}

fn with_tokens(received: &Received, items: &[Value]) -> Reply {
    let (shown, next) = cut(items, number(received, "after").unwrap_or(0));
    Reply::json(&json!({"items": shown, "next": next.map(|next| next.to_string())}))
}

fn numbered(received: &Received, items: &[Value]) -> Reply {
    let (shown, _) = cut(items, (number(received, "page").unwrap() - 1) * 2);
    Reply::json(&json!({"items": shown, "pages": items.len().div_ceil(2)}))
}

fn counted(received: &Received, items: &[Value]) -> Reply {
    let (shown, _) = cut(items, number(received, "skip").unwrap());
    Reply::json(&json!({"items": shown, "total": items.len()}))
}

const LINKED: (&str, Split) = ("pages: link", linked);

const STYLES: [(&str, Split); 5] = [
    LINKED,
    ("items: .items, pages: { next_url: .next }", with_urls),
    ("items: .items, pages: { cursor: .next, param: after }", with_tokens),
    ("items: .items, pages: { page: page, last: .pages }", numbered),
    ("items: .items, pages: { offset: skip, total: .total }", counted),
];

/// An API with entity tags made of the bodies alone, and a daemon that polls when told.
struct Stage {
    items: Shared<Value>,
    /// What decides first.
    odd: Shared<Option<Odd>>,
    api: Script,
    daemon: Daemon,
}

impl Stage {
    /// What is there at first is known.
    #[track_caller]
    fn set((keys, split): (&str, Split), first: Value) -> Self {
        let (items, odd) = (Shared::new(first), Shared::new(None));
        let (shown, first_asked) = (items.clone(), odd.clone());
        let api = Script::start(move |received| {
            let decide: Option<Odd> = first_asked.get();
            let reply = decide.and_then(|decide| decide(received));
            reply.unwrap_or_else(|| {
                tagged(received, split(received, shown.get().as_array().unwrap()))
            })
        });
        let daemon = Daemon::run(&tickets(&api.url_of("/list"), keys));
        let mut stage = Self { items, odd, api, daemon };
        stage.daemon.wait_until_polled("tickets");
        stage.api.take_targets();
        stage
    }

    #[track_caller]
    fn poll(&self) -> Poll {
        self.daemon.poll("tickets")
    }
}

fn tagged(received: &Received, reply: Reply) -> Reply {
    let mut hasher = DefaultHasher::new();
    reply.body.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    if received.header("if-none-match") == Some(&tag) {
        // As the RFC allows, with nothing but what identifies it.
        return Reply::status(304).header("ETag", &tag);
    }
    reply.header("ETag", &tag)
}

#[test]
fn an_unchanged_list_in_pages_is_asked_for_by_validators_alone() {
    for style in STYLES {
        let stage = Stage::set(style, items(9));
        for _ in 0..3 {
            let poll = stage.poll();
            poll.rang(&[]);
            assert_eq!(
                (poll.outcome(), poll.statuses()),
                ("not_modified", vec![304; 5]),
                "{style:?}"
            );
        }
    }
}

#[test]
fn a_change_on_any_page_is_found() {
    for style in STYLES {
        let stage = Stage::set(style, items(9));
        for id in [1, 4, 9] {
            let other = |at| if at == id { json!({"id": id, "status": "x"}) } else { item(at) };
            stage.items.set((1..=9).map(other).collect());
            stage.poll().rang(&[&format!("tickets.updated {id}")]);
            stage.items.set(items(9));
            stage.poll().rang(&[&format!("tickets.updated {id}")]);
            let poll = stage.poll();
            poll.rang(&[]);
            assert_eq!(poll.outcome(), "not_modified", "{style:?} {id}");
        }
    }
}

#[test]
fn what_is_gone_stays_gone_by_304() {
    for style in STYLES {
        let stage = Stage::set(style, items(9));
        stage.items.set((1..=9).filter(|id| *id != 4).map(item).collect());
        stage.poll().rang(&[]);
        let poll = stage.poll();
        poll.rang(&["tickets.deleted 4"]);
        // A full last page of a style that does not count may have more behind it, and is read.
        let read = usize::from(style.0 == LINKED.0);
        assert_eq!(
            poll.statuses().iter().filter(|status| **status == 200).count(),
            read,
            "{style:?}"
        );
        stage.poll().rang(&[]);
    }
}

/// The tag of the last page says nothing of the page that came after it: its `Link` is news, its body is not.
#[test]
fn a_page_behind_a_full_last_one_is_found() {
    let stage = Stage::set(LINKED, items(10));
    stage.poll().rang(&[]);
    stage.items.set(items(11));
    stage.poll().rang(&["tickets.created 11"]);
    for style in STYLES {
        let stage = Stage::set(style, items(10));
        stage.poll().rang(&[]);
        stage.items.set(items(12));
        stage.poll().rang(&["tickets.created 11", "tickets.created 12"]);
    }
}

#[test]
fn a_token_that_ran_out_is_no_fault() {
    let stage = Stage::set(STYLES[2], items(9));
    // Answers to conditional requests only: those are the ones that go by tokens of the last time.
    stage.odd.set(Some(|received| {
        let is_old =
            received.query("after") == Some("4") && received.header("if-none-match").is_some();
        is_old.then(|| Reply::json(&json!({"error": "the cursor has expired"})).with_status(400))
    }));
    stage
        .items
        .set((1..=9).map(|id| if id == 9 { json!({"id": 9, "x": 1}) } else { item(id) }).collect());
    let poll = stage.poll();
    poll.rang(&["tickets.updated 9"]);
    assert_eq!(poll.statuses(), [304, 304, 400, 200, 200, 200, 200, 200]);
}

#[test]
fn a_later_page_that_is_throttled_ends_the_poll_and_nothing_else() {
    let stage = Stage::set(LINKED, items(9));
    stage.odd.set(Some(|received| {
        (received.query("from") == Some("4")).then(|| Reply::retry_after(429, "0"))
    }));
    let poll = stage.poll();
    assert_eq!((poll.outcome(), poll.statuses()), ("limited", vec![304, 304, 429]));
    stage.odd.set(None);
    let poll = stage.poll();
    poll.rang(&[]);
    assert_eq!(poll.statuses(), [304; 5]);
}

/// An error page without an end to it, an empty list: whatever a page answers instead of 304, nothing is deleted by it.
#[test]
fn a_page_that_goes_wrong_deletes_nothing() {
    let stage = Stage::set(LINKED, items(9));
    for odd in [
        (|_| Some(Reply::status(500))) as Odd,
        |_| Some(Reply::html()),
        |received| (received.query("from") == Some("8")).then(|| Reply::status(500)),
        |received| (received.query("from") == Some("2")).then(|| Reply::status(404)),
    ] {
        stage.odd.set(Some(odd));
        for _ in 0..3 {
            assert!(matches!(stage.poll().outcome(), "failed" | "incomplete"));
        }
        stage.odd.set(None);
        stage.poll().rang(&[]);
    }
}

#[test]
fn a_restart_reads_everything_once() {
    let mut stage = Stage::set(LINKED, items(9));
    stage.poll().rang(&[]);
    assert!(stage.daemon.term().success());
    stage.items.set(items(11));
    stage.daemon.start();
    let poll = stage.poll();
    poll.rang(&["tickets.created 10", "tickets.created 11"]);
    assert_eq!(poll.statuses(), [200; 6]);
    assert_eq!(stage.poll().statuses(), [304; 6]);
    stage.items.set(items(13));
    stage.poll().rang(&["tickets.created 12", "tickets.created 13"]);
}
