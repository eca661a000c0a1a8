//! What both benches are made of: a server cheap enough not to be the bottleneck, the real executable, floors in
//! processes of their own, and CPU time from the kernel's books.
//!
//! On a shared machine wall time says little and CPU time nearly everything; so whatever is compared runs in turns,
//! several rounds of each, and the figure is the median with the least and the most beside it.
#![allow(dead_code, reason = "a kit holds more than one bench uses")]

pub(crate) mod daemon;
pub(crate) mod figures;
pub(crate) mod floor;
pub(crate) mod process;
pub(crate) mod server;

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether this is a smoke test: everything is done, little is measured.
#[expect(clippy::disallowed_methods, reason = "the program's rule; a bench has no `config`")]
pub(crate) fn is_quick() -> bool {
    std::env::var("BENCH_QUICK").is_ok_and(|value| value != "0")
}

/// Waits until `condition` holds; ends the bench if it never does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}
