//! Sources and endpoints under other names.

use std::collections::BTreeSet;

use super::MemoryStore;
use crate::core::delivery::{DeliveryState, lane};
use crate::core::endpoint::Order;
use crate::core::ids::{EndpointName, SourceName, UnitName};
use crate::store::DeliveryRecord;

impl MemoryStore {
    pub(super) fn rename(&mut self, from: &SourceName, to: &SourceName) -> u64 {
        if self.sources.keys().any(|unit| unit.source() == *to) {
            return 0;
        }
        let units: Vec<_> =
            self.sources.keys().filter(|unit| unit.source() == *from).cloned().collect();
        if units.is_empty() {
            return 0;
        }
        for unit in units {
            let Some(state) = self.sources.remove(&unit) else { continue };
            let renamed = UnitName::of(to, &unit.entry());
            let items = self.items.remove(&unit).unwrap_or_default();
            self.items.insert(renamed.clone(), items);
            let settling = self.settling.remove(&unit).unwrap_or_default();
            self.settling.insert(renamed.clone(), settling);
            self.sources.insert(renamed, state);
        }
        let busy: BTreeSet<_> =
            self.unfinished().map(|delivery| (delivery.endpoint.clone(), delivery.lane)).collect();
        for id in &self.unfinished {
            let Some(delivery) = self.deliveries.get_mut(id) else { continue };
            let lane_of = |name| lane(Order::Item, name, &delivery.entry, &delivery.key);
            let (old, new) = (lane_of(from), lane_of(to));
            if delivery.lane == old && !busy.contains(&(delivery.endpoint.clone(), new)) {
                delivery.lane = new;
            }
        }
        1
    }

    pub(super) fn rename_endpoint(&mut self, from: &EndpointName, to: &EndpointName) -> u64 {
        if from == to || !self.endpoints.contains_key(from) {
            return 0;
        }
        let is_whole = !self.endpoints.contains_key(to);
        if is_whole && let Some(health) = self.endpoints.remove(from) {
            self.endpoints.insert(to.clone(), health);
        }
        let is_of = |delivery: &&mut DeliveryRecord| delivery.endpoint == *from;
        let mut moved = 0;
        for delivery in self.deliveries.values_mut().filter(is_of) {
            let content = (delivery.event_no, from.clone());
            if is_whole || self.unfinished.contains(&delivery.id) {
                let known = if is_whole {
                    self.contents.remove(&content)
                } else {
                    self.contents.get(&content).cloned()
                };
                if let Some(known) = known {
                    self.contents.entry((delivery.event_no, to.clone())).or_insert(known);
                }
                delivery.endpoint = to.clone();
                moved += 1;
            }
        }
        self.queue_up(to);
        u64::from(is_whole || moved > 0)
    }

    /// Makes whoever is not the first of a lane wait.
    fn queue_up(&mut self, endpoint: &EndpointName) {
        let mut lanes = BTreeSet::new();
        for id in &self.unfinished {
            let Some(delivery) = self.deliveries.get_mut(id) else { continue };
            let Some(lane) = delivery.lane.filter(|_| delivery.endpoint == *endpoint) else {
                continue;
            };
            if !lanes.insert(lane) {
                delivery.state = DeliveryState::Waiting;
            }
        }
    }
}
