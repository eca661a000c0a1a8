//! The real executable, with a configuration and a state of its own.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process;

/// A running daemon; dropping it ends it and removes its state.
pub(crate) struct Daemon {
    child: Child,
    home: TempDir,
}

impl Daemon {
    /// Starts a daemon with this configuration on an empty state, on the disk that the build is on: a state in memory
    /// would make fsync free.
    pub(crate) fn start(config: &str) -> Self {
        let home = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("sources.yaml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_doorbell"))
            .current_dir(home.path())
            .args(["--config", "sources.yaml", "--state", "state", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, home }
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    /// The most memory used so far, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        process::peak_mib(self.child.id())
    }

    /// The memory it has just now, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        process::resident_mib(self.child.id())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the end of the daemon's log, newest first:\n{}", last.join("\n"));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
