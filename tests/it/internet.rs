//! An internet of its own, made by `tests/real/internet.sh`: names that lead nowhere, or somewhere else each time.

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
    /// Every web server there lists two tickets.
    fn before(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::new(config);
        let (program, place) = (script("internet.sh"), home.path().to_str().unwrap().to_owned());
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
