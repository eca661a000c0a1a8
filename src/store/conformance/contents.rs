//! What endpoints are sent in place of the envelope.

use std::collections::BTreeSet;

use std::time::Duration;

use crate::core::delivery::Verdict;
use crate::core::ids::{DeliveryId, EventNo};
use crate::core::sink::content::{Content, Made};
use crate::store::samples::{at, delivered, done, endpoint, event, news_with, page, poll, settle};
use crate::store::{DeliveryFilter, Due, Store, Write, Written};

fn made(body: &str) -> Made {
    Made { media_type: "text/x".into(), body: body.into(), is_binary: body.len() > 4 }
}

/// What each delivery to an endpoint that is due sends.
fn sent(store: &dyn Store, name: &str) -> Vec<(u64, Content)> {
    let due = store.due(&endpoint(name), at(9_000), 100, &BTreeSet::new()).expect("it reads");
    let due = due.into_iter().filter_map(Due::whole);
    due.map(|due| {
        let shown = store.content(due.delivery.id).expect("it reads");
        assert_eq!(shown, due.content);
        (due.delivery.id.0, due.content)
    })
    .collect()
}

fn replay(store: &mut dyn Store) -> Written {
    done(
        store,
        Write::Replay { filter: DeliveryFilter::default(), now: at(500), spacing: Duration::ZERO },
    )
}

pub(super) fn fixed(store: &mut dyn Store) {
    let contents = [
        ("a", Content::Envelope),
        ("b", Content::Made(made("{\"ü\":1}"))),
        ("c", Content::Made(made(""))),
    ];
    done(store, poll(page("t", 0, vec![news_with(event("t", "k", 1, 100), &contents)])));
    assert_eq!(store.content(DeliveryId(9)).expect("it reads"), Content::Envelope);
    for (id, (name, content)) in (1..).zip(&contents) {
        assert_eq!(sent(store, name), vec![(id, content.clone())], "{name}");
        done(store, delivered(id, 1, 110));
    }
    // A replay sends the same bytes, and nothing changes what is fixed.
    assert_eq!(replay(store), Written::Count(3));
    for (id, (name, content)) in (4..).zip(&contents) {
        let write = Write::Made { event: EventNo(1), endpoint: endpoint(name), made: made("else") };
        assert_eq!(done(store, write), Written::Count(0));
        assert_eq!(sent(store, name), vec![(id, content.clone())], "{name}");
    }
}

pub(super) fn made_late(store: &mut dyn Store) {
    let contents = [("a", Content::Unmade), ("b", Content::Unmade)];
    done(store, poll(page("t", 0, vec![news_with(event("t", "k", 1, 100), &contents)])));
    assert_eq!(sent(store, "a"), vec![(1, Content::Unmade)]);
    let write = |event, name, body| Write::Made {
        event: EventNo(event),
        endpoint: endpoint(name),
        made: made(body),
    };
    for (event, name) in [(2, "a"), (1, "nobody")] {
        assert_eq!(done(store, write(event, name, "x")), Written::Count(0));
    }
    assert_eq!(done(store, write(1, "a", "first")), Written::Count(1));
    assert_eq!(done(store, write(1, "a", "second")), Written::Count(0));
    assert_eq!(sent(store, "a"), vec![(1, Content::Made(made("first")))]);
    assert_eq!(sent(store, "b"), vec![(2, Content::Unmade)]);
    // Given up without it, it can be made for the replay.
    let reason = String::from("`body` fails");
    done(store, settle(2, None, Verdict::Exhausted { reason }, 120));
    done(store, delivered(1, 1, 120));
    assert_eq!(replay(store), Written::Count(2));
    assert_eq!(sent(store, "a"), vec![(3, Content::Made(made("first")))]);
    assert_eq!(sent(store, "b"), vec![(4, Content::Unmade)]);
    assert_eq!(done(store, write(1, "b", "at last")), Written::Count(1));
    assert_eq!(sent(store, "b"), vec![(4, Content::Made(made("at last")))]);
}
