//! The real executable, with a configuration and a state of its own.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{PATIENCE, process};

/// A running daemon; dropping it ends it and removes its state.
pub(crate) struct Daemon {
    child: Child,
    home: TempDir,
    /// Where it says that it is ready.
    told: UnixDatagram,
}

impl Daemon {
    /// Starts a daemon with this configuration on an empty state, on the disk that the build is on: a state in memory
    /// would make fsync free.
    pub(crate) fn start(config: &str) -> Self {
        let home = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(home.path().join("sources.yaml"), config).unwrap();
        Self::spawn(home)
    }

    fn spawn(home: TempDir) -> Self {
        let path = |name: &str| home.path().join(name);
        drop(fs::remove_file(path("told")));
        let told = UnixDatagram::bind(path("told")).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_doorbell"))
            .current_dir(home.path())
            .env("NOTIFY_SOCKET", path("told"))
            .args(["--config", "sources.yaml", "--state", "state", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, home, told }
    }

    /// Waits until it says that it is ready.
    pub(crate) fn wait_until_ready(&self) {
        let mut message = [0; 4096];
        loop {
            let length = self.told.recv(&mut message).unwrap();
            let said = message.get(..length).unwrap();
            if said.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return self.hear_out();
            }
        }
    }

    /// Takes what else it says, as systemd would: it waits for whoever it tells.
    fn hear_out(&self) {
        let told = self.told.try_clone().unwrap();
        told.set_read_timeout(None).unwrap();
        std::thread::spawn(move || while told.recv(&mut [0; 4096]).is_ok() {});
    }

    /// Ends it in peace and starts it again on the state it leaves.
    pub(crate) fn again(mut self) -> Self {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "it ends in peace");
        let elsewhere = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::spawn(std::mem::replace(&mut self.home, elsewhere))
    }

    /// The same with another configuration.
    pub(crate) fn again_with(self, config: &str) -> Self {
        fs::write(self.home.path().join("sources.yaml"), config).unwrap();
        self.again()
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    /// Memory in use now, in MiB.
    pub(crate) fn mib(&self) -> f64 {
        process::mib(self.child.id())
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
        // One that has ended already cannot be killed.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}
