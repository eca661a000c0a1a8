//! A shop's order list: hundreds of orders that are as they were in every answer, and one or two that are new. Asked for
//! everything, only the new ones ring; asked for what changed since, hardly anything is asked for, and still nothing is
//! missed.

use serde_json::{Value, json};

use crate::support::reply::Reply;
use crate::support::server::Received;
use crate::support::wait::wait_until;
use crate::support::{Daemon, Receiver, Script, Shared};

/// Orders on a page; the shop gives no more, whatever is asked.
const PAGE: usize = 100;

/// An order that was changed so many seconds after ten o'clock.
fn order(id: usize, second: usize, status: &str) -> Value {
    let updated = format!("2026-11-21T10:{:02}:{:02}Z", second / 60, second % 60);
    json!({ "id": id, "status": status, "total": "19.90", "updated_at": updated })
}

/// Old orders, one every second.
fn old_orders(count: usize) -> Vec<Value> {
    (1..=count).map(|id| order(id, id, "paid")).collect()
}

/// A shop whose orders can be asked for since a time, in pages that link to the next.
struct Shop {
    api: Script,
    orders: Shared<Vec<Value>>,
}

impl Shop {
    fn open(orders: Vec<Value>) -> Self {
        let orders = Shared::new(orders);
        let shown = orders.clone();
        let api = Script::start(move |received| shown.with(|orders| page(orders, received)));
        Self { api, orders }
    }

    fn places(&self, order: Value) {
        self.orders.with(|orders| orders.push(order));
    }

    fn asked(&self) -> usize {
        self.api.requests().len()
    }

    /// What was asked for since the given number of requests: `None` is everything.
    fn asked_since(&self, requests: usize) -> Vec<Option<String>> {
        self.api.requests()[requests..].iter().map(since).collect()
    }
}

fn since(received: &Received) -> Option<String> {
    received.query("updated_at_min").map(|since| since.replace("%3A", ":"))
}

fn page(orders: &[Value], received: &Received) -> Reply {
    let since = since(received).unwrap_or_default();
    let is_asked = |order: &&Value| order["updated_at"].as_str().unwrap() >= since.as_str();
    let asked: Vec<_> = orders.iter().filter(is_asked).collect();
    let page: usize = received.query("page").map_or(1, |page| page.parse().unwrap());
    let shown: Vec<_> = asked.iter().skip((page - 1) * PAGE).take(PAGE).collect();
    let reply = Reply::json(&json!({ "orders": shown }));
    if asked.len() <= page * PAGE {
        return reply;
    }
    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let kept: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("page=")).collect();
    let next = format!("<{path}?{}&page={}>; rel=\"next\"", kept.join("&"), page + 1);
    reply.header("Link", &next.replace("?&", "?"))
}

fn config(shop: &Shop, receiver: &Receiver, more: &str) -> String {
    format!(
        "
sources:
  orders:
    url: '{}'
    items: .orders
    key: .id
    pages: link
    every: 100ms
    backoff: {{ first: 50ms, max: 200ms }}
{more}
endpoints:
  fulfilment: {{ url: '{}', secret: any, retry: {{ first: 50ms, max: 200ms, for: 1h }} }}
",
        shop.api.url_of("/orders.json"),
        receiver.url()
    )
}

const SINCE: &str = "    since: { param: updated_at_min, from: .updated_at, overlap: 2m }";

#[test]
fn among_hundreds_of_unchanged_orders_only_the_new_ones_ring() {
    let (shop, receiver) = (Shop::open(old_orders(450)), Receiver::start());
    let mut daemon = Daemon::run(&config(&shop, &receiver, ""));
    daemon.wait_for_good_polls("orders", 2);
    receiver.expect(&[]);
    for (id, story) in
        [(451, &["orders.created 451"][..]), (452, &["orders.created 451", "orders.created 452"])]
    {
        shop.places(order(id, 500 + id, "paid"));
        receiver.expect(story);
    }
    // Newest first, and two with the price as another program writes it: the same orders.
    shop.orders.with(|orders| orders.reverse());
    daemon.wait_for_good_polls("orders", 2);
    receiver.expect(&["orders.created 451", "orders.created 452"]);
    assert!(daemon.term().success());
}

#[test]
fn with_a_cursor_hardly_anything_is_asked_for_and_nothing_is_missed() {
    let (shop, receiver) = (Shop::open(old_orders(450)), Receiver::start());
    let mut daemon = Daemon::run(&config(&shop, &receiver, SINCE));
    daemon.wait_until_polled("orders");
    assert_eq!(
        shop.asked_since(0)[..5],
        [const { None::<String> }; 5],
        "the first poll asks for everything"
    );
    let begun = shop.asked();
    daemon.wait_for_good_polls("orders", 2);
    // The newest was changed at 10:07:30.
    let from = |time: &str| Some(format!("2026-11-21T{time}Z"));
    let asked = shop.asked_since(begun);
    assert!(asked.iter().skip(5).all(|since| *since == from("10:05:30")), "{asked:?}");

    // One new order, and one that was paid for an hour ago and is sent now.
    shop.places(order(451, 600, "paid"));
    shop.orders.with(|orders| orders[6] = order(7, 601, "sent"));
    receiver.expect(&["orders.created 451", "orders.updated 7"]);
    // They are in every answer for a while, and have rung.
    let begun = shop.asked();
    daemon.wait_for_good_polls("orders", 3);
    let asked = shop.asked_since(begun + 1);
    assert!(asked.iter().all(|since| *since == from("10:08:01")), "{asked:?}");

    // A slow part of the shop shows an order only now that it took a minute ago.
    shop.places(order(452, 545, "paid"));
    receiver.expect(&["orders.created 451", "orders.updated 7", "orders.created 452"]);
    assert!(daemon.term().success());
}

#[test]
fn a_cursor_outlives_crashes_and_failed_pages() {
    let (shop, receiver) = (Shop::open(old_orders(250)), Receiver::start());
    let mut daemon = Daemon::run(&config(&shop, &receiver, SINCE));
    daemon.wait_until_polled("orders");
    let mut story = Vec::new();
    for round in 0..4 {
        let id = 251 + round;
        if round % 2 == 0 {
            daemon.kill9();
        }
        shop.places(order(id, 300 + round * 200, "paid"));
        if round % 2 == 0 {
            daemon.start();
        }
        story.push(format!("orders.created {id}"));
        receiver.expect(&story.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let begun = shop.asked();
    daemon.kill9();
    daemon.start();
    wait_until("polls after the crash", || shop.asked() > begun + 2);
    let asked = shop.asked_since(begun);
    assert!(asked.iter().all(Option::is_some), "everything was asked for again: {asked:?}");
}

#[test]
fn what_is_gone_is_found_by_a_sweep() {
    let (shop, receiver) = (Shop::open(old_orders(150)), Receiver::start());
    let mut daemon = Daemon::run(&config(&shop, &receiver, &format!("{SINCE}\n    sweep: 300ms")));
    daemon.wait_until_polled("orders");
    // An answer without an order says nothing; a listing without it does, when another confirms it.
    shop.orders.with(|orders| orders.remove(3));
    shop.places(order(151, 700, "paid"));
    receiver.expect(&["orders.created 151", "orders.deleted 4"]);
    let asked = shop.asked_since(0);
    assert!(asked.iter().filter(|since| since.is_some()).count() > 2, "{asked:?}");
    assert!(daemon.term().success());
}
