//! Sources with `for_each`: one poll per entry, from a list, another source or a file, until each has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::server::{Received, Server};
use crate::support::wait::{stays, wait_until};
use crate::support::{Daemon, Receiver, Reply};

/// An API with one document per path; 404 where there is none.
struct Paths {
    server: Server,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    replies: BTreeMap<String, Reply>,
    asked: BTreeMap<String, usize>,
}

impl Paths {
    fn start() -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let behind = Arc::clone(&shelf);
        let server = Server::start(Arc::new(move |received: Received| {
            let mut shelf = behind.lock().unwrap();
            let path = received.path().to_owned();
            *shelf.asked.entry(path.clone()).or_default() += 1;
            shelf.replies.get(&path).cloned().unwrap_or_else(|| Reply::status(404))
        }));
        Self { server, shelf }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    fn set(&self, path: &str, document: &Value) {
        self.reply(path, Reply::json(document));
    }

    fn reply(&self, path: &str, reply: Reply) {
        self.shelf.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    fn remove(&self, path: &str) {
        self.shelf.lock().unwrap().replies.remove(path);
    }

    fn asked(&self, path: &str) -> usize {
        self.shelf.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }

    #[track_caller]
    fn wait_for(&self, path: &str, more: usize) {
        let enough = self.asked(path) + more;
        wait_until(&format!("{more} more requests of {path}"), || self.asked(path) >= enough);
    }
}

fn parcel(id: &str, status: &str) -> Value {
    json!({ "id": id, "status": status })
}

/// A source `parcels` with these keys beside the usual ones, other sources, and one endpoint.
fn config(api: &Paths, receiver: &Receiver, keys: &str, others: &str) -> String {
    format!(
        "
sources:
  parcels:
    url: '{}'
    every: 100ms
    timeout: 1s
    backoff: {{ first: 50ms, max: 200ms }}
{keys}
{others}
endpoints:
  desk:
    url: '{}'
    secret: any
    retry: {{ first: 50ms, max: 200ms, for: 1h }}
",
        api.url("/parcels/{{key}}"),
        receiver.url()
    )
}

const UNTIL: &str = "    until: .status == \"delivered\"
    events: [default, { type: parcels.ended, on: ended }]
";

/// `TYPE ENTRY KEY` of what was accepted.
fn story(receiver: &Receiver) -> Vec<String> {
    let ledger = receiver.ledger();
    let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let tell = |event: &Value| {
        format!("{} {} {}", word(&event["type"]), word(&event["entry"]), word(&event["key"]))
            .trim_end()
            .to_owned()
    };
    ledger.accepted().iter().map(|ring| tell(&ring.event)).collect()
}

#[track_caller]
fn wait_for_story(receiver: &Receiver, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().copied().map(str::to_owned).collect();
    wait_until(&format!("{expected:?}"), || {
        story(receiver).into_iter().collect::<BTreeSet<_>>() == expected
    });
}

/// The seqs of a source's events are 1, 2, 3 and so on.
#[track_caller]
fn assert_gapless(receiver: &Receiver) {
    let ledger = receiver.ledger();
    let mut seqs: Vec<_> =
        ledger.accepted().iter().map(|ring| ring.event["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn three_hundred_parcels_until_delivered() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    let ids: Vec<_> = (0..300).map(|id| format!("P{id}")).collect();
    let path = |id: &str| format!("/parcels/{id}");
    for id in &ids {
        api.set(&path(id), &parcel(id, "on the way"));
    }
    let keys = format!("    for_each: [{}]\n{UNTIL}", ids.join(", "));
    let mut daemon = Daemon::run(&config(&api, &receiver, &keys, ""));
    wait_until("every parcel being asked for", || ids.iter().all(|id| api.asked(&path(id)) > 1));
    assert_eq!(story(&receiver), Vec::<String>::new(), "what is found first is known silently");

    for id in &ids {
        api.set(&path(id), &parcel(id, "delivered"));
    }
    receiver.wait_for("two events of each", |ledger| ledger.accepted().len() == 600);
    assert_gapless(&receiver);
    for id in &ids {
        let of_it: Vec<_> = story(&receiver)
            .into_iter()
            .filter(|event| event.ends_with(&format!(" {id}")))
            .collect();
        assert_eq!(of_it, [format!("parcels.updated {id}"), format!("parcels.ended {id}")]);
    }
    let view = daemon.control_json("/v1/sources/parcels");
    assert_eq!(view["entries"]["count"], 300);
    assert_eq!(view["entries"]["ended"], 300);
    assert_eq!(view["last_seq"], 600);

    let total = || ids.iter().map(|id| api.asked(&path(id))).sum::<usize>();
    let asked = total();
    stays("ended parcels not asked for", || total() == asked);
    daemon.kill9();
    daemon.start();
    stays("nor after a restart", || total() == asked);
}

#[test]
fn an_end_rings_though_it_was_true_at_first_sight() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/A", &parcel("A", "delivered"));
    let keys = format!("    for_each: [A, B]\n{UNTIL}");
    let mut daemon = Daemon::run(&config(&api, &receiver, &keys, ""));
    wait_for_story(&receiver, &["parcels.ended A"]);

    // What is not there yet is no failure, and asked for as it is planned.
    api.wait_for("/parcels/B", 3);
    let view = daemon.control_json("/v1/sources/parcels");
    assert_eq!(
        view["entries"],
        json!({
            "count": 2, "ended": 1, "failing": 0, "not_yet": 1, "first_failing": null
        })
    );
    api.set("/parcels/B", &parcel("B", "delivered"));
    wait_for_story(&receiver, &["parcels.ended A", "parcels.ended B"]);

    // Leaving the list and coming back begins anew.
    let asked = api.asked("/parcels/A");
    let without = format!("    for_each: [B]\n{UNTIL}");
    daemon.write_config(&config(&api, &receiver, &without, ""));
    let log_end = daemon.log_end();
    daemon.hup();
    daemon
        .wait_until("the reload", |daemon| !daemon.logged_since(log_end, &["taken on"]).is_empty());
    stays("A not asked for", || api.asked("/parcels/A") == asked);
    daemon.write_config(&config(&api, &receiver, &keys, ""));
    daemon.hup();
    receiver.wait_for("another end of A", |ledger| ledger.accepted().len() == 3);
    assert_gapless(&receiver);
    assert!(api.asked("/parcels/A") > asked);
    assert!(daemon.term().success());
}

#[test]
fn a_failing_entry_delays_no_other() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    for id in ["A", "B"] {
        api.set(&format!("/parcels/{id}"), &parcel(id, "new"));
    }
    api.reply("/parcels/C", Reply::hang());
    api.reply("/parcels/D", Reply::status(500));
    let daemon = Daemon::run(&config(&api, &receiver, "    for_each: [A, B, C, D]", ""));
    for id in ["A", "B"] {
        api.wait_for(&format!("/parcels/{id}"), 5);
        api.set(&format!("/parcels/{id}"), &parcel(id, "sent"));
    }
    wait_for_story(&receiver, &["parcels.updated A", "parcels.updated B"]);
    wait_until("both being told", || {
        daemon.control_json("/v1/sources/parcels")["entries"]["failing"] == 2
    });
}

#[test]
fn a_vanished_entry_is_deleted_by_its_404() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/A", &parcel("A", "new"));
    let _daemon = Daemon::run(&config(&api, &receiver, "    for_each: [A]", ""));
    api.wait_for("/parcels/A", 2);
    api.remove("/parcels/A");
    wait_for_story(&receiver, &["parcels.deleted A"]);
    api.wait_for("/parcels/A", 3);
    api.set("/parcels/A", &parcel("A", "back"));
    wait_for_story(&receiver, &["parcels.deleted A", "parcels.created A"]);
    assert_gapless(&receiver);
}

