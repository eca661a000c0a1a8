//! What applying a configuration to a state does: to each source and endpoint, why, and what that means for what is
//! known. The command `plan`, the log of a reload and the API say it in these words.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::endpoint::Endpoint;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::parts::{endpoint_keys, source_keys};
use crate::core::roster::Roster;
use crate::core::source::{FirstPoll, Source, SourceState};
use crate::core::words;

/// What becomes of everything that is declared or known, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<SourcePlan>,
    pub(crate) endpoints: Vec<EndpointPlan>,
    /// `server` is another than the one in force: that holds after a restart.
    pub(crate) server_changed: bool,
}

/// What becomes of a source or an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Added,
    /// No longer declared. What is known of it is kept, and rings nothing.
    Removed,
    /// It was not declared before either; something of it is kept.
    RemovedEarlier,
    Unchanged,
    /// Declared otherwise, without consequences for what is known.
    Changed,
    /// What is known stays, and is compared in another way from here on.
    ComparedAnew,
    /// What is known cannot be compared with what is asked now: a new baseline, in silence.
    Rebaselined,
    /// What is known under the former name goes on under this one.
    Renamed,
}

impl Fate {
    /// The word for people and machines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::RemovedEarlier => "removed earlier",
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::ComparedAnew => "compared anew",
            Self::Rebaselined => "re-baselined",
            Self::Renamed => "renamed",
        }
    }

    /// Whether applying the configuration does anything.
    pub(crate) fn is_news(self) -> bool {
        !matches!(self, Self::Unchanged | Self::RemovedEarlier)
    }
}

/// What is kept of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    /// Items that receivers believe in.
    pub(crate) items: u64,
    /// Deliveries of its events that are not settled.
    pub(crate) waiting: u64,
}

/// What becomes of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourcePlan {
    pub(crate) name: SourceName,
    pub(crate) fate: Fate,
    /// The keys that are the reason, where they are known.
    pub(crate) keys: Vec<String>,
    /// The name under which its state is found, if that is another one.
    pub(crate) was: Option<SourceName>,
    /// Whether the types of its events begin with its name.
    pub(crate) is_type_named: bool,
    /// What its first poll does; `None` if it has state.
    pub(crate) first_poll: Option<FirstPoll>,
    /// Of the name under which its state is found. Filled in by whoever has the store.
    pub(crate) holding: Holding,
    /// Why `was` does not do what it says, if so.
    pub(crate) remark: Option<String>,
}

/// What becomes of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointPlan {
    pub(crate) name: EndpointName,
    pub(crate) fate: Fate,
    pub(crate) keys: Vec<String>,
    /// The name under which what waits is found, if that is another one.
    pub(crate) was: Option<EndpointName>,
    /// Deliveries that are not settled.
    pub(crate) waiting: u64,
    /// Whether they wait for as long as the declaration says that it is paused.
    pub(crate) is_paused: bool,
}

/// What is known from before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) sources: BTreeMap<SourceName, SourceState>,
    /// Every endpoint ever known, with how many deliveries wait for it.
    pub(crate) endpoints: BTreeMap<EndpointName, u64>,
}

/// Compares what is declared with what is known, and with what is in force, where that is known.
pub(crate) fn plan(old: Option<&Roster>, new: &Roster, known: &Known) -> Plan {
    let mut sources: Vec<_> =
        new.sources.values().map(|source| source_plan(source, old, known)).collect();
    let moved: BTreeSet<_> = sources.iter().filter_map(|plan| plan.was.clone()).collect();
    let was_declared = |name: &SourceName| old.is_some_and(|old| old.sources.contains_key(name));
    let before = old.into_iter().flat_map(|old| old.sources.keys());
    let all: BTreeSet<_> = known.sources.keys().chain(before).collect();
    for name in all {
        if new.sources.contains_key(name) || moved.contains(name) {
            continue;
        }
        let fate = removal(old.is_none() || was_declared(name));
        sources.push(SourcePlan::new(name, fate));
    }
    sources.sort_by(|left, right| left.name.cmp(&right.name));
    Plan { sources, endpoints: endpoint_plans(old, new, known), server_changed: false }
}

fn removal(is_news: bool) -> Fate {
    if is_news { Fate::Removed } else { Fate::RemovedEarlier }
}

fn changed(keys: &[String]) -> Fate {
    if keys.is_empty() { Fate::Unchanged } else { Fate::Changed }
}

