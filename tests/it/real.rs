//! Against the real thing: an issue tracker that has no webhooks, and receivers as tutorials write them. See
//! `tests/real/README.md` for both.

mod events;
mod reader;
mod servers;
mod verifiers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Base64 for Standard Webhooks, and taken letter by letter under every other scheme.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Each path of a receiver, and how it wants to be rung.
const PATHS: &[(&str, &str)] = &[
    ("plain-hex", "{header: X-Webhook-Signature}"),
    ("agent-hex", "{header: X-Agent-Signature}"),
    ("platform", "{header: X-MyPlatform-Signature, prefix: 'sha256='}"),
    ("base64", "{header: X-Body-Hmac, encoding: base64}"),
    ("timestamped", "{header: X-Signature, timestamp_header: X-Timestamp}"),
    ("hub", "github"),
    ("split", "github"),
    ("redump", "github"),
    ("library", "github"),
    ("standard", "standard"),
];

/// How long a package client may take on a slow day, the first time.
const INSTALL_MAX: Duration = Duration::from_mins(10);
/// How long a change may take from the tracker to every path.
const RING_MAX: Duration = Duration::from_mins(1);

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(name)
}

/// A program in the background. It ends with the value.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; its standard error goes to a file.
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let errors = File::create(&log).unwrap();
        let command = command.stdin(Stdio::null()).stderr(errors).kill_on_drop(true);
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop, and gives its exit code.
    async fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let ended = timeout(Duration::from_secs(25), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not stop\n{}", self.log())).unwrap().code()
    }
}

/// Fetches a JSON document.
async fn fetch(url: &str) -> Value {
    let answer = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// Waits until something asked again and again is true; fails with what is worth knowing then.
async fn wait<F: Future<Output = bool>>(
    longest: Duration,
    mut holds: impl FnMut() -> F,
    why: impl Fn() -> String,
) {
    let deadline = Instant::now() + longest;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {longest:?}: {}", why());
        sleep(Duration::from_millis(100)).await;
    }
}

/// The tracker, and its client.
struct Tracker {
    port: u16,
    server: Running,
}

impl Tracker {
    async fn start(home: &Path) -> Self {
        // Its own address is part of its settings, so it cannot take any port by itself.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(script("roundup.sh"));
        command.arg(port.to_string()).arg(home.join("roundup"));
        let mut server = Running::start(&mut command, home.join("roundup.log"));
        let deadline = Instant::now() + INSTALL_MAX;
        while reqwest::get(format!("http://127.0.0.1:{port}/tracker/")).await.is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no tracker:\n{}", server.log());
            sleep(Duration::from_millis(200)).await;
        }
        Self { port, server }
    }

    /// Runs its client, and gives what it printed.
    async fn client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(script("ticket.sh"));
        let output = command.arg(self.port.to_string()).args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// How often the listing was asked for.
    fn listings(&self) -> usize {
        self.server.log().matches("GET /tracker/rest/data/issue?").count()
    }
}

/// A receiver of webhooks.
struct Receiver {
    kind: &'static str,
    url: String,
    _server: Running,
}

impl Receiver {
    async fn start(kind: &'static str, home: &Path) -> Self {
        let mut command = Command::new(script("receiver.sh"));
        command.args([kind, "0", SECRET]).stdout(Stdio::piped());
        let mut server = Running::start(&mut command, home.join(format!("{kind}.log")));
        let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        let first = timeout(INSTALL_MAX, lines.next_line()).await.unwrap().unwrap();
        let port = first.as_deref().and_then(|line| line.strip_prefix("listening on "));
        let port = port.unwrap_or_else(|| panic!("no receiver: {first:?}\n{}", server.log()));
        Self { kind, url: format!("http://127.0.0.1:{port}"), _server: server }
    }

    /// What each path accepted, in order.
    async fn ledger(&self) -> BTreeMap<String, Vec<Accepted>> {
        let mut by_path = BTreeMap::<_, Vec<_>>::new();
        for entry in fetch(&format!("{}/ledger", self.url)).await.as_array().unwrap() {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let what = (text("type"), text("key"));
            let accepted = Accepted { what, id: text("id"), body: text("sha256") };
            by_path.entry(text("path")).or_default().push(accepted);
        }
        by_path
    }

    /// Whether every path accepted a change.
    async fn has(&self, kind: &str, key: &str) -> bool {
        let ledger = self.ledger().await;
        let rung = |entries: &Vec<Accepted>| {
            entries.iter().any(|entry| entry.what.0 == kind && entry.what.1 == key)
        };
        PATHS.iter().all(|(path, _)| ledger.get(*path).is_some_and(rung))
    }
}

/// A webhook that a receiver accepted: event type and key, its id, the hash of its body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Accepted {
    what: (String, String),
    id: String,
    body: String,
}

