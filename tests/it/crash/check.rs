//! What has to hold at the end, whatever happened before. Everything that does not is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::{ENDPOINTS, Endpoint, OWN, Order, Rung, SOURCES, Scenery};

/// Items by key.
pub(super) type Items = BTreeMap<String, Value>;

/// A delivery, as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) event: String,
    pub(super) endpoint: String,
    pub(super) is_replay: bool,
    pub(super) is_delivered: bool,
}

/// What the daemon says of itself at the end.
pub(super) struct Told {
    /// The stored events, oldest first.
    pub(super) events: Vec<Value>,
    /// The snapshot of each source.
    pub(super) snapshots: BTreeMap<String, Items>,
    pub(super) deliveries: Vec<Delivery>,
}

impl Told {
    /// The events of some sources.
    fn events_of<'a>(&'a self, sources: &[&str]) -> Vec<&'a Value> {
        self.events.iter().filter(|it| sources.contains(&text(it, "source"))).collect()
    }
}

/// The promises that are broken, a sentence each.
pub(super) fn violations(
    scenery: &Scenery,
    baselines: &BTreeMap<&str, Items>,
    told: &Told,
) -> Vec<String> {
    let mut found = Vec::new();
    bodies_never_change(scenery.ledgers.values().flatten(), &mut found);
    for endpoint in ENDPOINTS {
        let (ledger, events) = (&scenery.ledgers[endpoint.name], told.events_of(endpoint.sources));
        let own_deliveries: Vec<_> =
            told.deliveries.iter().filter(|it| it.endpoint == endpoint.name).collect();
        let mut own = Vec::new();
        in_order(endpoint, ledger, &events, &mut own);
        everything_arrived(ledger, &events, &mut own);
        deliveries_were_made(ledger, &own_deliveries, &events, &mut own);
        let unwanted = ledger.iter().filter(|rung| rung.is_unwanted).count();
        if unwanted > 0 {
            own.push(format!("rang {unwanted} times while it was paused"));
        }
        found.extend(own.into_iter().map(|what| format!("{}: {what}", endpoint.name)));
    }
    for source in SOURCES {
        let events = told.events_of(&[*source]);
        let mut own = Vec::new();
        gapless(&events, &mut own);
        nothing_made_up(scenery, source, &events, &mut own);
        let folded = fold(&baselines[source], &events, &mut own);
        let (shown, stored) = (&scenery.sources[source].items, &told.snapshots[*source]);
        differences("the events", &folded, "the API", shown, &mut own);
        differences("the snapshot", stored, "the API", shown, &mut own);
        found.extend(own.into_iter().map(|what| format!("{source}: {what}")));
    }
    let news = told.events_of(&[OWN]);
    gapless(&news, &mut found);
    told_in_turn(&news, &mut found);
    found
}

fn event(rung: &Rung) -> Value {
    serde_json::from_slice(&rung.body).unwrap_or_default()
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

fn bodies_never_change<'a>(rungs: impl IntoIterator<Item = &'a Rung>, found: &mut Vec<String>) {
    let mut first = BTreeMap::<&str, &Rung>::new();
    for rung in rungs {
        if first.entry(&rung.id).or_insert(rung).body != rung.body {
            found.push(format!("{} came with two bodies", rung.id));
        }
        if text(&event(rung), "id") != rung.id {
            found.push(format!("{} names another id in its body", rung.id));
        }
    }
}

/// An event comes after all earlier ones of its lane were settled, so no arrival is older than the last. What is sent
/// again because somebody wants it comes later than its time.
fn in_order(endpoint: &Endpoint, ledger: &[Rung], events: &[&Value], found: &mut Vec<String>) {
    let places: BTreeMap<_, _> =
        events.iter().zip(0..).map(|(event, at)| (text(event, "id"), (at, *event))).collect();
    let mut last = BTreeMap::new();
    for rung in ledger.iter().filter(|rung| !rung.is_replay) {
        let Some((at, event)) = places.get(rung.id.as_str()) else { continue };
        let lane = match endpoint.order {
            Order::Item => format!("{} {}", event["source"], event["key"]),
            Order::Endpoint => String::from("everything"),
            Order::None => return,
        };
        let before = last.insert(lane.clone(), *at);
        if before > Some(*at) {
            found.push(format!("{lane}: event {at} of all came after {before:?}"));
        }
    }
}

