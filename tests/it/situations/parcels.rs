//! A carrier has one status URL per package and no webhooks. The shop has a list of what it sent. A package that goes from
//! *out for delivery* to *delivered* must ring within seconds; one that was delivered must not be asked for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::reply::Reply;
use crate::support::server::Received;
use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Receiver, Script, Shared};

/// What the carrier knows of each package.
type Depot = Shared<BTreeMap<String, &'static str>>;

/// The carrier: `/track/NUMBER`, and 404 for what it has not scanned yet.
fn carrier(depot: &Depot) -> Script {
    let depot = depot.clone();
    Script::start(move |received| {
        let number = number(received).to_owned();
        let status = depot.with(|depot| depot.get(&number).copied());
        status.map_or_else(
            || Reply::status(404),
            |status| Reply::json(&json!({ "package_id": number, "status": status })),
        )
    })
}

fn number(received: &Received) -> &str {
    received.path().strip_prefix("/track/").unwrap_or_default()
}

/// How often each package was asked for.
fn asked(carrier: &Script) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for received in carrier.requests() {
        *asked.entry(number(&received).to_owned()).or_default() += 1;
    }
    asked
}

fn packages(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(|number| json!({ "number": format!("p{number}") })).collect()
}

/// Requests a second that the carrier grants.
const LIMIT: usize = 200;

fn config(shop: &ApiServer, carrier: &Script, receiver: &Receiver) -> String {
    format!(
        "
apis:
  carrier: {{ limit: {LIMIT}/s }}
sources:
  shipments: {{ url: '{}', key: .number, every: 200ms, events: [{{ type: shipment.sent, on: created }}] }}
  packages:
    api: carrier
    for_each: {{ source: shipments }}
    url: '{}'
    every: 200ms..2s
    backoff: {{ first: 100ms, max: 400ms }}
    until: .status == \"delivered\"
    events:
      - type: delivery_status_update
        on: updated
        changed: .status
        data: '{{package_id: .after.package_id, new_status: .after.status}}'
      - type: package.done
        on: ended
        data: '{{package_id: .after.package_id}}'
endpoints:
  agent: {{ url: '{}', secret: any, events: ['delivery_*', 'package.*'] }}
",
        shop.url(),
        carrier.url_of("/track/{{key}}"),
        receiver.url()
    )
}

/// `TYPE PACKAGE STATUS` of what was accepted about one package.
fn story_of(receiver: &Receiver, number: &str) -> Vec<String> {
    let ledger = receiver.ledger();
    let rings = ledger.accepted();
    let about = rings.iter().filter(|ring| ring.event["data"]["package_id"] == number);
    about
        .map(|ring| {
            let status = ring.event["data"]["new_status"].as_str().unwrap_or("");
            format!("{} {status}", ring.event_type()).trim_end().to_owned()
        })
        .collect()
}

const DELIVERED: [&str; 2] = ["delivery_status_update delivered", "package.done"];

#[test]
fn a_delivery_rings_within_seconds_and_ends_the_asking() {
    const COUNT: usize = 200;
    let depot =
        Depot::new((1..=COUNT).map(|number| (format!("p{number}"), "in transit")).collect());
    let (carrier, receiver) = (carrier(&depot), Receiver::start());
    let shop = ApiServer::with_items(packages(1..=COUNT));
    let mut daemon = Daemon::run(&config(&shop, &carrier, &receiver));
    wait_until("a look at every package", || asked(&carrier).len() == COUNT);
    wait_until("a second look", || asked(&carrier).values().all(|looks| *looks >= 2));
    assert_eq!(receiver.ledger().rings.len(), 0, "what is on its way is no news");

    // One is on the van, then at the door.
    for (status, told) in [("out for delivery", 1), ("delivered", 3)] {
        depot.with(|depot| depot.insert(String::from("p7"), status));
        let began = Instant::now();
        receiver.wait_for(status, |ledger| ledger.accepted().len() >= told);
        assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    }
    let expected = ["delivery_status_update out for delivery", DELIVERED[0], DELIVERED[1]];
    assert_eq!(story_of(&receiver, "p7"), expected);

    // All of them together stay within what the carrier grants; what is sent in time may arrive together.
    let times: Vec<_> = carrier.requests().iter().map(|received| received.at).collect();
    let most = times.iter().map(|from| {
        times.iter().filter(|at| **at >= *from && **at - *from < Duration::from_secs(1)).count()
    });
    let most = most.max().unwrap_or_default();
    assert!(most <= LIMIT * 5 / 4, "{most} requests within a second");

    // It is not asked for any more, not even by the next process; all others are.
    let done = asked(&carrier)["p7"];
    for hard in [None, Some(true), Some(false)] {
        match hard {
            Some(true) => daemon.kill9(),
            Some(false) => assert!(daemon.term().success()),
            None => {}
        }
        if hard.is_some() {
            daemon.start();
        }
        let before = asked(&carrier);
        wait_until("looks at all others", || {
            let now = asked(&carrier);
            before.iter().all(|(number, looks)| number == "p7" || now[number] > *looks)
        });
    }
    // A poll that was under way when it ended may have come after.
    assert!(asked(&carrier)["p7"] <= done + 1, "it is asked for ever");
    assert_eq!(story_of(&receiver, "p7"), expected);
    assert!(daemon.term().success());
}

#[test]
fn packages_come_and_go_and_each_ends_once() {
    let depot = Depot::new(BTreeMap::from([
        (String::from("p1"), "in transit"),
        // It was there before anybody looked.
        (String::from("p2"), "delivered"),
    ]));
    let (carrier, receiver) = (carrier(&depot), Receiver::start());
    let shop = ApiServer::with_items(packages(1..=3));
    let mut daemon = Daemon::run(&config(&shop, &carrier, &receiver));
    receiver.wait_for("the end of p2", |ledger| !ledger.rings.is_empty());
    assert_eq!(story_of(&receiver, "p2"), ["package.done"]);

    // The carrier has not scanned p3 yet: that is neither a failure nor a deletion. Then it has.
    wait_until("looks at p3", || asked(&carrier).get("p3").is_some_and(|looks| *looks >= 2));
    depot.with(|depot| depot.insert(String::from("p3"), "in transit"));
    let looks = asked(&carrier)["p3"];
    wait_until("looks at p3", || asked(&carrier)["p3"] >= looks + 2);
    assert_eq!(story_of(&receiver, "p3"), [""; 0]);

    // Another one is sent, and all of them arrive at once.
    shop.set_items(packages(1..=4));
    depot.with(|depot| depot.insert(String::from("p4"), "in transit"));
    wait_until("looks at p4", || asked(&carrier).get("p4").is_some_and(|looks| *looks >= 2));
    depot.with(|depot| depot.values_mut().for_each(|status| *status = "delivered"));
    for number in ["p1", "p3", "p4"] {
        wait_until(number, || story_of(&receiver, number) == DELIVERED);
    }
    // Nothing is left to ask the carrier. The shop forgets what is done, and nobody hears of that.
    let quiet = carrier.requests().len();
    stays("the carrier is left alone", || carrier.requests().len() <= quiet + 3);
    shop.set_items(packages(4..=4));
    daemon.wait_for_good_polls("shipments", 4);
    assert_eq!(receiver.ledger().accepted().len(), 7, "{:?}", receiver.ledger().story());
    assert!(daemon.term().success());
}