fn source_plan(source: &Source, old: Option<&Roster>, known: &Known) -> SourcePlan {
    let own = known.sources.get(&source.name);
    let former = source.was.as_ref().and_then(|was| Some((was, known.sources.get(was)?)));
    let moves = former.filter(|_| own.is_none());
    let declared = |name: &SourceName| old.and_then(|old| old.sources.get(name));
    // With the name it has state under, what it was declared as before.
    let before = declared(moves.map_or(&source.name, |(was, _)| was));
    let keys = before.map(|before| keys_beside_name(before, source));
    let plan = SourcePlan {
        was: moves.map(|(was, _)| was.clone()),
        is_type_named: source.events.are_of(&source.name),
        remark: former.filter(|_| own.is_some()).map(|(was, _)| {
            format!("`was: {was}` has no effect: {} has a state of its own", source.name)
        }),
        ..SourcePlan::new(&source.name, Fate::Unchanged)
    };
    let Some(state) = own.or(moves.map(|(_, state)| state)) else {
        let Some(keys) = keys else {
            let first_poll = Some(source.first_poll);
            return SourcePlan { fate: Fate::Added, first_poll, ..plan };
        };
        return SourcePlan { fate: changed(&keys), keys, ..plan };
    };
    let now = source.parts();
    if state.identity() != source.identity() {
        return SourcePlan {
            fate: Fate::Rebaselined,
            keys: state.digests.parts.identity_keys(now),
            ..plan
        };
    }
    if state.comparison() != source.comparison() {
        return SourcePlan {
            fate: Fate::ComparedAnew,
            keys: state.digests.parts.comparison_keys(now),
            ..plan
        };
    }
    match (&plan.was, keys) {
        (Some(_), keys) => {
            SourcePlan { fate: Fate::Renamed, keys: keys.unwrap_or_default(), ..plan }
        }
        (None, Some(keys)) => SourcePlan { fate: changed(&keys), keys, ..plan },
        (None, None) if old.is_some() => SourcePlan { fate: Fate::Added, ..plan },
        (None, None) => plan,
    }
}

/// The keys by which two declarations differ, without what follows from the name being another.
fn keys_beside_name(before: &Source, now: &Source) -> Vec<String> {
    let mut keys = source_keys(before, now);
    if before.name != now.name {
        let follows = before.events.renamed(&before.name, &now.name) == now.events;
        keys.retain(|key| key != "was" && !(key == "events" && follows));
    }
    keys
}

fn endpoint_plans(old: Option<&Roster>, new: &Roster, known: &Known) -> Vec<EndpointPlan> {
    let before = old.into_iter().flat_map(|old| old.endpoints.keys());
    let all: BTreeSet<_> =
        known.endpoints.keys().chain(before).chain(new.endpoints.keys()).collect();
    // Something may have rung for the new name before what waits for the old one was taken along.
    let waits = |name: &EndpointName| known.endpoints.get(name).copied();
    let moves = |endpoint: &Endpoint| {
        let was = endpoint.was.as_ref()?;
        let count = waits(was)?;
        (waits(&endpoint.name).is_none() || count > 0).then(|| (was.clone(), count))
    };
    let moved: BTreeSet<_> =
        new.endpoints.values().filter_map(|it| moves(it)).map(|(was, _)| was).collect();
    let plans = all.into_iter().filter(|name| !moved.contains(*name)).map(|name| {
        let declared = |roster: &'_ Roster, name| roster.endpoints.get(name).cloned();
        let now = declared(new, name);
        let moves = now.as_deref().and_then(moves);
        let (was, more) = moves.map_or((None, 0), |(was, count)| (Some(was), count));
        let before = old.and_then(|old| declared(old, was.as_ref().unwrap_or(name)));
        let is_known = known.endpoints.contains_key(name);
        let is_paused = now.as_ref().is_some_and(|now| now.paused);
        let (fate, keys) = match (&before, &now) {
            (before, Some(now)) if was.is_some() => {
                let mut keys = before.as_ref().map_or_else(Vec::new, |it| endpoint_keys(it, now));
                keys.retain(|key| key != "was");
                (Fate::Renamed, keys)
            }
            (Some(before), Some(now)) => {
                let keys = endpoint_keys(before, now);
                (changed(&keys), keys)
            }
            (None, Some(_)) if old.is_none() && is_known => (Fate::Unchanged, Vec::new()),
            (None, Some(_)) => (Fate::Added, Vec::new()),
            (before, None) => (removal(old.is_none() || before.is_some()), Vec::new()),
        };
        let waiting = waits(name).unwrap_or(0) + more;
        EndpointPlan { name: name.clone(), fate, keys, was, waiting, is_paused }
    });
    plans.collect()
}

impl Plan {
    /// What is done, a line each; nothing of what stays as it is.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |kind: &str, name: &str, fate: Fate, sentence: &str| {
            let colon = if sentence.is_empty() { "" } else { ": " };
            format!("{kind} {name} {}{colon}{sentence}", fate.as_str())
        };
        let sources = self.sources.iter().filter(|plan| plan.fate.is_news());
        let endpoints = self.endpoints.iter().filter(|plan| plan.fate.is_news());
        sources
            .map(|plan| line("source", plan.name.as_str(), plan.fate, &plan.sentence()))
            .chain(
                endpoints
                    .map(|plan| line("endpoint", plan.name.as_str(), plan.fate, &plan.sentence())),
            )
            .collect()
    }
}

