//! Floors: the same work without a product around it. Each runs in a process of its own – this very executable, told
//! by its arguments – so that its CPU time is counted the way the daemon's is.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::process;

/// The argument that makes a bench a floor.
const MARK: &str = "--floor";

/// The arguments of a floor, if this process is to be one.
pub(crate) fn arguments() -> Option<Vec<String>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != MARK);
    arguments.next()?;
    Some(arguments.collect())
}

/// What a floor reports of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Memory that it came to use for that, in MiB.
    pub(crate) mib: f64,
}

/// Runs a floor to its end.
pub(crate) fn run(arguments: &[String]) -> Report {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(MARK)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the floor {arguments:?} failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.split_ascii_whitespace();
    let mut next = || words.next().unwrap();
    let cpu = Duration::from_nanos(next().parse().unwrap());
    let wall = Duration::from_nanos(next().parse().unwrap());
    Report { cpu, wall, mib: next().parse().unwrap() }
}

/// In the floor's process: does the work, and reports what it took.
pub(crate) fn report(work: impl FnOnce()) {
    let me = std::process::id();
    let before = process::mib(me);
    let (cpu, started) = (process::own_cpu(), tokio::time::Instant::now());
    work();
    let (cpu, wall) = (process::own_cpu().saturating_sub(cpu), started.elapsed());
    let mib = process::peak_mib(me) - before;
    println!("{} {} {mib}", cpu.as_nanos(), wall.as_nanos());
}
