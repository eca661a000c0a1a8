//! Under a real systemd, with the unit from `packaging/`: it is ready when it says so, reloads, is restarted when it dies
//! or freezes, stops quickly, and needs no system call that the unit refuses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/doorbell.service");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/systemd_box.sh");

/// The unit as shipped, but quicker, and without mercy for a refused system call: it ends the process with SIGSYS.
const DROP_IN: &str = "[Service]\nWatchdogSec=3\nRestartSec=100ms\nSystemCallErrorNumber=kill\n";

/// A tracker whose list is a file in the box, and an endpoint whose events end up in the journal.
const SOURCES: &str = "\
server: { listen: 127.0.0.1:8600 }
sources:
  tickets:
    url: http://127.0.0.1:8000/tickets.json
    every: 300ms
    key: .id
endpoints:
  journal: { url: 'stdout:', sign: none }
";

/// The most that `systemd-analyze security` may say, of 10.
const EXPOSURE_MAX: f64 = 1.2;

/// A booted box. It goes with the value.
struct Machine {
    home: TempDir,
}

impl Machine {
    fn boot() -> Self {
        let machine = Self { home: tempfile::tempdir().unwrap() };
        succeed(&machine.script("boot", &[]));
        machine
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut script = Command::new(SCRIPT);
        script.arg(verb).arg(self.home.path().join("box")).args(arguments).output().unwrap()
    }

    fn run(&self, command: &str) -> Output {
        self.script("run", &["sh", "-c", command])
    }

    /// The output of a command that has to succeed.
    fn told(&self, command: &str) -> String {
        succeed(&self.run(command))
    }

    fn copy(&self, file: &Path, path: &str) {
        succeed(&self.script("copy", &[file.to_str().unwrap(), path]));
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.home.path().join("file");
        std::fs::write(&file, text).unwrap();
        self.copy(&file, path);
    }

    /// A property of the unit.
    fn property(&self, name: &str) -> String {
        self.told(&format!("systemctl show --value --property {name} doorbell")).trim().to_owned()
    }

    fn is_active(&self) -> bool {
        self.property("ActiveState") == "active"
    }

    fn journal(&self) -> String {
        self.told("journalctl --unit doorbell --output cat --no-pager")
    }

    /// The value of a metric without labels; `None` if it cannot be read.
    fn metric(&self, name: &str) -> Option<f64> {
        let page = self.run("curl --silent --max-time 5 http://127.0.0.1:8600/metrics");
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits for something to become true; fails with the journal.
    async fn wait(&self, what: &str, seconds: u64, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "not within {seconds} s: {what}\n{}",
                self.journal()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until another process than this one is up.
    async fn wait_for_another(&self, than: &str) -> String {
        let up = |machine: &Self| machine.is_active() && machine.property("MainPID") != than;
        self.wait("another process is active", 30, up).await;
        self.property("MainPID")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.script("halt", &[]));
    }
}

/// The standard output of something that has to have succeeded.
#[track_caller]
fn succeed(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    out.into_owned()
}

/// Whether this machine can boot a box. Says so where it cannot.
fn can_boot() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    let is_root = id.stdout.trim_ascii() == b"0";
    if !is_root {
        eprintln!("SKIPPED, NOTHING WAS TESTED: a box with systemd can be booted only by root");
    }
    is_root
}

/// The Python that serves the list, by its full path: the box sees the same files.
fn python() -> String {
    let script = "import sys; print(sys.executable)";
    let output = Command::new("python3").args(["-c", script]).output().unwrap();
    succeed(&output).trim().to_owned()
}

