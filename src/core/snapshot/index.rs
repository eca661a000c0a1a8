//! The snapshot in memory: a source may have a million items, and its index has to fit beside everything else.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::{IndexEntry, RawHash, Standing, StoredItem};
use crate::core::ids::ItemKey;
use crate::core::time::Timestamp;

/// Where a key stands in a snapshot: a number that stays the same as long as the snapshot lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    /// For tables beside the snapshot.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// All that is known of a source's items, without their content.
///
/// Keys stand one after another and are found by a table of small numbers: about 80 bytes an item beside its key, where
/// a map takes twice that.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    /// By place, [`CHUNK_ROWS`] in each but the last: a list that grows never has to be copied.
    chunks: Vec<Chunk>,
    places: HashTable<u32>,
    /// Others choose the keys; nobody knows this.
    hasher: RandomState,
}

const CHUNK_ROWS: usize = 4096;
/// No place.
const NOWHERE: u32 = u32::MAX;

/// Some rows, and their keys.
#[derive(Clone, Default)]
struct Chunk {
    keys: String,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    /// Where its key ends.
    end: u32,
    /// The place of the item that was listed behind this one.
    next: u32,
    /// A key that was only met has none.
    entry: Option<IndexEntry>,
}

impl Chunk {
    fn key(&self, row: usize) -> &str {
        let start = row.checked_sub(1).and_then(|before| self.rows.get(before));
        let start = start.map_or(0, |row| row.end as usize);
        let end = self.rows.get(row).map_or(0, |row| row.end as usize);
        self.keys.get(start..end).unwrap_or_default()
    }
}

impl Snapshot {
    /// What is known of an item.
    pub(crate) fn get(&self, key: &ItemKey) -> Option<&IndexEntry> {
        self.at(self.find(key.as_str())?)
    }

    /// What is known of the item at a place.
    pub(crate) fn at(&self, place: Place) -> Option<&IndexEntry> {
        let (chunk, row) = split(place);
        self.chunks.get(chunk)?.rows.get(row)?.entry.as_ref()
    }

    fn row_mut(&mut self, place: Place) -> Option<&mut Row> {
        let (chunk, row) = split(place);
        self.chunks.get_mut(chunk)?.rows.get_mut(row)
    }

    /// The item that was listed behind one: a guess at which comes now.
    pub(crate) fn next(&self, place: Place) -> Option<Place> {
        let (chunk, row) = split(place);
        let next = self.chunks.get(chunk)?.rows.get(row)?.next;
        (next != NOWHERE).then_some(Place(next))
    }

    /// Notes that an item was listed behind another one.
    pub(crate) fn set_next(&mut self, place: Place, next: Place) {
        if let Some(row) = self.row_mut(place) {
            row.next = next.0;
        }
    }

    /// The place of a key; a new one for a key that was never met.
    pub(crate) fn place(&mut self, key: &str) -> Place {
        self.find(key).unwrap_or_else(|| self.add(key))
    }