#[test]
fn entries_that_answer_lists_keep_their_items_apart() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/west", &json!([parcel("1", "a"), parcel("2", "a")]));
    api.set("/parcels/east", &json!([parcel("1", "a")]));
    let keys = "    key: .id\n    for_each: { list: [{ name: west }, { name: east }], key: .name }";
    let daemon = Daemon::run(&config(&api, &receiver, keys, ""));
    api.wait_for("/parcels/west", 2);
    api.wait_for("/parcels/east", 2);
    api.set("/parcels/west", &json!([parcel("1", "b"), parcel("3", "a")]));
    api.set("/parcels/east", &json!([parcel("1", "c")]));
    wait_for_story(
        &receiver,
        &[
            "parcels.updated west 1",
            "parcels.created west 3",
            "parcels.deleted west 2",
            "parcels.updated east 1",
        ],
    );
    assert_gapless(&receiver);
    let ids: BTreeSet<_> = receiver.ledger().ids().into_iter().map(str::to_owned).collect();
    assert_eq!(ids.len(), 4);
    let events = daemon.cli_json(&["events", "--entry", "east"]);
    assert_eq!(events.as_array().map(Vec::len), Some(1));
    assert_eq!((&events[0]["entry"], &events[0]["key"]), (&json!("east"), &json!("1")));
    let told = daemon.cli(&["events"]);
    assert!(told.stdout.contains("parcels/west/3"), "{told:?}");
}

