//! What is told of deliveries that are given up.

use super::{Exhausted, event, given_up_at_once};
use crate::core::ids::{DeliveryId, EndpointName, EntryKey, EventId, ItemKey, SourceName};
use crate::core::json;
use crate::core::time::Timestamp;

fn exhausted(number: u64, source: &str) -> Exhausted {
    Exhausted {
        delivery: DeliveryId(number),
        event: EventId::new(format!("evt_{number}")),
        event_type: format!("{source}.created"),
        source: SourceName::new(source),
        entry: EntryKey::none(),
        key: ItemKey::new("7"),
        attempts: 2,
        reason: String::from("too old"),
        count: 1,
        is_emptied: false,
    }
}

fn member<'a>(value: &'a json::Value, name: &str) -> Option<&'a json::Value> {
    let entries = json::entries(value)?;
    entries.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// What is told of each endpoint: the event that is named, how many there are, and how to send them again.
fn told(deliveries: &[(&str, Exhausted)]) -> Vec<(String, String, String, String)> {
    let deliveries = deliveries.iter().cloned();
    let news = given_up_at_once(deliveries.map(|(name, one)| (EndpointName::new(name), one)));
    let told = news.iter().map(|(endpoint, news)| {
        assert_eq!(news.event_type(), "doorbell.delivery.exhausted");
        let event = event(endpoint, news, Timestamp::from_millis(0), 1).expect("it is JSON");
        let body = json::read(event.body.as_str()).expect("it is JSON");
        let data = member(&body, "data").expect("it has data");
        let word = |name| {
            let value = member(data, name).map(|value| json::compact(value).expect("it is JSON"));
            value.map_or_else(String::new, |text| text.as_str().to_owned())
        };
        (endpoint.to_string(), word("event"), word("count"), word("replay"))
    });
    told.collect()
}

#[test]
fn what_is_given_up_at_once_is_told_once_for_each_endpoint() {
    let emptied = |number| Exhausted { is_emptied: true, ..exhausted(number, "tickets") };
    let of = |number| exhausted(number, "tickets");
    let own = |number| exhausted(number, "doorbell");
    let row = |name: &str, event: &str, count: &str, replay: &str| {
        let quoted =
            |text: &str| if text.is_empty() { String::new() } else { format!("\"{text}\"") };
        (name.to_owned(), quoted(event), count.to_owned(), quoted(replay))
    };
    for (deliveries, expected) in [
        (vec![], vec![]),
        (
            vec![("a", of(1))],
            vec![row("a", "evt_1", "1", "doorbell replay --endpoint a --event evt_1")],
        ),
        (
            vec![("b", of(1)), ("a", of(2)), ("b", of(3)), ("b", own(4))],
            vec![
                row("a", "evt_2", "1", "doorbell replay --endpoint a --event evt_2"),
                row("b", "evt_1", "2", "doorbell replay --endpoint b --status exhausted"),
            ],
        ),
        // What doorbell itself says breeds nothing.
        (vec![("a", own(1)), ("b", own(2))], vec![]),
        // What has no bytes any more cannot be sent again.
        (vec![("a", emptied(1)), ("a", emptied(2))], vec![row("a", "evt_1", "2", "")]),
    ] {
        assert_eq!(told(&deliveries), expected);
    }
}
