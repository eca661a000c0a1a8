//! Lists that change while their pages are read: nothing is deleted, created or missed because of it.

use serde_json::{Value, json};

use crate::misbehaviour::tickets;
use crate::support::scene::items;
use crate::support::{Daemon, Reply, Script, Shared};

/// What changes between two pages.
type Bend = fn(&mut Vec<Ticket>, page: usize);

#[derive(Debug, Clone, Copy)]
struct Ticket {
    id: usize,
    /// The minute of its last change.
    at: usize,
}

impl Ticket {
    fn show(self) -> Value {
        json!({ "id": self.id, "at": format!("2026-11-21T00:{:02}:00Z", self.at) })
    }
}

/// Ten tickets; the greater the number, the newer.
fn ten() -> Vec<Ticket> {
    (1..=10).map(|id| Ticket { id, at: id }).collect()
}

/// Makes a ticket the newest one.
fn touch(list: &mut [Ticket], id: usize) {
    let newest = list.iter().map(|ticket| ticket.at).max().unwrap();
    list.iter_mut().find(|ticket| ticket.id == id).unwrap().at = newest + 1;
}

/// An API of three tickets a page, by time of change, and a daemon that polls it when told.
struct Stage {
    list: Shared<Vec<Ticket>>,
    bend: Shared<Option<Bend>>,
    api: Script,
    daemon: Daemon,
}

impl Stage {
    /// `newest` first, or last. Pages are cut where the last item was, as cursors do, or by `offset`.
    #[track_caller]
    fn set(keys: &str, newest_first: bool, by_offset: bool) -> Self {
        let (list, bend) = (Shared::new(ten()), Shared::new(None));
        let (shown, bends) = (list.clone(), bend.clone());
        let api = Script::start(move |received| {
            let cursor: Option<usize> = received.query("after").map(|text| text.parse().unwrap());
            let from = received.query("since").map(minute);
            let asked = received.query("page").map_or(1, |page| page.parse().unwrap());
            let bend: Option<Bend> = bends.get();
            shown.with(|list| bend.map(|bend| bend(list, asked)));
            let mut list: Vec<Ticket> = shown.get();
            list.retain(|ticket| from.is_none_or(|from| ticket.at >= from));
            list.sort_by_key(|ticket| ticket.at);
            if newest_first {
                list.reverse();
            }
            let is_behind = |ticket: &Ticket, at| {
                if newest_first { ticket.at < at } else { ticket.at > at }
            };
            let rest: Vec<_> = match cursor {
                Some(_) if by_offset => list.iter().skip((asked - 1) * 3).collect(),
                Some(at) => list.iter().filter(|ticket| is_behind(ticket, at)).collect(),
                None => list.iter().collect(),
            };
            let page: Vec<_> = rest.iter().take(3).map(|ticket| ticket.show()).collect();
            let reply = Reply::json(&Value::from(page));
            match rest.get(2).filter(|_| rest.len() > 3) {
                Some(last) => {
                    let since = received.query("since").map(|at| format!("&since={at}"));
                    let since = since.unwrap_or_default();
                    let next = format!("/list?page={}&after={}{since}", asked + 1, last.at);
                    reply.header("Link", &format!("<{next}>; rel=\"next\""))
                }
                None => reply,
            }
        });
        let daemon = Daemon::new(&tickets(&api.url_of("/list"), keys));
        Self { list, bend, api, daemon }
    }

    fn bend(&self, bend: Option<Bend>) {
        self.bend.set(bend);
    }
}

/// The minute in a time as a parameter has it.
fn minute(text: &str) -> usize {
    let text = text.replace("%3A", ":");
    text.split(':').nth(1).unwrap().parse().unwrap()
}

const EAGER: &str = "pages: link, deletes: { after: 1 }";