#[test]
fn a_source_feeds_another() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    let order = |id: u32, open: bool| json!({ "id": id, "open": open, "at": format!("P{id}") });
    api.set("/orders", &json!([order(1, true), order(2, false)]));
    for id in 1..=3 {
        api.set(&format!("/parcels/P{id}"), &parcel(&id.to_string(), "new"));
    }
    let others = format!(
        "  orders:\n    url: '{}'\n    key: .id\n    every: 100ms\n    deletes: {{ after: 1 }}\n    events: []\n",
        api.url("/orders")
    );
    let keys = "    for_each: { source: orders, where: .open }";
    let text = config(&api, &receiver, keys, &others).replace("{{key}}", "{{item.at}}");
    let text = text.replace("events: []", "events: [{ type: none, on: created, when: 'false' }]");
    let mut daemon = Daemon::run(&text);
    api.wait_for("/parcels/P1", 2);
    assert_eq!(api.asked("/parcels/P2"), 0, "its condition does not hold");

    // New items are entries at once, those that left are none any more, and their state was not one to ring about.
    api.set("/orders", &json!([order(2, true), order(3, true)]));
    api.wait_for("/parcels/P2", 2);
    api.wait_for("/parcels/P3", 2);
    let asked = api.asked("/parcels/P1");
    stays("a parcel without an order not asked for", || api.asked("/parcels/P1") == asked);
    api.set("/parcels/P1", &parcel("1", "sent"));
    api.set("/parcels/P3", &parcel("3", "sent"));
    wait_for_story(&receiver, &["parcels.updated 3"]);
    daemon.kill9();
    daemon.start();
    api.wait_for("/parcels/P3", 2);
    assert_eq!(api.asked("/parcels/P1"), asked);
    assert_eq!(story(&receiver), ["parcels.updated 3"]);
}

#[test]
fn a_file_feeds_a_source() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/A", &parcel("A", "new"));
    api.set("/parcels/B", &parcel("B", "new"));
    let others = "  list:\n    url: file:parcels.json\n    key: .\n    every: 100ms\n    deletes: { after: 1 }\n";
    let keys = "    for_each: { source: list }";
    let mut daemon = Daemon::new(&config(&api, &receiver, keys, others));
    let write = |text: &str| fs::write(daemon.path("parcels.json"), text).unwrap();
    write(r#"["A"]"#);
    daemon.start();
    api.wait_for("/parcels/A", 2);
    assert_eq!(api.asked("/parcels/B"), 0);
    fs::write(daemon.path("parcels.json"), r#"["A", "B"]"#).unwrap();
    api.wait_for("/parcels/B", 2);
    wait_for_story(&receiver, &["list.created  B"]);
    fs::remove_file(daemon.path("parcels.json")).unwrap();
    daemon.wait_until("the file being missed", |daemon| daemon.polls("list", "failed") > 1.0);
    api.wait_for("/parcels/B", 2);
}

#[test]
fn one_entry_is_polled_by_hand() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/A", &parcel("A", "new"));
    let daemon =
        Daemon::new(&config(&api, &receiver, "    for_each: [A, B]\n    first_poll: emit", ""));
    let report = daemon.cli_json(&["poll", "parcels", "--entry", "A"]);
    assert_eq!(report["events"][0]["entry"], "A");
    assert_eq!(report["events"][0]["key"], "");
    assert_eq!(api.asked("/parcels/B"), 0);
    for (arguments, words) in [
        (&["poll", "parcels"][..], "entry by entry"),
        (&["poll", "parcels", "--entry", "Z"], "no entry \"Z\""),
    ] {
        let output = daemon.cli(arguments);
        assert_ne!(output.code, Some(0));
        assert!(output.stderr.contains(words), "{output:?}");
    }
}

