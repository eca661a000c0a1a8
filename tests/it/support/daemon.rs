//! The real executable, with a configuration and a state of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::ask::{self, Answer};
use crate::support::wait::{PATIENCE, poll_for};

/// The log line that tells where the API listens; see [`Daemon::address`].
const LISTENING: &str = "listening";

/// How many lines of the log a failure shows.
const LOG_LINES_SHOWN: usize = 60;

/// A daemon and its directory. The directory outlives the process, so that it can be killed and started again.
///
/// Dropping it kills the process; if the test is failing, the end of the log is printed.
pub(crate) struct Daemon {
    home: TempDir,
    /// The executable, with whatever runs it before it.
    program: Vec<String>,
    /// What the daemon logs.
    log: String,
    /// Set for every process from here on.
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// Of the processes before the present one, so that only the present one's log is read for its address.
    log_bytes_before: usize,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Making, starting and ending.
impl Daemon {
    /// A directory with this configuration, and nothing running. Unless it has a `server` section, the API listens on
    /// a free port of the loopback interface.
    pub(crate) fn new(config: &str) -> Self {
        let daemon = Self {
            home: TempDir::new().unwrap(),
            program: vec![env!("CARGO_BIN_EXE_doorbell").to_owned()],
            log: "json".to_owned(),
            environment: Vec::new(),
            child: None,
            log_bytes_before: 0,
        };
        daemon.write_config(config);
        daemon
    }

    /// The same, started and ready.
    #[track_caller]
    pub(crate) fn run(config: &str) -> Self {
        let mut daemon = Self::new(config);
        daemon.start();
        daemon
    }

    /// Sets an environment variable for every process that is started from now on.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Runs another executable from now on, or the same one through another: the last word is doorbell.
    pub(crate) fn set_program(&mut self, words: &[&str]) {
        self.program = words.iter().map(ToString::to_string).collect();
    }

    /// What the daemon logs from its next start on: `json,debug` for example.
    pub(crate) fn set_log(&mut self, what: &str) {
        what.clone_into(&mut self.log);
    }

    /// Writes another configuration; a running daemon hears of it with [`Daemon::hup`].
    pub(crate) fn write_config(&self, config: &str) {
        let has_server = config.lines().any(|line| line.starts_with("server:"));
        let server = if has_server { "" } else { "server: { listen: 127.0.0.1:0 }\n" };
        fs::write(self.config_path(), format!("{server}{config}")).unwrap();
    }

    /// Starts the daemon and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
        self.wait_until("the daemon being ready", Self::is_ready);
    }

    /// Starts the daemon with more arguments after `run`, and waits for nothing.
    #[track_caller]
    pub(crate) fn start_with(&mut self, arguments: &[&str]) {
        assert!(self.child.is_none(), "the daemon runs already");
        self.log_bytes_before = self.log_text().len();
        let open =
            |name: &str| File::options().create(true).append(true).open(self.path(name)).unwrap();
        let child = self
            .command(["--log", self.log.as_str(), "run"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(open("stdout"))
            .stderr(open("stderr"))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Ends the daemon the hard way, as a power cut would.
    #[track_caller]
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running daemon");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the daemon to end and waits until it has.
    #[track_caller]
    pub(crate) fn term(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Asks the daemon to read its configuration again.
    #[track_caller]
    pub(crate) fn hup(&self) {
        self.signal("HUP");
    }

    /// Waits until the daemon has ended by itself.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a running daemon");
        let status = poll_for(PATIENCE, || child.try_wait().unwrap());
        let status =
            status.unwrap_or_else(|| panic!("the daemon does not end{}", self.last_words()));
        self.child = None;
        status
    }

    /// The process id of the running daemon.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// Sends a signal by name: `TERM`, `HUP`, `STOP`, `CONT`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {name} {pid} failed");
    }

    /// Ready is: it said where it listens, and answers there that it is.
    fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.status == 200)
    }
}

