//! An internet of its own, made by `tests/real/internet.sh`: names that lead nowhere, certificates that prove nothing,
//! redirects to where nobody from outside has business.

mod ringing;
mod spellings;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::misbehaviour::tickets;
use crate::real::script;
use crate::support::Daemon;
use crate::support::scene::items;

/// A daemon on an internet of its own. Each command has it to itself, so nothing runs between two polls.
struct Internet {
    home: TempDir,
    daemon: Daemon,
}

impl Internet {
    /// Every web server there lists two tickets. `HOME` in the configuration is where the certificates are.
    fn before(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (program, place) = (script("internet.sh"), home.path().to_str().unwrap().to_owned());
        let mut daemon = Daemon::new(&config.replace("HOME", &place));
        let doorbell = env!("CARGO_BIN_EXE_doorbell");
        daemon.set_program(&[program.to_str().unwrap(), &place, doorbell]);
        let internet = Self { home, daemon };
        internet.list(&items(2));
        internet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn list(&self, items: &Value) {
        fs::write(self.path("items"), items.to_string()).unwrap();
    }

    /// What a name of no certain address leads to: the same as this one.
    fn move_to(&self, name: &str) {
        fs::write(self.path("moving"), name).unwrap();
    }

    /// Runs the daemon there. It is asked by its control socket alone: its API is on that internet, too.
    fn run(&mut self) {
        self.daemon.start_with(&[]);
        self.daemon.wait_until("the daemon being ready", |daemon| {
            daemon.control("GET", "/readyz", None).is_some_and(|answer| answer.status == 200)
        });
    }

    /// The address of each connection that was made to a web server.
    fn connected(&self) -> Vec<String> {
        let connected = fs::read_to_string(self.path("connected")).unwrap_or_default();
        connected.lines().map(str::to_owned).collect()
    }

    /// What the web servers heard: the address, the path and query, the credentials.
    fn heard(&self) -> Vec<String> {
        let heard = fs::read_to_string(self.path("heard")).unwrap_or_default();
        heard.lines().map(str::to_owned).collect()
    }
}

/// A name that is gone for a while, or whose server is, is a fault of its own; then it goes on.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn names_that_lead_nowhere() {
    let internet = Internet::before(&tickets("http://moving.test/items", "timeout: 4s"));
    internet.move_to("public");
    internet.daemon.poll("tickets").rang(&[]);
    for (more, name) in ["gone", "failing", "empty", "silent"].iter().enumerate() {
        internet.move_to(name);
        let poll = internet.daemon.poll("tickets");
        assert!(["resolve", "timeout"].contains(&poll.fault()), "{name}: {poll:?}");
        assert!(poll.events().is_empty() && poll.sentence().contains("moving.test"), "{poll:?}");
        // An operator may name a host of the house, too.
        internet.move_to(["public", "inside", "mixed", "flips"][more]);
        internet.list(&items(3 + more));
        internet.daemon.poll("tickets").rang(&[&format!("tickets.created {}", 3 + more)]);
    }
}

/// What a certificate does not prove is a fault of its own; what it does prove is enough.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn certificates_that_prove_nothing() {
    let source =
        |host: &str, tls: &str| Internet::before(&tickets(&format!("https://{host}/items"), tls));
    let ours = "tls: { ca: HOME/ca.pem }";
    let trusted = source("good.test", ours);
    trusted.daemon.poll("tickets").rang(&[]);
    trusted.list(&items(3));
    trusted.daemon.poll("tickets").rang(&["tickets.created 3"]);

    for (case, host, tls) in [
        ("nobody vouches for it", "good.test", ""),
        ("it vouches for itself", "selfsigned.test:448", ours),
        ("it is for another name", "misnamed.test:444", ours),
        ("it is over", "expired.test:446", ours),
        ("its time has not come", "early.test:447", ours),
        ("it comes by TLS 1.0", "old.test:445", ours),
        ("there is no TLS", "public.test:80", ours),
    ] {
        let internet = source(host, tls);
        let poll = internet.daemon.poll("tickets");
        assert_eq!((poll.fault(), poll.events().len()), ("tls", 0), "{case}: {poll:?}");
        assert!(internet.heard().is_empty(), "{case}, but it was asked");
    }
}

/// A redirect leads out of the house, never in: neither to its own addresses nor to those where clouds keep secrets,
/// whatever the name says at first; and nothing secret goes along.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn redirects_into_the_house() {
    let source = |from: &str, to: &str| {
        let keys = "redirects: 3, auth: { bearer: s3cret }, tls: { ca: HOME/ca.pem }";
        Internet::before(&tickets(&format!("{from}/to?{to}"), keys))
    };
    let public = "http://public.test";
    for (to, code) in [
        ("http://169.254.169.254/latest", "blocked"),
        ("http://metadata.test/latest", "blocked"),
        ("http://inside.test/", "blocked"),
        ("http://127.0.0.1/", "blocked"),
        ("http://[::ffff:127.0.0.1]/", "blocked"),
        ("http://2130706433/", "blocked"),
        ("file:///etc/passwd", "redirect"),
    ] {
        let internet = source(public, to);
        internet.daemon.poll("tickets").failed(code);
        assert_eq!(internet.heard().len(), 1, "{to}: {:?}", internet.heard());
    }
    let downwards = source("https://good.test", "http://public.test/items");
    downwards.daemon.poll("tickets").failed("redirect");
    assert_eq!(downwards.heard().len(), 1, "{:?}", downwards.heard());

    for to in ["http://good.test/items", "http://mixed.test/items", "http://flips.test/items"] {
        let internet = source(public, to);
        for _ in 0..3 {
            let poll = internet.daemon.poll("tickets");
            assert!(["", "blocked"].contains(&poll.fault()), "{to}: {poll:?}");
        }
        let heard = internet.heard();
        assert!(heard.iter().all(|line| line.starts_with("93.184.216.34 ")), "{to}: {heard:?}");
        let away: Vec<_> = heard.iter().filter(|line| line.contains(" /items ")).collect();
        assert!(away.iter().all(|line| line.ends_with(" -")), "{to}: {heard:?}");
        assert!(!away.is_empty() || to.contains("mixed"), "{to}: {heard:?}");
    }
}
