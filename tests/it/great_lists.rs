//! A list of a hundred thousand items, a hundred megabytes of JSON: one change in it rings once, in bounded time.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::wait::poll_for;
use crate::support::{Daemon, Receiver, Reply, Script, Shared};

/// How long a poll of it may take, on a busy machine and without a release build's speed.
const POLL_MAX: Duration = Duration::from_mins(4);

/// A hundred thousand items of a kilobyte each, compressed; `status` is that of item 77,777.
fn listing(status: &str) -> Reply {
    let filler = "x".repeat(960);
    let mut body = GzEncoder::new(Vec::new(), Compression::fast());
    for id in 1..=100_000_u32 {
        let comma = if id == 1 { "[" } else { "," };
        let status = if id == 77_777 { status } else { "new" };
        let item = format!(r#"{comma}{{"id":{id},"status":"{status}","text":"{filler}"}}"#);
        body.write_all(item.as_bytes()).unwrap();
    }
    body.write_all(b"]").unwrap();
    Reply::text("application/json", body.finish().unwrap()).header("Content-Encoding", "gzip")
}

#[test]
#[ignore = "long: hundreds of megabytes of JSON"]
fn one_change_in_a_hundred_thousand_items() {
    let (before, after) = (listing("new"), listing("closed"));
    let shown = Shared::new(before);
    let answer = shown.clone();
    let api = Script::start(move |_| answer.get());
    let receiver = Receiver::start();
    let daemon = Daemon::run(&format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: 1s, max_body: 1GiB, timeout: 10m }}
endpoints:
  desk: {{ url: '{}', secret: any }}
",
        api.url_of("/tickets"),
        receiver.url()
    ));
    let polled = |outcome: &str, times: f64| {
        let done = || (daemon.polls("tickets", outcome) >= times).then_some(());
        assert!(poll_for(POLL_MAX, done).is_some(), "not {outcome} within {POLL_MAX:?}");
    };
    polled("unchanged", 1.0);
    shown.set(after);
    polled("changed", 1.0);
    polled("unchanged", 2.0);
    receiver.expect(&["tickets.updated 77777"]);
}
