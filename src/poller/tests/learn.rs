//! What polls teach of when a source changes.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::desk::{Desk, status};
use crate::core::http::Response;
use crate::core::schedule::told;
use crate::core::time::Timestamp;

/// A time of the items' day.
fn clock(time: &str) -> Timestamp {
    told::moment(&crate::core::json::text(&format!("2026-11-21T{time}:00Z"))).unwrap()
}

#[tokio::test]
async fn the_items_own_times_are_learned() {
    let desk = Desk::new("key: .id, changed_at: .at");
    // The first answer tells the past, as far as it has any.
    desk.expect("1@00:10 2@01:00 3", "").await;
    let first = desk.state().await.rate;
    assert_eq!((first.born(), first.last_change()), (clock("00:10"), Some(clock("01:00"))));
    // What rings later counts when it happened, though not before the poll that did not see it.
    let seen = desk.state().await.last_success;
    desk.pass(Duration::from_hours(4));
    desk.expect("1@00:10 2:b@07:00 3", "updated 2:b").await;
    assert_eq!(desk.state().await.rate.last_change(), seen);
    // One that does not tell counts as having changed since the poll before.
    let seen = desk.state().await.last_success;
    desk.pass(Duration::from_hours(1));
    desk.expect("1@00:10 2:b@07:00 3:b", "updated 3:b").await;
    assert!(desk.state().await.rate.last_change() > seen);
    // A failed poll teaches nothing, and another baseline forgets nothing.
    let before = desk.state().await.rate;
    desk.pass(Duration::from_hours(1));
    desk.answer([status(500)]).await;
    assert_eq!(desk.state().await.rate, before);
    desk.declare("key: .id, changed_at: .at, items: '.[]'");
    desk.expect("1@00:10 2:b@07:00 3:b", "").await;
    assert_eq!(desk.state().await.rate, before);
}

#[tokio::test]
async fn a_source_without_times_is_learned_from_its_changes() {
    let desk = Desk::knowing("backoff: { first: 1s, max: 1m }", "1").await;
    let quiet = desk.state().await.rate;
    assert_eq!(quiet.last_change(), None);
    desk.pass(Duration::from_mins(10));
    desk.expect("1", "").await;
    assert_eq!(desk.state().await.rate, quiet);
    desk.expect("1:b", "updated 1:b").await;
    assert!(desk.state().await.rate.last_change().is_some());
}

#[tokio::test]
async fn a_feed_is_taken_at_its_word_until_it_is_known() {
    let feed = |head: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/rss+xml".parse().unwrap());
        let item = "<item><guid>1</guid><title>a</title></item>";
        let body = format!("<rss version=\"2.0\"><channel>{head}{item}</channel></rss>");
        Response { status: 200, headers, body: Bytes::from(body) }
    };
    let check = async |keys: &str, head: &str, per_day: f64| {
        let desk = Desk::new(keys);
        desk.answer([feed(head)]).await;
        let rate = desk.state().await.rate;
        let found = rate.mean(rate.born()) * 86_400.0;
        assert!((found / per_day - 1.0).abs() < 1e-6, "{head}: {found}");
        // It is kept, and an answer that says nothing more takes nothing back.
        desk.answer([feed("<title>b</title>")]).await;
        let later = desk.state().await.rate;
        assert!((later.mean(rate.born()) / rate.mean(rate.born()) - 1.0).abs() < 1e-6);
    };
    check("format: feed", "", 1.0).await;
    check("format: feed", "<ttl>60</ttl>", 24.0).await;
    check("key: .id", "<ttl>60</ttl>", 24.0).await;
    let weekly = "<sy:updatePeriod>weekly</sy:updatePeriod>";
    check("format: feed", weekly, 1.0 / 7.0).await;
    check("format: feed", "<ttl>1</ttl>", 288.0).await;
    // What is no feed says nothing, whatever it looks like.
    check("format: xml, key: .guid, items: '.rss.channel.item'", "<ttl>60</ttl>", 1.0).await;
}
