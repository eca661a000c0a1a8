//! A receiver is down for a while, as they are: nothing is lost, each item's story comes in order once it is back, what came
//! twice is known by its id, and security has every event in its feed all the time.

use serde_json::{Value, json};

use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Receiver, Reply};

fn tickets(status: &str) -> Value {
    (1..=5).map(|id| json!({ "id": id, "status": status })).collect()
}

fn config(api: &ApiServer, agent: &Receiver) -> String {
    format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: 100ms }}
endpoints:
  agent:
    url: '{}'
    secret: any
    retry: {{ first: 50ms, max: 400ms, for: 2s }}
    breaker: {{ failures: 5, for: 300ms }}
  siem: {{ url: 'stdout:', events: ['*', 'doorbell.*'] }}
",
        api.url(),
        agent.url()
    )
}

/// The audit feed: every line one event.
fn feed(daemon: &Daemon) -> Vec<Value> {
    let text = daemon.stdout_text();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a line of the feed")).collect()
}

#[test]
fn a_receiver_that_is_away_gets_everything_and_the_feed_has_it_too() {
    let (api, agent) = (ApiServer::with_items(tickets("new")), Receiver::start());
    let mut daemon = Daemon::run(&config(&api, &agent));
    daemon.wait_until_polled("tickets");
    agent.always(Reply::status(503));
    let story = ["open", "waiting", "answered", "closed"];
    for status in story {
        api.set_items(tickets(status));
        daemon.wait_for_good_polls("tickets", 2);
    }
    daemon.wait_until("the endpoint failing", |daemon| {
        let rows = daemon.control_json("/v1/endpoints");
        rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["condition"] == "failing"))
    });
    // Killed in the middle of it, and away for longer than a delivery is tried.
    daemon.kill9();
    daemon.start();
    agent.wait_for_requests(6);

    agent.heal();
    // One answer is lost on its way: that event comes again.
    agent.next(Reply::reset());
    let ledger = agent.wait_for("all twenty", |ledger| ledger.accepted().len() >= 20);
    for id in 1..=5 {
        let told = ledger.of_key(&id.to_string());
        let statuses: Vec<_> =
            told.iter().map(|ring| ring.event["data"]["status"].clone()).collect();
        assert_eq!(statuses, story, "ticket {id}");
    }
    assert_eq!(ledger.ids().len(), 20, "what came again has the id that it had");
    ledger.assert_bodies_never_change();
    wait_until("the feed", || feed(&daemon).len() >= 22);
    let feed = feed(&daemon);
    let ids = |own: bool| {
        let of_kind = feed.iter().filter(move |event| (event["source"] == "doorbell") == own);
        of_kind
            .map(|event| event["id"].as_str().unwrap_or_default())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ids(false), ledger.ids());
    let news: Vec<_> = feed
        .iter()
        .filter(|event| event["source"] == "doorbell")
        .map(|event| event["type"].clone())
        .collect();
    assert!(news.contains(&json!("doorbell.endpoint.failing")), "{news:?}");
    assert!(news.contains(&json!("doorbell.endpoint.recovered")), "{news:?}");
    let rings = agent.ledger().rings.len();
    stays("nothing is sent again", || agent.ledger().rings.len() == rings);

    // By hand, some of it once more: the same ids and bytes.
    let replayed = daemon.cli(&["replay", "--endpoint", "agent", "--key", "3", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let ledger = agent.wait_for("four again", |ledger| ledger.rings.len() >= rings + 4);
    assert_eq!(ledger.ids().len(), 20);
    ledger.assert_bodies_never_change();
}