/// Asking.
impl Daemon {
    /// `127.0.0.1:PORT` of the API, once the log tells it: a line with the message `listening` and the field `address`.
    pub(crate) fn address(&self) -> Option<String> {
        let log = self.log_text();
        let present = log.get(self.log_bytes_before..)?;
        let mut lines = present.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| field(line, "message") == Some(LISTENING))?;
        Some(field(&line, "address")?.to_owned())
    }

    /// GET from the API; `None` if nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path, None)
    }

    /// Any request to the API; `None` if nobody answers.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        ask::ask(method, &format!("http://{}{path}", self.address()?), body)
    }

    /// Any request to the control socket, as the command line makes them; `None` if nobody answers.
    pub(crate) fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        ask::ask_socket(&self.state_path().join("control.sock"), method, path, body)
    }

    /// A document from the control socket.
    #[track_caller]
    pub(crate) fn control_json(&self, path: &str) -> Value {
        let answer = self.control("GET", path, None).expect("an answer on the control socket");
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    /// The sum of a metric's samples that have all these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.control("GET", "/metrics", None).expect("an answer of /metrics");
        ask::sum(&metrics.text, name, labels)
    }

    /// Polls of a source so far that had this outcome.
    pub(crate) fn polls(&self, source: &str, outcome: &str) -> f64 {
        self.metric("doorbell_polls_total", &[("source", source), ("outcome", outcome)])
    }

    /// Runs another command with the same configuration and state.
    #[track_caller]
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_within(PATIENCE, arguments)
    }

    /// The same for one that has much to do.
    #[track_caller]
    pub(crate) fn cli_within(&self, patience: Duration, arguments: &[&str]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let drain = |stream: Option<Box<dyn std::io::Read + Send>>| {
            thread::spawn(move || std::io::read_to_string(stream.unwrap()).unwrap())
        };
        let stdout = drain(child.stdout.take().map(|stream| Box::new(stream) as _));
        let stderr = drain(child.stderr.take().map(|stream| Box::new(stream) as _));
        let status = poll_for(patience, || child.try_wait().unwrap());
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let status = status.unwrap_or_else(|| {
            panic!("{arguments:?} does not end\n{stdout}\n{stderr}{}", self.last_words())
        });
        Output { code: status.code(), stdout, stderr }
    }

    /// Runs a command that must succeed, with `--json`, and gives what it prints.
    #[track_caller]
    pub(crate) fn cli_json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat());
        assert_eq!(output.code, Some(0), "{arguments:?} failed: {output:?}");
        output.json()
    }

    /// A command with the same configuration, state, environment and current directory, not yet started.
    pub(crate) fn command(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .arg("--config")
            .arg(self.config_path())
            .arg("--state")
            .arg(self.state_path());
        command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .current_dir(self.home.path());
        command
    }
}

/// Watching.
impl Daemon {
    /// Everything all its processes logged, as it stands in the file.
    pub(crate) fn log_text(&self) -> String {
        // Read between two writes, the last line may end in the middle of a character.
        let bytes = fs::read(self.path("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where the log ends now; for [`Daemon::logged_since`].
    pub(crate) fn log_end(&self) -> usize {
        self.log_text().len()
    }

    /// The log lines since then that contain all these words, whatever their case.
    pub(crate) fn logged_since(&self, log_end: usize, words: &[&str]) -> Vec<String> {
        let log = self.log_text();
        let has_all = |line: &&str| {
            let line = line.to_lowercase();
            words.iter().all(|word| line.contains(&word.to_lowercase()))
        };
        log.get(log_end..).unwrap_or_default().lines().filter(has_all).map(str::to_owned).collect()
    }

    /// What it printed on standard output.
    pub(crate) fn stdout_text(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap_or_default()
    }

    /// Waits until `condition` gives a value; fails with the end of the log, at once if the daemon is gone.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
        let outcome = poll_for(PATIENCE, || match condition(self) {
            Some(value) => Some(Ok(value)),
            None => self.child.as_mut()?.try_wait().unwrap().map(Err),
        });
        match outcome {
            Some(Ok(value)) => value,
            Some(Err(status)) => {
                panic!("the daemon ended with {status}, waiting for {what}{}", self.last_words())
            }
            None => panic!("waited {PATIENCE:?} in vain for {what}{}", self.last_words()),
        }
    }

    /// Waits until `condition` is true; fails as [`Daemon::wait_for`] does.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.wait_for(what, |daemon| condition(daemon).then_some(()));
    }

    /// Waits until this process has polled a source with success.
    #[track_caller]
    pub(crate) fn wait_until_polled(&mut self, source: &str) {
        self.wait_until(&format!("a good poll of {source}"), |it| it.good_polls(source) > 0.5);
    }

    /// Waits until a source was polled so many more times with success, changed or not.
    #[track_caller]
    pub(crate) fn wait_for_good_polls(&mut self, source: &str, more: u32) {
        let enough = self.good_polls(source) + f64::from(more);
        let what = format!("{more} good polls of {source}");
        self.wait_until(&what, |daemon| daemon.good_polls(source) >= enough);
    }

    fn good_polls(&self, source: &str) -> f64 {
        let outcomes = ["changed", "unchanged", "not_modified"];
        outcomes.map(|outcome| self.polls(source, outcome)).iter().sum()
    }

    fn last_words(&self) -> String {
        let log = self.log_text();
        let lines: Vec<_> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("; the end of its log:\n{}", shown.join("\n"))
    }
}

/// Places.
impl Daemon {
    /// A file in the daemon's directory, which is also the current directory of its processes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path("sources.yaml")
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.path("state")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the test fails{}", self.last_words());
        }
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A field of a JSON log line, which may stand at the top or under `fields`.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str()
}
