//! What a poll teaches of when its source changes.

use std::collections::HashMap;

use tracing::warn;

use super::Turn;
use crate::core::jq::Expression;
use crate::core::json::{self, JsonText, Value};
use crate::core::limits::CHANGE_TIMES_MAX;
use crate::core::listing::Delta;
use crate::core::schedule::told;
use crate::core::schedule::{Floors, Terms, composed};
use crate::core::source::SourceState;
use crate::core::time::Timestamp;

/// The times at which things changed, as the items tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) times: Vec<Timestamp>,
    /// Whether it was said already that one of them does not tell.
    is_warned: bool,
}

impl Turn<'_> {
    /// Notes when the items of a part changed: those that ring, or at first all of them, which are the source's past.
    pub(super) fn note_times(&mut self, delta: &Delta) {
        let Some(changed_at) = &self.source.changed_at else { return };
        let room = CHANGE_TIMES_MAX.saturating_sub(self.told.times.len());
        let mut items: Vec<(&JsonText, bool)> = Vec::new();
        if self.state.last_success.is_none() {
            items.extend(delta.upserts.iter().map(|item| (&item.data, false)));
        } else {
            let known: HashMap<_, _> =
                delta.upserts.iter().map(|item| (&item.key, &item.data)).collect();
            items.extend(delta.events.iter().map(|new| match known.get(&new.event.key) {
                Some(data) if !data.as_str().is_empty() => (*data, false),
                _ => (&new.event.body, true),
            }));
        }
        for (text, is_event) in items.into_iter().take(room) {
            let Ok(read) = json::read(text.as_str()) else { continue };
            let item = if is_event { field(&read, "data") } else { Some(&read) };
            match item.map(|item| moment(changed_at, item)) {
                Some(Ok(at)) => self.told.times.push(at),
                Some(Err(sentence)) if !std::mem::replace(&mut self.told.is_warned, true) => {
                    warn!(source = %self.unit, "`changed_at` {sentence}");
                }
                _ => {}
            }
        }
    }

    /// Adds to the plan what holds beside it: the calendar, the server's word, and what is left by that.
    pub(super) fn compose(&self, next: &mut SourceState, now: Timestamp) {
        let (source, wall) = (self.source, self.ports.clock.wall());
        let mut floors = Floors::of(&self.pacing, now);
        if next.schedule.failures == 0 {
            let interval = Some(next.schedule.interval).filter(|_| source.cron.is_none());
            let stretch = self.ports.gate.stretch(&self.account, source, interval);
            floors.spare = stretch.map(|stretch| stretch.floor(next.schedule.interval, now));
        }
        let rule = (source.every, source.cron.as_ref());
        next.schedule = composed(next.schedule, rule, floors, (now, wall));
        let due = next.schedule.due;
        next.not_before = floors.binding.max(floors.fresh).map(|floor| floor.min(due));
    }

    /// What the next poll is planned on: the prices of the budgets that were written for it.
    pub(super) fn terms(&self) -> Terms {
        self.ports.gate.terms(self.source, self.unit)
    }
}

fn moment(changed_at: &Expression, item: &Value) -> Result<Timestamp, String> {
    let value = changed_at.one(item).map_err(|fault| format!("gives no value: {fault}"))?;
    told::moment(&value)
        .ok_or_else(|| String::from("gives neither RFC 3339 nor Unix seconds or milliseconds"))
}

fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    json::entries(value)?.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
