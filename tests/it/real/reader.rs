//! A receiver that reads with somebody's library, as a program in the background.

use std::fs::{File, read_to_string};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::real::{INSTALL_MAX, script};
use crate::support::ask;
use crate::support::wait::poll_for;

/// Such a receiver. It ends with the value.
pub(super) struct Reader {
    pub(super) kind: &'static str,
    pub(super) url: String,
    child: Child,
}

impl Reader {
    /// Starts one of the kinds that a script knows, and waits until it listens.
    pub(super) fn start(name: &str, kind: &'static str, home: &Path, arguments: &[&str]) -> Self {
        let (output, log) = (home.join(kind), home.join(format!("{kind}.log")));
        let mut child = Command::new(script(name))
            .arg(kind)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let said = || [&output, &log].map(|file| read_to_string(file).unwrap()).concat();
        let port = poll_for(INSTALL_MAX, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{kind} ended:\n{}", said());
            // The one in Go cannot take any port by itself, and says in its log which it was given.
            let said = said().replace("serving hooks on http://127.0.0.1:", "listening on ");
            let (_, rest) = said.split_once("listening on ")?;
            // Not before the line is whole.
            let (port, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
            Some(port.to_owned())
        });
        let port = port.unwrap_or_else(|| panic!("no {kind}:\n{}", said()));
        Self { kind, url: format!("http://127.0.0.1:{port}"), child }
    }

    /// What it read.
    pub(super) fn ledger(&self) -> Vec<Value> {
        let answer = ask::ask("GET", &self.url, None).unwrap();
        answer.json().as_array().unwrap().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
