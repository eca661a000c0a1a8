//! What must hold from time to time, whatever goes on; and what must hold when everything has come to rest.

use std::collections::BTreeSet;

use super::books::Book;
use super::hour::Hour;
use super::stage::World;
use super::truth::Content;
use crate::core::delivery::Breaker;
use crate::core::ids::{EndpointName, ItemKey, UnitName};
use crate::core::snapshot::Standing;
use crate::core::time::Timestamp;
use crate::store::{Due, EventFilter, Read, Slice, Store};

/// A delivery that is due and could be sent waits no longer than this.
const START_DELAY_MAX_MS: u64 = 2_000;
/// After a start or a full disk the loops find back to their pace within two sweeps.
const SETTLED_AFTER_MS: u64 = 11_000;

impl World {
    /// The snapshot is the fold of the events, for every source.
    pub(super) fn audit_snapshots(&mut self, disk: &dyn Store) {
        let World { books, api, notes, plan, .. } = self;
        for (name, book) in &books.sources {
            let source = UnitName::new(name.clone());
            let (snapshot, state) =
                (disk.snapshot(&source).unwrap(), disk.source(&source).unwrap());
            let last_seq = state.map_or(0, |state| state.last_seq);
            notes.hold(last_seq == book.last_seq, "every commit is kept", || {
                format!("{name}: stored {last_seq}, committed {}", book.last_seq)
            });
            let known = snapshot.iter().filter(|(_, _, entry)| entry.standing.is_known());
            let mut keys: Vec<_> = known.map(|(_, key, _)| ItemKey::new(key)).collect();
            keys.sort_unstable();
            if let Some(difference) = difference(book, disk, &source, &keys) {
                notes.broken("the events fold to the snapshot", &format!("{name}: {difference}"));
            }
            if !plan.sources[name.as_str()].is_declared {
                continue;
            }
            let Some(desk) = api.desks.get(name.as_str()) else { continue };
            for key in desk.watch.overdue_deletions(books, name) {
                let entry = snapshot.get(&ItemKey::new(key.clone()));
                let kept = entry.is_some_and(|entry| {
                    matches!(entry.standing, Standing::Held { .. } | Standing::Lost { .. })
                });
                notes.hold(kept, "no lost deletion", || {
                    format!("{name}/{key}: two clean polls did not show it, it is {entry:?}")
                });
            }
        }
    }

    /// Every delivery ever made is somewhere.
    pub(super) fn audit_deliveries(&mut self, disk: &dyn Store) {
        let tally = disk.tally().unwrap();
        for (endpoint, expected) in &self.books.deliveries {
            let rows = tally.iter().filter(|row| row.endpoint.as_str() == endpoint);
            let stored: u64 = rows.map(|row| row.count).sum();
            self.notes.hold(stored == *expected, "no delivery is lost", || {
                format!("{endpoint}: {expected} were made, {stored} are stored: {tally:?}")
            });
        }
    }

    /// What is due to a receiver that is well is sent at once, whatever the others do.
    pub(super) fn audit_promptness(&mut self, disk: &dyn Store, started: u64, now: Timestamp) {
        let World { plan, receivers, books, notes, full_until, .. } = self;
        let since = started.max(*full_until) + SETTLED_AFTER_MS;
        if notes.now < since {
            return;
        }
        for (name, endpoint) in plan.endpoints.iter().filter(|(_, it)| it.is_declared) {
            let receiver = &receivers.all[name];
            let well_since = receiver.well_since.max(books.moved(name));
            let well_since = well_since.max(books.held_until(name));
            let well = receiver.is_well() && well_since + SETTLED_AFTER_MS <= notes.now;
            let busy = receiver.in_flight.values().sum::<u32>() as usize >= endpoint.concurrency;
            let is_open = books.breaker(name) == Breaker::Closed && !books.is_paused(name);
            if !well || busy || !is_open {
                continue;
            }
            let ago = Timestamp::from_millis(now.as_millis() - START_DELAY_MAX_MS.cast_signed());
            let due = disk.due(&EndpointName::new(*name), ago, 64, &BTreeSet::new()).unwrap();
            let idle = due.into_iter().filter_map(Due::whole).find(|due| {
                let event = &due.event;
                let item = (event.source.to_string(), event.key.to_string());
                !receiver.in_flight.contains_key(&item)
            });
            if let Some(idle) = idle {
                let how = format!("{name}: {} {:?}", idle.event.id, idle.delivery.state);
                notes.broken("what is due is sent", &how);
            }
        }
    }

