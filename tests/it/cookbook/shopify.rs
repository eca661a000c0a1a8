//! Shopify: <https://shopify.dev/docs/api/admin-rest/latest/resources/order>, and its paging:
//! <https://shopify.dev/docs/api/admin-rest/usage/pagination>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kitchen::{Kitchen, bad_request, params, unauthorized};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are pages.
const PAGE_ORDERS: usize = 2;

fn order(id: u64, minute: u64, financial: &str, fulfillment: &Value) -> Value {
    let time = format!("2026-11-21T05:{minute:02}:00-05:00");
    let is_fulfilled = *fulfillment == "fulfilled";
    let parcel =
        json!({ "id": id + 7, "order_id": id, "status": "success", "tracking_number": "1Z2345" });
    json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"), "name": format!("#{}", id % 1000),
        "created_at": "2026-11-20T05:00:00-05:00", "updated_at": time, "cancelled_at": null,
        "financial_status": financial, "fulfillment_status": fulfillment, "total_price": "409.94",
        "currency": "USD", "fulfillments": if is_fulfilled { json!([parcel]) } else { json!([]) },
    })
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The shop: newest first, and a token that says all of the next page.
fn answer(received: &Received, orders: &[Value]) -> Reply {
    if received.header("x-shopify-access-token") != Some("shpat_test") {
        return unauthorized();
    }
    assert_eq!(received.path(), "/admin/api/2026-10/orders.json");
    let mut asked = params(received);
    let (from, filter) = match asked.remove("page_info") {
        Some(token) => {
            asked.remove("limit");
            if !asked.is_empty() {
                return bad_request("page_info cannot be passed together with other filters");
            }
            let (from, filter) = token.split_once('-').unwrap();
            (from.parse().unwrap(), Some(filter.to_owned()).filter(|filter| !filter.is_empty()))
        }
        None => (0, asked.remove("updated_at_min")),
    };
    let is_any = from > 0 || asked.get("status").is_some_and(|status| status == "any");
    let is_meant = |order: &&Value| {
        let updated = time(order["updated_at"].as_str().unwrap());
        (is_any || order["cancelled_at"].is_null())
            && filter.as_ref().is_none_or(|filter| updated >= time(filter))
    };
    let meant: Vec<_> = orders.iter().rev().filter(is_meant).cloned().collect();
    let page: Vec<_> = meant.iter().skip(from).take(PAGE_ORDERS).cloned().collect();
    let host = received.header("host").unwrap();
    let link = |from: usize, rel: &str| {
        let token = format!("{from}-{}", filter.clone().unwrap_or_default());
        format!("<http://{host}{}?limit=250&page_info={token}>; rel=\"{rel}\"", received.path())
    };
    let mut links = Vec::new();
    if from > 0 {
        links.push(link(from - PAGE_ORDERS, "previous"));
    }
    if from + page.len() < meant.len() {
        links.push(link(from + page.len(), "next"));
    }
    let reply =
        Reply::json(&json!({ "orders": page })).header("X-Shopify-Shop-Api-Call-Limit", "1/40");
    if links.is_empty() { reply } else { reply.header("Link", &links.join(", ")) }
}

#[test]
fn orders_ring_when_they_come_are_paid_and_leave() {
    let id = |number: u64| 5_678_901_234_000 + number;
    let old: BTreeMap<u64, Value> =
        (1..=7).map(|at| (id(at), order(id(at), at, "pending", &Value::Null))).collect();
    let orders = Shared::new(old);
    let shown = orders.clone();
    let api = Script::start(move |received| {
        let mut orders: Vec<_> = shown.get().into_values().collect();
        orders.sort_by_key(|order| time(order["updated_at"].as_str().unwrap()));
        answer(received, &orders)
    });
    let set =
        |order: Value| orders.with(|orders| orders.insert(order["id"].as_u64().unwrap(), order));
    let mut kitchen = Kitchen::of("Shopify orders")
        .host("https://acme.myshopify.com", &api)
        .secret("SHOPIFY_TOKEN", "shpat_test")
        .run();
    kitchen.rings("orders", &[]);
    assert!(!api.take_targets()[0].contains("updated_at_min"));

    set(order(id(8), 20, "pending", &Value::Null));
    set(order(id(2), 21, "paid", &Value::Null));
    set(order(id(3), 21, "paid", &Value::Null));
    let (created, paid) =
        (format!("order.created {}", id(8)), [2, 3].map(|at| format!("order.paid {}", id(at))));
    kitchen.rings("orders", &[&created, &paid[0], &paid[1]]);
    let asked = api.take_targets();
    assert_eq!(asked.len(), 3, "three changed, and three within the overlap: {asked:?}");
    assert!(asked[0].contains("updated_at_min=2026-11-21T10%3A05%3A00Z"), "{asked:?}");

    // Another edit of the note alone is no news; nor is what is asked for again because of the overlap.
    let mut noted = order(id(8), 22, "pending", &Value::Null);
    noted["note"] = json!("call first");
    set(noted);
    kitchen.rings("orders", &[]);
    kitchen.rings("orders", &[]);

    set(order(id(2), 30, "paid", &json!("fulfilled")));
    let mut cancelled = order(id(4), 31, "voided", &Value::Null);
    cancelled["cancelled_at"] = cancelled["updated_at"].clone();
    set(cancelled);
    let story = [format!("order.fulfilled {}", id(2)), format!("order.cancelled {}", id(4))];
    kitchen.rings("orders", &[&story[0], &story[1]]);
    assert_eq!(kitchen.data("order.fulfilled"), json!({ "order": "#2", "tracking": ["1Z2345"] }));

    // After sixty days an order is not shown any more.
    orders.with(|orders| orders.retain(|order, _| *order > id(5)));
    for _ in 0..3 {
        kitchen.rings("orders", &[]);
    }
}
