//! Events that are added to a file, a line each: whatever is done to the file meanwhile, none is missing.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::scene::{item, items};
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon};

fn config(api: &ApiServer, endpoints: &str) -> String {
    format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{endpoints}",
        api.url()
    )
}

const BOOK: &str =
    "  book: { url: 'file:out/events.ndjson', retry: { first: 50ms, max: 100ms } }\n";

fn start(api: &ApiServer) -> Daemon {
    let mut daemon = Daemon::new(&config(api, BOOK));
    fs::create_dir(daemon.path("out")).unwrap();
    daemon.start();
    daemon.wait_until_polled("tickets");
    daemon
}

/// The whole lines of a file that are events, and how many are not.
fn read(path: &Path) -> (Vec<Value>, usize) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines: Vec<_> =
        whole.lines().map(|line| serde_json::from_str::<Value>(line).ok()).collect();
    let torn = lines.iter().filter(|line| line.is_none()).count();
    (lines.into_iter().flatten().collect(), torn)
}

/// `KEY:STATUS` of each event.
fn told(events: &[Value]) -> Vec<String> {
    let words = events.iter().map(|event| {
        format!("{}:{}", event["key"].as_str().unwrap(), event["data"]["status"].as_str().unwrap())
    });
    words.collect()
}

#[test]
fn events_are_lines_that_survive_rotation_a_full_stop_and_a_torn_end() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = start(&api);
    let path = daemon.path("out/events.ndjson");
    let wait = |what: &str, path: &Path, expected: &[&str]| {
        wait_until(what, || told(&read(path).0) == expected);
    };
    api.set_items(items(2));
    wait("the first line", &path, &["2:new"]);
    // Renamed, as logrotate does.
    fs::rename(&path, path.with_extension("1")).unwrap();
    api.set_items(items(3));
    wait("a new file", &path, &["3:new"]);
    assert_eq!(told(&read(&path.with_extension("1")).0), ["2:new"]);
    // Copied and emptied, as logrotate's copytruncate does.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    api.set_items(items(4));
    wait("the emptied file", &path, &["4:new"]);
    daemon.wait_until("all being noted", |daemon| {
        daemon.control_json("/v1/deliveries?status=delivered").as_array().unwrap().len() == 3
    });
    // What a crash cut short is ended, and spoils nothing that comes after it.
    daemon.kill9();
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 10).unwrap();
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(json!([item(1), item(2), item(3), item(4), item(5)]));
    wait("a line after the torn one", &path, &["5:new"]);
    assert_eq!(read(&path).1, 1);
    daemon.wait_until("its being noted", |daemon| {
        let row = &daemon.control_json("/v1/deliveries?endpoint=book&order=newest")[0];
        row["status"] == "delivered" && row["attempts"] == 1
    });
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_and_an_item_stays_in_order() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = start(&api);
    let (directory, aside) = (daemon.path("out"), daemon.path("away"));
    fs::rename(&directory, &aside).unwrap();
    for status in ["a", "b", "c"] {
        api.set_items(json!([{ "id": 1, "status": status }]));
        api.wait_for_requests(2);
    }
    daemon.wait_until("a failed attempt", |daemon| {
        !daemon.logged_since(0, &["not accepted", "the file could not be written"]).is_empty()
    });
    fs::rename(&aside, &directory).unwrap();
    let path = directory.join("events.ndjson");
    wait_until("all of them", || told(&read(&path).0) == ["1:a", "1:b", "1:c"]);
}

#[test]
fn what_makes_no_sense_for_a_file_is_refused() {
    let check = |endpoints: &str, expected: &str| {
        let api = ApiServer::with_items(items(1));
        let told = Daemon::new(&config(&api, endpoints)).cli(&["check"]);
        let said = format!("{}{}", told.stdout, told.stderr);
        assert_eq!(told.code, Some(2), "{endpoints}: {said}");
        assert!(said.contains(expected), "{endpoints}: {said}");
    };
    check("  a: { url: 'file:' }\n", "`file:` names no file");
    check("  a: { url: 'file:x', method: PUT }\n", "a file knows no `method`");
    check("  a: { url: 'file:x', proxy: 'http://p.example' }\n", "a file knows no `proxy`");
    check("  a: { url: 'file:x', format: cloudevents-binary }\n", "a file has no headers");
    check(
        "  a: { url: 'file:x' }\n  b: { url: 'file:./x' }\n",
        "the endpoint a writes to the same file",
    );
    check("  a: { url: 'kafka://x' }\n", "not supported yet");
}