    /// The place of a key, if it was ever met.
    pub(crate) fn find(&self, key: &str) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        self.places.find(hash, |place| self.key(Place(*place)) == key).copied().map(Place)
    }

    fn add(&mut self, key: &str) -> Place {
        let place = self.end();
        let (number, _) = split(place);
        if number == self.chunks.len() {
            let rows = Vec::with_capacity(if number == 0 { 0 } else { CHUNK_ROWS });
            self.chunks.push(Chunk { keys: String::new(), rows });
        }
        if let Some(Chunk { keys, rows }) = self.chunks.last_mut() {
            keys.push_str(key);
            let end = u32::try_from(keys.len()).expect("a chunk of keys is a few megabytes");
            rows.push(Row { end, next: NOWHERE, entry: None });
        }
        let Self { chunks, places, hasher } = self;
        let hash_of = |place: &u32| hasher.hash_one(key_at(chunks, Place(*place)));
        places.insert_unique(hasher.hash_one(key), place.0, hash_of);
        place
    }

    /// Behind the last key.
    fn end(&self) -> Place {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ROWS;
        let count = full + self.chunks.last().map_or(0, |chunk| chunk.rows.len());
        Place(u32::try_from(count).expect("a source has fewer items"))
    }

    /// The key at a place.
    pub(crate) fn key(&self, place: Place) -> &str {
        key_at(&self.chunks, place)
    }

    /// Notes what is known of an item from now on.
    pub(crate) fn set(&mut self, key: &str, entry: IndexEntry) {
        let place = self.place(key);
        if let Some(row) = self.row_mut(place) {
            row.entry = Some(entry);
        }
    }

    /// Takes over items as they are being written.
    pub(crate) fn renew(&mut self, items: &[StoredItem]) {
        for item in items {
            self.set(item.key.as_str(), item.entry);
        }
    }

    /// Takes over how an item stands.
    pub(crate) fn mark(&mut self, key: &str, standing: Standing) {
        let Some(place) = self.find(key) else { return };
        if let Some(Row { entry: Some(entry), .. }) = self.row_mut(place) {
            entry.standing = standing;
        }
    }

    /// All that is known, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &str, &IndexEntry)> {
        let rows = self.chunks.iter().flat_map(|chunk| {
            (0..).zip(&chunk.rows).map(move |(row, entry)| (chunk, row, entry.entry.as_ref()))
        });
        let places = (0..).map(Place).zip(rows);
        places.filter_map(|(place, (chunk, row, entry))| Some((place, chunk.key(row), entry?)))
    }

    fn entries(&self) -> impl Iterator<Item = &IndexEntry> {
        self.chunks.iter().flat_map(|chunk| &chunk.rows).filter_map(|row| row.entry.as_ref())
    }

    /// How many items are known in any way.
    pub(crate) fn len(&self) -> usize {
        self.entries().count()
    }

    /// Items that receivers believe in, without those that vanished before `retained`; the base of the brake's percentage.
    pub(crate) fn known_count(&self, retained: Timestamp) -> usize {
        self.entries().filter(|entry| entry.standing.remembered(retained).is_known()).count()
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let rows = |chunk: &Chunk| chunk.rows.capacity() * size_of::<Row>();
        let chunks = self.chunks.iter().map(|chunk| chunk.keys.capacity() + rows(chunk));
        chunks.sum::<usize>() + self.places.allocation_size()
    }
}

/// In which chunk a place is, and in which row of it.
fn split(place: Place) -> (usize, usize) {
    (place.index() / CHUNK_ROWS, place.index() % CHUNK_ROWS)
}

fn key_at(chunks: &[Chunk], place: Place) -> &str {
    let (chunk, row) = split(place);
    chunks.get(chunk).map_or("", |chunk| chunk.key(row))
}

/// Two are the same if they know the same, in whatever order they learned it.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let has = |(_, key, entry): (Place, &str, &IndexEntry)| {
            other.find(key).and_then(|place| other.at(place)) == Some(entry)
        };
        self.len() == other.len() && self.iter().all(has)
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter().map(|(_, key, entry)| (key, entry))).finish()
    }
}

impl FromIterator<(ItemKey, IndexEntry)> for Snapshot {
    fn from_iter<T: IntoIterator<Item = (ItemKey, IndexEntry)>>(items: T) -> Self {
        let mut snapshot = Self::default();
        for (key, entry) in items {
            snapshot.set(key.as_str(), entry);
        }
        snapshot
    }
}

/// Finds items by their bytes as they came: who is as before need not even be asked for its key.
///
/// Only the seed of the hash makes it one that nobody can aim at, as everywhere where bytes stand for themselves.
#[derive(Debug, Default)]
pub(crate) struct ByBytes(HashTable<u32>);

impl ByBytes {
    /// Of all items that were listed last time.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut table = HashTable::with_capacity(snapshot.len());
        let raw_of = |place: &u32| snapshot.at(Place(*place)).map_or(0, |entry| entry.raw.0);
        for (place, _, entry) in snapshot.iter() {
            if entry.is_listed() {
                table.insert_unique(entry.raw.0, place.0, raw_of);
            }
        }
        Self(table)
    }

    /// The place of the item with these bytes in the snapshot it was made of.
    pub(crate) fn find(&self, snapshot: &Snapshot, raw: RawHash) -> Option<Place> {
        let is_it = |place: &u32| snapshot.at(Place(*place)).is_some_and(|entry| entry.raw == raw);
        self.0.find(raw.0, is_it).copied().map(Place)
    }
}
