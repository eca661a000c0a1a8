//! What the API saw of a source's polls, and what follows from it: what was listed, what was truly absent at how many
//! listings, how soon the next poll may come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::books::Books;
use super::notes::Notes;
use super::plan::SourcePlan;
use super::truth::{Content, Truth};
use crate::core::limits::HELD_REQUEST_WAIT_MAX;

/// Clocks tick in milliseconds.
const TOLERANCE_MS: u64 = 5;
/// Intervals are five seconds at least; failures, conflicts, restarts and people make it more, but not without end.
const POLLS_PER_MINUTE_MAX: usize = 40;
/// A poll that reads its first page once more does so at once.
const SECOND_LOOK_MS: u64 = 1;
/// How long a request of a poll waits at most for what the server holds back.
const HELD_MS: u64 = HELD_REQUEST_WAIT_MAX.as_secs() * 1000;

/// One poll as the API saw it.
#[derive(Debug, Default)]
pub(super) struct PollSeen {
    /// When it was due, or began, if that is not known better. One that had to wait at the gate begins late, and a
    /// fixed interval counts from when it was due.
    due: u64,
    /// Pages that arrived, and when the last of them did.
    pages: u32,
    arrived: u64,
    /// An item stood on two pages.
    is_twice: bool,
    /// The first page was asked for once more, because items were missing: what was seen since then.
    second_look: Option<Box<Self>>,
    /// Somebody asked for it, whether it was due or not.
    by_hand: bool,
    /// What each item was when it was first shown.
    served: BTreeMap<String, Content>,
    /// Known items that were not there when some page was written.
    absent: BTreeSet<String>,
    /// Items that were there when each page was written.
    there: Option<BTreeSet<String>>,
    /// The end of the listing came, or a 304.
    is_complete: bool,
    pub(super) is_not_modified: bool,
    /// Something was left out that is there.
    is_lie: bool,
    /// An item that cannot be used: the listing is partial.
    is_tainted: bool,
    has_failed: bool,
    /// The poller may not have been able to keep it: a crash, a refusal of the store, a reload.
    pub(super) is_disturbed: bool,
}

impl PollSeen {
    fn is_clean(&self) -> bool {
        self.is_complete
            && !self.is_lie
            && !self.is_tainted
            && !self.has_failed
            && !self.is_disturbed
    }
}

/// What an answer tells, once it has arrived.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Page(Page),
    /// To be left alone until this moment on the wall clock, or for so many milliseconds.
    ThrottledUntil(i64),
    Throttled(u64),
    Failed,
}

/// What a page shows, or a 304 stands for.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) served: Vec<(String, Content)>,
    /// Known items that were not there when it was written.
    pub(super) absent: BTreeSet<String>,
    /// All that was there.
    pub(super) there: BTreeSet<String>,
    pub(super) is_last: bool,
    pub(super) is_not_modified: bool,
    pub(super) is_lie: bool,
    pub(super) is_tainted: bool,
}

/// The polls of one source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) poll: Option<PollSeen>,
    pub(super) in_flight: u32,
    /// At how many listings each item was truly absent since it was last shown.
    absences: BTreeMap<String, u32>,
    /// Of these, how many clean ones in a row up to now.
    clean_absences: BTreeMap<String, u32>,
    /// Every key ever shown.
    ever: BTreeSet<String>,
    /// No poll before this.
    pub(super) earliest: u64,
    /// What was left out lately is not to vanish until it was shown again.
    pub(super) is_frozen: bool,
    /// The end of a listing is on its way, and it may have missed something.
    pub(super) is_on_its_way: bool,
    /// Everything that was there when the last poll ended cleanly.
    last_clean: Option<BTreeSet<String>>,
    /// Polls by hand under way or waiting.
    pub(super) by_hand: u32,
    /// When the last of them ended.
    pub(super) by_hand_until: u64,
    /// Of these, the ones that are not kept.
    pub(super) dry_runs: u32,
    /// Clean polls since this was last set to zero.
    pub(super) clean_polls: u32,
    /// When the polls of the last minute began.
    recent: VecDeque<u64>,
}

impl Watch {
    /// At how many listings an item was truly absent since it was last shown.
    pub(super) fn absences(&self, key: &str) -> u32 {
        self.absences.get(key).copied().unwrap_or(0)
    }

    /// Whether everything that is there was shown and understood in the last poll.
    pub(super) fn all_known(&self, truth: &Truth) -> bool {
        let known = self.last_clean.as_ref();
        known.is_some_and(|known| truth.items.keys().all(|key| known.contains(key)))
    }

    /// The poll under way may not be kept.
    pub(super) fn disturb(&mut self) {
        if let Some(poll) = &mut self.poll {
            poll.is_disturbed = true;
        }
    }

