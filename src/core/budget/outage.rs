//! Whether it is us: everything that used to answer stopped at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::http::TransportFault;
use crate::core::limits::{OUTAGE_HOSTS_MAX, OUTAGE_HOSTS_MIN};
use crate::core::time::Timestamp;

/// Failures further apart than this have nothing to do with each other.
const AT_ONCE: Duration = Duration::from_mins(2);

/// Which hosts answered, and which could not be reached since any of them did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outage {
    /// Hosts that answered once, and when they could not be reached since.
    hosts: BTreeMap<String, Option<Timestamp>>,
    /// Whether any of them could not be reached since.
    has_failed: bool,
}

impl Outage {
    /// A host answered, so that the network is there.
    pub(crate) fn answered(&mut self, host: &str) {
        if std::mem::take(&mut self.has_failed) {
            self.hosts.values_mut().for_each(|failed| *failed = None);
        }
        if !self.hosts.contains_key(host) && self.hosts.len() < OUTAGE_HOSTS_MAX {
            self.hosts.insert(host.to_owned(), None);
        }
    }

    /// A host could not be reached. One that never answered proves nothing: its name may be wrong.
    pub(crate) fn unreached(&mut self, host: &str, now: Timestamp) {
        if let Some(failed) = self.hosts.get_mut(host) {
            *failed = Some(now);
            self.has_failed = true;
        }
    }

    /// Whether our own network seems to be down.
    pub(crate) fn is_on(&self, now: Timestamp) -> bool {
        let lately =
            |failed: &&Option<Timestamp>| failed.is_some_and(|failed| now.since(failed) <= AT_ONCE);
        self.hosts.values().filter(lately).count() >= OUTAGE_HOSTS_MIN
    }
}

/// Whether a fault says that nothing of the other side was reached at all. A refused connection is an answer.
pub(crate) fn is_out_of_reach(fault: &TransportFault) -> bool {
    match fault {
        TransportFault::Resolve { .. } | TransportFault::Local { .. } => true,
        TransportFault::Connect { detail } => !detail.to_lowercase().contains("refused"),
        TransportFault::Timeout { phase, .. } => *phase == "connecting",
        _ => false,
    }
}
