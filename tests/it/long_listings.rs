//! Listings far longer than what is held in memory: compared as they are read, from a file that nobody sees.

use serde_json::{Value, json};

use crate::support::reply::Manner;
use crate::support::{ApiServer, Daemon, Receiver, Reply};

/// Items of the listing; with what each holds, 30 MB.
const ITEMS: usize = 5_000;
/// Text in each item.
const TEXT_BYTES: usize = 6_000;
/// The most memory that a daemon may ever have had, in KiB. An unoptimised build has 60 MB without any listing.
const PEAK_KIB_MAX: u64 = 160 * 1024;

/// Where the list stands, and how it is written.
#[derive(Clone, Copy)]
enum Form {
    /// At `.data.items`, with much around it.
    Nested,
    Lines,
}

impl Form {
    fn keys(self) -> &'static str {
        match self {
            Self::Nested => "items: .data.items, key: .id",
            Self::Lines => "key: .id, format: ndjson",
        }
    }

    /// Items as `(ID, VERSION)`.
    fn body(self, items: impl Iterator<Item = (usize, usize)>) -> String {
        let text = "]}\\\",[{ ".repeat(TEXT_BYTES / 8);
        let items = items.map(|(id, version)| {
            format!(r#"{{"text":"{text}","id":{id},"nested":{{"id":-1}},"version":{version}}}"#)
        });
        let items: Vec<_> = items.collect();
        match self {
            Self::Nested => format!(
                r#"{{"items":[7],"data":{{"count":{},"items":[{}],"more":false}},"at":[1]}}"#,
                items.len(),
                items.join(",\n")
            ),
            Self::Lines => items.join("\n"),
        }
    }

    fn reply(self, body: String) -> Reply {
        match self {
            Self::Nested => Reply::text("application/json", body),
            Self::Lines => Reply::text("application/x-ndjson", body),
        }
    }
}

fn run(api: &ApiServer, receiver: &Receiver, keys: &str) -> Daemon {
    let source = format!(
        "{{ url: '{}', every: 200ms, timeout: 60s, max_body: 100MiB, backoff: {{ first: 50ms, max: 200ms }}, {keys} }}",
        api.url()
    );
    let endpoint = format!("{{ url: '{}', secret: any }}", receiver.url());
    let config = format!("sources: {{ things: {source} }}\nendpoints: {{ desk: {endpoint} }}\n");
    Daemon::run(&config)
}

/// The most memory a process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Every item is found, every change rings once, and what was cut off proves nothing.
fn tells_every_change(form: Form) {
    let (api, receiver) = (ApiServer::start(), Receiver::start());
    let before = form.body((0..ITEMS).map(|id| (id, 0)));
    api.always(form.reply(before.clone()));
    let mut daemon = run(&api, &receiver, form.keys());
    daemon.wait_for_good_polls("things", 2);
    let listed = daemon.metric("doorbell_polls_total", &[("outcome", "changed")]);
    assert!(listed <= 1.0, "an unchanged listing counts as changed");

    // Half of it came, in good order or not; neither proves that the rest is gone.
    let failed = daemon.polls("things", "failed");
    api.always(form.reply(before.clone()).sent(Manner::CutAfter(before.len() / 2)));
    daemon.wait_until("two cut answers", |it| it.polls("things", "failed") >= failed + 2.0);
    if matches!(form, Form::Nested) {
        let failed = daemon.polls("things", "failed");
        api.always(form.reply(before.clone()).halved());
        daemon.wait_until("two cut bodies", |it| it.polls("things", "failed") >= failed + 2.0);
    }
    assert_eq!(receiver.ledger().rings.len(), 0, "nothing had changed");

    // Three are new, the first and the last among those that changed, two gone.
    let is_changed = |id: usize| id.is_multiple_of(199) || id == ITEMS - 1;
    let kept = (0..ITEMS).filter(|id| ![5, ITEMS - 2].contains(id));
    let kept = kept.map(|id| (id, usize::from(is_changed(id))));
    api.always(form.reply(form.body(kept.chain((ITEMS..ITEMS + 3).map(|id| (id, 0))))));
    let mut story: Vec<String> =
        (0..ITEMS).filter(|id| is_changed(*id)).map(|id| format!("things.updated {id}")).collect();
    story.extend((ITEMS..ITEMS + 3).map(|id| format!("things.created {id}")));
    story.extend([5, ITEMS - 2].map(|id| format!("things.deleted {id}")));
    daemon.wait_until("all changes", |_| receiver.ledger().accepted().len() >= story.len());
    daemon.wait_for_good_polls("things", 1);
    let mut found = receiver.ledger().story();
    found.sort_unstable();
    story.sort_unstable();
    assert_eq!(found, story);
    let peak = peak_kib(daemon.pid());
    assert!(peak <= PEAK_KIB_MAX, "{peak} KiB for a listing of {} KiB", before.len() / 1024);
    assert!(daemon.term().success());
}

#[test]
fn a_long_json_list_is_compared_as_it_is_read() {
    tells_every_change(Form::Nested);
}

#[test]
fn long_json_lines_are_compared_as_they_are_read() {
    tells_every_change(Form::Lines);
}

#[test]
fn what_is_long_and_no_list_is_read_as_a_whole() {
    let (api, receiver) = (ApiServer::start(), Receiver::start());
    let object = |n: usize| json!({ "n": n, "text": "x".repeat(9_000_000) });
    api.always(Reply::json(&object(1)));
    let mut daemon =
        run(&api, &receiver, "ignore: [.text], events: [{type: n, on: updated, data: .after.n}]");
    daemon.wait_for_good_polls("things", 2);
    api.always(Reply::json(&object(2)));
    daemon.wait_until("the change", |_| !receiver.ledger().rings.is_empty());
    let ring = receiver.ledger().rings.remove(0);
    assert_eq!(ring.event["data"], Value::from(2));
    // A list without a key is told as such, however long.
    let failed = daemon.polls("things", "failed");
    api.always(Reply::json(&json!([object(1)])));
    daemon.wait_until("a failed poll", |it| it.polls("things", "failed") > failed);
}

#[test]
fn a_request_for_one_item_is_noted_with_its_own_size() {
    let api = ApiServer::start();
    let list = |count| Form::Lines.reply(Form::Lines.body((0..count).map(|id| (id, 0))));
    let (url, check) = (api.url(), api.url_of("/things/{{key}}"));
    let source = format!(
        "{{ url: '{url}', paused: true, key: .id, format: ndjson, deletes: {{ check: '{check}' }} }}"
    );
    let daemon = Daemon::run(&format!("sources: {{ things: {source} }}\n"));
    let noted = |at: usize, report: &Value| {
        report["requests"][at]["body_bytes"].as_u64().expect("a request")
    };
    api.always(list(2_000));
    daemon.cli_json(&["poll", "things", "--commit"]);
    api.next(list(1_999));
    api.next(Reply::json(&json!({ "id": 1_999 })));
    let report = daemon.cli_json(&["poll", "things"]);
    assert!(noted(0, &report) > 8 * 1024 * 1024, "{report}");
    assert!(noted(1, &report) < 100, "{report}");
}
