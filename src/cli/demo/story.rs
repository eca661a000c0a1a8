//! What happens in the demo, step by step, and what must ring for it.
//!
//! To add a step: a line in [`steps`].

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::cli::demo::desk::{Desk, Ticket, Traffic};
use crate::cli::print::{
    self, BAD, FAINT, GOOD, NAME, NEWS, STRONG, brief, column, printable, styled,
};
use crate::cli::receiver::{Difference, Hit, Proof};
use crate::clock::Clock;
use crate::core::time::Timestamp;

/// One thing that happens at the API.
struct Step {
    says: &'static str,
    act: fn(&mut Vec<Ticket>),
    /// What must ring; `None` when nothing may.
    rings: Option<Ring>,
    /// What doorbell is doing meanwhile.
    aside: &'static str,
}

/// One ring that is waited for.
#[derive(Debug, Clone, Copy)]
struct Ring {
    event_type: &'static str,
    key: &'static str,
    /// The field that must be told as changed: its name, old and new.
    change: Option<(&'static str, &'static str, &'static str)>,
}

impl Ring {
    fn is(self, hit: &Hit) -> bool {
        let change = self.change.is_none_or(|(field, old, new)| {
            let (old, new) = (Some(old.to_owned()), Some(new.to_owned()));
            hit.news.changes.contains(&Difference { field: field.to_owned(), old, new })
        });
        hit.news.event_type.as_deref() == Some(self.event_type)
            && hit.news.key.as_deref() == Some(self.key)
            && change
    }
}

fn steps() -> [Step; 4] {
    [
        Step {
            says: "ticket 4 is opened: \"Printer on fire\"",
            act: |tickets| {
                let (subject, priority) = ("Printer on fire", "urgent");
                tickets.push(Ticket { id: 4, subject, status: "open", priority, views: 0 });
            },
            rings: Some(Ring { event_type: "ticket.opened", key: "4", change: None }),
            aside: "",
        },
        Step {
            says: "ticket 2 changes its status from open to pending",
            act: |tickets| {
                tickets.iter_mut().filter(|it| it.id == 2).for_each(|it| it.status = "pending");
            },
            rings: Some(Ring {
                event_type: "ticket.status_changed",
                key: "2",
                change: Some(("status", "open", "pending")),
            }),
            aside: "",
        },
        Step {
            says: "somebody looks at all tickets: their `views` go up",
            act: |tickets| tickets.iter_mut().for_each(|ticket| ticket.views += 1),
            rings: None,
            aside: "read the new list: only `views` differs, so nothing rings",
        },
        Step {
            says: "ticket 3 is closed and leaves the list",
            act: |tickets| tickets.retain(|ticket| ticket.id != 3),
            rings: Some(Ring { event_type: "ticket.closed", key: "3", change: None }),
            aside: "ticket 3 is gone; a second look must confirm it before that rings",
        },
    ]
}

/// Who speaks in a line.
#[derive(Debug, Clone, Copy)]
enum Voice {
    Api,
    Doorbell,
    Receiver,
}

/// What was seen by the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) expected_count: usize,
    /// Every request, in the order of arrival.
    pub(super) hits: Vec<Hit>,
    /// From a change at the API to the first attempt to tell of it.
    pub(super) latencies: Vec<Duration>,
    /// What did not ring.
    pub(super) missing: Vec<String>,
    /// What should not have rung.
    pub(super) strays: Vec<String>,
    pub(super) traffic: Traffic,
}

impl Ledger {
    /// Attempts whose signature holds.
    pub(super) fn verified_count(&self) -> usize {
        let verified = |hit: &&Hit| matches!(hit.proof, Proof::Verified { .. });
        self.hits.iter().filter(verified).count()
    }

    /// Attempts of an event that came before, with the same id.
    pub(super) fn repeat_count(&self) -> usize {
        self.hits.iter().filter(|hit| hit.arrival > 1).count()
    }

    /// Whether every attempt of one event brought the same bytes.
    pub(super) fn is_byte_identical(&self) -> bool {
        let twin = |hit: &Hit| self.hits.iter().find(|other| other.id == hit.id).cloned();
        self.hits.iter().all(|hit| twin(hit).is_none_or(|first| first.body == hit.body))
    }

    /// Whether all of it went as the story says.
    pub(super) fn is_as_told(&self) -> bool {
        self.missing.is_empty()
            && self.strays.is_empty()
            && self.verified_count() == self.hits.len()
            && self.repeat_count() > 0
            && self.is_byte_identical()
    }
}

/// A ring that is waited for, and how far it has come.
#[derive(Debug)]
struct Awaited {
    ring: Ring,
    /// When the API changed.
    changed_at: Timestamp,
    attempted: bool,
    accepted: bool,
}

/// The story as it is played.
pub(super) struct Story<'a> {
    desk: &'a Desk,
    hits: &'a mut mpsc::Receiver<Hit>,
    clock: &'a dyn Clock,
    out: &'a mut (dyn Write + Send),
    began: Timestamp,
    /// Of the steps so far.
    awaited: Vec<Awaited>,
    ledger: Ledger,
}

impl<'a> Story<'a> {
    /// Nothing has happened yet.
    pub(super) fn new(
        desk: &'a Desk,
        hits: &'a mut mpsc::Receiver<Hit>,
        clock: &'a dyn Clock,
        out: &'a mut (dyn Write + Send),
    ) -> Self {
        let (began, ledger) = (clock.now(), Ledger::default());
        Self { desk, hits, clock, out, began, awaited: Vec::new(), ledger }
    }

