//! What is declared: sources of every kind, endpoints of every order, and the reloads that change them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;

use super::bugs::Bug;
use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::roster::Roster;

/// One kind of source; there is at most one of each, named like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A list in an object, with entity tags.
    Tagged,
    /// A bare list without validators.
    Plain,
    /// A bare list over several pages.
    Paged,
    /// A single object.
    Single,
    /// A list whose vanished items are only remembered.
    Lasting,
    /// A list whose first poll rings.
    Emitting,
    /// A list with a brake that holds early.
    Braked,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Tagged,
        Self::Plain,
        Self::Paged,
        Self::Single,
        Self::Lasting,
        Self::Emitting,
        Self::Braked,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tagged => "tagged",
            Self::Plain => "plain",
            Self::Paged => "paged",
            Self::Single => "single",
            Self::Lasting => "lasting",
            Self::Emitting => "emitting",
            Self::Braked => "braked",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether answers carry a validator.
    pub(super) fn has_validator(self) -> bool {
        matches!(self, Self::Tagged | Self::Emitting | Self::Braked)
    }

    /// Whether the list stands in an object, under `items`.
    pub(super) fn is_wrapped(self) -> bool {
        matches!(self, Self::Tagged | Self::Braked)
    }

    fn keys(self, bug: Option<Bug>) -> String {
        let pick = match self {
            Self::Single => "",
            _ if self.is_wrapped() => "    items: .items\n    key: .id\n",
            _ => "    key: .id\n",
        };
        let after = if bug == Some(Bug::DeletesAtOnce) { 1 } else { 2 };
        let own = match self {
            Self::Paged => format!("    pages: link\n    deletes: {{ after: {after} }}\n"),
            Self::Lasting => String::from("    deletes: off\n"),
            Self::Emitting => String::from("    first_poll: emit\n"),
            Self::Braked => format!(
                "    deletes: {{ after: {after}, brake: {{ count: {BRAKE_COUNT}, percent: {BRAKE_PERCENT} }} }}\n"
            ),
            _ => format!("    deletes: {{ after: {after} }}\n"),
        };
        format!("{pick}{own}")
    }
}

/// The brake of [`Kind::Braked`].
pub(super) const BRAKE_COUNT: usize = 5;
const BRAKE_PERCENT: usize = 20;

/// A source as declared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SourcePlan {
    pub(super) kind: Kind,
    /// In milliseconds; equal ones are a fixed interval.
    pub(super) every: (u64, u64),
    /// Whether `.note` is left out of the comparison; `.seen` always is.
    pub(super) ignores_note: bool,
    /// In the path: another one is another identity.
    pub(super) version: u32,
    pub(super) is_declared: bool,
}

/// An endpoint as declared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EndpointPlan {
    pub(super) name: &'static str,
    pub(super) events: &'static [&'static str],
    pub(super) order: &'static str,
    pub(super) concurrency: usize,
    pub(super) timeout_ms: u64,
    pub(super) give_up_min: u64,
    pub(super) breaker: (u32, u64),
    /// Whether it wants another body than the envelope; see [`EndpointPlan::reshape`].
    pub(super) is_reshaped: bool,
    pub(super) is_declared: bool,
}

impl EndpointPlan {
    /// The body that it wants of an envelope: another one whenever it is declared anew.
    pub(super) fn reshape(&self, envelope: &str) -> String {
        let version = self.timeout_ms;
        if self.is_reshaped {
            format!("{{\"version\":{version},\"event\":{envelope}}}")
        } else {
            envelope.to_owned()
        }
    }

    fn body(&self) -> String {
        let version = self.timeout_ms;
        if !self.is_reshaped {
            return String::new();
        }
        format!("    body: {{ version: {version}, event: '{{{{.}}}}' }}\n")
    }

    /// Whether it is subscribed to a type: told apart from the product's own reading of globs.
    pub(super) fn wants(&self, event_type: &str) -> bool {
        self.events.iter().any(|glob| match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
            (Some(""), _) => true,
            (Some(end), _) => event_type.ends_with(end),
            (None, Some(begin)) => event_type.starts_with(begin),
            (None, None) => event_type == *glob,
        })
    }
}

/// Everything that is declared.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) sources: BTreeMap<&'static str, SourcePlan>,
    pub(super) endpoints: BTreeMap<&'static str, EndpointPlan>,
    pub(super) bug: Option<Bug>,
}

