//! Fifty agents wait for tickets of one desk. The desk is asked by one, and on a quiet day hardly has to answer.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::json;

use crate::support::{ApiServer, Daemon, Receiver};

const AGENTS: usize = 50;

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it took in real time")]
fn fifty_agents_cost_one_poll_loop_and_an_idle_desk_only_304s() {
    let (desk, receiver) = (ApiServer::with_items(json!([{ "id": 1 }])), Receiver::start());
    let mut config = format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 200ms }}\nendpoints:\n",
        desk.url()
    );
    for agent in 0..AGENTS {
        writeln!(config, "  agent-{agent}: {{ url: '{}', secret: any }}", receiver.url()).unwrap();
    }
    let began = Instant::now();
    let mut daemon = Daemon::run(&config);
    daemon.wait_for_good_polls("tickets", 6);
    let requests = desk.requests();
    let first = requests.iter().filter(|request| request.header("if-none-match").is_none());
    assert_eq!(first.count(), 1, "all but the first ask whether there is anything new");
    let loops = began.elapsed().as_millis() / 200 + 2;
    assert!((requests.len() as u128) <= loops, "{} requests for one loop", requests.len());
    let answered = daemon.polls("tickets", "not_modified");
    assert!(answered >= 5.0, "{answered}");

    desk.set_items(json!([{ "id": 1 }, { "id": 2 }]));
    receiver.wait_for_requests_in_all(AGENTS);
    receiver.expect(&["tickets.created 2"]);
    assert_eq!(receiver.count(), AGENTS, "the same event for each");
    assert!(daemon.term().success());
}