/// What is stored was accepted without anybody's wanting it again, and what was rung is stored.
fn everything_arrived(ledger: &[Rung], events: &[&Value], found: &mut Vec<String>) {
    let stored: BTreeMap<_, _> = events.iter().map(|event| (text(event, "id"), *event)).collect();
    let accepted = ledger.iter().filter(|rung| rung.is_accepted && !rung.is_replay);
    let accepted: BTreeSet<_> = accepted.map(|rung| rung.id.as_str()).collect();
    let lost = stored.keys().filter(|id| !accepted.contains(*id));
    found.extend(lost.map(|id| format!("{id} is stored and was never accepted")));
    for rung in ledger {
        match stored.get(rung.id.as_str()) {
            None => found.push(format!("{} rang and is not stored", rung.id)),
            Some(known) if **known != event(rung) => {
                found.push(format!("{} rang with another body than is stored", rung.id));
            }
            Some(_) => {}
        }
    }
}

/// Each event has one delivery of its own; what was wanted again was accepted as often, said so, and came later.
fn deliveries_were_made(
    ledger: &[Rung],
    deliveries: &[&Delivery],
    events: &[&Value],
    found: &mut Vec<String>,
) {
    let unsettled = deliveries.iter().filter(|it| !it.is_delivered).count();
    if unsettled > 0 {
        found.push(format!("{unsettled} deliveries wait for ever or were given up"));
    }
    let (mut made, mut wanted) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for delivery in deliveries {
        let count = if delivery.is_replay { &mut wanted } else { &mut made };
        *count.entry(&delivery.event).or_default() += 1;
    }
    for event in events {
        let count = made.get(text(event, "id")).copied().unwrap_or(0);
        if count != 1 {
            found.push(format!("{} has {count} deliveries of its own", event["id"]));
        }
    }
    let (mut known, mut again) = (BTreeSet::new(), BTreeMap::<&str, usize>::new());
    for rung in ledger {
        let id = rung.id.as_str();
        if rung.is_replay && !(known.contains(id) && wanted.contains_key(id)) {
            found.push(format!("{id} is said to come again, and nobody wanted that"));
        }
        if rung.is_accepted && rung.is_replay {
            *again.entry(id).or_default() += 1;
        } else if rung.is_accepted {
            known.insert(id);
        }
    }
    for (id, count) in wanted {
        let came = again.get(id).copied().unwrap_or(0);
        if came < count {
            found.push(format!("{id} was wanted {count} times more and came {came} times"));
        }
    }
}

/// That an endpoint fails is told once, and that it is back once it is.
fn told_in_turn(news: &[&Value], found: &mut Vec<String>) {
    let mut failing = BTreeSet::new();
    for event in news {
        let key = text(event, "key");
        let is_in_turn = match text(event, "type") {
            "doorbell.endpoint.failing" => failing.insert(key),
            "doorbell.endpoint.recovered" => failing.remove(key),
            // From well as from ill.
            "doorbell.endpoint.disabled" => {
                failing.insert(key);
                true
            }
            _ => true,
        };
        if !is_in_turn {
            found.push(format!("{} of {key} out of turn, number {}", event["type"], event["seq"]));
        }
    }
}

fn gapless(events: &[&Value], found: &mut Vec<String>) {
    for (event, expected) in events.iter().zip(1_u64..) {
        if event["seq"] != expected {
            found.push(format!("seq {} where {expected} is due", event["seq"]));
            return;
        }
    }
}

/// Every event tells of something that was so: no item that was never shown, no deletion of one that never went away.
fn nothing_made_up(scenery: &Scenery, source: &str, events: &[&Value], found: &mut Vec<String>) {
    let collection = &scenery.sources[source];
    for event in events {
        for item in [&event["data"], &event["previous"]].into_iter().filter(|it| !it.is_null()) {
            if !collection.versions.contains(&item.to_string()) {
                found.push(format!("{} tells of {item}, which never was", event["id"]));
            }
        }
        let is_deletion = text(event, "type").ends_with(".deleted");
        if is_deletion && !collection.removed.contains(text(event, "key")) {
            found.push(format!("item {} is said to be deleted and never was", event["key"]));
        }
    }
}

/// The baseline with all events applied, each of which has to fit what is there.
fn fold(baseline: &Items, events: &[&Value], found: &mut Vec<String>) -> Items {
    let mut items = baseline.clone();
    for event in events {
        let key = text(event, "key").to_owned();
        let before = items.remove(&key);
        let (what, expected, after) = match text(event, "type").rsplit('.').next() {
            Some("created") => ("created", None, Some(&event["data"])),
            Some("updated") => ("updated", Some(&event["previous"]), Some(&event["data"])),
            _ => ("deleted", Some(&event["data"]), None),
        };
        if before.as_ref() != expected {
            found.push(format!("item {key} is {what} from {expected:?}, but was {before:?}"));
        }
        items.extend(after.map(|item| (key, item.clone())));
    }
    items
}

