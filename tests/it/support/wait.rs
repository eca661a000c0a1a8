//! Waiting for conditions, with a deadline and a message that says what was waited for.

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything that must happen may take. Generous: machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is watched that something does *not* happen. Several poll intervals of a test's configuration.
pub(crate) const CALM: Duration = Duration::from_millis(500);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` gives a value; `None` after the deadline.
pub(crate) fn poll_for<T>(
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

/// Waits until `condition` gives a value; fails saying `what` was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match poll_for(PATIENCE, condition) {
        Some(value) => value,
        None => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Waits until `condition` is true; fails saying `what` was waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Watches that `condition` stays true for [`CALM`]: what must not happen is given a fair chance to.
#[track_caller]
pub(crate) fn stays(what: &str, mut condition: impl FnMut() -> bool) {
    let broken = poll_for(CALM, || (!condition()).then_some(()));
    assert!(broken.is_none(), "this did not stay so: {what}");
}
