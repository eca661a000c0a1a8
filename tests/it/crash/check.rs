//! What has to hold at the end, whatever happened before. Everything that does not is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::{Rung, SOURCES, Scenery};

/// Items by key.
pub(super) type Items = BTreeMap<String, Value>;

/// What the daemon says of itself at the end.
pub(super) struct Told {
    /// The stored events, oldest first.
    pub(super) events: Vec<Value>,
    /// The snapshot of each source.
    pub(super) snapshots: BTreeMap<String, Items>,
    /// Deliveries that were given up.
    pub(super) exhausted: usize,
}

/// The promises that are broken, a sentence each.
pub(super) fn violations(
    scenery: &Scenery,
    baselines: &BTreeMap<&str, Items>,
    told: &Told,
) -> Vec<String> {
    let mut found = Vec::new();
    for (endpoint, ledger) in &scenery.ledgers {
        let mut own = Vec::new();
        bodies_never_change(ledger, &mut own);
        in_order_per_item(ledger, &mut own);
        everything_arrived(ledger, &told.events, &mut own);
        found.extend(own.into_iter().map(|what| format!("{endpoint}: {what}")));
    }
    if told.exhausted > 0 {
        found.push(format!("{} deliveries were given up", told.exhausted));
    }
    for source in SOURCES {
        let events: Vec<_> = told.events.iter().filter(|it| it["source"] == *source).collect();
        let mut own = Vec::new();
        gapless(&events, &mut own);
        nothing_made_up(scenery, source, &events, &mut own);
        let folded = fold(&baselines[source], &events, &mut own);
        let (shown, stored) = (&scenery.sources[source].items, &told.snapshots[*source]);
        differences("the events", &folded, "the API", shown, &mut own);
        differences("the snapshot", stored, "the API", shown, &mut own);
        found.extend(own.into_iter().map(|what| format!("{source}: {what}")));
    }
    found
}

fn event(rung: &Rung) -> Value {
    serde_json::from_slice(&rung.body).unwrap_or_default()
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

fn bodies_never_change(ledger: &[Rung], found: &mut Vec<String>) {
    let mut first = BTreeMap::<&str, &Rung>::new();
    for rung in ledger {
        if first.entry(&rung.id).or_insert(rung).body != rung.body {
            found.push(format!("{} came with two bodies", rung.id));
        }
        if text(&event(rung), "id") != rung.id {
            found.push(format!("{} names another id in its body", rung.id));
        }
    }
}

/// An event of an item comes after all earlier ones of that item were settled, so no arrival is older than the last.
fn in_order_per_item(ledger: &[Rung], found: &mut Vec<String>) {
    let mut last = BTreeMap::new();
    for rung in ledger {
        let event = event(rung);
        let (lane, seq) = (
            (event["source"].clone().to_string(), text(&event, "key").to_owned()),
            event["seq"].as_u64(),
        );
        let before = last.insert(lane.clone(), seq).flatten();
        if before > seq {
            found.push(format!("{lane:?}: {seq:?} came after {before:?}"));
        }
    }
}

/// What is stored was accepted, and what was rung is stored.
fn everything_arrived(ledger: &[Rung], events: &[Value], found: &mut Vec<String>) {
    let stored: BTreeMap<_, _> = events.iter().map(|event| (text(event, "id"), event)).collect();
    let accepted: BTreeSet<_> =
        ledger.iter().filter(|rung| rung.is_accepted).map(|rung| rung.id.as_str()).collect();
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

    let rung = |event: &Value, is_accepted| Rung {
        id: text(event, "id").to_owned(),
        body: event.to_string().into_bytes(),
        is_accepted,
    };
    let judged = |ledger: &[Rung]| {
        let mut found = Vec::new();
        bodies_never_change(ledger, &mut found);
        in_order_per_item(ledger, &mut found);
        everything_arrived(ledger, &events, &mut found);
        found.len()
    };
    let good: Vec<_> = events.iter().map(|event| rung(event, true)).collect();
    assert_eq!(judged(&good), 0);
    let [first, second, third] = &good[..] else { unreachable!() };
    let again = |rung: &Rung| rung.clone();
    assert_eq!(judged(&[again(first), again(first), again(second), again(third)]), 0);
    assert_eq!(judged(&[again(first), again(second), again(first), again(third)]), 1, "order");
    assert_eq!(judged(&good[..2]), 1, "lost");
    let refused = Rung { is_accepted: false, ..again(third) };
    assert_eq!(judged(&[again(first), again(second), refused]), 1, "never accepted");
    let changed = Rung { body: events[1].to_string().into_bytes(), ..again(first) };
    assert!(judged(&[again(first), changed, again(second), again(third)]) > 0, "another body");
}