fn differences(one: &str, left: &Items, other: &str, right: &Items, found: &mut Vec<String>) {
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    for key in keys {
        let (left, right) = (left.get(key), right.get(key));
        if left != right {
            found.push(format!("item {key:?}: {one} say {left:?}, {other} says {right:?}"));
        }
    }
}

#[test]
fn broken_promises_are_found() {
    use serde_json::json;
    let event = |seq: u64, kind: &str, data: Value, previous: Value| {
        json!({ "id": format!("evt_{seq}"), "type": format!("plain.{kind}"), "source": "plain",
            "key": "1", "seq": seq, "data": data, "previous": previous })
    };
    let (a, b) = (json!({ "id": 1, "at": 1 }), json!({ "id": 1, "at": 2 }));
    let events = [
        event(1, "created", a.clone(), Value::Null),
        event(2, "updated", b.clone(), a.clone()),
        event(3, "deleted", b.clone(), Value::Null),
    ];
    let folded = |events: &[&Value]| {
        let mut found = Vec::new();
        gapless(events, &mut found);
        let items = fold(&Items::new(), events, &mut found);
        (items.len(), found.len())
    };
    let all: Vec<_> = events.iter().collect();
    assert_eq!(folded(&all), (0, 0));
    assert_eq!(folded(&all[..2]), (1, 0));
    assert_eq!(folded(&[all[0], all[2]]), (0, 2), "a lost update");
    assert_eq!(folded(&all[1..]), (0, 2), "a lost creation");

    let events = [&events[0], &events[1], &events[2]];
    let rung = |event: &Value, is_accepted, is_replay| Rung {
        id: text(event, "id").to_owned(),
        body: event.to_string().into_bytes(),
        is_accepted,
        is_replay,
        is_unwanted: false,
    };
    let delivery = |event: &Value, is_replay| Delivery {
        event: text(event, "id").to_owned(),
        endpoint: String::from("usual"),
        is_replay,
        is_delivered: true,
    };
    let mut deliveries: Vec<_> = events.iter().map(|event| delivery(event, false)).collect();
    deliveries.push(delivery(events[0], true));
    let judged = |ledger: &[&Rung]| {
        let ledger: Vec<_> = ledger.iter().map(|rung| (*rung).clone()).collect();
        let mut found = Vec::new();
        bodies_never_change(&ledger, &mut found);
        in_order(&ENDPOINTS[0], &ledger, &events, &mut found);
        everything_arrived(&ledger, &events, &mut found);
        deliveries_were_made(&ledger, &deliveries.iter().collect::<Vec<_>>(), &events, &mut found);
        found.len()
    };
    let all: Vec<_> = events.iter().map(|event| rung(event, true, false)).collect();
    let [first, second, third] = &all[..] else { unreachable!() };
    let wanted = &rung(events[0], true, true);
    assert_eq!(judged(&[first, second, third, wanted]), 0);
    assert_eq!(judged(&[first, first, second, wanted, third]), 0);
    assert_eq!(judged(&[first, second, first, third, wanted]), 1, "order");
    assert_eq!(judged(&[first, second, wanted]), 1, "lost");
    assert_eq!(judged(&[first, second, third]), 1, "wanted again, and did not come");
    assert_eq!(judged(&[wanted, first, second, third]), 1, "again before it came at all");
    let unwanted = &rung(events[1], true, true);
    assert_eq!(judged(&[first, second, third, wanted, unwanted]), 1, "again by itself");
    let refused = &rung(events[2], false, false);
    assert_eq!(judged(&[first, second, refused, wanted]), 1, "never accepted");
    let changed = &Rung { body: events[1].to_string().into_bytes(), ..first.clone() };
    assert!(judged(&[first, changed, second, third, wanted]) > 0, "another body");
}

#[test]
fn news_out_of_turn_are_found() {
    use serde_json::json;
    let judged = |words: &[&str]| {
        let event = |word: &&str| json!({ "type": format!("doorbell.{word}"), "key": "frail" });
        let news: Vec<_> = words.iter().map(event).collect();
        let mut found = Vec::new();
        told_in_turn(&news.iter().collect::<Vec<_>>(), &mut found);
        found.len()
    };
    let (failing, disabled) = ("endpoint.failing", "endpoint.disabled");
    let back = "endpoint.recovered";
    assert_eq!(judged(&[failing, back, disabled, disabled, back, failing, disabled, back]), 0);
    assert_eq!(judged(&[failing, failing]), 1);
    assert_eq!(judged(&[disabled, failing]), 1);
    assert_eq!(judged(&[failing, back, back]), 1);
    assert_eq!(judged(&[back]), 1);
}
