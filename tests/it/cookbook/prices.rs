//! A file of 200,000 prices that is written anew every night: CSV (RFC 4180) in gzip.

use std::fmt::Write as _;

use super::kitchen::{Kitchen, unauthorized};
use crate::support::reply::Manner;
use crate::support::{Reply, Script, Shared};

const PRICES: usize = 200_000;

/// The file, with these prices in cents instead of the usual ones.
fn file(night: usize, other: &[(usize, usize)]) -> Reply {
    let mut text = String::with_capacity(PRICES * 64);
    text.push_str("sku;name;price;stock\r\n");
    for sku in 0..PRICES {
        let usual = 1_000 + sku % 9_000;
        let cents = other.iter().find(|(of, _)| *of == sku).map_or(usual, |(_, cents)| *cents);
        let stock = (sku + night) % 50;
        let (euros, cents) = (cents / 100, cents % 100);
        write!(text, "A{sku:06};\"Screw; {sku} \"\"long\"\"\";{euros}.{cents:02};{stock}\r\n")
            .unwrap();
    }
    let mut reply = Reply::text("application/gzip", text).gzipped();
    reply.headers.retain(|(name, _)| name != "Content-Encoding");
    reply.header("ETag", &format!("\"night-{night}\""))
}

#[test]
fn a_price_rings_when_it_drops_by_more_than_five_percent() {
    let first = file(1, &[]);
    let shown = Shared::new(first.clone());
    let served = shown.clone();
    let api = Script::start(move |received| {
        if received.header("authorization") != Some("Basic YWNtZTpzdXBwbGllcg==") {
            return unauthorized();
        }
        assert_eq!(received.target, "/export/prices.csv.gz");
        let reply = served.get();
        let tag =
            reply.headers.iter().find(|(name, _)| name == "ETag").map(|(_, tag)| tag.as_str());
        match received.header("if-none-match") {
            Some(known) if Some(known) == tag => Reply::status(304),
            _ => reply,
        }
    });
    let mut kitchen = Kitchen::of("Nightly price list")
        .host("https://files.supplier.example", &api)
        .secret("SUPPLIER_PASSWORD", "supplier")
        .patient()
        .run();
    kitchen.rings("prices", &[]);
    assert_eq!(kitchen.rings("prices", &[]).statuses(), [304]);

    // Exactly five percent are not more than five; a rise is no drop; all 200,000 stocks are others.
    let second =
        file(2, &[(0, 949), (1_000, 1_900), (2_000, 2_849), (150_000, 6_600), (150_001, 9_999)]);
    shown.set(second);
    let poll = kitchen.rings(
        "prices",
        &["price.dropped A000000", "price.dropped A002000", "price.dropped A150000"],
    );
    assert_eq!(poll.field("items"), PRICES);
    let dropped = kitchen.data("price.dropped");
    assert!(dropped["name"].as_str().unwrap().starts_with("Screw; "), "{dropped}");

    // Cut in half, as a file is that is fetched while it is written; and the same with the right length for that.
    let cut = first.body.len() / 2;
    shown.set(first.clone().sent(Manner::CutAfter(cut)));
    kitchen.fails("prices", "cut");
    shown.set(first.halved());
    kitchen.fails("prices", "decode");
}