/// Declares the tracker as a source and every path of every receiver as an endpoint.
fn sources_yaml(tracker: &Tracker, receivers: &[Receiver]) -> String {
    let mut text = format!(
        "\
server: {{ listen: off }}
sources:
  tickets:
    url: http://127.0.0.1:{}/tracker/rest/data/issue
    query: {{ '@fields': 'title,status', '@verbose': 2, '@sort': id, '@page_size': 1000 }}
    headers: {{ X-Requested-With: rest }}
    auth: {{ basic: {{ user: admin, password: admin }} }}
    every: 300ms
    items: .data.collection
    key: .id
endpoints:
",
        tracker.port
    );
    for Receiver { kind, url, .. } in receivers {
        for (path, sign) in PATHS {
            let endpoint = format!(
                "  {kind}-{path}: {{ url: '{url}/{path}', secret: {SECRET}, sign: {sign} }}"
            );
            writeln!(text, "{endpoint}").unwrap();
        }
    }
    text
}

/// Starts the daemon on a configuration.
fn doorbell(home: &Path, sources: &str) -> Running {
    let config = home.join("sources.yaml");
    std::fs::write(&config, sources).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.arg("--config").arg(config).arg("--state").arg(home.join("state"));
    command.args(["--log", "json", "run"]);
    Running::start(&mut command, home.join("doorbell.log"))
}

/// A receiver that takes everything proves nothing: each of its paths has to refuse what is wrong.
#[tokio::test]
#[ignore = "long: installs Flask and Express"]
async fn receivers_refuse_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    for kind in ["flask", "express"] {
        let receiver = Receiver::start(kind, home.path()).await;
        let mut knock = Command::new("python3");
        let knock = knock.arg(script("knock.py")).args([&receiver.url, SECRET]);
        let output = knock.output().await.unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Tickets are made, edited and retired in a real tracker; real receivers accept each change once, unchanged.
#[tokio::test]
#[ignore = "long: installs Roundup, Flask and Express"]
async fn tutorial_receivers_hear_of_a_real_tracker() {
    let home: TempDir = tempfile::tempdir().unwrap();
    open_to_all(home.path());
    let tracker = Tracker::start(home.path()).await;
    let receivers = [
        Receiver::start("flask", home.path()).await,
        Receiver::start("express", home.path()).await,
    ];
    let old = tracker.client(&["create", "was there before"]).await;

    let daemon = doorbell(home.path(), &sources_yaml(&tracker, &receivers));
    let begun = tracker.listings();
    // The second listing is asked for when the first is the baseline.
    wait(RING_MAX, async || tracker.listings() >= begun + 2, || daemon.log()).await;

    let mut expected = Vec::new();
    let first = tracker.client(&["create", "Grüße \"aus\" \\ 東京 🔔 </script>"]).await;
    let second = tracker.client(&["create", "another"]).await;
    expected.push(("tickets.created", first.as_str()));
    expected.push(("tickets.created", second.as_str()));
    all_have(&receivers, &expected, &daemon).await;

    tracker.client(&["edit", &first, "edited"]).await;
    expected.push(("tickets.updated", &first));
    all_have(&receivers, &expected, &daemon).await;

    // Retired, a ticket leaves the list: a deletion once two complete listings agree.
    tracker.client(&["retire", &second]).await;
    expected.push(("tickets.deleted", &second));
    all_have(&receivers, &expected, &daemon).await;

    assert_eq!(daemon.stop().await, Some(0));
    for receiver in &receivers {
        let refused = fetch(&format!("{}/refused", receiver.url)).await;
        assert_eq!(refused, serde_json::json!({}), "{} refused some", receiver.kind);
    }
    heard_the_same(&receivers, &expected, &old).await;
}

/// The tracker runs as another user, who has to get at what lies in there.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits until every path of every receiver accepted all of these changes.
async fn all_have(receivers: &[Receiver], expected: &[(&str, &str)], daemon: &Running) {
    for receiver in receivers {
        for (kind, key) in expected {
            let why =
                || format!("{kind} of {key} on all paths of {}\n{}", receiver.kind, daemon.log());
            wait(RING_MAX, async || receiver.has(kind, key).await, why).await;
        }
    }
}

/// Every path heard each change exactly once, in the same order per item, with one id and one body everywhere.
async fn heard_the_same(receivers: &[Receiver], expected: &[(&str, &str)], old: &str) {
    let mut events = BTreeSet::new();
    for receiver in receivers {
        for (path, entries) in receiver.ledger().await {
            let place = format!("{} {path}", receiver.kind);
            let mut heard: Vec<_> = entries.iter().map(|entry| entry.what.clone()).collect();
            let mut wanted: Vec<_> = expected
                .iter()
                .map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned()))
                .collect();
            for key in expected.iter().map(|(_, key)| *key) {
                let of_item = |all: &[(String, String)]| -> Vec<_> {
                    all.iter().filter(|what| what.1 == key).cloned().collect()
                };
                assert_eq!(of_item(&heard), of_item(&wanted), "{place}: order of item {key}");
            }
            heard.sort();
            wanted.sort();
            assert_eq!(heard, wanted, "{place}; ticket {old} was there before and rings nothing");
            events.extend(entries);
        }
    }
    assert_eq!(events.len(), expected.len(), "one id and one body for each change: {events:#?}");
}
