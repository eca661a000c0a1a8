//! CPU time of processes.

use std::fs;
use std::time::Duration;

/// The kernel counts in these, whatever it measures with.
const TICK: Duration = Duration::from_millis(10);

/// CPU time a process has used, in user and kernel mode, all its threads together.
///
/// The kernel scales the two so that their sum is exact; it is told in ticks of 10 ms, so measure seconds.
pub(crate) fn cpu(pid: u32) -> Duration {
    cpu_of(&pid.to_string())
}

/// The same of this process.
pub(crate) fn own_cpu() -> Duration {
    cpu_of("self")
}

fn cpu_of(pid: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field, the program's name in parentheses, may hold anything.
    let (_, after_name) = text.rsplit_once(')').unwrap();
    let ticks: u32 = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap())
        .sum();
    TICK * ticks
}

/// Resident memory of a process, in MiB.
pub(crate) fn mib(pid: u32) -> f64 {
    memory_mib(pid, "VmRSS:")
}

/// Resident memory of a process at its highest, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    memory_mib(pid, "VmHWM:")
}

/// Resident memory of a process that is its own and not files', in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    memory_mib(pid, "RssAnon:")
}

fn memory_mib(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib: f64 = line.split_ascii_whitespace().next().unwrap_or("0").parse().unwrap_or(0.0);
    kib / 1024.0
}
