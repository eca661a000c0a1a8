//! What people and declarations say of an endpoint: paused, resumed, declared otherwise, under another name.

use std::sync::atomic::Ordering;

use tracing::{info, warn};

use super::Deliverer;
use super::desk::Desk;
use crate::core::delivery::{Breaker, EndpointHealth};
use crate::core::endpoint::Endpoint;
use crate::core::ids::EndpointName;
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::store::{StoreError, Write, Written};

impl Deliverer {
    /// Sends to an endpoint again, by a person's word: one that is paused, failing or disabled. Gives its condition then:
    /// the file may still pause it. `None` when no such endpoint was ever known.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn resume(
        &self,
        name: &EndpointName,
    ) -> Result<Option<EndpointHealth>, StoreError> {
        self.by_hand(name, EndpointHealth::resumed).await
    }

    /// Sends nothing to an endpoint until it is resumed; what is under way ends. Gives its condition then. `None` when no
    /// such endpoint was ever known.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn pause(
        &self,
        name: &EndpointName,
    ) -> Result<Option<EndpointHealth>, StoreError> {
        self.by_hand(name, EndpointHealth::paused).await
    }

    async fn by_hand(
        &self,
        name: &EndpointName,
        change: fn(&EndpointHealth, Timestamp) -> EndpointHealth,
    ) -> Result<Option<EndpointHealth>, StoreError> {
        let opening = self.opening.lock().await;
        let now = self.ports.clock.now();
        let desk = self.desks().get(name).cloned();
        let Some(desk) = desk else {
            let known = self.ports.store.read(|store| store.endpoints()).await?;
            let Some((_, health)) = known.into_iter().find(|(known, _)| known == name) else {
                return Ok(None);
            };
            let health = change(&health, now);
            let write = Write::Health { name: name.clone(), health: health.clone() };
            return Ok(self.ports.store.write(write).await?.is_ok().then_some(health));
        };
        drop(opening);
        let turn = desk.turn.lock().await;
        let health = {
            let mut health = desk.health();
            *health = change(&health, now);
            health.clone()
        };
        desk.begin_gently();
        let kept = self.keep_health(&desk, health.clone()).await;
        drop(turn);
        desk.wake.ring();
        kept.map(|()| Some(health))
    }

    /// Another declaration gives an endpoint that is left alone another chance, and may say that it is paused.
    pub(super) async fn redeclare(&self, desk: &Desk, endpoint: &Endpoint, is_other: bool) {
        let _turn = desk.turn.lock().await;
        let now = self.ports.clock.now();
        let health = {
            let mut health = desk.health();
            let is_away = health.breaker != Breaker::Closed || health.held_until.is_some();
            let is_paused = health.paused_in_file.is_some();
            if !(is_other && is_away) && is_paused == endpoint.paused {
                return;
            }
            if is_other && is_away {
                info!(endpoint = %desk.name, "the endpoint is tried again");
                *health = health.redeclared(now);
            }
            *health = health.declared(endpoint.paused, now);
            health.clone()
        };
        desk.begin_gently();
        if let Err(fault) = self.keep_health(desk, health).await {
            warn!(%fault, "the endpoint's condition could not be kept");
        }
    }

    async fn keep_health(&self, desk: &Desk, health: EndpointHealth) -> Result<(), StoreError> {
        let write = Write::Health { name: desk.name.clone(), health: health.clone() };
        match self.ports.store.write(write).await {
            Ok(_) => Ok(()),
            Err(fault) => {
                desk.is_unkept.store(true, Ordering::Relaxed);
                Err(fault)
            }
        }
    }

    /// Gives endpoints what waits under their former names, once nothing of that is under way any more.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn take_over(&self, roster: &Roster) -> Result<(), StoreError> {
        let former: Vec<_> = {
            let desks = self.desks();
            let all = roster.endpoints.values();
            let pairs = all.filter_map(|endpoint| Some((endpoint.was.clone()?, &endpoint.name)));
            let free = pairs.filter(|(was, _)| !desks.contains_key(was));
            free.map(|(was, name)| (was, name.clone())).collect()
        };
        if former.is_empty() {
            return Ok(());
        }
        let (known, tally) =
            self.ports.store.read(|store| Ok((store.endpoints()?, store.tally()?))).await?;
        for (from, to) in former {
            let is_known = |name: &EndpointName| known.iter().any(|(known, _)| known == name);
            let waits = tally
                .iter()
                .any(|row| row.endpoint == from && matches!(row.status, "waiting" | "pending"));
            if !is_known(&from) || (is_known(&to) && !waits) {
                continue;
            }
            let write = Write::RenameEndpoint { from: from.clone(), to: to.clone() };
            if self.ports.store.write(write).await? == Ok(Written::Count(1)) {
                info!(endpoint = %to, was = %from, "renamed: what waits goes on under the new name");
            }
        }
        Ok(())
    }
}