/// A ticket far behind changes whenever the second page is asked for: it is on no page that is read after that.
#[test]
fn what_comes_to_the_front_is_looked_for_there() {
    let hot: Bend = |list, page| {
        if page == 2 {
            touch(list, 3);
        }
    };
    for by_offset in [false, true] {
        let stage = Stage::set(EAGER, true, by_offset);
        stage.daemon.poll("tickets").rang(&[]);
        stage.bend(Some(hot));
        // What is pushed over an edge tells that the list moved; what moved is then found by the next poll.
        let expected = if by_offset { 2 } else { 3 };
        let story: Vec<_> = (0..3).flat_map(|_| stage.daemon.poll("tickets").story()).collect();
        assert_eq!(story, vec!["tickets.updated 3"; expected]);
        stage.bend(None);
        stage.list.with(|list| list.retain(|ticket| ticket.id != 5));
        let story = [stage.daemon.poll("tickets").story(), stage.daemon.poll("tickets").story()];
        assert!(story.concat().contains(&String::from("tickets.deleted 5")), "{story:?}");
        assert_eq!(stage.daemon.poll("tickets").story(), [""; 0]);
    }
}

/// The same at the first poll: what it did not show would ring as created.
#[test]
fn a_first_listing_that_moves_knows_everything() {
    let hot: Bend = |list, page| {
        if page == 2 && list.iter().all(|ticket| ticket.at <= 10) {
            touch(list, 3);
        }
    };
    for by_offset in [false, true] {
        let stage = Stage::set(EAGER, true, by_offset);
        stage.bend(Some(hot));
        assert_eq!(stage.daemon.poll("tickets").story(), [""; 0]);
        for _ in 0..3 {
            stage.daemon.poll("tickets").rang(&[]);
        }
    }
}

/// An export by time of change, in which the ticket just shown changes all the time: it comes to an end, and goes on
/// from there.
#[test]
fn a_first_export_of_a_busy_list_comes_to_an_end() {
    let stage = Stage::set("pages: link, since: { param: since, from: .at }", false, false);
    stage.bend(Some(|list, page| {
        if page == 2 && list.iter().all(|ticket| ticket.at < 12) {
            touch(list, 1);
        }
    }));
    assert_eq!(stage.daemon.poll("tickets").story(), [""; 0]);
    stage.bend(None);
    stage.api.take_targets();
    let mut story = Vec::new();
    for _ in 0..3 {
        story.extend(stage.daemon.poll("tickets").story());
    }
    assert_eq!(story, ["tickets.updated 1"]);
    let asked = stage.api.take_targets();
    assert!(asked.iter().all(|target| target.contains("since=")), "{asked:?}");
}

/// Pages that begin with the last item of the one before are no list that moves.
#[test]
fn pages_may_meet_at_an_item() {
    let shown = Shared::new(items(0));
    let behind = shown.clone();
    let api = Script::start(move |received| {
        let from: usize = received.query("from").map_or(0, |text| text.parse().unwrap());
        let all = behind.get();
        let all = all.as_array().unwrap();
        let page: Vec<_> = all.iter().skip(from).take(3).cloned().collect();
        let reply = Reply::json(&Value::from(page));
        let next = from + 2;
        if next + 1 < all.len() {
            reply.header("Link", &format!("</list?from={next}>; rel=\"next\""))
        } else {
            reply
        }
    });
    let all = |ids: &[usize]| -> Value {
        ids.iter().map(|id| Ticket { id: *id, at: *id }.show()).collect()
    };
    shown.set(all(&[1, 2, 3, 4, 5, 6]));
    let keys = "pages: link, deletes: { after: 1 }, since: { param: since, from: .at, start: 2026-11-20T00:00:00Z }, sweep: 1s";
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), keys));
    daemon.poll("tickets").rang(&[]);
    shown.set(all(&[1, 2, 3, 4, 5, 6, 7]));
    let poll = daemon.poll("tickets");
    poll.rang(&["tickets.created 7"]);
    assert_eq!(poll.outcome(), "changed");
}
