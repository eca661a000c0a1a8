//! Events: the immutable messages made from changes. Id and bytes are fixed here, once and for ever.

use sha2::{Digest as _, Sha256};

use crate::core::diff::{Change, ChangeKind};
use crate::core::fault::Fault;
use crate::core::hex::hex;
use crate::core::ids::{EntryKey, EventId, ItemKey, SourceName};
use crate::core::jq::Expression;
use crate::core::json::{self, JsonText, Value};
use crate::core::snapshot::Fingerprint;
use crate::core::time::Timestamp;

/// An immutable message about one change. `body` is the envelope as it is signed and sent, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "`type` is a word of the language")]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) event_type: String,
    pub(crate) source: SourceName,
    /// Empty for a source without entries.
    pub(crate) entry: EntryKey,
    pub(crate) key: ItemKey,
    /// Rises by one per event of a source, without gaps.
    pub(crate) seq: u64,
    /// When the change was detected.
    pub(crate) at: Timestamp,
    /// The whole envelope: compact UTF-8 JSON.
    pub(crate) body: JsonText,
}

/// Which events a change makes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventRules {
    /// `SOURCE.created`, `SOURCE.updated` and `SOURCE.deleted`: what most sources have.
    Default,
    /// Others than these.
    Declared(Vec<EventRule>),
}

impl EventRules {
    /// The same rules where types that begin with one source's name begin with another's.
    pub(crate) fn renamed(&self, from: &SourceName, to: &SourceName) -> Self {
        let renamed = |rule: &EventRule| {
            let own = rule.event_type.strip_prefix(from.as_str());
            let event_type = match own.filter(|rest| rest.starts_with('.')) {
                Some(rest) => format!("{to}{rest}"),
                None => rule.event_type.clone(),
            };
            EventRule { event_type, ..rule.clone() }
        };
        match self {
            Self::Default => Self::Default,
            Self::Declared(rules) => Self::of(to, rules.iter().map(renamed).collect()),
        }
    }

    /// Whether some type begins with the source's name.
    pub(crate) fn are_of(&self, name: &SourceName) -> bool {
        let is_own = |rule: &EventRule| {
            rule.event_type.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        match self {
            Self::Default => true,
            Self::Declared(rules) => rules.iter().any(is_own),
        }
    }
}

/// One kind of event, and the changes that make it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventRule {
    pub(crate) event_type: String,
    /// Which kinds of change.
    pub(crate) on: Vec<ChangeKind>,
    /// For updates: at least one of these gives another output than before. Empty for any update.
    pub(crate) changed: Vec<Expression>,
    /// Over `{before, after, changes, key, entry}`; must give true.
    pub(crate) when: Option<Expression>,
    /// Over the same; the event's `data` instead of the item.
    pub(crate) data: Option<Expression>,
}

impl EventRules {
    /// The three default rules, to stand beside others.
    pub(crate) fn default_rules(source: &SourceName) -> Vec<EventRule> {
        let kinds = [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted];
        kinds.into_iter().filter_map(|kind| EventRule::default_for(source, kind)).collect()
    }

    /// These rules of a source, in this order.
    pub(crate) fn of(source: &SourceName, rules: Vec<EventRule>) -> Self {
        if rules == Self::default_rules(source) { Self::Default } else { Self::Declared(rules) }
    }
}

/// A change's place in its source's history: what an event's id is derived from, beside its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) entry: &'a EntryKey,
    pub(crate) at: Timestamp,
}

impl EventRules {
    /// The events of one change, numbered from `next_seq`. A type that two rules make is one event.
    ///
    /// # Errors
    /// The first jq failure: the change must then not be committed, so that the next poll meets it again.
    pub(crate) fn events_of(
        &self,
        change: &Change,
        occasion: Occasion<'_>,
        next_seq: u64,
    ) -> Result<Vec<Event>, Fault> {
        let mut events: Vec<Event> = Vec::new();
        let mut context = None;
        let default;
        let rules = match self {
            Self::Default => {
                default = EventRule::default_for(occasion.source, change.kind());
                default.as_slice()
            }
            Self::Declared(rules) => rules,
        };
        for rule in rules {
            let already = events.iter().any(|event| event.event_type == rule.event_type);
            if already || !rule.on.contains(&change.kind()) || !rule.any_changed(change)? {
                continue;
            }
            let context = match &mut context {
                Some(context) => context,
                none => none.insert(change.context(occasion.entry)),
            };
            if !rule.condition_holds(context)? {
                continue;
            }
            let data = rule.data_of(change, context)?;
            let seq = next_seq + events.len() as u64;
            events.push(freeze(&rule.event_type, change, occasion, seq, &data)?);
        }
        Ok(events)
    }
}

