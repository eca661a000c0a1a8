//! What receivers believe, from the events alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use super::model::Rung;
use super::story::{Content, IDS, KEYS, VALUES};
use crate::core::event::Event;
use crate::core::json::{self, Value};

/// Which of the values a spelling is, by its canonical form.
static MEANINGS: LazyLock<HashMap<Vec<u8>, usize>> = LazyLock::new(|| {
    let mut meanings = HashMap::new();
    for (value, spellings) in VALUES.iter().enumerate() {
        for spelling in *spellings {
            let canonical = json::canonical(&json::read(spelling.trim()).unwrap());
            let known = meanings.insert(canonical, value);
            assert!(known.is_none_or(|known| known == value), "{spelling} is two values");
        }
    }
    meanings
});

/// A receiver that keeps what it was told.
#[derive(Debug, Default)]
pub(super) struct Fold {
    believed: BTreeMap<usize, Content>,
    ids: BTreeSet<String>,
    bodies: Vec<String>,
}

impl Fold {
    /// What rang, item by item.
    pub(super) fn read(events: &[Event]) -> BTreeSet<Rung> {
        let rung: BTreeSet<_> = events
            .iter()
            .map(|event| (item_of(event.key.as_str()), kind_of(&event.event_type)))
            .collect();
        assert_eq!(rung.len(), events.len(), "something rang twice: {events:?}");
        rung
    }

    pub(super) fn believed(&self) -> &BTreeMap<usize, Content> {
        &self.believed
    }

    /// How many events there were.
    pub(super) fn seq(&self) -> usize {
        self.bodies.len()
    }

    /// Takes envelopes in. `ignored` must not be among their differences.
    pub(super) fn take(&mut self, bodies: &[&str], ignored: Option<&str>) {
        for body in bodies {
            self.bodies.push((*body).to_owned());
            let envelope = json::read(body).unwrap();
            let text = |name| json::as_text(member(&envelope, name).unwrap()).unwrap();
            assert!(self.ids.insert(text("id").to_owned()), "an id came twice: {body}");
            let seq = member(&envelope, "seq").and_then(json::number_text).unwrap();
            assert_eq!(seq, self.bodies.len().to_string(), "numbers have no gaps");
            let data = content_of(member(&envelope, "data").unwrap());
            let previous = member(&envelope, "previous").map(content_of);
            let (item, kind) = (item_of(text("key")), kind_of(text("type")));
            let before = self.believed.remove(&item);
            match kind {
                "created" => assert_eq!(before, None, "created, and known: {body}"),
                "updated" => {
                    assert!(before.is_some(), "updated, and not known: {body}");
                    assert_eq!(previous, before, "the item was another before: {body}");
                    check_differences(&envelope, ignored);
                }
                _ => assert_eq!(Some(data), before, "deleted as it was not: {body}"),
            }
            if kind != "deleted" {
                self.believed.insert(item, data);
            }
        }
    }

    /// Takes over what was learned without a word, which is everything but what is about to be told.
    pub(super) fn learn(&mut self, all: BTreeMap<usize, Content>, told: &BTreeSet<Rung>) {
        let before = std::mem::replace(&mut self.believed, all);
        for (item, _) in told {
            self.believed.remove(item);
            self.believed.extend(before.get(item).map(|content| (*item, *content)));
        }
    }

    /// What was last told of an item was so long ago that it is as good as never.
    pub(super) fn forget(&mut self, items: &[usize]) {
        for item in items {
            self.believed.remove(item);
        }
    }

    /// The store has exactly these events, in order.
    pub(super) fn check_whole(&self, bodies: &[String]) {
        assert_eq!(self.bodies, bodies);
    }
}

fn check_differences(envelope: &Value, ignored: Option<&str>) {
    let changes = json::canonical(member(envelope, "changes").unwrap());
    let changes = String::from_utf8_lossy(&changes).into_owned();
    assert!(changes.contains("/value") || changes.contains("/note"), "{changes}");
    for never in ["/seen", "/id"].into_iter().chain(ignored) {
        assert!(!changes.contains(never), "{never} in {changes}");
    }
}

fn kind_of(event_type: &str) -> &'static str {
    let kinds = ["created", "updated", "deleted"];
    let word = event_type.strip_prefix("s.").unwrap();
    kinds.into_iter().find(|kind| *kind == word).unwrap()
}

fn item_of(key: &str) -> usize {
    assert_eq!(KEYS.len(), IDS.len());
    KEYS.iter().position(|known| *known == key).unwrap_or_else(|| panic!("nothing has key {key}"))
}

fn content_of(item: &Value) -> Content {
    let value =
        member(item, "value").map_or(VALUES.len() - 1, |value| MEANINGS[&json::canonical(value)]);
    let note = member(item, "note").and_then(json::number_text).unwrap();
    Content { value, note: note.parse().unwrap() }
}

fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    json::entries(object)?.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}