/// A box with the binary, the unit, a source and a configuration; nothing is started yet.
fn install() -> Machine {
    let machine = Machine::boot();
    machine.copy(&PathBuf::from(env!("CARGO_BIN_EXE_doorbell")), "/usr/bin/doorbell");
    machine.copy(Path::new(UNIT), "/etc/systemd/system/doorbell.service");
    machine.write("/etc/systemd/system/doorbell.service.d/test.conf", DROP_IN);
    machine.write("/etc/doorbell/sources.yaml", SOURCES);
    machine.write("/srv/tickets.json", r#"[{"id": 1}]"#);
    let serve = format!("{} -m http.server --bind 127.0.0.1 --directory /srv 8000", python());
    machine.told(&format!("systemctl daemon-reload && systemd-run --quiet --unit list {serve}"));
    machine
}

#[test]
#[ignore = "long: needs systemd-analyze"]
fn the_unit_is_hardened() {
    let analyze = ["security", "--offline=true", UNIT];
    let output = Command::new("systemd-analyze").args(analyze).output().unwrap();
    let report = succeed(&output);
    let overall =
        report.lines().find_map(|line| line.split_once("exposure level for ")?.1.split_once(": "));
    let exposure: f64 = overall.unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!(exposure <= EXPOSURE_MAX, "exposure is {exposure}, at most {EXPOSURE_MAX}:\n{report}");
}

#[tokio::test]
#[ignore = "long: boots a systemd of its own; root only"]
async fn it_lives_under_systemd() {
    if !can_boot() {
        return;
    }
    let machine = install();

    machine.told("systemctl start doorbell");
    assert!(machine.is_active(), "start returned, so it said that it is ready");
    let first = machine.property("MainPID");
    rings(&machine, 2).await;

    reloads(&machine).await;
    assert_eq!(machine.property("MainPID"), first, "a reload is no restart");
    assert_eq!(machine.property("NRestarts"), "0");
    rings(&machine, 3).await;

    machine.told(&format!("kill -KILL {first}"));
    let second = machine.wait_for_another(&first).await;
    rings(&machine, 4).await;

    machine.told(&format!("kill -STOP {second}"));
    machine.wait_for_another(&second).await;
    assert!(machine.journal().contains("Watchdog timeout"), "{}", machine.journal());
    rings(&machine, 5).await;

    stops(&machine);
    is_left_alone_with_a_bad_file(&machine);

    let journal = machine.journal();
    for refusal in ["31/SYS", "signal=SYS", "Operation not permitted"] {
        assert!(
            !journal.contains(refusal),
            "the unit refuses something needed: {refusal}\n{journal}"
        );
    }
}

/// One more ticket in the list becomes one event in the journal.
async fn rings(machine: &Machine, ticket: u32) {
    // The first listing after the very first start is the baseline; it has to be over before the list grows.
    let polled = |machine: &Machine| {
        machine.told("journalctl --unit list --output cat").contains("GET /tickets")
    };
    machine.wait("the list was asked for", 20, polled).await;
    let tickets: Vec<_> = (1..=ticket).map(|id| format!("{{\"id\": {id}}}")).collect();
    machine.write("/srv/tickets.json", &format!("[{}]", tickets.join(", ")));
    let event = |line: &str| {
        line.contains("tickets.created") && line.contains(&format!("\"key\":\"{ticket}\""))
    };
    let rung = |machine: &Machine| machine.journal().lines().any(event);
    machine.wait("the event is in the journal", 20, rung).await;
}

/// A good file is taken; a bad one changes nothing and says so.
async fn reloads(machine: &Machine) {
    let (done, when) = (
        "doorbell_config_last_reload_successful",
        "doorbell_config_last_reload_success_timestamp_seconds",
    );
    let before = machine.metric(when);

    machine.write("/etc/doorbell/sources.yaml", &SOURCES.replace("300ms", "200ms"));
    machine.told("sleep 1.1; systemctl reload doorbell");
    let counted = |machine: &Machine| {
        machine.metric(done) == Some(1.0)
            && machine.metric(when).is_some()
            && machine.metric(when) != before
    };
    machine.wait("the reload is counted", 10, counted).await;

    machine.write("/etc/doorbell/sources.yaml", &SOURCES.replace("every:", "evry:"));
    let bad = machine.run("systemctl reload doorbell");
    assert!(!bad.status.success(), "the reload has to tell the person who asked for it");
    machine
        .wait("the bad reload is counted", 10, |machine| machine.metric(done) == Some(0.0))
        .await;
    assert!(machine.journal().contains("evry"), "the journal names the problem");
    assert!(machine.is_active(), "the old configuration goes on");

    machine.write("/etc/doorbell/sources.yaml", SOURCES);
    machine.told("systemctl reload doorbell");
    machine.wait("it is well again", 10, |machine| machine.metric(done) == Some(1.0)).await;
}

fn stops(machine: &Machine) {
    let asked = Instant::now();
    machine.told("systemctl stop doorbell");
    assert!(asked.elapsed() < Duration::from_secs(5), "stopping took {:?}", asked.elapsed());
    assert_eq!(machine.property("Result"), "success");
    assert_eq!(machine.property("ExecMainStatus"), "0");
}

/// A configuration that cannot work is for a person to mend: starting again and again would not help.
fn is_left_alone_with_a_bad_file(machine: &Machine) {
    machine.write("/etc/doorbell/sources.yaml", "sources: [");
    assert!(!machine.run("systemctl start doorbell").status.success());
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "2");
}
