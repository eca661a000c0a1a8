//! What a poll has doorbell say of its source.

use tracing::warn;

use super::Turn;
use crate::core::delivery::fan_out;
use crate::core::fault::Fault;
use crate::core::ids::{EntryKey, SourceName, UnitName};
use crate::core::own::{self, Held, News, OWN_SOURCE};
use crate::core::report::Mode;
use crate::core::source::SourceState;
use crate::core::time::Timestamp;
use crate::poller::PollError;
use crate::store::{PollCommit, StoreError, Write};

/// How often the next number is asked for when others took it.
const TRIES_MAX: usize = 16;

impl Turn<'_> {
    /// Rings what is news of the source: that it is silent, that its polls fail or go well again, that changes are
    /// held. `before` is how its polls failed as this one began. All of it is made durable before the state that
    /// remembers it: after a crash between the two, the same failure or silence is known by its id, and told once.
    pub(super) async fn tell_news(
        &self,
        before: Option<(Fault, Timestamp)>,
        next: &mut SourceState,
        now: Timestamp,
    ) -> Result<(), PollError> {
        if self.mode != Mode::Commit {
            return Ok(());
        }
        if let Some(since) = next.silence(self.source, now)
            && self.ring(self.entry, News::Silent { since }).await?
        {
            next.silent = Some(now);
        }
        match (&before, next.failing()) {
            (None, Some((fault, since))) if self.is_first_to_fail().await? => {
                let news = News::Failing { fault, since: *since, entry: self.entry };
                self.ring(&EntryKey::none(), news).await?;
            }
            (Some((fault, since)), _)
                if next.schedule.failures == 0 && self.is_last_to_recover().await? =>
            {
                self.ring(&EntryKey::none(), News::Recovered { fault, since: *since }).await?;
            }
            _ => {}
        }
        self.tell_held(now).await
    }

    async fn tell_held(&self, now: Timestamp) -> Result<(), PollError> {
        let held = self.held;
        if held == Held::default() {
            return Ok(());
        }
        let (count, why) = (held.count(), held.reasons().join(", "));
        warn!(
            source = %self.unit, count, why,
            "changes are held for a person: `doorbell held` lists them, `doorbell held release {}` lets them ring",
            self.source.name
        );
        if self.crew.is_none_or(|crew| crew.is_held_anew(now)) {
            let news = News::Held { held, at: now, entry: self.entry };
            self.ring(&EntryKey::none(), news).await?;
        }
        Ok(())
    }

    /// Notes that changes of this poll are held.
    pub(super) fn hold(&mut self, held: Held) {
        self.report.held += held.count();
        self.held.flood += held.flood;
        self.held.brake += held.brake;
        self.held.credentials += held.credentials;
    }

    /// Whether this is no entry, or no other entry of the source fails.
    async fn is_first_to_fail(&self) -> Result<bool, StoreError> {
        match self.crew {
            None => Ok(true),
            Some(crew) => crew.fails(&self.ports.store, &self.source.name, self.entry, true).await,
        }
    }

    /// Whether this is no entry, or no other entry of the source still fails.
    async fn is_last_to_recover(&self) -> Result<bool, StoreError> {
        match self.crew {
            None => Ok(true),
            Some(crew) => crew.fails(&self.ports.store, &self.source.name, self.entry, false).await,
        }
    }

    /// Says whether it is kept. That it cannot be now is no failure of the poll.
    async fn ring(&self, entry: &EntryKey, news: News<'_>) -> Result<bool, PollError> {
        match self.keep_news(entry, &news).await {
            Err(PollError::Store(fault)) if fault.may_pass() => {
                let event_type = news.event_type();
                warn!(source = %self.unit, %fault, event_type, "what is news of it could not be kept");
                Ok(false)
            }
            outcome => outcome,
        }
    }

    async fn keep_news(&self, entry: &EntryKey, news: &News<'_>) -> Result<bool, PollError> {
        let unit = UnitName::from(&SourceName::new(OWN_SOURCE));
        for _ in 0..TRIES_MAX {
            let known = unit.clone();
            let state = self.ports.store.read(move |store| store.source(&known)).await?;
            let expected_seq = state.map_or(0, |state| state.last_seq);
            let (wall, subject) = (self.ports.clock.wall(), (self.source, entry));
            let event = match own::event(subject, news, wall, expected_seq + 1) {
                Ok(event) => event,
                Err(fault) => {
                    warn!(source = %self.unit, "{fault}");
                    return Ok(false);
                }
            };
            let id = event.id.clone();
            if self.ports.store.read(move |store| store.event(&id)).await?.is_some() {
                // A crash came between this and the state that remembers it.
                return Ok(true);
            }
            let endpoints = self.roster.endpoints.values().map(AsRef::as_ref);
            let events = vec![fan_out(event, endpoints)];
            let commit = PollCommit::own(expected_seq, events, self.ports.clock.now());
            if self.ports.store.write(Write::Poll(Box::new(commit))).await?.is_ok() {
                self.ports.deliver.ring();
                return Ok(true);
            }
        }
        Ok(false)
    }
}
