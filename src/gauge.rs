//! What the benches reach into: a listing compared, and the timers of very many sources, without a daemon around them. For nobody else; it promises nothing.

#![expect(clippy::unwrap_used, reason = "a bench may end when it cannot go on")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::config;
use crate::config::lookup::Surroundings;
use crate::core::http::Response;
use crate::core::ids::{EntryKey, UnitName};
use crate::core::listing::{Delta, Listing, Ringing};
use crate::core::roster::Roster;
use crate::core::schedule::Schedule;
use crate::core::snapshot::Snapshot;
use crate::core::source::{Source, SourceState};
use crate::core::time::Timestamp;
use crate::poller::{Agenda, LongPage};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{PollCommit, Read as _, Store as _, Write};

/// A list whose items have an `id`, and what is known of it.
#[derive(Debug)]
pub struct Comparison {
    source: Arc<Source>,
    unit: UnitName,
    state: SourceState,
    store: SqliteStore,
    snapshot: Option<Snapshot>,
}

impl Comparison {
    /// Takes on a first list, with a state in this directory.
    #[must_use]
    pub fn of(directory: &Path, list: Vec<u8>) -> Self {
        let text = "sources: { list: { url: 'http://localhost/', key: .id, max_body: 4GiB } }";
        let source = config::load_text(text, &Surroundings).unwrap().sources.remove(0);
        let opening = Opening { accept: false, steady: Box::new(Default::default) };
        let store = SqliteStore::open(directory, opening).unwrap();
        let schedule = Schedule::first(source.every, 1, Timestamp::from_millis(0), 0.0);
        let state = SourceState::new(&source, schedule);
        let unit = UnitName::from(&source.name);
        let mut comparison = Self { source, unit, state, store, snapshot: None };
        comparison.adopt(list);
        comparison
    }

    fn adopt(&mut self, list: Vec<u8>) {
        let Self { source, unit, state, store, .. } = self;
        let (now, entry) = (Timestamp::from_millis(0), EntryKey::none());
        let roster = Roster::new(Vec::new(), Vec::new());
        let ringing = Ringing { source, entry: &entry, roster: &roster, at: now, now, last_seq: 0 };
        let known = (Snapshot::default(), HashMap::default());
        let mut listing = Listing::new(source, state, known, (false, store.seed()));
        let response = answer(Bytes::from(list));
        let mut page = LongPage::begin(source, &response, None).unwrap().unwrap();
        while let Some((noted, _)) = page.note_next(&mut listing).unwrap() {
            let Delta { upserts, marks, settling, events, .. } = listing.delta(noted, &[], ringing);
            let (unit, state) = (unit.clone(), state.clone());
            let commit = PollCommit {
                unit,
                expected_seq: 0,
                state,
                upserts,
                marks,
                settling,
                events,
                at: now,
            };
            store.apply(&[Write::Poll(Box::new(commit))]).unwrap().remove(0).unwrap();
        }
    }

    /// Reads the index from the store.
    pub fn read_index(&mut self) {
        self.snapshot = Some(self.store.snapshot(&self.unit).unwrap());
    }

    /// Compares a list with the index, which [`Comparison::read_index`] read, and tells how many of its items are not
    /// as they were. What is known stays as it is.
    pub fn compare(&mut self, list: Bytes) -> usize {
        let known = (self.snapshot.take().unwrap(), HashMap::default());
        let how = (false, self.store.seed());
        let mut listing = Listing::new(&self.source, &self.state, known, how);
        let response = answer(list);
        let mut page = LongPage::begin(&self.source, &response, None).unwrap().unwrap();
        listing.begin_list().unwrap();
        let mut count = 0;
        while let Some((noted, _)) = page.note_next(&mut listing).unwrap() {
            count += noted.len();
        }
        page.end(&response).unwrap();
        self.snapshot = Some(listing.into_snapshot());
        count
    }
}

fn answer(body: Bytes) -> Response {
    Response { status: 200, headers: HeaderMap::new(), body }
}

/// The poller's agenda with a number of sources, each due again and again.
pub struct Timers {
    agenda: Agenda,
    every: Duration,
}

impl Timers {
    /// As many sources, spread over the interval.
    #[must_use]
    pub fn new(sources: u32, every: Duration) -> Self {
        let mut agenda = Agenda::default();
        for number in 0..sources {
            let due = every.mul_f64(f64::from(number) / f64::from(sources));
            agenda.set(UnitName::new(format!("source-{number}")), Self::at(due));
        }
        Self { agenda, every }
    }

    fn at(moment: Duration) -> Timestamp {
        Timestamp::from_millis(0).after(moment)
    }

    /// Plans anew what is due so long after the beginning. Says how many that were, and how long after the beginning the
    /// next one is due.
    pub fn go_off(&mut self, moment: Duration) -> (usize, Duration) {
        let mut count = 0;
        while let Some((unit, due)) = self.agenda.take_due(Self::at(moment)) {
            self.agenda.set(unit, due.after(self.every));
            count += 1;
        }
        (count, self.agenda.next_due().unwrap().since(Self::at(Duration::ZERO)))
    }
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Timers")
    }
}
