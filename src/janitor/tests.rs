//! What the janitor gives up while others are quicker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::{Janitor, Ports};
use crate::clock::Clock;
use crate::core::ids::SourceName;
use crate::core::own::OWN_SOURCE;
use crate::core::retention::{NOTHING_FORGOTTEN, Retention};
use crate::core::roster::Roster;
use crate::core::time::Timestamp;
use crate::store::handle::StoreHandle;
use crate::store::memory::MemoryStore;
use crate::store::samples::{at, delivered, event, news, page, poll};
use crate::store::{DeliveryRecord, PollCommit, Write};
use crate::telemetry::Telemetry;
use crate::wake::Wake;

/// A clock at which others say something of doorbell itself whenever it is looked at for what to say: between the
/// janitor's look at the last number and its write.
struct Rivals {
    store: StoreHandle,
    /// How often they still do.
    left: AtomicUsize,
}

/// What a store that is called in place answers.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("a store that is called in place waits for nobody")
}

impl Clock for Rivals {
    fn now(&self) -> Timestamp {
        at(900)
    }

    fn wall(&self) -> Timestamp {
        let left = self.left.load(Ordering::Relaxed);
        if let Some(less) = left.checked_sub(1) {
            self.left.store(less, Ordering::Relaxed);
            let own = SourceName::new(OWN_SOURCE);
            let before = at_once(self.store.read(move |store| store.last_seq(&own)));
            let before = before.expect("the store works");
            let said = vec![news(event(OWN_SOURCE, "a", before + 1, 800), &[])];
            let commit = PollCommit::own(before, said, at(800));
            let written = at_once(self.store.write(Write::Poll(Box::new(commit))));
            written.expect("the store works").expect("nobody else is as quick");
        }
        self.now()
    }
}

/// A janitor over four deliveries for `a` that wait.
struct Desk {
    janitor: Janitor,
    store: StoreHandle,
    telemetry: Arc<Telemetry>,
    rivals: Arc<Rivals>,
}

impl Desk {
    async fn new() -> Self {
        let store = StoreHandle::inline(Box::new(MemoryStore::new(7)));
        let rivals = Arc::new(Rivals { store: store.clone(), left: AtomicUsize::new(0) });
        let telemetry = Arc::new(Telemetry::new());
        let ports = Ports {
            store: store.clone(),
            clock: Arc::clone(&rivals) as Arc<dyn Clock>,
            telemetry: Arc::clone(&telemetry),
            deliver: Wake::default(),
            retained: watch::Sender::new(NOTHING_FORGOTTEN),
        };
        let roster = watch::channel(Arc::new(Roster::default())).1;
        let retention = watch::channel(Retention::default()).1;
        let of = |seq| news(event("t", &format!("k{seq}"), seq, 100), &[("a", None)]);
        let written = store.write(poll(page("t", 0, (1..=4).map(of).collect()))).await;
        written.expect("the store works").expect("nobody else writes");
        Self { janitor: Janitor::new(ports, roster, retention), store, telemetry, rivals }
    }

    async fn overdue(&self) -> Vec<DeliveryRecord> {
        self.store.read(|store| store.overdue(at(500), 100)).await.expect("the store works")
    }

    /// Gives these up while others are quicker so often; says how many were given up and how many were counted so far.
    async fn give_up(&self, deliveries: &[DeliveryRecord], rivals: usize) -> (u64, u64) {
        self.rivals.left.store(rivals, Ordering::Relaxed);
        let given_up = self.janitor.give_up(deliveries, "too old", false).await;
        (given_up.expect("the store works"), self.counted())
    }

    fn counted(&self) -> u64 {
        let text = self.telemetry.text();
        let line = r#"doorbell_deliveries_total{endpoint="a",outcome="exhausted"} "#;
        let value = text.lines().find_map(|it| it.strip_prefix(line));
        value.map_or(0, |value| value.parse().expect("a count"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_given_up_is_not_counted() {
    let desk = Desk::new().await;
    let overdue = desk.overdue().await;
    assert_eq!(overdue.len(), 4);
    // Others are quicker as often as it is tried: nothing is written.
    assert_eq!(desk.give_up(&overdue, 16).await, (0, 0));
    assert_eq!(desk.overdue().await, overdue, "all of it is found again");
    // One is delivered between the look and the write.
    let written = desk.store.write(delivered(2, 1, 700)).await;
    written.expect("the store works").expect("it is under way");
    assert_eq!(desk.give_up(&overdue, 15).await, (3, 3));
    assert_eq!(desk.give_up(&overdue, 0).await, (0, 3), "once is enough");
}