impl SourcePlan {
    fn new(name: &SourceName, fate: Fate) -> Self {
        Self {
            name: name.clone(),
            fate,
            keys: Vec::new(),
            was: None,
            is_type_named: false,
            first_poll: None,
            holding: Holding::default(),
            remark: None,
        }
    }

    /// The name under which its state is found.
    pub(crate) fn kept_as(&self) -> &SourceName {
        self.was.as_ref().unwrap_or(&self.name)
    }

    /// What that means, for people; empty when there is nothing to say.
    pub(crate) fn sentence(&self) -> String {
        let Holding { items, waiting } = self.holding;
        let (items, keys) = (words::count(items, "item"), listed(&self.keys));
        let said = match self.fate {
            Fate::Added => match self.first_poll {
                Some(FirstPoll::Baseline) => {
                    String::from("its first poll is a baseline and rings nothing")
                }
                Some(FirstPoll::Emit) => {
                    String::from("its first poll rings for every item (`first_poll: emit`)")
                }
                None => format!("it goes on from the {items} known of it"),
            },
            Fate::Removed | Fate::RemovedEarlier => {
                let waits = match waiting {
                    0 => String::new(),
                    _ => format!(", {} still on the way", words::count(waiting, "delivery")),
                };
                format!("rings nothing; {items} kept{waits}")
            }
            Fate::Unchanged => String::new(),
            Fate::Changed => format!("{keys}; what is known stays"),
            Fate::ComparedAnew => {
                format!("{keys}; {items} kept, compared anew, nothing rings for that")
            }
            Fate::Rebaselined => {
                format!("{keys}; a new baseline in silence instead of the {items} known")
            }
            Fate::Renamed => {
                let types = if self.is_type_named {
                    format!("; event types follow the name: `{}.…`", self.name)
                } else {
                    String::new()
                };
                format!("{items}, event numbers and schedule go on{types}")
            }
        };
        let moved = self.was.as_ref().map(|was| {
            let frozen = match waiting {
                0 => String::new(),
                1 => String::from(" (1 delivery made before keeps the old name)"),
                _ => format!(
                    " ({} made before keep the old name)",
                    words::count(waiting, "delivery")
                ),
            };
            let also = match self.fate {
                Fate::Renamed if !self.keys.is_empty() => format!("; {keys}"),
                _ => String::new(),
            };
            (format!("was {was}{frozen}; "), also)
        });
        let (before, behind) = moved.unwrap_or_default();
        let said = format!("{before}{said}{behind}");
        match &self.remark {
            Some(remark) if said.is_empty() => remark.clone(),
            Some(remark) => format!("{said}; {remark}"),
            None => said,
        }
    }
}

impl EndpointPlan {
    /// What that means, for people; empty when there is nothing to say.
    pub(crate) fn sentence(&self) -> String {
        let count = words::count(self.waiting, "delivery");
        let (waits, stays, goes) = match self.waiting {
            1 => ("waits", "stays", "goes"),
            _ => ("wait", "stay", "go"),
        };
        let kept = if self.waiting == 1 { "is kept" } else { "are kept" };
        let said = match (self.fate, self.waiting) {
            (Fate::Added, 0) if self.is_paused => String::from("what rings from now on waits"),
            (Fate::Added, 0) => String::from("it gets what rings from now on"),
            (Fate::Added, _) => format!("{count} waited for it"),
            (Fate::Removed | Fate::RemovedEarlier, 0) => String::from("nothing waits for it"),
            (Fate::Removed | Fate::RemovedEarlier, _) => {
                format!("{count} {waits} for it and {kept}")
            }
            (Fate::Unchanged, _) => return String::new(),
            (Fate::Renamed, 0) => String::from("nothing waits for it"),
            (Fate::Renamed, _) => format!("{count} that {waits} for it {goes} on"),
            (_, 0) => listed(&self.keys),
            (_, _) => format!("{}; {count} {waits} for it and {stays}", listed(&self.keys)),
        };
        let was = self.was.as_ref().map_or_else(String::new, |was| format!("was {was}; "));
        let also = match self.fate {
            Fate::Renamed if !self.keys.is_empty() => format!("; {}", listed(&self.keys)),
            _ => String::new(),
        };
        let is_paused = self.is_paused && self.fate != Fate::Added;
        let paused = if is_paused { "; it is paused" } else { "" };
        format!("{was}{said}{paused}{also}")
    }
}

/// `` `url` and `key` changed ``.
fn listed(keys: &[String]) -> String {
    let quoted: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        None => String::from("what identifies or compares its items changed"),
        Some((last, [])) => format!("{last} changed"),
        Some((last, others)) => format!("{} and {last} changed", others.join(", ")),
    }
}
