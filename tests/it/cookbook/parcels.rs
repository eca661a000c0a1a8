//! A shop and a carrier: one URL for each of five thousand parcels.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kitchen::{Kitchen, unauthorized};
use crate::support::wait::wait_until;
use crate::support::{Reply, Script, Shared};

const PARCELS: usize = 5_000;

/// These are looked at closely: one that goes out and arrives, one that had arrived before anybody asked, and one that is
/// not yet with the carrier. The others are on their way.
const OUT: usize = 0;
const ARRIVED: usize = 1;
const LATE: usize = 4_999;

/// Where the parcels are, and how often each was asked for.
#[derive(Default)]
struct Carrier {
    status: BTreeMap<String, &'static str>,
    asked: BTreeMap<String, usize>,
}

fn number(at: usize) -> String {
    format!("JD0146000{at:05}")
}

impl Carrier {
    fn answer(&mut self, number: &str) -> Reply {
        let asked = self.asked.entry(number.to_owned()).or_default();
        *asked += 1;
        let Some(status) = self.status.get(number) else { return Reply::status(404) };
        let delivered =
            if *status == "delivered" { json!("2026-11-21T10:00:00Z") } else { Value::Null };
        Reply::json(&json!({
            "number": number, "order": format!("order of {number}"), "status": status,
            "delivered_at": delivered, "last_seen": format!("look {asked}"),
        }))
    }

    fn set(&mut self, at: usize, status: &'static str) {
        self.status.insert(number(at), status);
    }
}

#[test]
fn five_thousand_parcels_ring_and_are_left_alone() {
    let carrier = Shared::new(Carrier::default());
    carrier.with(|carrier| {
        (0..PARCELS).for_each(|at| carrier.set(at, "in_transit"));
        carrier.set(ARRIVED, "delivered");
        carrier.status.remove(&number(LATE));
    });
    let behind = carrier.clone();
    let api = Script::start(move |received| {
        if received.header("x-api-key") != Some("c4rrier") {
            return unauthorized();
        }
        let number = received.path().strip_prefix("/v1/parcels/").unwrap();
        behind.with(|carrier| carrier.answer(number))
    });
    let shop = Script::start(|received| {
        if received.header("authorization") != Some("Bearer sh0p") {
            return unauthorized();
        }
        assert_eq!(received.target, "/api/shipments?state=sent");
        let sent: Vec<_> =
            (0..PARCELS).map(|at| json!({ "tracking_number": number(at) })).collect();
        Reply::json(&json!({ "shipments": sent }))
    });
    // The first looks at thousands of entries are spread over the longest interval: this one nobody wants to wait for.
    let mut kitchen = Kitchen::of("Five thousand parcels")
        .host("https://shop.example", &shop)
        .host("https://api.carrier.example", &api)
        .instead("every: 10s..30m", "every: 10s")
        .secret("SHOP_TOKEN", "sh0p")
        .secret("CARRIER_KEY", "c4rrier")
        .run();
    let asked = |at: usize| carrier.with(|it| it.asked.get(&number(at)).copied().unwrap_or(0));
    let is_asked_for = || carrier.with(|carrier| carrier.asked.len()) == PARCELS;
    wait_until("every parcel being asked for", is_asked_for);
    kitchen.hears(&["parcel.delivered "]);
    let data = json!({ "parcel": number(ARRIVED), "order": format!("order of {}", number(ARRIVED)), "at": "2026-11-21T10:00:00Z" });
    assert_eq!(kitchen.data("parcel.delivered"), data);

    carrier.with(|carrier| carrier.set(OUT, "out_for_delivery"));
    kitchen.rings_of("parcels", &number(OUT), &["parcel.out_for_delivery "]);
    carrier.with(|carrier| {
        carrier.set(OUT, "delivered");
        carrier.set(LATE, "delivered");
    });
    // These two nobody asks about by hand: they ring when their turn has come.
    kitchen.hears(&["parcel.delivered ", "parcel.delivered "]);

    let before = [OUT, ARRIVED, LATE].map(asked);
    let others = asked(2);
    wait_until("another look at the others", || asked(2) > others + 1);
    assert_eq!([OUT, ARRIVED, LATE].map(asked), before, "nobody asks for what is delivered");
    assert_eq!(asked(ARRIVED), 1);
    kitchen.hears(&[]);
}
