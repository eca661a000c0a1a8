//! What the benches reach into: a listing compared, without a daemon around it. For nobody else; it promises nothing.

#![expect(clippy::unwrap_used, reason = "a bench may end when it cannot go on")]

use std::collections::HashMap;
use std::path::Path;

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
use crate::poller::LongPage;
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{PollCommit, Read as _, Store as _, Write};

/// A list whose items have an `id`, and what is known of it.
#[derive(Debug)]
pub struct Comparison {
    source: Source,
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
        let schedule = Schedule::first(source.every, Timestamp::from_millis(0), 0.0);
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