    /// Plays all steps, each when the one before has rung. Bounded by the caller.
    pub(super) async fn play(&mut self) -> io::Result<()> {
        self.prelude().await?;
        for step in steps() {
            self.desk.change(step.act);
            self.say(Voice::Api, step.says)?;
            if let Some(ring) = step.rings {
                let changed_at = self.clock.now();
                self.awaited.push(Awaited { ring, changed_at, attempted: false, accepted: false });
            }
            if !step.aside.is_empty() {
                // The second poll begins only when the first is committed.
                self.desk.polled(if step.rings.is_none() { 2 } else { 1 }).await;
                self.say(Voice::Doorbell, step.aside)?;
            }
            while self.awaited.last().is_some_and(|awaited| !awaited.accepted) {
                let Some(hit) = self.hits.recv().await else { return Ok(()) };
                self.note(hit)?;
            }
        }
        Ok(())
    }

    /// Closes the book. What came after the last expected ring counts too.
    pub(super) fn close(mut self) -> Ledger {
        while let Ok(hit) = self.hits.try_recv() {
            // It shows in the ledger, whether or not it can still be printed.
            drop(self.note(hit));
        }
        let rang = |ring: &Ring| {
            self.awaited.iter().any(|awaited| {
                awaited.accepted
                    && (awaited.ring.event_type, awaited.ring.key) == (ring.event_type, ring.key)
            })
        };
        let rings: Vec<Ring> = steps().into_iter().filter_map(|step| step.rings).collect();
        let missing = rings
            .iter()
            .filter(|ring| !rang(ring))
            .map(|ring| format!("{} of ticket {}", ring.event_type, ring.key));
        let missing = missing.collect();
        Ledger { expected_count: rings.len(), missing, traffic: self.desk.traffic(), ..self.ledger }
    }

    async fn prelude(&mut self) -> io::Result<()> {
        let tickets = print::count(self.desk.ticket_count(), "ticket");
        self.say(Voice::Api, &format!("has {tickets}"))?;
        self.say(
            Voice::Receiver,
            "verifies every signature; refuses the first delivery on purpose",
        )?;
        self.desk.polled(1).await;
        self.say(
            Voice::Doorbell,
            &format!("first poll: {tickets} known from now on, nothing rings"),
        )?;
        self.desk.polled(2).await;
        let Traffic { polls, not_modified } = self.desk.traffic();
        if not_modified > 0 {
            let text = format!(
                "{polls} polls so far, {not_modified} answered 304: nothing new costs next to nothing"
            );
            self.say(Voice::Doorbell, &text)?;
        }
        Ok(())
    }

    /// Prints a hit and enters it into the ledger.
    fn note(&mut self, hit: Hit) -> io::Result<()> {
        let mut delay = None;
        match self.awaited.iter_mut().find(|awaited| awaited.ring.is(&hit)) {
            Some(awaited) => {
                if !awaited.attempted {
                    delay = Some(hit.at.since(awaited.changed_at));
                }
                awaited.attempted = true;
                awaited.accepted |= hit.is_accepted();
            }
            None => self.ledger.strays.push(title(&hit)),
        }
        self.ledger.latencies.extend(delay);
        let told = self.say(Voice::Receiver, &line(&hit, delay));
        self.ledger.hits.push(hit);
        told
    }

    fn say(&mut self, voice: Voice, text: &str) -> io::Result<()> {
        let at = self.clock.now().since(self.began).as_secs_f64();
        let (style, name) = match voice {
            Voice::Api => (NEWS, "ticket API"),
            Voice::Doorbell => (NAME, "doorbell"),
            Voice::Receiver => (STRONG, "receiver"),
        };
        let time = styled(FAINT, &format!("{at:6.2}s"));
        writeln!(self.out, "{time}  {}  {text}", column(style, name, 10))?;
        self.out.flush()
    }
}

/// Type and key of a hit, made printable.
fn title(hit: &Hit) -> String {
    let shown = |text: &Option<String>| printable(text.as_deref().unwrap_or("?"), 30);
    format!("{} of ticket {}", shown(&hit.news.event_type), shown(&hit.news.key))
}

/// One ring for a person. `delay` is how long after the change it came, on the first attempt.
fn line(hit: &Hit, delay: Option<Duration>) -> String {
    let shown = |text: &Option<String>| printable(text.as_deref().unwrap_or("?"), 30);
    let proof = match &hit.proof {
        Proof::Verified { .. } => styled(GOOD, "✓ verified"),
        Proof::Refused { reason, .. } => styled(BAD, &format!("✗ {reason}")),
        Proof::Unchecked { .. } => styled(BAD, "✗ unchecked"),
    };
    let status = hit.status.as_u16().to_string();
    let answer = if hit.is_accepted() { styled(GOOD, &status) } else { styled(BAD, &status) };
    let news = match (hit.arrival, delay) {
        (1, Some(delay)) => format!("{} after the change{}", brief(delay), changes(hit)),
        (1, None) => String::new(),
        (arrival, _) => format!("attempt {arrival}, the same id"),
    };
    // Enough of an id to see that it is the same.
    let id: String = shown(&hit.id).chars().take(12).collect();
    format!(
        "{} {}  {}  {proof}  {answer}  {}",
        column(STRONG, &shown(&hit.news.event_type), 21),
        column(FAINT, &format!("#{}", shown(&hit.news.key)), 2),
        styled(FAINT, &format!("{id}…")),
        styled(FAINT, &news),
    )
}

/// What the event says has changed, made printable.
fn changes(hit: &Hit) -> String {
    let shown = |text: &Option<String>| printable(text.as_deref().unwrap_or("∅"), 20);
    let each = |it: &Difference| {
        format!(", {}: {} → {}", printable(&it.field, 20), shown(&it.old), shown(&it.new))
    };
    hit.news.changes.iter().take(2).map(each).collect::<Vec<_>>().concat()
}
