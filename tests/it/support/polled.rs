//! One poll at a time, by command: tests that need no clock, and know exactly what each answer led to.

use std::time::Duration;

use serde_json::Value;

use crate::support::Daemon;
use crate::support::wait::PATIENCE;

/// What one `doorbell poll` came to.
#[derive(Debug)]
pub(crate) struct Poll(Value);

impl Daemon {
    /// Polls a source once and lets it count. The daemon may be running or not.
    #[track_caller]
    pub(crate) fn poll(&self, source: &str) -> Poll {
        self.poll_within(PATIENCE, source)
    }

    /// The same for one that has much to read.
    #[track_caller]
    pub(crate) fn poll_within(&self, patience: Duration, source: &str) -> Poll {
        let output = self.cli_within(patience, &["poll", source, "--commit", "--json"]);
        let report = serde_json::from_str(&output.stdout);
        Poll(report.unwrap_or_else(|error| panic!("no report of a poll, {error}: {output:?}")))
    }
}

impl Poll {
    /// The word that metrics count it under.
    pub(crate) fn outcome(&self) -> &str {
        self.0["outcome"].as_str().unwrap()
    }

    /// The fault's code; empty for none.
    pub(crate) fn fault(&self) -> &str {
        self.0["fault"]["code"].as_str().unwrap_or_default()
    }

    /// What it says of the fault; empty for none.
    pub(crate) fn sentence(&self) -> &str {
        self.0["fault"]["sentence"].as_str().unwrap_or_default()
    }

    pub(crate) fn events(&self) -> &[Value] {
        self.0["events"].as_array().unwrap()
    }

    /// `TYPE KEY` of each event, sorted.
    pub(crate) fn story(&self) -> Vec<String> {
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let told = self.events().iter().map(|it| [text(it, "type"), text(it, "key")].join(" "));
        let mut told: Vec<_> = told.map(|line| line.trim_end().to_owned()).collect();
        told.sort();
        told
    }

    /// What the API answered to each request; 0 for nothing.
    pub(crate) fn statuses(&self) -> Vec<u64> {
        let requests = self.0["requests"].as_array().unwrap();
        requests.iter().map(|it| it["status"].as_u64().unwrap_or(0)).collect()
    }

    /// A field of the report.
    pub(crate) fn field(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// Fails unless the poll went well and made exactly these events, as `TYPE KEY`, in any order.
    #[track_caller]
    pub(crate) fn rang(&self, story: &[&str]) {
        assert_eq!(self.fault(), "", "the poll failed: {self:?}");
        let mut expected = story.to_vec();
        expected.sort_unstable();
        assert_eq!(self.story(), expected, "{self:?}");
    }

    /// Fails unless the poll met this fault and made no event.
    #[track_caller]
    pub(crate) fn failed(&self, code: &str) {
        assert_eq!((self.fault(), self.story().as_slice()), (code, &[][..]), "{self:?}");
    }
}
