//! Random histories: whatever is listed, filtered, dropped and shown late, folding the events gives what is known, and
//! what is known is what there is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, proptest};
use proptest::sample::select;
use serde_json::Value;

use super::desk::{Desk, listing, text};
use crate::core::report::PollReport;

/// Item keys with their values, as receivers have them.
type Told = BTreeMap<String, Value>;

fn fold(told: &mut Told, report: &PollReport) {
    for event in &report.events {
        let envelope: Value = serde_json::from_str(event.body.as_str()).expect("an envelope");
        let (key, data) = (event.key.to_string(), envelope["data"].clone());
        match event.event_type.as_str() {
            "s.created" => assert_eq!(told.insert(key, data), None, "created twice"),
            "s.updated" => {
                let before = told.insert(key, data).expect("updated, and never created");
                assert_eq!(before, envelope["previous"]);
            }
            _ => assert_eq!(told.remove(&key), Some(data), "deleted, and never created"),
        }
    }
}

async fn known(desk: &Desk) -> Told {
    let items = desk.stored().await.into_iter();
    let items = items.filter(|(_, item)| item.entry.standing.is_known());
    items
        .map(|(key, item)| {
            (key.to_string(), serde_json::from_str(item.data.as_str()).expect("JSON"))
        })
        .collect()
}

/// Values of ten items; `-` is not listed.
fn states() -> impl Strategy<Value = Vec<&'static str>> {
    let value = select(vec!["-", "-", "a", "a", "a", "b", "c", "x", "gone"]);
    vec(value, 10)
}

fn words(state: &[&str]) -> String {
    let listed = state.iter().enumerate().filter(|(_, value)| **value != "-");
    listed.map(|(id, value)| format!("{id}:{value}")).collect::<Vec<_>>().join(" ")
}

async fn play(settle: u32, history: Vec<Vec<&str>>) {
    let desk = Desk::new(&format!(
        "key: .id, first_poll: emit, settle: {settle}, where: '.v != \"x\"', deleted_when: '.v == \"gone\"'"
    ));
    let mut told = Told::new();
    for state in &history {
        fold(&mut told, &desk.answer([text(&listing(&words(state)))]).await);
        assert_eq!(told, known(&desk).await, "{history:?}");
    }
    let last = history.last().expect("a history");
    for _ in 0..=settle + 1 {
        fold(&mut told, &desk.answer([text(&listing(&words(last)))]).await);
    }
    assert_eq!(told, known(&desk).await, "{history:?}");
    for (id, value) in last.iter().enumerate() {
        let found = told.get(&id.to_string()).map(|item| item["v"].as_str().expect("a text"));
        match *value {
            "a" | "b" | "c" => assert_eq!(found, Some(*value), "{id} of {history:?}"),
            "gone" => assert_eq!(found, None, "{id} of {history:?}"),
            // Remembered as it last was if it left the watch.
            _ => {}
        }
    }
}

/// An item at an API that shows changes late.
#[derive(Debug, Clone)]
struct Version {
    value: u32,
    at: i64,
    visible: i64,
}

/// What one minute changes: an item, and how late that is to be seen.
type Edit = (usize, i64);

const LATE_MAX: i64 = 4;

/// What the API shows of the versions of all items at a minute, from another one on.
fn shown(versions: &[Vec<Version>], now: i64, from: Option<i64>) -> String {
    let newest = versions.iter().enumerate().filter_map(|(id, versions)| {
        let visible = versions.iter().filter(|version| version.visible <= now);
        visible.max_by_key(|version| version.at).map(|version| (id, version))
    });
    let asked = newest.filter(|(_, version)| from.is_none_or(|from| version.at >= from));
    let items: Vec<_> = asked
        .map(|(id, version)| {
            format!(r#"{{"id":{id},"v":"{}","at":{}}}"#, version.value, version.at * 60)
        })
        .collect();
    format!("[{}]", items.join(","))
}

async fn play_late(history: Vec<Vec<Edit>>) {
    let keys = "key: .id, first_poll: emit, sweep: off, \
        since: { param: from, from: .at, overlap: 5m, format: unix }";
    let (desk, mut told) = (Desk::new(keys), Told::new());
    let world = Arc::new(Mutex::new((vec![Vec::<Version>::new(); 6], 0_i64)));
    let served = Arc::clone(&world);
    desk.serve(Box::new(move |url| {
        let from = url.query_pairs().find(|(name, _)| name == "from");
        let from = from.map(|(_, value)| value.parse::<i64>().expect("seconds") / 60);
        let world = served.lock().expect("a whole lock");
        text(&shown(&world.0, world.1, from))
    }));
    let quiet = std::iter::repeat_n(Vec::new(), 6);
    for (value, edits) in (1_u32..).zip(history.iter().cloned().chain(quiet)) {
        {
            let mut world = world.lock().expect("a whole lock");
            world.1 += 1;
            let now = world.1;
            for (id, late) in edits {
                let version = Version { value, at: now, visible: now + late };
                if let Some(versions) = world.0.get_mut(id) {
                    versions.push(version);
                }
            }
        }
        desk.pass(Duration::from_mins(1));
        fold(&mut told, &desk.answer([]).await);
        assert_eq!(told, known(&desk).await, "{history:?}");
    }
    let world = world.lock().expect("a whole lock");
    for (id, versions) in world.0.iter().enumerate() {
        let last = versions.iter().max_by_key(|version| version.at).map(|it| it.value.to_string());
        let found = told.get(&id.to_string()).map(|item| item["v"].as_str().expect("a text"));
        assert_eq!(found, last.as_deref(), "item {id} of {history:?}");
    }
}

fn run(history: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(history);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn folding_the_events_gives_what_is_known(settle in 0_u32..3, history in vec(states(), 1..12)) {
        run(play(settle, history));
    }

    #[test]
    fn what_shows_late_is_never_missed(history in vec(vec((0_usize..6, 0..=LATE_MAX), 0..3), 1..20)) {
        run(play_late(history));
    }
}