impl Plan {
    /// Draws a declaration.
    pub(super) fn draw(dice: &mut Rng, bug: Option<Bug>) -> Self {
        let mut kinds = Kind::ALL.to_vec();
        dice.shuffle(&mut kinds);
        kinds.truncate(dice.usize(5..=7));
        let sources = kinds.into_iter().map(|kind| {
            let least = dice.u64(5..=15) * 1_000;
            let most = if dice.bool() { least } else { dice.u64(20..=60) * 1_000 };
            let plan = SourcePlan {
                kind,
                every: (least, most.max(least)),
                ignores_note: dice.bool(),
                version: 1,
                is_declared: true,
            };
            (kind.name(), plan)
        });
        let sources = sources.collect();
        let endpoint =
            |dice: &mut Rng, name, events, order, concurrency, is_declared| EndpointPlan {
                name,
                events,
                order,
                concurrency,
                timeout_ms: 10_000,
                give_up_min: dice.u64(3..=15),
                breaker: (dice.u32(3..=6), dice.u64(20..=60)),
                is_reshaped: name == "some",
                is_declared,
            };
        let endpoints = [
            endpoint(dice, "main", &["*"], "item", 8, true),
            endpoint(dice, "audit", &["*"], "endpoint", 4, true),
            endpoint(dice, "some", &["tagged.*", "*.deleted"], "item", 2, true),
            endpoint(dice, "loose", &["*.updated", "paged.created"], "none", 4, true),
            endpoint(dice, "late", &["*"], "item", 8, false),
        ];
        let endpoints = endpoints.into_iter().map(|endpoint| (endpoint.name, endpoint)).collect();
        Self { sources, endpoints, bug }
    }

    /// The declaration as `sources.yaml`, read as the product reads it.
    pub(super) fn roster(&self) -> Arc<Roster> {
        let text = self.text();
        let config = config::load_text(&text, &Surroundings).unwrap_or_else(|problems| {
            panic!("the simulation's own declaration: {problems}\n{text}")
        });
        Arc::new(Roster::new(config.sources, config.endpoints))
    }

    fn text(&self) -> String {
        let mut text = String::from("sources:\n");
        for source in self.sources.values().filter(|source| source.is_declared) {
            let SourcePlan { kind, every: (least, most), version, .. } = source;
            let name = kind.name();
            let every =
                if least == most { format!("{least}ms") } else { format!("{least}ms..{most}ms") };
            let ignore = match (self.bug, source.ignores_note) {
                (Some(Bug::IgnoresNothing), _) => "",
                (_, true) => "    ignore: [.seen, .note]\n",
                (_, false) => "    ignore: [.seen]\n",
            };
            let keys = kind.keys(self.bug);
            write!(
                text,
                "  {name}:\n    url: http://api.example/{name}/v{version}\n    every: {every}\n    \
                 timeout: 20s\n    backoff: {{ first: 1s, max: 60s }}\n{ignore}{keys}"
            )
            .unwrap();
        }
        text.push_str("endpoints:\n");
        for endpoint in self.endpoints.values().filter(|endpoint| endpoint.is_declared) {
            let EndpointPlan { name, order, concurrency, timeout_ms, give_up_min, .. } = endpoint;
            let (failures, silent) = endpoint.breaker;
            let events = endpoint.events.join("\", \"");
            let body = endpoint.body();
            write!(
                text,
                "  {name}:\n    url: http://hook.example/{name}\n    secret: 0123456789abcdef0123456789abcdef\n    \
                 events: [\"{events}\"]\n    order: {order}\n    concurrency: {concurrency}\n    timeout: {timeout_ms}ms\n    \
                 retry: {{ first: 1s, max: 60s, for: {give_up_min}m }}\n    \
                 breaker: {{ failures: {failures}, for: {silent}s }}\n{body}"
            )
            .unwrap();
        }
        text
    }

    /// Draws one change of the declaration; says which.
    pub(super) fn reload(&mut self, dice: &mut Rng) -> &'static str {
        let names: Vec<_> = self.sources.keys().copied().collect();
        let name = names[dice.usize(..names.len())];
        let source = self.sources.get_mut(name).unwrap();
        match dice.u32(..100) {
            0..30 => {
                let least = dice.u64(5..=15) * 1_000;
                source.every = (least, if dice.bool() { least } else { dice.u64(20..=60) * 1_000 });
                source.every.1 = source.every.1.max(least);
                "reload: interval"
            }
            30..55 => {
                source.ignores_note = !source.ignores_note;
                "reload: ignore"
            }
            55..65 => {
                source.version += 1;
                "reload: identity"
            }
            65..80 => {
                source.is_declared = !source.is_declared;
                if source.is_declared { "reload: source back" } else { "reload: source removed" }
            }
            80..90 => {
                self.endpoints.get_mut("late").unwrap().is_declared = true;
                "reload: endpoint added"
            }
            _ => {
                self.redeclare();
                "reload: endpoints declared anew"
            }
        }
    }

    /// Declares every endpoint a little differently, which gives disabled ones another chance.
    pub(super) fn redeclare(&mut self) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.timeout_ms += 1;
        }
    }

    /// Declares every source again.
    pub(super) fn restore(&mut self) {
        for source in self.sources.values_mut() {
            source.is_declared = true;
        }
    }
}