    /// Endpoints that answered 410 or are paused, and are declared.
    pub(super) fn stopped(&self) -> Vec<&'static str> {
        let declared = self.plan.endpoints.values().filter(|endpoint| endpoint.is_declared);
        declared
            .map(|endpoint| endpoint.name)
            .filter(|name| {
                let is_disabled = matches!(self.books.breaker(name), Breaker::Disabled { .. });
                is_disabled || self.books.is_paused(name)
            })
            .collect()
    }

    /// Whether nothing is under way any more and every source was polled cleanly some times.
    pub(super) fn is_at_rest(&self, disk: &dyn Store) -> bool {
        let tally = disk.tally().unwrap();
        let pending = tally.iter().any(|row| matches!(row.status, "waiting" | "pending"));
        let polled = self.api.desks.values().all(|desk| desk.watch.clean_polls >= 3);
        !pending && polled
    }

    /// Everything that is at the API is known, and everything known is there, or is kept for a reason.
    pub(super) fn audit_rest(&mut self, disk: &dyn Store) {
        let World { books, api, notes, plan, .. } = self;
        let all = Slice { newest_first: false, rows_max: usize::MAX };
        let stored = disk.events(&EventFilter::default(), all).unwrap();
        notes.hold(stored.len() == books.facts.len(), "no event is lost", || {
            format!("{} were committed, {} are stored", books.facts.len(), stored.len())
        });
        for (record, no) in stored.iter().zip(1..) {
            let fact = books.facts.get(record.event.id.as_str());
            let same =
                fact.is_some_and(|fact| fact.body == record.event.body.as_bytes() && fact.no == no);
            notes.hold(same, "a stored event never changes", || record.event.id.to_string());
        }
        for (name, health) in disk.endpoints().unwrap() {
            notes.hold(
                health.breaker == Breaker::Closed,
                "a receiver that is well is known to be",
                || format!("{name}: {health:?}"),
            );
        }
        for (name, desk) in &api.desks {
            let empty = Book::default();
            let (fold, ignores) =
                (&books.sources.get(*name).unwrap_or(&empty).fold, plan.sources[name].ignores_note);
            for (key, content) in &desk.truth.items {
                let known = fold.get(key).map(|known| known.compared(ignores));
                notes.hold(known == Some(content.compared(ignores)), "no change is lost", || {
                    format!("{name}/{key}: is {content:?}, known {known:?}")
                });
            }
            let snapshot = disk.snapshot(&UnitName::new(*name)).unwrap();
            for key in fold.keys().filter(|key| !desk.truth.items.contains_key(*key)) {
                let entry = snapshot.get(&ItemKey::new(key.clone()));
                let kept = entry.is_some_and(|entry| {
                    matches!(entry.standing, Standing::Held { .. } | Standing::Lost { .. })
                });
                notes.hold(kept, "no deletion is lost", || format!("{name}/{key} is {entry:?}"));
            }
        }
    }
}

/// How a stored snapshot differs from what the events say.
fn difference(book: &Book, disk: &dyn Read, source: &UnitName, keys: &[ItemKey]) -> Option<String> {
    let stored: Vec<_> = keys.iter().map(ItemKey::as_str).collect();
    let folded: Vec<_> = book.fold.keys().map(String::as_str).collect();
    if stored != folded {
        return Some(format!("stored {stored:?}, folded {folded:?}"));
    }
    let items = disk.items(source, keys).unwrap();
    if items.len() != keys.len() {
        return Some(format!("{} of {} rows are readable", items.len(), keys.len()));
    }
    items.into_iter().find_map(|item| {
        let value = serde_json::from_str(item.data.as_str()).unwrap_or_default();
        let (stored, folded) = (Content::read(&value), book.fold.get(item.key.as_str()));
        (stored.as_ref() != folded).then(|| format!("{}: {stored:?}, folded {folded:?}", item.key))
    })
}

impl Hour {
    /// Looks over everything now and then: cheap things often, costly ones less so.
    pub(super) fn audit(&mut self) {
        let now = self.stage.world().notes.now;
        let started = self.process.as_ref().map_or(now, |process| process.started);
        if now < self.next_audit {
            return;
        }
        self.next_audit = now + 5_000;
        self.audits += 1;
        let planned = self.planned();
        let disk = self.stage.disk();
        let mut world = self.stage.world();
        if world.is_dead {
            return;
        }
        world.audit_promptness(&**disk, started, planned);
        if self.audits.is_multiple_of(4) {
            world.audit_snapshots(&**disk);
        }
        if self.audits.is_multiple_of(12) {
            world.audit_deliveries(&**disk);
        }
    }
}