    /// The process is gone: what was under way is void, and what was only in its memory is forgotten.
    pub(super) fn restart(&mut self) {
        self.disturb();
        self.earliest = 0;
        self.is_on_its_way = false;
    }

    /// Whether a first page that is asked for belongs to the poll under way: before it counts anything as absent, it
    /// looks whether that came to the front meanwhile.
    fn looks_again(&mut self, name: &str, books: &Books, notes: &mut Notes) -> bool {
        let Some(poll) = &mut self.poll else { return false };
        let is_held = notes.refused.is_some_and(|at| at + HELD_MS >= poll.arrived);
        let patience = if is_held { HELD_MS } else { SECOND_LOOK_MS };
        let is_soon = notes.now <= poll.arrived + patience;
        if !is_soon || !poll.is_complete || poll.pages < 2 || poll.second_look.is_some() {
            return false;
        }
        let is_needed = books.sources.get(name).is_none_or(|book| {
            !poll.is_twice && book.fold.keys().any(|key| !poll.served.contains_key(key))
        });
        if !is_needed {
            return false;
        }
        notes.sometimes("source: second look");
        poll.second_look = Some(Box::default());
        // Somebody may have asked for a poll of their own; the API cannot tell.
        poll.is_disturbed |= self.by_hand > 0;
        true
    }