impl EventRule {
    /// What a source rings on a kind of change unless it says otherwise.
    fn default_for(source: &SourceName, kind: ChangeKind) -> Option<Self> {
        let event_type = format!("{source}.{}", kind.as_str());
        let (on, changed) = (vec![kind], Vec::new());
        let rule = Self { event_type, on, changed, when: None, data: None };
        Some(rule).filter(|_| kind != ChangeKind::Ended)
    }

    fn any_changed(&self, change: &Change) -> Result<bool, Fault> {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { return Ok(true) };
        if self.changed.is_empty() {
            return Ok(true);
        }
        for expression in &self.changed {
            let outputs = |value: &Value| {
                expression.each(value).map_err(|fault| self.fault("changed", &fault))
            };
            let (old, new) = (outputs(&before.value)?, outputs(&after.value)?);
            let same = old.len() == new.len()
                && old
                    .iter()
                    .zip(&new)
                    .all(|(old, new)| json::canonical(old) == json::canonical(new));
            if !same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn condition_holds(&self, context: &Value) -> Result<bool, Fault> {
        let Some(when) = &self.when else { return Ok(true) };
        when.test(context).map_err(|fault| self.fault("when", &fault))
    }

    fn data_of(&self, change: &Change, context: &Value) -> Result<JsonText, Fault> {
        match &self.data {
            None => Ok(change.subject().text.clone()),
            Some(expression) => expression
                .one(context)
                .and_then(|value| json::compact(&value))
                .map_err(|fault| self.fault("data", &fault)),
        }
    }

    fn fault(&self, key: &str, fault: &json::JsonFault) -> Fault {
        Fault::us("event_rule", format!("`{key}` of the rule for {}: {fault}", self.event_type))
    }
}

/// Derives an event's id. Fields are length-prefixed, so that no two different occasions run together.
fn derive_id(event_type: &str, occasion: Occasion<'_>, change: &Change) -> EventId {
    let mut digest = Sha256::new();
    let Occasion { source, entry, .. } = occasion;
    for field in [event_type, source.as_str(), entry.as_str(), change.key.as_str()] {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field.as_bytes());
    }
    digest.update(change.count.to_le_bytes());
    for side in [&change.before, &change.after] {
        digest.update(side.as_ref().map_or(Fingerprint::NONE, |side| side.fingerprint).0);
    }
    let digest = digest.finalize();
    let short = digest.first_chunk::<16>().expect("SHA-256 gives 32 bytes");
    EventId::new(format!("evt_{}", hex(short)))
}

/// Writes the envelope. Field order is part of the frozen bytes.
fn freeze(
    event_type: &str,
    change: &Change,
    occasion: Occasion<'_>,
    seq: u64,
    data: &JsonText,
) -> Result<Event, Fault> {
    let id = derive_id(event_type, occasion, change);
    let mut body = json::ObjectWriter::new();
    body.text("id", id.as_str());
    body.text("type", event_type);
    body.text("timestamp", &occasion.at.to_rfc3339());
    body.text("source", occasion.source.as_str());
    if !occasion.entry.is_none() {
        body.text("entry", occasion.entry.as_str());
    }
    body.text("key", change.key.as_str());
    body.number("seq", seq);
    body.raw("data", data);
    if let (ChangeKind::Updated, Some(before)) = (change.kind(), &change.before) {
        body.raw("previous", &before.text);
        let differences = change.differences_text();
        body.raw("changes", &differences.map_err(|fault| Fault::us("event", fault.to_string()))?);
    }
    Ok(Event {
        id,
        event_type: event_type.to_owned(),
        source: occasion.source.clone(),
        entry: occasion.entry.clone(),
        key: change.key.clone(),
        seq,
        at: occasion.at,
        body: body.finish(),
    })
}
