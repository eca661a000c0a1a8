//! What really is at the API, and how it changes.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::Value;

use super::plan::Kind;

/// An item's content, as people mean it: however its numbers are spelled and its names ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) value: i64,
    pub(super) note: i64,
    /// Changes all the time; never compared.
    pub(super) seen: i64,
    pub(super) label: String,
}

impl Content {
    /// Reads it back from JSON.
    pub(super) fn read(value: &Value) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the simulation writes small whole numbers"
        )]
        let number = |name: &str| value.get(name)?.as_f64().map(|number| number.round() as i64);
        let label = value.get("label")?.as_str()?.to_owned();
        Some(Self { value: number("value")?, note: number("note")?, seen: number("seen")?, label })
    }

    /// The part that is compared.
    pub(super) fn compared(&self, ignores_note: bool) -> (i64, Option<i64>, &str) {
        (self.value, (!ignores_note).then_some(self.note), &self.label)
    }
}

/// The items of one source.
#[derive(Debug)]
pub(super) struct Truth {
    kind: Kind,
    /// By key, as events show it; the single object's is empty.
    pub(super) items: BTreeMap<String, Content>,
    gone: BTreeMap<String, Content>,
    /// The value before the last edit, to go back to.
    before: BTreeMap<String, i64>,
    next_key: u64,
}

impl Truth {
    pub(super) fn draw(kind: Kind, dice: &mut Rng) -> Self {
        let mut truth = Self {
            kind,
            items: BTreeMap::new(),
            gone: BTreeMap::new(),
            before: BTreeMap::new(),
            next_key: 1,
        };
        let count = match kind {
            Kind::Single => 1,
            Kind::Braked => dice.usize(12..=20),
            Kind::Paged => dice.usize(8..=24),
            _ => dice.usize(3..=12),
        };
        for _ in 0..count {
            truth.create(dice);
        }
        truth
    }

    fn create(&mut self, dice: &mut Rng) {
        let key = match self.kind {
            Kind::Single => String::new(),
            _ => self.next_key.to_string(),
        };
        self.next_key += 1;
        let label = ["new", "open", "zu", "ä\"b"][dice.usize(..4)].to_owned();
        let content = Content { value: dice.i64(0..50) * 10, note: dice.i64(0..9), seen: 0, label };
        self.items.insert(key, content);
    }

    fn any_key(&self, dice: &mut Rng) -> Option<String> {
        let count = self.items.len();
        (count > 0).then(|| self.items.keys().nth(dice.usize(..count)).unwrap().clone())
    }

    /// Changes something. `may_vanish` says whether items may come and go just now. Tells what it did.
    pub(super) fn change(&mut self, dice: &mut Rng, may_vanish: bool) -> &'static str {
        let is_list = self.kind != Kind::Single;
        match dice.u32(..100) {
            0..15 if is_list && may_vanish && self.items.len() < 40 => {
                self.create(dice);
                "created"
            }
            15..30 if is_list && may_vanish => match self.any_key(dice) {
                Some(key) => {
                    let content = self.items.remove(&key).unwrap();
                    self.gone.insert(key, content);
                    "deleted"
                }
                None => "nothing",
            },
            30..42 if is_list && may_vanish && !self.gone.is_empty() => {
                let key = self.gone.keys().nth(dice.usize(..self.gone.len())).unwrap().clone();
                let content = self.gone.remove(&key).unwrap();
                self.items.insert(key, content);
                "re-created"
            }
            roll => self.edit(roll, dice),
        }
    }

    fn edit(&mut self, roll: u32, dice: &mut Rng) -> &'static str {
        let Some(key) = self.any_key(dice) else { return "nothing" };
        let item = self.items.get_mut(&key).unwrap();
        item.seen += 1;
        match roll {
            0..70 => {
                self.before.insert(key, item.value);
                item.value += 10;
                "edited"
            }
            70..85 => match self.before.remove(&key) {
                Some(value) => {
                    item.value = value;
                    "edited back"
                }
                None => "touched",
            },
            85..92 => {
                item.note += 1;
                "noted"
            }
            _ => "touched",
        }
    }

    /// Most items vanish at once.
    pub(super) fn wipe(&mut self, dice: &mut Rng) {
        let keys: Vec<_> = self.items.keys().cloned().collect();
        for key in keys {
            if dice.u32(..100) < 80 {
                let content = self.items.remove(&key).unwrap();
                self.gone.insert(key, content);
            }
        }
    }

    /// What vanished comes back.
    pub(super) fn unwipe(&mut self) {
        self.items.append(&mut self.gone);
    }
}