    /// A poll begins: the one before it has ended.
    pub(super) fn begin(&mut self, plan: &SourcePlan, books: &Books, notes: &mut Notes) {
        if self.looks_again(plan.kind.name(), books, notes) {
            return;
        }
        let now = notes.now;
        let name = plan.kind.name();
        let by_hand = self.by_hand > 0;
        let before = self.end(plan, books, notes);
        if !by_hand {
            notes.hold(
                now + TOLERANCE_MS >= self.earliest,
                "a source is left alone while it asks for it",
                || format!("{name} asked for quiet until {} ms", self.earliest),
            );
            // Whoever waited at the gate because an API refused somebody began later than was planned, by as much as only
            // the gate knows, and comes sooner after that.
            let is_held = |due: u64| notes.refused.is_some_and(|at| at + HELD_MS >= due);
            if let Some((due, true, false)) = before
                && !is_held(due)
            {
                let soonest = due + plan.every.0;
                notes.hold(now + TOLERANCE_MS >= soonest, "polls keep their interval", || {
                    format!("{name} was due at {due} ms, the next may begin at {soonest} ms")
                });
            }
        }
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|began| began + 60_000 < now) {
            self.recent.pop_front();
        }
        notes.hold(self.recent.len() <= POLLS_PER_MINUTE_MAX, "polls do not run hot", || {
            format!("{name}: {} in a minute", self.recent.len())
        });
        self.is_on_its_way = false;
        self.earliest = 0;
        // What had to wait for somebody's poll, or is a repetition, begins late, and the plan makes up for that.
        let is_repeated = !before.is_some_and(|(_, is_clean, _)| is_clean);
        let is_late = is_repeated || now <= self.by_hand_until + TOLERANCE_MS;
        let (every, is_fixed) = (plan.every.0, plan.every.0 == plan.every.1);
        let due = match before {
            // One by hand need not count: then what was planned stays. Nothing is ever late by more than an interval.
            Some((due, ..)) if is_fixed => {
                let due = if by_hand { due } else { due + every };
                due.clamp(now.saturating_sub(every), now)
            }
            _ => now,
        };
        self.poll = Some(PollSeen {
            due,
            by_hand: by_hand || is_late,
            is_disturbed: self.dry_runs > 0,
            ..PollSeen::default()
        });
    }

    /// The poll has ended: what it showed must now be known. Says when it was due, whether it was clean, whether it was
    /// made by hand.
    pub(super) fn end(
        &mut self,
        plan: &SourcePlan,
        books: &Books,
        notes: &mut Notes,
    ) -> Option<(u64, bool, bool)> {
        let poll = self.poll.take()?;
        if !poll.is_disturbed {
            self.absences.retain(|key, _| !poll.served.contains_key(key));
        }
        if poll.is_clean() {
            self.clean_polls += 1;
            self.is_frozen = false;
            self.check_known(&poll, plan, books, notes);
            self.last_clean = Some(poll.served.into_keys().collect());
            return Some((poll.due, true, poll.by_hand));
        }
        self.last_clean = None;
        self.clean_absences.clear();
        Some((poll.due, false, poll.by_hand))
    }

    fn check_known(
        &mut self,
        poll: &PollSeen,
        plan: &SourcePlan,
        books: &Books,
        notes: &mut Notes,
    ) {
        let name = plan.kind.name();
        let Some(book) = books.sources.get(name) else {
            notes.broken("a clean poll is kept", name);
            return;
        };
        for (key, shown) in &poll.served {
            let known = book.fold.get(key);
            let same = known.is_some_and(|known| {
                known.compared(plan.ignores_note) == shown.compared(plan.ignores_note)
            });
            notes.hold(same, "what a clean poll shows is known", || {
                format!("{name}/{key}: shown {shown:?}, known {known:?}")
            });
        }
        self.clean_absences.retain(|key, _| !poll.served.contains_key(key));
        for key in book.fold.keys().filter(|key| !poll.served.contains_key(*key)) {
            *self.clean_absences.entry(key.clone()).or_default() += 1;
        }
    }

    /// Items that receivers believe in although two clean polls in a row did not show them.
    pub(super) fn overdue_deletions<'a>(
        &'a self,
        books: &'a Books,
        name: &str,
    ) -> impl Iterator<Item = &'a String> {
        let fold = books.sources.get(name).map(|book| &book.fold);
        self.clean_absences
            .iter()
            .filter(|(_, count)| **count >= 2)
            .map(|(key, _)| key)
            // It may have come back in the poll that ended last.
            .filter(|key| !self.poll.as_ref().is_some_and(|poll| poll.served.contains_key(*key)))
            .filter(move |key| fold.is_some_and(|fold| fold.contains_key(*key)))
    }

    /// Known items that are not there now.
    pub(super) fn absent_now(&self, truth: &Truth) -> BTreeSet<String> {
        self.ever.iter().filter(|key| !truth.items.contains_key(*key)).cloned().collect()
    }

    /// An answer arrived.
    pub(super) fn arrived(&mut self, effect: Effect, notes: &mut Notes) {
        self.is_on_its_way = false;
        if !matches!(effect, Effect::Page(_)) {
            notes.refused = Some(notes.now);
        }
        let Some(poll) = &mut self.poll else { return };
        let wait = match effect {
            Effect::Failed => 0,
            Effect::Throttled(wait) => wait,
            Effect::ThrottledUntil(wall) => {
                u64::try_from(wall.saturating_sub(notes.wall)).unwrap_or(0)
            }
            Effect::Page(page) => return self.saw(page, notes),
        };
        poll.has_failed = true;
        if self.dry_runs > 0 {
            return;
        }
        self.earliest = notes.now + wait;
        if wait > 0 {
            notes.sometimes("source: Retry-After");
        }
    }

    fn saw(&mut self, page: Page, notes: &mut Notes) {
        let Some(poll) = &mut self.poll else { return };
        (poll.pages, poll.arrived) = (poll.pages + 1, notes.now);
        if let Some(mut look) = poll.second_look.take() {
            (look.pages, look.arrived) = (look.pages + 1, notes.now);
            look.absent.extend(page.absent);
            for (key, content) in page.served {
                self.ever.insert(key.clone());
                look.served.insert(key.clone(), content.clone());
                // What came to the front keeps everything else from being missed.
                poll.is_lie |= !poll.served.contains_key(&key);
                poll.served.entry(key).or_insert(content);
            }
            poll.is_tainted |= page.is_tainted;
            self.is_frozen |= poll.is_lie;
            if !page.is_last {
                poll.second_look = Some(look);
                return;
            }
            // All the way to the end: perhaps the next poll, which was overdue. The API cannot tell.
            (look.due, look.by_hand) = (poll.due, poll.by_hand);
            (look.is_complete, look.is_disturbed) = (true, true);
            let shown = &poll.served;
            self.absences.retain(|key, _| !shown.contains_key(key));
            self.poll = Some(*look);
            self.count_absences();
            return;
        }
        for (key, content) in page.served {
            self.ever.insert(key.clone());
            if poll.served.contains_key(&key) {
                // Items moved down while the pages were read. Two spellings of one item may count as two items.
                notes.sometimes("source: item on two pages");
                (poll.is_lie, poll.is_twice) = (true, true);
            }
            poll.served.entry(key).or_insert(content);
        }
        poll.absent.extend(page.absent);
        poll.there = Some(match poll.there.take() {
            Some(there) => there.intersection(&page.there).cloned().collect(),
            None => page.there,
        });
        poll.is_lie |= page.is_lie;
        let all_shown = poll.there.iter().flatten().all(|key| poll.served.contains_key(key));
        if page.is_last && !page.is_lie && !all_shown {
            // Items moved up while the pages were read, and one slipped between them.
            notes.sometimes("source: page shift");
            poll.is_lie = true;
        }
        poll.is_tainted |= page.is_tainted;
        poll.is_not_modified |= page.is_not_modified;
        self.is_frozen |= poll.is_lie;
        if page.is_last && !poll.is_tainted {
            poll.is_complete = true;
            self.count_absences();
        }
    }

    fn count_absences(&mut self) {
        let Some(poll) = &self.poll else { return };
        for key in &self.ever {
            if !poll.served.contains_key(key) && poll.absent.contains(key) {
                *self.absences.entry(key.clone()).or_default() += 1;
            }
        }
    }
}
