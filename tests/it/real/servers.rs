//! Four servers that people run, each listed in every way that it offers. Items are made, edited and removed through the
//! server's own clients; each source tells every change once, and nothing else.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::real::{INSTALL_MAX, open_to_all, script};
use crate::support::receiver::Ledger;
use crate::support::wait::poll_for;
use crate::support::{Daemon, Receiver, ask};

/// A server, its client, and the sources that list it.
struct Kind {
    name: &'static str,
    /// Answers when the server is up.
    ready: &'static str,
    /// The client: a script, the words before its verbs, and its words for removing and listing.
    client: (&'static str, &'static [&'static str]),
    remove: &'static str,
    list: &'static str,
    /// Names, and keys in block style; `AT` is the server's address.
    sources: &'static [(&'static str, &'static str)],
    /// Those of them to which the server says 304.
    conditional: &'static [&'static str],
}

/// A running server. It ends with the value.
struct Server {
    kind: &'static Kind,
    port: String,
    home: PathBuf,
    child: Child,
}

impl Server {
    /// `settings` go into the server's environment.
    fn start(kind: &'static Kind, home: &Path, settings: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = home.join(kind.name);
        let log = std::fs::File::create(home.join("server.log")).unwrap();
        let child = Command::new(script(&format!("{}.sh", kind.name)))
            .arg(port.to_string())
            .arg(&directory)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { kind, port: port.to_string(), home: directory, child };
        let url = server.url(kind.ready);
        let log = || std::fs::read_to_string(home.join("server.log")).unwrap_or_default();
        let up = poll_for(INSTALL_MAX, || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended:\n{}", kind.name, log());
            ask::ask("GET", &url, None)
        });
        assert!(up.is_some(), "no {}:\n{}", kind.name, log());
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Runs its client, and gives what it printed.
    fn client(&self, verb: &str, arguments: &[&str]) -> String {
        let (program, words) = self.kind.client;
        let place = |word: &&str| match *word {
            "PORT" => self.port.clone(),
            "HOME" => self.home.to_string_lossy().into_owned(),
            word => word.to_owned(),
        };
        let mut command = Command::new(script(program));
        command.args(words.iter().map(place)).arg(verb).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{verb} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn create(&self, title: &str) -> String {
        self.client("create", &[title])
    }

    fn edit(&self, key: &str, title: &str) {
        self.client("edit", &[key, title]);
    }

    fn remove(&self, key: &str) {
        self.client(self.kind.remove, &[key]);
    }

    /// Titles by key, as the server has them now.
    fn titles(&self) -> BTreeMap<String, String> {
        let list = self.client(self.kind.list, &[]);
        let lines = list.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(key, title)| (key.to_owned(), title.to_owned())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server, a receiver, and doorbell between them; what should have rung so far.
struct Stage {
    server: Server,
    receiver: Receiver,
    daemon: Daemon,
    expected: Vec<String>,
    _home: TempDir,
}

impl Stage {
    /// Everything runs, and the first items are known to every source.
    fn set(kind: &'static Kind) -> (Self, Vec<String>) {
        let home = tempfile::tempdir().unwrap();
        open_to_all(home.path());
        let server = Server::start(kind, home.path(), &[]);
        let first: Vec<_> = (1..=7).map(|id| server.create(&format!("there {id}"))).collect();
        let receiver = Receiver::start();
        let daemon = Daemon::new(&configuration(&server, &receiver));
        let mut stage = Self { server, receiver, daemon, expected: Vec::new(), _home: home };
        stage.daemon.start();
        stage.polled(2);
        (stage, first)
    }

    /// Waits until every source was polled so many times more.
    fn polled(&mut self, more: u32) {
        for (source, _) in self.server.kind.sources {
            self.daemon.wait_for_good_polls(source, more);
        }
    }

    /// Waits until every source has told these changes, `KIND KEY`, and everything before, each once.
    #[track_caller]
    fn told(&mut self, changes: &[(&str, &str)]) {
        for (source, _) in self.server.kind.sources {
            let lines = changes.iter().map(|(kind, key)| format!("{source}.{kind} {key}"));
            self.expected.extend(lines);
        }
        let expected: Vec<_> = self.expected.iter().map(String::as_str).collect();
        self.receiver.expect(&expected);
    }
}

/// What one source made of the items it told of: titles by key.
fn fold(ledger: &Ledger, source: &str) -> BTreeMap<String, Option<String>> {
    let mut titles = BTreeMap::new();
    for ring in ledger.accepted() {
        if ring.event["source"] == source {
            let is_there = !ring.event_type().ends_with(".deleted");
            let title = ring.event["data"]["title"].as_str().map(str::to_owned);
            titles.insert(ring.key().to_owned(), title.filter(|_| is_there));
        }
    }
    titles
}

fn configuration(server: &Server, receiver: &Receiver) -> String {
    let source = |(name, keys): &(&str, &str)| {
        let keys = keys.trim().replace("AT", &server.url("")).replace('\n', "\n    ");
        format!("  {name}:\n    every: 250ms\n    key: .id\n    {keys}\n")
    };
    let sources: Vec<_> = server.kind.sources.iter().map(source).collect();
    let endpoint = format!("desk: {{ url: '{}', secret: any }}", receiver.url());
    format!("sources:\n{}endpoints: {{ {endpoint} }}\n", sources.concat())
}

/// Whatever happens to the items, each source tells it once.
fn rings_once(kind: &'static Kind) {
    let (mut stage, first) = Stage::set(kind);

    // A page of its own, with every kind of letter in it.
    let new = stage.server.create("Grüße \"aus\" \\ 東京 🔔 </script>");
    stage.told(&[("created", &new)]);

    // The first and the last page of the listing change at once, and grow.
    stage.server.edit(&first[0], "edited first");
    stage.server.edit(&first[6], "edited last");
    let more: Vec<_> = (0..5).map(|more| stage.server.create(&format!("more {more}"))).collect();
    let mut changes = vec![("updated", first[0].as_str()), ("updated", &first[6])];
    changes.extend(more.iter().map(|key| ("created", key.as_str())));
    stage.told(&changes);

    // What goes back to what it was is a change too.
    stage.server.edit(&first[0], "there 1");
    stage.told(&[("updated", &first[0])]);

    // One is taken out of the middle, and one from the end.
    stage.server.remove(&first[3]);
    stage.server.remove(&more[4]);
    stage.told(&[("deleted", &first[3]), ("deleted", &more[4])]);

    // Nobody looks for a while.
    assert!(stage.daemon.term().success());
    stage.server.edit(&more[0], "edited meanwhile");
    stage.server.remove(&more[1]);
    let late = stage.server.create("made meanwhile");
    stage.daemon.start();
    stage.told(&[("updated", &more[0]), ("deleted", &more[1]), ("created", &late)]);

    stage.polled(3);
    stage.told(&[]);
    let (ledger, titles) = (stage.receiver.ledger(), stage.server.titles());
    for (source, _) in kind.sources {
        for (key, title) in fold(&ledger, source) {
            assert_eq!(title.as_ref(), titles.get(&key), "{source} {key}");
        }
        let not_modified = stage.daemon.polls(source, "not_modified");
        let is_conditional = kind.conditional.contains(source);
        assert_eq!(not_modified > 0.5, is_conditional, "{source}: {not_modified} times 304");
        for outcome in ["failed", "incomplete"] {
            let count = stage.daemon.polls(source, outcome);
            assert!(count < 0.5, "{source} {outcome} {count} times");
        }
    }
}

/// A store of records: entity tags and 304, the next page in a header of its own, `_since` with tombstones.
const KINTO: Kind = Kind {
    name: "kinto",
    ready: "/v1/",
    client: ("orders.sh", &["kinto", "PORT", "HOME"]),
    remove: "remove",
    list: "list",
    sources: &[
        (
            "whole",
            "
url: AT/v1/buckets/shop/collections/orders/records
auth: { basic: { user: admin, password: admin-pw } }
items: .data
",
        ),
        (
            "paged",
            "
url: '{{page // \"AT/v1/buckets/shop/collections/orders/records?_limit=3\"}}'
auth: { basic: { user: admin, password: admin-pw } }
items: .data
pages: { next: '.headers[\"next-page\"]' }
",
        ),
        (
            "since",
            "
url: AT/v1/buckets/shop/collections/orders/records
auth: { basic: { user: admin, password: admin-pw } }
items: .data
since: { param: _since, from: .last_modified, format: raw }
deleted_when: .deleted
sweep: 3s
",
        ),
    ],
    conditional: &["whole", "since"],
};

/// Tables of a database: the next page in the body or in a `Link`, lines of JSON, CSV, filters on columns; no entity tags.
const DATASETTE: Kind = Kind {
    name: "datasette",
    ready: "/",
    client: ("orders.sh", &["datasette", "PORT", "HOME"]),
    remove: "remove",
    list: "list",
    sources: &[
        (
            "linked",
            "
url: AT/shop/orders.json?_shape=array
query: { _size: 3 }
pages: link
",
        ),
        (
            "in_body",
            "
url: AT/shop/orders.json?_shape=objects
query: { _size: 3 }
items: .rows
pages: { next_url: .next_url }
",
        ),
        (
            "by_cursor",
            "
url: AT/shop/orders.json?_shape=objects
query: { _size: 3 }
items: .rows
pages: { cursor: .next, param: _next }
",
        ),
        (
            "by_lines",
            "
url: AT/shop/orders.json?_shape=array&_nl=on
query: { _size: 3 }
format: ndjson
pages: link
",
        ),
        (
            "as_csv",
            "
url: AT/shop/orders.csv?_stream=1
format: csv
",
        ),
        (
            "since",
            "
url: AT/shop/orders.json?_shape=array
query: { _size: 3, _sort: updated_at }
pages: link
since: { param: updated_at__gte, from: .updated_at, overlap: 2s }
sweep: 3s
",
        ),
    ],
    conditional: &[],
};

/// A file of JSON behind an API: entity tags and 304, a `Link`, page numbers and offsets.
const JSONSERVER: Kind = Kind {
    name: "jsonserver",
    ready: "/orders",
    client: ("orders.sh", &["jsonserver", "PORT", "HOME"]),
    remove: "remove",
    list: "list",
    sources: &[
        ("whole", "url: AT/orders"),
        (
            "linked",
            "
url: AT/orders?_page=1&_limit=3
pages: link
",
        ),
        (
            "numbered",
            "
url: AT/orders
pages: { page: _page, size: { _limit: 3 } }
",
        ),
        (
            "by_offset",
            "
url: AT/orders
pages: { offset: _start, limit: { _limit: 3 } }
",
        ),
    ],
    conditional: &["whole", "linked", "numbered", "by_offset"],
};

/// A tracker without webhooks: the next page deep in the body, page numbers from 1, times without a zone.
const ROUNDUP: Kind = Kind {
    name: "roundup",
    ready: "/tracker/",
    client: ("ticket.sh", &["PORT"]),
    remove: "retire",
    list: "titles",
    sources: &[
        (
            "in_body",
            "
url: AT/tracker/rest/data/issue
query: { '@fields': 'title,status', '@verbose': 2, '@sort': id, '@page_size': 3 }
headers: { X-Requested-With: rest }
auth: { basic: { user: admin, password: admin } }
items: .data.collection
pages: { next_url: '.data[\"@links\"].next[0]?.uri' }
",
        ),
        (
            "numbered",
            "
url: AT/tracker/rest/data/issue
query: { '@fields': 'title,status', '@verbose': 2, '@sort': id }
headers: { X-Requested-With: rest }
auth: { basic: { user: admin, password: admin } }
items: .data.collection
pages: { page: '@page_index', start: 1, size: { '@page_size': 3 } }
",
        ),
        (
            "since",
            "
url: AT/tracker/rest/data/issue
query: { '@fields': 'title,activity', '@verbose': 2, '@sort': activity, activity: '{{since | if . then . + \";\" else null end}}' }
headers: { X-Requested-With: rest }
auth: { basic: { user: admin, password: admin } }
items: .data.collection
since: { from: .activity, format: '%Y-%m-%d.%H:%M:%S', zone: UTC, overlap: 3s }
sweep: 3s
",
        ),
    ],
    conditional: &[],
};

#[test]
#[ignore = "long: installs Kinto"]
fn kinto() {
    rings_once(&KINTO);
}

#[test]
#[ignore = "long: installs Datasette"]
fn datasette() {
    rings_once(&DATASETTE);
}

#[test]
#[ignore = "long: installs json-server"]
fn json_server() {
    rings_once(&JSONSERVER);
}

#[test]
#[ignore = "long: installs Roundup"]
fn roundup() {
    rings_once(&ROUNDUP);
}

/// A real server that counts requests, and says how many are left: it is never asked too often, and a change rings all
/// the same.
#[test]
#[ignore = "long: installs Roundup, and waits for its pauses"]
fn a_limit_of_requests_is_kept() {
    let home = tempfile::tempdir().unwrap();
    open_to_all(home.path());
    // Twenty in ten seconds: half as many as the source, as it is declared, would ask for.
    let server = Server::start(&ROUNDUP, home.path(), &[("CALLS", "20")]);
    server.create("there");
    let receiver = Receiver::start();
    let daemon = Daemon::new(&configuration(&server, &receiver));
    let config = std::fs::read_to_string(daemon.config_path()).unwrap();
    let paused = |config: String, source: &str| {
        config.replace(&format!("\n  {source}:"), &format!("\n  {source}:\n    paused: true"))
    };
    let alone = ["numbered", "since"].into_iter().fold(config, paused);
    let mut daemon = Daemon::run(&alone);
    daemon.wait_until_polled("in_body");
    // Its client is counted as well, and is not to wait for its turn.
    daemon.signal("STOP");
    let new = server.create("made meanwhile");
    daemon.signal("CONT");
    for _ in 0..45 {
        daemon.wait_for_good_polls("in_body", 1);
    }
    receiver.expect(&[&format!("in_body.created {new}")]);
    let (limited, failed) = (daemon.polls("in_body", "limited"), daemon.polls("in_body", "failed"));
    assert!(failed < 0.5 && limited < 0.5, "{limited} times too many, {failed} times failed");
}