#[test]
fn entries_that_cannot_be_are_told_at_their_place() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    let orders = "  orders:\n    url: https://a.example/\n    key: .id\n";
    for (keys, others, words) in [
        ("    for_each: { source: order }", orders, "did you mean `orders`?"),
        ("    for_each: { source: parcels }", "", "in a circle"),
        (
            "    for_each: { source: orders }",
            "  orders:\n    url: https://a.example/\n    for_each: { source: parcels }\n",
            "in a circle",
        ),
        ("    for_each: [A, B, A]", "", "the same key"),
        ("    for_each: [{ id: 1 }]", "", "nothing identifies this entry"),
        ("    for_each: { list: [{ id: 1 }], key: .name }", "", "nothing identifies this entry"),
        ("    for_each: { list: [1], source: orders }", orders, "from one list or from one source"),
        ("    for_each: { api: true }", "", "not supported yet"),
    ] {
        let daemon = Daemon::new(&config(&api, &receiver, keys, others));
        let output = daemon.cli(&["check"]);
        assert_eq!(output.code, Some(2), "{keys}: {output:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(words) && said.contains("for_each"), "{keys}: {said}");
    }
}

#[test]
fn a_single_object_ends_without_entries() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/job", &parcel("J", "running"));
    let text = config(&api, &receiver, UNTIL, "").replace("/parcels/{{key}}", "/job");
    let mut daemon = Daemon::run(&text);
    api.wait_for("/job", 2);
    api.set("/job", &parcel("J", "delivered"));
    wait_until("the end", || story(&receiver) == ["parcels.updated", "parcels.ended"]);
    let asked = api.asked("/job");
    stays("an ended job not asked for", || api.asked("/job") == asked);
    daemon.kill9();
    daemon.start();
    stays("nor after a restart", || api.asked("/job") == asked);
}

/// A line of what the kernel says of a process, such as `Threads`.
fn of_process(daemon: &Daemon, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap()
}

#[test]
fn five_thousand_parcels_from_a_file() {
    const COUNT: usize = 5_000;
    let receiver = Receiver::start();
    let asked = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let behind = Arc::clone(&asked);
    let server = Server::start(Arc::new(move |received: Received| {
        let id = received.path().rsplit('/').next().unwrap_or_default().to_owned();
        *behind.lock().unwrap().entry(id.clone()).or_default() += 1;
        Reply::json(&parcel(&id, if id.ends_with('7') { "delivered" } else { "on the way" }))
    }));
    let text = format!(
        "
sources:
  list: {{ url: 'file:parcels.json', key: ., every: 1h, max_body: 1MiB }}
  parcels:
    url: 'http://{}/parcels/{{{{key}}}}'
    every: 10m
    for_each: {{ source: list }}
{UNTIL}
endpoints:
  desk: {{ url: '{}', secret: any, events: [parcels.*] }}
",
        server.address(),
        receiver.url()
    );
    let mut daemon = Daemon::new(&text);
    let ids: Vec<_> = (0..COUNT).map(|id| format!("P{id:04}")).collect();
    fs::write(daemon.path("parcels.json"), serde_json::to_string(&ids).unwrap()).unwrap();
    daemon.start();
    let count = || asked.lock().unwrap().len();
    wait_until("the first of them being asked for", || count() > 100);
    let threads = of_process(&daemon, "Threads");
    assert!(threads < 100, "{threads} threads");
    // They are spread over 20 ms each; by hand, nobody waits for that.
    assert!(count() < COUNT, "all began at once");
    let view = daemon.control_json("/v1/sources/parcels");
    assert!(view["entries"]["count"].as_u64().is_some_and(|count| count > 0), "{view}");
    let report = daemon.cli_json(&["poll", "parcels", "--entry", "P4999", "--commit"]);
    assert_eq!(report["outcome"], "unchanged", "{report}");
    receiver.wait_for("fifty ends", |ledger| ledger.accepted().len() >= 50);
    daemon.kill9();
    let before: BTreeSet<String> = asked.lock().unwrap().keys().cloned().collect();
    daemon.start();
    let news = || asked.lock().unwrap().keys().filter(|id| !before.contains(*id)).count();
    wait_until("others being asked for after the restart", || news() > 100);
    receiver.wait_for("eighty ends", |ledger| ledger.accepted().len() >= 80);
    assert_gapless(&receiver);
    let peak = of_process(&daemon, "VmHWM");
    assert!(peak < 150 * 1024, "{peak} KiB at most");
    let ids = receiver.ledger().ids().len();
    let ended: BTreeSet<_> = story(&receiver).into_iter().collect();
    assert_eq!(ended.len(), ids, "each ends once");
}

