//! `cargo test --release store::sqlite::tests::speed -- --ignored --nocapture` prints life cycles per second.

use std::time::Duration;

use tokio::time::Instant;

use crate::core::delivery::Verdict;
use crate::core::json::JsonText;
use crate::store::samples::{event, news, page, poll, settle, tried};
use crate::store::sqlite::{Opening, SqliteStore};
use crate::store::{NewEvent, PollCommit, Store, Write};

const BATCH: u64 = 100;
const BATCHES: u64 = 1000;

fn new_events(first: u64, body: &str) -> Vec<NewEvent> {
    (first..first + BATCH)
        .map(|seq| {
            let mut event =
                event("tickets", &format!("item-{}", seq % 5000), seq, 1_790_000_000_000);
            let mixed = u128::from(seq).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            event.id = crate::core::ids::EventId::new(format!("evt_{mixed:032x}"));
            event.body = JsonText::trusted(body);
            let lane = Some((seq % 5000).wrapping_mul(0x9E37_79B9_7F4A_7C15).cast_signed());
            news(event, &[("agent", lane)])
        })
        .collect()
}

#[test]
#[ignore = "a measurement"]
fn life_cycles_per_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = Instant::now();
    let steady = Box::new(move || start.elapsed());
    let mut store =
        SqliteStore::open(dir.path(), Opening { accept: false, steady }).expect("it opens");
    let body = format!("{{\"pad\":\"{}\"}}", "x".repeat(600));
    let (mut polling, mut settling) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..BATCHES {
        let first = batch * BATCH + 1;
        let commit: PollCommit = page("tickets", first - 1, new_events(first, &body));
        let begun = Instant::now();
        store.apply(&[poll(commit)]).expect("it writes");
        polling += begun.elapsed();
        let writes: Vec<Write> = (first..first + BATCH)
            .map(|id| {
                settle(id, Some(tried(1, 1_790_000_000_100)), Verdict::Delivered, 1_790_000_000_100)
            })
            .collect();
        let begun = Instant::now();
        store.apply(&writes).expect("it writes");
        settling += begun.elapsed();
    }
    let cycles = BATCHES * BATCH;
    let per_second = |time: Duration| u128::from(cycles) * 1_000_000 / time.as_micros();
    println!(
        "{cycles} life cycles: {}/s (poll {}/s, attempt {}/s)",
        per_second(polling + settling),
        per_second(polling),
        per_second(settling)
    );
}
