//! What doorbell is to do, told as plainly as possible: no fingerprints, no hashes, no pages, nothing remembered but
//! what receivers were told.

use std::collections::{BTreeMap, BTreeSet};

use super::paper::Shown;
use super::story::{Content, Declaration, Deletes, Kind};

/// What a poll heard, whatever it looked like.
#[derive(Debug)]
pub(super) struct Heard {
    /// The items of the pages that came.
    pub(super) shown: Vec<Shown>,
    pub(super) end: End,
}

/// How a listing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// All pages came, but not all of it can be used.
    Doubtful,
    /// A page did not come.
    Broken,
}

/// An item that receivers believe in.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// As they were last told.
    told: Content,
    whereabouts: Whereabouts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    Listed,
    Missing(u32),
    Held,
    Lost,
}

/// An item and what happened to it.
pub(super) type Rung = (usize, &'static str);

#[derive(Debug, Clone)]
pub(super) struct Model {
    kind: Kind,
    known: BTreeMap<usize, Known>,
    /// The declaration that what is known was found under.
    version: u8,
    compares_notes: bool,
    /// Whether no whole listing was seen yet, and nothing rings until then.
    is_silent: bool,
    /// Whether neither a whole listing was seen yet nor anything rang.
    is_fresh: bool,
}

impl Model {
    pub(super) fn new(kind: Kind, declaration: Declaration) -> Self {
        let Declaration { version, compares_notes, .. } = declaration;
        Self {
            kind,
            known: BTreeMap::new(),
            version,
            compares_notes,
            is_silent: !kind.emits,
            is_fresh: true,
        }
    }

    /// What receivers must believe now.
    pub(super) fn believed(&self) -> BTreeMap<usize, Content> {
        self.known.iter().map(|(item, known)| (*item, known.told)).collect()
    }

    /// Whether what is known was found under this declaration.
    pub(super) fn is_of(&self, declaration: Declaration) -> bool {
        self.version == declaration.version
    }

    /// Whether the next poll takes on what it finds without a word.
    pub(super) fn is_silent(&self, declaration: Declaration) -> bool {
        let is_fresh_and_emits = self.is_fresh && self.kind.emits;
        if self.is_of(declaration) { self.is_silent } else { !is_fresh_and_emits }
    }

    /// Items that are believed in although they are no longer listed.
    pub(super) fn unlisted(&self) -> BTreeSet<usize> {
        let unlisted = |known: &Known| known.whereabouts != Whereabouts::Listed;
        self.known.iter().filter(|(_, known)| unlisted(known)).map(|(item, _)| *item).collect()
    }

    /// What a poll rings. What else it comes to know, receivers are taken to have known all along.
    pub(super) fn poll(&mut self, declaration: Declaration, heard: &Heard) -> BTreeSet<Rung> {
        if heard.end == End::Broken && heard.shown.is_empty() {
            return BTreeSet::new();
        }
        self.compares_notes = declaration.compares_notes;
        self.is_silent = self.is_silent(declaration);
        if self.version != declaration.version {
            self.version = declaration.version;
            self.known.clear();
        }
        let before: Vec<_> = self.known.keys().copied().collect();
        let mut rung: BTreeSet<_> =
            heard.shown.iter().filter_map(|shown| self.see(*shown)).collect();
        if heard.end == End::Whole {
            let shown: BTreeSet<_> = heard.shown.iter().map(|(item, _)| *item).collect();
            rung.extend(self.miss(&before, &shown));
            self.is_silent = false;
            self.is_fresh = false;
        }
        self.is_fresh &= rung.is_empty();
        rung
    }

    fn see(&mut self, (item, content): Shown) -> Option<Rung> {
        let known = self.known.get(&item).copied();
        let told = known.map(|known| known.told).filter(|told| self.is_same(*told, content));
        let whereabouts = Whereabouts::Listed;
        self.known.insert(item, Known { told: told.unwrap_or(content), whereabouts });
        match (known, told) {
            _ if self.is_silent => None,
            (None, _) => Some((item, "created")),
            (Some(_), None) => Some((item, "updated")),
            (Some(_), Some(_)) => None,
        }
    }

    fn is_same(&self, told: Content, content: Content) -> bool {
        told.value == content.value && (!self.compares_notes || told.note == content.note)
    }

    /// A whole listing without some of the items that were known before it.
    fn miss(&mut self, before: &[usize], shown: &BTreeSet<usize>) -> Vec<Rung> {
        let (after, brake) = match self.kind.deletes {
            Deletes::Off => (0, None),
            Deletes::After(listings) => (listings, None),
            Deletes::Braked => (2, Some((1, 40))),
        };
        let mut gone = Vec::new();
        for item in before.iter().filter(|item| !shown.contains(item)) {
            let known = self.known.get_mut(item).unwrap();
            let times = match known.whereabouts {
                Whereabouts::Listed => 1,
                Whereabouts::Missing(times) => times + 1,
                Whereabouts::Held | Whereabouts::Lost => continue,
            };
            known.whereabouts = match after {
                0 => Whereabouts::Lost,
                _ => Whereabouts::Missing(times),
            };
            if after > 0 && times >= after {
                gone.push(*item);
            }
        }
        let holds =
            |(count, percent)| gone.len() > count && gone.len() * 100 > before.len() * percent;
        if brake.is_some_and(holds) {
            for item in gone {
                self.known.get_mut(&item).unwrap().whereabouts = Whereabouts::Held;
            }
            return Vec::new();
        }
        gone.into_iter().filter_map(|item| self.delete(item)).collect()
    }

    fn delete(&mut self, item: usize) -> Option<Rung> {
        self.known.remove(&item).map(|_| (item, "deleted"))
    }

    /// So much time passes that what vanished without a word is forgotten; says what that was.
    pub(super) fn forget(&mut self) -> Vec<usize> {
        let lost = |known: &Known| known.whereabouts == Whereabouts::Lost;
        let lost: Vec<_> =
            self.known.iter().filter(|(_, known)| lost(known)).map(|(item, _)| *item).collect();
        for item in &lost {
            self.known.remove(item);
        }
        lost
    }

    /// A person decides about what is held.
    pub(super) fn decide(&mut self, release: bool) -> BTreeSet<Rung> {
        let held = |known: &Known| known.whereabouts == Whereabouts::Held;
        let held: Vec<_> =
            self.known.iter().filter(|(_, known)| held(known)).map(|(item, _)| *item).collect();
        if release {
            return held.into_iter().filter_map(|item| self.delete(item)).collect();
        }
        for item in held {
            self.known.get_mut(&item).unwrap().whereabouts = Whereabouts::Lost;
        }
        BTreeSet::new()
    }
}
