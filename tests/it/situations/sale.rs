//! A flash sale: the shop answers 429 to everybody for a while, and says when to come back. Whoever fulfils its orders
//! waits for that, and then has all of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::reply::Reply;
use crate::support::wait::wait_until;
use crate::support::{Daemon, Receiver, Script, Shared};

fn config(shop: &Script, receiver: &Receiver) -> String {
    let mut sources = String::new();
    for list in ["orders", "returns", "refunds", "carts"] {
        let url = shop.url_of(&format!("/{list}"));
        writeln!(sources, "  {list}: {{ api: shop, url: '{url}', key: .id, every: 100ms }}")
            .unwrap();
    }
    format!(
        "apis:\n  shop: {{ auth: {{ bearer: token }}, backoff: {{ first: 50ms, max: 500ms }} }}\n\
         sources:\n{sources}endpoints:\n  fulfilment: {{ url: '{}', secret: any }}\n",
        receiver.url()
    )
}

#[test]
fn a_storm_of_refusals_is_waited_out_and_no_order_is_lost() {
    let (orders, storm) = (Shared::new(vec![json!({ "id": 0 })]), Shared::new(false));
    let (shown, refuses) = (orders.clone(), storm.clone());
    let shop = Script::start(move |received| {
        if refuses.get() {
            return Reply::retry_after(429, "1");
        }
        match received.path() {
            "/orders" => Reply::json(&Value::Array(shown.get())),
            _ => Reply::json(&json!([])),
        }
    });
    let receiver = Receiver::start();
    let mut daemon = Daemon::run(&config(&shop, &receiver));
    daemon.wait_for_good_polls("orders", 2);

    storm.set(true);
    let before = shop.requests().len();
    for id in 1..=40 {
        orders.with(|orders| orders.push(json!({ "id": id })));
    }
    // What was under way when it began; after each second one request, and nothing else before that is answered well.
    wait_until("two more tries", || {
        ["orders", "returns", "refunds", "carts"]
            .iter()
            .map(|list| daemon.polls(list, "limited"))
            .sum::<f64>()
            >= 3.0
    });
    let during = shop.requests().len() - before;
    assert!(during <= 16, "{during} requests while the shop refused everything");
    storm.set(false);
    receiver.wait_for("all orders", |ledger| ledger.accepted().len() == 40);
    let ledger = receiver.ledger();
    for id in 1..=40 {
        assert_eq!(ledger.of_key(&id.to_string()).len(), 1, "order {id}");
    }
    daemon.wait_for_good_polls("carts", 1);
    assert!(daemon.term().success());
}