#[test]
fn a_feeding_source_in_trouble_lets_nobody_go() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/orders", &json!([{ "id": "A" }, { "id": "B" }]));
    api.set("/v2/orders", &json!([{ "id": "A" }, { "id": "B" }]));
    api.set("/parcels/A", &parcel("A", "delivered"));
    api.set("/parcels/B", &parcel("B", "new"));
    let text = |path: &str| {
        let others = format!("  orders: {{ url: '{}', key: .id, every: 100ms }}\n", api.url(path));
        config(&api, &receiver, &format!("    for_each: {{ source: orders }}\n{UNTIL}"), &others)
    };
    let mut daemon = Daemon::run(&text("/orders"));
    wait_for_story(&receiver, &["parcels.ended A"]);
    // Fails, then takes a new baseline from elsewhere: what it feeds stays, and what has ended has ended.
    api.reply("/orders", Reply::status(500));
    api.wait_for("/parcels/B", 3);
    api.reply("/v2/orders", Reply::status(500));
    daemon.write_config(&text("/v2/orders"));
    daemon.hup();
    api.wait_for("/v2/orders", 2);
    api.wait_for("/parcels/B", 3);
    daemon.kill9();
    daemon.start();
    api.wait_for("/v2/orders", 1);
    api.set("/v2/orders", &json!([{ "id": "A" }, { "id": "B" }]));
    api.wait_for("/parcels/B", 3);
    api.set("/parcels/B", &parcel("B", "sent"));
    wait_for_story(&receiver, &["parcels.ended A", "parcels.updated B"]);
    assert_eq!(story(&receiver).len(), 2);
}

#[test]
fn entries_keep_their_state_under_another_name() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    api.set("/parcels/A", &parcel("A", "delivered"));
    api.set("/parcels/B", &parcel("B", "new"));
    let keys = format!("    for_each: [A, B]\n{UNTIL}");
    let mut daemon = Daemon::run(&config(&api, &receiver, &keys, ""));
    wait_for_story(&receiver, &["parcels.ended A"]);
    api.wait_for("/parcels/B", 2);
    let renamed = config(&api, &receiver, &format!("{keys}    was: parcels\n"), "").replacen(
        "  parcels:",
        "  shipments:",
        1,
    );
    daemon.write_config(&renamed);
    let planned = daemon.cli(&["plan"]);
    assert!(planned.stdout.contains("renamed"), "{planned:?}");
    let asked = api.asked("/parcels/A");
    daemon.hup();
    daemon.wait_until("the rename", |daemon| {
        let sources = daemon.control_json("/v1/sources");
        let named = sources.as_array().into_iter().flatten().find(|it| it["name"] == "shipments");
        named.is_some_and(|source| source["entries"]["count"] == 2)
    });
    api.set("/parcels/B", &parcel("B", "sent"));
    wait_for_story(&receiver, &["parcels.ended A", "shipments.updated B"]);
    assert_eq!(api.asked("/parcels/A"), asked, "what has ended has ended");
    assert_gapless(&receiver);
}

#[test]
fn what_is_not_watched_ends_nothing() {
    let (api, receiver) = (Paths::start(), Receiver::start());
    let stop =
        |id: &str, status: &str, mine: bool| json!({ "id": id, "status": status, "mine": mine });
    api.set("/parcels/A", &json!([stop("1", "delivered", false), stop("2", "new", true)]));
    let keys = format!("    key: .id\n    where: .mine\n    for_each: [A]\n{UNTIL}");
    let _daemon = Daemon::run(&config(&api, &receiver, &keys, ""));
    api.wait_for("/parcels/A", 3);
    api.set("/parcels/A", &json!([stop("1", "delivered", false), stop("2", "delivered", true)]));
    wait_until("the end", || story(&receiver) == ["parcels.updated A 2", "parcels.ended A 2"]);
}
